"""Scalars and vectors at atoms that mix along edges: the layer of PaiNN."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.message_passing import Edges, MessagePassing, segment_reduce
from sciml.symmetry import Symmetry

LEAST = 1e-8  # under the root of |V|², whose slope is infinite at zero


class PaiNNLayer(MessagePassing):
    """One message block and one update block of PaiNN (Schütt et al. 2021, arXiv 2102.03150).

    Message, equations 7 and 8, with W_ij = f(r_ij) (W radial(r_ij) + b) and φ = MLP(x_j):

        x_i ← x_i + Σ_j φ_s ∘ W_s
        v_i ← v_i + Σ_j (φ_v ∘ W_v) v_j + (φ_r ∘ W_r) r̂_ij

    Update, equations 9 and 10, with a = MLP(x_i, |V v_i|):

        x_i ← x_i + a_ss + a_sv ∘ ⟨U v_i, V v_i⟩          v_i ← v_i + a_vv ∘ U v_i

    The fast path gives scalars and the three components of vectors a common axis of channels, and adds
    them up in two pieces, so that neither is copied.

    Args:
        channels: of the node fields ``x`` (nodes, channels) and ``v`` (nodes, channels, 3); without ``v``,
            as at the start of a network, it is zero, and costs nothing.
        radial: functions of distance in the edge field ``radial`` (edges, radial).

    Reads the edge fields ``envelope`` (edges,) and ``direction`` (edges, 3) besides.
    """

    about = About(
        domain="atoms, or any points in space",
        content="scalars x_j and vectors v_j",
        geometry="distance r_ij, by radial functions and an envelope, and direction r̂_ij",
        equation=r"v_i' = v_i + \textstyle\sum_j \varphi_v(x_j) W_v(r_{ij})\, v_j"
        r" + \varphi_r(x_j) W_r(r_{ij})\, \hat r_{ij}",
        cost="edges · channels · (3 radial + 12) + nodes · channels²",
        fused="scalars and vectors summed apart, channels last",
        source="Schütt et al. 2021, arXiv 2102.03150, equations 7 to 10",
    )
    symmetry = Symmetry(("S", "O"))

    def __init__(self, channels: int = 128, radial: int = 20) -> None:
        super().__init__()
        self.channels = channels
        self.content = nn.Sequential(
            nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, 3 * channels)
        )
        self.filter = nn.Linear(radial, 3 * channels)
        self.mix = nn.Linear(channels, 2 * channels, bias=False)  # U and V, on channels of vectors
        self.gate = nn.Sequential(
            nn.Linear(2 * channels, channels), nn.SiLU(), nn.Linear(channels, 3 * channels)
        )

    # ------------------------------------------------------------------ messages

    def weights(self, graph: Graph) -> tuple[Tensor, Tensor, Tensor]:
        """Return φ ∘ W for scalars, for vectors and for directions, each (edges, channels)."""
        content = self.content(graph.nodes["x"]).index_select(0, graph.sender)
        filters = self.filter(graph.edges["radial"]) * graph.edges["envelope"][:, None]
        scalar, vector, radial = (content * filters).split(self.channels, dim=1)
        return scalar, vector, radial

    def message(self, edges: Edges) -> Float[Tensor, "edges channels 4"]:
        """Return the scalar and the three components of the vector that each edge carries."""
        scalar, vector, radial = self.weights(edges.graph)
        arrows = radial[..., None] * edges["direction"][:, None, :]
        if "v" in edges.graph.nodes:
            arrows = arrows + vector[..., None] * edges.sender("v")
        return torch.cat([scalar[..., None], arrows], dim=-1)

    def message_inputs(self, edges: Edges) -> dict[str, Tensor]:
        """Return x_j, the radial functions and the direction."""
        return {"x_j": edges.sender("x"), "radial": edges["radial"], "direction": edges["direction"]}

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes channels 4"]) -> Graph:
        """Add the messages, then mix scalars and vectors within each atom."""
        arrows = aggregated[..., 1:] + graph.nodes["v"] if "v" in graph.nodes else aggregated[..., 1:]
        return self.mixed(graph, graph.nodes["x"] + aggregated[..., 0], arrows.transpose(1, 2))

    # ------------------------------------------------------------------ fast path

    def fused_forward(self, graph: Graph) -> Graph:
        """Sum scalars and vectors apart, the channels last in memory."""
        scalar, vector, radial = self.weights(graph)
        total = lambda values: segment_reduce(values, graph.receiver, graph.num_nodes)
        carried = radial[:, None] * graph.edges["direction"][:, :, None]  # edges 3 channels
        if "v" in graph.nodes:
            before = graph.nodes["v"].transpose(1, 2)
            arrows = before + total(carried + vector[:, None] * before.index_select(0, graph.sender))
        else:
            arrows = total(carried)
        return self.mixed(graph, graph.nodes["x"] + total(scalar), arrows)

    # ------------------------------------------------------------------ update

    def mixed(
        self, graph: Graph, x: Float[Tensor, "nodes channels"], arrows: Float[Tensor, "nodes 3 channels"]
    ) -> Graph:
        """Return the graph with equations 9 and 10 applied to x and v."""
        left, right = self.mix(arrows).split(self.channels, dim=2)
        norm = (right.square().sum(1) + LEAST).sqrt()
        plain, product, gate = self.gate(torch.cat([x, norm], dim=1)).split(self.channels, dim=1)
        x = x + plain + product * (left * right).sum(1)
        arrows = arrows + gate[:, None] * left
        specs = {"x": Spec(f"{self.channels}x0e"), "v": Spec("1o")}
        return graph.with_nodes(specs, x=x, v=arrows.transpose(1, 2))
