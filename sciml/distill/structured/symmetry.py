"""Symmetries of a target, read from derivatives: pairs of variables that it depends on through one.

f(x, z) = h(u(x, z)) holds just where the gradient of f is parallel to that of u: translation for u = x − z,
scale for x/z and xz, rotation for x² + z², and so on. Every such pair makes the problem one variable smaller
(as in AI Feynman, Udrescu and Tegmark 2020, arXiv 1905.11481; here with any smooth function and any u below).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import sympy
from jaxtyping import Float

from sciml.distill.structured.dimensions import equal
from sciml.distill.structured.smoother import Matrix, Values


@dataclass(frozen=True)
class Merge:
    """A function u(x, z) that may stand for both.

    Attributes:
        form: u as an expression.
        value: u.
        slopes: its derivatives by x and by z.
        alike: whether x and z must have one unit.
        powers: of x and z in the dimension of u.
        positive: whether x and z must be positive.
    """

    form: Callable[[sympy.Expr, sympy.Expr], sympy.Expr]
    value: Callable[[Values, Values], Values]
    slopes: Callable[[Values, Values], tuple[Values, Values]]
    alike: bool
    powers: tuple[float, float]
    positive: bool = False


def _power(p: int, q: int) -> Merge:
    return Merge(
        lambda x, z: x**p * z**q,
        lambda x, z: x**p * z**q,
        lambda x, z: (p * x ** (p - 1) * z**q, q * x**p * z ** (q - 1)),
        alike=False,
        powers=(p, q),
        positive=p * q < 0,
    )


def _squares(sign: int) -> Merge:
    return Merge(
        lambda x, z: x**2 + sign * z**2,
        lambda x, z: x**2 + sign * z**2,
        lambda x, z: (2 * x, 2 * sign * z),
        alike=True,
        powers=(2, 0),
    )


def _line(sign: int) -> Merge:
    return Merge(
        lambda x, z: x + sign * z,
        lambda x, z: x + sign * z,
        lambda x, z: (np.ones_like(x), np.full_like(x, sign)),
        alike=True,
        powers=(1, 0),
    )


PRODUCT, RATIO = _power(1, 1), _power(1, -1)
MERGES = (
    _line(-1), _line(1), PRODUCT, RATIO, _squares(1), _squares(-1),
    _power(1, 2), _power(2, 1), _power(1, -2), _power(2, -1),
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """A pair (i, j) that ``merge`` may stand for, and the mean squared sine between the gradients."""

    i: int
    j: int
    merge: Merge
    angle: float


def symmetries(
    X: Matrix,
    gradient: Matrix,
    weights: Values,
    dimensions: Float[np.ndarray, "variables base"],
    most: float,
) -> list[Found]:
    """Return the pairs whose gradient is that of a merged variable, the most certain first.

    Args:
        X: points.
        gradient: of the target there.
        weights: of the points.
        dimensions: of the variables; sums need like ones.
        most: largest mean squared sine of the angle between the gradients.
    """
    found = []
    for i, j in itertools.combinations(range(X.shape[1]), 2):
        spread = X[:, [i, j]].std(0)
        g = gradient[:, [i, j]] * spread
        for merge in MERGES:
            if merge.alike and not equal(dimensions[i][None], dimensions[j])[0]:
                continue
            x, z = X[:, i], X[:, j]
            if merge.positive and (np.any(x == 0) or np.any(z == 0)):
                continue
            u = np.stack(merge.slopes(x, z), 1) * spread
            cross = g[:, 0] * u[:, 1] - g[:, 1] * u[:, 0]
            size = np.sqrt((g**2).sum(1) * (u**2).sum(1)) + 1e-300
            # where the target hardly changes, its direction is uncertain: weigh by the slope
            w = weights * (g**2).sum(1)
            angle = float(np.average((cross / size) ** 2, weights=w + 1e-300))
            if angle < most:
                found.append(Found(i, j, merge, angle))
    return sorted(found, key=lambda f: f.angle)
