"""Paths out of noisy positions: regression splines whose resolution and noise the data themselves tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.interpolate import BSpline
from scipy.linalg import solveh_banded
from scipy.ndimage import uniform_filter1d

DEGREE = 5
FINEST = 1.6  # times between two knots, at least
COARSEST = 4  # intervals between knots, at least
TRIALS = 16
NORMAL = 1.4826  # standard deviation of a normal distribution over its median absolute value
SPOILT = 1.5  # rms over robust size of residuals beyond which they are not noise alone
BEYOND = 3.0  # standard deviations of the noise that mark what a spline cannot follow
TOLERATED = 0.01  # error of an acceleration over its rms that does no harm


@dataclass(frozen=True)
class Smooth:
    """Paths as splines, one resolution for each body.

    Attributes:
        value: fitted values at the times.
        rate: their time derivative.
        sigma: standard deviation of the noise in each component of each body.
        rate_sigma: the same of the noise in given rates, nan if there were none.
        spacing: times between two knots, the finest detail that stands out of the noise.
        unresolved: times at which the path moves faster than the spline can follow, as in a close encounter.
    """

    value: Float[np.ndarray, "time bodies dim"]
    rate: Float[np.ndarray, "time bodies dim"]
    sigma: Float[np.ndarray, "bodies"]
    rate_sigma: Float[np.ndarray, "bodies"]
    spacing: Float[np.ndarray, "bodies"]
    unresolved: Bool[np.ndarray, "time bodies"]


def smooth(
    time: Float[np.ndarray, "time"],
    value: Float[np.ndarray, "time bodies dim"],
    rate: Float[np.ndarray, "time bodies dim"] | None = None,
) -> Smooth:
    """Fit quintic regression splines; the number of knots minimizes generalized cross-validation.

    (Craven & Wahba 1979, doi 10.1007/BF01404567; Golub, Heath & Wahba 1979, doi 10.2307/1268518.) Rates are
    fitted together with the values, each kind weighted by its own noise.
    """
    found = _fit(time, value)
    if rate is None:
        return found
    alone = _fit(time, rate)
    ratio = float(np.median(found.sigma) / max(float(np.median(alone.sigma)), 1e-300))
    both = _fit(time, value, rate, ratio)
    return Smooth(both.value, both.rate, found.sigma, alone.sigma, both.spacing, found.unresolved)


def _fit(time: np.ndarray, value: np.ndarray, rate: np.ndarray | None = None, ratio: float = 1.0) -> Smooth:
    times, bodies, dim = value.shape
    clock = (time - time[0]) / (time[-1] - time[0])
    unit = float(time[-1] - time[0])
    data = value.reshape(times, -1)
    slopes = None if rate is None else rate.reshape(times, -1) * unit
    rows = times * (1 if rate is None else 2)
    best = np.full(bodies, np.inf)
    fitted, derived = np.zeros((2, *value.shape))
    sigma, spacing = np.zeros((2, bodies))
    counts = np.geomspace(COARSEST, max(times / FINEST - DEGREE, COARSEST + 1), TRIALS)
    for intervals in np.unique(counts.round().astype(int)):
        unknowns = intervals + DEGREE
        if unknowns > 0.8 * rows:
            continue
        path, slope, left = _regress(clock, data, slopes, ratio * 1.0 / unit, int(intervals))
        squares = left.reshape(-1, bodies, dim).sum((0, 2)) / dim
        score = squares / rows / (1.0 - unknowns / rows) ** 2
        better = score < best
        best = np.where(better, score, best)
        fitted[:, better] = path.reshape(value.shape)[:, better]
        derived[:, better] = slope.reshape(value.shape)[:, better] / unit
        sigma[better] = np.sqrt(squares / (rows - unknowns))[better]
        spacing[better] = times / intervals
    left = value - fitted
    robust = NORMAL * np.median(np.abs(left), axis=(0, 2)) / np.sqrt(1.0 - (times / spacing + DEGREE) / rows)
    sigma = np.where(sigma > SPOILT * robust, robust, sigma)
    sigma = np.maximum(sigma, np.abs(value).max((0, 2)) * np.finfo(float).eps)
    sigma = np.maximum(sigma, 1e-150)
    step = unit / (times - 1)
    return Smooth(
        fitted, derived, sigma, np.full(bodies, np.nan), spacing,
        _unresolved(left, derived, sigma, spacing, step),
    )  # fmt: skip


def _unresolved(
    left: np.ndarray, rate: np.ndarray, sigma: np.ndarray, spacing: np.ndarray, step: float
) -> Bool[np.ndarray, "time bodies"]:
    """Return where residuals are more than noise, and would make a sizeable error of the acceleration."""
    size = np.sqrt((left**2).mean(-1))
    local = np.stack([uniform_filter1d(size[:, b], int(3 * spacing[b]) | 1) for b in range(size.shape[1])], 1)
    force = np.sqrt((np.gradient(rate, step, axis=0) ** 2).mean((0, 2)))
    return (local > BEYOND * sigma) & (local * (2.0 / (spacing * step)) ** 2 > TOLERATED * force)


def _regress(
    clock: np.ndarray, data: np.ndarray, slopes: np.ndarray | None, weight: float, intervals: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values, slopes and squared residuals (those of slopes weighted) of one regression spline."""
    inner = np.quantile(clock, np.linspace(0, 1, intervals + 1))
    knots = np.r_[[inner[0]] * DEGREE, inner, [inner[-1]] * DEGREE]
    basis = BSpline.design_matrix(clock, knots, DEGREE)
    derived = _derivative(clock, knots, intervals + DEGREE)
    matrix, right = basis.T @ basis, basis.T @ data
    if slopes is not None:
        matrix, right = (
            matrix + weight**2 * (derived.T @ derived),
            right + weight**2 * (derived.T @ slopes),
        )
    banded = np.stack([np.r_[np.zeros(k), matrix.diagonal(k)] for k in range(DEGREE, -1, -1)])
    banded[-1] *= 1 + 1e-13
    coefficients = solveh_banded(banded, right)
    path, slope = basis @ coefficients, derived @ coefficients
    left = (data - path) ** 2
    if slopes is not None:
        left = np.concatenate([left, weight**2 * (slopes - slope) ** 2])
    return path, slope, left


def _derivative(clock: np.ndarray, knots: np.ndarray, unknowns: int):
    """Return the matrix from coefficients to slopes at the times."""
    lower = BSpline.design_matrix(clock, knots[1:-1], DEGREE - 1)
    span = knots[DEGREE + 1 : DEGREE + unknowns] - knots[1:unknowns]
    scale = DEGREE / np.where(span > 0, span, np.inf)
    from scipy.sparse import diags_array

    difference = diags_array([-scale, scale], offsets=[0, 1], shape=(unknowns - 1, unknowns))
    return lower @ difference
