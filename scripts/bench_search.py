"""Benchmark of the search engines on laws with irrelevant variables, judged strictly.

    python scripts/bench_search.py --noise 0.01 --backend structured operon
    python scripts/bench_search.py --suite other
    python scripts/bench_search.py --feynman FeynmanEquations.csv --seconds 30

A law counts as exact if the formula holds no irrelevant variable, has at most 1.7 × the truth's nodes + 6,
and, after its constants are refitted on noiseless data, is off by at most 1e-9 where the law is extrapolated.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sympy

from sciml.distill.expression import complexity, parse
from sciml.distill.search import BACKENDS, search
from sciml.distill.structured.fitting import Fit

Ranges = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Law:
    """A law, the ranges that it is observed on and, where not simply wider, those it is extrapolated to."""

    name: str
    formula: str
    ranges: Ranges
    beyond: Ranges | None = None
    distractors: int = 2
    units: dict[str, str] | None = None
    target_unit: str | None = None


def _laws(text: str) -> list[Law]:
    """Read laws from lines 'name; formula; variable low high[ beyond_low beyond_high], ...'."""
    laws = []
    for line in filter(None, map(str.strip, text.splitlines())):
        name, formula, variables = (part.strip() for part in line.split(";"))
        ranges, beyond = {}, {}
        for part in variables.split(","):
            symbol, *numbers = part.split()
            low, high, *wider = map(float, numbers)
            ranges[symbol] = (low, high)
            beyond[symbol] = tuple(wider) if wider else (low, high + 0.3 * (high - low))
        laws.append(Law(name, formula, ranges, beyond))
    return laws


MESSAGES = _laws("""
    spring; -k*(r - 1.5); k 0.5 3, r 0.3 4
    inverse; 2.5*m/r; m 0.5 3, r 0.3 4
    inverse_square; 1.7*m/r**2; m 0.5 3, r 0.4 4
    gravity; 6.67*m1*m2/r**2; m1 0.5 3, m2 0.5 3, r 0.4 4
    charge; q1*q2/r**2; q1 -2 2, q2 -2 2, r 0.5 4
    damped_spring; -k*(r - 1) - 0.4*v; k 0.5 3, r 0.3 4, v -2 2
    morse; D*(1 - exp(-1.3*(r - 1.2)))**2; D 0.5 3, r 0.6 4
    lennard_jones; 4*eps*((sigma/r)**12 - (sigma/r)**6); eps 0.5 2, sigma 0.8 1.2, r 0.95 2.5 1 3
    yukawa; g*exp(-r/lam)/r; g 0.5 3, lam 0.5 3, r 0.3 4
    discontinuous; k*(r - 1)*Heaviside(r - 2); k 0.5 3, r 0.5 4
    softened; m1*m2*r/(r**2 + eps**2)**(3/2); m1 0.5 3, m2 0.5 3, r 0.2 4, eps 0.3 1.5
    kepler; 2*pi*sqrt(a**3/(G*(M + m))); a 0.5 4, G 0.5 2, M 0.5 3, m 0.5 3
    gamma; 1/sqrt(1 - v**2/c**2); v 0.1 2.4 0.1 2.6, c 2.7 4 2.8 5
    coulomb; q1*q2/(4*pi*epsilon*r**2); q1 0.5 3, q2 0.5 3, epsilon 0.5 3, r 0.5 4
    planck; w**3/(exp(w/T) - 1); w 0.5 6, T 0.5 3
    gaussian; exp(-((x - mu)/s)**2/2)/(sqrt(2*pi)*s); x 0 4, mu 1 3, s 0.5 2
    pendulum; m*l**2*w**2/2 + 9.81*m*l*(1 - cos(th)); m 0.5 2, l 0.5 2, w -3 3, th -2.5 2.5
    gravity_x; m1*m2*(x2 - x1)/((x2 - x1)**2 + (y2 - y1)**2)**(3/2); m1 0.5 3, m2 0.5 3, x1 0 1, x2 1.5 3.5, y1 0 2, y2 0 2
""")  # noqa: E501

OTHER = _laws("""
    drag; -0.6*v - 0.25*v*Abs(v); v -4 4
    buckingham; A*exp(-2.2*r) - C/r**6; A 50 200, C 0.5 2, r 0.8 3
    odd_power; 1.3*m1*m2/r**2.7; m1 0.5 3, m2 0.5 3, r 0.4 4
    screened_force; q1*q2*exp(-r/1.7)*(1/r**2 + 1/(1.7*r)); q1 -2 2, q2 -2 2, r 0.4 4
    two_powers; a/r**3 - b/r; a 0.5 2, b 0.5 2, r 0.4 3
    uniform_field; -k*x + 9.8*m; k 0.5 3, x -2 2, m 0.5 3
    alignment; (v2 - v1)/(1 + r**2); v1 -2 2, v2 -2 2, r 0.1 4
    michaelis; V*S/(K + S); V 0.5 3, S 0.1 4, K 0.3 3
    logistic; 1/(1 + exp(-(x - x0)/s)); x -3 3, x0 -1 1, s 0.5 2
    van_der_waals; 8.314*T/(v - b) - a/v**2; T 1 4, v 1 4, b 0.1 0.5, a 0.5 4
    dipole; p*(3*cos(th)**2 - 1)/r**3; p 0.5 3, th 0 3.1, r 0.6 3
    elastic; k*(sqrt(x**2 + y**2) - 1.2); k 0.5 3, x 0.2 3, y 0.2 3
    oscillation; A*exp(-g*t)*cos(w*t); A 0.5 3, g 0.1 1, t 0.1 3, w 1 3
    arrhenius; A*exp(-E/(8.314*T)); A 0.5 3, E 1 20, T 0.5 3
    hill; V*x**2/(k**2 + x**2); V 0.5 3, x 0.1 4, k 0.5 2
    nernst; 0.86*T*log(c1/c2); T 1 4, c1 0.5 5, c2 0.5 5
    bernoulli; P + rho*v**2/2 + 9.81*rho*h; P 1 5, rho 0.5 2, v 0.5 3, h 0.1 1
    magnetic; q*(E + v*B*sin(th)); q -2 2, E 0.5 3, v 0.5 3, B 0.5 3, th 0 3.1
    plummer; -m1*m2/sqrt(r**2 + 0.4); m1 0.5 3, m2 0.5 3, r 0.1 4
    cutoff; (1 + cos(pi*r/3))/2; r 0.1 2.9
    cubic_spring; -k*x - 0.8*x**3; k 0.5 3, x -2 2
    fermi; 1/(exp((E - mu)/T) + 1); E 0.5 4, mu 1 3, T 0.3 1.5
    reduced_mass; k*m1*m2/(m1 + m2); k 0.5 3, m1 0.5 3, m2 0.5 3
    ramp; k*Max(r - 1.4, 0); k 0.5 3, r 0.3 4
""")  # fmt: skip


def feynman(path: Path) -> list[Law]:
    """Read the AI-Feynman table (Udrescu and Tegmark 2020), one irrelevant variable each."""
    laws = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            if not row["Formula"]:
                continue
            ranges = {
                row[f"v{i}_name"]: (float(row[f"v{i}_low"]), float(row[f"v{i}_high"]))
                for i in range(1, 11)
                if row.get(f"v{i}_name")
            }
            formula = row["Formula"].replace("ln(", "log(").replace("arcsin(", "asin(")
            laws.append(Law(row["Filename"], formula, ranges, distractors=1))
    return laws


def sample(law: Law, ranges: Ranges, rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw variables uniformly (distractors last) where the law is defined, and evaluate it."""
    low, high = np.array([*ranges.values(), *[(1.0, 3.0)] * law.distractors]).T
    X = rng.uniform(low, high, (4 * rows, len(low)))
    symbols = [sympy.Symbol(n) for n in ranges]
    fit = Fit(parse(law.formula, ranges), symbols, X[:, : len(symbols)], np.zeros(len(X)), np.ones(len(X)))
    y = fit.predict()
    good = np.flatnonzero(np.isfinite(y) & (np.abs(y) < 1e12))[:rows]
    return X[good], y[good]


def judge(expression: sympy.Expr, law: Law, rng: np.random.Generator) -> tuple[bool, float]:
    """Return whether a formula is the law, and its largest extrapolation error (95 % of points)."""
    truth = parse(law.formula, law.ranges)
    symbols = [sympy.Symbol(n) for n in law.ranges]
    if not expression.free_symbols <= set(symbols):
        return False, np.inf
    X, y = sample(law, law.ranges, 1000, rng)
    floats = expression.xreplace({n: sympy.Float(float(n)) for n in expression.atoms(sympy.NumberSymbol)})
    fit = Fit(floats, symbols, X[:, : len(symbols)], y, np.full(len(y), 1 / np.mean(y**2)))
    fit.refit(100, 1e-14)
    X, y = sample(law, law.beyond or law.ranges, 1000, rng)
    beyond = Fit(fit.expression(), symbols, X[:, : len(symbols)], y, np.ones(len(y)))
    error = np.abs(beyond.predict() - y) / (np.abs(y) + 1e-3 * y.std())
    worst = float(np.nan_to_num(np.quantile(np.nan_to_num(error, nan=np.inf), 0.95), nan=np.inf))
    return worst <= 1e-9 and complexity(expression) <= 1.7 * complexity(truth) + 6, worst


def run(law: Law, backend: str, noise: float, seconds: float, seed: int, rows: int) -> dict[str, object]:
    """Search one law; noise is relative to the target's standard deviation."""
    rng = np.random.default_rng([seed, *map(ord, law.name)])
    X, clean = sample(law, law.ranges, rows, rng)
    y = clean + noise * clean.std() * rng.standard_normal(len(clean))
    names = (*law.ranges, *(f"d{i}" for i in range(law.distractors)))
    wall, cpu = time.perf_counter(), time.process_time()
    front = search(X, y, names, backend=backend, seconds=seconds, seed=seed)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    best = front.best().expression
    exact, error = judge(best, law, np.random.default_rng(seed))
    inside = any(judge(c.expression, law, np.random.default_rng(seed))[0] for c in front)
    return {"exact": exact, "in_front": inside, "error": error, "cpu": cpu, "wall": wall, "formula": best}


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", nargs="+", choices=BACKENDS, default=["structured"])
    parser.add_argument("--noise", nargs="+", type=float, default=[0.0, 0.01, 0.05])
    parser.add_argument("--seconds", type=float, default=10.0, help="limit per law (wall clock)")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--suite", choices=["messages", "other"], default="messages")
    parser.add_argument("--feynman", type=Path, help="CSV of the Feynman equations instead of a suite")
    parser.add_argument("--only", nargs="+", help="names of laws")
    options = parser.parse_args(arguments)
    laws = (
        feynman(options.feynman) if options.feynman else {"messages": MESSAGES, "other": OTHER}[options.suite]
    )
    laws = [law for law in laws if not options.only or law.name in options.only]
    for name in options.backend:
        for noise in options.noise:
            results = []
            for law in laws:
                result = run(law, name, noise, options.seconds, options.seed, options.rows)
                results.append(result)
                mark = "exact" if result["exact"] else "front" if result["in_front"] else "-"
                formula = str(sympy.N(result["formula"], 4))
                figures = f"{mark:5s} {result['error']:8.1e} {result['cpu']:5.1f} s"
                print(f"  {law.name:16s} {figures}  {formula:.110s}", flush=True)
            exact, cpu = (np.array([r[key] for r in results], float) for key in ("exact", "cpu"))
            score = f"{exact.sum():.0f} of {len(laws)} exact, {cpu.mean():.1f} CPU s a law"
            print(f"{name}, noise {noise:g}: {score}", flush=True)


if __name__ == "__main__":
    main()
