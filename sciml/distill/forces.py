"""Accelerations of particles by a law of terms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import sympy
from jaxtyping import Bool, Float, Int

from sciml.distill.law import Law
from sciml.distill.terms import Term
from sciml.nn.interaction import SYMBOLS
from sciml.physics.vectors import NODE_INVARIANTS, PAIR_INVARIANTS, VECTORS


class Forces:
    """What a law does to particles: ``Forces(law, {"mass": m})(x, v)`` is their acceleration.

    A law without terms is taken as the scalar along the line of centres.

    Args:
        law: see `Law`; its ``inertia`` divides the sum of its terms.
        properties: numbers per particle, hidden ones included, and the labels of ``law.kind``; [particles],
            or [*batch, particles] to go with positions [*batch, particles, dim].
        box: edges of a periodic box, infinite where open; pairs take the nearest image.

    Raises:
        ValueError: a property of the law that is missing, or a variable that is no invariant of a pair.
    """

    def __init__(
        self,
        law: Law,
        properties: Mapping[str, Any] | None = None,
        box: Float[np.ndarray, "dim"] | None = None,
    ) -> None:
        self.law, self.box = law, box
        self.terms = law.terms or (Term(law.expression),)
        given = dict(properties or {})
        self.kinds = np.asarray(given.pop(law.kind)) if law.kind and law.kind in given else None
        self.properties = {SYMBOLS.get(k, k): np.asarray(v, dtype=np.float64) for k, v in given.items()
                           if np.asarray(v).dtype.kind in "fiub"}  # fmt: skip
        self._check()
        self.groups = tuple(_groups(law, self.terms))
        self._pairs: dict[tuple[int, int], _Pairs] = {}

    def _check(self) -> None:
        law = self.law
        if law.inertia and SYMBOLS.get(law.inertia, law.inertia) not in self.properties:
            raise ValueError(f"the law divides by {law.inertia}: give it as a property")
        if any(term.kinds for term in self.terms) and self.kinds is None:
            raise ValueError(f"the law has terms for kinds of {law.kind}: give it as a property")
        used = {str(s) for term in self.terms for s in term.expression.free_symbols} & set(law.variables)
        for name in used:
            symbol = name.removesuffix("_i").removesuffix("_j")
            known = symbol in NODE_INVARIANTS or symbol in self.properties
            if name not in PAIR_INVARIANTS and not (name != symbol and known):
                have = ", ".join(self.properties) or "none"
                raise ValueError(f"the law needs {name}; properties that were given: {have}")

    def __call__(
        self, x: Float[np.ndarray, "*batch particles dim"], v: Float[np.ndarray, "*batch particles dim"]
    ) -> Float[np.ndarray, "*batch particles dim"]:
        """Return the acceleration of each particle."""
        total = np.zeros_like(x)
        with np.errstate(all="ignore"):
            for number, group in enumerate(self.groups):
                if group.place == "node":
                    total += self._on_nodes(group, x, v)
                else:
                    pairs = self._pairs_of(number, x.shape[-2])
                    if len(pairs.receiver):
                        total[..., pairs.receivers, :] += self._on_pairs(group, pairs, x, v)
        if self.law.inertia:
            inertia = self.properties[SYMBOLS.get(self.law.inertia, self.law.inertia)]
            total = total / inertia[..., None]
        return total

    def _on_nodes(self, group: _Group, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        columns = [self._own(name.removesuffix("_i"), x, v) for name in group.needed]
        force = group.force(columns, x, v)
        if not group.kinds:
            return force
        assert self.kinds is not None
        own = np.any([(self.kinds == kind) | (kind == "*") for (kind,) in group.kinds], axis=0)
        return force * own[..., None]

    def _on_pairs(
        self, group: _Group, pairs: _Pairs, x: np.ndarray, v: np.ndarray
    ) -> Float[np.ndarray, "*batch receivers dim"]:
        d = x.take(pairs.receiver, -2) - x.take(pairs.sender, -2)
        u = v.take(pairs.receiver, -2) - v.take(pairs.sender, -2)
        if self.box is not None:
            edges = np.where(np.isfinite(self.box), self.box, 1.0)
            d = d - np.where(np.isfinite(self.box), np.round(d / edges) * edges, 0.0)
        columns = []
        for name in group.needed:
            if name in PAIR_INVARIANTS:
                columns.append(PAIR_INVARIANTS[name](d, u))
            else:
                end = pairs.receiver if name.endswith("_i") else pairs.sender
                columns.append(self._own(name[:-2], x, v).take(end, -1))
        force = group.force(columns, d, u)
        if pairs.mask is not None:
            force = force * pairs.mask[..., None]
        return np.add.reduceat(force, pairs.starts, axis=-2)

    def _own(self, name: str, x: np.ndarray, v: np.ndarray) -> Float[np.ndarray, "*batch particles"]:
        """Return an invariant or a property of each particle by itself."""
        return self.properties[name] if name in self.properties else NODE_INVARIANTS[name](x, v)

    def _pairs_of(self, number: int, count: int) -> _Pairs:
        """Return the pairs of a group, sorted by receiver."""
        if (number, count) not in self._pairs:
            receiver, sender = np.nonzero(~np.eye(count, dtype=bool))
            kinds, mask = self.groups[number].kinds, None
            if kinds and self.kinds is not None:
                of = lambda end, kind: (kind == "*") | (self.kinds.take(end, -1) == kind)  # type: ignore[union-attr]
                mask = np.any([of(receiver, a) & of(sender, b) for a, b in kinds], axis=0)
                if mask.ndim == 1:
                    receiver, sender, mask = receiver[mask], sender[mask], None
            receivers, starts = np.unique(receiver, return_index=True)
            self._pairs[number, count] = _Pairs(receiver, sender, receivers, starts, mask)
        return self._pairs[number, count]


class _Pairs(NamedTuple):
    receiver: Int[np.ndarray, "pairs"]
    sender: Int[np.ndarray, "pairs"]
    receivers: Int[np.ndarray, "receivers"]  # those that there are
    starts: Int[np.ndarray, "receivers"]  # first pair of each
    mask: Bool[np.ndarray, "*batch pairs"] | None  # where frames differ in the kinds of their particles


class _Group(NamedTuple):
    """Terms for the same pairs or nodes: evaluated together, so that what they share is computed once."""

    place: str
    kinds: tuple[tuple[str, ...], ...]
    vectors: tuple[str, ...]
    needed: tuple[str, ...]
    function: Callable[..., list]

    def force(self, columns: Sequence[np.ndarray], a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the sum of scalar times vector; ``a`` and ``b`` are what vectors are made of."""
        total = np.zeros_like(a)
        for value, vector in zip(self.function(*columns), self.vectors, strict=True):
            value = np.asarray(value)
            total += (value[..., None] if value.ndim else value) * VECTORS[vector].of(a, b)
        return total


def _groups(law: Law, terms: Sequence[Term]) -> Iterator[_Group]:
    numbers = {sympy.Symbol(name): sympy.Float(c.value) for name, c in law.constants.items()}
    shared: dict[tuple, dict[str, sympy.Expr]] = {}
    for term in terms:
        scalars = shared.setdefault((term.place, term.kinds), {})
        scalars[term.vector] = scalars.get(term.vector, sympy.Integer(0)) + term.expression.xreplace(numbers)
    for (place, kinds), scalars in shared.items():
        needed = sorted({str(s) for scalar in scalars.values() for s in scalar.free_symbols})
        symbols = [sympy.Symbol(name) for name in needed]
        function = sympy.lambdify(
            symbols, list(scalars.values()), modules=["numpy", "scipy"], dummify=True, cse=True
        )
        yield _Group(place, kinds, tuple(scalars), tuple(needed), function)
