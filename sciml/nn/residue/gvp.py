"""Message passing by geometric vector perceptrons."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.message_passing import Edges, MessagePassing
from sciml.nn.residue.fields import read
from sciml.nn.residue.perceptron import (
    LEAST,
    GeometricVectorPerceptron,
    Mixing,
    Scalars,
    ScalarVectorDropout,
    ScalarVectorLinear,
    ScalarVectorNorm,
    Vectors,
    direction,
)
from sciml.symmetry import Symmetry


class GVPConvolution(MessagePassing):
    """Messages of scalars and vectors by geometric vector perceptrons, then a feed-forward part at each node.

        m_ij = GVP(x_i, x_j, e_ij; V_i, V_j, r̂_ij)
        (x, V)_i ← norm((x, V)_i + mean_j m_ij)        (x, V)_i ← norm((x, V)_i + GVP((x, V)_i))

    Jing et al. 2021, arXiv 2009.01411, graph propagation layers. Scalars and vectors are invariant and
    equivariant under rotations; with ``reflections=False`` a mirror image gives other scalars, see
    `GeometricVectorPerceptron`. On the fast path the first linear maps are applied at nodes instead of edges.

    Args:
        channels, vectors: of the nodes, ``x`` (nodes, channels) and ``v`` (nodes, vectors, 3).
        edge_channels: of the edge field ``e`` (edges, edge_channels).
        depth: of the perceptron on edges.
        reflections: True for O(3), False for SO(3).
        dropout: rate, of channels of what is added.

    Raises:
        ValueError: in use, a field that is not there or has other channels.
    """

    about = About(
        domain="residues, or any points in space",
        content="scalars x_i, x_j, e_ij and vectors V_i, V_j",
        geometry="direction r̂_ij; distances by e_ij",
        equation=r"(x, V)_i' = \operatorname{mean}_j \mathrm{GVP}(x_i, x_j, e_{ij};\, V_i, V_j, \hat r_{ij})",
        cost="(edges · depth + nodes) · (channels² + vectors²)",
        fused="first linear maps at nodes instead of edges",
        source="Jing et al. 2021, arXiv 2009.01411, graph propagation layers",
    )
    reduction = "mean"

    def __init__(
        self,
        channels: int = 64,
        vectors: int = 16,
        edge_channels: int = 32,
        *,
        depth: int = 3,
        reflections: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth={depth}: the perceptron on edges needs one layer or more.")
        self.channels, self.vectors, self.edge_channels = channels, vectors, edge_channels
        hidden = max(LEAST, vectors)
        linear = lambda scalars, arrows: ScalarVectorLinear(scalars, arrows, channels, hidden)
        self.receiver, self.sender = linear(channels, vectors), linear(channels, vectors)
        self.edge = linear(edge_channels, 1)
        self.mixing = Mixing(channels, hidden, vectors, reflections=reflections, activation=depth > 1)
        self.deeper = nn.ModuleList(
            GeometricVectorPerceptron(
                channels, vectors, channels, vectors, reflections=reflections, activation=more > 0
            )
            for more in reversed(range(depth - 1))
        )
        wide = (4 * channels, 2 * vectors)
        self.feed_forward = nn.ModuleList(
            [
                GeometricVectorPerceptron(channels, vectors, *wide, reflections=reflections),
                GeometricVectorPerceptron(
                    *wide, channels, vectors, reflections=reflections, activation=False
                ),
            ]
        )
        self.norms = nn.ModuleList([ScalarVectorNorm(channels), ScalarVectorNorm(channels)])
        self.dropout = ScalarVectorDropout(dropout)
        self.symmetry = Symmetry(("S", "T", "O" if reflections else "SO"))

    def message(self, edges: Edges) -> Float[Tensor, "edges channels+3*vectors"]:
        """Return the scalars and vectors of m_ij, in one row."""
        x, v = self._at_nodes(edges.graph)
        ends = (edges.graph.receiver, edges.graph.sender)
        receiver, sender = ((x.index_select(0, end), v.index_select(0, end)) for end in ends)
        return self._message(edges.graph, self.receiver(*receiver), self.sender(*sender))

    def _message(
        self, graph: Graph, receiver: tuple[Scalars, Vectors], sender: tuple[Scalars, Vectors]
    ) -> Float[Tensor, "edges channels+3*vectors"]:
        e = read(graph, "edges", "e", "GVPConvolution", self.edge_channels)
        edge = self.edge(e, direction(graph.edge_vectors())[..., None])
        scalars, vectors = (a + b + c for a, b, c in zip(receiver, sender, edge))
        scalars, vectors = self.mixing(scalars, vectors)
        for perceptron in self.deeper:
            scalars, vectors = perceptron(scalars, vectors)
        return torch.cat([scalars, vectors.flatten(1)], dim=1)

    def message_inputs(self, edges: Edges) -> dict[str, Tensor]:
        """Return x_i, x_j and e_ij, the distance and the direction."""
        vectors = edges.vectors()
        return {
            "x_i": edges.receiver("x"),
            "x_j": edges.sender("x"),
            "e_ij": edges["e"],
            "r": vectors.norm(dim=-1, keepdim=True),
            "direction": direction(vectors),
        }

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes channels+3*vectors"]) -> Graph:
        """Add the messages, then the feed-forward part, each followed by normalization."""
        x, v = self._at_nodes(graph)
        added = aggregated[:, : self.channels], aggregated[:, self.channels :].unflatten(1, (3, -1))
        dx, dv = self.dropout(*added)
        x, v = self.norms[0](x + dx, v + dv)
        added = x, v
        for perceptron in self.feed_forward:
            added = perceptron(*added)
        dx, dv = self.dropout(*added)
        x, v = self.norms[1](x + dx, v + dv)
        return graph.with_nodes({"x": Spec(f"{self.channels}x0e"), "v": Spec("1o")}, x=x, v=v.mT)

    def fused_forward(self, graph: Graph) -> Graph:
        """Apply the first linear maps before rows are gathered for edges."""
        x, v = self._at_nodes(graph)
        ends = []
        for linear, end in ((self.receiver, graph.receiver), (self.sender, graph.sender)):
            scalars, vectors = linear(x, v)
            ends.append((scalars.index_select(0, end), vectors.index_select(0, end)))
        return self.update(graph, self.aggregate(self._message(graph, *ends), graph))

    def _at_nodes(self, graph: Graph) -> tuple[Scalars, Vectors]:
        x = read(graph, "nodes", "x", "GVPConvolution", self.channels)
        v = read(graph, "nodes", "v", "GVPConvolution", self.vectors, 3)
        return x, v.mT
