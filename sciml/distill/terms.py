"""Terms of a law: each a scalar formula times a vector, between pairs of particles or on single ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sympy
from sympy import Expr

from sciml.physics.vectors import VECTORS


@dataclass(frozen=True)
class Term:
    """One term of a law: ``expression`` times a vector of `sciml.physics.vectors.VECTORS`.

    A term of a pair vector is summed over the senders j of each receiver i; one of a node vector acts on
    each particle by itself.

    Attributes:
        expression: SymPy expression in the variables and constants of the law.
        vector: name of the vector.
        kinds: the kinds of particles it acts on: (receiver, sender) for pairs, (particle,) for nodes; all
            if empty. "*" stands for every kind.

    Raises:
        ValueError: an unknown vector, or kinds that do not fit its place.
    """

    expression: Expr
    vector: str = "r_hat"
    kinds: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.vector not in VECTORS:
            raise ValueError(f"unknown vector {self.vector!r}; there are {', '.join(VECTORS)}")
        object.__setattr__(self, "kinds", tuple(tuple(map(str, kind)) for kind in self.kinds))
        ends = 2 if self.place == "pair" else 1
        wrong = [kind for kind in self.kinds if len(kind) != ends]
        if wrong:
            raise ValueError(
                f"kinds {wrong[0]} of a {self.place} term along {self.vector}: expected {ends} of them"
            )
        object.__setattr__(self, "expression", sympy.sympify(self.expression, strict=True))

    @property
    def place(self) -> str:
        """Where it acts: "pair" or "node"."""
        return VECTORS[self.vector].place

    @property
    def symbol(self) -> sympy.Symbol:
        """The vector as a symbol, with the kinds it is for."""
        kinds = "_".join("←".join(kind) for kind in self.kinds)
        return sympy.Symbol(self.vector + (f"[{kinds}]" if kinds else ""))

    def __str__(self) -> str:
        return str(self.expression * self.symbol)


def check_terms(terms: Iterable[Term], kind: str) -> None:
    """Refuse terms for kinds of particles where no property tells the kind.

    Raises:
        ValueError: naming the term.
    """
    for term in terms:
        if term.kinds and not kind:
            raise ValueError(f"the term {term} is for kinds of particles, but no property tells the kind")


def total(terms: Sequence[Term]) -> Expr:
    """Return the sum of all terms, the vectors as symbols."""
    return sympy.Add(*(term.expression * term.symbol for term in terms))


def written(terms: Sequence[Term]) -> str:
    """Return the right-hand side for people: pair terms under a sum over senders, node terms after it."""
    places = {place: [t for t in terms if t.place == place] for place in ("pair", "node")}
    sums = {place: str(total(found)) for place, found in places.items() if found}
    parts = [f"Σ_j ({text})" if place == "pair" else text for place, text in sums.items()]
    return " + ".join(parts) or "0"
