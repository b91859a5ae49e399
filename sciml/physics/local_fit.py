"""Least-squares polynomials in moving windows, on positions, velocities or both, at even or uneven times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int
from numpy.polynomial import legendre


@dataclass(frozen=True)
class Series:
    """What is fitted.

    Attributes:
        data: rows are the times of the positions, then those of the velocities (where there are both);
            columns are independent series (simulation, particle, component).
        clock: the times, from zero.
        position: whether positions are among the data.
        velocity: whether velocities are.
        ratio: noise of the velocities over noise of the positions.
    """

    data: Float[np.ndarray, "rows columns"]
    clock: Float[np.ndarray, times]
    position: bool = True
    velocity: bool = False
    ratio: float = 1.0

    @property
    def kinds(self) -> int:
        """Number of measurements at one time."""
        return self.position + self.velocity

    @property
    def orders(self) -> list[int]:
        """Which time derivatives of the path are measured."""
        return [k for k, measured in enumerate((self.position, self.velocity)) if measured]

    def unknowns(self, degree: int) -> int:
        """Number of coefficients of a path of the given degree that the data can see."""
        return degree + self.position

    def centres(self, half: int, most: int | None = None) -> Int[np.ndarray, centres]:
        """Times with a whole window around them; at most so many of them, evenly spread."""
        count = len(self.clock) - 2 * half
        return half + np.unique(np.linspace(0, count - 1, min(count, most or count)).astype(int))


@dataclass(frozen=True)
class Fit:
    """Linear maps from a series to value, velocity and acceleration at the centres of its windows.

    Attributes:
        weights: on the data of a window; the windows axis has length 1 if one serves all.
        centres: indices of the centres.
        half: points to either side of a centre.
    """

    weights: Float[np.ndarray, "windows 3 points"]
    centres: Int[np.ndarray, centres]
    half: int

    def apply(
        self, series: Series, order: int, chunk: int = 2_000_000
    ) -> Float[np.ndarray, "centres columns"]:
        """Return the fitted position (order 0, if positions are fitted), velocity (1) or acceleration (2)."""
        weights = self.weights[:, order]
        points = weights.shape[1]
        window = np.arange(-self.half, self.half + 1)
        offsets = np.concatenate([window + k * len(series.clock) for k in range(series.kinds)])
        result = np.empty((len(self.centres), series.data.shape[1]))
        step = max(1, chunk // points)
        for start in range(0, len(self.centres), step):
            some = slice(start, start + step)
            columns = self.centres[some, None] + offsets
            own = weights[some] if len(weights) > 1 else np.broadcast_to(weights, columns.shape)
            shape = (len(columns), len(series.data))
            matrix = scipy.sparse.csr_array((own.ravel(), columns.ravel(), _pointers(columns)), shape=shape)
            result[some] = matrix @ series.data
        return result

    def left_over(self, series: Series) -> Iterator[Float[np.ndarray, "centres columns"]]:
        """Squared residuals at the centres, for each kind of datum, made unbiased for its noise.

        The fit uses the centre's own datum, so that a residual has only a part of the noise's variance.
        """
        for k, order in enumerate(series.orders):
            own = self.weights[:, order, k * (2 * self.half + 1) + self.half]
            measured = series.data[k * len(series.clock) + self.centres]
            yield (measured - self.apply(series, order)) ** 2 / np.maximum(1.0 - own, 1e-3)[:, None]

    def carried(self, order: int, series: Series) -> Float[np.ndarray, windows]:
        """Variance that unit noise of the first kind (and ``ratio`` of the second) carries into a fit."""
        return carried(self.weights[:, order], series)


def carried(weights: Float[np.ndarray, "windows points"], series: Series) -> Float[np.ndarray, windows]:
    """Sum of squared weights, each in units of its datum's noise."""
    kinds = (weights**2).reshape(len(weights), series.kinds, -1).sum(axis=-1)
    return kinds @ np.array([1.0, series.ratio**2][: series.kinds])


def fits(series: Series, half: int, degrees: Sequence[int], most: int | None = None) -> dict[int, Fit]:
    """Fit all degrees in windows of ``2 half + 1`` times.

    One orthogonal decomposition of the highest degree's design serves all: with design = Q R and c
    the basis at the centre, the weights of degree d are the first d columns of Q times those
    of R⁻ᵀ c, which forward substitution leaves the same whatever the highest degree.
    """
    clock, centres = series.clock, series.centres(half, most)
    used = centres[:1] if _even(clock) else centres
    windows = np.lib.stride_tricks.sliding_window_view(clock, 2 * half + 1)[used - half] - clock[used, None]
    scale = np.abs(windows).max(axis=1)
    u = windows / scale[:, None]
    # A basis of paths would begin with a constant that velocities do not see: they get their own.
    terms = series.unknowns(max(degrees))
    design = _basis(u, terms, 0)
    if series.position and series.velocity:  # rows in units of the noise of position
        design = np.concatenate([design, _basis(u, terms, 1) / (scale[:, None, None] * series.ratio)], axis=1)
    q, r = np.linalg.qr(design)
    orders = (0, 1, 2) if series.position else (0, 0, 1)  # the path itself is not seen by velocities
    centre = np.stack([_basis(np.zeros(1), terms, k)[0] for k in orders], axis=-1)  # [terms, 3]
    reduced = np.linalg.solve(np.swapaxes(r, 1, 2), np.broadcast_to(centre, (len(r), *centre.shape)))
    reduced /= scale[:, None, None] ** np.array(orders)
    found = {}
    for degree in degrees:
        n = series.unknowns(degree)
        weights = np.swapaxes(q[:, :, :n] @ reduced[:, :n], 1, 2)
        if series.position and series.velocity:
            weights[:, :, 2 * half + 1 :] /= series.ratio
        found[degree] = Fit(weights, centres, half)
    return found


def _basis(u: np.ndarray, terms: int, derivative: int) -> np.ndarray:
    """Legendre polynomials (well conditioned on [-1, 1]) or a derivative of them, last axis the degree."""
    identity = np.eye(terms)
    if derivative:
        identity = np.stack(
            [np.pad(d := legendre.legder(c, derivative), (0, terms - len(d))) for c in identity]
        )
    return np.moveaxis(legendre.legval(u, identity.T), 0, -1)


def _even(clock: Float[np.ndarray, times]) -> bool:
    step = clock[-1] / (len(clock) - 1)
    return bool(np.allclose(np.diff(clock), step, rtol=0, atol=1e-9 * step))


def _pointers(columns: np.ndarray) -> np.ndarray:
    return np.arange(len(columns) + 1) * columns.shape[1]
