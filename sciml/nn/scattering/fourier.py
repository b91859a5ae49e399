"""Filtering and sampling in one step, in frequency.

Sampling y = x ⋆ ψ at every s-th point folds its spectrum: ŷ_s(k) = s⁻ᵈ Σ_a x̂(k + a n) ψ̂(k + a n), a sum of
sᵈ aliases on the coarse grid of n points. So the product is never formed on the fine grid, and aliases that
the wavelets do not touch are left out. A complex number times a real one is two real products, of which
CPUs are faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor

Alias = tuple[int, ...]  # which multiple of the coarse grid's frequencies, along each axis


@dataclass(frozen=True, eq=False)
class Folded:
    """Transfer functions, cut into the aliases of a coarser grid.

    Attributes:
        step: s.
        coarse: points of the coarse grid.
        parts: alias to s⁻ᵈ ψ̂ there, each number twice (for real and imaginary part); zero ones left out.
    """

    step: int
    coarse: tuple[int, ...]
    parts: dict[Alias, Float[Tensor, "wavelets *coarse_twice"]]

    @classmethod
    def of(cls, transfer: Float[Tensor, "wavelets *fine"], step: int) -> Folded:
        """Cut the transfer functions."""
        dim = transfer.ndim - 1
        coarse = tuple(n // step for n in transfer.shape[1:])
        cut = transfer / step**dim
        for axis in range(dim):
            cut = cut.unflatten(1 + 2 * axis, (step, -1))
        parts = {alias: cut[_at(alias)] for alias in product(range(step), repeat=dim)}
        twice = {a: p.repeat_interleave(2, -1).contiguous() for a, p in parts.items() if bool(p.any())}
        return cls(step, coarse, twice)

    def to(self, dtype: torch.dtype, device: torch.device) -> Folded:
        """Return them elsewhere."""
        return Folded(self.step, self.coarse, {a: p.to(device, dtype) for a, p in self.parts.items()})

    def __call__(self, spectrum: Complex[Tensor, "rows *fine"]) -> Complex[Tensor, "rows wavelets *coarse"]:
        """Return the spectra of the filtered and sampled signals; twice differentiable."""
        pairs = _Fold.apply(torch.view_as_real(spectrum).flatten(-2), self)
        return torch.view_as_complex(pairs.unflatten(-1, (-1, 2)))

    def aliases(self, pairs: Float[Tensor, "rows *fine_twice"]) -> Float[Tensor, "rows *step_coarse_twice"]:
        """View a spectrum with an axis of aliases before each axis of the coarse grid."""
        for axis in range(len(self.coarse)):
            pairs = pairs.unflatten(1 + 2 * axis, (self.step, -1))
        return pairs


class _Fold(torch.autograd.Function):
    """Σ_a x_a ψ_a, in place, alias by alias: linear, so that its derivative is its adjoint."""

    generate_vmap_rule = True

    @staticmethod
    def forward(pairs: Tensor, folded: Folded) -> Tensor:
        cut, total = folded.aliases(pairs), None
        for alias, part in folded.parts.items():
            x = cut[_at(alias)].unsqueeze(1)
            total = x * part if total is None else total.addcmul_(x, part)
        assert total is not None, "wavelets that are zero at all frequencies"
        return total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.folded = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return _Unfold.apply(gradient, ctx.folded), None


class _Unfold(torch.autograd.Function):
    """The adjoint of `_Fold`: x_a = Σ_wavelets y ψ_a, and zero at other aliases."""

    generate_vmap_rule = True

    @staticmethod
    def forward(pairs: Tensor, folded: Folded) -> Tensor:
        fine = [n * folded.step for n in folded.coarse]
        result = pairs.new_zeros(len(pairs), *fine[:-1], 2 * fine[-1])
        cut = folded.aliases(result)
        for alias, part in folded.parts.items():
            total = pairs[:, 0] * part[0]
            for wavelet in range(1, len(part)):
                total.addcmul_(pairs[:, wavelet], part[wavelet])
            cut[_at(alias)] = total
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.folded = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return _Fold.apply(gradient, ctx.folded), None


def _at(alias: Alias) -> tuple[int | slice, ...]:
    """Index of one alias, where axes of aliases and of the coarse grid alternate after the first axis."""
    return (slice(None), *(i for a in alias for i in (a, slice(None))))
