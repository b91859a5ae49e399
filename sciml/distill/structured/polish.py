"""From a proposal to a formula: constants refitted, terms pruned, exponents and constants simplified.

Every change must shorten the description: rows/2·log(loss) + log(10)·nodes + log(rows)/2 per constant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import sympy

from sciml.distill.expression import complexity
from sciml.distill.structured.numeric import Fit
from sciml.distill.structured.subsets import FLOOR, NODE
from sciml.distill.structured.table import Table

LARGEST = 60  # nodes


@dataclass(frozen=True)
class Polished:
    """A refitted formula, its relative loss and its description length in nats."""

    expression: sympy.Expr
    loss: float
    length: float


def describe(expression: sympy.Expr, loss: float, rows: int) -> float:
    """Return the description length in nats."""
    constants = sum(e.is_Float for e in sympy.preorder_traversal(expression))
    return rows / 2 * np.log(max(loss, FLOOR)) + NODE * complexity(expression) + constants * np.log(rows) / 2


def fit(expression: sympy.Expr, table: Table, iterations: int = 30) -> Polished | None:
    """Refit the constants; None if the formula is undefined on the data or too large."""
    if expression.has(sympy.zoo, sympy.nan, sympy.oo, sympy.I) or complexity(expression) > LARGEST:
        return None
    bound = Fit(expression, table.symbols, table.X, table.y, table.weights)
    loss = bound.refit(iterations)
    if not np.isfinite(loss):
        return None
    found = bound.expression()
    return Polished(found, loss, describe(found, loss, len(table)))


def polish(start: Polished, table: Table) -> list[Polished]:
    """Apply the simplifications that shorten the description until none does; return all that was tried, best first."""
    best, tried = start, [start]
    for step in (_without_part, _rounded_exponent, _without_part, _plain_constant):
        changed = True
        while changed:
            changed = False
            for trial in step(best.expression):
                new = fit(trial, table)
                if new is not None:
                    tried.append(new)
                    if new.length < best.length:
                        best, changed = new, True
                        break
    return sorted(tried, key=lambda p: p.length)


def _without_part(e: sympy.Expr) -> Iterator[sympy.Expr]:
    """Yield the formula without one term of a sum, or without one factor that has a constant inside."""
    for node in sorted(e.atoms(sympy.Add), key=sympy.default_sort_key):
        for term in node.args:
            yield e.xreplace({node: node - term})
    for node in sorted(e.atoms(sympy.Mul), key=sympy.default_sort_key):
        for factor in node.args:
            if factor.args and factor.atoms(sympy.Float):
                yield e.xreplace({node: node / factor})


def _rounded_exponent(e: sympy.Expr) -> Iterator[sympy.Expr]:
    """Yield the formula with one real exponent replaced by a simple fraction near it."""
    for node in sorted(e.atoms(sympy.Pow), key=sympy.default_sort_key):
        if node.exp.is_Float:
            for d in (1, 2, 3):
                near = sympy.Rational(round(float(node.exp) * d), d)
                if abs(float(near - node.exp)) < 0.3 / d:
                    yield e.xreplace({node: node.base**near})


def _plain_constant(e: sympy.Expr) -> Iterator[sympy.Expr]:
    """Yield the formula with one constant replaced by a small integer or half of one that it nearly equals."""
    for number in sorted(e.atoms(sympy.Float), key=float):
        near = sympy.Rational(round(2 * float(number)), 2)
        if near != 0 and abs(near) <= 12 and abs(float(number) / float(near) - 1) < 0.02:
            yield e.xreplace({number: near})
