"""The observations as the search sees them: checked, sampled, without columns that say nothing, scaled."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import sympy
from jaxtyping import Float

from sciml.distill.front import Problem
from sciml.distill.structured.dimensions import vectors

SAMPLE = 2000  # rows that the search works on; the short list sees all


@dataclass(frozen=True)
class Table:
    """A sample of a problem in units near one.

    Attributes:
        X: variables, divided by ``scales``.
        y: target, divided by ``y_scale``.
        weights: inverse variances, such that the weighted mean square of ``y`` is one.
        symbols: the variables' symbols.
        columns: which columns of the problem these are.
        scales: powers of ten, equal for variables of similar size, so that these can be subtracted.
        y_scale: power of ten.
        groups: label per variable; variables with one label have the same unit and scale.
        dimensions: exponents of the base dimensions; of no base dimension if units are not given.
        target_dimension: likewise, None if only the variables' units are given.
    """

    X: Float[np.ndarray, "rows variables"]
    y: Float[np.ndarray, "rows"]
    weights: Float[np.ndarray, "rows"]
    symbols: tuple[sympy.Symbol, ...]
    columns: tuple[int, ...]
    scales: Float[np.ndarray, "variables"]
    y_scale: float
    groups: tuple[int, ...]
    dimensions: Float[np.ndarray, "variables base"]
    target_dimension: Float[np.ndarray, "base"] | None

    def __len__(self) -> int:
        return len(self.y)

    def head(self, rows: int) -> Table:
        """Return the first rows (the rows are in random order)."""
        return replace(self, X=self.X[:rows], y=self.y[:rows], weights=self.weights[:rows])

    def unscale(self, expression: sympy.Expr) -> sympy.Expr:
        """Rewrite a formula of the scaled variables for the user's."""
        scale = {s: float(c) for s, c in zip(self.symbols, self.scales, strict=True) if c != 1.0}
        swap: dict[sympy.Expr, sympy.Expr] = {s: s * sympy.Float(1 / c) for s, c in scale.items()}
        for power in expression.atoms(sympy.Pow):
            if power.base in scale and power.exp.is_Number:
                swap[power] = power * sympy.Float(scale[power.base] ** -float(power.exp))
        expression = expression.xreplace(swap)
        return expression if self.y_scale == 1.0 else expression * sympy.Float(self.y_scale)


def check(problem: Problem) -> None:
    """Refuse a problem that no search could treat.

    Raises:
        ValueError: naming the row and the column of what is wrong.
    """
    X, y = np.asarray(problem.X), np.asarray(problem.y)
    if X.ndim != 2 or y.ndim != 1 or len(X) != len(y):
        raise ValueError(f"expected X [rows, variables] and y [rows], found shapes {X.shape} and {y.shape}")
    if len(problem.names) != X.shape[1] or len(set(problem.names)) != len(problem.names):
        raise ValueError(f"expected {X.shape[1]} different names, found {list(problem.names)}")
    if len(y) < 3:
        raise ValueError(f"expected at least 3 rows, found {len(y)}")
    if problem.units is not None and len(problem.units) != X.shape[1]:
        raise ValueError(f"expected {X.shape[1]} units, found {list(problem.units)}")
    for name, column in zip((*problem.names, "the target"), (*X.T, y), strict=True):
        bad = np.flatnonzero(~np.isfinite(column))
        if len(bad):
            raise ValueError(
                f"{name} is {column[bad[0]]} in row {bad[0]} ({len(bad)} such rows): remove them"
            )
    if problem.weights is not None:
        w = np.asarray(problem.weights)
        if w.shape != y.shape or not np.isfinite(w).all() or (w < 0).any() or not (w > 0).any():
            raise ValueError(f"weights must be {len(y)} finite numbers >= 0, found shape {w.shape}")


def prepare(problem: Problem, rng: np.random.Generator, sample: int = SAMPLE) -> tuple[Table, list[str]]:
    """Sample rows, drop constant and repeated columns, bring all to scale; say what was done."""
    messages: list[str] = []
    rows = rng.permutation(len(problem.y))
    if len(rows) > sample:
        messages.append(f"searched on {sample} of {len(rows)} rows, drawn at random; all score the formulas")
        rows = rows[:sample]
    X, y = np.asarray(problem.X, float)[rows], np.asarray(problem.y, float)[rows]
    weights = np.ones(len(y)) if problem.weights is None else np.asarray(problem.weights, float)[rows]
    columns: list[int] = []
    for j, name in enumerate(problem.names):
        twin = next((k for k in columns if np.array_equal(X[:, k], X[:, j])), None)
        if np.ptp(X[:, j]) <= 1e-12 * np.abs(X[:, j]).max():
            messages.append(f"{name} is constant and was left out")
        elif twin is not None:
            messages.append(f"{name} repeats {problem.names[twin]} and was left out")
        else:
            columns.append(j)
    X = X[:, columns]
    units = None if problem.units is None else [problem.units[j] for j in columns]
    groups = _similar(X, units)
    scales = np.array([_scale(X[:, [k for k, g in enumerate(groups) if g == label]]) for label in groups])
    y_scale = _scale(y)
    y = y / y_scale
    weights = weights / max(np.average(y**2, weights=weights) * weights.mean(), 1e-300)
    symbols = tuple(sympy.Symbol(problem.names[j]) for j in columns)
    known, target = _dimensions(units, problem.target_unit)
    return Table(
        X / scales, y, weights, symbols, tuple(columns), scales, y_scale, groups, known, target
    ), messages


def _dimensions(units: list[str] | None, target: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    if units is None:
        return np.zeros((99, 0)), np.zeros(0)
    if target is None:
        return vectors(units), None
    all_ = vectors([*units, target])
    return all_[:-1], all_[-1]


def _scale(values: np.ndarray) -> float:
    """Return the power of ten near the typical size, one if the typical size is within a factor of 30."""
    typical = np.median(np.abs(values[values != 0])) if np.any(values) else 1.0
    return 1.0 if 1 / 30 < typical < 30 else float(10.0 ** np.round(np.log10(typical)))


def _similar(X: np.ndarray, units: list[str] | None) -> tuple[int, ...]:
    """Label variables such that those of one label may sensibly be added: like size and unit."""
    sizes = [float(np.log10(np.median(np.abs(x[x != 0])))) for x in X.T]
    labels: list[int] = []
    for j, size in enumerate(sizes):
        same = (
            labels[k]
            for k in range(j)
            if abs(sizes[k] - size) < 1 and (units is None or units[k] == units[j])
        )
        labels.append(next(same, j))
    return tuple(labels)
