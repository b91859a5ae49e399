"""Constants by whole paths: trajectories of a law over short windows, their starts unknown, beside the data.

Weak forms use noisy paths inside the forces, which biases them a little. A law that runs from a start does
not: the constants and the starts whose trajectories are nearest to the measured positions are maximum
likelihood under white noise (multiple shooting, Bock 1981, doi 10.1007/978-3-642-68220-9_8), and the residual
says whether the law explains the paths to within their noise. `fields.refine` does the same for fields.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from sciml.distill.motion.model import Model
from sciml.distill.motion.rows import Observed
from sciml.distill.motion.trajectories import integrate, sensitivities
from sciml.physics.differentiate import unwrap

log = logging.getLogger(__name__)

SPACINGS = (2.5, 6.0, 12.0)  # lengths of windows in spacings of knots, one after the other
SHORTEST, LONGEST = 12, 200  # of a window, in times
WORK = 1.5e7  # numbers in the pair arrays of one iteration, about
PARAMETERS = 6  # of a law, about
ITERATIONS = 6
SETTLING = 6  # Jacobians of the starts alone
PER_JACOBIAN = 4  # steps that one serves
MOVED = 1e-2  # of a squared residual, by which a step is worth another
FOLLOWED = 3.0  # times the noise's mean square that a law may leave where it is on the right way
SETTLED = 0.05  # change in standard errors at which the iteration has converged
NUDGE = 1e-6
STEPS = 2  # most steps of integration between two times
ACCURATE = 0.1  # error of integration in units of the noise


@dataclass(frozen=True, eq=False)
class PathFit:
    """A model fitted to paths.

    Attributes:
        model: at its best parameters.
        errors: standard errors of the parameters.
        chi2: squared residual over its degrees of freedom, in units of the noise.
        total: squared residual.
        held_out: squared residual of later windows over its degrees of freedom; only starts are fitted there.
        rows: number of residuals.
    """

    model: Model
    errors: Float[np.ndarray, "parameters"]
    chi2: float
    total: float
    held_out: float
    rows: int


@dataclass(frozen=True, eq=False)
class _Windows:
    """Pieces of the data.

    Attributes:
        position: measured, over its noise.
        time: of each window, from its start.
        simulation: which simulation each window is from.
        start: position and velocity of the smoothed path where each begins.
        sigma: noise in positions.
    """

    position: Float[np.ndarray, "windows times particles dim"]
    time: Float[np.ndarray, "windows times"]
    simulation: Int[np.ndarray, "windows"]
    start: Float[np.ndarray, "windows 2 particles dim"]
    sigma: Float[np.ndarray, "windows particles"]

    def some(self, keep: np.ndarray) -> _Windows:
        return _Windows(
            *(getattr(self, name)[keep] for name in ("position", "time", "simulation", "start", "sigma"))
        )


@dataclass(frozen=True, eq=False)
class Pieces:
    """Windows that laws are fitted to, and later ones that judge them."""

    fitted: _Windows
    later: _Windows


def cut(observed: Observed, spacings: float = SPACINGS[0], guide: Model | None = None) -> Pieces:
    """Cut paths into windows; the last quarter is kept back.

    Args:
        observed: the data.
        spacings: length of a window in spacings of knots. Longer ones determine constants better.
        guide: a law that follows shorter windows: longer ones begin where it does, and are left out where it
            does not find the way through, as with chaos.

    Raises:
        ValueError: trajectories of the guide are not finite, or do not follow most windows.
    """
    windows, later = _windows(observed, spacings)
    return (
        Pieces(windows, later)
        if guide is None
        else Pieces(_followed(guide, windows), _followed(guide, later))
    )


def fit_paths(model: Model, pieces: Pieces) -> PathFit:
    """Fit constants, strengths and starts to the positions of all windows but the later ones.

    Raises:
        ValueError: trajectories of the law are not finite.
    """
    windows, later = pieces.fitted, pieces.later
    steps = _steps(model, windows)
    values = model.start
    z, _ = _settled(model, windows, steps)
    total, blocks = _linearize(model, values, z, windows, steps)
    damping, covariance = 1e-3, np.zeros((len(values), len(values)))
    for _ in range(ITERATIONS):
        moved = _step(blocks, damping, len(values))
        if moved is None:
            break
        dv, dz, covariance = moved
        trial = _residual(model, values + dv, z + dz.reshape(z.shape), windows, steps)
        with np.errstate(over="ignore"):  # a path that runs away is refused
            square = float((trial**2).sum())
        if np.isfinite(square) and square < total:
            values, z = values + dv, z + dz.reshape(z.shape)
            errors = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
            done = total - square < 1e-4 * total / max(trial.size, 1) or bool(
                (np.abs(dv) < SETTLED * errors).all()
            )
            total, blocks = _linearize(model, values, z, windows, steps)
            damping /= 10
            if done and damping < 1e-4:
                break
        else:
            damping *= 10
            if damping > 1e8:
                break
    final = _step(blocks, 1e-9, len(values))
    covariance = covariance if final is None else final[2]
    rows = windows.position.size
    freedom = max(rows - z.size - len(values), 1)
    chi2 = total / freedom
    fitted = model.with_parameters(values)
    outside = _held_out(fitted, later, steps)
    errors = np.full(len(values), np.inf)
    if np.isfinite(chi2):  # otherwise the paths ran away, and say nothing of the constants
        errors = np.sqrt(np.maximum(np.diag(covariance), 0.0) * max(chi2, 1.0))
    return PathFit(fitted, errors, chi2, total, outside, rows)


def _windows(observed: Observed, spacings: float) -> tuple[_Windows, _Windows]:
    data = observed.data
    position = unwrap(data.position, data.box)
    simulations, times, particles, dim = position.shape
    length = int(np.clip(round(spacings * observed.spacing), SHORTEST, min(LONGEST, times)))
    number = max(times // length, 1)
    begins = [(s, k * length) for k in range(number) for s in range(simulations)]
    if observed.near is not None:  # through an encounter that is not resolved no path leads
        calm = [(s, k) for s, k in begins if not observed.near[s, k : k + length].any()]
        begins = calm if len(calm) >= max(len(begins) // 4, 4) else begins
    unknowns = 2 * particles * dim + PARAMETERS
    most = max(int(WORK / (unknowns * particles**2 * dim * length * 4)), 4)
    if len(begins) > most:
        begins = [begins[k] for k in np.unique(np.linspace(0, len(begins) - 1, most).astype(int))]
    pick = np.array(begins)
    span = pick[:, 1, None] + np.arange(length)
    s = pick[:, 0]
    sigma = observed.path_noise[s]
    x = position[s[:, None], span] / sigma[:, None, :, None]
    clock = data.time[s[:, None], span]
    start = np.stack([observed.position[s, pick[:, 1]], observed.velocity[s, pick[:, 1]]], axis=1)
    every = _Windows(x, clock - clock[:, :1], s, start, sigma)
    late = pick[:, 1] >= 0.75 * (number - 1) * length if simulations < 5 else s >= round(0.75 * simulations)
    if late.all() or not late.any():
        late = np.zeros(len(pick), dtype=bool)
        late[-max(len(pick) // 4, 0) :] = len(pick) > 3
    return every.some(~late), every.some(late)


def _residual(model: Model, values: np.ndarray, z: np.ndarray, windows: _Windows, steps: int) -> np.ndarray:
    values = np.broadcast_to(values, (*z.shape[:-3], values.shape[-1]))
    path = integrate(model, values, z, windows.time, windows.simulation, steps)
    return path / windows.sigma[:, None, :, None] - windows.position


def _steps(model: Model, windows: _Windows) -> int:
    steps = 1
    before = _residual(model, model.start, windows.start, windows, 1)
    while steps < STEPS:
        after = _residual(model, model.start, windows.start, windows, 2 * steps)
        if np.nanmedian(np.abs(after - before).max((1, 2, 3))) < ACCURATE:
            break
        steps, before = 2 * steps, after
    if not np.isfinite(before).all(axis=(1, 2, 3)).any():
        raise ValueError("trajectories of the law are not finite")
    return steps


def _linearize(model: Model, values: np.ndarray, z: np.ndarray, windows: _Windows, steps: int):
    """Return the squared residual and, for every window, residual and Jacobians of parameters and start."""
    residual, by_start, good = _starts(model.with_parameters(values), z, windows, steps)
    scale = NUDGE * np.maximum(np.abs(values), 1e-3 * np.abs(values).max(initial=1e-9))
    many_v = np.broadcast_to(values, (len(values), len(z), len(values))).copy()
    for k in range(len(values)):
        many_v[k, :, k] += scale[k]
    moved = _residual(model, many_v, np.broadcast_to(z, (len(values), *z.shape)), windows, steps)
    by_value = (moved.reshape(len(values), *residual.shape) - residual) / scale[:, None, None]
    good = good & np.isfinite(by_value).all((0, 2))
    residual = np.where(good[:, None], residual, 0.0)
    by_value, by_start = np.where(good[:, None], by_value, 0.0), np.where(good[:, None, None], by_start, 0.0)
    total = float((residual**2).sum()) if good.any() else np.inf
    return total, (residual, by_value, by_start)


def _step(blocks, damping: float, parameters: int):
    """Return the step of parameters and starts; the starts are eliminated window by window."""
    residual, jv, jz = blocks
    jv = jv.transpose(1, 0, 2)  # windows unknowns rows
    hz = jz @ jz.transpose(0, 2, 1)
    diagonal = np.einsum("wkk->wk", hz)
    diagonal = np.maximum(diagonal, 1e-12 * diagonal.max(initial=1e-300))
    hz = hz + (damping + 1e-12) * diagonal[:, :, None] * np.eye(hz.shape[1])
    cross = jz @ jv.transpose(0, 2, 1)
    gz = np.einsum("wkr,wr->wk", jz, residual)
    try:
        inverse = np.linalg.inv(hz)
    except np.linalg.LinAlgError:
        return None
    gv = np.einsum("wkr,wr->k", jv, residual)
    hv = np.einsum("wkr,wlr->kl", jv, jv)
    reduced = hv - np.einsum("wzk,wzy,wyl->kl", cross, inverse, cross, optimize=True)
    right = gv - np.einsum("wzk,wzy,wy->k", cross, inverse, gz, optimize=True)
    scale = 1 / np.sqrt(np.maximum(np.diag(reduced), 1e-300))
    normal = reduced * scale[:, None] * scale
    normal = normal + damping * np.eye(parameters)
    if not np.isfinite(normal).all():
        return None
    covariance = np.linalg.pinv(normal, rcond=1e-13, hermitian=True) * scale[:, None] * scale
    dv = -covariance @ right
    dz = -np.einsum("wzy,wy->wz", inverse, gz + cross @ dv)
    return dv, dz, covariance


def _settled(
    model: Model, windows: _Windows, steps: int
) -> tuple[Float[np.ndarray, "windows 2 particles dim"], Float[np.ndarray, "windows"]]:
    """Fit the starts alone, each window with a damping of its own; return them and the squared residuals.

    Starts move by as little as the noise, over which their Jacobian hardly changes: it serves several steps.
    """
    z, damping = windows.start, np.full(len(windows.start), 1e-3)
    for _ in range(SETTLING):
        residual, jz, good = _starts(model, z, windows, steps)
        square = np.where(good, (residual**2).sum(1), np.inf)
        normal = jz @ jz.transpose(0, 2, 1)
        diagonal = np.einsum("wkk->wk", normal)
        diagonal = np.maximum(diagonal, 1e-12 * diagonal.max(initial=1e-300))
        before = square
        for _ in range(PER_JACOBIAN):
            damped = normal + damping[:, None, None] * diagonal[:, :, None] * np.eye(normal.shape[1])
            gradient = np.einsum("wkr,wr->wk", jz, residual)
            trial = z + np.linalg.solve(damped, -gradient[..., None])[..., 0].reshape(z.shape)
            new_residual = _residual(model, model.start, trial, windows, steps).reshape(len(z), -1)
            with np.errstate(over="ignore"):  # a path that runs away is refused
                new = np.where(np.isfinite(new_residual).all(1), (new_residual**2).sum(1), np.inf)
            better = new < square
            gain = _most_lowered(square, new, better)
            z = np.where(better[:, None, None, None], trial, z)
            residual = np.where(better[:, None], new_residual, residual)
            square = np.where(better, new, square)
            damping = np.where(better, damping / 10, damping * 10)
            if better.any() and gain < MOVED:
                break
        if _most_lowered(before, square, square < before) < MOVED:
            break
    return z, square


def _most_lowered(before: np.ndarray, after: np.ndarray, better: np.ndarray) -> float:
    return float(np.where(better, np.nan_to_num(before, posinf=1e300) - after, 0.0).max(initial=0.0))


def _followed(guide: Model, windows: _Windows) -> _Windows:
    """Return the windows that a law can be followed through."""
    if not len(windows.start):
        return windows
    z, square = _settled(guide, windows, _steps(guide, windows))
    keep = square < FOLLOWED * windows.position[0].size
    if 2 * keep.sum() < len(keep):
        raise ValueError("most paths cannot be followed so far")
    return replace(windows, start=z).some(keep)


def _starts(
    model: Model, z: np.ndarray, windows: _Windows, steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return every window's residual, its Jacobian by the start, and whether its path stays finite.

    Where it runs away both are zero.
    """
    path, slopes = sensitivities(model, z, windows.time, windows.simulation, steps)
    sigma = windows.sigma[:, None, :, None]
    residual = (path / sigma - windows.position).reshape(len(z), -1)
    slopes = (slopes / sigma[..., None]).reshape(len(z), residual.shape[1], -1).transpose(0, 2, 1)
    good = np.isfinite(residual).all(1) & np.isfinite(slopes).all((1, 2))
    return np.where(good[:, None], residual, 0.0), np.where(good[:, None, None], slopes, 0.0), good


def _held_out(model: Model, windows: _Windows, steps: int) -> float:
    """Return the mean squared residual where only the starts are fitted."""
    if not len(windows.start):
        return float("nan")
    z, square = _settled(model, windows, steps)
    return float(square.sum() / max(windows.position.size - z.size, 1))
