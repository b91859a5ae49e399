"""Laws out of trajectories of systems drawn at random: right, ambiguous, none, or wrong.

    python scripts/bench_laws.py --seeds 100:130 --output laws.txt

Each seed draws a system: a form of pair force, strengths (identical, masses, charges, kinds), drag, an
external field, what is given and what hidden, dimension, noise and what was recorded; one in six has no law
to be found (a hidden drive, a particle that is not in the file, accelerations at random, noise alone).
Trajectories are integrated by SciPy, apart from the library's own simulators. A found law is judged by the
accelerations that it gives on states of another simulation, and at distances half and twice as large.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.integrate import solve_ivp

from sciml.datasets.trajectories import Trajectories
from sciml.distill.forces import Forces
from sciml.distill.motion import Discovery, discover

NOISES = (0.0, 0.01, 0.05)
NEAR = {0.0: 0.01, 0.01: 0.05, 0.05: 0.1}  # rms error of accelerations of a law that is called right
FAR = {0.0: 0.02, 0.01: 0.1, 0.05: 0.2}  # the same of pair forces at half and twice the distances


@dataclass
class System:
    """What is simulated.

    Attributes:
        words: what it is.
        pair: radial scalar f(r), positive repels.
        amplitude: of every receiver and sender.
        mass: that divides forces.
        node: force on single particles, from position, velocity and time.
        given: properties in the file.
        lawful: whether there is a law to be found.
    """

    words: str
    pair: Callable[[np.ndarray], np.ndarray]
    amplitude: np.ndarray
    mass: np.ndarray
    node: Callable[[np.ndarray, np.ndarray, float], np.ndarray]
    given: dict[str, np.ndarray]
    lawful: bool = True
    hidden_particle: bool = False
    vectors: set[str] = field(default_factory=set)

    def acceleration(self, x: np.ndarray, v: np.ndarray, t: float = 0.0) -> np.ndarray:
        """Return accelerations, [particles, dim]."""
        d = x[:, None] - x
        r = np.linalg.norm(d, axis=-1) + np.eye(len(x))
        strength = self.amplitude * self.pair(r) / r * (1 - np.eye(len(x)))
        return ((strength[..., None] * d).sum(1) + self.node(x, v, t)) / self.mass[:, None]


def draw(seed: int) -> tuple[System, Trajectories, float, np.ndarray, np.ndarray]:
    """Return a system, what was recorded of it, the noise, and states of another simulation."""
    rng = np.random.default_rng(seed)
    particles, dim = int(rng.integers(3, 6)), int(rng.integers(2, 4))
    noise = NOISES[int(rng.integers(3))]
    system = _system(rng, particles, dim)
    simulations, times, dt = (
        int(rng.integers(2, 7)),
        int(rng.integers(200, 500)),
        float(rng.uniform(0.015, 0.03)),
    )
    paths = [_simulate(system, rng, particles, dim, times, dt) for _ in range(simulations + 1)]
    kept = slice(0, particles - 1) if system.hidden_particle else slice(None)
    x, v, a = (np.stack([p[k] for p in paths])[:, :, kept] for k in range(3))
    if system.words.startswith("random"):
        a = rng.normal(size=a.shape)
    recorded = "accelerations" if rng.random() < 0.3 or system.words.startswith("random") else "positions"
    given = {name: values[kept] for name, values in system.given.items()}
    properties = {name: np.tile(values, (simulations, 1)) for name, values in given.items()}
    time_axis = np.tile(np.arange(times) * dt, (simulations, 1))
    if system.words.startswith("noise"):
        x = rng.normal(size=x.shape) * 0.05 + x[:1, :1]
    if recorded == "positions":
        noisy = x[:-1] + rng.normal(size=x[:-1].shape) * noise * x[:-1].std()
        data = Trajectories(noisy, time_axis, properties=properties)
    else:
        noisy = a[:-1] + rng.normal(size=a[:-1].shape) * noise * a[:-1].std()
        data = Trajectories(x[:-1], time_axis, v[:-1], noisy, properties=properties)
    system.words += f", {particles} in {dim}D, {simulations}×{times}, noise {noise:g} on {recorded}"
    return system, data, noise, x[-1], v[-1]


def _system(rng: np.random.Generator, n: int, dim: int) -> System:
    size = float(rng.uniform(1.0, 3.0))
    power = float(rng.choice([1.0, 1.5, 2.0, 2.5, 3.0]))
    screen = float(rng.uniform(0.8, 2.0))
    forms = {
        f"r^-{power:g}": (lambda r: size * r**-power, False),
        f"screened {screen:.2f}": (lambda r: size * np.exp(-r / screen) / r, False),
        "spring": (lambda r: -size * r, True),
        "spring at rest": (lambda r: -size * (r - 1.5), True),
        "softened": (lambda r: -size * r / (r**2 + 0.5) ** 1.5, True),
        "exponential": (lambda r: size * np.exp(-r / screen), False),
    }
    form = str(rng.choice(list(forms)))
    pair, binds = forms[form]
    strength = str(rng.choice(["identical", "mass", "charge", "kinds"]))
    mass, amplitude, given = np.ones(n), np.ones((n, n)), {}
    vectors = {"r_hat"}
    if strength == "mass":
        mass = rng.uniform(0.5, 3.0, n)
        if form == "softened":
            amplitude = np.outer(mass, mass)
        if rng.random() < 0.5:
            given["mass"] = mass
    elif strength == "charge":
        charge = rng.uniform(0.6, 1.8, n) * np.where(binds | (rng.random(n) < 0.8), 1, -1)
        amplitude = np.outer(charge, charge)
        if rng.random() < 0.5:
            given["charge"] = charge
    elif strength == "kinds":
        kind = np.arange(n) % 2
        table = np.array([[1.0, 2.0], [2.0, 0.5]]) * rng.uniform(0.7, 1.3)
        amplitude = table[kind][:, kind]
        given["species"] = np.array(["A", "B"])[kind]
    words, drag, field_of = f"{form}, {strength} ({', '.join(given) or 'nothing'} given)", None, None
    if rng.random() < 0.4:
        rate, n_drag = float(rng.uniform(0.15, 0.5)), int(rng.integers(1, 3))
        drag = lambda v: -rate * v * np.linalg.norm(v, axis=1, keepdims=True) ** (n_drag - 1)
        words += f", drag |v|^{n_drag}"
        vectors.add("v_vec")
    place = str(rng.choice(["none", "none", "uniform", "harmonic", "magnetic"]))
    if place == "none" and not binds and rng.random() < 0.5:
        place = "harmonic"
    if place != "none":
        strength_of = float(rng.uniform(0.5, 1.5))
        field_of = {
            "uniform": lambda x, v: strength_of * mass[:, None] * np.eye(dim)[1],
            "harmonic": lambda x, v: -strength_of * x,
            "magnetic": lambda x, v: strength_of * _turn(v),
        }[place]
        words += f", {place}"
        vectors.add(
            {"uniform": "e", "harmonic": "x_vec", "magnetic": "v_turned" if dim == 2 else "v_cross_z"}[place]
        )
    kind_of = str(rng.choice(["law"] * 5 + ["none"]))
    drive, lawful, missing = None, True, False
    if kind_of == "none":
        lawful = False
        what = str(rng.choice(["drive", "missing", "random", "noise"]))
        phase = rng.uniform(0, 6, n)
        if what == "drive":
            drive = lambda t: 2.0 * np.stack([np.cos(3 * t + phase + k) for k in range(dim)], 1)
        missing = what == "missing"
        amplitude = amplitude * np.where(np.arange(n) == n - 1, 5.0, 1.0) if missing else amplitude
        words = f"{what}: {words}"

    def node(x: np.ndarray, v: np.ndarray, t: float) -> np.ndarray:
        total = np.zeros_like(x)
        if drag is not None:
            total = total + drag(v)
        if field_of is not None:
            total = total + field_of(x, v)
        return total + drive(t) if drive is not None else total

    return System(words, pair, amplitude, mass, node, given, lawful, missing, vectors)


def _turn(v: np.ndarray) -> np.ndarray:
    turned = np.zeros_like(v)
    turned[:, 0], turned[:, 1] = -v[:, 1], v[:, 0]
    return turned


def _simulate(system: System, rng: np.random.Generator, n: int, dim: int, times: int, dt: float):
    t = np.arange(times) * dt
    for _ in range(50):
        x = rng.normal(size=(n, dim)) * 1.5
        apart = np.linalg.norm(x[:, None] - x, axis=-1) + 9 * np.eye(n)
        if apart.min() < 0.5:
            continue
        v = rng.normal(size=(n, dim)) * 0.6
        size = n * dim

        def rate(s: float, y: np.ndarray, size: int = size) -> np.ndarray:
            p, q = y[:size].reshape(n, dim), y[size:].reshape(n, dim)
            return np.r_[y[size:], system.acceleration(p, q, s).ravel()]

        path = solve_ivp(rate, (0, t[-1]), np.r_[x.ravel(), v.ravel()], t_eval=t, rtol=1e-9, atol=1e-9)
        if not path.success or path.y.shape[1] != times:
            continue
        x = path.y[:size].T.reshape(times, n, dim)
        v = path.y[size:].T.reshape(times, n, dim)
        nearest = (np.linalg.norm(x[:, :, None] - x[:, None], axis=-1) + 9 * np.eye(n)).min()
        if nearest < 0.15:  # a collision that no sampling of this kind resolves
            continue
        return x, v, np.stack([system.acceleration(p, q, s) for p, q, s in zip(x, v, t, strict=True)])
    raise RuntimeError("no quiet start found")


def judged(system: System, found: Discovery, noise: float, x: np.ndarray, v: np.ndarray) -> tuple[str, str]:
    """Return right, ambiguous (right), none, ambiguous (wrong) or WRONG, and the errors in words."""
    verdict = found.law.verdict
    if not system.lawful:
        return (
            ("right", "") if verdict == "none" else ("WRONG" if verdict == "law" else "ambiguous wrong", "")
        )
    if verdict == "none":
        return "none", ""
    properties = {n: np.array([e.value for e in per.values()]) for n, per in found.hidden.items()}
    forces = Forces(found.law, {**system.given, **properties})
    step = max(1, len(x) // 60)
    errors = []
    for scale in (1.0, 0.5, 2.0):
        p, q = x[::step] * scale, v[::step]
        true = np.stack([system.acceleration(a, b) for a, b in zip(p, q, strict=True)])
        left = forces(p, q) - true
        errors.append(
            float(np.sqrt(np.nanmean(left**2) / np.mean(true**2))) if np.isfinite(left).any() else np.inf
        )
    good = errors[0] < NEAR[noise] and max(errors[1:]) < FAR[noise]
    words = "errors " + ", ".join(f"{e:.2g}" for e in errors)
    if verdict == "ambiguous":
        return "ambiguous right" if good else "ambiguous wrong", words
    return "right" if good else "WRONG", words


def main() -> None:
    """Run the seeds, and print the count of each outcome."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="100:130", help="first:last")
    parser.add_argument("--seconds", type=float, default=8.0, help="for the search of each force")
    parser.add_argument("--output", type=Path, help="file to which results are added as they come")
    arguments = parser.parse_args()
    first, last = map(int, arguments.seeds.split(":"))
    counts: dict[str, int] = {}
    for seed in range(first, last):
        try:
            system, data, noise, x, v = draw(seed)
        except RuntimeError as error:  # the system collides from every start
            print(f"{seed} skipped: {error}", flush=True)
            continue
        start = time.process_time()
        try:
            found = discover(data, seconds=arguments.seconds, seed=0)
            outcome, words = judged(system, found, noise, x, v)
            law = " ".join(str(found.law.sympy if not found.law.terms else found.law).split())
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            outcome, words, law = "error", str(error), ""
        counts[outcome] = counts.get(outcome, 0) + 1
        line = f"{seed} {outcome} [{time.process_time() - start:.0f} s] {system.words} | {words} | {law}"
        print(line, flush=True)
        if arguments.output:
            with arguments.output.open("a") as file:
                file.write(line + "\n")
    print(counts)


if __name__ == "__main__":
    main()
