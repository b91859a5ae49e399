"""Gather and sum in one go, without the messages in memory."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own idiom


def gather_sum(
    values: Float[Tensor, "senders channels"],
    sender: Int[Tensor, "edges"],
    receiver: Int[Tensor, "edges"],
    num_nodes: int,
) -> Float[Tensor, "nodes channels"]:
    """Return Σ_j x_j over the edges of each receiver; receivers ascend, as in every Graph.

    The rows are summed as they are read (torch's ``embedding_bag``), so that memory and time go with the
    nodes: on CPU ten times faster than gathering them first. The derivative is the same operation along the
    edges turned round, hence differentiable any number of times.
    """
    return _GatherSum.apply(values, sender, receiver, num_nodes)


class _GatherSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, sender: Tensor, receiver: Tensor, num_nodes: int) -> Tensor:
        ctx.save_for_backward(sender, receiver)
        ctx.num_senders = values.shape[0]
        nodes = torch.arange(num_nodes + 1, device=receiver.device)
        start = torch.searchsorted(receiver.contiguous(), nodes)
        return F.embedding_bag(sender, values, start, mode="sum", include_last_offset=True)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        sender, receiver = ctx.saved_tensors
        order = torch.argsort(sender, stable=True)
        turned = receiver.index_select(0, order), sender.index_select(0, order)
        return _GatherSum.apply(gradients[0].contiguous(), *turned, ctx.num_senders), None, None, None
