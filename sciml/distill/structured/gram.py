"""Products of thousands of columns, and the best pairs among them from one Gram matrix.

In NumPy, whose symmetric product is twice as fast on a processor as torch's; in torch on a GPU where there is
one. The formulas are written once for both.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from jaxtyping import Float, Int

NODE = float(np.log(10.0))  # description length of one node of a formula
DEPENDENT, EQUAL = 1e-4, 1e-5  # parts of a column, or of a pair, that are new; less says nothing


def gpu() -> str | None:
    """Return "cuda" where torch is imported and sees a GPU; None means NumPy."""
    torch = sys.modules.get("torch")
    return "cuda" if torch is not None and torch.cuda.is_available() else None


class Columns:
    """Normalized columns, in memory or on a device.

    Args:
        values: in single precision.
        device: of torch; None is NumPy.
    """

    def __init__(self, values: Float[np.ndarray, "columns rows"], device: str | None = None) -> None:
        self.device = device
        self.values = self._put(values)
        self._last: tuple[np.ndarray, Any, Any] | None = None  # which, these columns, their Gram matrix

    def overlap(self, others: Float[np.ndarray, "rows others"]) -> Float[np.ndarray, "columns others"]:
        """Return inner products with other columns."""
        return self._get(self.values @ self._put(others.astype(np.float32)))

    def best_pairs(
        self,
        k: Int[np.ndarray, "some"],
        target: Float[np.ndarray, "rows"],
        cost: Float[np.ndarray, "some"],
        number: int,
        given: Float[np.ndarray, "rows given"] | None = None,
    ) -> Int[np.ndarray, "number 2"]:
        """Return the pairs among columns ``k`` with the shortest descriptions of a target.

        Args:
            k: columns; the Gram matrix of the last ones asked for is kept.
            target: what they shall explain.
            cost: nodes of each.
            number: of pairs, at most.
            given: an orthonormal basis of what is explained already; the target is free of it.

        Returns:
            places in ``k``, the smaller one first.
        """
        rest, rows = float(target @ target), len(target)
        if self._last is None or not np.array_equal(self._last[0], k):
            taken = self.values[self._put(k)]
            self._last = k, taken, taken @ taken.T
        _, chosen, gram = self._last
        b = chosen @ self._put(target.astype(np.float32))
        if given is not None:
            known = chosen @ self._put(given.astype(np.float32))
            left = 1 - (known**2).sum(1)
            scale = (left > DEPENDENT) / left.clip(DEPENDENT) ** 0.5
            gram, b = (gram - known @ known.T) * scale[:, None] * scale, b * scale
        score = pair_scores(gram, b, rest, self._put(cost.astype(np.float32)), rows)
        place, number = self._put(np.arange(len(k))), min(number, len(k) ** 2)
        score[place[:, None] >= place] = np.inf
        if self.device is None:
            best = np.argpartition(score.ravel(), number - 1)[:number]
        else:
            best = self._get(score.ravel().topk(number, largest=False).indices)
        best = best[np.isfinite(self._get(score.ravel()[self._put(best)]))]
        return np.stack(np.divmod(best, len(k)), axis=1)

    def _put(self, values: np.ndarray) -> Any:
        return values if self.device is None else sys.modules["torch"].as_tensor(values, device=self.device)

    def _get(self, values: Any) -> np.ndarray:
        return values if self.device is None else values.cpu().numpy()


def pair_scores(gram: Any, b: Any, rest: float, cost: Any, rows: int) -> Any:
    """Return the description lengths of a target by all pairs of columns, of arrays or tensors alike.

    Args:
        gram: inner products of normalized columns, [columns, columns].
        b: their inner products with the target, [columns].
        rest: squared length of the target.
        cost: nodes of each column.
        rows: of the data.

    Returns:
        [columns, columns], in nats.
    """
    free = 1 - gram * gram
    explained = (b * b)[:, None] + b * b - 2 * b[:, None] * b * gram
    share = (free > EQUAL) * explained / (free.clip(EQUAL) * max(rest, 1e-30))
    left = (1 - share).clip(1e-6)
    log = np.log(left) if isinstance(left, np.ndarray) else left.log()
    return rows / 2 * log + NODE * (cost[:, None] + cost)
