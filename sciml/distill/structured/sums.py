"""Laws that are sums under a transformation: T(y) = Σₖ cₖ φₖ(x), φ a monomial, or a monomial times f(c·u).

T runs over y, 1/y, y², √y, 1/y², y^(−2/3) and log y, with weights that undo what T does to the noise,
so that roots of sums, softened and rational forms and exponentials of sums are linear problems too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import sympy
from jaxtyping import Float

from sciml.distill.structured.dimensions import equal
from sciml.distill.structured.library import Library
from sciml.distill.structured.products import UNIT
from sciml.distill.structured.subsets import Subsets
from sciml.distill.structured.table import Table


@dataclass(frozen=True)
class Target:
    """A transformation T of the target, for positive targets unless ``signed``.

    Attributes:
        apply: T(y).
        slope: |dT/dy|, by which T scales the noise.
        invert: T⁻¹ of an expression.
        nodes: what T⁻¹ adds to a formula.
        power: T(y) has the dimension of y to this power.
        signed: defined for negative targets too.
    """

    apply: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]
    invert: Callable[[sympy.Expr], sympy.Expr]
    nodes: int
    power: float
    signed: bool = False


_HALF = sympy.Rational(1, 2)
TARGETS: dict[str, Target] = {
    "y": Target(lambda y: y, np.ones_like, lambda e: e, 0, 1, signed=True),
    "1/y": Target(lambda y: 1 / y, lambda y: y**-2.0, lambda e: 1 / e, 1, -1, signed=True),
    "y^2": Target(np.square, lambda y: 2 * y, lambda e: e**_HALF, 1, 2),
    "log y": Target(np.log, lambda y: 1 / y, sympy.exp, 1, 0),
    "1/y^2": Target(lambda y: y**-2.0, lambda y: 2 * y**-3.0, lambda e: e**-_HALF, 2, -2),
    "sqrt y": Target(np.sqrt, lambda y: 0.5 * y**-0.5, lambda e: e**2, 1, 0.5),
    "y^(-2/3)": Target(
        lambda y: y ** (-2 / 3), lambda y: 2 / 3 * y ** (-5 / 3), lambda e: e ** (-3 * _HALF), 2, -2 / 3
    ),
}


def goals(table: Table) -> list[Float[np.ndarray, "base"]] | None:
    """Return the dimensions that the transformed target may have, None if its unit is unknown."""
    if table.target_dimension is None:
        return None
    return [target.power * table.target_dimension for target in TARGETS.values()]


def propose(table: Table, features: Library, name: str, depth: int = 5, keep: int = 12) -> list[sympy.Expr]:
    """Return sums under one transformation of the target: sizes in turns, the best of each first."""
    target = TARGETS[name]
    y, flip = table.y, 1
    if not target.signed:
        flip = 1 if np.median(y) > 0 else -1
        y = y * flip
    scale = np.sqrt(np.average(y**2))
    good = np.abs(y) > 0.02 * scale if name != "y" else np.ones(len(y), bool)
    good &= (y > 0) | target.signed
    if good.mean() < 0.5:
        return []
    y = np.where(good, y, scale)
    t, w = target.apply(y), np.where(good, table.weights / target.slope(y) ** 2, 0.0)
    cost = features.cost
    if table.target_dimension is not None:
        cost = cost + UNIT * ~equal(features.dimensions, target.power * table.target_dimension)
    problem = Subsets(features.values, t, w / w.mean(), cost)
    out = []
    for _, chosen in problem.best(depth, keep, term=3, small=240):
        coefficients = problem.exact(chosen)[1]
        inner = sympy.Add(
            *(sympy.Float(c) * features.expression(k) for k, c in zip(chosen, coefficients, strict=True))
        )
        if inner != 0:
            out.append(flip * target.invert(inner))
    return out
