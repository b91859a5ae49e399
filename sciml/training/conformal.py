"""Intervals that hold what they promise, from the errors on examples that were not trained on."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def conformal_half_width(
    errors: Float[np.ndarray, "examples targets"], coverage: float
) -> Float[np.ndarray, "targets"]:
    """Return how wide an interval must be to hold a new example with so much probability, to each side.

    Split conformal prediction (Lei et al. 2018, arXiv 1604.04173, algorithm 2): of n absolute errors, the one
    of rank ⌈(n + 1) · coverage⌉. It holds for examples that are exchangeable with those of the errors, and
    not for others, as molecules of other scaffolds; it is infinite where n is too small for any promise.

    Args:
        errors: of examples that were not trained on; NaN where nothing was measured.
        coverage: between 0 and 1.

    Raises:
        ValueError: another coverage.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage={coverage}: expected a share between 0 and 1.")
    half = np.full(errors.shape[1], np.inf)
    for i, column in enumerate(errors.T):
        known = np.sort(np.abs(column[np.isfinite(column)]))
        rank = int(np.ceil((len(known) + 1) * coverage - 1e-9))
        if rank <= len(known):
            half[i] = known[rank - 1]
    return half
