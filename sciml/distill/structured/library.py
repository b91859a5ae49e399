"""The features of a sum: thousands of monomials, and monomials times a function f(c·u) of another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import sympy
from jaxtyping import Float

from sciml.distill.structured.dimensions import equal
from sciml.distill.structured.monomials import Atoms, enumerate_powers
from sciml.distill.structured.products import UNIT

# functions of z = c·u that multiply a monomial: (name, values of c for a simple u, nodes)
_FUNCTIONS: dict[type, tuple[tuple[float, ...], int]] = {
    sympy.exp: ((-1.0, 1.0, -2.0, 2.0, -0.5, 0.5, -3.0), 1),
    sympy.cos: ((1.0, 2.0), 1),
    sympy.sin: ((1.0, 2.0, 0.5), 1),
    sympy.log: ((1.0,), 1),
}
_FINE: dict[type, tuple[float, ...]] = {
    sympy.exp: tuple(-np.geomspace(0.2, 6, 40)),
    sympy.cos: tuple(np.geomspace(0.4, 8, 20)),
    sympy.sin: tuple(np.geomspace(0.4, 8, 20)),
}
_NUMPY: dict[type, Callable[[np.ndarray], np.ndarray]] = {
    sympy.exp: lambda z: np.exp(np.clip(z, -60, 60)), sympy.cos: np.cos, sympy.sin: np.sin,
    sympy.log: lambda z: np.log(np.maximum(np.abs(z), 1e-200)),
    sympy.Heaviside: lambda z: (z >= 0) * 1.0,
}  # fmt: skip

# (f with c and u), values, nodes, and whether it multiplies many monomials
_Function = tuple[tuple[type, float, np.ndarray], np.ndarray, int, bool]


@dataclass(frozen=True)
class Library:
    """Features: row k of ``values`` is ``expression(k)``, a monomial times at most one function.

    Attributes:
        powers: the monomials' exponents.
        function: index into ``functions``; 0 for none.
        functions: (function, c, exponents of u) for f(c·u); None first.
        cost: nodes of each feature.
    """

    atoms: Atoms
    powers: Float[np.ndarray, "features atoms"]
    function: np.ndarray
    functions: tuple[tuple[type, float, np.ndarray] | None, ...]
    cost: Float[np.ndarray, "features"]
    values: Float[np.ndarray, "features rows"]

    @property
    def dimensions(self) -> Float[np.ndarray, "features base"]:
        """Exponents of the base dimensions."""
        return self.powers @ self.atoms.dimensions

    def expression(self, k: int) -> sympy.Expr:
        """Return a feature as an expression; its Floats are constants that may be refitted."""
        monomial, f = self.atoms.expression(self.powers[k]), self.functions[self.function[k]]
        if f is None:
            return monomial
        function, c, u = f
        argument = self.atoms.expression(u)
        if function is sympy.Heaviside:
            return monomial * sympy.Heaviside(argument - sympy.Float(c))
        return monomial * function(argument if function is sympy.log else sympy.Float(c) * argument)

    def evaluate(self, atoms: Atoms, chosen: np.ndarray) -> Float[np.ndarray, "chosen rows"]:
        """Evaluate features on the rows of other atoms."""
        value = atoms.monomials(self.powers[chosen])
        for k in np.unique(self.function[chosen]):
            if (f := self.functions[k]) is not None:
                function, c, u = f
                z = atoms.monomials(u[None])[0]
                z = z - c if function is sympy.Heaviside else c * z
                value[self.function[chosen] == k] *= _NUMPY[function](z)
        return value


def library(
    atoms: Atoms,
    steps: list[tuple[int, float]],
    limit: int,
    goals: Sequence[Float[np.ndarray, "base"]] | None = None,
) -> Library:
    """Build the features on the atoms' rows, cheapest first, at most ``limit``.

    Args:
        atoms: what monomials are made of.
        steps: (variable, position) of discontinuities.
        limit: number of features.
        goals: dimensions; if given, only features that have one of them stay, and functions have arguments
            without dimension (Buckingham 1914).
    """
    v, total = atoms.variables, len(atoms.expressions)
    pad = lambda P: np.hstack([P, np.zeros((len(P), total - v))])
    plain = pad(
        enumerate_powers(
            v,
            (1, -1, 2, -2, 0.5, -0.5, 3, -3, 1.5, -1.5, 4, -4),
            5,
            13,
            limit // 3 if goals is None else limit,
        )
    )
    plain = np.concatenate([plain, _derived(atoms, 2 * limit // 5), _high(v, total)])
    plain = plain[atoms.legal(plain)]
    if goals is not None:
        agrees = lambda P: np.any([equal(P @ atoms.dimensions, g) for g in goals], axis=0)
        plain = plain[agrees(plain)]
    return _combined(atoms, plain, _functions(atoms, steps), limit - len(plain), goals is not None)


def plain_library(atoms: Atoms, steps: list[tuple[int, float]], limit: int) -> Library:
    """Build what most laws are sums of: power products of many variables, everywhere or beyond a step."""
    v, total = atoms.variables, len(atoms.expressions)
    plain = enumerate_powers(v, (1, -1, 2, -2, 0.5, -0.5), 5, 11, limit)
    plain = np.hstack([plain, np.zeros((len(plain), total - v))])
    plain = np.concatenate([plain, _derived(atoms, limit // 3)])
    return _combined(atoms, plain[atoms.legal(plain)], _steps(atoms, steps), limit // 3, False)


def _combined(
    atoms: Atoms, plain: np.ndarray, functions: Iterable[_Function], room: int, strict: bool
) -> Library:
    """Evaluate monomials, and ``room`` of their products with functions; if strict, of pure numbers."""
    whole = plain[(plain % 1 == 0).all(1)]
    simple = whole[atoms.cost(whole) <= 7][:160]
    nodes_simple = atoms.cost(simple)
    kept: list[tuple[type, float, np.ndarray] | None] = [None]
    values = [np.ones(len(atoms.values))]
    powers, index, cost = [plain[:0]], [np.zeros(0, int)], [np.zeros(0)]
    for e, value, nodes, many in functions:
        dimensional = e[0] is not sympy.Heaviside and not equal(e[2][None] @ atoms.dimensions, 0.0)[0]
        if dimensional and strict:
            continue
        nodes += UNIT * dimensional
        kept.append(e)
        values.append(value)
        with_function = simple if many else simple[:24]
        powers.append(with_function)
        index.append(np.full(len(with_function), len(kept) - 1))
        cost.append(nodes_simple[: len(with_function)] + nodes + 1)
    P, f, c = (np.concatenate(part) for part in (powers, index, cost))
    cheap = np.argsort(c, kind="stable")[:room]
    P, f = np.concatenate([plain, P[cheap]]), np.concatenate([np.zeros(len(plain), int), f[cheap]])
    c = np.concatenate([atoms.cost(plain), c[cheap]])
    with np.errstate(all="ignore"):
        V = atoms.monomials(P) * np.array(values)[f]
        size = np.abs(V).max(1)
        good = np.isfinite(V).all(1) & (size < 1e12) & (size > 1e-12)
    good[good] &= _unrepeated(V[good])
    return Library(atoms, P[good], f[good], tuple(kept), c[good], V[good])


def _derived(atoms: Atoms, limit: int) -> np.ndarray:
    """Return a derived atom to a small power times few variables; sines and their like with more of them."""
    v, total = atoms.variables, len(atoms.expressions)
    few = enumerate_powers(v, (1, -1, 2, -2, 3, -3), 3, 7, 400)
    rows, rank = [], []
    for a in range(v, total):
        for p in (1, 2, -1, -2, 0.5, -1.5):
            block = np.zeros((len(few), total))
            block[:, :v], block[:, a] = few, p
            rows.append(block)
            rank.append(atoms.cost(block) - (3 if atoms.extra[a] in (1, 3) and p == 1 else 0))
    if not rows:
        return np.zeros((0, total))
    return np.concatenate(rows)[np.argsort(np.concatenate(rank), kind="stable")[:limit]]


def _high(v: int, total: int) -> np.ndarray:
    """Return high powers of one variable, alone or against another's, times a third (repulsive cores)."""
    rows = []
    for i in range(min(v, 4)):
        cores = [{i: float(s * p)} for p in range(5, 14) for s in (1, -1)]
        others = [j for j in range(min(v, 4)) if j != i]
        cores += [
            {i: float(p), j: -float(q)} for j in others for p in range(4, 13) for q in range(p - 2, p + 3)
        ]
        for core in cores:
            for strength in (None, *(k for k in range(min(v, 6)) if k not in core)):
                row = np.zeros(total)
                row[list(core)] = list(core.values())
                if strength is not None:
                    row[strength] = 1
                rows.append(row)
    return np.array(rows)


def _steps(atoms: Atoms, steps: list[tuple[int, float]]) -> Iterator[_Function]:
    for variable, position in steps:
        value = (atoms.values[:, variable] >= position) * 1.0
        yield (sympy.Heaviside, position, np.eye(len(atoms.expressions))[variable]), value, 4, True


def _functions(atoms: Atoms, steps: list[tuple[int, float]]) -> Iterator[_Function]:
    """Yield all f(c·u)."""
    yield from _steps(atoms, steps)
    v, total = atoms.variables, len(atoms.expressions)
    u = np.hstack([x := enumerate_powers(v, (1, -1, 2), 3, 8, 250)[1:], np.zeros((len(x), total - v))])
    e = np.eye(total)[v:]
    over = [np.r_[row[:v] * 0 - 2 * (np.arange(v) == k), row[v:] * 2] for row in e for k in range(v)]
    u = np.concatenate([u, e, 2 * e, np.array(over).reshape(-1, total)])
    u = u[atoms.legal(u)]
    cost, z = atoms.cost(u), atoms.monomials(u)
    for k in range(len(u)):
        single = (u[k] != 0).sum() == 1 and u[k].sum() == 1 and u[k][:v].any()
        for function, (scales, nodes) in _FUNCTIONS.items():
            if function is sympy.log and (z[k] <= 0).any():
                continue
            fine = _FINE.get(function, ()) if single else ()
            for c in (*(scales if single else scales[:2]), *fine):
                value = _NUMPY[function](c * z[k])
                extra = 2 * (abs(c) != 1)
                yield (function, float(c), u[k]), value, nodes + int(cost[k]) - 1 + extra, abs(c) == 1


def _unrepeated(V: np.ndarray) -> np.ndarray:
    """Mark the first of each set of proportional rows."""
    unit = V / np.sqrt((V**2).mean(1, keepdims=True))
    mark = np.abs(unit @ np.random.default_rng(0).standard_normal(V.shape[1]))
    first = np.unique(np.round(mark, 7), return_index=True)[1]
    kept = np.zeros(len(V), bool)
    kept[first] = True
    return kept
