"""Several processes that train one model: what they must agree on, so that they do what one alone would.

Each takes its part of every batch, and `AveragedGradients` averages over the processes. The loss of a batch
is a mean over what is known in it (atoms, labels, pairs), of which the parts have unequal numbers. So each
process divides its sum by the mean number over processes, and the average of the gradients is the gradient of
the mean over the whole batch:

    (1/P) Σ_p ∇ [ Σ_(i in part p) l_i / (N/P) ]  =  ∇ (1/N) Σ_i l_i

With one process all functions here change nothing.
"""

from __future__ import annotations

import logging

import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor

log = logging.getLogger(__name__)


def processes() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def first() -> bool:
    """Return whether this is the process that writes."""
    return processes() == 1 or dist.get_rank() == 0


@torch.no_grad()
def summed(value: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes, without a gradient."""
    if processes() == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total


def shared(count: Tensor) -> Tensor:
    """Return by what each process divides its sums: the mean count over processes, at least 1 in all."""
    return summed(count).clamp(min=1) / processes()


def batch_mean(each: Tensor, known: Tensor | None = None) -> Tensor:
    """Return the mean over a batch of which this process has a part.

    Args:
        each: any shape.
        known: where there is something to compare, of the same shape; None: everywhere.
    """
    if known is None:
        return each.sum() / shared(torch.tensor(each.numel(), dtype=each.dtype, device=each.device))
    return (each * known).sum() / shared(known.sum().to(each.dtype))


class AveragedGradients(DDPStrategy):
    """Lightning's processes and their start, with one all-reduce of all gradients after each backward pass.

    `torch.nn.parallel.DistributedDataParallel` sends gradients while others are still computed. Here networks
    are small, some of their parameters may have no gradient in a step (the last bias, where only forces
    count), and forces are derivatives themselves: sending all at once knows no special cases. A parameter
    that no process has a gradient for keeps none, as with one process.
    """

    def configure_ddp(self) -> None:
        """Give all processes the weights of the first."""
        with torch.no_grad():
            for tensor in (*self.lightning_module.parameters(), *self.lightning_module.buffers()):  # type: ignore[union-attr]
                dist.broadcast(tensor.data, 0)

    @torch.no_grad()
    def post_backward(self, closure_loss: Tensor) -> None:
        """Average the gradients."""
        learned = [p for p in self.lightning_module.parameters() if p.requires_grad]  # type: ignore[union-attr]
        found = closure_loss.new_tensor([p.grad is not None for p in learned])
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in learned]
        flat = summed(torch.cat([found, *(part.flatten() for part in parts)]))
        number, *means = (flat / processes()).split([len(learned), *(p.numel() for p in learned)])
        for p, known, mean in zip(learned, number.tolist(), means):
            p.grad = mean.view_as(p).to(p.dtype) if known else None


def leave_to_first() -> None:
    """End the processes that shared in a training that is done; the first goes on, alone.

    Raises:
        SystemExit: in all processes but the first.
    """
    if processes() > 1:
        others = not first()
        dist.barrier()
        dist.destroy_process_group()
        if others:
            log.info("training is done; the first process goes on alone")
            raise SystemExit(0)
