"""Functions of the eigenvalue: what a spectral filter does to each frequency.

A response takes eigenvalues of any shape ``(...)`` and returns one gain for all channels ``(...)``, a gain
for each channel ``(..., channels)``, or a matrix ``(..., in, out)``. Any callable will do; these are modules,
whose constants can be learned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.nn.mlp import mlp

Response = Callable[[Tensor], Tensor]


class _Propagator(nn.Module):
    """A function of eigenvalue and time.

    Args:
        time: one for all channels, or one for each.
        learn: make the times parameters.
    """

    def __init__(self, time: float | Sequence[float], learn: bool = False) -> None:
        super().__init__()
        value = torch.as_tensor(time, dtype=torch.get_default_dtype())
        if value.ndim > 1 or not bool(value.isfinite().all()):
            raise ValueError(f"time must be a finite number, or one for each channel, not {time!r}.")
        self.time: Tensor
        if learn:
            self.time = nn.Parameter(value)
        else:
            self.register_buffer("time", value)

    def forward(self, eigenvalue: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return the gain; a further axis counts channels where there are several times."""
        return self.gain(eigenvalue[..., None] if self.time.ndim else eigenvalue)

    def gain(self, eigenvalue: Tensor) -> Tensor:
        """Return the gain at ``self.time``."""
        raise NotImplementedError(f"{type(self).__name__} must define gain(eigenvalue).")


class Heat(_Propagator):
    """exp(-t λ): what is left at time t of heat that flows by x' = -L x.

    Args:
        time: at least zero; times the unit of the eigenvalue it has no dimension.
        learn: see `Wave`.

    Raises:
        ValueError: a negative time.
    """

    def __init__(self, time: float | Sequence[float], learn: bool = False) -> None:
        super().__init__(time, learn)
        if bool((self.time < 0).any()):
            raise ValueError(f"Heat flows forwards: time {time!r} must be at least zero.")

    def gain(self, eigenvalue: Tensor) -> Tensor:
        """Return exp(-t λ)."""
        return torch.exp(-self.time * eigenvalue)


class Wave(_Propagator):
    """cos(t √λ): what a displacement has become at time t, if x'' = -L x from rest.

    Args:
        time: one for all channels, or one for each.
        learn: make the times parameters.
    """

    def gain(self, eigenvalue: Tensor) -> Tensor:
        """Return cos(t √λ)."""
        return _of_squared_phase(self.time**2 * eigenvalue, torch.cos, shift=0)


class WaveImpulse(_Propagator):
    """sin(t √λ) / √λ: the displacement at time t, if x'' = -L x from zero with the given velocity.

    Args:
        time, learn: see `Wave`.
    """

    def gain(self, eigenvalue: Tensor) -> Tensor:
        """Return t sinc(t √λ)."""
        sinc = _of_squared_phase(self.time**2 * eigenvalue, lambda phase: torch.sin(phase) / phase, shift=1)
        return self.time * sinc


class SplineResponse(nn.Module):
    """A matrix of cubic B-splines in the eigenvalue: local in frequency, twice differentiable.

    Args:
        in_channels, out_channels: shape of the matrix.
        knots: number of splines, at least 4, spread evenly.
        largest: eigenvalue up to which they reach (2 for the normalized Laplacian); beyond it the response
            stays as it is there.
    """

    def __init__(self, in_channels: int, out_channels: int, knots: int = 8, largest: float = 2.0) -> None:
        super().__init__()
        if knots < 4 or not largest > 0:
            raise ValueError(f"knots={knots} must be at least 4 and largest={largest} positive.")
        self.knots, self.largest = knots, largest
        self.weight = nn.Parameter(torch.randn(knots, in_channels, out_channels) / math.sqrt(in_channels))

    def forward(self, eigenvalue: Float[Tensor, "..."]) -> Float[Tensor, "... in out"]:
        """Return the matrix at each eigenvalue."""
        step = (eigenvalue / self.largest).clamp(max=1) * (self.knots - 3)
        number = torch.arange(self.knots, device=eigenvalue.device)
        basis = _cubic(step[..., None] - number + 1)  # ... knots; they sum to one
        return torch.einsum("...k,kio->...io", basis, self.weight)


class NetworkResponse(nn.Module):
    """A matrix that a small network makes of the eigenvalue.

    Args:
        in_channels, out_channels: shape of the matrix.
        hidden: widths of the hidden layers.
        largest: eigenvalues are divided by it.
    """

    def __init__(
        self, in_channels: int, out_channels: int, hidden: Sequence[int] = (32,), largest: float = 2.0
    ) -> None:
        super().__init__()
        self.shape, self.largest = (in_channels, out_channels), largest
        self.network = mlp(1, hidden, in_channels * out_channels)

    def forward(self, eigenvalue: Float[Tensor, "..."]) -> Float[Tensor, "... in out"]:
        """Return the matrix at each eigenvalue."""
        scaled = 2 * eigenvalue[..., None] / self.largest - 1
        return self.network(scaled).unflatten(-1, self.shape) / math.sqrt(self.shape[0])


# -------------------------------------------------------------------- details


def _of_squared_phase(squared: Tensor, function: Callable[[Tensor], Tensor], shift: int) -> Tensor:
    """Return cos(√s) or, with shift 1, sin(√s)/√s: smooth in s, also at 0, where √s has no derivative.

    Near zero, and below, stands the series Σ_n (-s)^n / (2n + shift)!, to rounding in float64.
    """
    near = squared < 1e-2
    phase = torch.where(near, 1.0, squared).sqrt()
    small = torch.where(near, squared, 0.0)
    series = torch.ones_like(small)
    for n in range(6, 0, -1):  # Horner
        series = 1 - small / ((2 * n + shift) * (2 * n + shift - 1)) * series
    return torch.where(near, series, function(phase))


def _cubic(u: Tensor) -> Tensor:
    """Return the cubic B-spline with knots -2, -1, 0, 1, 2, by truncated powers: twice differentiable."""
    u = u.clamp(max=2)  # from there on the powers cancel
    powers = ((1, 2), (-4, 1), (6, 0), (-4, -1), (1, -2))
    return sum(c * (u + knot).clamp(min=0) ** 3 for c, knot in powers) / 6  # type: ignore[return-value]
