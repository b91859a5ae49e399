"""The layers that an interaction network may be made of: how particles push each other, and themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sciml.nn.free_force import FreeForce, OwnForce
from sciml.nn.interaction import PairScalar, RadialForce
from sciml.nn.own_terms import OwnTerms
from sciml.nn.potential_scalar import PotentialScalar
from sciml.nn.vector_force import VectorForce

DRAG = ("v_vec",)  # the force of each particle's own where no other is named


@dataclass(frozen=True)
class ForceOptions:
    """What may be said of the pair forces of an `InteractionNetwork`, see there."""

    dim: int
    properties: tuple[str, ...]
    logarithmic: tuple[str, ...]
    third_law: bool
    output: Any
    hidden_sizes: Sequence[int]
    activation: str
    vectors: Sequence[str]
    invariants: Sequence[str]
    message_size: int | None
    regularizer: Any
    strength: float

    def scalar(self, kind: type[PairScalar] = PairScalar, invariants: Sequence[str] = ("r",)) -> PairScalar:
        """Return a learned scalar of a pair."""
        return kind(
            self.properties,
            invariants=invariants,
            symmetric=self.third_law,
            output=self.output,
            logarithmic=self.logarithmic,
            hidden=self.hidden_sizes,
            activation=self.activation,
        )


def _free(options: ForceOptions) -> FreeForce:
    return FreeForce(
        options.dim,
        options.properties,
        channels=options.message_size,
        regularizer=options.regularizer,
        strength=options.strength,
        logarithmic=options.logarithmic,
        hidden=options.hidden_sizes,
        activation=options.activation,
    )


# a new kind of message is one line
MESSAGES: dict[str, Callable[[ForceOptions], RadialForce | VectorForce | FreeForce]] = {
    "radial": lambda options: RadialForce(options.scalar()),
    "potential": lambda options: RadialForce(options.scalar(PotentialScalar)),
    "vectors": lambda options: VectorForce(
        options.dim, {name: options.scalar(invariants=options.invariants) for name in options.vectors}
    ),
    "free": _free,
}


def force_layer(message: str, options: ForceOptions) -> RadialForce | VectorForce | FreeForce:
    """Return the layer of pair forces.

    Raises:
        ValueError: an unknown kind of message, vector or invariant.
    """
    if message not in MESSAGES:
        raise ValueError(f"message must be one of {', '.join(MESSAGES)}, not {message!r}.")
    return MESSAGES[message](options)


def own_layer(
    own: bool | Sequence[str], free: bool, dim: int, properties: Sequence[str]
) -> OwnForce | OwnTerms | None:
    """Return the layer of forces of each particle's own; None if there are none.

    Args:
        own: vectors of nodes by name (`OwnTerms`); True for a drag, or any vector where messages are free.
        free: whether they are.
        dim, properties: of the particles.
    """
    if own is True and free:
        return OwnForce(dim, properties)
    vectors = DRAG if own is True else tuple(own or ())
    return OwnTerms.learned(dim, vectors, properties) if vectors else None


def groups_of(force: Any, own: Any) -> tuple[str, ...]:
    """Return the groups that layers of pair forces and of each particle's own (or None) have in common."""
    both: list[set[str]] = [set(layer.symmetry.groups) for layer in (force, own) if layer is not None]
    both = [groups | ({"SO"} if "O" in groups else set()) for groups in both]  # one holds the other
    common = set.intersection(*both)
    return tuple(g for g in ("S", "T", "O", "SO") if g in common and not (g == "SO" and "O" in common))
