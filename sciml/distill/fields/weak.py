"""The weak form: an equation integrated against smooth test functions, so that no noisy data are derived.

    ⟨φ, u_t⟩ = Σ_j w_j ⟨φ, ∂^α f_j(u)⟩    becomes    −⟨φ_t, u⟩ = Σ_j w_j (−1)^|α| ⟨∂^α φ, f_j(u)⟩

with φ a product of bumps ``(1 − s²)^p``, one along each axis of time and space (Messenger & Bortz, J. Comput.
Phys. 443, 110525 (2021), arXiv 2007.02848). In the language of the house each column is message passing on
the space-time grid with the fixed kernel ∂^α φ: content f_j(u), geometry the offset to the test function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import comb, factorial

import numpy as np
from jaxtyping import Float, Int

EDGE = 1e-10  # height of a test function one point before its end
NARROWEST = 1.3  # standard deviation of a test function, in points: the sums are then integrals to 1e-7
SMOOTH = 8  # least exponent


@dataclass(frozen=True)
class Bump:
    """The test functions along one axis, centred on evenly spaced points.

    Attributes:
        points: number of grid points.
        step: distance of grid points.
        half: half-width in points.
        periodic: whether test functions reach over the end.
        centres: which points they are centred on.
    """

    points: int
    step: float
    half: int
    periodic: bool
    centres: Int[np.ndarray, "tests"]

    @classmethod
    def spread(cls, points: int, step: float, half: int, periodic: bool, every: int) -> Bump:
        """Centre test functions on every so many points, as far as they fit."""
        if periodic:
            centres = np.arange(0, points, every)
        else:
            room = points - 1 - 2 * half
            first = half + (room % every) // 2
            centres = np.arange(first, points - half, every)
        return cls(points, step, half, periodic, centres)

    @property
    def exponent(self) -> int:
        """P of (1 − s²)^p: dead before its end, but not so narrow that the grid cannot resolve it."""
        dead = np.ceil(np.log(EDGE) / np.log((2 * self.half - 1) / self.half**2))
        resolved = np.floor((self.half / NARROWEST) ** 2 / 2 - 1.5)
        return max(int(min(dead, resolved)), SMOOTH)

    def kernel(self, order: int) -> Float[np.ndarray, "window"]:
        """Return a derivative of the bump at its points; the bump itself sums to one."""
        s = np.arange(-self.half, self.half + 1) / self.half
        p = self.exponent
        falling = lambda k: factorial(p) // factorial(p - k)
        value = sum(
            comb(order, k) * (-1) ** k * falling(k) * falling(order - k)
            * (1 - s) ** (p - k) * (1 + s) ** (p - order + k)
            for k in range(order + 1)
        )  # fmt: skip
        value = value / ((1 - s**2) ** p).sum()
        # the sums differentiate ``x^order`` exactly, as integrals would
        moment = float((value * s**order).sum()) * (-1) ** order
        return value * factorial(order) / moment / (self.half * self.step) ** order

    def matrix(self, order: int) -> Float[np.ndarray, "tests points"]:
        """Return what takes values to their integrals against the derived test functions, ⟨∂φ, f⟩."""
        found = np.zeros((len(self.centres), self.points))
        where = self.centres[:, None] + np.arange(-self.half, self.half + 1)
        rows = np.arange(len(self.centres))[:, None]
        np.add.at(found, (rows, where % self.points), self.kernel(order))
        return found


@dataclass(frozen=True)
class TestFunctions:
    """Products of bumps along time and every spatial axis."""

    bumps: tuple[Bump, ...]
    _cache: dict = field(default_factory=dict, compare=False, repr=False)

    __test__ = False  # for pytest: no class of tests

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of test functions along each axis."""
        return tuple(len(b.centres) for b in self.bumps)

    @property
    def number(self) -> int:
        """Of all test functions."""
        return int(np.prod(self.shape))

    @cached_property
    def time(self) -> Int[np.ndarray, "rows"]:
        """Frame on which each test function is centred."""
        return self.centres(0)

    @cached_property
    def redundancy(self) -> float:
        """How many test functions tell as much as one independent one, since they overlap.

        Σ ρ² over the distances of test functions, ρ the correlation of bumps taken for Gaussians.
        """
        value = 1.0
        for bump in self.bumps:
            width = bump.half / np.sqrt(2 * bump.exponent + 3)
            every = float(np.median(np.diff(bump.centres))) if len(bump.centres) > 1 else float(bump.points)
            value *= max(np.sqrt(2 * np.pi) * width / every, 1.0)
        return value

    def centres(self, axis: int) -> Int[np.ndarray, "rows"]:
        """Grid point along an axis on which each test function is centred."""
        return np.meshgrid(*(b.centres for b in self.bumps), indexing="ij")[axis].ravel()

    def matrix(self, axis: int, order: int) -> Float[np.ndarray, "tests points"]:
        """Return the matrix of one axis, kept."""
        key = (axis, order)
        if key not in self._cache:
            self._cache[key] = self.bumps[axis].matrix(order)
        return self._cache[key]

    def integrate(
        self, values: Float[np.ndarray, "time *shape"], orders: Sequence[int], cache: dict | None = None
    ) -> Float[np.ndarray, "rows"]:
        """Return ⟨φ, ∂^orders f⟩ = (−1)^|orders| ⟨∂^orders φ, f⟩ for every φ.

        Args:
            values: f.
            orders: of the derivative.
            cache: keeps partial integrals of the same f between calls.
        """
        cache = {} if cache is None else cache
        found = values
        for axis in range(len(orders)):
            key = tuple(orders[: axis + 1])
            if key not in cache:
                moved = np.moveaxis(found, axis, 0)
                flat = self.matrix(axis, orders[axis]) @ moved.reshape(len(moved), -1)
                cache[key] = np.moveaxis(flat.reshape(-1, *moved.shape[1:]), 0, axis)
            found = cache[key]
        return (-1) ** sum(orders) * found.ravel()

    def spread(
        self, rows: Float[np.ndarray, "rows"], orders: Sequence[int]
    ) -> Float[np.ndarray, "time *shape"]:
        """Return the adjoint of `integrate`: what each point of the grid contributes to a sum over rows."""
        found = rows.reshape(self.shape)
        for axis, order in reversed(list(enumerate(orders))):
            moved = np.moveaxis(found, axis, 0)
            flat = self.matrix(axis, order).T @ moved.reshape(len(moved), -1)
            found = np.moveaxis(flat.reshape(-1, *moved.shape[1:]), 0, axis)
        return (-1) ** sum(orders) * found

    def overlap(self, first: Sequence[int], second: Sequence[int]) -> float:
        """Return Σ_points ∂^first φ · ∂^second φ of one test function, signs as in `integrate`."""
        value = float((-1) ** (sum(first) + sum(second)))
        for bump, a, b in zip(self.bumps, first, second):
            value *= float(bump.kernel(a) @ bump.kernel(b)) if (a + b) % 2 == 0 else 0.0
        return value
