"""Coefficients that are one constant times small whole numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float

MOST = 12  # largest whole number


def simple_ratio(
    values: Float[np.ndarray, "terms"], fits: Callable[[tuple[int, ...]], bool], near: float = 0.1
) -> tuple[int, ...] | None:
    """Return the smallest whole numbers in whose ratio the coefficients may be, or None.

    Args:
        values: the coefficients.
        fits: whether numbers in this ratio, the common factor fitted, explain the data about as well.
        near: how far, relative to it, a coefficient may be from its whole number to be tried.
    """
    return next((numbers for numbers in _candidates(values, near) if fits(numbers)), None)


def _candidates(values: np.ndarray, near: float) -> Iterator[tuple[int, ...]]:
    """Ratios near the given one, those of small numbers first."""
    if len(values) < 2 or not np.all(np.isfinite(values)) or not np.all(values):
        return
    found = set()
    for term, number in itertools.product(range(len(values)), range(1, MOST + 1)):
        scaled = values / abs(values[term]) * number
        whole = np.round(scaled).astype(int)
        if not whole.all() or np.abs(whole).max() > MOST:
            continue
        if math.gcd(*map(int, whole)) == 1 and (np.abs(scaled - whole) <= near * np.abs(whole)).all():
            found.add(tuple(map(int, whole)))
    yield from sorted(found, key=lambda numbers: (sum(map(abs, numbers)), numbers))
