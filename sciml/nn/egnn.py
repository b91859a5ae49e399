"""Messages of distances, which also move the points: the layer of EGNN."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.message_passing import Edges, MessagePassing
from sciml.symmetry import Symmetry


class EGNNLayer(MessagePassing):
    """One layer of an E(n) equivariant network (Satorras et al. 2021, arXiv 2102.09844, equations 3 to 6).

        m_ij = φ_e(x_i, x_j, |r_ij|²)             r_ij: from j to i, between points as they have moved
        d_i' = d_i + Σ_j r_ij φ_d(m_ij) / n       x_i' = x_i + φ_h(x_i, Σ_j m_ij)

    The points themselves stay, and how far they have moved is the node field ``moved``, so that it works in
    periodic cells. Both sums end smoothly at the cutoff by the envelope f, which is not in the paper. The
    first map of φ_e is applied to nodes, before they are gathered.

    Args:
        channels: of the node field ``x``.
        cutoff: distances are counted in it.
        neighbors: n, how many there are of an atom, typically.

    Reads the edge fields ``distance`` (edges,), ``direction`` (edges, 3) and ``envelope`` (edges,), and the
    node field ``moved`` (nodes, 3) where there is one.
    """

    about = About(
        domain="points in space",
        content="x_i and x_j",
        geometry="squared distance between points that move from layer to layer",
        equation=r"x_i' = x_i + \varphi_h\big(x_i, \textstyle\sum_j m_{ij}\big), \quad"
        r" d_i' = d_i + \tfrac1n \sum_j r_{ij}\, \varphi_d(m_{ij})",
        cost="edges · channels² · 2 + nodes · channels²",
        source="Satorras et al. 2021, arXiv 2102.09844, equations 3 to 6",
    )
    symmetry = Symmetry(("S", "O"))

    def __init__(self, channels: int = 64, cutoff: float = 5.0, neighbors: float = 12.0) -> None:
        super().__init__()
        self.channels, self.range, self.neighbors = channels, cutoff, neighbors
        self.ends = nn.Linear(channels, 2 * channels)
        self.length = nn.Linear(1, channels, bias=False)
        self.edge = nn.Sequential(nn.SiLU(), nn.Linear(channels, channels), nn.SiLU())
        self.step = nn.Sequential(
            nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, 1, bias=False)
        )
        self.node = nn.Sequential(nn.Linear(2 * channels, channels), nn.SiLU(), nn.Linear(channels, channels))

    def vectors(self, edges: Edges) -> Float[Tensor, "edges 3"]:
        """Return r_ij in units of the cutoff."""
        vectors = edges["direction"] * edges["distance"][:, None]
        if "moved" in edges.graph.nodes:
            vectors = vectors + edges.receiver("moved") - edges.sender("moved")
        return vectors / self.range

    def message(self, edges: Edges) -> Float[Tensor, "edges channels+3"]:
        """Return m_ij and the pull along r_ij."""
        graph, vectors = edges.graph, self.vectors(edges)
        to, from_ = self.ends(graph.nodes["x"]).split(self.channels, dim=1)
        hidden = to.index_select(0, graph.receiver) + from_.index_select(0, graph.sender)
        carried = self.edge(hidden + self.length(vectors.square().sum(1, keepdim=True)))
        pull = vectors * (self.step(carried) * self.range / self.neighbors)
        return torch.cat([carried, pull], dim=1) * edges["envelope"][:, None]

    def message_inputs(self, edges: Edges) -> dict[str, Tensor]:
        """Return x at both ends and the vector between them."""
        vectors = self.vectors(edges) * self.range
        return {"x_i": edges.receiver("x"), "x_j": edges.sender("x"), "vector": vectors}

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes channels+3"]) -> Graph:
        """Return the graph with x' and d'."""
        carried, moved = aggregated.split([self.channels, 3], dim=1)
        x = graph.nodes["x"]
        x = x + self.node(torch.cat([x, carried], dim=1))
        moved = moved + graph.nodes["moved"] if "moved" in graph.nodes else moved
        return graph.with_nodes({"x": Spec(f"{self.channels}x0e"), "moved": Spec("1o")}, x=x, moved=moved)
