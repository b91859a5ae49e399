"""Relational message passing: one linear map for each kind of edge."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.message_passing import Edges, MessagePassing, segment_reduce
from sciml.nn.residue.fields import read
from sciml.nn.residue.typed import TypedLinear
from sciml.symmetry import Symmetry


class RelationalConvolution(MessagePassing):
    """x_i' = W_0 x_i + b + Σ_r 1/c_ir Σ_j W_r (x_j + W_e e_ij), over the c_ir edges of kind r to node i.

    Schlichtkrull et al. 2017, arXiv 1703.06103, with its basis decomposition,
    W_r = Σ_b a_rb V_b; edges may be of several kinds at once and then count in each. Features of edges, where
    there are any, are added to those of their senders, as in GearNet (Zhang et al. 2022, arXiv 2203.06125).
    An edge of no kind carries nothing. On the fast path matrices are applied to sums at nodes, not at edges.

    Args:
        channels, out_channels: of ``x`` at nodes; the same if ``out_channels`` is None.
        relations: number of kinds.
        bases: number of V_b; one matrix of its own for each relation if None.
        edge_channels: of ``e``; 0 where edges have no features.
        node_kinds: number of kinds of nodes (labels in ``kind``) that have W_0 and b of their own; 0 for one
            W_0 for all.
        relation: edge field of kinds: labels (edges,), or (edges, relations), true (or 1) where it is of it.
        field: the node field that is read and replaced.

    Raises:
        ValueError: no relation or no basis; in use, a field that is not there or has another shape.
    """

    about = About(
        domain="any graph with kinds of edges",
        content="x_j and e_ij",
        geometry="the kind of the edge, one matrix each; what e_ij holds",
        equation=(
            r"x_i' = W_0 x_i + \sum_r \frac{1}{c_{ir}} \sum_{j \in N_r(i)} W_r (x_j + W_e e_{ij}),\quad "
            r"W_r = \sum_b a_{rb} V_b"
        ),
        cost="edges · bases · channels · out",
        fused="matrices applied to sums at nodes instead of edges",
        source="Schlichtkrull et al. 2017, arXiv 1703.06103",
    )
    symmetry = Symmetry(("S",))

    def __init__(
        self,
        channels: int,
        out_channels: int | None = None,
        *,
        relations: int,
        bases: int | None = None,
        edge_channels: int = 0,
        node_kinds: int = 0,
        relation: str = "relation",
        field: str = "x",
    ) -> None:
        super().__init__()
        if relations < 1 or (bases is not None and bases < 1):
            raise ValueError(f"relations={relations} and bases={bases} must be at least 1.")
        self.channels, self.out_channels = channels, out_channels or channels
        self.relations, self.edge_channels = relations, edge_channels
        self.relation, self.field = relation, field
        number = bases or relations
        scale = (channels * number / relations) ** -0.5
        self.bases = nn.Parameter(scale * torch.randn(number, channels, self.out_channels))
        self.mixture: Tensor  # relations bases
        if bases is None:
            self.register_buffer("mixture", torch.eye(relations), persistent=False)
        else:
            self.mixture = nn.Parameter(torch.randn(relations, bases) / bases**0.5)
        self.own: nn.Linear | TypedLinear = nn.Linear(channels, self.out_channels)
        if node_kinds:
            self.own = TypedLinear(channels, self.out_channels, node_kinds)
        self.edge = nn.Linear(edge_channels, channels, bias=False) if edge_channels else None

    def weights(self) -> Float[Tensor, "relations channels out"]:
        """Return W_r: to look at."""
        return torch.einsum("rb,bio->rio", self.mixture, self.bases)

    def coefficients(self, graph: Graph) -> Float[Tensor, "edges bases"]:
        """Return Σ_r a_rb / c_ir over the kinds r of each edge."""
        kinds = self._kinds(graph)
        count = segment_reduce(kinds, graph.receiver, graph.num_nodes).clamp(min=1)
        return (kinds / count.index_select(0, graph.receiver)) @ self.mixture

    def _kinds(self, graph: Graph) -> Float[Tensor, "edges relations"]:
        value = graph.edges.get(self.relation)
        if value is not None and value.ndim == 1:
            labels = torch.arange(self.relations, device=graph.device)
            return (self._labels(graph)[:, None] == labels).to(self.bases.dtype)
        kinds = read(graph, "edges", self.relation, "RelationalConvolution", self.relations)
        return kinds.to(self.bases.dtype)

    def _labels(self, graph: Graph) -> Int[Tensor, "edges"]:
        label, known = graph.edges[self.relation], graph.spec("edges", self.relation).classes
        if label.is_floating_point() or known not in (None, self.relations):
            found = f"counts {known} classes" if known is not None else f"holds {label.dtype}"
            raise ValueError(
                f"RelationalConvolution has {self.relations} relations; edges.{self.relation} {found}."
            )
        return label

    def _sent(self, graph: Graph) -> Float[Tensor, "edges channels"]:
        x = read(graph, "nodes", self.field, "RelationalConvolution", self.channels)
        sent = x.index_select(0, graph.sender)
        if self.edge is None:
            return sent
        return sent + self.edge(read(graph, "edges", "e", "RelationalConvolution", self.edge_channels))

    def message(self, edges: Edges) -> Float[Tensor, "edges out"]:
        """Return Σ_r 1/c_ir W_r (x_j + W_e e_ij)."""
        each = torch.einsum("ei,bio->ebo", self._sent(edges.graph), self.bases)
        return torch.einsum("eb,ebo->eo", self.coefficients(edges.graph), each)

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes out"]) -> Graph:
        """Add what is the node's own."""
        kind = (graph.nodes["kind"],) if isinstance(self.own, TypedLinear) else ()
        x = self.own(graph.nodes[self.field], *kind) + aggregated
        return graph.with_nodes({self.field: Spec(f"{self.out_channels}x0e")}, **{self.field: x})

    def fused_forward(self, graph: Graph) -> Graph:
        """Sum what is sent for each relation or basis, then apply their matrices."""
        if graph.edges[self.relation].ndim == 1:
            return self._by_label(graph)
        sent = self.coefficients(graph)[:, :, None] * self._sent(graph)[:, None]  # edges bases channels
        summed = segment_reduce(sent.flatten(1), graph.receiver, graph.num_nodes)
        return self.update(graph, summed @ self.bases.flatten(0, 1))

    def _by_label(self, graph: Graph) -> Graph:
        """Where an edge is of one kind, one sum serves all: its row is the receiver and the kind."""
        row = graph.receiver * self.relations + self._labels(graph)
        total = graph.num_nodes * self.relations
        mean = segment_reduce(self._sent(graph), row, total, "mean")
        each = mean.view(graph.num_nodes, self.relations * self.channels)
        return self.update(graph, each @ self.weights().flatten(0, 1))


class RelationalBlock(nn.Module):
    """A relational convolution with activation, added and normalized.

    Args:
        channels, relations, edge_channels, options: of `RelationalConvolution`.
        dropout: rate, of what is added.
    """

    about = About(
        domain="any graph with kinds of edges",
        content="as relational convolution",
        geometry="as relational convolution",
        equation=r"x \leftarrow \mathrm{norm}(x + \sigma(\mathrm{conv}(x)))",
        cost="relational convolution",
    )
    symmetry = Symmetry(("S",))

    def __init__(
        self,
        channels: int = 64,
        relations: int = 5,
        edge_channels: int = 0,
        *,
        dropout: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.convolution = RelationalConvolution(
            channels, relations=relations, edge_channels=edge_channels, **options
        )
        self.norm, self.dropout = nn.LayerNorm(channels), nn.Dropout(dropout)

    def forward(self, graph: Graph) -> Graph:
        """Replace ``x``."""
        x = graph.nodes["x"]
        new = torch.nn.functional.silu(self.convolution(graph).nodes["x"])
        x = self.norm(x + self.dropout(new))
        return graph.with_nodes({"x": Spec(f"{self.channels}x0e")}, x=x)
