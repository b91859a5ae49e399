"""The scattering transform of arrays, order by order, in frequency."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.nn.scattering.bank import FilterBank
from sciml.nn.scattering.fourier import Folded
from sciml.nn.scattering.modulus import smooth_modulus

_DENSE = 2**22  # entries of a matrix that averages along one axis; beyond, averaging goes by FFT


@dataclass(frozen=True)
class Path:
    """What a scattering coefficient is: |…|x ⋆ ψ₁| ⋆ ψ₂| ⋆ φ with one wavelet for each order.

    Attributes:
        octaves: j of each wavelet.
        frequencies: centre ξ of each wavelet, in radians a step along each axis.
    """

    octaves: tuple[int, ...]
    frequencies: tuple[tuple[float, ...], ...]

    @property
    def order(self) -> int:
        """Number of wavelets, 0 to 2."""
        return len(self.octaves)


@dataclass(frozen=True, eq=False)
class Plan:
    """Which wavelets follow which, and at which resolution.

    Attributes:
        first, second: the banks of the two orders.
        order: largest order.
        oversampling: by how many octaves everything is sampled more finely than its wavelets ask.
    """

    first: FilterBank
    second: FilterBank
    order: int
    oversampling: int

    def level(self, j: int) -> int:
        """Return the logarithm of the step at which what has passed a wavelet of octave j is sampled."""
        return max(min(j, self.first.scale) - self.oversampling, 0)

    @property
    def out_level(self) -> int:
        """Logarithm of the step of the result."""
        return self.level(self.first.scale)

    @cached_property
    def sampled(self) -> dict[int, tuple[FilterBank, FilterBank]]:
        """Both banks as they are at every level that occurs."""
        octaves = [*self.first.octaves, *self.second.octaves]
        levels = sorted({0, *(self.level(octave.j) for octave in octaves)})
        return {k: (self.first.level(k), self.second.level(k)) for k in levels}

    def after(self, j: int) -> list[int]:
        """Return which octaves of the second bank follow octave j: the coarser ones."""
        return [i for i, octave in enumerate(self.second.octaves) if octave.j > j] if self.order > 1 else []

    def pairs(self) -> list[tuple[int, int]]:
        """Return at which level which octaves of the second bank are asked for."""
        return sorted({(self.level(o.j), i) for o in self.first.octaves for i in self.after(o.j)})

    def paths(self) -> list[Path]:
        """Return what the coefficients are, in their order: by order, then by the first wavelet."""
        centres = lambda octave: [tuple(xi.tolist()) for xi in octave.frequencies]
        first = [(o.j, xi) for o in self.first.octaves for xi in centres(o)] if self.order else []
        second = lambda j: [(self.second.octaves[i], i) for i in self.after(j)]
        return [
            Path((), ()),
            *(Path((j,), (xi,)) for j, xi in first),
            *(Path((j, o.j), (xi, eta)) for j, xi in first for o, _ in second(j) for eta in centres(o)),
        ]


class Cascade:
    """The transform with its filters cut to size, in one precision on one device."""

    def __init__(self, plan: Plan, dtype: torch.dtype, device: torch.device) -> None:
        self.plan, self.dim = plan, len(plan.first.shape)
        level = plan.level
        self.first = [
            Folded.of(o.transfer, 2 ** level(o.j)).to(dtype, device) for o in plan.first.octaves if plan.order
        ]
        self.second: dict[tuple[int, int], Folded] = {}  # level of the signal, number of the octave
        for k, i in plan.pairs():
            octave = plan.sampled[k][1].octaves[i]
            self.second[k, i] = Folded.of(octave.transfer, 2 ** (level(octave.j) - k)).to(dtype, device)
        self.average = {
            k: _Average(first.low, 2 ** (plan.out_level - k), dtype, device)
            for k, (first, _) in plan.sampled.items()
        }

    def __call__(self, x: Float[Tensor, "rows *shape"]) -> Float[Tensor, "rows paths *coarse"]:
        """Return all coefficients."""
        orders: list[list[Tensor]] = [[self.average[0](x[:, None])], [], []]
        if self.plan.order:
            spectrum = torch.fft.fftn(x, dim=self.axes)
            for octave, wavelets in zip(self.plan.first.octaves, self.first):
                u = self.modulus(wavelets, spectrum)
                orders[1].append(self.average[self.plan.level(octave.j)](u))
                orders[2] += self.after(octave.j, u)
        return torch.cat([part for order in orders for part in order], dim=1)

    def after(
        self, j: int, u: Float[Tensor, "rows wavelets *shape"]
    ) -> list[Float[Tensor, "rows paths *coarse"]]:
        """Return the coefficients of second order that follow first wavelets of octave j."""
        if not self.plan.after(j):
            return []
        level, rows = self.plan.level(j), len(u)
        spectrum = torch.fft.fftn(u.flatten(0, 1), dim=self.axes)
        parts = []
        for i in self.plan.after(j):
            v = self.modulus(self.second[level, i], spectrum)
            parts.append(self.average[self.plan.level(self.plan.second.octaves[i].j)](v))
        return [torch.cat(parts, dim=1).unflatten(0, (rows, -1)).flatten(1, 2)]

    def modulus(
        self, wavelets: Folded, spectrum: Float[Tensor, "rows *fine"]
    ) -> Float[Tensor, "rows wavelets *coarse"]:
        """Return |x ⋆ ψ|, sampled."""
        return smooth_modulus(torch.fft.ifftn(wavelets(spectrum), dim=self.axes))

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of the grid."""
        return tuple(range(-self.dim, 0))


class _Average:
    """y = u ⋆ φ, sampled: along one axis after the other, since φ is a product.

    One matrix product an axis; on CPU that is faster than the FFTs that it replaces.
    """

    def __init__(
        self, low: tuple[Float[Tensor, "points"], ...], step: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.step, self.matrices, self.transfer = step, [], []
        for axis, along in enumerate(low, start=-len(low)):
            n = len(along)
            if n * (n // step) <= _DENSE:
                self.matrices.append((axis, _averaging(along, step).to(device, dtype)))
            else:
                self.transfer.append((axis, along[: n // 2 + 1].to(device, dtype)))

    def __call__(self, u: Float[Tensor, "*batch *fine"]) -> Float[Tensor, "*batch *coarse"]:
        for axis, matrix in reversed(self.matrices):  # in memory, the last axis is nearest
            u = (u.movedim(axis, -1) @ matrix).movedim(-1, axis)
        for axis, transfer in self.transfer:
            n = u.shape[axis]
            spectrum = torch.fft.rfft(u.movedim(axis, -1)) * transfer
            u = torch.fft.irfft(spectrum, n)[..., :: self.step].movedim(-1, axis)
        return u


def _averaging(low: Float[Tensor, "fine"], step: int) -> Float[Tensor, "fine coarse"]:
    """Return the matrix of the convolution with an even filter, for every ``step``-th point of the result."""
    kernel, number = torch.fft.ifft(low).real, torch.arange(len(low))
    return kernel[(number[:, None] - number[::step]).remainder(len(low))]
