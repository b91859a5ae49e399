"""A model at fixed parameters: accelerations, and how they change with positions and velocities.

Trajectories ask thousands of times for accelerations of a few particles. What does not depend on the state is
made once: the weights of all pairs, and constants in the shapes of what they multiply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from sciml.physics.differentiate import nearest_image
from sciml.physics.vectors import NODE_INVARIANTS, PAIR_INVARIANTS, VECTORS, dimension, length

if TYPE_CHECKING:
    from sciml.distill.motion.model import Model, Part

Array = np.ndarray
NUDGE, SMALL = 1e-6, 1e-3  # relative steps of derivatives, and the least length or speed that they are of


@dataclass(frozen=True, eq=False)
class _Term:
    """A part with all that multiplies its formula."""

    part: Part
    function: Callable
    constants: list[Array]
    weight: Array

    @property
    def of_velocity(self) -> bool:
        return any(dimension(name) == "speed" for name in (self.part.vector, self.part.argument))


class Accelerations:
    """Accelerations by a model.

    Args:
        model: the law.
        values: its parameters, which may differ along the batch; its own ones if None.
        simulation: which one each state of the batch is from.
    """

    def __init__(
        self, model: Model, values: Float[Array, "*batch parameters"] | None = None,
        simulation: Int[Array, "*batch"] | int = 0,
    ) -> None:  # fmt: skip
        values = model.start if values is None else np.asarray(values)
        self.model, self.simulation = model, simulation
        self.own = np.eye(len(model.receiver), dtype=bool)
        u, w = model.strengths(values)
        column = {name: values[..., k] for k, name in enumerate(model.names)}
        self.pairs: list[_Term] = []
        self.nodes: list[_Term] = []
        for p, function in zip(model.parts, model.functions, strict=True):
            constants = [column[name] for name, _ in p.constants]
            if p.of_pairs:
                shaped = [c[..., None, None] for c in constants]
                self.pairs.append(_Term(p, function, shaped, self._of_pairs(p, u, w)))
            else:
                shaped = [c[..., None] for c in constants]
                self.nodes.append(_Term(p, function, shaped, self._felt(p, u, w)))

    def __call__(
        self, x: Float[Array, "*batch particles dim"], v: Float[Array, "*batch particles dim"]
    ) -> Float[Array, "*batch particles dim"]:
        """Return accelerations."""
        total = np.zeros_like(x)
        with np.errstate(all="ignore"):
            for term in self.nodes:
                total += self._node_scalar(term, x, v)[..., None] * VECTORS[term.part.vector].of(x, v)
            if self.pairs:
                d, rate = self._ends(x, v)
                r = length(d) + self.own
                for term in self.pairs:
                    scalar = self._pair_scalar(term, d, rate, r)
                    if term.part.vector == "r_hat":  # the sum without the forces one by one
                        total += np.einsum("...ij,...ijd->...id", scalar / r, d)
                    else:
                        total += (scalar[..., None] * VECTORS[term.part.vector].of(d, rate)).sum(-2)
        return total

    def slopes(
        self, x: Float[Array, "*batch particles dim"], v: Float[Array, "*batch particles dim"]
    ) -> tuple[Array, Array, Array | None]:
        """Return accelerations and their derivatives by positions and by velocities.

        All forces are nudged at once, those of pairs along their displacement and relative velocity.

        Returns:
            accelerations, and derivatives [*batch, particles, dim, particles, dim]; those by velocities are
            None where no force depends on them.
        """
        total = np.zeros_like(x)
        slopes: list[Any] = [np.zeros((*x.shape, *x.shape[-2:])), None]
        for terms, of_pairs in ((self.pairs, True), (self.nodes, False)):
            if not terms:
                continue
            force, found = self._nudged(*(self._ends(x, v) if of_pairs else (x, v)), terms)
            total += force.sum(-2) if of_pairs else force
            for k, slope in enumerate(found):
                by = np.zeros((*x.shape, *x.shape[-2:])) if slopes[k] is None else slopes[k]
                if of_pairs:  # what pushes the receiver on pulls the sender back
                    by -= np.swapaxes(slope, -2, -3)
                own = np.einsum("...iaic->...iac", by)  # a view
                own += slope.sum(-3) if of_pairs else slope
                slopes[k] = by
        return total, slopes[0], slopes[1]

    def _nudged(self, a: Array, b: Array, terms: list[_Term]) -> tuple[Array, Array]:
        """Return forces, and their derivatives by ``a``, and by the velocities ``b`` if they depend on them.

        Derivatives have shape [1 or 2, ..., component of the force, component of the end].
        """
        ends = (a, b) if any(term.of_velocity for term in terms) else (a,)
        count = len(ends) * a.shape[-1]
        ways = np.eye(count + 1, count, -1).reshape(count + 1, len(ends), *[1] * (a.ndim - 1), a.shape[-1])
        nudges = [NUDGE * np.maximum(length(end), SMALL)[..., None] for end in ends]
        moved = [end + nudge * ways[:, k] for k, (end, nudge) in enumerate(zip(ends, nudges))]
        forces = self._each(moved[0], moved[1] if len(ends) > 1 else b, terms)
        slopes = (forces[1:] - forces[0]).reshape(len(ends), -1, *a.shape) / np.stack(nudges)[:, None]
        return forces[0], np.moveaxis(slopes, 1, -1)

    def _each(self, a: Array, b: Array, terms: list[_Term]) -> Array:
        """Return the force between each pair by displacement and relative velocity, or on each particle."""
        total = np.zeros_like(a)
        with np.errstate(all="ignore"):
            r = length(a) + self.own if terms is self.pairs else None
            for term in terms:
                scalar = self._node_scalar(term, a, b) if r is None else self._pair_scalar(term, a, b, r)
                total += scalar[..., None] * VECTORS[term.part.vector].of(a, b)
        return total

    def _ends(self, x: Array, v: Array) -> tuple[Array, Array]:
        """Return displacements and, where a force depends on them, relative velocities."""
        d = nearest_image(x[..., :, None, :] - x[..., None, :, :], self.model.box)
        relative = any(term.of_velocity for term in self.pairs)
        return d, v[..., :, None, :] - v[..., None, :, :] if relative else d

    def _pair_scalar(self, term: _Term, d: Array, rate: Array, r: Array) -> Array:
        name = term.part.argument or "r"
        argument = r if name == "r" else np.where(self.own, 1.0, PAIR_INVARIANTS[name](d, rate))
        return np.where(self.own, 0.0, term.function(argument, *term.constants) * term.weight)

    def _node_scalar(self, term: _Term, x: Array, v: Array) -> Array:
        name = term.part.argument
        argument = NODE_INVARIANTS[name[:-2]](x, v) if name else np.ones(x.shape[:-1])
        return term.function(argument, *term.constants) * term.weight

    def _of_pairs(self, p: Part, u: Array, w: Array) -> Array:
        """Return how strongly each pair's force is felt by the receiver."""
        ends = [(p.strength.receiver, p.strength.sender)]
        if p.strength.swapped:
            ends.append((p.strength.sender, p.strength.receiver))
        over = self._one(p.strength.over, u)
        return sum(
            (self._one(receiver, u) / over)[..., :, None] * self._one(sender, w)[..., None, :]
            for receiver, sender in ends
        )

    def _felt(self, p: Part, u: Array, w: Array) -> Array:
        if p.strength.receiver == "light":
            return u / w
        return self._one(p.strength.receiver, u) / self._one(p.strength.over, u)

    def _one(self, name: str, free: Array) -> Array:
        if name in ("1", ""):
            return np.ones(free.shape[-1])
        return free if name in ("free", "felt") else self.model.properties[name][self.simulation]
