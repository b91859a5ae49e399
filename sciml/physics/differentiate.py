"""Accelerations out of measured positions and velocities, with their error stated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import comb
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from sciml.physics.local_fit import Fit, Series, carried, fits

Vectors = Float[np.ndarray, "simulations time particles dim"]
PerBody = Float[np.ndarray, "simulations particles"]

DEGREES = (2, 4, 6, 8, 10)
METHODS = ("auto", "position", "velocity", "both")
WIDEST = 1000  # points to either side; wider windows cost more than they smooth
FEWEST_FOR_NOISE = 20  # times
SAMPLE = 512  # windows that degree and width are chosen on


@dataclass(frozen=True)
class Derivatives:
    """Smoothed time derivatives at the inner times ``keep``.

    Attributes:
        velocity: first derivative of the local polynomial.
        acceleration: second derivative.
        acceleration_error: estimated rms error per component, of noise and bias together.
        keep: the times kept; both ends are left out, where a window would be one-sided.
        position_noise: estimated standard deviation of the noise in the positions, NaN if not used.
        velocity_noise: that in the given velocities, NaN if not used.
    """

    velocity: Vectors
    acceleration: Vectors
    acceleration_error: PerBody
    keep: slice
    position_noise: PerBody
    velocity_noise: PerBody


def fewest_times(with_velocity: bool) -> int:
    """Return the least number of time points from which accelerations are estimated."""
    return 5 if with_velocity else 7


def local_polynomial(
    position: Vectors,
    time: Float[np.ndarray, "simulations time"],
    velocity: Vectors | None = None,
    *,
    box: Float[np.ndarray, dim] | None = None,
    method: str = "auto",
    source: str = "trajectories",
) -> Derivatives:
    """Fit a polynomial around every time; its degree and window are chosen for each particle.

    The window is symmetric in the number of points and the times may be uneven (for even ones this
    is the Savitzky-Golay filter). The expected squared error of degree p in a window is the variance
    carried over from the noise plus the squared bias; the bias is read from the difference to degree
    p + 2 in the same window (the pilot fit of Fan & Gijbels, J. R. Stat. Soc. B 57, 371, 1995), and
    the noise from the residuals of the fit that leaves the least. The pair with the smallest expected
    error is taken, and its error is stated: right within a factor of two or so where it is below a
    tenth of the acceleration. Motion too fast for the sampling (true error above that) is understated.

    Args:
        position: noisy or exact positions.
        time: strictly increasing.
        velocity: measured velocities; fitted together with the positions, each with its own noise.
        box: edges of a periodic box (infinite where open): positions are unwrapped first.
        method: what to differentiate: "position", "velocity", "both", or "auto" for all there is.
        source: named in errors.

    Raises:
        ValueError: for an unknown method, a method without its data, or too few times.
    """
    use_position, use_velocity = _what_to_use(method, velocity is not None, source)
    fewest = fewest_times(use_velocity)
    if position.shape[1] < fewest:
        raise ValueError(
            f"{source}: {position.shape[1]} time points; estimating accelerations takes at least {fewest}"
        )
    position = unwrap(position, box)
    if not use_velocity:
        return _fit(time, position, None)
    if not use_position:
        return _fit(time, None, velocity)
    # Each kind alone shows its noise unless curvature hides it; the two together, weighted evenly,
    # see past the curvature but mix the noises. Each of these can only err upwards: take the least.
    even = float((time.shape[1] - 1) / np.mean(time[:, -1] - time[:, 0]))
    seen = [_fit(time, position, None), _fit(time, None, velocity), _fit(time, position, velocity, even)]
    noise = np.nanmin([(found.position_noise, found.velocity_noise) for found in seen], axis=0)
    return _fit(
        time, position, velocity, ratio=float(np.exp(np.mean(np.log(noise[1] / noise[0])))), noise=noise
    )


def white_noise(values: Vectors) -> Float[np.ndarray, "particles"]:
    """Return the standard deviation of white noise in the components of each particle; zero for none.

    A difference of order n multiplies the variance of white noise by binomial(2n, n), and that of a smooth
    signal by less and less. Where the estimates of orders 4, 6 and 8 agree to a fifth, it is noise that is
    left; where they do not, or there are fewer than 20 times, nothing is known of it.

    Args:
        values: (simulations, time, particles, dim), at equal steps of time.
    """
    if values.shape[1] < FEWEST_FOR_NOISE:
        return np.zeros(values.shape[2])
    orders = (4, 6, 8)
    found = np.stack(
        [
            np.sqrt((np.diff(values, order, axis=1) ** 2).mean(axis=(0, 1, 3)) / comb(2 * order, order))
            for order in orders
        ]
    )
    agree = found.max(axis=0) <= 1.2 * found.min(axis=0)
    return np.where(agree, found[-1], 0.0)


def unwrap(position: Vectors, box: Float[np.ndarray, dim] | None) -> Vectors:
    """Undo the wrapping into a periodic box, if no particle moves by half an edge between two times."""
    if box is None:
        return position
    steps = np.diff(position, axis=1)
    edges = np.where(np.isfinite(box), box, 0.0)
    jumps = np.round(steps / np.where(edges > 0, edges, np.inf))
    shifts = np.concatenate([np.zeros_like(position[:, :1]), np.cumsum(jumps, axis=1)], axis=1)
    return position - shifts * edges


def nearest_image(displacement: Any, box: Float[np.ndarray, dim] | None) -> Any:
    """Return displacements [..., dim] to the nearest periodic image; any array with NumPy's operators."""
    if box is None:
        return displacement
    edges = np.where(np.isfinite(box), box, 1.0)
    return displacement - np.where(np.isfinite(box), np.round(displacement / edges) * edges, 0.0)


def _fit(
    time: np.ndarray,
    position: Vectors | None,
    velocity: Vectors | None,
    ratio: float = 1.0,
    noise: Float[np.ndarray, "2 simulations particles"] | None = None,
) -> Derivatives:
    """Choose degree and window for each body, then trim all to the widest window chosen."""
    given = [x for x in (position, velocity) if x is not None]
    simulations, times, particles, dim = given[0].shape
    speed, acceleration = np.full((2, simulations, times, particles, dim), np.nan)
    error = np.zeros((simulations, particles))
    noises = np.full((2, simulations, particles), np.nan) if noise is None else noise
    widest = 0
    for members in _same_times(time):
        bodies = (len(members), particles, dim)
        data = np.concatenate([np.moveaxis(x[members], 1, 0).reshape(times, -1) for x in given])
        clock = time[members[0]] - time[members[0], 0]
        series = Series(data, clock, position is not None, velocity is not None, ratio)
        trials = list(_trials(series, bodies))
        if noise is None:
            for order, found in zip(series.orders, _noise(trials, series, bodies), strict=True):
                noises[order, members] = found
        # In the unit of the first kind's noise; bodies whose own ratio differs are taken at their worse kind.
        sigma = np.nanmax(noises[:, members] / np.array([1.0, ratio])[:, None, None], axis=0)
        expected = np.stack([trial.expected(sigma) for trial in trials])
        best = expected.argmin(axis=0)
        for index in np.unique(best):
            half, degree = trials[index].half, trials[index].degree
            widest = max(widest, half)
            who, body = np.nonzero(best == index)
            own = replace(series, data=data.reshape(-1, *bodies)[:, who, body].reshape(len(data), -1))
            fit = fits(own, half, [degree])[degree]
            for order, target in ((1, speed), (2, acceleration)):
                found = fit.apply(own, order).reshape(-1, len(who), dim)
                target[members[who], half : times - half, body] = np.moveaxis(found, 0, 1)
        error[members] = np.take_along_axis(expected, best[None], 0)[0]
    keep = slice(widest, times - widest)
    return Derivatives(speed[:, keep], acceleration[:, keep], error, keep, *noises)


class _Trial(NamedTuple):
    """One degree and window, and what it leaves and changes, per body."""

    degree: int
    half: int
    left: Float[np.ndarray, "kinds simulations particles"]  # noise variance, were all that is left noise
    gap: PerBody  # mean squared difference to the next degree
    gap_per_noise: PerBody  # the same, each window in units of the variance that unit noise gives it
    noise_gain: float  # variance of the acceleration for unit noise

    def expected(self, sigma: PerBody) -> PerBody:
        """Root of variance plus squared bias: the part of the gap that noise does not explain."""
        explained = np.minimum(sigma**2 / np.maximum(self.gap_per_noise, np.finfo(float).tiny), 1.0)
        return np.sqrt(sigma**2 * self.noise_gain + self.gap * (1.0 - explained))


def _trials(series: Series, bodies: tuple[int, int, int]) -> Iterator[_Trial]:
    per_body = lambda squares: squares.mean(axis=0).reshape(bodies).mean(axis=-1)
    longest = min(max(len(series.clock) // 8, 2), WIDEST)
    halves = np.unique(np.geomspace(1, longest, 2 * int(np.ceil(np.log2(longest))) + 1).round().astype(int))
    for half in map(int, halves):
        data = series.kinds * (2 * half + 1)
        degrees = [d for d in (*DEGREES, DEGREES[-1] + 2) if series.unknowns(d) <= data]
        found = fits(series, half, degrees, most=SAMPLE) if len(degrees) > 1 else {}
        for low, high in pairwise(degrees):
            change = Fit(found[high].weights - found[low].weights, found[low].centres, half)
            gap = change.apply(series, 2) ** 2
            yield _Trial(
                low,
                half,
                np.stack([per_body(left) for left in found[low].left_over(series)]),
                per_body(gap),
                per_body(gap / carried(change.weights[:, 2], series)[:, None]),
                float(found[low].carried(2, series).mean()),
            )


def _noise(trials: list[_Trial], series: Series, bodies: tuple[int, int, int]) -> np.ndarray:
    """Return the least noise of each kind that a trial leaves, but never less than rounding."""
    least = np.sqrt(np.min([trial.left for trial in trials], axis=0))
    kinds = np.abs(series.data).reshape(series.kinds, -1, *bodies)
    return np.maximum(least, np.maximum(kinds.max(axis=(1, 4)) * np.finfo(float).eps / 4, 1e-150))


def _same_times(time: Float[np.ndarray, "simulations time"]) -> Iterator[np.ndarray]:
    """Groups of simulations whose clocks agree up to an offset: they share their windows."""
    clocks = time - time[:, :1]
    _, group = np.unique(np.round(clocks / clocks.max(), 12), axis=0, return_inverse=True)
    for g in range(group.max() + 1):
        yield np.flatnonzero(group.ravel() == g)


def _what_to_use(method: str, has_velocity: bool, source: str) -> tuple[bool, bool]:
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r} to estimate accelerations; expected one of {METHODS}")
    if method in ("velocity", "both") and not has_velocity:
        raise ValueError(f"{source}: method {method!r} needs velocities, and there are none")
    return method != "velocity", has_velocity and method != "position"
