"""Power products of atoms: variables, and the few composites (differences, lengths, sines) that laws use."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import sympy
from jaxtyping import Bool, Float

from sciml.distill.structured.table import Table

# nodes that a power adds to a product: the operation, the atom, and the exponent
_NODES = {1.0: 2, -1.0: 2, 2.0: 3, -2.0: 3, 0.5: 3, -0.5: 3}


def nodes(power: float) -> int:
    """Return what a factor ``atom**power`` adds to the complexity of a product."""
    return _NODES.get(power, 4) if power else 0


@dataclass(frozen=True)
class Atoms:
    """What monomials are made of, variables first.

    Attributes:
        expressions: one per atom.
        values: on the sampled rows.
        extra: nodes of the atom beyond those of a variable.
        variables: how many of the atoms are plain variables.
        dimensions: exponents of the base dimensions.
    """

    expressions: tuple[sympy.Expr, ...]
    values: Float[np.ndarray, "rows atoms"]
    extra: tuple[int, ...]
    variables: int
    dimensions: Float[np.ndarray, "atoms base"]

    @cached_property
    def logs(self) -> Float[np.ndarray, "rows atoms"]:
        """Logarithms of the magnitudes."""
        return np.log(np.maximum(np.abs(self.values), 1e-200))

    @cached_property
    def negative(self) -> Bool[np.ndarray, "rows atoms"]:
        """Where an atom is below zero."""
        return self.values < 0

    def monomials(self, powers: Float[np.ndarray, "monomials atoms"]) -> Float[np.ndarray, "monomials rows"]:
        """Evaluate power products: one matrix product in logarithms, one for the signs."""
        value = np.exp(np.clip(powers @ self.logs.T, -600, 600))
        if self.negative.any():
            odd = (powers % 2 == 1).astype(np.float32)
            value *= 1 - 2 * ((odd @ self.negative.T.astype(np.float32)) % 2)
        return value

    def legal(self, powers: Float[np.ndarray, "monomials atoms"]) -> Bool[np.ndarray, "monomials"]:
        """Tell which monomials are real: no root of what may be negative."""
        signed = self.negative.any(0)
        return ~((powers % 1 != 0) & signed).any(1)

    def cost(self, powers: Float[np.ndarray, "monomials atoms"]) -> Float[np.ndarray, "monomials"]:
        """Count the nodes that each monomial adds to a product."""
        size = np.abs(powers)
        common = np.where(size == 1, 2.0, np.where((size == 2) | (size == 0.5), 3.0, 4.0))
        used = powers != 0
        return np.where(used, common, 0).sum(1) + used @ np.array(self.extra, float)

    def expression(self, powers: Float[np.ndarray, "atoms"]) -> sympy.Expr:
        """Return a monomial as an expression with exact exponents."""
        parts = (a ** exact(p) for a, p in zip(self.expressions, powers, strict=True) if p)
        return sympy.Mul(*parts)


def exact(power: float) -> sympy.Rational:
    """Return a power as the rational number that it was meant as."""
    return sympy.Rational(power).limit_denominator(12)


_Atom = tuple[sympy.Expr, np.ndarray, int, np.ndarray]  # expression, values, extra nodes, dimension


def atoms(table: Table, active: Sequence[int]) -> Atoms:
    """Collect variables, differences, sums and squared lengths of like variables, sines of angles."""
    X, s, d = table.X[:, list(active)], [table.symbols[j] for j in active], table.dimensions[list(active)]
    group = [table.groups[j] for j in active]
    variables: list[_Atom] = [(e, x, 0, dim) for e, x, dim in zip(s, X.T, d, strict=True)]
    pairs = [(i, j) for i, j in itertools.combinations(range(len(s)), 2) if group[i] == group[j]][:28]
    differences: list[_Atom] = [(s[i] - s[j], X[:, i] - X[:, j], 2, d[i]) for i, j in pairs]
    composites = list(differences)
    for i, j in pairs:
        composites.append((s[i] + s[j], X[:, i] + X[:, j], 2, d[i]))
        composites.append((s[i] ** 2 + s[j] ** 2, X[:, i] ** 2 + X[:, j] ** 2, 4, 2 * d[i]))
    for label in dict.fromkeys(group):
        same = [i for i, g in enumerate(group) if g == label]
        for trio in itertools.combinations(same[:5], 3):
            length = sympy.Add(*(s[i] ** 2 for i in trio))
            composites.append((length, (X[:, trio] ** 2).sum(1), 7, 2 * d[trio[0]]))
    composites += _distances(differences, pairs)
    for e, x, _, dim in variables:
        if 0.5 < np.ptp(x) < 100 and not dim.any():
            composites += [(sympy.cos(e), np.cos(x), 1, dim), (sympy.sin(e), np.sin(x), 1, dim)]
            composites.append((1 - sympy.cos(e), 1 - np.cos(x), 3, dim))
        if x.min() < 0 < x.max():
            composites.append((sympy.Abs(e), np.abs(x), 1, dim))
    found = variables + [c for c in composites if np.ptp(c[1]) > 1e-9]
    expressions, values, extra, dimensions = zip(*found, strict=True)
    return Atoms(expressions, np.stack(values, 1), extra, len(s), np.stack(dimensions))


def _distances(differences: list[_Atom], pairs: list[tuple[int, int]]) -> list[_Atom]:
    """Return squared distances in two and three dimensions, each coordinate used once."""
    out: list[_Atom] = []
    for k in (2, 3):
        for chosen in itertools.combinations(range(min(len(differences), 15)), k):
            if len({i for c in chosen for i in pairs[c]}) == 2 * k:
                parts = [differences[c] for c in chosen]
                values = np.sum([p[1] ** 2 for p in parts], axis=0)
                length = sympy.Add(*(p[0] ** 2 for p in parts))
                out.append((length, values, 4 * k + k - 2, 2 * parts[0][3]))
    return out


def enumerate_powers(
    count: int, exponents: Iterable[float], most: int, budget: float, limit: int
) -> Float[np.ndarray, "monomials atoms"]:
    """Enumerate exponent vectors over ``count`` atoms, cheapest first.

    Args:
        count: number of atoms.
        exponents: allowed non-zero exponents.
        most: most atoms in one monomial.
        budget: most nodes of one monomial.
        limit: most monomials returned.
    """
    exponents = tuple(sorted(exponents, key=lambda p: (nodes(p), abs(p), -p)))
    blocks, found = [np.zeros((1, count))], 1
    for cost in range(1, int(budget) + 1):
        for k in range(1, min(most, count) + 1):
            if found >= limit or not (choices := _choices(exponents, k, cost)):
                continue
            places = list(itertools.combinations(range(count), k))
            block = np.zeros((len(places), len(choices), count))
            for rows, place in zip(block, places, strict=True):
                rows[:, place] = choices
            blocks.append(block.reshape(-1, count))
            found += len(blocks[-1])
    return np.concatenate(blocks)[:limit]


@cache
def _choices(exponents: tuple[float, ...], factors: int, cost: int) -> list[tuple[float, ...]]:
    """Return the exponents of all products of so many factors that cost exactly so many nodes."""
    if factors == 0 or cost <= 0:
        return [()] if factors == cost == 0 else []
    return [(p, *rest) for p in exponents for rest in _choices(exponents, factors - 1, cost - nodes(p))]
