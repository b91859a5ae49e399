"""Sparse least squares by enumeration: the best few columns out of thousands, by description length.

Every pair is scored from one Gram matrix; larger sets grow from the best pairs and are improved by exchange.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float

from sciml.distill.front import FLOOR
from sciml.distill.structured.gram import NODE, Columns, gpu

POOL = 12_000  # columns that sets grow by

Chosen = tuple[int, ...]


def affordable(depth: int, rows: int) -> int:
    """Return how many columns, at most ``depth``, a choice out of thousands can be told from chance by."""
    return min(depth, 1 + rows // 20)


class Subsets:
    """Which few of many columns explain a target.

    Attributes:
        F: columns, weighted, freed of the ``always`` columns, and normalized.
        columns: the same, on the GPU where there is one (``device`` is another one of torch).
        t: target, treated likewise.
        cost: nodes that each column adds to the formula.
    """

    def __init__(
        self,
        columns: Float[np.ndarray, "columns rows"],
        target: Float[np.ndarray, "rows"],
        weights: Float[np.ndarray, "rows"],
        cost: Float[np.ndarray, "columns"],
        always: Float[np.ndarray, "rows fixed"] | None = None,
        device: str | None = None,
    ):
        root = np.sqrt(weights)
        F, t = np.asarray(columns, np.float32) * root.astype(np.float32), target * root
        self.rows = len(t)
        self.total = float(t @ t)
        before = np.sqrt(np.einsum("kn,kn->k", F, F)) + 1e-30
        if always is not None:
            Q = _basis(always * root[:, None])
            t = t - Q @ (Q.T @ t)
            Q32 = Q.astype(np.float32)
            F = F - (F @ Q32) @ Q32.T
        norm = np.sqrt(np.einsum("kn,kn->k", F, F))
        usable = norm > 1e-3 * before
        self.F = np.where(usable[:, None], F / np.maximum(norm, 1e-30)[:, None], 0).astype(np.float32)
        self.norm = norm
        self.t, self.cost = t, cost + np.where(usable, 0, 1e6)
        self.b = (self.F @ t.astype(np.float32)).astype(float)
        self.tt = float(t @ t)
        self.term = 0.0
        self.device = device or gpu()
        self.columns = Columns(self.F, self.device)
        self.pool, self.pool_columns = np.arange(len(self.F)), self.columns

    def length(self, rss: np.ndarray | float, cost: np.ndarray | float) -> np.ndarray:
        """Return the description length in nats of a residual sum of squares and a number of nodes."""
        floor = FLOOR * max(self.total, 1e-300)
        return self.rows / 2 * np.log(np.maximum(rss, floor) / max(self.total, 1e-300)) + NODE * cost

    def exact(self, chosen: Chosen) -> tuple[float, Float[np.ndarray, "chosen"]]:
        """Return the residual sum of squares and the coefficients of the original columns."""
        if not chosen:
            return self.tt, np.zeros(0)
        A = self.F[list(chosen)].T.astype(float)
        solution = np.linalg.lstsq(A, self.t, rcond=1e-10)[0]
        r = self.t - A @ solution
        return float(r @ r), solution / np.maximum(self.norm[list(chosen)], 1e-30)

    def best(self, depth: int, keep: int, term: float = 0.0, small: int = 0) -> list[tuple[float, Chosen]]:
        """Return the ``keep`` best sets of each size up to ``depth``, as (description length, set).

        The sizes take turns, the best of each first: a small set is refitted with better constants later.

        Args:
            depth: most columns in a set.
            keep: sets returned per size.
            term: nodes that a column costs beside its own (an operation, a constant).
            small: number of likely columns whose triples are all tried.
        """
        self.term = term
        sizes: list[list[tuple[float, Chosen]]] = [[(float(self.length(self.tt, 0.0)), ())]]
        singles = self.length(self.tt - self.b**2, self.cost + term)
        order = np.argsort(singles, kind="stable")[:keep]
        sizes.append(self._rank((int(k),) for k in order))
        if depth >= 2 and len(self.cost) >= 2:
            self.pool = self._likely(singles, POOL)
            self.pool_columns = Columns(self.F[self.pool], self.device)
            seeds = [s for _, s in sizes[1][:24]]
            pairs = self._rank([*self._pairs(self._likely(singles, 3000), 10 * keep), *self._grow(seeds, 8)])
            sizes.append(pairs)
            beam = pairs[:40] + sizes[1][:4]
            more: list[Chosen] = []
            if small and depth >= 3:
                more = self._triples(self._likely(singles, small), 2)
                likely = self._likely(singles, 1200)
                for _, given in [*sizes[1][:6], *pairs[:6]]:
                    more += self._pairs(likely, 20, given)
                sizes.append(self._rank(more))
            for size in range(3, depth + 1):
                grown = self._rank(self._grow([s for _, s in beam if s], 6))
                beam = sorted([*grown, *(m for m in sizes[3 if small else 0] if len(m[1]) == size)])[:20]
                sizes.append(beam)
            best = sorted({s for size in sizes[2:] for s in size})[:6]
            sizes.append(self._rank(self._exchange(s) for s in best))
            if small and depth >= 3:
                sizes.append(self._rank(self._exchange_two([s for _, s in best[:3]], likely)))
        by_size: dict[int, list[tuple[float, Chosen]]] = {}
        for dl, chosen in sorted({pair for size in sizes for pair in size}):
            by_size.setdefault(len(chosen), []).append((dl, chosen))
        turns = itertools.zip_longest(*(sorted(group)[:keep] for group in by_size.values()))
        return [pair for turn in turns for pair in sorted(p for p in turn if p is not None)]

    def _rank(self, sets: Iterable[Chosen]) -> list[tuple[float, Chosen]]:
        unique = dict.fromkeys(tuple(sorted(s)) for s in sets)
        return sorted((float(self._length_of(s)), s) for s in unique)

    def _length_of(self, chosen: Chosen) -> float:
        return float(
            self.length(self.exact(chosen)[0], self.cost[list(chosen)].sum() + self.term * len(chosen))
        )

    def _likely(self, singles: np.ndarray, most: int) -> np.ndarray:
        """Return the cheapest, the best correlated, and the best by description length."""
        parts = ((self.cost, 0.6), (-np.abs(self.b), 0.25), (singles, 0.25))
        k = np.unique(np.concatenate([np.argsort(v, kind="stable")[: int(most * s)] for v, s in parts]))
        return k[self.cost[k] < 1e5]

    def _pairs(self, k: np.ndarray, number: int, given: Chosen = ()) -> list[Chosen]:
        """Score all pairs among columns ``k``, beside the columns ``given``, from one Gram matrix."""
        target, Q = self.t, None
        if given:
            Q = _basis(self.F[list(given)].T.astype(float))
            target = self.t - Q @ (Q.T @ self.t)
        pairs = self.columns.best_pairs(k, target, self.cost[k] + self.term, number, Q)
        return [(*given, int(k[i]), int(k[j])) for i, j in pairs]

    def _triples(self, k: np.ndarray, number: int) -> list[Chosen]:
        """Score all triples of columns ``k``: for each, all pairs beside it."""
        return [
            t
            for i in range(len(k))
            for t in self._pairs(k, number, (int(k[i]),))
            if t[1] > k[i] and t[2] > k[i]
        ]

    def _grow(self, sets: list[Chosen], number: int) -> list[Chosen]:
        """Return each set with each of its best ``number`` further columns, all sets in one product."""
        bases = [_basis(self.F[list(s)].T.astype(float)) for s in sets]
        rests = [self.t - Q @ (Q.T @ self.t) for Q in bases]
        overlap = self.pool_columns.overlap(np.column_stack([*rests, *bases]))
        out: list[Chosen] = []
        cost = self.cost[self.pool]
        place = len(sets)
        for i, (s, Q, r) in enumerate(zip(sets, bases, rests, strict=True)):
            share = 1 - (overlap[:, place : place + Q.shape[1]] ** 2).sum(1)
            place += Q.shape[1]
            gain = np.where(share > 1e-5, overlap[:, i] ** 2 / np.maximum(share, 1e-5), 0)
            rest = float(r @ r)
            score = self.rows / 2 * np.log1p(-np.minimum(gain / max(rest, 1e-300), 1 - 1e-6)) + NODE * cost
            top = np.argpartition(score, min(number, len(score) - 1))[:number]
            out += [(*s, int(k)) for k in self.pool[top] if int(k) not in s]
        return out

    def _exchange(self, start: tuple[float, Chosen]) -> Chosen:
        """Replace or drop one column at a time while the description shortens."""
        length, chosen = start
        for _ in range(4):
            dropped = [s for i in range(len(chosen)) if (s := chosen[:i] + chosen[i + 1 :])]
            trial = self._rank([*dropped, *self._grow(dropped, 2)]) if dropped else []
            if not trial or trial[0][0] >= length - 1e-6:
                break
            length, chosen = trial[0]
        return chosen

    def _exchange_two(self, sets: list[Chosen], likely: np.ndarray) -> list[Chosen]:
        """Replace two columns of a set at once: some columns help only together."""
        kept = {g for s in sets if len(s) > 2 for g in itertools.combinations(s, len(s) - 2)}
        return [new for given in sorted(kept)[:10] for new in self._pairs(likely, 10, given)]


def _basis(columns: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis of the columns' span, dependent columns left out."""
    scale = np.sqrt((columns**2).sum(0))
    U, s, _ = np.linalg.svd(columns / np.where(scale > 0, scale, 1), full_matrices=False)
    return U[:, s > 1e-9 * s[0]]


def round_powers(
    columns: Float[np.ndarray, "rows columns"],
    target: Float[np.ndarray, "rows"],
    weights: Float[np.ndarray, "rows"],
    grids: Sequence[tuple[int, ...]],
    reach: float = 0.0,
) -> Float[np.ndarray, "columns"]:
    """Least squares whose coefficients are rounded to simple fractions where the data's error allows.

    The best determined coefficient is rounded first, the others then adapt.

    Args:
        columns: design matrix.
        target: right-hand side.
        weights: of the rows.
        grids: per column the denominators to round to, e.g. (1, 2, 3); none to leave it real.
        reach: distance within which coefficients are rounded even where the error does not allow it.
    """
    root = np.sqrt(weights)
    A, t = columns * root[:, None], target * root
    value, real = np.zeros(A.shape[1]), np.ones(A.shape[1], bool)
    waiting = {k for k, grid in enumerate(grids) if grid}
    while True:
        free = A[:, real]
        left = t - A[:, ~real] @ value[~real]
        inverse = np.linalg.pinv(free.T @ free, rcond=1e-12)
        value[real] = inverse @ (free.T @ left)
        r = left - free @ value[real]
        error = np.full(len(value), np.inf)
        error[real] = np.sqrt(np.maximum(np.diag(inverse), 0) * (r @ r) / max(len(t) - real.sum(), 1))
        if not waiting:
            return value
        k = min(waiting, key=lambda k: error[k])
        waiting.remove(k)
        near = _nearest(value[k], max(3.5 * error[k], reach), grids[k])
        if near is not None:
            value[k], real[k] = near, False


def _nearest(value: float, reach: float, denominators: tuple[int, ...]) -> float | None:
    """Return the simplest fraction within reach, or None."""
    for d in denominators:
        near = round(value * d) / d
        if abs(near - value) < max(reach, 1e-7) and abs(near - value) < 0.25 / d:
            return near
    return None
