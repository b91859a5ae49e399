"""Numbers that a formula's constants may be: simple ones, multiples of π and roots, constants of nature.

A constant takes such a value only where the data's error allows it and chance would hardly bring it so near;
what was fitted is kept beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import scipy.constants
import sympy

from sciml.distill.front import Problem, Snapped
from sciml.distill.structured.fitting import Fit
from sciml.units import UnitError, compatible, constant_units, convert

REACH = 2.5  # standard errors within which a constant may be a known number
CHANCE = 0.05  # probability, at most, that some known number is so near by chance
COMMON = 0.02  # relative error up to which a constant of nature, of which few have a unit, is recognized

NATURE = {
    "G": "m**3/kg/s**2", "k": "J/K", "h": "J*s", "hbar": "J*s", "c": "m/s", "e": "C", "epsilon_0": "F/m",
    "mu_0": "H/m", "g": "m/s**2", "sigma": "W/m**2/K**4", "m_e": "kg", "m_p": "kg",
}  # fmt: skip


@cache
def _numbers() -> tuple[tuple[sympy.Expr, float], ...]:
    """Return simple multiples of π, its powers and roots, and of the first roots."""
    pi, root = sympy.pi, sympy.sqrt
    bases = [pi, pi**2, root(pi), root(2 * pi), root(2), root(3)]
    multiples = [sympy.Rational(p, q) for p in (1, 2, 3, 4, 8) for q in (1, 2, 3, 4, 8)]
    found = {q * b**s for b in bases for s in (1, -1) for q in multiples}
    return tuple((e, float(e)) for e in sorted(found, key=float))


def snap(
    expression: sympy.Expr, problem: Problem, independent: float
) -> tuple[sympy.Expr, tuple[Snapped, ...]]:
    """Give fitted constants known values where these are as likely; say what is fitted in place of all.

    Args:
        expression: the formula in the user's variables, its constants fitted.
        problem: the observations.
        independent: how many independent rows they are worth, by which errors are widened.
    """
    wider = np.sqrt(max(1.0, len(problem.y) / max(independent, 1.0)))
    found = []
    for place, number in _simple(expression):
        freed = _fit(place, problem, {_FREE: float(number)})
        if freed is not None and np.isfinite(freed.refit(30)):
            error = freed.errors()[-1] * wider
            if np.isfinite(error):  # else another constant can take up whatever this one is
                found.append(Snapped(str(number), float(freed.values[-1]), float(error)))
    fitted = _fit(expression, problem)
    if fitted is None:
        return expression, tuple(found)
    units = _units(fitted, problem)
    for symbol, value, error in zip(fitted.constants, fitted.values, fitted.errors() * wider, strict=True):
        name = _known(float(value), float(error), units.get(str(symbol), ""))
        if name is not None:
            text, exact = name
            expression = expression.xreplace({sympy.Float(float(value)): sympy.Float(exact)})
            found.append(Snapped(text, float(value), float(error)))
    return expression, tuple(found)


_FREE = sympy.Dummy("free")


def _simple(expression: sympy.Expr) -> Iterator[tuple[sympy.Expr, sympy.Rational]]:
    """Yield the formula with one exact coefficient or exponent freed, and the number that it was."""

    def walk(e: sympy.Expr) -> Iterator[tuple[sympy.Expr, sympy.Rational]]:
        for k, part in enumerate(e.args):
            if part.is_Rational and part not in (1, -1):
                yield e.func(*e.args[:k], _FREE, *e.args[k + 1 :]), part
            for inner, number in walk(part):
                yield e.func(*e.args[:k], inner, *e.args[k + 1 :]), number

    return walk(expression)


def _fit(
    expression: sympy.Expr, problem: Problem, free: dict[sympy.Symbol, float] | None = None
) -> Fit | None:
    symbols = [sympy.Symbol(name) for name in problem.names]
    weights = np.ones(len(problem.y)) if problem.weights is None else problem.weights
    weights = weights / (np.mean(weights * problem.y**2) or 1.0)
    try:
        return Fit(expression, symbols, problem.X, problem.y, weights, free)
    except (ValueError, TypeError):  # no real number, or an exponent that holds the freed constant
        return None


def _known(value: float, error: float, unit: str) -> tuple[str, float] | None:
    """Return the name and value of a known number near a constant, if chance is no likelier reason."""
    if not value or not np.isfinite(error):
        return None
    error = max(error, 1e-12 * abs(value))
    if unit:
        if error > COMMON * abs(value):
            return None
        for name, its_unit in NATURE.items():
            exact = getattr(scipy.constants, name) * 1.0
            if compatible(its_unit, unit) and abs(convert(exact, its_unit, unit) - value) < REACH * error:
                return name, convert(exact, its_unit, unit)
        return None
    numbers = _numbers()
    density = len(numbers) / np.log(numbers[-1][1] / numbers[0][1])  # per e-fold
    if 2 * REACH * error / abs(value) * density > CHANCE:
        return None
    expression, exact = min(numbers, key=lambda n: abs(n[1] - abs(value)))
    if abs(exact - abs(value)) > REACH * error:
        return None
    sign = 1 if value > 0 else -1
    return str(sign * expression), sign * exact


def _units(fit: Fit, problem: Problem) -> dict[str, str]:
    """Return the units that a formula's constants carry, none where these are not known."""
    if problem.units is None or problem.target_unit is None:
        return {}
    given = dict(zip(problem.names, problem.units, strict=True))
    names = {symbol: sympy.Symbol(f"constant_{k}") for k, symbol in enumerate(fit.constants)}
    try:
        found = constant_units(
            fit.formula.xreplace(names), given, problem.target_unit, [str(s) for s in names.values()]
        )
    except UnitError:
        return {}
    return {str(symbol): found[str(name)] for symbol, name in names.items()}
