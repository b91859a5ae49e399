"""What may be left over: monomials of invariants times vectors, and the dimension of their coefficients.

A correction to a law usually brings one new constant of nature or of the body (a speed, a length), and
numbers. Monomials are therefore gathered by the dimension that their coefficient must have, in powers of
length and time: terms of one such class can share one constant, whatever units the data are in.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import sympy
from jaxtyping import Float

Dimension = tuple[int, int]  # powers of length and of time
SPEED: Dimension = (1, -1)

# name: dimension; what each is, is said in `Geometry`
INVARIANTS: dict[str, Dimension] = {
    "g": (1, -2),
    "r": (1, 0),
    "w": (1, -1),
    "w_r": (1, -1),
    "n_axis": (0, 0),
    "v": (1, -1),
    "x": (1, 0),
}
POWERS = {
    "g": (0, 1, 2), "r": tuple(range(-4, 5)), "w": (0, 2, 4), "w_r": (0, 1, 2, 3, 4), "n_axis": (0, 1, 2, 3),
    "v": (0, 1, 2, 3), "x": tuple(range(-3, 4)),
}  # fmt: skip
MOST_SPEED = 4  # powers of speeds in one term, the vector's among them
LARGEST = 5  # sum of the powers of length and time in the dimension of a coefficient


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where particles are, and how they move: seen from their senders, or alone.

    Attributes:
        invariants: scalars by name: ``r`` distance, ``w`` relative speed, ``w_r`` its radial part, ``g`` the
            acceleration towards the sender by the law that is known already, ``n_axis`` the cosine between
            the line of centres and the sender's axis; of single particles ``v`` speed and ``x`` distance
            from the origin.
        vectors: by their names in laws (`sciml.physics.vectors`), and ``axis``; each with its dimension.
    """

    invariants: Mapping[str, Float[np.ndarray, "rows"]]
    vectors: Mapping[str, tuple[Float[np.ndarray, "rows dim"], Dimension]]


@dataclass(frozen=True)
class Monomial:
    """A product of powers of invariants, times a vector.

    Attributes:
        powers: (invariant, power), powers not zero.
        vector: name of the vector.
        dimension: that its coefficient must have to make an acceleration.
    """

    powers: tuple[tuple[str, int], ...]
    vector: str
    dimension: Dimension

    @property
    def scalar(self) -> sympy.Expr:
        """The product of powers."""
        return sympy.Mul(*(sympy.Symbol(name) ** power for name, power in self.powers))

    @property
    def relative(self) -> dict[str, int]:
        """Powers beside those of the known law, if the term is in proportion to that."""
        powers = dict(self.powers)
        if powers.get("g"):
            powers["g"] -= 1
        return {name: power for name, power in powers.items() if power}

    @property
    def cost(self) -> int:
        """Symbols that it takes to write the term as a correction to the known law."""
        return 1 + sum(1 + (power != 1) for power in self.relative.values())

    def evaluate(self, geometry: Geometry) -> Float[np.ndarray, "rows dim"]:
        """Return the term with coefficient one."""
        vector = geometry.vectors[self.vector][0]
        value = np.ones(len(vector))
        for name, power in self.powers:
            value = value * geometry.invariants[name] ** power
        return value[:, None] * vector

    def __str__(self) -> str:
        return f"{self.scalar}·{self.vector}"


def library(geometry: Geometry) -> dict[Dimension, list[Monomial]]:
    """Return all monomials by the dimension of their coefficients."""
    names = list(geometry.invariants)
    classes: dict[Dimension, list[Monomial]] = {}
    for powers in itertools.product(*(POWERS[name] for name in names)):
        exponents = dict(zip(names, powers, strict=True))
        for vector, (_, dimension) in geometry.vectors.items():
            if speeds(exponents) - dimension[1] > MOST_SPEED:
                continue
            needed = needed_dimension(exponents, dimension)
            if abs(needed[0]) + abs(needed[1]) <= LARGEST:
                kept = tuple((name, power) for name, power in exponents.items() if power)
                classes.setdefault(needed, []).append(Monomial(kept, vector, needed))
    return classes


def speeds(powers: Mapping[str, int]) -> int:
    """Return how many factors of speed a monomial has."""
    return sum(power for name, power in powers.items() if INVARIANTS[name] == SPEED)


def needed_dimension(powers: Mapping[str, int], vector: Dimension) -> Dimension:
    """Return the dimension that makes an acceleration of a monomial times a vector."""
    length, time = (
        sum(power * INVARIANTS[name][k] for name, power in powers.items()) + vector[k] for k in (0, 1)
    )
    return 1 - length, -2 - time
