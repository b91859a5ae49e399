"""Transformations of the target: what is no sum or product may be one after them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import sympy
from jaxtyping import Bool, Float

from sciml.distill.structured.table import Table

Values = Float[np.ndarray, "rows"]


@dataclass(frozen=True)
class Target:
    """A transformation T of the target, for positive targets unless ``signed``.

    Attributes:
        apply: T(y).
        slope: |dT/dy|, by which T scales the noise.
        invert: T⁻¹ of an expression.
        nodes: what T⁻¹ adds to a formula.
        power: T(y) has the dimension of y to this power; None if y must have none.
        signed: defined for negative targets too.
        low, high: targets that T⁻¹ reaches.
    """

    apply: Callable[[Values], Values]
    slope: Callable[[Values], Values]
    invert: Callable[[sympy.Expr], sympy.Expr]
    nodes: int
    power: float | None
    signed: bool = False
    low: float = -np.inf
    high: float = np.inf

    def reaches(self, y: Values) -> Bool[np.ndarray, "rows"]:
        """Tell which targets T⁻¹ can give."""
        return (y > self.low) & (y < self.high) & ((y > 0) | self.signed)


_HALF = sympy.Rational(1, 2)
TARGETS: dict[str, Target] = {
    "y": Target(lambda y: y, np.ones_like, lambda e: e, 0, 1, signed=True),
    "1/y": Target(lambda y: 1 / y, lambda y: y**-2.0, lambda e: 1 / e, 1, -1, signed=True),
    "y^2": Target(np.square, lambda y: 2 * y, lambda e: e**_HALF, 1, 2),
    "log y": Target(np.log, lambda y: 1 / y, sympy.exp, 1, None),
    "1/y^2": Target(lambda y: y**-2.0, lambda y: 2 * y**-3.0, lambda e: e**-_HALF, 2, -2),
    "sqrt y": Target(np.sqrt, lambda y: 0.5 * y**-0.5, lambda e: e**2, 1, 0.5),
    "y^(-2/3)": Target(
        lambda y: y ** (-2 / 3), lambda y: 2 / 3 * y ** (-5 / 3), lambda e: e ** (-3 * _HALF), 2, -2 / 3
    ),
}

# functions of a product: y = T⁻¹(c Π xᵢ^pᵢ g(x))
FUNCTIONS: dict[str, Target] = {
    "sin y": Target(
        np.sin, lambda y: np.abs(np.cos(y)), sympy.asin, 1, None, True, -np.pi / 2, np.pi / 2
    ),
    "cos y": Target(np.cos, lambda y: np.abs(np.sin(y)), sympy.acos, 1, None, True, 0, np.pi),
    "tan y": Target(
        np.tan, lambda y: 1 / np.cos(y) ** 2, sympy.atan, 1, None, True, -np.pi / 2, np.pi / 2
    ),
    "atanh y": Target(np.arctanh, lambda y: 1 / (1 - y**2), sympy.tanh, 1, None, True, -1, 1),
    "exp y": Target(np.exp, np.exp, sympy.log, 1, None, True, -50, 50),
    "exp y - 1": Target(np.expm1, np.exp, lambda e: sympy.log(1 + e), 3, None, True, -50, 50),
    "y + 1": Target(lambda y: y + 1, np.ones_like, lambda e: e - 1, 2, None, True),
    "y - 1": Target(lambda y: y - 1, np.ones_like, lambda e: e + 1, 2, None, True),
    "1/y + 1": Target(lambda y: 1 / y + 1, lambda y: y**-2.0, lambda e: 1 / (e - 1), 3, None, True),
    "1/y - 1": Target(lambda y: 1 / y - 1, lambda y: y**-2.0, lambda e: 1 / (e + 1), 3, None, True),
    "1 - y^2": Target(
        lambda y: 1 - y**2, lambda y: 2 * y, lambda e: (1 - e) ** _HALF, 3, None, high=1.0
    ),
}  # fmt: skip


def goals(table: Table) -> list[Float[np.ndarray, "base"]] | None:
    """Return the dimensions that the transformed target may have, None if its unit is unknown."""
    if table.target_dimension is None:
        return None
    return [(target.power or 0) * table.target_dimension for target in TARGETS.values()]


def applies(table: Table, target: Target) -> bool:
    """Whether the target's unit and range allow a transformation, up to noise."""
    known = table.target_dimension
    if target.power is None and target not in TARGETS.values() and known is not None and known.any():
        return False
    return bool(target.reaches(table.y).mean() > 0.95)
