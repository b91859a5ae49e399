"""Particles with pair forces, many simulations side by side: energies, initial conditions, integration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sciml.physics.integrators import symplectic
from sciml.physics.rollout import Rollout, rollout

Radial = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class PairSystem:
    """Particles with a potential between all pairs, V = k qᵢ qⱼ φ(ρ), ρ² = r² + ε².

    Attributes:
        potential: φ.
        slope: its derivative φ′; the force on i is -k qᵢ qⱼ φ′(ρ) (xᵢ - xⱼ) / ρ.
        couples: the property q: "mass", "charge", or "" if all pairs are alike.
    """

    potential: Radial
    slope: Radial
    couples: str


class Bodies:
    """Simulations side by side; pairs i < j are listed once."""

    def __init__(
        self, system: PairSystem, mass: np.ndarray, charge: np.ndarray, constant: float, softening: float
    ):
        self.system, self.mass, self.charge = system, mass, charge
        self.constant, self.softening = constant, softening
        self.first, self.second = np.triu_indices(mass.shape[1], k=1)
        q = {"mass": mass, "charge": charge}.get(system.couples, np.ones_like(mass))
        self.coupling = constant * q[:, self.first] * q[:, self.second]
        pairs = np.arange(len(self.first))
        self.incidence = np.zeros((mass.shape[1], len(pairs)))
        self.incidence[self.first, pairs], self.incidence[self.second, pairs] = 1.0, -1.0

    def only(self, s: int) -> Bodies:
        """Return one of the simulations."""
        return Bodies(self.system, self.mass[[s]], self.charge[[s]], self.constant, self.softening)

    def _pairs(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        apart = x[..., self.first, :] - x[..., self.second, :]
        return apart, np.sqrt(np.einsum("...d,...d->...", apart, apart) + self.softening**2)

    def acceleration(self, x: Float[np.ndarray, "simulations particles dim"]) -> np.ndarray:
        """Sum of the pair forces on each particle, over its mass."""
        apart, distance = self._pairs(x)
        strength = -self.coupling * self.system.slope(distance) / distance
        return (self.incidence @ (strength[..., None] * apart)) / self.mass[..., None]

    def kinetic(self, v: Float[np.ndarray, "simulations ... particles dim"]) -> np.ndarray:
        """Kinetic energy of each simulation (and time)."""
        return 0.5 * np.einsum("sn,s...nd->s...", self.mass, v**2)

    def energy(self, x: np.ndarray, v: np.ndarray) -> Float[np.ndarray, "simulations time"]:
        """Kinetic energy and that of the pairs, each counted once."""
        potential = self.system.potential(self._pairs(x)[1])
        return self.kinetic(v) + np.einsum("sp,stp->st", self.coupling, potential)

    def energy_drift(self, x: np.ndarray, v: np.ndarray) -> Float[np.ndarray, "simulations"]:
        """Largest change of energy over the largest kinetic energy; infinite where the path broke off."""
        with np.errstate(all="ignore"):
            energy = self.energy(x, v)
            drift = np.abs(energy - energy[:, :1]).max(axis=1) / self.kinetic(v).max(axis=1)
        return np.where(np.isfinite(drift), drift, np.inf)

    def run(
        self, x: np.ndarray, v: np.ndarray, clock: np.ndarray, substeps: int, tolerance: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Integrate all at once in constant steps, then one by one those whose encounters need finer ones."""
        start, steps = (x, v), (len(clock) - 1) * substeps
        dt = (clock[-1] - clock[0]) / max(steps, 1)
        with np.errstate(all="ignore"):  # what overflows is integrated again
            path = symplectic(self.acceleration, x, v, dt=dt, steps=steps, every=substeps)
        x, v = (np.moveaxis(y, 0, 1).copy() for y in path)
        for s in map(int, np.flatnonzero(self.energy_drift(x, v) > tolerance)):
            finer = self.only(s).follow(start[0][s], start[1][s], clock, tolerance, 20 * steps + 1000)
            x[s], v[s] = np.nan, np.nan
            x[s, : len(finer.time)], v[s, : len(finer.time)] = finer.position, finer.velocity
        return x, v

    def follow(self, x: np.ndarray, v: np.ndarray, clock: np.ndarray, tolerance: float, most: int) -> Rollout:
        """Integrate the only simulation with adaptive steps."""
        force = lambda x, _: self.acceleration(x[None])[0]
        rtol = min(max(1e-3 * tolerance, 1e-13), 1e-8)
        return rollout(force, x, v, clock, rtol=rtol, most_evaluations=most)

    def initial(self, rng: np.random.Generator, dim: int) -> tuple[np.ndarray, np.ndarray]:
        """Orbits around the heaviest body where it rules, else a ball; the centre of mass rests at zero."""
        heaviest, total = self.mass.max(axis=1), self.mass.sum(axis=1)
        rules = (heaviest > 3 * (total - heaviest)).all()
        ruled = self.system.couples == "mass" and self.mass.shape[1] > 2 and rules
        x, v = self._orbits(rng, dim) if ruled else self._ball(rng, dim)
        weight = (self.mass / self.mass.sum(axis=1, keepdims=True))[..., None]
        x, v = (y - (weight * y).sum(axis=1, keepdims=True) for y in (x, v))
        return x, v if ruled else self._virial(x, v)

    def _orbits(self, rng: np.random.Generator, dim: int) -> tuple[np.ndarray, np.ndarray]:
        """Nearly circular orbits, a quarter to one in radius, tilted by some tenths in 3D."""
        simulations, particles = self.mass.shape
        shape = (simulations, particles - 1)
        radius = np.geomspace(0.25, 1.0, particles - 1) * rng.uniform(0.97, 1.03, shape)
        radius = rng.permuted(radius, axis=1)[..., None]
        frames = np.linalg.qr(np.eye(dim) + 0.2 * rng.standard_normal((*shape, dim, dim)))[0]
        phase = rng.uniform(0, 2 * np.pi, (simulations, particles - 1, 1))
        cos, sin = np.cos(phase), np.sin(phase)
        out = cos * frames[..., 0] + sin * frames[..., 1]
        along = -sin * frames[..., 0] + cos * frames[..., 1]
        others = np.argsort(self.mass == self.mass.max(axis=1, keepdims=True), axis=1)[:, :-1, None]
        x, v = np.zeros((2, simulations, particles, dim))
        np.put_along_axis(x, others, radius * out, axis=1)
        pull = np.take_along_axis(self.acceleration(x), others, axis=1)
        speed = np.sqrt(np.linalg.norm(pull, axis=-1, keepdims=True) * radius) * rng.uniform(
            0.95, 1.05, radius.shape
        )
        np.put_along_axis(v, others, speed * along, axis=1)
        return x, v

    def _ball(self, rng: np.random.Generator, dim: int) -> tuple[np.ndarray, np.ndarray]:
        """Random places in the unit ball that keep a fifth of the mean spacing between them."""
        x = np.stack([_places(rng, self.mass.shape[1], dim) for _ in self.mass])
        return x, rng.standard_normal(x.shape)

    def _virial(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Velocities scaled to 2 K = -Σ x·F; for charges Σ |x·F|, lest opposite ones fall together."""
        virial = -np.einsum("sn,snd,snd->sn", self.mass, x, self.acceleration(x))
        virial = np.abs(virial).sum(axis=1) if self.system.couples == "charge" else virial.sum(axis=1)
        kinetic = np.maximum(virial, 1e-3 * np.abs(virial).max()) / 2
        return v * np.sqrt(kinetic / self.kinetic(v))[:, None, None]


def _places(rng: np.random.Generator, particles: int, dim: int) -> Float[np.ndarray, "particles dim"]:
    """Random places in the unit ball that keep a fifth of the mean spacing between them."""
    spacing = 0.2 * particles ** (-1.0 / dim)
    places: list[np.ndarray] = []
    while len(places) < particles:
        place = rng.uniform(-1, 1, dim)
        if np.linalg.norm(place) < 1 and all(np.linalg.norm(place - p) > spacing for p in places):
            places.append(place)
    return np.array(places)
