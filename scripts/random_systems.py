"""Systems of particles drawn at random, with the law that moves them, for scripts/bench_laws.py.

Everything is drawn: the form of the pair force, strengths (identical, masses, charges, kinds), what of them
is given, drag, external fields, number of particles, dimension, what was recorded with how much noise, one
long simulation or many short ones, units of order one or SI. One system in six has no law to be found: a
hidden drive, a particle that is not in the file, accelerations at random, noise alone. Trajectories are
integrated by SciPy, apart from the library's own simulators.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.integrate import solve_ivp

from sciml.datasets.trajectories import Trajectories

NOISES = (0.0, 0.01, 0.05)
NEAREST = 0.15  # a collision that no sampling of this kind resolves
STARTS = 30
RECORDS = ("positions", "positions", "positions", "velocities", "accelerations", "everything")
SI = (1e11, 1e7, 1e30)  # metres, seconds and kilograms of one
Force = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


@dataclass
class System:
    """What is simulated, in units of order one.

    Attributes:
        particles, dim: how many, in how many dimensions.
        words: what it is.
        pair: radial scalar f(r), positive repels.
        binds: whether the pair force keeps particles together.
        amplitude: of every receiver and sender.
        mass: that divides forces.
        given: properties in the file.
        nodes: forces on single particles, from position, velocity and time.
        lawful: whether there is a law to be found.
        forgotten: whether the last particle is missing in the file.
        units: length, time and mass of one in units of the file.
    """

    particles: int
    dim: int
    words: list[str]
    pair: Callable[[np.ndarray], np.ndarray]
    binds: bool
    amplitude: np.ndarray
    mass: np.ndarray
    given: dict[str, np.ndarray]
    nodes: list[Force] = field(default_factory=list)
    lawful: bool = True
    forgotten: bool = False
    units: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def acceleration(self, x: np.ndarray, v: np.ndarray, t: float = 0.0) -> np.ndarray:
        """Return accelerations, [particles, dim]."""
        d = x[:, None] - x
        r = np.linalg.norm(d, axis=-1) + np.eye(len(x))
        strength = self.amplitude * self.pair(r) / r * (1 - np.eye(len(x)))
        force = (strength[..., None] * d).sum(1)
        for node in self.nodes:
            force = force + node(x, v, t)
        return force / self.mass[:, None]


@dataclass
class Drawn:
    """A system, the file, its noise, and states of another simulation (in units of order one)."""

    system: System
    data: Trajectories
    noise: float
    position: np.ndarray
    velocity: np.ndarray


def draw(seed: int) -> Drawn:
    """Draw a system and record it.

    Raises:
        RuntimeError: particles collide from every start.
    """
    rng = np.random.default_rng(seed)
    particles = int(rng.choice([2, 3, 4, 5, 20], p=[0.15, 0.25, 0.25, 0.25, 0.1]))
    system = _system(rng, particles, int(rng.integers(2, 4)))
    simulations, times = [(1, 1200), (int(rng.integers(2, 7)), int(rng.integers(200, 500))), (24, 60)][
        int(rng.choice(3, p=[0.2, 0.6, 0.2]))
    ]
    t = np.arange(times) * float(rng.uniform(0.015, 0.03))
    paths = [_simulate(system, rng, t) for _ in range(simulations + 1)]
    kept = slice(0, particles - 1) if system.forgotten else slice(None)
    x, v, a = (np.stack([p[k] for p in paths])[:, :, kept] for k in range(3))
    noise = NOISES[int(rng.integers(3))]
    return Drawn(system, _record(rng, system, t, x[:-1], v[:-1], a[:-1], noise, kept), noise, x[-1], v[-1])


def _system(rng: np.random.Generator, n: int, dim: int) -> System:
    name, pair, binds = _form(rng)
    mass, amplitude, given, charge, words = _strengths(rng, n, binds)
    system = System(n, dim, [f"{name}, {words}"], pair, binds, amplitude, mass, given)
    if rng.random() < 0.4:
        _drag(rng, system)
    _fields(rng, system, charge)
    if rng.random() < 1 / 6:
        _unlawful(rng, system)
    return system


def _form(rng: np.random.Generator) -> tuple[str, Callable[[np.ndarray], np.ndarray], bool]:
    size, screen = float(rng.uniform(1.0, 3.0)), float(rng.uniform(0.8, 2.5))
    power = float(rng.choice([1.0, 1.3, 1.5, 1.7, 2.0, 2.4, 3.0, 3.5]))
    flat = float(rng.choice([0.0, 1.0, 1.3, 2.0]))
    forms = {
        f"r^-{power:g}": (lambda r: size * r**-power, False),
        f"r^-{flat:g} exp(-r/{screen:.2f})": (lambda r: size * np.exp(-r / screen) * r**-flat, False),
        "spring": (lambda r: -size * r, True),
        "spring at rest": (lambda r: -size * (r - 1.5), True),
        "softened": (lambda r: -size * r / (r**2 + 0.5) ** 1.5, True),
        f"stiff r^{power:g}": (lambda r: -0.3 * size * r**power, True),
        "two powers": (lambda r: size * (r**-3 - 1 / r), True),
    }
    name = list(forms)[int(rng.choice(7, p=[0.25, 0.25, 0.1, 0.1, 0.1, 0.1, 0.1]))]
    return name, *forms[name]


def _strengths(rng: np.random.Generator, n: int, binds: bool):
    """Return mass, amplitude, what is given, charge (None if there is none), and words."""
    mass, amplitude, charge = np.ones(n), np.ones((n, n)), None
    given: dict[str, np.ndarray] = {}
    kind = str(rng.choice(["identical", "mass", "gravity", "charge", "charge and mass", "kinds"]))
    if "mass" in kind or kind == "gravity":
        mass = rng.uniform(0.5, 3.0, n)
        if rng.random() < 0.5 or n > 12:
            given["mass"] = mass
    if kind == "gravity":
        amplitude = np.outer(mass, mass)
    if "charge" in kind:
        charge = rng.uniform(0.6, 1.8, n) * np.where(binds | (rng.random(n) < 0.8), 1, -1)
        amplitude = np.outer(charge, charge)
        if rng.random() < 0.5 or n > 12:
            given["charge"] = charge
    if kind == "kinds":
        label = np.arange(n) % 2
        table = np.array([[1.0, 2.0], [2.0, 0.5]]) * rng.uniform(0.7, 1.3)
        amplitude = table[label][:, label]
        given["species"] = np.array(["A", "B"])[label]
    return mass, amplitude, given, charge, f"{kind} ({' and '.join(given) or 'nothing'} given)"


def _drag(rng: np.random.Generator, system: System) -> None:
    rate, power = float(rng.uniform(0.15, 0.5)), float(rng.choice([1.0, 1.5, 2.0, 3.0]))
    system.nodes.append(lambda x, v, t: -rate * v * np.linalg.norm(v, axis=1, keepdims=True) ** (power - 1))
    system.words.append(f"drag |v|^{power:g}")


def _fields(rng: np.random.Generator, system: System, charge: np.ndarray | None) -> None:
    size = rng.uniform(0.5, 1.5, 3)
    on_charge = charge is not None and rng.random() < 0.5
    felt = charge[:, None] if on_charge and charge is not None else system.mass[:, None]
    along = np.eye(system.dim)[1]
    fields: dict[str, Force] = {
        "uniform": lambda x, v, t: size[0] * felt * along,
        "harmonic": lambda x, v, t: -size[1] * x,
        "magnetic": lambda x, v, t: size[2] * (felt if on_charge else 1.0) * _turn(v),
    }
    number = int(rng.choice(3, p=[0.45, 0.4, 0.15]))
    names = [str(name) for name in rng.choice(list(fields), number, replace=False)]
    if not system.binds and "harmonic" not in names and rng.random() < 0.5:
        names.append("harmonic")
    for name in names:
        system.nodes.append(fields[name])
        system.words.append(name + " on charges" * (on_charge and name != "harmonic"))


def _unlawful(rng: np.random.Generator, system: System) -> None:
    system.lawful = False
    what = str(rng.choice(["drive", "missing", "random", "noise"]))
    phase = rng.uniform(0, 6, system.particles)
    if what == "drive":
        steps = range(system.dim)
        system.nodes.append(lambda x, v, t: 2.0 * np.stack([np.cos(3 * t + phase + k) for k in steps], 1))
    system.forgotten = what == "missing" and system.particles > 2
    if system.forgotten:
        last = np.arange(system.particles) == system.particles - 1
        system.amplitude = system.amplitude * np.where(last, 5.0, 1.0)
    elif what == "missing":
        what = "noise"
    system.words.insert(0, what)


def _turn(v: np.ndarray) -> np.ndarray:
    turned = np.zeros_like(v)
    turned[:, 0], turned[:, 1] = -v[:, 1], v[:, 0]
    return turned


def _simulate(system: System, rng: np.random.Generator, t: np.ndarray):
    n, dim = system.particles, system.dim
    shape, size = (n, dim), n * dim
    own = 9 * np.eye(n)

    def nearest(s: float, y: np.ndarray) -> float:
        x = y[:size].reshape(shape)
        return float((np.linalg.norm(x[:, None] - x, axis=-1) + own).min()) - NEAREST

    def rate(s: float, y: np.ndarray) -> np.ndarray:
        return np.r_[
            y[size:], system.acceleration(y[:size].reshape(shape), y[size:].reshape(shape), s).ravel()
        ]

    nearest.terminal = True  # type: ignore[attr-defined]
    for _ in range(STARTS):
        x = rng.normal(size=shape) * 1.5 * max(1.0, n / 5) ** (1 / dim)
        while nearest(0.0, x.ravel()) < 0.35:
            x = rng.normal(size=shape) * 1.5 * max(1.0, n / 5) ** (1 / dim)
        start = np.r_[x.ravel(), 0.6 * rng.normal(size=size)]
        path = solve_ivp(rate, (0, t[-1]), start, "DOP853", t_eval=t, rtol=1e-9, atol=1e-9, events=nearest)
        if path.success and path.y.shape[1] == len(t):
            x, v = (path.y[part].T.reshape(-1, *shape) for part in (slice(size), slice(size, None)))
            return x, v, np.stack([system.acceleration(p, q, s) for p, q, s in zip(x, v, t, strict=True)])
    raise RuntimeError("no quiet start found")


def _record(
    rng: np.random.Generator, system: System, t: np.ndarray, x: np.ndarray, v: np.ndarray, a: np.ndarray,
    noise: float, kept: slice,
) -> Trajectories:  # fmt: skip
    """Return the file: what was recorded, with noise, in its units."""
    recorded = str(rng.choice(RECORDS))
    if system.words[0] == "random":
        a, recorded = rng.normal(size=a.shape), "accelerations"
    if system.words[0] == "noise":
        x, recorded = rng.normal(size=x.shape) * 0.05 + x[:1, :1], "positions"
    spoil = lambda values: values + rng.normal(size=values.shape) * noise * values.std()
    if recorded == "accelerations":  # from a simulation: paths are exact
        a = spoil(a)
    else:
        x, v, a = spoil(x), spoil(v), spoil(a)
    if rng.random() < 0.2:
        system.units = SI
        system.words.append("SI")
    length, time, kilogram = system.units
    system.words.append(f"{len(x[0, 0])} in {system.dim}D, {len(x)}×{len(t)}, noise {noise:g} on {recorded}")
    unit = {"mass": kilogram}
    properties = {
        name: np.tile(values[kept] * unit.get(name, 1.0) if name != "species" else values[kept], (len(x), 1))
        for name, values in system.given.items()
    }
    return Trajectories(
        x * length,
        np.tile(t * time, (len(x), 1)),
        None if recorded == "positions" else v * length / time,
        a * length / time**2 if recorded in ("accelerations", "everything") else None,
        properties=properties,
    )
