"""Particles with pair forces and node terms, many simulations side by side: energies and integration."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from sciml.physics.catalogue import System
from sciml.physics.integrators import splitting
from sciml.physics.node_terms import NodeTerms, Parameters

STEP = 0.05  # of an adaptive step, see `Bodies.safe_step`
FINER = (0.7, 0.2)  # parts of that step, tried one after the other
MOST = 8  # times more steps than constant ones that a simulation may take


class Bodies:
    """Simulations side by side; pairs i < j are listed once.

    Args:
        system: potential and node terms.
        mass, charge: (simulations, particles).
        constant: k.
        softening: ε.
        parameters: instead of the system's own.
        strength: cᵢⱼ, (simulations, particles, particles), symmetric; ones if None.
    """

    def __init__(
        self,
        system: System,
        mass: np.ndarray,
        charge: np.ndarray,
        constant: float = 1.0,
        softening: float = 0.0,
        *,
        parameters: Parameters | None = None,
        strength: np.ndarray | None = None,
    ):
        self.system, self.mass, self.charge = system, mass, charge
        self.constant, self.softening = constant, softening
        self.parameters = {**system.parameters, **(parameters or {})}
        self.strength = np.ones((*mass.shape, mass.shape[1])) if strength is None else strength
        self.first, self.second = np.triu_indices(mass.shape[1], k=1)
        q = {"mass": mass, "charge": charge}.get(system.couples, np.ones_like(mass))
        alike = self.strength[:, self.first, self.second]
        self.coupling = constant * alike * q[:, self.first] * q[:, self.second]
        pairs = np.arange(len(self.first))
        self.incidence = np.zeros((mass.shape[1], len(pairs)))
        self.incidence[self.first, pairs], self.incidence[self.second, pairs] = 1.0, -1.0
        self.nodes = NodeTerms(self.parameters, mass, charge)

    def only(self, chosen: np.ndarray) -> Bodies:
        """Return some of the simulations."""
        return Bodies(
            self.system,
            self.mass[chosen],
            self.charge[chosen],
            self.constant,
            self.softening,
            parameters=self.parameters,
            strength=self.strength[chosen],
        )

    @property
    def keeps_energy(self) -> bool:
        """Whether nothing takes energy from the particles: no drag, no alignment."""
        return not (self.nodes.drags or self.system.align)

    @property
    def keeps_momentum(self) -> bool:
        """Whether nothing but the particles acts on them."""
        return not (self.nodes.fields or self.nodes.depends_on_velocity)

    # --------------------------------------------------------------- forces

    def _pairs(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        apart = x[..., self.first, :] - x[..., self.second, :]
        return apart, np.sqrt(np.einsum("...d,...d->...", apart, apart) + self.softening**2)

    def pairs_pull(self, x: Float[np.ndarray, "simulations particles dim"]) -> np.ndarray:
        """Acceleration by the pair forces that do not depend on velocity."""
        apart, distance = self._pairs(x)
        strength = -self.coupling * self.system.slope(distance, self.parameters) / distance
        return (self.incidence @ (strength[..., None] * apart)) / self.mass[..., None]

    def pull(self, x: Float[np.ndarray, "simulations particles dim"]) -> np.ndarray:
        """Acceleration by all forces that do not depend on velocity."""
        a = self.pairs_pull(x)
        return a + self.nodes.field(x) if self.nodes.fields else a

    def acceleration(
        self,
        x: Float[np.ndarray, "simulations particles dim"],
        v: Float[np.ndarray, "simulations particles dim"],
    ) -> np.ndarray:
        """Sum of all forces on each particle, over its mass."""
        a = self.pull(x) + self.nodes.of_velocity(v)
        return a + self._alignment(x) @ v if self.system.align else a

    def _alignment(self, x: np.ndarray) -> Float[np.ndarray, "simulations particles particles"]:
        """The matrix A of the accelerations A v by which velocities align."""
        assert self.system.align is not None
        weight = self.coupling * self.system.align(self._pairs(x)[1], self.parameters)
        laplacian = (self.incidence * weight[:, None]) @ self.incidence.T
        return -laplacian / self.mass[..., None]

    def turn(self, x: np.ndarray, v: np.ndarray, h: float | np.ndarray) -> np.ndarray:
        """Velocities after a time h of the forces that depend on velocity, at fixed positions.

        Alignment by the implicit midpoint rule, which is symmetric and keeps momentum, between halves of
        the node terms, which are exact.
        """
        if not self.system.align:
            return self.nodes.turn(v, h)
        half, one = 0.5 * h * self._alignment(x), np.eye(v.shape[1])
        v = np.linalg.solve(one - half, (one + half) @ self.nodes.turn(v, 0.5 * h))
        return self.nodes.turn(v, 0.5 * h)

    # ------------------------------------------------------------- energies

    def kinetic(self, v: Float[np.ndarray, "simulations ... particles dim"]) -> np.ndarray:
        """Kinetic energy of each simulation (and time)."""
        return 0.5 * np.einsum("sn,s...nd->s...", self.mass, v**2)

    def energy(self, x: np.ndarray, v: np.ndarray) -> Float[np.ndarray, "simulations time"]:
        """Kinetic energy, that of the pairs, each counted once, and that in the fields."""
        potential = self.system.potential(self._pairs(x)[1], self.parameters)
        pairs = np.einsum("sp,stp->st", self.coupling, potential)
        return self.kinetic(v) + pairs + self.nodes.potential(x)

    def drift(
        self, x: np.ndarray, v: np.ndarray, work: np.ndarray | float = 0.0
    ) -> Float[np.ndarray, "simulations"]:
        """Largest change of energy less work, over the largest kinetic energy.

        Infinite where a path broke off.
        """
        with np.errstate(all="ignore"):
            energy = self.energy(x, v) - work
            drift = np.abs(energy - energy[:, :1]).max(axis=1) / self.kinetic(v).max(axis=1)
        return np.where(np.isfinite(drift), drift, np.inf)

    # ---------------------------------------------------------- integration

    def run(
        self, x: np.ndarray, v: np.ndarray, clock: np.ndarray, substeps: int, tolerance: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Integrate all at once in constant steps; then those with close encounters again, finer there.

        Returns:
            Positions and velocities (simulations, time, particles, dim), and each simulation's energy drift.
        """
        path = self._steps(x, v, clock, substeps)
        for finer in FINER:
            left = np.flatnonzero(path[2] > tolerance)
            if len(left):
                again = self.only(left)._adaptive(x[left], v[left], clock, substeps, finer)
                for whole, better in zip(path, again, strict=True):
                    whole[left] = better
        return path

    def _adaptive(
        self, x: np.ndarray, v: np.ndarray, clock: np.ndarray, substeps: int, finer: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Let each simulation take steps of its own, short where a pair is close for its speed and force.

        Simulations run side by side, each at its own time, until all have reached the end or taken `MOST`
        steps; those that have not are left as NaN from there, their drift infinite.
        """
        longest = (clock[-1] - clock[0]) / max((len(clock) - 1) * substeps, 1)
        count = len(x)
        path = np.full((2, count, len(clock), *x.shape[1:]), np.nan)
        works = np.full((count, len(clock)), np.nan)
        path[0, :, 0], path[1, :, 0], works[:, 0] = x, v, 0.0
        x, v, work, now = x.copy(), v.copy(), np.zeros(count), np.full(count, clock[0])
        saved = np.ones(count, dtype=int)  # times that each has reached
        running = self
        alive = np.flatnonzero(saved < len(clock))
        for _ in range(int(MOST * substeps * len(clock))):
            if not len(alive):
                break
            left = clock[saved[alive]] - now[alive]
            safe = running.safe_step(x[alive], v[alive])
            step = np.minimum(finer * np.minimum(safe, longest), left)
            xs, vs, ws = running._path(x[alive], v[alive], step[:, None, None], 1, 1)
            x[alive], v[alive] = xs[:, 1], vs[:, 1]
            work[alive] += ws[:, 1]
            now[alive] += step
            there = alive[step >= left * (1 - 1e-12)]
            now[there] = clock[saved[there]]
            path[0, there, saved[there]], path[1, there, saved[there]] = x[there], v[there]
            works[there, saved[there]] = work[there]
            saved[there] += 1
            lost = alive[~np.isfinite(now[alive])]
            if (saved[there] == len(clock)).any() or len(lost):
                alive = np.setdiff1d(alive[saved[alive] < len(clock)], lost)
                running = self.only(alive)
        return path[0], path[1], self.drift(path[0], path[1], works)

    def safe_step(self, x: np.ndarray, v: np.ndarray) -> Float[np.ndarray, "simulations"]:
        """Time in which no pair comes closer by more than a small part of its distance.

        `STEP` · min over pairs of (u²/r² + |a|/r)^(-1/2), with relative speed u and acceleration a.
        """
        distance = self._pairs(x)[1]
        relative = v[..., self.first, :] - v[..., self.second, :]
        a = self.pull(x)
        push = np.linalg.norm(a[..., self.first, :] - a[..., self.second, :], axis=-1)
        rate = (relative**2).sum(axis=-1) / distance**2 + push / distance
        return STEP / np.sqrt(np.maximum(rate.max(axis=-1), np.finfo(float).tiny))

    def _steps(
        self, x: np.ndarray, v: np.ndarray, clock: np.ndarray, substeps: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Integrate in constant steps."""
        steps = (len(clock) - 1) * substeps
        x, v, work = self._path(x, v, (clock[-1] - clock[0]) / max(steps, 1), steps, substeps)
        return x, v, self.drift(x, v, work)

    def _path(
        self, x: np.ndarray, v: np.ndarray, dt: float | np.ndarray, steps: int, every: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions, velocities, and the work of what is no potential, simulations first."""
        turn = self.turn if self.nodes.depends_on_velocity or self.system.align else None
        with np.errstate(all="ignore"):  # what overflows is integrated again, or given up
            path = splitting(self.pull, turn, x, v, dt=dt, steps=steps, every=every)
        x, v, work = (np.moveaxis(y, 0, 1).copy() for y in path)
        return x, v, np.einsum("sn,stn->st", self.mass, work)
