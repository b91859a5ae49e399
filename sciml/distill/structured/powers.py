"""Laws that are a constant times powers of variables: linear in logarithms, found at once.

The commonest laws of all take milliseconds, and an ended search should not have missed them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import sympy
from jaxtyping import Float

from sciml.distill.front import FLOOR
from sciml.distill.structured.subsets import NODE
from sciml.distill.structured.table import Table

MOST = 8  # variables of which all subsets are tried
FRACTIONS = (1, 2, 3)  # denominators of simple exponents
LIKELY = 24  # subsets that are fitted


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
    for chosen, solution in _likeliest(logs, target, root):
        symbols = [table.symbols[positive[i]] for i in chosen]
        powers = solution[1:]
        for denominator in FRACTIONS:
            simple = np.round(powers * denominator) / denominator
            if simple.all() and np.abs(simple - powers).max() < 0.2 / denominator:
                offset = np.average(target - logs[:, chosen] @ simple, weights=root**2)
                yield _product(sign[0] * np.exp(offset), symbols, simple, FRACTIONS[-1] * 2)
        yield _product(sign[0] * np.exp(solution[0]), symbols, powers)


def _likeliest(
    logs: Float[np.ndarray, "rows variables"],
    target: Float[np.ndarray, "rows"],
    root: Float[np.ndarray, "rows"],
) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """Return the subsets of variables of the shortest descriptions, from one Gram matrix, and their fits."""
    A = np.column_stack([np.ones(len(logs)), logs, target]) * root[:, None]
    gram = A.T @ A
    fits = []
    for size in range(1, logs.shape[1] + 1):
        for chosen in itertools.combinations(range(logs.shape[1]), size):
            k = [0, *(i + 1 for i in chosen)]
            solution = np.linalg.lstsq(gram[np.ix_(k, k)], gram[k, -1], rcond=None)[0]
            rest = max((gram[-1, -1] - solution @ gram[k, -1]) / gram[-1, -1], FLOOR)
            fits.append((len(logs) / 2 * np.log(rest) + 3 * NODE * size, chosen, solution))
    fits.sort(key=lambda fit: fit[:2])
    return [(chosen, solution) for _, chosen, solution in fits[:LIKELY]]


def _product(
    factor: float, symbols: list[sympy.Symbol], powers: np.ndarray, denominator: int | None = None
) -> sympy.Expr:
    def number(p: float) -> sympy.Expr:
        return sympy.Float(p) if denominator is None else sympy.Rational(p).limit_denominator(denominator)

    return sympy.Mul(sympy.Float(factor), *(s ** number(p) for s, p in zip(symbols, powers, strict=True)))
