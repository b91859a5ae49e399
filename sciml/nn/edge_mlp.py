"""Message passing by a network on both ends of an edge and the edge itself: the most general form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.message_passing import Edges, MessagePassing, segment_reduce
from sciml.nn.mlp import ACTIVATIONS, mlp
from sciml.symmetry import Symmetry


class EdgeMLP(MessagePassing):
    """Sum (or mean) of a network on each edge: x_i' = Σ_j φ(x_i, x_j, e_ij).

    φ(x_i, x_j, e_ij) = W_n σ(… σ(W_r x_i + W_s x_j + W_e e_ij + b)) + b_n (Gilmer et al. 2017,
    arXiv 1704.01212; Battaglia et al. 2016, arXiv 1612.00222).

    The fast path uses that two of these maps are linear: W_r x_i and W_s x_j are computed once for each node
    instead of each edge, and W_n is applied to the sum instead of to its terms.

    Args:
        channels: of the nodes (the receivers, on a two-sided graph).
        out_channels: of the result; ``channels`` if None.
        hidden: widths of the hidden layers of φ, at least one; ``(out_channels,)`` if None.
        edge_channels: of the edge field; 0 where edges carry nothing.
        sender_channels: of the senders of a two-sided graph; ``channels`` if None.
        reduction: ``sum`` or ``mean`` over the edges of each receiver.
        activation: σ; see `mlp`.
        field, edge_field: the node field that is read and replaced, and the edge field that is read.

    Raises:
        ValueError: no hidden layer, an unknown reduction or activation.
    """

    about = About(
        domain="any graph, one- or two-sided",
        content="x_i and x_j",
        geometry="whatever the edge field e_ij holds",
        equation=r"x_i' = \sum_j W_n\, \sigma(W_r x_i + W_s x_j + W_e e_{ij} + b) + b_n",
        cost="edges · edge_channels · hidden + nodes · hidden · (channels + out)",
        fused="linear maps at nodes instead of edges",
        source="Gilmer et al. 2017, arXiv 1704.01212",
    )
    symmetry = Symmetry(("S",))

    def __init__(
        self,
        channels: int,
        out_channels: int | None = None,
        hidden: Sequence[int] | None = None,
        *,
        edge_channels: int = 0,
        sender_channels: int | None = None,
        reduction: Literal["sum", "mean"] = "sum",
        activation: str = "silu",
        field: str = "x",
        edge_field: str = "e",
    ) -> None:
        super().__init__()
        out_channels = out_channels or channels
        hidden = (out_channels,) if hidden is None else tuple(hidden)
        if not hidden:
            raise ValueError("EdgeMLP needs at least one hidden layer: a linear φ would be no network.")
        if reduction not in ("sum", "mean"):
            raise ValueError(f"Unknown reduction {reduction!r}; choose sum or mean.")
        self.reduction, self.field, self.edge_field = reduction, field, edge_field
        self.receiver = nn.Linear(channels, hidden[0])
        self.sender = nn.Linear(sender_channels or channels, hidden[0], bias=False)
        self.edge = nn.Linear(edge_channels, hidden[0], bias=False) if edge_channels else None
        *inner, last = mlp(hidden[0], hidden[1:], out_channels, activation).children()
        self.inner = nn.Sequential(ACTIVATIONS[activation](), *inner)
        self.last = cast(nn.Linear, last)
        self.out_channels = out_channels

    def forward(self, graph: Graph) -> Graph:
        """Pass messages along all edges.

        Raises:
            ValueError: a field of other channels than the layer was built for.
        """
        self._check(graph)
        return super().forward(graph)

    def message(self, edges: Edges) -> Float[Tensor, "edges out"]:
        """Return φ."""
        first = self.receiver(edges.receiver(self.field)) + self.sender(edges.sender(self.field))
        if self.edge is not None:
            first = first + self.edge(edges[self.edge_field])
        return self.last(self.inner(first))

    def message_inputs(self, edges: Edges) -> dict[str, Tensor]:
        """Return x_i, x_j and e_ij."""
        inputs = {"x_i": edges.receiver(self.field), "x_j": edges.sender(self.field)}
        return inputs if self.edge is None else inputs | {"e_ij": edges[self.edge_field]}

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes out"]) -> Graph:
        """Return the result as the node field."""
        return graph.with_nodes({self.field: Spec(f"{self.out_channels}x0e")}, **{self.field: aggregated})

    def fused_forward(self, graph: Graph) -> Graph:
        """Apply the first maps before the edges and the last one after them."""
        joined = segment_reduce(self.hidden(graph), graph.receiver, graph.num_nodes, self.reduction)
        degree = graph.row_pointer.diff()
        count = degree if self.reduction == "sum" else degree.clamp(max=1)
        bias = count[:, None].to(joined.dtype) * self.last.bias
        return self.update(graph, torch.addmm(bias, joined, self.last.weight.T))

    def hidden(self, graph: Graph) -> Float[Tensor, "edges hidden"]:
        """Return what the last map of φ is applied to, the first maps being applied at nodes."""
        nodes = graph.nodes[self.field]
        senders = nodes if graph.senders is None else graph.senders[self.field]
        first = self.receiver(nodes).index_select(0, graph.receiver)
        first = first + self.sender(senders).index_select(0, graph.sender)
        if self.edge is not None:
            first = first + self.edge(graph.edges[self.edge_field])
        return self.inner(first)

    def _check(self, graph: Graph) -> None:
        expected = [("nodes", self.field, self.receiver)]
        expected += [("senders", self.field, self.sender)] if graph.senders is not None else []
        expected += [("edges", self.edge_field, self.edge)] if self.edge is not None else []
        for place, name, linear in expected:
            value = (getattr(graph, place) or {}).get(name)
            if value is None or value.ndim != 2 or value.shape[1] != linear.in_features:
                found = "is not there" if value is None else f"has shape {tuple(value.shape)}"
                raise ValueError(
                    f"EdgeMLP takes {linear.in_features} channels in {place}.{name}, which {found}; expected "
                    f"({place}, {linear.in_features})."
                )
