"""Functions of distance: bases for small networks, and envelopes that end them smoothly at a cutoff."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def gaussians(distance: Float[Tensor, "edges"], count: int, extent: float) -> Float[Tensor, "edges count"]:
    """Return Gaussians centred at ``count`` distances from 0 to ``extent``, as wide as these are apart."""
    step = extent / max(count - 1, 1)
    centre = step * torch.arange(count, device=distance.device, dtype=distance.dtype)
    # exp2 and not exp, which is many times slower on CPU where the result is too small for a number.
    return torch.exp2((-0.5 / math.log(2.0)) * ((distance[:, None] - centre) / step).square())


def envelope(distance: Float[Tensor, "edges"], cutoff: float) -> Float[Tensor, "edges"]:
    """Return 1 - 10 x³ + 15 x⁴ - 6 x⁵ of x = distance / cutoff, and 0 beyond.

    Value, slope and curvature are continuous: 1, 0, 0 at the origin and 0, 0, 0 at the cutoff.
    """
    x = (distance / cutoff).clamp(max=1.0)
    return 1 - x**3 * (10 - 15 * x + 6 * x**2)


def bessel(distance: Float[Tensor, "edges"], count: int, cutoff: float) -> Float[Tensor, "edges count"]:
    """Return sin(n π r / cutoff) / r · √(2 / cutoff) for n = 1 ... count, finite at the origin too.

    Standing waves in a sphere, orthogonal there and zero at the cutoff (Gasteiger et al. 2020,
    arXiv 2003.03123, equation 7).
    """
    order = torch.arange(1, count + 1, device=distance.device, dtype=distance.dtype)
    wave = order * torch.sinc(order * (distance / cutoff)[:, None])
    return wave * (math.pi / cutoff * (2 / cutoff) ** 0.5)
