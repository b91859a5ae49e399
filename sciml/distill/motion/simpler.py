"""Formulas made simpler: what hardly varies, exponents that are nearly simple, and when two are the same."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import sympy

from sciml.distill.expression import evaluate
from sciml.distill.front import shape
from sciml.distill.motion.model import Part, part
from sciml.distill.select import round_exponents

CONSTANT = 0.01  # relative change over the data's range up to which a factor may be a number
ODD = 2.0  # nodes that an exponent costs which is no simple fraction


def released(formula: sympy.Expr) -> sympy.Expr:
    """Return a formula whose powers of its variable have exponents that can be fitted."""
    return formula.replace(
        lambda e: e.is_Pow and e.base.is_Symbol and e.exp.is_Rational, lambda e: e.base ** sympy.Float(e.exp)
    )


def flattened(own: Part, ranges: Mapping[str, tuple[float, float]]) -> Part:
    """Return a part without what hardly varies where the data are, as tanh(200 r), numbers in its place."""
    if own.argument not in ranges:
        return own
    grid = np.geomspace(*ranges[own.argument], 25)

    def settled(e: sympy.Expr) -> sympy.Expr:
        if not e.free_symbols or e.is_Symbol:
            return e
        values = np.asarray(evaluate(e, {own.argument: grid}), dtype=float)
        if np.isfinite(values).all() and np.ptp(values) < CONSTANT * np.abs(values).max():
            return sympy.Float(values.mean())
        return e.func(*map(settled, e.args))

    formula = settled(own.expression)
    if formula == own.expression:
        return own
    label = own.constants[0][0].rstrip("0123456789") if own.constants else "y"
    return part(formula, own.vector, own.argument, own.strength, label)


def simpler_forms(own: Part, errors: Mapping[str, float] | None = None) -> list[Part]:
    """Return a part with exponents and other numbers made simple, or left out.

    Args:
        own: the part.
        errors: standard errors of its constants: numbers further from a simple one than these allow stay.
    """
    label = own.constants[0][0].rstrip("0123456789") if own.constants else "y"
    found: dict[sympy.Expr, None] = {}
    expression = own.expression

    def add(formula: sympy.Expr) -> None:
        good = formula.free_symbols <= expression.free_symbols and formula.is_finite is not False
        if (
            good
            and formula != expression
            and formula != 0
            and not formula.has(sympy.zoo, sympy.nan, sympy.oo)
        ):
            found[formula] = None

    add(round_exponents(expression))
    exponents = {s for e in own.template.atoms(sympy.Pow) for s in e.exp.free_symbols}
    for name, value in own.constants:
        near = 0.1 if errors is None else max(4 * errors.get(name, 0.0), 1e-3 * abs(value))
        numbers = {sympy.Symbol(n): sympy.Float(v) for n, v in own.constants if n != name}
        simple = [0, round(value)] + [sympy.Rational(round(q * value), q) for q in (2, 3)]
        if sympy.Symbol(name) not in exponents:
            simple = simple[:1]  # only exponents are simple numbers by nature; others may be zero
        for number in dict.fromkeys(simple):
            if abs(float(number) - value) < near or (number == 0 and errors is None):
                add(own.template.xreplace(numbers).subs(sympy.Symbol(name), number))
    return [part(f, own.vector, own.argument, own.strength, label) for f in found]


def odd_exponents(p: Part) -> int:
    """Number of exponents that are constants."""
    names = {sympy.Symbol(n) for n, _ in p.constants}
    argument = sympy.Symbol(p.argument or "_")
    return sum(bool(e.exp.free_symbols & names) and e.base == argument for e in p.template.atoms(sympy.Pow))


def same_values(
    a: sympy.Expr, b: sympy.Expr, ranges: Mapping[str, tuple[float, float]], near: float = 0.02
) -> bool:
    """Whether two formulas in the same invariant give nearly the same numbers where the data are.

    Args:
        a, b: formulas in one invariant at most.
        ranges: least and largest value of each invariant, see `Bank.ranges`.
        near: difference allowed, relative to the largest number.
    """
    symbols = a.free_symbols | b.free_symbols
    if not symbols:
        return abs(float(a) - float(b)) < near * abs(float(b))
    if a.free_symbols != b.free_symbols or len(symbols) != 1:
        return False
    (symbol,) = symbols
    grid = {str(symbol): np.geomspace(*ranges[str(symbol)], 15)}
    values = [np.asarray(evaluate(e, grid), dtype=float) for e in (a, b)]
    scale = np.abs(values[1]).max()
    return bool(np.allclose(values[0], values[1], atol=near * scale, rtol=near))


def extends(
    longer: sympy.Expr, formula: sympy.Expr, ranges: Mapping[str, tuple[float, float]], near: float = 0.03
) -> bool:
    """Whether a formula is another one with a number more that hardly matters where the data are.

    Args:
        longer: with another number in place of zero.
        formula: in the same invariant.
        ranges: least and largest value of each invariant, see `Bank.ranges`.
        near: relative difference that is allowed over half of the range.
    """
    if longer.free_symbols != formula.free_symbols or len(formula.free_symbols) != 1:
        return False
    form = shape(sympy.simplify(formula))
    without = (longer.xreplace({number: sympy.Integer(0)}) for number in longer.atoms(sympy.Float))
    if not any(shape(sympy.simplify(e)) == form for e in without):
        return False
    name = str(next(iter(formula.free_symbols)))
    a, b = (evaluate(e, {name: np.geomspace(*ranges[name], 30)}) for e in (longer, formula))
    return bool(np.nanmedian(np.abs(a - b) / np.maximum(np.abs(b), 1e-300)) < near)
