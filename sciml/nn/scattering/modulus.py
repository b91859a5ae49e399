"""The modulus of complex numbers and vectors, smooth at zero."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor

EPSILON = 1e-6


class _Modulus(torch.autograd.Function):
    """Keeps the complex numbers and their moduli only, nothing in between."""

    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor, epsilon: float, joint: bool) -> Tensor:
        squared = z.real.square().addcmul_(z.imag, z.imag)
        squared = squared.sum(1) if joint else squared
        return squared.add_(epsilon**2).sqrt_().sub_(epsilon)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        z, ctx.epsilon, ctx.joint = inputs
        ctx.save_for_backward(z, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        z, modulus = ctx.saved_tensors
        share = gradient / (modulus + ctx.epsilon)
        return z * (share.unsqueeze(1) if ctx.joint else share), None, None


def smooth_modulus(z: Complex[Tensor, "*shape"], epsilon: float = EPSILON) -> Float[Tensor, "*shape"]:
    """Return √(|z|² + ε²) − ε: |z| up to ε, zero at zero, and with all derivatives there.

    Like |z| it never takes two numbers further apart. Blank parts of an image, where the gradient of |z|
    would be made of rounding, have none. The ε of 1e-6 is for signals of order one: scale others.
    """
    return _Modulus.apply(z, epsilon, False)


def smooth_norm(
    z: Complex[Tensor, "rows components *shape"], epsilon: float = EPSILON
) -> Float[Tensor, "rows *shape"]:
    """Return the same of vectors, √(Σ |z|² + ε²) − ε."""
    return _Modulus.apply(z, epsilon, True)
