"""Benchmark of the search engines on laws with irrelevant variables, judged strictly.

    python scripts/bench_search.py --noise 0.01 --backend structured operon
    python scripts/bench_search.py --suite other --units
    python scripts/bench_search.py --suite feynman --part third --noise 0.01 --seconds 30

A law counts as exact if the formula holds no irrelevant variable, has at most 1.7 × the truth's nodes + 6,
and, after its constants are refitted on noiseless data, is off by at most 1e-9 where the law is extrapolated.
With ``--units`` the search is told the units of all variables, the irrelevant ones (which have that of some
variable of the law) included, and of the target. Seconds are of CPU time, for Operon of the clock.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import sympy
from search_laws import KEPT, MESSAGES, OTHER, Law, Ranges, feynman, read_laws

from sciml.distill.expression import complexity, parse
from sciml.distill.search import BACKENDS, search
from sciml.distill.structured.fitting import Fit


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
    X, y = sample(law, law.beyond, 1000, rng)
    beyond = Fit(fit.expression(), symbols, X[:, : len(symbols)], y, np.ones(len(y)))
    error = np.abs(beyond.predict() - y) / (np.abs(y) + 1e-3 * y.std())
    worst = float(np.nan_to_num(np.quantile(np.nan_to_num(error, nan=np.inf), 0.95), nan=np.inf))
    return worst <= 1e-9 and complexity(expression) <= 1.7 * complexity(truth) + 6, worst


def run(
    law: Law, backend: str, noise: float, seconds: float, seed: int, rows: int, with_units: bool = False
) -> dict[str, Any]:
    """Search one law; noise is relative to the target's standard deviation."""
    rng = np.random.default_rng([seed, *map(ord, law.name)])
    X, clean = sample(law, law.ranges, rows, rng)
    y = clean + noise * clean.std() * rng.standard_normal(len(clean))
    distractors = [f"d{i}" for i in range(law.distractors)]
    told: dict[str, Any] = {"clock": time.process_time} if backend == "structured" else {}
    if with_units:
        like = rng.choice([*law.units.values()], law.distractors)
        told |= {"units": law.units | dict(zip(distractors, map(str, like), strict=True))}
        told |= {"target_unit": law.target_unit}
    wall, cpu = time.perf_counter(), time.process_time()
    front = search(X, y, (*law.ranges, *distractors), backend=backend, seconds=seconds, seed=seed, **told)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    best = front.best().expression
    exact, error = judge(best, law, np.random.default_rng(seed))
    inside = any(judge(c.expression, law, np.random.default_rng(seed))[0] for c in front)
    return {"exact": exact, "in_front": inside, "error": error, "cpu": cpu, "wall": wall, "formula": best}


def _chosen(options: argparse.Namespace) -> list[Law]:
    suites = {"messages": MESSAGES, "other": OTHER, "kept": KEPT}
    if options.laws:
        laws = read_laws(options.laws.read_text(encoding="utf-8"))
    else:
        laws = feynman(options.part) if options.suite == "feynman" else suites[options.suite]
    laws = laws[slice(*options.slice)] if options.slice else laws
    return [law for law in laws if not options.only or law.name in options.only]


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", nargs="+", choices=BACKENDS, default=["structured"])
    parser.add_argument("--noise", nargs="+", type=float, default=[0.0, 0.01, 0.05])
    parser.add_argument("--seconds", type=float, default=10.0, help="limit per law")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--units", action="store_true", help="tell the search the units")
    parser.add_argument("--suite", choices=["messages", "other", "kept", "feynman"], default="messages")
    parser.add_argument("--part", choices=["all", "third", "rest"], default="all", help="of Feynman's")
    parser.add_argument(
        "--laws", type=Path, help="a file of laws of your own, in the lines of search_laws.py"
    )
    parser.add_argument("--slice", nargs=2, type=int, help="first law and the one after the last")
    parser.add_argument("--only", nargs="+", help="names of laws")
    options = parser.parse_args(arguments)
    laws = _chosen(options)
    for name in options.backend:
        for noise in options.noise:
            results = []
            for law in laws:
                result = run(law, name, noise, options.seconds, options.seed, options.rows, options.units)
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
