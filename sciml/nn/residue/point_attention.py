"""Invariant point attention: attention that compares points told in the frames of residues."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.message_passing import Edges, MessagePassing, segment_softmax
from sciml.nn.residue.fields import read
from sciml.nn.residue.perceptron import length
from sciml.symmetry import Symmetry

Points = Float[Tensor, "rows heads*points 3"]


class InvariantPointAttention(MessagePassing):
    """Attention by content, by pairs, and by how near the points of two residues are to each other.

        w_ij = softmax_j √⅓ ( q_i · k_j / √c + b(e_ij) - γ/2 √(2/9P) Σ_p |T_i q_i^p - T_j k_j^p|² )
        x_i' = W ( Σ_j w_ij e_ij,  Σ_j w_ij v_j,  T_i⁻¹ Σ_j w_ij T_j v_j^p,  and the lengths of the last )

    T_i takes a point from the frame of residue i to space: its rows e1, e2, e3 and its origin ``pos``. Every
    number in the result is told in the receiver's own frame, hence unmoved by rotation and translation; a
    mirror image has other numbers, since frames are right-handed. Jumper et al. 2021 (AlphaFold 2),
    supplement, algorithm 22; along the edges of any graph, all pairs or contacts.

    A residue without a frame (a zero one) stands as a point: all its points are at its ``pos``, and it sees
    how far away the points of others are, but not in which direction.

    Args:
        channels: of ``x`` (nodes, channels), read and replaced. Also read: ``pos`` (nodes, 3) and ``frame``
            (nodes, 9) of the nodes, ``e`` (edges, edge_channels).
        edge_channels: of ``e``.
        heads, width: attention heads, and channels of each.
        points, value_points: of each head, to compare and to send.
        scale: unit in which points are told, in units of ``pos``; AlphaFold's 10 Å by default.

    Raises:
        ValueError: in use, a field that is not there or has another shape.
    """

    about = About(
        domain="residues with frames",
        content="q(x_i), k(x_j), v(x_j), e_ij",
        geometry="points told in the frames of i and j",
        equation=(
            r"w_{ij} = \operatorname{softmax}_j \sqrt{\tfrac13}\big(q_i \cdot k_j/\sqrt c + b_{ij} "
            r"- \tfrac{\gamma}{2}\sqrt{\tfrac{2}{9P}} \textstyle\sum_p |T_i q_i^p - T_j k_j^p|^2\big)"
        ),
        cost="nodes · channels · heads · (width + points) + edges · heads · (width + points + edge_channels)",
        source="Jumper et al. 2021, doi 10.1038/s41586-021-03819-2, supplement, algorithm 22",
    )
    symmetry = Symmetry(("S", "T", "SO"))

    def __init__(
        self,
        channels: int = 64,
        edge_channels: int = 32,
        *,
        heads: int = 4,
        width: int = 16,
        points: int = 4,
        value_points: int = 8,
        scale: float = 10.0,
    ) -> None:
        super().__init__()
        if min(heads, width, points, value_points) < 1:
            raise ValueError(
                f"heads={heads}, width={width}, points={points}, value_points={value_points}: each must be "
                "at least 1."
            )
        self.channels, self.edge_channels = channels, edge_channels
        self.heads, self.width, self.points, self.value_points = heads, width, points, value_points
        self.scale = scale
        linear = lambda outputs: nn.Linear(channels, heads * outputs, bias=False)
        self.query, self.key, self.value = linear(width), linear(width), linear(width)
        self.query_points, self.key_points = linear(3 * points), linear(3 * points)
        self.sent_points = linear(3 * value_points)
        self.pair = nn.Linear(edge_channels, heads, bias=False)
        self.gamma = nn.Parameter(torch.full((heads,), math.log(math.e - 1)))  # softplus of it is 1
        self.output = nn.Linear(heads * (edge_channels + width + 4 * value_points), channels)

    # ------------------------------------------------------------ geometry

    def axes(self, graph: Graph) -> Float[Tensor, "nodes 3 3"]:
        """Return the frames, axes as rows."""
        return read(graph, "nodes", "frame", type(self).__name__, 9).unflatten(1, (3, 3))

    def placed(self, linear: nn.Linear, graph: Graph) -> Points:
        """Return points of each node in space, seen from its own ``pos``."""
        local = linear(self.content(graph)).unflatten(1, (-1, 3))  # nodes heads*points 3
        return local @ self.axes(graph)

    def content(self, graph: Graph) -> Float[Tensor, "nodes channels"]:
        """Return x."""
        return read(graph, "nodes", "x", type(self).__name__, self.channels)

    def offset(self, graph: Graph) -> Float[Tensor, "edges 1 3"]:
        """Return the vector from receiver to sender, in units of the points."""
        return -graph.edge_vectors()[:, None] / self.scale

    # ----------------------------------------------------------- the slots

    def score(self, edges: Edges) -> Float[Tensor, "edges heads"]:
        """Return what the softmax is taken of."""
        graph = edges.graph
        i, j = graph.receiver, graph.sender
        query, key = self.query(self.content(graph)), self.key(self.content(graph))
        split = lambda rows, last: rows.unflatten(1, (self.heads, last))
        product = split(query.index_select(0, i) * key.index_select(0, j), self.width).sum(-1)
        theirs = self.placed(self.key_points, graph).index_select(0, j) + self.offset(graph)
        apart = (theirs - self.placed(self.query_points, graph).index_select(0, i)).square().sum(-1)
        apart = split(apart, self.points).sum(-1)  # edges heads
        bias = self.pair(read(graph, "edges", "e", type(self).__name__, self.edge_channels))
        weight = F.softplus(self.gamma) / 2 * math.sqrt(2 / (9 * self.points))
        return math.sqrt(1 / 3) * (product / math.sqrt(self.width) + bias - weight * apart)

    def normalize(self, score: Tensor, graph: Graph) -> Float[Tensor, "edges heads"]:
        """Return the softmax over the edges of each receiver."""
        return segment_softmax(score, graph.receiver, graph.num_nodes)

    def message(self, edges: Edges) -> Float[Tensor, "edges heads edge_channels+width+3*value_points"]:
        """Return e_ij, v_j and the sender's points, seen from the receiver's ``pos``."""
        graph, j = edges.graph, edges.graph.sender
        points = self.placed(self.sent_points, graph).index_select(0, j) + self.offset(graph)
        value = self.value(self.content(graph)).index_select(0, j)
        pair = edges["e"][:, None].expand(-1, self.heads, -1)
        split = lambda rows, last: rows.flatten(1).unflatten(1, (self.heads, last))
        return torch.cat([pair, split(value, self.width), split(points, 3 * self.value_points)], dim=-1)

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes heads all"]) -> Graph:
        """Tell the points in the receiver's frame, and join all."""
        sizes = (self.edge_channels, self.width, 3 * self.value_points)
        pair, value, points = aggregated.split(sizes, dim=-1)
        points = points.flatten(1).unflatten(1, (-1, 3))  # nodes heads*value_points 3
        seen = points @ self.axes(graph).mT
        # lengths of the points in space: the same as seen, and known to residues without a frame as well
        parts = [pair.flatten(1), value.flatten(1), seen.flatten(1), length(points.mT)]
        x = self.output(torch.cat(parts, dim=-1))
        return graph.with_nodes({"x": Spec(f"{self.channels}x0e")}, x=x)


class PointAttentionBlock(nn.Module):
    """Invariant point attention and a feed-forward part, each added and normalized (algorithm 20).

    Args:
        channels, edge_channels, options: of `InvariantPointAttention`.
        dropout: rate, of what is added.
    """

    about = About(
        domain="residues with frames",
        content="as invariant point attention",
        geometry="as invariant point attention",
        equation=(
            r"x \leftarrow \mathrm{norm}(x + \mathrm{IPA}(x)),\;"
            r"x \leftarrow \mathrm{norm}(x + \mathrm{MLP}(x))"
        ),
        cost="invariant point attention + nodes · channels²",
        source="Jumper et al. 2021, doi 10.1038/s41586-021-03819-2, supplement, algorithm 20",
    )
    symmetry = Symmetry(("S", "T", "SO"))

    def __init__(
        self, channels: int = 64, edge_channels: int = 32, *, dropout: float = 0.0, **options: int
    ) -> None:
        super().__init__()
        self.channels = channels
        self.attention = InvariantPointAttention(channels, edge_channels, **options)
        self.transition = nn.Sequential(
            nn.Linear(channels, 2 * channels), nn.SiLU(), nn.Linear(2 * channels, channels)
        )
        self.norms = nn.ModuleList([nn.LayerNorm(channels), nn.LayerNorm(channels)])
        self.dropout = nn.Dropout(dropout)

    def forward(self, graph: Graph) -> Graph:
        """Replace ``x``."""
        x = graph.nodes["x"]
        x = self.norms[0](x + self.dropout(self.attention(graph).nodes["x"]))
        x = self.norms[1](x + self.dropout(self.transition(x)))
        return graph.with_nodes({"x": Spec(f"{self.channels}x0e")}, x=x)
