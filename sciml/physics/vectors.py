"""The vectors along which forces point, and the invariants on which they depend: one list for everybody.

Simulators, models and laws take both from here. A pair is seen by its receiver i from its sender j:
``d = x_i - x_j`` and ``u = v_i - v_j``, as in ``pos[receiver] - pos[sender]``. A node is seen from
the origin. The functions take NumPy arrays and torch tensors alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Array = Any  # NumPy array or torch tensor, [..., dim]
AXES = "xyz"


@dataclass(frozen=True)
class Direction:
    """A vector that a force may follow.

    Attributes:
        place: "pair" or "node".
        of: its value from displacement and relative velocity of a pair, or position and velocity of a node.
        words: what it is.
        dims: dimensions of space in which it exists.
        latex: how it is written.
    """

    place: str
    of: Callable[[Array, Array], Array]
    words: str
    dims: tuple[int, ...] = (2, 3)
    latex: str = ""


def length(vector: Array) -> Array:
    """Return |vector|, [...]."""
    return (vector * vector).sum(-1) ** 0.5


def unit(vector: Array) -> Array:
    """Return vector / |vector|; zero, not NaN, for the zero vector."""
    size = length(vector)[..., None]
    return vector / (size + (size == 0))


def along(vector: Array, other: Array) -> Array:
    """Return the component of ``vector`` in the direction of ``other``, [...]."""
    return (vector * unit(other)).sum(-1)


def across(vector: Array, other: Array) -> Array:
    """Return the part of ``vector`` perpendicular to ``other``."""
    return vector - along(vector, other)[..., None] * unit(other)


def turned(vector: Array) -> Array:
    """Return a vector of the plane turned by 90° counter-clockwise."""
    return vector[..., [1, 0]] * _like(vector, [-1.0, 1.0])


def cross_axis(vector: Array, axis: int) -> Array:
    """Return ``vector × e_axis`` in space."""
    order, sign = [[0, 2, 1], [2, 1, 0], [1, 0, 2]][axis], [[0, 1, -1], [-1, 0, 1], [1, -1, 0]][axis]
    return vector[..., order] * _like(vector, sign)


def cross(a: Array, b: Array) -> Array:
    """Return ``a × b`` in space."""
    one, two = [1, 2, 0], [2, 0, 1]
    return a[..., one] * b[..., two] - a[..., two] * b[..., one]


def axis(vector: Array, number: int) -> Array:
    """Return the unit vector of an axis, as many as there are vectors."""
    return vector * 0 + _like(vector, [float(k == number) for k in range(vector.shape[-1])])


def _like(vector: Array, numbers: list) -> Array:
    if hasattr(vector, "new_tensor"):
        return vector.new_tensor(numbers)
    import numpy as np

    return np.asarray(numbers, dtype=np.float64)


def _pair(*arguments: Any, **options: Any) -> Direction:
    return Direction("pair", *arguments, **options)


def _node(*arguments: Any, **options: Any) -> Direction:
    return Direction("node", *arguments, **options)


VECTORS: dict[str, Direction] = {
    "r_hat": _pair(lambda d, u: unit(d), "along the line of centres", latex=r"\hat r"),
    "r_turned": _pair(lambda d, u: turned(unit(d)), "across the line of centres", (2,), r"\hat r_\perp"),
    "w_vec": _pair(lambda d, u: u, "along the relative velocity", latex=r"\vec w"),
    "w_across": _pair(lambda d, u: across(u, d), "along the relative velocity, across the "
                      "line of centres", latex=r"\vec w_\perp"),
    "w_turned": _pair(lambda d, u: turned(u), "across the relative velocity", (2,), r"\vec w_{90^\circ}"),
    "r_cross_w": _pair(lambda d, u: cross(unit(d), u), "across the plane of motion of the two", (3,),
                       r"\hat r\times\vec w"),
    "v_vec": _node(lambda x, v: v, "along the velocity", latex=r"\vec v"),
    "v_turned": _node(lambda x, v: turned(v), "across the velocity", (2,), r"\vec v_{90^\circ}"),
    "x_vec": _node(lambda x, v: x, "from the origin", latex=r"\vec x"),
    "x_turned": _node(lambda x, v: turned(x), "around the origin", (2,), r"\vec x_{90^\circ}"),
} | {
    f"e_{name}": _node(lambda x, v, k=k: axis(x, k), f"along the {name} axis", (2, 3)[k // 2:],
                       rf"\vec e_{name}")
    for k, name in enumerate(AXES)
} | {
    f"v_cross_{name}": _node(lambda x, v, k=k: cross_axis(v, k), f"velocity × {name} axis", (3,),
                             rf"\vec v\times\vec e_{name}")
    for k, name in enumerate(AXES)
} | {
    f"{name}_hat": _pair(lambda d, u, k=k: axis(d, k), f"along the {name} axis, from each sender",
                         (2, 3)[k // 2:], rf"\hat {name}")
    for k, name in enumerate(AXES)
}  # fmt: skip

# scalars of a pair, from d and u
PAIR_INVARIANTS: dict[str, Callable[[Array, Array], Array]] = {
    "r": lambda d, u: length(d),  # distance
    "w": lambda d, u: length(u),  # relative speed
    "w_r": lambda d, u: along(u, d),  # its radial part: rate of change of the distance
    "w_t": lambda d, u: length(across(u, d)),  # its tangential part
} | {
    f"n_{name}": lambda d, u, k=k: unit(d)[..., k : k + 1].sum(-1)  # cosine to an axis; 0 if there is none
    for k, name in enumerate(AXES)
}  # fmt: skip
# scalars of a node, from x and v; in laws with _i for the receiver or the node itself, _j for the sender
NODE_INVARIANTS: dict[str, Callable[[Array, Array], Array]] = {
    "v": lambda x, v: length(v),  # speed
    "x": lambda x, v: length(x),  # distance from the origin
}

_LENGTHS = ("r", "x", "x_vec", "x_turned")
_SPEEDS = ("w", "w_r", "w_t", "w_vec", "w_across", "w_turned", "r_cross_w", "v", "v_vec", "v_turned",
           *(f"v_cross_{name}" for name in AXES))  # fmt: skip


def dimension(name: str) -> str:
    """Return "length" or "speed" for a vector or an invariant that has one, "" for all others.

    Args:
        name: as in the lists above; invariants of nodes also with ``_i`` or ``_j`` behind.
    """
    bare = name[:-2] if name.endswith(("_i", "_j")) else name
    return "length" if bare in _LENGTHS else "speed" if bare in _SPEEDS else ""
