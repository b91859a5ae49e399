"""Candidate terms of an equation: derivatives of products of fields, and of products of derivatives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement, product
from math import comb

import sympy

AXES = ("t", "x", "y", "z")
Orders = tuple[int, ...]  # of a derivative in t, x, y, z
Factor = tuple[int, Orders]  # channel and orders of its derivative
Monomial = tuple[Factor, ...]  # sorted
DIRECT = 2  # factors of a product whose derivatives are taken of the data themselves


@dataclass(frozen=True, order=True)
class Term:
    """``∂^orders (factor · factor · ...)``; no factors is the number 1.

    Where the factors carry no derivatives, all of them can be moved to a test function, and no derivative
    of the data is ever taken.

    Attributes:
        orders: derivative of the whole product, in time and along each spatial axis.
        factors: channels and the orders of their derivatives, sorted.
    """

    orders: Orders
    factors: Monomial

    @property
    def degree(self) -> int:
        """Number of factors."""
        return len(self.factors)

    @property
    def order(self) -> int:
        """Total number of derivatives."""
        return sum(self.orders) + sum(sum(o) for _, o in self.factors)

    @property
    def direct(self) -> bool:
        """Whether derivatives of the data are multiplied."""
        return any(any(orders) for _, orders in self.factors)

    @property
    def expanded(self) -> dict[Monomial, int]:
        """The same as a sum of products of derivatives, by Leibniz' rule."""
        return _expanded(self.orders, self.factors)


def library(
    channels: int,
    dim: int,
    *,
    degree: int = 3,
    order: int = 4,
    second_order: bool = False,
) -> tuple[Term, ...]:
    """Return the terms that an equation may be made of, the simplest first.

    - ``1`` and every product of up to ``degree`` fields, and their derivatives up to ``order``;
      in two and three dimensions, mixed and higher derivatives beyond the second only of single fields;
    - products of a field with a first derivative of another one (in place of the first derivatives of
      products of two fields, which are their sums), and of two first derivatives;
    - where the second time derivative is sought, first time derivatives of fields and of their Laplacians.

    No symmetry is assumed: each axis has terms of its own.
    """
    none = (0,) * (dim + 1)
    spatial = [(0, *o) for o in product(range(order + 1), repeat=dim) if sum(o) <= order]
    terms = {Term(none, ())}
    for number in range(1, degree + 1):
        for chosen in combinations_with_replacement(range(channels), number):
            factors = tuple((c, none) for c in chosen)
            for orders in spatial:
                divided = number == 2 and chosen[0] != chosen[1] and sum(orders) == 1  # see below
                if (dim == 1 or number == 1 or sum(orders) <= 2) and not divided:
                    terms.add(Term(orders, factors))
    slopes = [tuple(int(a == axis) for a in range(dim + 1)) for axis in range(1, dim + 1)]
    for a, b in product(range(channels), repeat=2):
        for slope in slopes:
            if a != b and degree >= 2:
                terms.add(Term(none, tuple(sorted([(a, none), (b, slope)]))))
        for first, second in product(slopes, repeat=2):
            if degree >= 2 and order >= 2:
                terms.add(Term(none, tuple(sorted([(a, first), (b, second)]))))
    if second_order:
        for c in range(channels):
            terms.add(Term((1, *none[1:]), ((c, none),)))
            terms |= {Term((1, *(2 * o for o in slope[1:])), ((c, none),)) for slope in slopes}
            terms |= {Term((1, *slope[1:]), ((c, none),)) for slope in slopes}
    return tuple(sorted(terms, key=lambda t: (t.order + t.degree, t.degree, t)))


def expand(coefficients: dict[Term, float]) -> dict[Monomial, float]:
    """Return a sum of terms as a sum of products of derivatives: equal sums give equal results."""
    total: dict[Monomial, float] = {}
    for term, value in coefficients.items():
        for monomial, count in term.expanded.items():
            total[monomial] = total.get(monomial, 0.0) + count * value
    return {m: v for m, v in total.items() if v}


def variable(factor: Factor, names: Sequence[str]) -> str:
    """Write a derivative as a variable: ``u``, ``u_xx``, ``v_txy``."""
    channel, orders = factor
    suffix = "".join(axis * n for axis, n in zip(AXES, orders))
    return f"{names[channel]}_{suffix}" if suffix else names[channel]


def expression(
    monomials: dict[Monomial, int], names: Sequence[str], offsets: Sequence[float] = ()
) -> sympy.Expr:
    """Return a sum of products of derivatives in SymPy; a field with an offset appears as ``u - offset``."""

    def written(factor: Factor) -> sympy.Expr:
        symbol = sympy.Symbol(variable(factor, names))
        shift = offsets[factor[0]] if offsets and not any(factor[1]) else 0.0
        return symbol - sympy.Float(shift) if shift else symbol

    symbols = lambda m: sympy.Mul(*map(written, m))
    return sympy.Add(*(count * symbols(m) for m, count in monomials.items()))


def text(term: Term, names: Sequence[str]) -> str:
    """Write a term for people: ``∂xx(u²)``, ``u·v_x``."""
    powers = Counter(variable(f, names) for f in term.factors)
    digits = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
    inner = "·".join(n + (str(p).translate(digits) if p > 1 else "") for n, p in powers.items()) or "1"
    suffix = "".join(axis * n for axis, n in zip(AXES, term.orders))
    if not suffix:
        return inner
    return f"{inner}_{suffix}" if term.degree == 1 else f"∂{suffix}({inner})"


@lru_cache(maxsize=4096)
def _expanded(orders: Orders, factors: Monomial) -> dict[Monomial, int]:
    if not factors:
        return {} if any(orders) else {(): 1}
    (channel, own), *others = factors
    found: Counter = Counter()
    for taken in product(*(range(o + 1) for o in orders)):
        weight = 1
        for total, part in zip(orders, taken):
            weight *= comb(total, part)
        head = (channel, tuple(a + b for a, b in zip(own, taken)))
        if not others:
            if taken == orders:
                found[(head,)] += weight
            continue
        rest = tuple(o - t for o, t in zip(orders, taken))
        for monomial, count in _expanded(rest, tuple(others)).items():
            found[tuple(sorted((head, *monomial)))] += weight * count
    return dict(found)
