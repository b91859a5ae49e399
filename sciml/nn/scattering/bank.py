"""Banks of Morlet wavelets on periodic grids, as transfer functions (Fourier transforms).

A Morlet wavelet is a plane wave under a Gaussian, less so much of the Gaussian that its mean is zero:
ψ(u) = g(u) (exp(i ξ·u) − κ). Its transfer function ψ̂(ω) = ĝ(ω − ξ) − κ ĝ(ω) is real. The low-pass φ is a
Gaussian, a product over the axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product

import torch
from jaxtyping import Float
from torch import Tensor

NEGLIGIBLE = 1e-9  # of the peak of a transfer function: what is less is set to zero, and never multiplied
_REACH = math.sqrt(-2 * math.log(NEGLIGIBLE))  # standard deviations to there


@dataclass(frozen=True, eq=False)
class Octave:
    """The wavelets of a bank whose results may be sampled at every 2^j-th point.

    Attributes:
        j: logarithm of the sampling step.
        transfer: ψ̂ at the frequencies of `torch.fft.fftfreq`, along each axis.
        frequencies: centres ξ of the wavelets, in radians a step.
    """

    j: int
    transfer: Float[Tensor, "wavelets *shape"]
    frequencies: Float[Tensor, "wavelets dim"]


@dataclass(frozen=True, eq=False)
class FilterBank:
    """A low-pass and the wavelets above it, on one periodic grid.

    Attributes:
        scale: J; the low-pass averages over about 2^J steps.
        low: φ̂ along each axis; their product is φ̂.
        octaves: the wavelets, finest first.
    """

    scale: int
    low: tuple[Float[Tensor, "points"], ...]
    octaves: tuple[Octave, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along each axis."""
        return tuple(len(axis) for axis in self.low)

    @cached_property
    def littlewood_paley(self) -> Float[Tensor, "*shape"]:
        """|φ̂(ω)|² + ½ Σ (|ψ̂(ω)|² + |ψ̂(−ω)|²): the share of a real signal's energy at ω that is kept.

        Bruna & Mallat 2013 (arXiv 1203.1513). One everywhere: the bank is a tight frame.
        """
        return outer(self.low).square() + _half_power(self.octaves)

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and largest share of energy that is kept: the frame bounds A and B."""
        return float(self.littlewood_paley.min()), float(self.littlewood_paley.max())

    def tightened(self) -> FilterBank:
        """Scale the wavelets at each frequency such that all energy is kept, A = B = 1.

        The low-pass stays a Gaussian; the wavelets share out 1 − |φ̂|² in the proportions that they have.
        """
        power = _half_power(self.octaves)
        rest = (1 - outer(self.low).square()).clamp(min=0)
        return self._scaled((rest / power.clamp(min=torch.finfo(power.dtype).tiny)).sqrt())

    def contracted(self) -> FilterBank:
        """Scale all wavelets by one number such that no energy is added, B = 1; they remain Morlet's."""
        power, rest = _half_power(self.octaves), 1 - outer(self.low).square()
        share = torch.where(power > 1e-6, rest / power.clamp(min=1e-6), math.inf)
        return self._scaled(share.min().sqrt())

    def _scaled(self, factor: Tensor) -> FilterBank:
        octaves = tuple(Octave(o.j, o.transfer * factor, o.frequencies) for o in self.octaves)
        return FilterBank(self.scale, self.low, octaves)

    def level(self, j: int) -> FilterBank:
        """Return the bank for a signal that is sampled at every 2^j-th point.

        Its filters are these, sampled at these points; in frequency, their aliases add up.
        """
        step = 2**j
        low = tuple(fold(axis, step, 1) for axis in self.low)
        octaves = [Octave(o.j, fold(o.transfer, step, len(low)), o.frequencies) for o in self.octaves]
        return FilterBank(self.scale, low, tuple(octaves))


def morlet_1d(points: int, J: int, Q: int = 1, tight: bool = True) -> FilterBank:
    """Return a bank on a line: Q wavelets an octave, J octaves.

    Centres fall from 0.35 cycles a step (or higher for large Q) by factors 2^(1/Q) with constant relative
    width, neighbours crossing at half power, down to the width of the low-pass, 0.1 / 2^J; below, they are
    evenly spaced at that width (Andén & Mallat 2014, arXiv 1304.6763).
    """
    ratio = 2 ** (-1 / Q)
    relative = (1 - ratio) / (1 + ratio) / math.sqrt(math.log(2))  # width of a wavelet over its centre
    narrowest = 0.1 / 2**J
    centres = [max(0.35, 1 / (1 + 2 ** (3 / Q)))]
    while relative * centres[-1] > narrowest / ratio:
        centres.append(centres[-1] * ratio)
    widths = [relative * centre for centre in centres]
    elbow = centres[-1]
    centres += [elbow * (1 - q / Q) for q in range(1, Q)]
    widths += [narrowest] * (Q - 1)
    groups: dict[int, list[tuple[float, float]]] = {}
    for centre, width in zip(centres, widths, strict=True):
        band = min(centre + 5 * width, 0.5)  # beyond, less than 4e-6 of the amplitude is left
        groups.setdefault(min(int(-math.log2(band)) - 1, J), []).append((centre, width))
    octaves = []
    for j, wavelets in groups.items():
        xi = 2 * math.pi * torch.tensor([[centre] for centre, _ in wavelets], dtype=torch.float64)
        spread = torch.tensor([[[(2 * math.pi * width) ** -2]] for _, width in wavelets], dtype=torch.float64)
        octaves.append(Octave(j, morlet((points,), xi, spread), xi))
    low = (gaussian(points, 1 / (2 * math.pi * narrowest)),)
    return _framed(FilterBank(J, low, tuple(octaves)), tight)


def morlet_2d(shape: Sequence[int], J: int, L: int = 8, tight: bool = True) -> FilterBank:
    """Return a bank in the plane: J scales, an octave apart, and L directions in half a turn.

    The finest has the centre |ξ| = 3π/4, the width 0.8 along ξ and L/4 times as much across (Bruna & Mallat
    2013, arXiv 1203.1513). The first direction is that of the first axis.
    """
    angles = [math.pi * k / L for k in range(L)]
    directions = torch.tensor([[math.cos(a), math.sin(a)] for a in angles], dtype=torch.float64)
    return _framed(_directional(tuple(shape), J, directions, slant=4 / L), tight)


def morlet_3d(shape: Sequence[int], J: int, tight: bool = True) -> FilterBank:
    """Return a bank in space: J scales, and 13 directions: axes, face and space diagonals of the cube.

    Turns and mirrors of the cube permute them.
    """
    ways = [w for w in product((0, 1, -1), repeat=3) if w > (0, 0, 0)]
    directions = torch.nn.functional.normalize(torch.tensor(ways, dtype=torch.float64), dim=1)
    return _framed(_directional(tuple(shape), J, directions, slant=0.6), tight)


def morlet(
    shape: tuple[int, ...], xi: Float[Tensor, "wavelets dim"], spread: Float[Tensor, "wavelets dim dim"]
) -> Float[Tensor, "wavelets *shape"]:
    """Return transfer functions of Morlet wavelets with these centres and spatial covariances."""
    wave, envelope = _gaussians(shape, xi, spread), _gaussians(shape, torch.zeros_like(xi), spread)
    origin = (slice(None), *(slice(0, 1) for _ in shape))
    result = wave - wave[origin] / envelope[origin] * envelope
    return result.masked_fill(result.abs() < NEGLIGIBLE * result.abs().max(), 0.0)


def gaussian(points: int, width: float) -> Float[Tensor, "points"]:
    """Return the transfer function of a Gaussian of this width (standard deviation in steps) and sum one."""
    value = _gaussians((points,), torch.zeros(1, 1).double(), torch.full((1, 1, 1), width**2).double())[0]
    return value / value[0]


def outer(axes: Sequence[Float[Tensor, "points"]]) -> Float[Tensor, "*shape"]:
    """Return the product over the axes."""
    result = axes[0]
    for axis in axes[1:]:
        result = result[..., None] * axis
    return result


def fold(transfer: Float[Tensor, "*batch *fine"], step: int, dim: int) -> Float[Tensor, "*batch *coarse"]:
    """Add up the aliases: the transfer function of what is sampled at every ``step``-th point."""
    for axis in range(-dim, 0):
        transfer = transfer.unflatten(axis, (step, -1)).sum(axis - 1)
    return transfer


# -------------------------------------------------------------------- details


def _directional(
    shape: tuple[int, ...], J: int, directions: Float[Tensor, "directions dim"], slant: float
) -> FilterBank:
    """Return Gaussians elongated across each direction, at J scales."""
    identity = torch.eye(len(shape), dtype=torch.float64)
    along = directions[:, :, None] * directions[:, None, :]
    across = (identity - along) / slant**2
    octaves = []
    for j in range(J):
        xi = 0.75 * math.pi / 2**j * directions
        octaves.append(Octave(j, morlet(shape, xi, (0.8 * 2**j) ** 2 * (along + across)), xi))
    low = tuple(gaussian(n, 0.8 * 2 ** (J - 1)) for n in shape)
    return FilterBank(J, low, tuple(octaves))


def _gaussians(
    shape: tuple[int, ...], centre: Float[Tensor, "wavelets dim"], spread: Float[Tensor, "wavelets dim dim"]
) -> Float[Tensor, "wavelets *shape"]:
    """Return exp(−(ω−ξ)ᵀ C (ω−ξ) / 2), periodic in ω as sampling on a grid makes it."""
    dim = len(shape)
    axes = [2 * math.pi * torch.fft.fftfreq(n, dtype=torch.float64) for n in shape]
    total = torch.zeros(len(centre), *shape, dtype=torch.float64)
    for i, (xi, covariance) in enumerate(zip(centre, spread, strict=True)):
        reach = _REACH * float(torch.linalg.eigvalsh(covariance)[0].rsqrt())  # beyond, nothing is left
        periods = max(0, math.ceil((reach + float(xi.abs().max())) / (2 * math.pi) - 0.5))
        for turns in product(range(-periods, periods + 1), repeat=dim):
            distance = [axis + 2 * math.pi * t - x for axis, t, x in zip(axes, turns, xi, strict=True)]
            if sum(float(d.abs().min()) ** 2 for d in distance) > reach**2:
                continue
            along = [d.reshape(-1, *(1,) * (dim - 1 - k)) for k, d in enumerate(distance)]
            exponent = sum(-0.5 * covariance[k, k] * along[k].square() for k in range(dim))
            for a, b in combinations(range(dim), 2):
                exponent = exponent - covariance[a, b] * along[a] * along[b]
            total[i] += torch.as_tensor(exponent).exp()
    return total


def _half_power(octaves: Sequence[Octave]) -> Float[Tensor, "*shape"]:
    power = torch.stack([octave.transfer.square().sum(0) for octave in octaves]).sum(0)
    axes = tuple(range(power.ndim))
    return 0.5 * (power + power.flip(axes).roll((1,) * power.ndim, axes))


def _framed(bank: FilterBank, tight: bool) -> FilterBank:
    return bank.tightened() if tight else bank.contracted()
