"""What found equations are worth when they run alone: from a held-out state forward, beside the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.signal import savgol_filter

from sciml.datasets.fields import FieldSeries
from sciml.distill.fields.lines import Sum, solve_open, value_of
from sciml.distill.fields.noise import Character
from sciml.distill.fields.terms import Term
from sciml.physics.spectral import BlowUpError, Nonlinear, PeriodicGrid, evolve

LARGEST = 20.0  # times the data's spread: beyond, the solution has left them


@dataclass(frozen=True, eq=False)
class FieldRollout:
    """Fields by the equations, beside the data.

    Attributes:
        time: since the start, for each frame that was reached.
        predicted, true: by the equations, and in the data.
        error: rms difference beyond the noise, or what the noise lets see if that is more, relative to the
            spread, per frame and channel.
        persistence: the same error if nothing changed after the start.
        note: what a reader must know, as that it ended early.
    """

    time: Float[np.ndarray, "time"]
    predicted: Float[np.ndarray, "time *shape channels"]
    true: Float[np.ndarray, "time *shape channels"]
    error: Float[np.ndarray, "time channels"]
    persistence: Float[np.ndarray, "time channels"]
    note: str = ""


def follow(
    equations: Sequence[Sum], time_order: int, data: FieldSeries, character: Character
) -> FieldRollout:
    """Simulate equations from the beginning of data that they were not fitted to.

    The first state is smoothed: in time by a parabola over a few frames, in space by leaving out what is
    finer than the signal. On periodic grids the equations are solved in Fourier space; on others by
    differences along lines, with the data's values along a rim of three points.

    Args:
        equations: of each channel, its terms with their coefficients.
        time_order: 1 for u_t = ..., 2 for u_tt = ...
        data: held-out snapshots.
        character: of all the data.
    """
    half = int(np.clip(round(1.5 / character.finest[0]), 1, max((data.times - 3) // 6, 1)))
    smooth = smoothed(data, character, half)
    first, slope = smooth
    rest = data.between(half)
    start = np.moveaxis(first, -1, 0)
    if time_order == 2:
        start = np.concatenate([start, np.moveaxis(slope, -1, 0)])
    solver = _periodic if all(character.periodic) else solve_open
    predicted, note = solver(equations, time_order, start, rest)
    predicted, true = predicted[: rest.times], rest.values[: len(predicted)]
    bound = LARGEST * character.spread.max() + np.abs(data.values).max()
    wild = np.flatnonzero(
        (~np.isfinite(predicted)).reshape(len(predicted), -1).any(1)
        | (np.abs(predicted).reshape(len(predicted), -1).max(1) > bound)
    )
    if len(wild):
        predicted, true = predicted[: wild[0]], true[: wild[0]]
        note = note or f"it left all bounds after {wild[0]} of {rest.times} snapshots"
    axes = tuple(range(1, data.dim + 1))
    seen = np.sqrt(2.0 / np.prod(data.shape))  # relative error of a mean square of noise
    beyond = lambda apart, noise: (
        np.sqrt(np.maximum((apart**2).mean(axes) - noise**2, seen * noise**2)) / character.spread
    )
    return FieldRollout(
        data.dt * np.arange(len(true)),
        predicted,
        true,
        beyond(predicted - true, character.sigma),
        beyond(first[None] - true, character.sigma),
        note,
    )


def smoothed(data: FieldSeries, character: Character, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the fields and their slopes in time at frame ``half``, each (*shape, channels)."""
    t = np.arange(2 * half + 1) - half
    degree = 2 if half > 1 else 1
    design = np.stack([(t * data.dt) ** n for n in range(degree + 1)], axis=1)
    frames = data.values[: 2 * half + 1].reshape(2 * half + 1, -1)
    fitted = np.linalg.lstsq(design, frames, rcond=None)[0]
    found = []
    for values in fitted[:2]:
        field = values.reshape(data.values.shape[1:])
        for axis, (finest, closed) in enumerate(zip(character.finest[1:], character.periodic)):
            n = field.shape[axis]
            if closed:
                k = (
                    2
                    * np.pi
                    * np.abs(np.fft.fftfreq(n)).reshape([-1 if a == axis else 1 for a in range(field.ndim)])
                )
                modes = np.fft.fft(field, axis=axis)
                field = np.fft.ifft(np.where(k <= 1.5 * finest, modes, 0), axis=axis).real
            elif character.noise.max() > 1e-3:
                window = (
                    2 * int(np.clip(round((5 / (1.5 * finest / np.pi) + 4.6) / 3.2), 3, (n - 1) // 4)) + 1
                )
                field = savgol_filter(field, window, 4, axis=axis)
        found.append(field)
    return found[0], found[1]


def _periodic(
    equations: Sequence[Sum], time_order: int, start: np.ndarray, data: FieldSeries
) -> tuple[np.ndarray, str]:
    grid, channels = PeriodicGrid(data.shape, data.dx), len(equations)
    linear, nonlinear = system_of(equations, time_order, grid)
    for frames in _halvings(data.times):
        try:
            solved = evolve(
                start, grid, data.dt, frames, linear, nonlinear, tolerance=1e-3, most_substeps=128
            )
            note = (
                "" if frames == data.times else f"it is not finite after {frames} of {data.times} snapshots"
            )
            return np.moveaxis(solved[:, :channels], 1, -1), note
        except BlowUpError:
            continue
    return np.moveaxis(start[None, :channels], 1, -1), "it is not finite from the start"


def system_of(
    equations: Sequence[Sum], time_order: int, grid: PeriodicGrid, sets: tuple[int, ...] = ()
) -> tuple[np.ndarray, Nonlinear | None]:
    """Return equations as `evolve` takes them: what is linear mode by mode, and the rest in space.

    Args:
        equations: of each channel; coefficients are numbers, or arrays of shape ``sets``.
        time_order: with 2, the channels are followed by their time derivatives.
        grid: periodic.
        sets: shape that coefficients of many sets of equations have, to broadcast over modes and points.
    """
    channels = len(equations)
    modes = np.broadcast_shapes(sets, *(k.shape for k in grid.k))
    linear = np.zeros((channels * time_order, channels * time_order, *modes), dtype=complex)
    rest: list[tuple[int, Term, float]] = []
    for c, terms in enumerate(equations):
        row = c + channels * (time_order - 1)
        for term, w in terms:
            if term.degree == 1:
                (source, _), time = term.factors[0], term.orders[0]
                linear[row, source + channels * time] += w * grid.symbol(term.orders[1:])
            else:
                rest.append((row, term, w))
        if time_order == 2:
            linear[c, row] += 1.0
    if not rest:
        return linear, None
    derive = lambda field, orders: grid.derivative(field[None], orders)[0] if any(orders) else field

    def nonlinear(u: np.ndarray) -> np.ndarray:
        total = np.zeros_like(u)
        for row, term, w in rest:
            total[row] += w * value_of(term, u, derive)
        return total

    return linear, nonlinear


def _halvings(number: int) -> list[int]:
    found = []
    while number >= 2:
        found.append(number)
        number //= 2
    return found
