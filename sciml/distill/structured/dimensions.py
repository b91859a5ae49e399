"""Physical dimensions of variables as vectors of exponents, so that unit consistency is linear algebra."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from sciml.units import dimensions

TOLERANCE = 1e-9


def vectors(units: Sequence[str]) -> Float[np.ndarray, "units base"]:
    """Return the exponents of the base dimensions (length, mass, ...) that occur in any of the units.

    Raises:
        UnitError: for a unit that is not known.
    """
    found = [dimensions(unit or "") for unit in units]
    base = sorted({name for exponents in found for name in exponents})
    return np.array([[float(d.get(name, 0)) for name in base] for d in found]).reshape(len(units), len(base))


def equal(
    dimensions: Float[np.ndarray, "items base"], goal: Float[np.ndarray, "base"] | float
) -> Bool[np.ndarray, "items"]:
    """Tell which items have the dimension ``goal``; all have, where there are no units."""
    return np.all(np.abs(dimensions - goal) < TOLERANCE, axis=1)


def groups(
    dimensions: Float[np.ndarray, "variables base"], goal: Float[np.ndarray, "base"]
) -> tuple[Float[np.ndarray, "variables"], Float[np.ndarray, "groups variables"]] | None:
    """Return the simplest power product of dimension ``goal`` and the simplest dimensionless ones.

    By the pi theorem (Buckingham 1914) there are as many independent dimensionless products as variables
    beyond the rank of their dimensions: all choices of repeating variables are tried. None if no product
    of the variables has the dimension.
    """
    count, rank = len(dimensions), int(np.linalg.matrix_rank(dimensions))
    goals: list[np.ndarray] = []
    pure: list[np.ndarray] = [row for row in np.eye(count) if not (row @ dimensions).any()]
    for chosen in itertools.combinations(range(count), rank):
        repeating = dimensions[list(chosen)]
        if np.linalg.matrix_rank(repeating) < rank:
            continue
        inverse = np.linalg.pinv(repeating)
        for k in range(-1, count):
            if k in chosen:
                continue
            row, wanted = np.zeros(count), goal if k < 0 else -dimensions[k]
            row[list(chosen)] = np.round(12 * wanted @ inverse) / 12
            if not equal((row @ dimensions)[None], wanted)[0]:
                continue
            if k < 0:
                goals.append(row)
            else:
                row[k] = 1
                pure.append(row)
    if not goals:
        return None
    independent = np.zeros((0, count))
    for row in sorted(map(_upright, pure), key=_size):
        if np.linalg.matrix_rank(np.vstack([independent, row])) > len(independent):
            independent = np.vstack([independent, row])
    return min(goals, key=_size), independent


def _size(powers: Float[np.ndarray, "variables"]) -> tuple[float, ...]:
    """Order power products: no roots, few and small powers."""
    return (2.0 * (powers % 1 != 0).sum() + (powers != 0).sum() + np.abs(powers).sum(), *-powers)


def _upright(powers: Float[np.ndarray, "variables"]) -> Float[np.ndarray, "variables"]:
    """Return a dimensionless product without common roots, or its inverse if that has fewer divisions."""
    for factor in (1, 2, 3):
        if (factor * powers % 1 == 0).all():
            powers = factor * powers
            break
    return -powers if powers.sum() < 0 else powers
