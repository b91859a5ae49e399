"""Which few terms explain the most: best subsets of every size, by a beam with exchanges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float

from sciml.distill.fields.fit import Normal
from sciml.distill.fields.terms import Term

BEAM = 12  # subsets kept of every size
TRIED = 6  # additions tried for each of them
IMPROBABLE = 0.05  # a residual so far below what noise leaves is an artefact of subtracting it
OWN = 0.1  # share of what a term adds to a subset that must be signal, not noise
PREFIXES = (10, 18, 30, 50, None)  # how many of the simplest terms are eliminated from
RIDGE = 1e-8  # smallest eigenvalue of normalized equations, where terms are eliminated
DISTINCT = 1e-9  # share of a term that the terms of a subset must not explain already

Subset = tuple[int, ...]
Found = list[tuple[float, Subset]]  # squared residual beyond the noise, relative; best first


def best_subsets(normal: Normal, most: int = 8, seeds: Iterable[Subset] = ()) -> dict[int, Found]:
    """Return the best subsets of each size up to ``most``.

    Every subset of a beam is extended, and its terms are exchanged one by one for better ones until none
    helps; then the way is gone back, leaving terms out. The parts of a Laplacian may enter together. Besides,
    terms are eliminated one by one from the whole library and from its simpler parts (by the equations with
    and without noise in them), which finds equations whose terms explain little alone and all together.

    Args:
        normal: normal equations of one channel.
        most: number of terms.
        seeds: subsets to start from as well, such as a network's proposal.
    """
    search = _Search(normal)
    found: dict[int, dict[Subset, float]] = {size: {} for size in range(most + 1)}
    found[0][()] = search.left_over(())
    for seed in seeds:
        usable = tuple(sorted(j for j in seed if search.usable[j]))[:most]
        found[len(usable)][usable] = search.left_over(usable)
    for first in PREFIXES:
        for matrix in (search.matrix, search.raw):
            for subset in search.eliminated(matrix, most, first):
                found[len(subset)][subset] = search.left_over(subset)
    pairs = laplacians(normal.problem.terms)
    for size in range(1, most + 1):
        starts = [s for _, s in _best(found[size - 1])]
        grown = {g for s in starts for g in search.extended(s, TRIED)} | set(found[size])
        for smaller in range(size):
            joined = [p for p in pairs if len(p) == size - smaller and search.usable[list(p)].all()]
            for _, start in _best(found[smaller]):
                grown |= {tuple(sorted({*start, *p})) for p in joined if not set(p) & set(start)}
        found[size] |= search.improved(grown)
    for size in range(most - 1, 0, -1):
        starts = [s for _, s in _best(found[size + 1])]
        shrunk = {tuple(j for j in s if j != out) for s in starts for out in s}
        found[size] |= search.improved(shrunk)
    return {size: _best(subsets) for size, subsets in found.items()}


def laplacians(terms: Sequence[Term]) -> list[Subset]:
    """Return the terms that make up ∂xx + ∂yy (+ ∂zz) of the same product, by their numbers."""
    number = {term: j for j, term in enumerate(terms)}
    found = []
    for term in terms:
        dim = len(term.orders) - 1
        if dim > 1 and term.orders[1] == 2 and sum(term.orders) == 2:
            parts = [Term((0, *(2 * (a == axis) for a in range(dim))), term.factors) for axis in range(dim)]
            if all(p in number for p in parts):
                found.append(tuple(sorted(number[p] for p in parts)))
    return found


class _Search:
    """Normal equations scaled to unit diagonal, and what additions to a subset are worth."""

    def __init__(self, normal: Normal) -> None:
        diagonal = np.diag(normal.matrix)
        self.usable = normal.clear
        scale = np.where(self.usable, 1 / np.sqrt(np.where(self.usable, diagonal, 1.0)), 0.0)
        self.matrix = normal.matrix * scale[:, None] * scale
        self.raw = normal.raw_matrix * scale[:, None] * scale
        self.right = normal.right * scale / np.sqrt(max(normal.energy, 1e-300))

    def left_over(self, subset: Subset) -> float:
        s = list(subset)
        if not s:
            return 1.0
        values, vectors = np.linalg.eigh(self.matrix[np.ix_(s, s)])
        if values[0] < DISTINCT:
            return np.inf
        along = vectors.T @ self.right[s]
        value = float(1.0 - (along**2 / values).sum())
        return value if value > -IMPROBABLE else np.inf

    def gains(self, subset: Subset) -> Float[np.ndarray, "terms"]:
        """What each term adds to a subset; -inf where it adds nothing of its own, or mostly noise."""
        s = list(subset)
        own, raw = np.diag(self.matrix).copy(), np.diag(self.raw).copy()
        rest = self.right.copy()
        if s:
            inner = np.linalg.solve(self.matrix[np.ix_(s, s)], np.c_[self.matrix[s], self.right[s]])
            own -= (self.matrix[s] * inner[:, :-1]).sum(0)
            rest -= self.matrix[s].T @ inner[:, -1]
            raw -= (self.raw[s] * np.linalg.solve(self.raw[np.ix_(s, s)], self.raw[s])).sum(0)
        good = self.usable & (own > DISTINCT) & (own > OWN * raw)
        good[s] = False
        return np.where(good, rest**2 / np.where(good, own, 1.0), -np.inf)

    def eliminated(
        self, whole: Float[np.ndarray, "terms terms"], most: int, first: int | None
    ) -> list[Subset]:
        """Leave out the term that costs least, one by one, until one is left; return the small subsets."""
        kept = [int(j) for j in np.flatnonzero(self.usable[:first])]
        found = []
        while len(kept) > 1:
            matrix = whole[np.ix_(kept, kept)]
            values, vectors = np.linalg.eigh(matrix)
            values = np.maximum(values, RIDGE)  # directions that the data do not fix count little
            inverse = (vectors / values) @ vectors.T
            costs = np.abs(inverse @ self.right[kept]) / np.sqrt(np.diag(inverse))
            kept.pop(int(np.argmin(costs)))
            if len(kept) <= most:
                found.append(tuple(kept))
        return found

    def extended(self, subset: Subset, number: int) -> list[Subset]:
        gains = self.gains(subset)
        order = [int(j) for j in np.argsort(-gains)[:number] if np.isfinite(gains[j])]
        return [tuple(sorted((*subset, j))) for j in order]

    def improved(self, subsets: Iterable[Subset]) -> dict[Subset, float]:
        """Exchange single terms for better ones until none helps; return all that were good on the way."""
        found = {s: value for s in subsets if np.isfinite(value := self.left_over(s))}
        for start, _ in sorted(found.items(), key=lambda item: item[1])[:BEAM]:
            current, value = start, found[start]
            better = True
            while better:
                better = False
                for out in current:
                    rest = tuple(j for j in current if j != out)
                    for candidate in self.extended(rest, 2):
                        if candidate not in found:
                            found[candidate] = self.left_over(candidate)
                        if found[candidate] < value - 1e-12:
                            current, value, better = candidate, found[candidate], True
                    if better:
                        break
        return found


def _best(subsets: dict[Subset, float]) -> Found:
    ordered = sorted((value, subset) for subset, value in subsets.items() if np.isfinite(value))
    return ordered[:BEAM]
