"""Where a target jumps or bends: positions for the step functions of the library."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from sciml.distill.structured.table import Table


def steps(table: Table, active: list[int], most: int = 2) -> list[tuple[int, float]]:
    """Find where the target jumps or bends along a variable (Chow 1960): two smooth fits instead of one.

    The smooth fit is quadratic in the first active variables and cubic in the one that is split. Curves that
    are no polynomials gain by a split too: a position is a proposal, not a finding.

    Returns:
        (index into ``active``, position) where splitting reduces the residual by more than 40 %.
    """
    found = []
    z = (table.X[:, active[:4]] - table.X[:, active[:4]].mean(0)) / table.X[:, active[:4]].std(0)
    v, root = z.shape[1], np.sqrt(table.weights)[:, None]
    products = [z[:, i] * z[:, j] for i in range(v) for j in range(i, v)]
    for i, j in enumerate(active[:4]):
        order = np.argsort(table.X[:, j], kind="stable")
        A = np.column_stack([np.ones(len(z)), z, *products, z[:, i] ** 3, table.y])
        A = (A * root)[order]
        whole, edge = A.T @ A, max(2 * A.shape[1], len(A) // 40)
        places = np.arange(edge, len(A) - edge, max(1, len(A) // 1000))
        if not len(places):
            continue
        below, start, grams = np.zeros_like(whole), 0, []
        for c in places:
            below = below + A[start:c].T @ A[start:c]
            start = c
            grams.append(below)
        left = np.array(grams)
        rss = _rest(left) + _rest(whole - left)
        best = int(np.argmin(rss))
        if rss[best] < 0.6 * _rest(whole[None])[0]:
            x = table.X[order, j]
            found.append((rss[best], i, _round_between(x[places[best] - 1], x[places[best]])))
    return [(i, position) for _, i, position in sorted(found)[:most]]


def _rest(gram: Float[np.ndarray, "batch k k"]) -> Float[np.ndarray, "batch"]:
    """Return the residual sum of squares of the last column on the others, from Gram matrices."""
    size = np.trace(gram[:, :-1, :-1], axis1=1, axis2=2)[:, None, None]
    G = gram[:, :-1, :-1] + 1e-9 * size * np.eye(gram.shape[1] - 1)
    b = gram[:, :-1, -1]
    return np.maximum(gram[:, -1, -1] - (np.linalg.solve(G, b[..., None])[..., 0] * b).sum(1), 0)


def _round_between(low: float, high: float) -> float:
    """Return the number of fewest digits between two, or their mean."""
    middle = (low + high) / 2
    return next((r for d in range(9) if low <= (r := round(middle, d)) <= high), middle)
