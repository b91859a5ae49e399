"""Simulated particles with pair forces, node terms and hidden properties, all simulations at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from sciml.physics.bodies import Bodies
from sciml.physics.catalogue import SYSTEMS, System
from sciml.physics.node_terms import NODE_TERMS
from sciml.physics.starts import initial

FARTHEST = 5.0  # from the centre of mass, in the radii of the ball that places are drawn from


@dataclass(frozen=True, eq=False)
class Simulated:
    """What a simulator knows, hidden properties included.

    Attributes:
        position, velocity, acceleration: in units where all constants are one unless set.
        time: saved times.
        mass: of each particle.
        charge: of each particle; ones where the system has none.
        species: of each particle, from 0.
        couplings: factor on the constant for each pair of species.
        parameters: of the potential and of the node terms.
        energy: total, at the saved times.
        keeps_energy: whether the system conserves it: no drag, no alignment.
        energy_drift: largest change of the energy, less the work of drag and alignment, in each simulation
            over its largest kinetic energy: how well it was integrated.
        keeps_momentum: whether the system conserves it: no fields, no drag.
        momentum_drift: largest change of the total momentum in each simulation over the sum of its sizes.
        redrawn: initial conditions given up (see `simulate`) for each that was kept, on average.
    """

    position: Float[np.ndarray, "simulations time particles dim"]
    velocity: Float[np.ndarray, "simulations time particles dim"]
    acceleration: Float[np.ndarray, "simulations time particles dim"]
    time: Float[np.ndarray, "time"]
    mass: Float[np.ndarray, "simulations particles"]
    charge: Float[np.ndarray, "simulations particles"]
    species: Int[np.ndarray, "simulations particles"]
    couplings: Float[np.ndarray, "species species"]
    parameters: dict[str, float]
    energy: Float[np.ndarray, "simulations time"]
    keeps_energy: bool
    energy_drift: Float[np.ndarray, "simulations"]
    keeps_momentum: bool
    momentum_drift: Float[np.ndarray, "simulations"]
    redrawn: float


def simulate(
    system: str | System = "gravity",
    *,
    particles: int = 3,
    dim: int = 2,
    simulations: int = 10,
    times: int = 500,
    dt: float = 0.01,
    substeps: int = 10,
    masses: Float[np.ndarray, "*simulations particles"] | None = None,
    charges: Float[np.ndarray, "*simulations particles"] | None = None,
    species: int | Int[np.ndarray, "*simulations particles"] = 1,
    couplings: Float[np.ndarray, "species species"] | None = None,
    parameters: Mapping[str, float] | None = None,
    constant: float = 1.0,
    softening: float = 0.0,
    tolerance: float | None = None,
    draws: int = 50,
    seed: int = 0,
) -> Simulated:
    """Simulate from random initial conditions in which the particles stay together.

    Where one mass exceeds three times all others, these orbit it in nearly circular orbits; else
    places are drawn in a ball of radius one, at least a fifth of the mean spacing apart, and
    velocities obey the virial theorem (2 K = -Σ x·F; charges: Σ |x·F|) or suit the depth of the
    potential. Total momentum is zero, but where velocities align.
    A draw is given up and redrawn if the energy (less the work of drag) is not conserved to
    ``tolerance`` (a close encounter that cannot be resolved) or a particle leaves the ball of radius
    five (charges may, and flocks).

    Args:
        system: one of `SYSTEMS`, or one of your own.
        particles: at least two.
        dim: 2 or 3.
        simulations: how many, all at once.
        times: saved times, the initial one included.
        dt: between saved times.
        substeps: steps of the fourth-order integrator between saved times; a simulation that they do not
            resolve is integrated again, in finer steps where it needs them.
        masses: the same for all simulations or one row for each. If None, the same for all and
            log-uniform in [0.1, 1], or in [0.001, 0.01] around one of 1 for more than four bodies
            under gravity, which would else soon collide.
        charges: likewise; ±1 if None.
        species: how many, given to the particles in turn and at random; or the species of each, from 0.
        couplings: factor on ``constant`` for each pair of species, symmetric; ones for one species, else
            log-uniform in [0.5, 2] if None.
        parameters: of the potential (see `SYSTEMS`) and of node terms that any system may have
            (`sciml.physics.node_terms.NODE_TERMS`): uniform, trap, drag, drag_power, magnetic.
        constant: k in the potential (G, the spring constant, …).
        softening: ε in the potential.
        tolerance: energy drift allowed (see `Simulated`); the system's own if None.
        draws: tries for each simulation, on average, before giving up.
        seed: of all that is random.

    Raises:
        ValueError: for unknown systems and impossible numbers.
        RuntimeError: if too few draws can be integrated, saying what to change.
    """
    name, law = _system(system)
    if particles < 2 or dim not in (2, 3) or min(simulations, times, substeps) < 1 or not dt > 0:
        raise ValueError(
            f"particles={particles}, dim={dim}, simulations={simulations}, times={times}, dt={dt}, "
            f"substeps={substeps}: expected at least 2 particles, dim 2 or 3, and positive numbers"
        )
    rng = np.random.default_rng(seed)
    shape = (simulations, particles)
    drawn = 10 ** rng.uniform(-1, 0, particles)
    if law.couples == "mass" and particles > 4:
        drawn = np.append(1.0, 0.01 * drawn[1:])
    mass = _given("masses", masses, drawn, shape, positive=True)
    charge = _given("charges", charges, rng.permutation(np.resize([1.0, -1.0], particles)), shape)
    kinds, table = _species(species, couplings, shape, rng)
    bodies = Bodies(
        law,
        mass,
        charge,
        constant,
        softening,
        parameters=_parameters(name, law, parameters),
        strength=table[kinds[:, :, None], kinds[:, None, :]],
    )
    tolerance = law.tolerance if tolerance is None else tolerance
    kept = np.full((2, simulations, times, particles, dim), np.nan)
    drifts = np.full(simulations, np.inf)
    clock = dt * np.arange(times)
    missing, tried, best = np.arange(simulations), 0, np.inf
    while len(missing) and tried < draws * simulations:
        part = bodies.only(missing)
        x, v, drift = part.run(*initial(part, rng, dim), clock, substeps, tolerance)
        near = _reach(part, x) < FARTHEST if law.stays else True
        good = (drift < tolerance) & near
        kept[:, missing[good]], drifts[missing[good]] = (x[good], v[good]), drift[good]
        tried, best = tried + len(missing), min(best, drift.min())
        missing = missing[~good]
    if len(missing):
        raise RuntimeError(
            f"{len(missing)} of {simulations} simulations of {name!r} found no draw in {tried} whose energy "
            f"is conserved to {tolerance:g} and that stays together (best {best:.1g}): take more substeps "
            f"(now {substeps}), a softening, fewer or shorter times, or a larger tolerance"
        )
    return _result(bodies, kept[0], kept[1], clock, kinds, table, drifts, tried / simulations - 1.0)


def _reach(bodies: Bodies, x: np.ndarray) -> Float[np.ndarray, "simulations"]:
    """Largest distance of a particle from the centre of mass."""
    weight = bodies.mass / bodies.mass.sum(axis=1, keepdims=True)
    centre = np.einsum("sn,stnd->std", weight, x)
    return np.linalg.norm(x - centre[:, :, None], axis=-1).max(axis=(1, 2))


def _result(
    bodies: Bodies,
    x: np.ndarray,
    v: np.ndarray,
    clock: np.ndarray,
    species: np.ndarray,
    couplings: np.ndarray,
    drifts: np.ndarray,
    redrawn: float,
) -> Simulated:
    momentum = bodies.mass[:, None, :, None] * v
    sizes = np.linalg.norm(momentum, axis=-1).sum(axis=-1).max(axis=1)
    total = momentum.sum(axis=2)
    frames = zip(np.moveaxis(x, 1, 0), np.moveaxis(v, 1, 0), strict=True)
    charged = bodies.system.couples == "charge" or bodies.nodes.rotates
    return Simulated(
        position=x,
        velocity=v,
        acceleration=np.stack([bodies.acceleration(*frame) for frame in frames], axis=1),
        time=clock,
        mass=bodies.mass,
        charge=bodies.charge if charged else np.ones_like(bodies.charge),
        species=species,
        couplings=couplings,
        parameters=bodies.parameters,
        energy=bodies.energy(x, v),
        keeps_energy=bodies.keeps_energy,
        energy_drift=drifts,
        keeps_momentum=bodies.keeps_momentum,
        momentum_drift=np.linalg.norm(total - total[:, :1], axis=-1).max(axis=1) / sizes,
        redrawn=redrawn,
    )


# ------------------------------------------------------------- what was asked for


def _system(system: str | System) -> tuple[str, System]:
    if isinstance(system, System):
        return "a system of your own", system
    if system not in SYSTEMS:
        raise ValueError(f"unknown system {system!r}; known are {', '.join(SYSTEMS)}")
    return system, SYSTEMS[system]


def _parameters(name: str, system: System, given: Mapping[str, float] | None) -> dict[str, float]:
    known = NODE_TERMS | dict(system.parameters)
    for key, value in (given or {}).items():
        if key not in known:
            raise ValueError(f"{name!r} has no parameter {key!r}; it has {', '.join(known)}")
        if not np.isfinite(value):
            raise ValueError(f"parameter {key} of {name!r} is {value}; expected a finite number")
    found = known | {key: float(value) for key, value in (given or {}).items()}
    if found["drag"] < 0 or found["drag_power"] < 1:
        raise ValueError(
            f"drag={found['drag']:g}, drag_power={found['drag_power']:g}: expected a drag of at least 0 and "
            "a power of at least 1"
        )
    return found


def _species(
    species: int | np.ndarray, couplings: np.ndarray | None, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[Int[np.ndarray, "simulations particles"], Float[np.ndarray, "species species"]]:
    kinds = np.asarray(species)
    if kinds.ndim == 0:
        if not 1 <= kinds <= shape[1]:
            raise ValueError(f"species={species}: expected 1 to {shape[1]}, the number of particles")
        kinds = np.resize(np.arange(int(kinds)), shape[1])
        kinds = rng.permutation(kinds) if kinds.any() else kinds
    if kinds.shape not in (shape, shape[1:]) or kinds.dtype.kind not in "iu" or kinds.min() < 0:
        raise ValueError(
            f"species are {kinds.tolist()}; expected whole numbers from 0, of shape {shape[1:]} or {shape}"
        )
    count = int(kinds.max()) + 1
    drawn = 2 ** rng.uniform(-1, 1, (count, count)) if couplings is None and count > 1 else np.ones((1, 1))
    table = np.asarray(np.sqrt(drawn * drawn.T) if couplings is None else couplings, dtype=float)
    if table.shape != (count, count) or not np.isfinite(table).all() or not np.allclose(table, table.T):
        raise ValueError(
            f"couplings are {table.tolist()}; expected a symmetric table of {count} × {count} finite "
            "numbers, one for each pair of species"
        )
    return np.broadcast_to(kinds, shape).copy(), table


def _given(
    name: str, values, default: np.ndarray, shape: tuple[int, int], positive: bool = False
) -> Float[np.ndarray, "simulations particles"]:
    array = np.asarray(default if values is None else values, dtype=float)
    if array.shape not in (shape, shape[1:]):
        raise ValueError(f"{name} have shape {array.shape}; expected {shape[1:]} or {shape}")
    if not np.isfinite(array).all() or (positive and (array <= 0).any()):
        raise ValueError(f"{name} are {array.tolist()}; expected finite{' positive' * positive} numbers")
    return np.broadcast_to(array, shape).copy()
