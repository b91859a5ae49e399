"""Which variables matter: permutation importance in a tree ensemble, against shuffled shadows."""

from __future__ import annotations

import numpy as np
import scipy.spatial
import scipy.stats
from jaxtyping import Float

from sciml.distill.structured.table import Table

ROWS = 2000
FEW = 100  # rows that a forest learns nothing from
LEAST = 2e-3  # of the variance: what is less is not worth a place in the library


def active_variables(table: Table, seed: int, least: float = LEAST, assume: bool = True) -> list[int]:
    """Return the variables that the target depends on, most important first; none if nothing shows.

    Permutation importance (Breiman 2001) beyond that of shuffled shadows (Kursa and Rudnicki 2010), on the
    target and, since a large range hides weak variables, on its ranks.

    Args:
        table: the observations.
        seed: of the forests and shuffles.
        least: share of the variance that a variable must explain.
        assume: take all variables where there is only one, or too few rows to tell.
    """
    if assume and (table.X.shape[1] <= 1 or (len(table) < FEW and table.X.shape[1] <= 6)):
        return list(range(table.X.shape[1]))
    rng = np.random.default_rng(seed)
    X, y, w = table.X[:ROWS], table.y[:ROWS], table.weights[:ROWS]
    ranks = scipy.stats.rankdata(y) / len(y)
    scores = np.maximum(_importance(X, y, w, rng), _importance(X, ranks, np.ones_like(w), rng))
    order = np.argsort(-scores, kind="stable")
    return [int(j) for j in order if scores[j] > least]


def effective_rows(X: Float[np.ndarray, "rows variables"], residual: Float[np.ndarray, "rows"]) -> float:
    """Estimate how many independent observations a residual is worth.

    White noise knows nothing of its neighbour; the error of a network, or of a formula that lacks a term,
    is smooth. With the correlation ρ of the residual's ranks between nearest neighbours, n(1−ρ)/(1+ρ) rows
    count, as in a first-order autoregression (Bayley and Hammersley 1946); and where few rows make most of
    the mean square, they alone count: normal noise has fourth moment 3σ⁴.
    """
    n = len(residual)
    rho = neighbour_correlation(X, residual)
    heavy = min(1.0, 3 * float(np.mean(residual**2)) ** 2 / max(float(np.mean(residual**4)), 1e-300))
    smooth = (1 - rho) / (1 + rho) if rho > 3 / np.sqrt(n) else 1.0
    return max(n * smooth * heavy, min(n, 20.0))


def neighbour_correlation(
    X: Float[np.ndarray, "rows variables"], residual: Float[np.ndarray, "rows"]
) -> float:
    """Return the rank correlation of a residual with that of the nearest row: zero for white noise."""
    scaled = np.column_stack([scipy.stats.rankdata(x) for x in X.T])
    nearest = np.asarray(scipy.spatial.cKDTree(scaled).query(scaled, k=[2])[1])[:, 0]
    rank = scipy.stats.rankdata(residual)
    return float(np.corrcoef(rank, rank[nearest])[0, 1])


def _importance(X: np.ndarray, y: np.ndarray, w: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return each variable's share of the variance beyond that of the best shadow."""
    from sklearn.ensemble import ExtraTreesRegressor

    shadows = rng.permuted(X[:, rng.integers(X.shape[1], size=min(3, X.shape[1]))], axis=0)
    Z = np.hstack([X, shadows])
    train = np.arange(len(y)) < int(0.7 * len(y))
    forest = ExtraTreesRegressor(
        40, min_samples_leaf=3, max_features=1.0, random_state=int(rng.integers(2**31)), n_jobs=1
    ).fit(Z[train], y[train], sample_weight=w[train])
    test, target, weight = Z[~train], y[~train], w[~train]
    base = np.average((forest.predict(test) - target) ** 2, weights=weight)
    loss = np.empty(Z.shape[1])
    for j in range(Z.shape[1]):
        shuffled = test.copy()
        shuffled[:, j] = rng.permutation(test[:, j])
        loss[j] = np.average((forest.predict(shuffled) - target) ** 2, weights=weight)
    variance = np.average((target - np.average(target, weights=weight)) ** 2, weights=weight)
    gain = (loss - base) / max(variance, 1e-300)
    return gain[: X.shape[1]] - max(0.0, gain[X.shape[1] :].max())
