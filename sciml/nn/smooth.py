"""The shifted softplus, cheap to differentiate twice, as training on forces does.

Where a derivative is to be differentiated again, torch writes that of its own softplus out in many passes
over memory.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from sciml.nn.equivariant.product import has_fused

BEYOND = 40.0  # ln(1 + eˣ) is x there, in double precision too
LANES = 8  # what every register's width divides


class ShiftedSoftplus(nn.Module):
    """ln(½ eˣ + ½): a softplus that passes through the origin, smooth to every order.

    Value and slope come from one pass where LLVM is to be had (`sciml.nn.equivariant.softplus_kernel`).
    """

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Apply it."""
        return _Softplus.apply(x)


class _Softplus(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        value, slope = _compiled(x) if has_fused(x) and x.numel() % LANES == 0 else _plain(x)
        ctx.save_for_backward(x, slope)
        return value

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        return _Slope.apply(slopes[0], *ctx.saved_tensors)


class _Slope(torch.autograd.Function):
    """The product with the sigmoid s, whose slope is s (1 - s)."""

    @staticmethod
    def forward(ctx: Any, factor: Tensor, x: Tensor, s: Tensor) -> Tensor:
        ctx.save_for_backward(factor, x, s)
        return factor * s

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, Tensor, None]:
        factor, x, s = ctx.saved_tensors
        if torch.is_grad_enabled():
            s = torch.sigmoid(x)  # to be differentiated on; s as saved knows nothing of x
        curved = torch.ops.aten.sigmoid_backward(slopes[0] * factor, s)
        return _Slope.apply(slopes[0], x, s), curved, None


def _plain(x: Tensor) -> tuple[Tensor, Tensor]:
    return F.softplus(x, threshold=BEYOND) - math.log(2.0), torch.sigmoid(x)


def _compiled(x: Tensor) -> tuple[Tensor, Tensor]:
    from sciml.nn.equivariant.softplus_kernel import compile_softplus

    x = x.contiguous()
    value, slope = torch.empty_like(x), torch.empty_like(x)
    pointers = (ctypes.c_void_p * 3)(x.data_ptr(), value.data_ptr(), slope.data_ptr())
    compile_softplus(x.element_size())(pointers, 0, x.numel(), 0)
    return value, slope
