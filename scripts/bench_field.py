"""Equations from noisy fields beside PySINDy's weak form: python scripts/bench_field.py [SYSTEM ...].

The same noisy snapshots go to both. PySINDy (github.com/dynamicslab/pysindy) needs a threshold and a size of
its test domains; those that come nearest to the truth are taken, which is in its favour: a user could not
know. Without PySINDy its columns stay empty.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from sciml.datasets.fields import FieldSeries
from sciml.distill.fields import discover
from sciml.distill.fields.terms import expand, variable
from sciml.physics.fields import SimulatedField, simulate_field

Law = dict[str, float]
SYSTEMS: Mapping[str, tuple[str, int]] = {
    "heat": ("heat", 1), "wave": ("wave", 1), "burgers": ("burgers", 1), "gray_scott": ("gray_scott", 1),
    "heat_2d": ("heat", 2), "wave_2d": ("wave", 2), "burgers_2d": ("burgers", 2),
    "gray_scott_2d": ("gray_scott", 2),
}  # fmt: skip
NOISES = (0.01, 0.1)
THRESHOLDS = (0.3, 0.1, 0.03, 0.01, 0.003)
DOMAINS = (20, 10)  # test domains of PySINDy: half-width is this part of the whole


def truth(system: str, dim: int, p: Mapping[str, float]) -> dict[str, Law]:
    """Return the equations behind the simulator, by channel."""
    laplacian = lambda u, d: {f"{u}_{a}{a}": d for a in "xy"[:dim]}
    if system == "heat":
        return {"u": laplacian("u", p["D"])}
    if system == "wave":
        return {"u": {"v": 1.0}, "v": laplacian("u", p["c"] ** 2)}
    if system == "burgers":
        flow = {c: {f"{a}*{c}_{x}": -1.0 for a, x in zip("uv"[:dim], "xy")} for c in "uv"[:dim]}
        return {
            c: {"*".join(sorted(k.split("*"))): v for k, v in flow[c].items()} | laplacian(c, p["nu"])
            for c in flow
        }
    u = {"1": p["F"], "u": -p["F"], "u*v*v": -1.0} | laplacian("u", p["Du"])
    return {"u": u, "v": {"v": -p["F"] - p["k"], "u*v*v": 1.0} | laplacian("v", p["Dv"])}


def ours(data: FieldSeries) -> dict[str, Law]:
    """Return the equations that sciml finds."""
    found = discover(data)
    written = lambda m: "*".join(sorted(variable(f, data.channels) for f in m)) or "1"
    return {
        e.channel: {
            written(m): w for m, w in expand(dict(zip(e.terms, e.fit.coefficients if e.fit else ()))).items()
        }
        for e in found.equations
    }


def theirs(data: FieldSeries, true: dict[str, Law], seed: int) -> tuple[dict[str, Law], float]:
    """Return PySINDy's equations that are nearest to the truth, and the seconds of one fit."""
    ps = peer()
    assert ps is not None
    values = np.moveaxis(data.values, 0, -2)  # x(, y), time, channel
    axes = [np.arange(n) * d for n, d in zip(data.shape, data.dx)] + [np.arange(data.times) * data.dt]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    best, best_score, seconds = {c: {} for c in true}, (False, -np.inf), np.inf
    for part in DOMAINS:
        start = time.perf_counter()
        np.random.seed(seed)  # noqa: NPY002 - PySINDy places its test domains by it
        library = ps.WeakPDELibrary(
            function_library=ps.PolynomialLibrary(degree=3, include_bias=False), spatiotemporal_grid=grid,
            derivative_order=4 if data.dim == 1 else 2, K=500, include_bias=True,
            H_xt=[(a[-1] - a[0]) / part for a in axes],
        )  # fmt: skip
        theta = np.asarray(library.fit_transform([values])[0])
        target = np.asarray(library.convert_u_dot_integral(values))
        names = [_name(n, data.channels) for n in library.get_feature_names()]
        for threshold in THRESHOLDS:
            solver = ps.STLSQ(threshold=threshold, alpha=1e-12, normalize_columns=True, max_iter=50)
            weights = solver.fit(theta, target).coef_
            laws = {
                c: {n: float(w) for n, w in zip(names, row) if w} for c, row in zip(data.channels, weights)
            }
            right, worst = compare(laws, true)
            if (right, -worst) > best_score:
                best, best_score = laws, (right, -worst)
        seconds = min(seconds, time.perf_counter() - start)
    return best, seconds


def _name(name: str, channels: tuple[str, ...]) -> str:
    parts = []
    for channel, derivative, power in re.findall(r"x(\d+)(?:_(\d+))?(?:\^(\d+))?", name):
        suffix = "".join("xyz"[int(d) - 1] for d in derivative)
        parts += [channels[int(channel)] + (f"_{suffix}" if suffix else "")] * int(power or 1)
    return "*".join(sorted(parts)) or "1"


def peer() -> Any:
    """Return PySINDy, which is no dependency, or None."""
    return importlib.import_module("pysindy") if importlib.util.find_spec("pysindy") else None


def compare(found: dict[str, Law], true: dict[str, Law]) -> tuple[bool, float]:
    """Return whether the terms are right, and the worst relative error of the true coefficients."""
    right = all(set(found[c]) == set(true[c]) for c in true)
    errors = [abs(found[c].get(term, 0.0) / value - 1) for c in true for term, value in true[c].items()]
    return right, max(errors)


def noisy(clean: SimulatedField, noise: float, seed: int) -> FieldSeries:
    """Add white noise relative to the spread of each field."""
    spread = clean.values.std(axis=tuple(range(clean.values.ndim - 1)))
    values = clean.values + np.random.default_rng(seed).normal(0.0, noise * spread, clean.values.shape)
    return FieldSeries(values, clean.dx, clean.dt, clean.channels)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("systems", nargs="*", choices=[*SYSTEMS, []], default=[])
    parser.add_argument("--seeds", type=int, default=1, help="noises and starts per line")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    pysindy = peer()
    if pysindy is None:
        print("PySINDy is not installed (pip install pysindy): its columns are left empty.")
    version = f" {pysindy.__version__}" if pysindy is not None else ""
    table = Table("system", "noise", "terms", "worst error", "seconds",
                  f"PySINDy{version}: terms", "worst error", "seconds")  # fmt: skip
    for label in options.systems or SYSTEMS:
        system, dim = SYSTEMS[label]
        for noise in NOISES:
            rows: list[tuple] = []
            for seed in range(options.seeds):
                clean = simulate_field(system, dim=dim, seed=seed, tolerance=1e-6)
                true, data = truth(system, dim, clean.parameters), noisy(clean, noise, seed + 100)
                start = time.perf_counter()
                mine = compare(ours(data), true)
                seconds = time.perf_counter() - start
                other: tuple = (None, None, None)
                if pysindy is not None:
                    laws, other_seconds = theirs(data, true, seed)
                    other = (*compare(laws, true), other_seconds)
                rows.append((*mine, seconds, *other))
            table.add_row(label, f"{noise:.0%}", *_summary(rows, 0), *_summary(rows, 3))
    Console().print(table)


def _summary(rows: list[tuple], first: int) -> list[str]:
    if rows[0][first] is None:
        return ["–"] * 3
    right, worst, seconds = zip(*(row[first : first + 3] for row in rows))
    return [f"{sum(right)} of {len(right)}", f"{max(worst):.2%}", f"{np.mean(seconds):.1f}"]


if __name__ == "__main__":
    main()
