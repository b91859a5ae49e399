"""What the data say of themselves: their noise, their finest scales, and whether their axes are closed."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from jaxtyping import Float

from sciml.datasets.fields import FieldSeries

ORDERS = range(2, 9)  # of differences that leave noise and little else
WRAP = 1.2  # a step over the end this many times the largest within is no step of a closed axis
FINE = 1e-3  # share of the squared slopes that lies beyond the finest scale


@dataclass(frozen=True)
class Character:
    """Properties of a field that set the scales of the test functions.

    Attributes:
        sigma: standard deviation of the measurement noise of each channel, taken for white.
        spread: standard deviation of each channel.
        finest: angular wavenumber, in radians per grid step, beyond which there is hardly any signal; of
            time and every spatial axis.
        periodic: whether each spatial axis closes on itself.
    """

    sigma: Float[np.ndarray, "channels"]
    spread: Float[np.ndarray, "channels"]
    finest: tuple[float, ...]
    periodic: tuple[bool, ...]

    @property
    def noise(self) -> Float[np.ndarray, "channels"]:
        """Noise relative to the spread."""
        return self.sigma / self.spread


def character(data: FieldSeries) -> Character:
    """Estimate noise, finest scales and closed axes."""
    sigma = noise_level(data.values)
    periodic = data.periodic
    if periodic is None:
        periodic = tuple(closes(data.values, axis + 1) for axis in range(data.dim))
    closed = (False, *periodic)
    finest = tuple(
        max(
            finest_scale(data.values[..., c], axis, sigma[c], closed[axis]) for c in range(len(data.channels))
        )
        for axis in range(data.dim + 1)
    )
    return Character(sigma, data.values.std(axis=tuple(range(data.dim + 1))), finest, periodic)


def noise_level(values: Float[np.ndarray, "time *shape channels"]) -> Float[np.ndarray, "channels"]:
    """Return the standard deviation of white noise, from high differences along the smoothest axis.

    A difference of order n multiplies the variance of white noise by binomial(2n, n), and smooth signals by
    almost nothing; of all orders and axes the smallest estimate is the least spoilt by signal.
    """
    axes = values.ndim - 1
    best = np.full(values.shape[-1], np.inf)
    for axis in range(axes):
        found = values
        for order in range(1, max(ORDERS) + 1):
            if found.shape[axis] < 4:
                break
            found = np.diff(found, axis=axis)
            if order in ORDERS:
                level = np.sqrt((found**2).mean(axis=tuple(range(axes))) / comb(2 * order, order))
                best = np.minimum(best, level)
    return best


def closes(values: Float[np.ndarray, "time *shape channels"], axis: int) -> bool:
    """Whether the steps over the end, from the last point to the first, are like some steps within the axis.

    First to third differences are compared: a field that is as high at both ends but comes and leaves at
    other slopes does not close.
    """
    n = values.shape[axis]
    moved = np.moveaxis(values, axis, 0).reshape(n, -1)
    for order in (1, 2, 3):
        steps = np.sqrt((np.diff(np.concatenate([moved, moved[:order]]), order, axis=0) ** 2).mean(-1))
        within, over = steps[: n - order], steps[n - order :]
        if over.max() > WRAP * within.max():
            return False
    return True


def finest_scale(values: Float[np.ndarray, "time *shape"], axis: int, sigma: float, periodic: bool) -> float:
    """Return the wavenumber below which all but a thousandth of the squared slopes lie (radians per step)."""
    moved = np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis])
    n = moved.shape[-1]
    window = np.ones(n) if periodic else np.hanning(n + 2)[1:-1]
    moved = (moved - moved.mean(-1, keepdims=True)) * window
    power = (np.abs(np.fft.rfft(moved, axis=-1)) ** 2).mean(0)
    k = 2 * np.pi * np.arange(len(power)) / n
    floor = sigma**2 * (window**2).sum()
    clear = power > floor * (1 + 4.0 / np.sqrt(len(moved)))  # an excess that chance does not make
    peak = 1 + int(np.argmax(power[1:]))
    beyond = np.flatnonzero(~clear[peak:-1] & ~clear[peak + 1 :])  # two in a row: the signal has ended
    last = peak + int(beyond[0]) if len(beyond) else len(power)
    signal = (np.where(clear, power - floor, 0.0) * k**2)[:last]
    if signal.sum() == 0:
        return float(k[1])
    cumulated = np.cumsum(signal) / signal.sum()
    return float(k[max(int(np.searchsorted(cumulated, 1 - FINE)), 1)])
