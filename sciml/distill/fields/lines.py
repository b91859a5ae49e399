"""Equations on grids with open ends, solved along lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy.signal import savgol_filter

from sciml.datasets.fields import FieldSeries
from sciml.distill.fields.terms import Orders, Term

Sum = Sequence[tuple[Term, float]]
RIM = 3  # points at an open end whose values are the data's
EVALUATIONS = 20_000  # of the right-hand side, after which a rollout ends early


def solve_open(
    equations: Sequence[Sum], time_order: int, start: np.ndarray, data: FieldSeries
) -> tuple[np.ndarray, str]:
    """Solve along lines; a rim of points at the open ends follows the (smoothed) data."""
    from scipy.integrate import solve_ivp
    from scipy.interpolate import CubicSpline

    channels, shape = len(equations), data.shape
    closed = data.periodic or (False,) * data.dim
    inner = np.ones(shape, dtype=bool)
    for axis, periodic in enumerate(closed):
        if not periodic:
            edge = np.arange(shape[axis])
            keep = (edge >= RIM) & (edge < shape[axis] - RIM)
            inner &= keep.reshape([-1 if a == axis else 1 for a in range(data.dim)])
    window = min(7, data.times - (1 - data.times % 2))
    values = np.moveaxis(data.values, -1, 1)  # time channels *shape
    rim = values[:, :, ~inner]
    rim = savgol_filter(rim, window, 2, axis=0) if window > 3 else rim
    given = CubicSpline(data.dt * np.arange(data.times), rim, axis=0)
    matrices: dict = {}

    def derive(field: np.ndarray, orders: Orders) -> np.ndarray:
        for axis, order in enumerate(orders):
            if order:
                key = (axis, order)
                if key not in matrices:
                    matrices[key] = difference_matrix(shape[axis], data.dx[axis], order, closed[axis])
                field = np.moveaxis(
                    (matrices[key] @ np.moveaxis(field, axis, 0).reshape(shape[axis], -1)).reshape(
                        np.moveaxis(field, axis, 0).shape
                    ),
                    0,
                    axis,
                )
        return field

    calls = 0

    def rate(t: float, flat: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls > EVALUATIONS:
            raise TimeoutError
        state = np.zeros((len(start), *shape))
        state[:, inner] = flat.reshape(len(start), -1)
        state[:channels, ~inner] = given(t)
        if time_order == 2:
            state[channels:, ~inner] = given(t, 1)
        found = np.zeros_like(state)
        for c, terms in enumerate(equations):
            row = c + channels * (time_order - 1)
            for term, w in terms:
                if term.orders[0]:
                    moved = replace(
                        term,
                        orders=(0, *term.orders[1:]),
                        factors=((term.factors[0][0] + channels, term.factors[0][1]),),
                    )
                    found[row] += w * value_of(moved, state, derive)
                else:
                    found[row] += w * value_of(term, state, derive)
            if time_order == 2:
                found[c] = state[channels + c]
        return found[:, inner].ravel()

    times = data.dt * np.arange(data.times)
    state, done, note = start[:, inner].ravel(), [start[:channels]], ""
    method = "LSODA" if state.size <= 600 else "RK45"
    for k in range(1, data.times):
        try:
            with np.errstate(all="ignore"):
                solved = solve_ivp(rate, times[k - 1 : k + 1], state, method=method, rtol=1e-4, atol=1e-6)
        except (TimeoutError, ValueError):
            solved = None
        if solved is None or not solved.success or not np.isfinite(solved.y[:, -1]).all():
            note = f"it could not be followed beyond {k} of {data.times} snapshots"
            break
        state = solved.y[:, -1]
        field = np.empty((channels, *shape))
        field[:, inner] = state.reshape(len(start), -1)[:channels]
        field[:, ~inner] = given(times[k])
        done.append(field)
    return np.moveaxis(np.stack(done), 1, -1), note


def difference_matrix(n: int, step: float, order: int, closed: bool) -> Float[np.ndarray, "n n"]:
    """Return central differences of fourth order of accuracy (at open ends, of the nearest window)."""
    half = (order + 1) // 2 + 1
    found = np.zeros((n, n))
    for i in range(n):
        centre = i if closed else int(np.clip(i, half, n - 1 - half))
        points = np.arange(centre - half, centre + half + 1)
        powers = ((points - i) * 1.0) ** np.arange(2 * half + 1)[:, None]
        right = np.zeros(2 * half + 1)
        right[order] = float(np.prod(np.arange(1, order + 1)))
        found[i, points % n] = np.linalg.solve(powers, right) / step**order
    return found


def value_of(term: Term, u: np.ndarray, derive: Callable[[np.ndarray, Orders], np.ndarray]) -> np.ndarray:
    """Return a term of given fields."""
    product = np.ones(u.shape[1:])
    for channel, orders in term.factors:
        product = product * derive(u[channel], orders[1:])
    return derive(product, term.orders[1:])
