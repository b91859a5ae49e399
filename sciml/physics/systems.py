"""Simulated particles with pair forces and hidden properties, all simulations at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sciml.physics.bodies import Bodies, PairSystem

FARTHEST = 5.0  # in the radii of the ball that places are drawn from


SYSTEMS = {
    "gravity": PairSystem(lambda r: -1.0 / r, lambda r: r**-2.0, "mass"),
    "inverse": PairSystem(np.log, lambda r: 1.0 / r, "mass"),
    "spring": PairSystem(lambda r: 0.5 * (r - 1.0) ** 2, lambda r: r - 1.0, ""),
    "charge": PairSystem(lambda r: 1.0 / r, lambda r: -(r**-2.0), "charge"),
}


@dataclass(frozen=True, eq=False)
class Simulated:
    """What a simulator knows, hidden properties included.

    Attributes:
        position, velocity, acceleration: in units where all constants are one unless set.
        time: saved times.
        mass: of each particle.
        charge: of each particle; ones where the system has none.
        energy: total, at the saved times.
        energy_drift: largest change of the energy in each simulation over its largest kinetic energy.
        momentum_drift: largest total momentum in each simulation over the sum of its sizes.
        redrawn: initial conditions given up (see `simulate`) for each that was kept, on average.
    """

    position: Float[np.ndarray, "simulations time particles dim"]
    velocity: Float[np.ndarray, "simulations time particles dim"]
    acceleration: Float[np.ndarray, "simulations time particles dim"]
    time: Float[np.ndarray, "time"]
    mass: Float[np.ndarray, "simulations particles"]
    charge: Float[np.ndarray, "simulations particles"]
    energy: Float[np.ndarray, "simulations time"]
    energy_drift: Float[np.ndarray, "simulations"]
    momentum_drift: Float[np.ndarray, "simulations"]
    redrawn: float


def simulate(
    system: str = "gravity",
    *,
    particles: int = 3,
    dim: int = 2,
    simulations: int = 10,
    times: int = 500,
    dt: float = 0.01,
    substeps: int = 10,
    masses: Float[np.ndarray, "*simulations particles"] | None = None,
    charges: Float[np.ndarray, "*simulations particles"] | None = None,
    constant: float = 1.0,
    softening: float = 0.0,
    tolerance: float = 1e-5,
    draws: int = 50,
    seed: int = 0,
) -> Simulated:
    """Simulate from random initial conditions in which the particles stay together.

    Where one mass exceeds three times all others, these orbit it in nearly circular orbits; else
    places are drawn in a ball of radius one, at least a fifth of the mean spacing apart, and
    velocities obey the virial theorem (2 K = -Σ x·F; charges: Σ |x·F|). Total momentum is zero.
    A draw is given up and redrawn if the energy is not conserved to ``tolerance`` (a close encounter
    that cannot be resolved) or a particle leaves the ball of radius five (charges may).

    Args:
        system: one of `SYSTEMS`.
        particles: at least two.
        dim: 2 or 3.
        simulations: how many, all at once.
        times: saved times, the initial one included.
        dt: between saved times.
        substeps: steps of the fourth-order integrator between saved times; a simulation that they
            do not resolve is integrated again with adaptive steps.
        masses: the same for all simulations or one row for each. If None, the same for all and
            log-uniform in [0.1, 1], or in [0.001, 0.01] around one of 1 for more than four bodies
            under gravity, which would else soon collide.
        charges: likewise; ±1 if None.
        constant: k in the potential (G, the spring constant, …).
        softening: ε in the potential.
        tolerance: energy drift allowed (see `Simulated`).
        draws: tries for each simulation, on average, before giving up.
        seed: of all that is random.

    Raises:
        ValueError: for unknown systems and impossible numbers.
        RuntimeError: if too few draws can be integrated, saying what to change.
    """
    if system not in SYSTEMS:
        raise ValueError(f"unknown system {system!r}; known are {', '.join(SYSTEMS)}")
    if particles < 2 or dim not in (2, 3) or min(simulations, times, substeps) < 1 or not dt > 0:
        raise ValueError(
            f"particles={particles}, dim={dim}, simulations={simulations}, times={times}, dt={dt}, "
            f"substeps={substeps}: expected at least 2 particles, dim 2 or 3, and positive numbers"
        )
    rng = np.random.default_rng(seed)
    shape = (simulations, particles)
    drawn = 10 ** rng.uniform(-1, 0, particles)
    if system == "gravity" and particles > 4:
        drawn = np.append(1.0, 0.01 * drawn[1:])
    mass = _given("masses", masses, drawn, shape, positive=True)
    charge = _given("charges", charges, rng.permutation(np.resize([1.0, -1.0], particles)), shape)
    kept = np.full((2, simulations, times, particles, dim), np.nan)
    clock = dt * np.arange(times)
    farthest = np.inf if system == "charge" else FARTHEST  # charges of one sign fly apart
    missing, tried, best = np.arange(simulations), 0, np.inf
    while len(missing) and tried < draws * simulations:
        bodies = Bodies(SYSTEMS[system], mass[missing], charge[missing], constant, softening)
        x, v = bodies.run(*bodies.initial(rng, dim), clock, substeps, tolerance)
        drift = bodies.energy_drift(x, v)
        good = (drift < tolerance) & (np.linalg.norm(x, axis=-1).max(axis=(1, 2)) < farthest)
        kept[:, missing[good]] = x[good], v[good]
        tried, best = tried + len(missing), min(best, drift.min())
        missing = missing[~good]
    if not len(missing):
        whole = Bodies(SYSTEMS[system], mass, charge, constant, softening)
        return _result(whole, kept[0], kept[1], clock, redrawn=tried / simulations - 1.0)
    raise RuntimeError(
        f"{len(missing)} of {simulations} simulations of {system!r} found no draw in {tried} whose energy is "
        f"conserved to {tolerance:g} and that stays together (best {best:.1g}): take more substeps "
        f"(now {substeps}), a softening, fewer or shorter times, or a larger tolerance"
    )


def _result(bodies: Bodies, x: np.ndarray, v: np.ndarray, clock: np.ndarray, redrawn: float) -> Simulated:
    momentum = bodies.mass[:, None, :, None] * v
    sizes = np.linalg.norm(momentum, axis=-1).sum(axis=-1).max(axis=1)
    acceleration = np.stack([bodies.acceleration(frame) for frame in np.moveaxis(x, 1, 0)], axis=1)
    return Simulated(
        position=x,
        velocity=v,
        acceleration=acceleration,
        time=clock,
        mass=bodies.mass,
        charge=bodies.charge if bodies.system.couples == "charge" else np.ones_like(bodies.charge),
        energy=bodies.energy(x, v),
        energy_drift=bodies.energy_drift(x, v),
        momentum_drift=np.linalg.norm(momentum.sum(axis=2), axis=-1).max(axis=1) / sizes,
        redrawn=redrawn,
    )


def _given(
    name: str, values, default: np.ndarray, shape: tuple[int, int], positive: bool = False
) -> Float[np.ndarray, "simulations particles"]:
    array = np.asarray(default if values is None else values, dtype=float)
    if array.shape not in (shape, shape[1:]):
        raise ValueError(f"{name} have shape {array.shape}; expected {shape[1:]} or {shape}")
    if not np.isfinite(array).all() or (positive and (array <= 0).any()):
        raise ValueError(f"{name} are {array.tolist()}; expected finite{' positive' * positive} numbers")
    return np.broadcast_to(array, shape).copy()
