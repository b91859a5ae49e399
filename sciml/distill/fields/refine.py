"""Coefficients by whole trajectories, where noise leaves those of the weak form uncertain.

The weak form looks at every test function by itself. An equation that is known can do more: let it run from a
start, and ask for the coefficients and the start whose fields are nearest to all snapshots. Under white noise
that is maximum likelihood, whose errors reach the Cramér–Rao bound. It is taken only where it is sound: on
periodic axes, where the trajectory explains the data to within their noise and agrees with the weak form.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from sciml.datasets.fields import FieldSeries
from sciml.distill.fields.fit import Fit
from sciml.distill.fields.noise import Character
from sciml.distill.fields.rollout import smoothed, system_of
from sciml.distill.fields.terms import Term
from sciml.physics.spectral import BlowUpError, PeriodicGrid, evolve

log = logging.getLogger(__name__)

WORTH = 5e-3  # relative standard error below which the weak form is good enough
MOST_UNKNOWNS = 256  # coefficients and modes of the start: each costs a simulation per iteration
MOST_NUMBERS = 2**25  # of all simulations of one iteration together: a quarter of a gigabyte
MOST_STEPS = 64  # steps in time between snapshots
ITERATIONS = 40
SETTLED = 0.05  # change in standard errors at which the iteration has converged
EXPLAINED = 1.2  # mean squared residual, relative to the noise, beyond which the trajectory is not the data's
APART = 4.5  # standard errors of the weak form within which the coefficients must stay


@dataclass(frozen=True, eq=False)
class _Trajectories:
    """Fields of many sets of unknowns at once, beside the data.

    Attributes:
        data: all snapshots.
        sigma: noise of each channel.
        terms: of each channel.
        time_order: of the equations.
        basis: low Fourier modes along the axis, of unit height.
        steps: in time between snapshots.
    """

    data: FieldSeries
    sigma: Float[np.ndarray, "channels"]
    terms: tuple[tuple[Term, ...], ...]
    time_order: int
    basis: Float[np.ndarray, "modes points"]
    steps: int = 1

    @property
    def coefficients(self) -> int:
        """How many of the unknowns are coefficients; the others are modes of the start."""
        return sum(map(len, self.terms))

    def residuals(self, unknowns: Float[np.ndarray, "sets unknowns"]) -> Float[np.ndarray, "sets numbers"]:
        """Return (simulated - measured) / noise for every set of unknowns.

        Raises:
            BlowUpError: a simulation is not finite.
        """
        sets, channels = len(unknowns), len(self.terms)
        w, z = unknowns[:, : self.coefficients], unknowns[:, self.coefficients :]
        start = z.reshape(sets, channels * self.time_order, -1) @ self.basis
        columns = iter(w.T[:, :, None])
        sums = [[(term, next(columns)) for term in own] for own in self.terms]
        grid = PeriodicGrid(self.data.shape, self.data.dx)
        linear, nonlinear = system_of(sums, self.time_order, grid, (sets, 1))
        found = evolve(
            start.swapaxes(0, 1), grid, self.data.dt, self.data.times, linear, nonlinear, substeps=self.steps
        )
        apart = found[:, :channels].transpose(2, 0, 3, 1) - self.data.values  # sets time points channels
        return (apart / self.sigma).reshape(sets, -1)


def refine(
    fits: Sequence[Fit],
    terms: Sequence[Sequence[Term]],
    time_order: int,
    data: FieldSeries,
    character: Character,
) -> list[Fit] | None:
    """Fit all equations together to whole trajectories, by Gauss and Newton's method.

    Args:
        fits: of each channel, by the weak form.
        terms: that they consist of.
        time_order: 1 for u_t = ..., 2 for u_tt = ...
        data: all snapshots.
        character: of the data.

    Returns:
        The fits with better coefficients and their covariance; None where there is nothing to gain or the
        trajectory is not that of the data (more than one axis, axes that do not close, chaos, an equation
        that lacks something).
    """
    uncertain = max(float((f.errors / np.abs(f.coefficients)).max()) for f in fits)
    if uncertain < WORTH or data.dim > 1 or not all(character.periodic):
        return None
    basis = _modes(data.shape[0], character.finest[1])
    problem = _Trajectories(data, character.sigma, tuple(map(tuple, terms)), time_order, basis)
    weak = np.concatenate([f.coefficients for f in fits])
    first, slope = smoothed(data, character, 1)
    states = [first] if time_order == 1 else [first, slope]
    scale = (problem.basis**2).sum(1)
    z = [problem.basis @ state[:, c] / scale for state in states for c in range(len(fits))]
    unknowns = np.concatenate([weak, *z])
    if len(unknowns) > MOST_UNKNOWNS or (len(unknowns) + 1) * data.values.size > MOST_NUMBERS:
        return None
    try:
        found = _least_squares(_stepped(problem, unknowns), unknowns)
    except (BlowUpError, np.linalg.LinAlgError) as error:
        log.info("no trajectory to refine by: %s", error)
        return None
    if found is None:
        return None
    best, covariance, chi2 = found
    errors = np.concatenate([f.errors for f in fits])
    apart = np.abs(best[: len(weak)] - weak) / errors
    if chi2 > EXPLAINED or (apart > APART).any():
        log.info("the trajectory leaves %.2f of the noise, %.1f errors from the weak form", chi2, apart.max())
        return None
    return _divided(fits, best, covariance * max(chi2, 1.0))


def _divided(fits: Sequence[Fit], best: np.ndarray, covariance: np.ndarray) -> list[Fit]:
    """Give every channel its share of coefficients and covariance."""
    refined, first = [], 0
    for old in fits:
        own = slice(first, first + len(old.coefficients))
        refined.append(replace(old, coefficients=best[own], covariance=covariance[own, own]))
        first = own.stop
    return refined


def _modes(points: int, finest: float) -> Float[np.ndarray, "modes points"]:
    """Return cosines and sines up to half as fine again as the signal's finest."""
    x = 2 * np.pi * np.arange(points) / points
    most = min(int(1.5 * finest * points / (2 * np.pi)) + 1, (points - 1) // 2)
    waves = [f(m * x) for m in range(1, most + 1) for f in (np.cos, np.sin)]
    return np.stack([np.ones(points), *waves])


def _stepped(problem: _Trajectories, unknowns: np.ndarray) -> _Trajectories:
    """Double the steps in time until they matter less than a twentieth of the noise."""
    before = None
    while problem.steps <= MOST_STEPS:
        try:
            after = problem.residuals(unknowns[None])[0]
        except BlowUpError:
            after = None
        if before is not None and after is not None and np.abs(after - before).max() < 0.05:
            return problem
        before, problem = after, replace(problem, steps=2 * problem.steps)
    raise BlowUpError(f"the solution does not settle with {MOST_STEPS} steps between snapshots")


def _least_squares(
    problem: _Trajectories, unknowns: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Return unknowns, their covariance and the mean squared residual; None if it does not converge."""
    size = np.maximum(np.abs(unknowns), 1e-3 * np.abs(unknowns[problem.coefficients :]).max())
    h = 1e-5 * np.where(np.arange(len(unknowns)) < problem.coefficients, np.abs(unknowns), size)
    for _ in range(ITERATIONS):
        r, *shifted = problem.residuals(np.vstack([unknowns, unknowns + np.diag(h)]))
        jacobian = (np.stack(shifted, axis=1) - r[:, None]) / h
        scale = np.linalg.norm(jacobian, axis=0)
        if not (scale > 0).all():
            return None
        scaled = jacobian / scale
        covariance = np.linalg.inv(scaled.T @ scaled) / np.outer(scale, scale)
        step = -covariance @ (jacobian.T @ r)
        error = np.sqrt(np.diag(covariance))
        chi2 = float(r @ r) / max(len(r) - len(unknowns), 1)
        if (np.abs(step) < SETTLED * error)[: problem.coefficients].all():
            return unknowns + step, covariance, chi2
        unknowns = _downhill(problem, unknowns, step, float(r @ r))
    return None


def _downhill(problem: _Trajectories, unknowns: np.ndarray, step: np.ndarray, before: float) -> np.ndarray:
    """Take the step, or as much of it as makes the residual smaller."""
    for part in 0.5 ** np.arange(8):
        try:
            r = problem.residuals((unknowns + part * step)[None])[0]
        except BlowUpError:
            continue
        if float(r @ r) < before * (1 + 1e-9):
            return unknowns + part * step
    raise BlowUpError("no step makes the trajectory come nearer")
