"""From a proposal to a formula: constants refitted, terms pruned, exponents and constants simplified.

Every change must shorten the description (`sciml.distill.front.description_length`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import sympy

from sciml.distill.expression import complexity
from sciml.distill.front import FLOOR, description_length
from sciml.distill.structured.fitting import Fit
from sciml.distill.structured.subsets import NODE
from sciml.distill.structured.table import Table

LARGEST = 60  # nodes


@dataclass(frozen=True)
class Polished:
    """A refitted formula, its relative loss and its description length in nats."""

    expression: sympy.Expr
    loss: float
    length: float


def fit(
    expression: sympy.Expr, table: Table, iterations: int = 30, hopeless: float = np.inf
) -> Polished | None:
    """Refit the constants; None if the formula is undefined on the data or too large."""
    if expression.has(sympy.zoo, sympy.nan, sympy.oo, sympy.I) or complexity(expression) > LARGEST:
        return None
    try:
        bound = Fit(expression, table.symbols, table.X, table.y, table.weights)
    except ValueError:  # a root of a negative number
        return None
    loss = bound.refit(iterations, hopeless=hopeless)
    if not np.isfinite(loss):
        return None
    found = bound.expression()
    return Polished(found, loss, description_length(found, complexity(found), loss, len(table)))


def polish(start: Polished, table: Table) -> list[Polished]:
    """Apply the simplifications that shorten the description until none does.

    Returns:
        All formulas that were fitted, the shortest description first.
    """
    plain = _positive_powers(start.expression, table)
    first = start if plain == start.expression else fit(plain, table) or start
    best, tried = first, [first]
    for step in (_without_part, _rounded_exponent, _without_part, _common_factor, _plain_constant):
        changed = True
        while changed:
            changed = False
            for trial in step(best.expression):
                # a simpler formula may leave more over, by what its missing nodes are worth
                spared = NODE * (complexity(best.expression) - complexity(trial)) + 20
                hopeless = 2 * best.loss * np.exp(2 * max(spared, 0) / len(table)) + FLOOR
                new = fit(trial, table, 12, hopeless)
                if new is not None:
                    tried.append(new)
                    if new.length < best.length:
                        best, changed = new, True
                        break
    return sorted(tried, key=lambda p: p.length)


def _positive_powers(e: sympy.Expr, table: Table) -> sympy.Expr:
    """Return sqrt(x**2) as x where all that is in it is positive on the data."""
    positive = {s for s, x in zip(table.symbols, table.X.T, strict=True) if (x > 0).all()}
    nested = [p for p in e.atoms(sympy.Pow) if p.base.is_Pow or p.base.is_Mul]
    return e.xreplace({p: sympy.powdenest(p, force=True) for p in nested if p.free_symbols <= positive})


def _without_part(e: sympy.Expr) -> Iterator[sympy.Expr]:
    """Yield the formula without one term of a sum, or without one factor that has a constant inside."""
    for node in sorted(e.atoms(sympy.Add), key=sympy.default_sort_key):
        for term in node.args:
            yield e.xreplace({node: node - term})
    for node in sorted(e.atoms(sympy.Mul), key=sympy.default_sort_key):
        for factor in node.args:
            if factor.args and factor.atoms(sympy.Float):
                yield e.xreplace({node: node / factor})


def _common_factor(e: sympy.Expr) -> Iterator[sympy.Expr]:
    """Yield the formula with common factors of sums taken out."""
    factored = sympy.factor_terms(e)
    if complexity(factored) < complexity(e):
        yield factored


def _rounded_exponent(e: sympy.Expr) -> Iterator[sympy.Expr]:
    """Yield the formula with one real exponent replaced by a simple fraction near it."""
    for node in sorted(e.atoms(sympy.Pow), key=sympy.default_sort_key):
        if node.exp.is_Float:
            for d in (1, 2, 3):
                near = sympy.Rational(round(float(node.exp) * d), d)
                if abs(float(near - node.exp)) < 0.3 / d:
                    yield e.xreplace({node: node.base**near})


def _plain_constant(e: sympy.Expr) -> Iterator[sympy.Expr]:
    """Yield the formula with one constant replaced by the small integer, or half of one, beside it."""
    for number in sorted(e.atoms(sympy.Float), key=float):
        near = sympy.Rational(round(2 * float(number)), 2)
        if near != 0 and abs(near) <= 12 and abs(float(number) / float(near) - 1) < 0.02:
            yield e.xreplace({number: near})
