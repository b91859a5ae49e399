"""Random initial conditions in which particles stay together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from sciml.physics.bodies import Bodies

TRIES = 2000  # places tried for each particle before the ball counts as full


def initial(bodies: Bodies, rng: np.random.Generator, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw positions and velocities (simulations, particles, dim) as `System.start` says.

    Orbits around the heaviest body where it rules, else places in the unit ball. The centre of mass rests
    at zero; only velocities that align keep the mean that they were drawn with.

    Raises:
        ValueError: the ball is too small for particles of this size.
    """
    system = bodies.system
    heaviest, total = bodies.mass.max(axis=1), bodies.mass.sum(axis=1)
    rules = (heaviest > 3 * (total - heaviest)).all()
    ruled = system.couples == "mass" and bodies.mass.shape[1] > 2 and rules
    x, v = _orbits(bodies, rng, dim) if ruled else _ball(bodies, rng, dim)
    weight = (bodies.mass / total[:, None])[..., None]
    x = x - (weight * x).sum(axis=1, keepdims=True)
    if system.start == "align":
        return x, v
    v = v - (weight * v).sum(axis=1, keepdims=True)
    if ruled:
        return x, v
    kinetic = _kinetic(bodies, x)
    return x, v * np.sqrt(kinetic / bodies.kinetic(v))[:, None, None]


def _kinetic(bodies: Bodies, x: np.ndarray) -> Float[np.ndarray, "simulations"]:
    """Kinetic energy to begin with.

    ``bound``: that of the virial theorem, 2 K = -Σ x·F; ``free``: Σ |x·F|, lest opposite charges fall
    together; ``cool``: a quarter of the depth of the potential, so that clusters do not evaporate at once.
    """
    if bodies.system.start == "cool":
        depth = np.abs(bodies.energy(x[:, None], np.zeros_like(x)[:, None])[:, 0])
        return 0.25 * np.maximum(depth, 1e-3 * depth.max())
    virial = -np.einsum("sn,snd,snd->sn", bodies.mass, x, bodies.pull(x))
    virial = np.abs(virial).sum(axis=1) if bodies.system.start == "free" else virial.sum(axis=1)
    return np.maximum(virial, 1e-3 * np.abs(virial).max()) / 2


def _orbits(bodies: Bodies, rng: np.random.Generator, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Nearly circular orbits, a quarter to one in radius, tilted by some tenths in 3D."""
    simulations, particles = bodies.mass.shape
    shape = (simulations, particles - 1)
    radius = np.geomspace(0.25, 1.0, particles - 1) * rng.uniform(0.97, 1.03, shape)
    radius = rng.permuted(radius, axis=1)[..., None]
    frames = np.linalg.qr(np.eye(dim) + 0.2 * rng.standard_normal((*shape, dim, dim)))[0]
    phase = rng.uniform(0, 2 * np.pi, (simulations, particles - 1, 1))
    cos, sin = np.cos(phase), np.sin(phase)
    out = cos * frames[..., 0] + sin * frames[..., 1]
    along = -sin * frames[..., 0] + cos * frames[..., 1]
    others = np.argsort(bodies.mass == bodies.mass.max(axis=1, keepdims=True), axis=1)[:, :-1, None]
    x, v = np.zeros((2, simulations, particles, dim))
    np.put_along_axis(x, others, radius * out, axis=1)
    pull = np.take_along_axis(bodies.pairs_pull(x), others, axis=1)
    speed = np.sqrt(np.linalg.norm(pull, axis=-1, keepdims=True) * radius)
    np.put_along_axis(v, others, speed * rng.uniform(0.95, 1.05, radius.shape) * along, axis=1)
    return x, v


def _ball(bodies: Bodies, rng: np.random.Generator, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Random places in the unit ball, and velocities of size one."""
    particles = bodies.mass.shape[1]
    # a fifth of the mean spacing, and no deeper than the wall of particles that have a size
    spacing = max(0.2 * particles ** (-1.0 / dim), 0.95 * bodies.parameters.get("sigma", 0.0))
    x = np.stack([_places(rng, particles, dim, spacing) for _ in bodies.mass])
    return x, rng.standard_normal(x.shape)


def _places(
    rng: np.random.Generator, particles: int, dim: int, spacing: float
) -> Float[np.ndarray, "particles dim"]:
    places: list[np.ndarray] = []
    for _ in range(TRIES * particles):
        place = rng.uniform(-1, 1, dim)
        if np.linalg.norm(place) < 1 and all(np.linalg.norm(place - p) > spacing for p in places):
            places.append(place)
        if len(places) == particles:
            return np.array(places)
    raise ValueError(
        f"{particles} particles {spacing:.3g} apart do not fit into a ball of radius one in {dim}D: take "
        "fewer particles or a smaller sigma"
    )
