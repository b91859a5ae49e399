"""The modulus of complex numbers, smooth at zero."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor

EPSILON = 1e-6


class _Modulus(torch.autograd.Function):
    """Keeps the complex numbers and their moduli only, nothing in between."""

    @staticmethod
    def forward(z: Tensor, epsilon: float) -> Tensor:
        squared = z.real.square().addcmul_(z.imag, z.imag)
        return squared.add_(epsilon**2).sqrt_().sub_(epsilon)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        z, ctx.epsilon = inputs
        ctx.save_for_backward(z, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        z, modulus = ctx.saved_tensors
        return z * (gradient / (modulus + ctx.epsilon)), None


def smooth_modulus(z: Complex[Tensor, "*shape"], epsilon: float = EPSILON) -> Float[Tensor, "*shape"]:
    """Return √(|z|² + ε²) − ε, which is |z| up to ε, zero at zero, and has all derivatives there.

    Like |z| it never takes two numbers further apart. Blank parts of an image, where |z| would have a
    gradient made of rounding, have none. For signals of order one; scale others, or ε.
    """
    return _Modulus.apply(z, epsilon)
