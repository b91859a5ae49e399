"""Accelerations of particles by a law of terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

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
        self._functions = [law.scalar(term).numpy for term in self.terms]
        self._needed = [{str(s) for s in law.scalar(t).sympy.free_symbols} for t in self.terms]

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
        pair = self._pair_columns(x, v) if any(t.place == "pair" for t in self.terms) else {}
        node = self._node_columns(x, v)
        with np.errstate(all="ignore"):
            for term, function, needed in zip(self.terms, self._functions, self._needed, strict=True):
                of_pairs = term.place == "pair"
                columns = pair["columns"] if of_pairs else node
                vector = VECTORS[term.vector].of(*(pair["geometry"] if of_pairs else (x, v)))
                value = function(**{name: columns[name] for name in needed}) if needed else function()
                value = np.broadcast_to(value, vector.shape[:-1]) * self._mask(term)
                force = value[..., None] * vector
                total = total + (force.sum(-2) if of_pairs else force)
        if self.law.inertia:
            inertia = self.properties[SYMBOLS.get(self.law.inertia, self.law.inertia)]
            total = total / inertia[..., None]
        return total

    def _pair_columns(self, x: np.ndarray, v: np.ndarray) -> dict[str, Any]:
        """Return what a law may depend on for all (receiver, sender), a particle and itself left out."""
        count = x.shape[-2]
        sender = np.array([[j for j in range(count) if j != i] for i in range(count)], dtype=int)
        sender = sender.reshape(count, max(count - 1, 0))
        d, u = x[..., :, None, :] - x[..., sender, :], v[..., :, None, :] - v[..., sender, :]
        if self.box is not None:
            edges = np.where(np.isfinite(self.box), self.box, 1.0)
            d = d - np.where(np.isfinite(self.box), np.round(d / edges) * edges, 0.0)
        columns = {name: of(d, u) for name, of in PAIR_INVARIANTS.items()}
        own = {name: of(x, v) for name, of in NODE_INVARIANTS.items()} | self.properties
        for name, value in own.items():
            columns[f"{name}_i"], columns[f"{name}_j"] = value[..., :, None], value[..., sender]
        self._sender = sender
        return {"columns": columns, "geometry": (d, u)}

    def _node_columns(self, x: np.ndarray, v: np.ndarray) -> dict[str, Any]:
        own = {name: of(x, v) for name, of in NODE_INVARIANTS.items()} | self.properties
        return {f"{name}_i": value for name, value in own.items()}

    def _mask(self, term: Term) -> Bool[np.ndarray, "*batch particles senders"] | float:
        if not term.kinds or self.kinds is None:
            return 1.0
        if term.place == "node":
            return np.isin(self.kinds, [kind for (kind,) in term.kinds])
        receiver, sender = self.kinds[..., :, None], self.kinds[..., self._sender]
        return np.any([(receiver == a) & (sender == b) for a, b in term.kinds], axis=0)
