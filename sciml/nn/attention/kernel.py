"""torch's fused attention, made to differentiate twice; and node values as padded arrays for it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from sciml.graph import Complete, Graph

Query = Float[Tensor, "graphs heads receivers width"]
Key = Float[Tensor, "graphs heads senders width"]
Value = Float[Tensor, "graphs heads senders value"]
Mask = Tensor  # (graphs, heads or 1, receivers or 1, senders): True where heard, or numbers to add to scores


def attend(query: Query, key: Key, value: Value, mask: Mask | None = None) -> Value:
    """Return softmax(query · key / √width + mask) value, by `F.scaled_dot_product_attention`.

    torch's fused kernels differentiate once; here second derivatives (as forces are trained by) go through
    the formula itself, and first ones through the kernel at no extra cost.
    """
    if mask is not None and mask.is_floating_point():
        mask = mask.to(query.dtype)  # under autocast the encodings may be of another precision
    if torch._C._are_functorch_transforms_active():  # torch.func knows derivatives of the formula only
        return formula(query, key, value, mask)
    tensors = (query, key, value) if mask is None else (query, key, value, mask)
    once = torch.compiler.is_compiling()  # compiled code differentiates once, whatever is in it
    if once or not torch.is_grad_enabled() or not any(t.requires_grad for t in tensors):
        return F.scaled_dot_product_attention(query, key, value, mask)
    return _TwiceDifferentiable.apply(query, key, value, mask)


def formula(query: Query, key: Key, value: Value, mask: Mask | None = None) -> Value:
    """Return the same, written out."""
    score = query @ key.mT / query.shape[-1] ** 0.5
    if mask is not None:
        score = score.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else score + mask
    return score.softmax(-1) @ value


class _TwiceDifferentiable(torch.autograd.Function):
    """The kernel, and its own derivative; where that is to be differentiated again, the formula's instead."""

    @staticmethod
    def forward(ctx: Any, *tensors: Any) -> Tensor:
        ctx.save_for_backward(*tensors)
        with torch.enable_grad():  # the kernel's own graph, for the first derivative
            ctx.inner = [
                None if t is None else t.detach().requires_grad_(needed)
                for t, needed in zip(tensors, ctx.needs_input_grad)
            ]
            ctx.result = F.scaled_dot_product_attention(*ctx.inner)
        return ctx.result.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        twice = torch.is_grad_enabled()  # create_graph=True
        inputs = ctx.saved_tensors if twice else ctx.inner
        with torch.enable_grad():
            result = formula(*inputs) if twice else ctx.result
        needed = [t for t, need in zip(inputs, ctx.needs_input_grad) if need]
        found = iter(
            torch.autograd.grad(
                result, needed, gradients, retain_graph=True, create_graph=twice, allow_unused=True
            )
        )
        return tuple(next(found) if need else None for need in ctx.needs_input_grad)


class Padding(NamedTuple):
    """Where nodes and edges of a batch of complete graphs stand in arrays padded to one size.

    Attributes:
        graphs, receivers, senders: sizes of the arrays.
        receiver, sender: each node's row in the flattened arrays; None where all graphs are of one size.
        edge: each edge's place in the flattened arrays (graphs, receivers, senders), or None.
        heard: the senders that are there, for each graph; None where all graphs are of one size.
    """

    graphs: int
    receivers: int
    senders: int
    receiver: Int[Tensor, "nodes"] | None = None
    sender: Int[Tensor, "senders"] | None = None
    edge: Int[Tensor, "edges"] | None = None
    heard: Bool[Tensor, "graphs 1 1 senders"] | None = None

    @classmethod
    def of(cls, graph: Graph) -> Padding | None:
        """Return how to pad a graph; None where it has no layout `Complete`, or nothing to attend to.

        Shapes tell all that is asked here: no value is fetched from the device.
        """
        layout, graphs = graph.layout, graph.num_graphs
        if not isinstance(layout, Complete) or not graph.num_nodes or not graph.num_senders:
            return None
        receivers, senders = layout.receivers, layout.senders
        if graph.num_nodes == graphs * receivers and graph.num_senders == graphs * senders:
            return cls(graphs, receivers, senders)
        counts = graph.node_counts if graph.sender_counts is None else graph.sender_counts
        receiver = _within(graph.node_counts, graph.node_graph)
        sender = _within(counts, graph.sender_graph)
        row = graph.node_graph * receivers + receiver
        heard = torch.arange(senders, device=graph.device) < counts[:, None]
        heard = heard | (counts[:, None] == 0)  # no sender at all: a mean of padding, which is zero
        return cls(
            graphs,
            receivers,
            senders,
            receiver=row,
            sender=graph.sender_graph * senders + sender,
            edge=row[graph.receiver] * senders + sender[graph.sender],
            heard=heard[:, None, None],
        )

    def receivers_in(self, value: Float[Tensor, "nodes heads width"]) -> Query:
        """Return node values as an array for the kernel; a view where all graphs are of one size."""
        return _padded(value, self.receiver, self.graphs, self.receivers)

    def senders_in(self, value: Float[Tensor, "senders heads width"]) -> Key:
        """Return sender values as an array for the kernel."""
        return _padded(value, self.sender, self.graphs, self.senders)

    def receivers_out(self, value: Query) -> Float[Tensor, "nodes heads width"]:
        """Return an array of the kernel as node values."""
        flat = value.transpose(1, 2).flatten(0, 1)
        return flat if self.receiver is None else flat.index_select(0, self.receiver)

    def mask(self, score: Float[Tensor, "edges heads"] | None) -> Mask | None:
        """Return what the kernel adds to scores: that of edges, and that padding is not heard."""
        if score is None:
            return self.heard
        shape = (self.graphs, self.receivers, self.senders, score.shape[-1])
        if self.edge is None or self.heard is None:
            return score.reshape(shape).permute(0, 3, 1, 2)
        size = self.graphs * self.receivers * self.senders
        table = score.new_zeros(size, score.shape[-1]).index_copy(0, self.edge, score)
        return table.reshape(shape).permute(0, 3, 1, 2).masked_fill(~self.heard, -torch.inf)


def _within(counts: Int[Tensor, "graphs"], graph: Int[Tensor, "nodes"]) -> Int[Tensor, "nodes"]:
    """Return each node's number within its graph."""
    return torch.arange(len(graph), device=graph.device) - (counts.cumsum(0) - counts)[graph]


def _padded(value: Tensor, row: Tensor | None, graphs: int, size: int) -> Tensor:
    if row is not None:
        value = value.new_zeros(graphs * size, *value.shape[1:]).index_copy(0, row, value)
    return value.reshape(graphs, size, *value.shape[1:]).transpose(1, 2)
