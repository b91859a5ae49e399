"""Which few terms of a class explain most of what is left over, the known law's constants moving along."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

MOST_AT_ONCE = 40_000  # subsets of one size that are all tried
BEAM = 40  # beyond, so many of the best are extended by one term
SAME = 1e-9  # share of a column that is its own: below, other columns explain it
KEPT = 100  # subsets of a class and size that are kept


@dataclass(frozen=True, eq=False)
class Projected:
    """Least squares for some columns after others have been fitted.

    Attributes:
        columns: of unit length before the base was taken out of them.
        scale: length of each before.
        target: what the base leaves over.
    """

    columns: Float[np.ndarray, "rows terms"]
    scale: Float[np.ndarray, "terms"]
    target: Float[np.ndarray, "rows"]

    @classmethod
    def of(
        cls,
        columns: Float[np.ndarray, "rows terms"],
        target: Float[np.ndarray, "rows"],
        base: Float[np.ndarray, "rows parameters"],
    ) -> Projected:
        """Take out of columns and target what the base can explain (Frisch & Waugh 1933)."""
        scale = np.linalg.norm(columns, axis=0)
        scale = np.where((scale > 0) & np.isfinite(scale), scale, 1.0)
        unit = columns / scale
        orthogonal = basis(base)
        for _ in range(2):  # twice is enough (Kahan, in Parlett 1998)
            unit = unit - orthogonal @ (orthogonal.T @ unit)
            target = target - orthogonal @ (orthogonal.T @ target)
        return cls(unit, scale, target)


def basis(columns: Float[np.ndarray, "rows parameters"]) -> Float[np.ndarray, "rows rank"]:
    """Return orthonormal columns that span the same; those that repeat others are left out."""
    if not columns.shape[1]:
        return columns
    scale = np.linalg.norm(columns, axis=0)
    u, s, _ = np.linalg.svd(columns / np.where(scale > 0, scale, 1.0), full_matrices=False)
    return u[:, s > 1e-12 * s.max(initial=0.0)] if s.any() else u[:, :0]


def best_subsets(problem: Projected, most: int) -> Iterator[tuple[tuple[int, ...], float]]:
    """Yield subsets of up to ``most`` terms with their sums of squared residuals, best first in each size."""
    own = np.linalg.norm(problem.columns, axis=0)
    usable = np.flatnonzero(own**2 > SAME)
    unit = problem.columns[:, usable] / own[usable]
    gram, right = unit.T @ unit, unit.T @ problem.target
    whole = float(problem.target @ problem.target)
    found = np.zeros((0, 0), dtype=int)
    for size in range(1, min(most, len(usable)) + 1):
        subsets = _candidates(len(usable), size, found)
        subsets, rest = _solved(gram, right, whole, subsets)
        order = np.argsort(rest, kind="stable")[:KEPT]
        found = subsets[order]
        for subset, value in zip(found, rest[order], strict=True):
            yield tuple(int(usable[k]) for k in subset), float(value)


def _candidates(terms: int, size: int, smaller: np.ndarray) -> np.ndarray:
    """All subsets where they are few; otherwise the best of the size below, with one more each."""
    number = 1
    for k in range(size):
        number = number * (terms - k) // (k + 1)
    if number <= MOST_AT_ONCE:
        return np.array(list(itertools.combinations(range(terms), size)), dtype=int).reshape(-1, size)
    grown = {tuple(sorted((*map(int, s), k))) for s in smaller[:BEAM] for k in range(terms) if k not in s}
    return np.array(sorted(grown), dtype=int)


def _solved(
    gram: np.ndarray, right: np.ndarray, whole: float, subsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the subsets whose terms differ, and what each leaves over."""
    kept, values = [], []
    for part in np.array_split(subsets, max(1, len(subsets) // 20_000)):
        matrix = gram[part[:, :, None], part[:, None, :]]
        distinct = np.linalg.eigvalsh(matrix)[:, 0] > SAME
        part, matrix = part[distinct], matrix[distinct]
        vector = right[part]
        solution = np.linalg.solve(matrix, vector[..., None])[..., 0]
        kept.append(part)
        values.append(np.maximum(whole - (solution * vector).sum(1), 0.0))
    return np.concatenate(kept), np.concatenate(values)


def coefficients(
    columns: Float[np.ndarray, "rows parameters"],
    target: Float[np.ndarray, "rows"],
    groups: Sequence[int] | np.ndarray,
) -> tuple[Float[np.ndarray, "parameters"], Float[np.ndarray, "parameters parameters"]]:
    """Fit linear coefficients and return their cluster-robust covariance (Liang & Zeger 1986).

    Residuals are taken as arbitrarily correlated within a group: what is still left over is no white noise.
    """
    scale = np.linalg.norm(columns, axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    unit = columns / scale
    values = np.linalg.lstsq(unit, target, rcond=1e-13)[0]
    scores = unit * (target - unit @ values)[:, None]
    labels, index = np.unique(groups, return_inverse=True)
    sums = np.zeros((len(labels), unit.shape[1]))
    np.add.at(sums, index, scores)
    inverse = np.linalg.pinv(unit.T @ unit, rcond=1e-13, hermitian=True)
    covariance = inverse @ (sums.T @ sums) @ inverse * len(labels) / max(len(labels) - 1, 1)
    return values / scale, covariance / np.outer(scale, scale)
