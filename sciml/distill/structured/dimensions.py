"""Physical dimensions of variables as vectors of exponents, so that unit consistency is linear algebra."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float


def vectors(units: Sequence[str]) -> Float[np.ndarray, "units base"]:
    """Return the exponents of the base dimensions ([length], [mass], ...) that occur in any of the units.

    Raises:
        ValueError: for a unit that pint does not know.
    """
    import pint

    registry = pint.get_application_registry()
    found = []
    for unit in units:
        try:
            found.append(dict(registry.Quantity(1, unit or "").dimensionality))
        except Exception as error:
            raise ValueError(
                f"unknown unit {unit!r}: expected pint notation such as 'm/s**2' ({error})"
            ) from error
    base = sorted({name for dimension in found for name in dimension})
    return np.array([[float(d.get(name, 0)) for name in base] for d in found]).reshape(len(units), len(base))


def equal(
    dimensions: Float[np.ndarray, "items base"], goal: Float[np.ndarray, "base"] | float
) -> Bool[np.ndarray, "items"]:
    """Tell which items have the dimension ``goal``; all have, where there are no units."""
    return np.all(np.abs(dimensions - goal) < 1e-9, axis=1)
