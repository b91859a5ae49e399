"""Laws that are products: a constant, powers of the variables, and up to three composite factors.

In logarithms such a law is linear,

    log|y| = log|c| + Σᵢ pᵢ log|xᵢ| + Σₖ qₖ log|gₖ(x)|,

so the powers of the variables are projected out once, and every composite g (1 + c·u, sin u, eᵘ − 1, ...; u a
monomial) is tested with a free exponent by one inner product, all pairs by one Gram matrix. Real exponents
cost nothing extra; they are rounded only where the data's error allows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import sympy
from jaxtyping import Bool, Float

from sciml.distill.structured.dimensions import equal
from sciml.distill.structured.monomials import Atoms, enumerate_powers
from sciml.distill.structured.subsets import Chosen, Subsets, affordable, round_powers
from sciml.distill.structured.table import Table
from sciml.distill.structured.targets import Target, applies


@dataclass(frozen=True)
class Kind:
    """A composite factor g(z) of z = c·u.

    Attributes:
        value: g.
        expression: g as an expression of z.
        nodes: of the function itself.
        scales: values of c to try.
        budget: most nodes of u.
    """

    value: Callable[[np.ndarray], np.ndarray]
    expression: Callable[[sympy.Expr], sympy.Expr]
    nodes: int
    scales: tuple[float, ...]
    budget: float

    @property
    def exponential(self) -> bool:
        """Whether g is exp, whose power is a constant within it."""
        return self.expression is sympy.exp


def _log(values: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(np.abs(values), np.finfo(values.dtype).tiny))


def _exp(z: np.ndarray) -> np.ndarray:
    return np.exp(np.clip(z, -80, 80))


def _shifted_exponential(a: float) -> Kind:
    scales = tuple(s * b for b in np.geomspace(0.3, 4, 14) for s in (1, -1))
    return Kind(lambda z: 1 + a * _exp(z), lambda z: 1 + sympy.Float(a) * sympy.exp(z), 5, scales, 2)


_SIMPLE = (0.5, -0.5, 2.0, -2.0, 1 / 3, -1 / 3, 3.0, -3.0, 0.25, -0.25, 4.0, -4.0)
_FINE = tuple(s * c for c in np.geomspace(0.02, 50, 28) for s in (1, -1))
SMALL = 0.15  # of the root mean square: targets that noise of some percent swamps
INSIDE = 3000  # composite factors that are tried inside a function
UNIT = 3  # nodes that a constant with a unit costs beside itself
_WAVES = tuple(np.geomspace(0.4, 8, 24))
_WIDE = tuple(s * c for c in np.geomspace(0.05, 20, 20) for s in (1, -1))
KINDS = (
    Kind(_exp, sympy.exp, 1, (1.0,), 16),
    Kind(lambda z: 1 + z, lambda z: 1 + z, 2, (1.0, -1.0), 14),
    Kind(lambda z: 1 + z, lambda z: 1 + z, 2, _SIMPLE, 8),
    Kind(lambda z: 1 + z, lambda z: 1 + z, 2, _FINE, 3),
    Kind(_log, sympy.log, 1, (1.0,), 9),
    Kind(np.sin, sympy.sin, 1, (1.0, 0.5, 2.0), 9),
    Kind(np.cos, sympy.cos, 1, (1.0, 0.5, 2.0), 7),
    Kind(np.tanh, sympy.tanh, 1, (1.0, 0.5), 11),
    Kind(lambda z: np.cosh(np.clip(z, -80, 80)), sympy.cosh, 1, (1.0, 0.5), 11),
    Kind(lambda z: _exp(z) - 1, lambda z: sympy.exp(z) - 1, 3, (1.0, -1.0), 11),
    Kind(lambda z: _exp(z) - 1, lambda z: sympy.exp(z) - 1, 3, (0.5, -0.5, 2.0, -2.0, 0.25, 4.0), 7),
    Kind(lambda z: _exp(z) - 1, lambda z: sympy.exp(z) - 1, 3, _WIDE, 2),
    Kind(lambda z: _exp(z) + 1, lambda z: sympy.exp(z) + 1, 3, (1.0, -1.0), 11),
    Kind(lambda z: _exp(z) + 1, lambda z: sympy.exp(z) + 1, 3, _WIDE, 2),
    Kind(np.tanh, sympy.tanh, 1, _WIDE[::2], 2),
    Kind(lambda z: np.cosh(np.clip(z, -80, 80)), sympy.cosh, 1, _WIDE[::2], 2),
    Kind(lambda z: 1 + np.cos(z), lambda z: 1 + sympy.cos(z), 3, (1.0,), 5),
    Kind(lambda z: 1 - np.cos(z), lambda z: 1 - sympy.cos(z), 3, (1.0,), 5),
    Kind(lambda z: 1 + np.cos(z), lambda z: 1 + sympy.cos(z), 3, _WAVES, 2),
    Kind(lambda z: 1 - np.cos(z), lambda z: 1 - sympy.cos(z), 3, _WAVES, 2),
    Kind(np.sin, sympy.sin, 1, _WAVES, 2),
    Kind(np.cos, sympy.cos, 1, _WAVES, 2),
    *(_shifted_exponential(s * a) for a in np.geomspace(0.1, 30, 12) for s in (1, -1)),
)


@dataclass(frozen=True)
class Factors:
    """All composite factors in a table: row k of ``logs`` is the logarithm of ``expression(k)``."""

    atoms: Atoms
    powers: Float[np.ndarray, "factors atoms"]
    kind: np.ndarray
    scale: np.ndarray
    cost: np.ndarray
    logs: Float[np.ndarray, "factors rows"]
    signed: Bool[np.ndarray, "factors"]

    def cheapest(self, count: int) -> Factors:
        """Return the factors of fewest nodes."""
        k = np.argsort(self.cost, kind="stable")[:count]
        rows = (self.powers, self.kind, self.scale, self.cost, self.logs, self.signed)
        return Factors(self.atoms, *(row[k] for row in rows))

    def expression(self, k: int, power: float) -> sympy.Expr:
        """Return factor ``k`` to a power; a Float stands for a constant that may be refitted."""
        u = self.atoms.expression(self.powers[k])
        if self.kind[k] < 0:
            return u ** _number(power)
        kind = KINDS[self.kind[k]]
        if kind.exponential:
            return sympy.exp(sympy.Float(power) * u)
        return kind.expression(sympy.Float(self.scale[k]) * u) ** _number(power)


def _number(power: float) -> sympy.Expr:
    rational = sympy.Rational(power).limit_denominator(6)
    return rational if abs(float(rational) - power) < 1e-12 else sympy.Float(power)


def factors(atoms: Atoms, limit: int, strict: bool = False) -> Factors:
    """Build the composite factors: derived atoms themselves, then each kind over its monomials.

    Args:
        atoms: what monomials are made of.
        limit: most factors of one kind, the cheapest; and most monomials of variables.
        strict: leave out arguments u that have a physical dimension (which c would have to undo).
    """
    u = _arguments(atoms, limit)
    pure = equal(u @ atoms.dimensions, 0.0)
    cost = atoms.cost(u) + UNIT * ~pure
    if strict:
        u, cost = u[pure], cost[pure]
    room = [2 * limit // (1 + len(kind.scales)) for kind in KINDS]
    order = np.argsort(cost, kind="stable")[: max(room)]
    u, cost = u[order], cost[order]
    values = np.clip(atoms.monomials(u), -1e30, 1e30).astype(np.float32)  # proposals need no more
    n = atoms.variables
    derived = np.eye(u.shape[1])[n:]
    one, negative = np.ones(len(derived)), atoms.negative[:, n:].any(0)
    logs = atoms.logs.T[n:].astype(np.float32)
    blocks = [(derived, -one.astype(int), one, atoms.cost(derived), logs, negative)]
    for number, kind in enumerate(KINDS):
        fits = np.flatnonzero(cost <= kind.budget)[: room[number]]
        for c in kind.scales:
            with np.errstate(all="ignore"):
                z = c * values[fits]
                g = kind.value(z)
                logs = z if kind.exponential else _log(g)
            nodes = kind.nodes + cost[fits] + 2 * (c not in (1.0, -1.0))
            blocks.append(
                (u[fits], np.full(len(fits), number), np.full(len(fits), c), nodes, logs, (g < 0).any(1))
            )
    powers, kinds, scale, nodes, logs, signed = (np.concatenate(part) for part in zip(*blocks, strict=True))
    good = np.isfinite(logs).all(1) & (np.abs(logs).max(1) < 80) & (np.ptp(logs, axis=1) > 1e-6)
    return Factors(atoms, powers[good], kinds[good], scale[good], nodes[good], logs[good], signed[good])


def _arguments(atoms: Atoms, limit: int) -> np.ndarray:
    """Return the monomials u: of variables, and of one derived atom with up to two variables."""
    v, total = atoms.variables, len(atoms.expressions)
    plain = enumerate_powers(v, (1, -1, 2, -2, 0.5, -0.5), 6, 15, limit)[1:]
    few = enumerate_powers(v, (1, -1, 2, -2), 2, 5, 200)
    several = enumerate_powers(v, (1, -1), 4, 8, 400)
    rows = [np.hstack([plain, np.zeros((len(plain), total - v))])]
    for a in range(v, total):
        for p in (1, 2, -1):
            with_ = several if atoms.extra[a] <= 1 and p == 1 else few
            block = np.zeros((len(with_), total))
            block[:, :v] = with_
            block[:, a] = p
            rows.append(block)
    u = np.concatenate(rows)
    return u[atoms.legal(u)]


def inside(table: Table, found: Factors, target: Target, keep: int = 6) -> list[sympy.Expr]:
    """Return functions T⁻¹ of products with at most one composite factor."""
    if not applies(table, target):
        return []
    found = found.cheapest(INSIDE)
    good = target.reaches(table.y)
    y = np.where(good, table.y, np.median(table.y[good]))
    with np.errstate(all="ignore"):
        t, slope = target.apply(y), target.slope(y)
        # the noise of log|T(y)|; where T is flat, or zero, nothing is known better than elsewhere
        w = table.weights * t**2 / np.maximum(slope**2, 1e-4 * np.median(slope**2))
    w = np.where(good & np.isfinite(w), w, 0.0)
    if not w.any():
        return []
    changed = replace(table, y=np.where(np.isfinite(t), t, 1.0))
    same = np.sign(changed.y[w > 0])
    outer = 1 if np.median(same) > 0 else -1
    return [
        target.invert(outer * e) for e in _propose(changed, found, w / w.mean(), 1, keep) if e.free_symbols
    ]


def propose(table: Table, found: Factors, depth: int = 3, keep: int = 40) -> Iterator[sympy.Expr]:
    """Yield products with up to ``depth`` composite factors, sizes in turns, the best of each first.

    Once for noise of equal relative size, once for noise as the weights say: var(log y) = var(y)/y², and
    less where y may be all noise, so that its logarithm is biased.
    """
    size = table.weights * table.y**2  # the mean is one
    absolute = size**2 / (size + SMALL**2)
    relative = np.where(table.y == 0, 0.0, 1.0)
    same = np.std(absolute) < 0.05 * np.mean(absolute)
    noises = [absolute] if same else [absolute, relative]
    ways = [_propose(table, found, w / w.mean(), depth, keep) for w in noises]
    return (e for turn in itertools.zip_longest(*ways) for e in turn if e is not None)


def _propose(table: Table, found: Factors, w: np.ndarray, depth: int, keep: int) -> Iterator[sympy.Expr]:
    atoms, target = found.atoms, _log(table.y)
    n = atoms.variables
    base = np.column_stack([np.ones(len(table)), atoms.logs[:, :n]])
    signed = [bool(column.any()) for column in atoms.negative[:, :n].T]
    grids: list[tuple[int, ...]] = [(), *((1,) if s else (1, 2, 3) for s in signed)]
    problem = Subsets(found.logs, target, w, found.cost, always=base)
    for _, chosen in problem.best(affordable(depth, len(table)), keep, term=1):
        free = [found.kind[k] >= 0 and KINDS[found.kind[k]].exponential for k in chosen]
        factors = np.array([found.logs[k] for k in chosen], float).reshape(len(chosen), len(table)).T
        columns = np.column_stack([base, factors])
        value = round_powers(columns, target, w, [*grids, *(() if f else (1, 2, 3) for f in free)])
        # what changes sign has no fractional power
        whole = [*signed, *(bool(found.signed[k]) and not f for k, f in zip(chosen, free, strict=True))]
        value[1:] = np.where(whole, np.round(value[1:]), value[1:])
        yield _product(found, chosen, value)
        if 1 <= len(chosen) <= 2 and any(free):
            # so it does with a rate: the same with whole powers, to which the rate adapts
            whole_grids = [(), *[(1,)] * n, *(() if f else (1,) for f in free)]
            yield _product(found, chosen, round_powers(columns, target, w, whole_grids, reach=0.5))
        if 1 <= len(chosen) <= 2 and not all(free):
            # noise moves powers together: as an alternative, composites to whole powers
            power = np.where(free, value[n + 1 :], np.where(value[n + 1 :] < 0, -1, 1))
            rest = round_powers(base, target - factors @ power, w, grids, reach=0.25)
            yield _product(found, chosen, np.r_[rest, power])


def _product(found: Factors, chosen: Chosen, value: np.ndarray) -> sympy.Expr:
    """Return exp(value[0]) times variables and factors to the powers in the rest of ``value``."""
    n = found.atoms.variables
    size = sympy.Float(np.exp(np.clip(value[0], -300, 300)))
    variables = zip(found.atoms.expressions[:n], value[1 : n + 1], strict=True)
    composites = zip(chosen, value[n + 1 :], strict=True)
    powers = [x ** _number(p) for x, p in variables if p]
    return sympy.Mul(size, *powers, *(found.expression(k, p) for k, p in composites if p))
