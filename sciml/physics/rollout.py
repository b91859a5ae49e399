"""Rollouts: integrate a force to given tolerance, and say how well energy and momentum are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.integrate import DOP853

Force = Callable[[np.ndarray, np.ndarray], np.ndarray]
Radial = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Rollout:
    """A path of particles under a force.

    Attributes:
        time: the times reached: all that were asked for, if ``complete``.
        position: at those times.
        velocity: at those times.
        complete: False if the integration ended early.
        reason: why it did, in words; empty if it did not.
        evaluations: of the force.
    """

    time: Float[np.ndarray, "time"]
    position: Float[np.ndarray, "time particles dim"]
    velocity: Float[np.ndarray, "time particles dim"]
    complete: bool
    reason: str
    evaluations: int

    def momentum_drift(self, mass: Float[np.ndarray, "particles"]) -> Float[np.ndarray, "time"]:
        """Change of the total momentum over the sum of the sizes of the initial momenta."""
        momentum = np.asarray(mass)[:, None] * self.velocity
        total = momentum.sum(axis=1)
        return np.linalg.norm(total - total[0], axis=-1) / np.linalg.norm(momentum[0], axis=-1).sum()

    def energy_drift(
        self, mass: Float[np.ndarray, "particles"], force: Radial, nodes: int = 24
    ) -> Float[np.ndarray, "time"]:
        """Change of kinetic plus potential energy, over the initial kinetic energy.

        The potential is that of a central pair force: its work is integrated over each distance from
        the initial to the present one, by Gauss-Legendre quadrature in log r.

        Args:
            mass: of the particles.
            force: distances [..., pairs] to forces of pairs ``np.triu_indices(particles, 1)``,
                positive where they repel.
            nodes: of the quadrature.
        """
        first, second = np.triu_indices(self.position.shape[1], k=1)
        distance = np.linalg.norm(self.position[:, first] - self.position[:, second], axis=-1)
        points, weights = np.polynomial.legendre.leggauss(nodes)
        half = 0.5 * np.log(distance / distance[0])
        work = np.zeros(len(self.time))
        for point, weight in zip(points, weights, strict=True):
            r = distance[0] * np.exp(half * (1.0 + point))
            work += weight * (force(r) * r * half).sum(axis=-1)
        kinetic = 0.5 * (np.asarray(mass)[:, None] * self.velocity**2).sum(axis=(1, 2))
        return (kinetic - kinetic[0] - work) / kinetic[0]


def rollout(
    acceleration: Force,
    position: Float[np.ndarray, "particles dim"],
    velocity: Float[np.ndarray, "particles dim"],
    times: Float[np.ndarray, "time"],
    *,
    rtol: float = 1e-12,
    most_evaluations: int = 2_000_000,
) -> Rollout:
    """Integrate x'' = a(x, v) by DOP853 (Hairer, Nørsett & Wanner, Solving ODEs I, 1993) with dense output.

    A law may lead particles into each other; the rollout then ends early and says so.

    Args:
        acceleration: positions and velocities [particles, dim] to accelerations.
        position: at ``times[0]``.
        velocity: at ``times[0]``.
        times: where the path is wanted, increasing or decreasing.
        rtol: relative tolerance of each step; the absolute one is ``rtol`` times the size of each
            particle's initial position and velocity.
        most_evaluations: of the force; the rollout ends there.

    Raises:
        ValueError: if the times are not monotonic, the shapes disagree, or the force is not finite at
            the start.
    """
    x, v, times = (np.asarray(y, dtype=float) for y in (position, velocity, times))
    a = _check(acceleration, x, v, times)
    size, shape = x.size, x.shape

    def right_hand_side(_: float, state: np.ndarray) -> np.ndarray:
        x, v = state[:size].reshape(shape), state[size:].reshape(shape)
        return np.concatenate([state[size:], np.asarray(acceleration(x, v)).ravel()])

    length, speed = np.linalg.norm(x, axis=1), np.linalg.norm(v, axis=1)
    speed = np.maximum(speed, np.sqrt(np.linalg.norm(a, axis=1) * length))  # also where it starts from rest
    scale = np.concatenate([_scale(length, x.shape[1]), _scale(speed, x.shape[1])])
    start = np.concatenate([x.ravel(), v.ravel()])
    states = np.empty((len(times), 2 * size))
    states[0], reached, reason = start, 1, ""
    forwards = 1.0 if times[-1] >= times[0] else -1.0
    tolerances: dict[str, Any] = {"rtol": rtol, "atol": rtol * scale}
    with np.errstate(all="ignore"):  # a collision overflows and ends the rollout
        solver = DOP853(right_hand_side, times[0], start, times[-1], **tolerances)
        while reached < len(times) and not reason:
            message = solver.step()
            if solver.status == "failed" or not np.isfinite(solver.y).all():
                reason = f"the force diverges near time {solver.t:g}: {message or 'values overflow'}"
            elif solver.nfev > most_evaluations:
                reason = f"{most_evaluations} evaluations of the force reached only time {solver.t:g}"
            else:
                passed = forwards * (times[reached:] - solver.t) <= 0
                until = reached + int(passed.sum())
                states[reached:until] = solver.dense_output()(times[reached:until]).T
                reached = until
    path = states[:reached].reshape(reached, 2, *x.shape)
    return Rollout(times[:reached], path[:, 0], path[:, 1], not reason, reason, solver.nfev)


def _scale(sizes: Float[np.ndarray, "particles"], dim: int) -> Float[np.ndarray, "components"]:
    """Size of each particle for each of its components; at least a thousandth of the largest."""
    return np.repeat(np.maximum(sizes, max(1e-3 * sizes.max(), np.finfo(float).tiny)), dim)


def _check(acceleration: Force, x: np.ndarray, v: np.ndarray, times: np.ndarray) -> np.ndarray:
    if x.ndim != 2 or x.shape != v.shape:
        raise ValueError(f"position {x.shape} and velocity {v.shape}: expected both [particles, dim]")
    if times.ndim != 1 or not len(times) or not ((np.diff(times) > 0).all() or (np.diff(times) < 0).all()):
        raise ValueError("times of a rollout must be a list that only increases or only decreases")
    a = np.asarray(acceleration(x, v))
    if a.shape != x.shape or not np.isfinite(a).all():
        found = f"shape {a.shape}" if a.shape != x.shape else "values that are not finite"
        raise ValueError(f"the acceleration at the start has {found}; expected finite {x.shape}")
    return a
