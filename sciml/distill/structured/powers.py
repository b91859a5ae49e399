"""Laws that are a constant times powers of variables: linear in logarithms, found at once.

The commonest laws of all take milliseconds, and an ended search should not have missed them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import sympy

from sciml.distill.structured.table import Table

MOST = 8  # variables of which all subsets are tried
FRACTIONS = (1, 2, 3)  # denominators of simple exponents


def propose(table: Table) -> Iterator[sympy.Expr]:
    """Yield c·Π xᵢ^pᵢ for subsets of the positive variables, with rounded and with real exponents.

    Noise of y is the same relative to y as the weights say: var(log|y|) = var(y)/y².
    """
    sign = np.sign(table.y)
    positive = [i for i in range(table.X.shape[1]) if (table.X[:, i] > 0).all()][:MOST]
    if not (sign == sign[0]).all() or sign[0] == 0:
        return
    target = np.log(np.abs(table.y))
    root = np.sqrt(table.weights) * np.abs(table.y)
    logs = np.log(table.X[:, positive])
    for size in range(1, len(positive) + 1):
        for chosen in itertools.combinations(range(len(positive)), size):
            columns = np.column_stack([np.ones(len(table)), logs[:, chosen]])
            solution = np.linalg.lstsq(columns * root[:, None], target * root, rcond=None)[0]
            symbols = [table.symbols[positive[i]] for i in chosen]
            powers = solution[1:]
            for denominator in FRACTIONS:
                simple = np.round(powers * denominator) / denominator
                if simple.all() and np.abs(simple - powers).max() < 0.2 / denominator:
                    offset = np.average(target - logs[:, chosen] @ simple, weights=root**2)
                    yield _product(sign[0] * np.exp(offset), symbols, simple, FRACTIONS[-1] * 2)
            yield _product(sign[0] * np.exp(solution[0]), symbols, powers)


def _product(
    factor: float, symbols: list[sympy.Symbol], powers: np.ndarray, denominator: int | None = None
) -> sympy.Expr:
    def number(p: float) -> sympy.Expr:
        return sympy.Float(p) if denominator is None else sympy.Rational(p).limit_denominator(denominator)

    return sympy.Mul(sympy.Float(factor), *(s ** number(p) for s, p in zip(symbols, powers, strict=True)))
