"""Observations of any array type, checked and brought into the form that search engines take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sciml.distill.front import Problem
from sciml.distill.parser import check_names

FEWEST_ROWS = 10


def as_problem(
    X: Any,
    y: Any,
    names: Sequence[str] | None = None,
    units: Sequence[str] | Mapping[str, str] | None = None,
    target_unit: str | None = None,
    weights: Any = None,
) -> Problem:
    """Check observations of any array type and bring them into the form that engines take.

    Raises:
        ValueError: naming the row and column, and what was expected.
    """
    if names is None and hasattr(X, "columns"):
        names = [str(name) for name in X.columns]
    table, target = _array(X, "X"), _array(y, "y")
    if table.ndim != 2:
        raise ValueError(
            f"X must be [rows, variables], found shape {table.shape}; X[:, None] makes one variable"
        )
    if target.ndim == 2 and target.shape[1] == 1:
        target = target[:, 0]
    if target.shape != table.shape[:1]:
        raise ValueError(f"y must be [rows] with the {len(table)} rows of X, found shape {target.shape}")
    if len(target) < FEWEST_ROWS:
        raise ValueError(f"found {len(target)} rows; a search needs at least {FEWEST_ROWS}")
    names = [f"x{i}" for i in range(table.shape[1])] if names is None else list(names)
    if len(names) != table.shape[1]:
        raise ValueError(
            f"X has {table.shape[1]} columns, but there are {len(names)} names: {', '.join(map(str, names))}"
        )
    check_names(names)
    for name, column in zip(names, table.T, strict=True):
        _check_finite(column, f"column {name!r} of X")
    _check_finite(target, "y")
    return Problem(
        X=table,
        y=target,
        names=tuple(names),
        weights=None if weights is None else _weights(weights, len(target)),
        units=None if units is None else _units(units, names),
        target_unit=_unit(target_unit, "the target"),
    )


def _array(values: Any, what: str) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    try:
        array = np.asarray(values)
        # complex numbers are not silently halved
        return np.asarray(
            array.astype(np.float64, casting="unsafe" if array.dtype.kind in "OUS" else "same_kind")
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} must be a table of real numbers: {error}") from None


def _check_finite(column: np.ndarray, what: str) -> None:
    bad = np.flatnonzero(~np.isfinite(column))
    if len(bad):
        more = f" ({len(bad)} such rows)" if len(bad) > 1 else ""
        raise ValueError(f"{what} is {column[bad[0]]} in row {bad[0]}{more}; leave such rows out")


def _weights(weights: Any, rows: int) -> np.ndarray:
    array = _array(weights, "weights")
    if array.shape != (rows,):
        raise ValueError(f"weights must be one number for each of {rows} rows, found shape {array.shape}")
    _check_finite(array, "weights")
    if (array < 0).any() or not array.any():
        row = int(np.argmin(array))
        raise ValueError(f"weights must be positive; weight {array[row]} in row {row}")
    return array


def _units(units: Sequence[str] | Mapping[str, str], names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(units, Mapping):
        unknown = [name for name in units if name not in names]
        missing = [name for name in names if name not in units]
        if unknown or missing:
            what = f"no variable {unknown[0]!r}" if unknown else f"no unit for {missing[0]!r}"
            raise ValueError(
                f"units: {what}; the variables are {', '.join(map(str, names))}; '' means dimensionless"
            )
        units = [units[name] for name in names]
    if isinstance(units, str) or len(units) != len(names):
        raise ValueError(f"expected {len(names)} units for {', '.join(map(str, names))}, found {units!r}")
    for name, unit in zip(names, units, strict=True):
        _unit(unit, f"variable {name}")
    return tuple(units)


def _unit(unit: str | None, what: str) -> str | None:
    if unit:
        from sciml.units import UnitError, dimensions

        try:
            dimensions(unit)
        except UnitError as error:
            raise ValueError(f"unit of {what}: {error}") from None
    return unit


def informative(problem: Problem) -> tuple[Problem, list[str]]:
    """Leave out columns that are constant or repeat another, and say so; none where a model needs them."""
    if problem.model is not None:
        return problem, []
    messages: list[str] = []
    kept: list[int] = []
    seen: dict[bytes, str] = {}
    for k, (name, column) in enumerate(zip(problem.names, problem.X.T, strict=True)):
        if np.ptp(column) == 0:
            messages.append(f"{name} was left out: it is {column[0]:g} in every row")
            continue
        first = seen.setdefault(column.tobytes(), name)
        if first == name:
            kept.append(k)
        else:
            messages.append(f"{name} was left out: it equals {first}, and a law cannot tell them apart")
    if not messages:
        return problem, messages
    units = None if problem.units is None else tuple(problem.units[k] for k in kept)
    names = tuple(problem.names[k] for k in kept)
    return replace(problem, X=problem.X[:, kept], names=names, units=units), messages
