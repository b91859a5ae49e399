"""How far pairs act: the distance beyond which more of them explain nothing more."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from sciml.datasets.frames import Frames
from sciml.distill.pairs.rows import Kinds, PairRows, pair_rows
from sciml.distill.pairs.splines import fit_splines

log = logging.getLogger(__name__)
MOST = 10.0  # Å
FEW = 10  # frames that are looked at
STEPS = 16  # distances that are tried
GAIN = 1.1  # by which what is left must fall for a larger distance to be taken
REFINED = 7  # tries between two distances


def find_cutoff(frames: Frames, kinds: Kinds, most: float = MOST) -> float:
    """Return the distance in Å within which splines for pairs explain the forces best.

    A potential that was cut off in a simulation is found by its edge: what is left of the forces rises on
    both sides of it. Where there is no edge, the smallest distance that leaves hardly more than the largest.

    Args:
        frames: with forces.
        kinds: of pairs.
        most: largest distance that is tried, in Å.
    """
    some = frames.take(np.unique(np.linspace(0, len(frames) - 1, min(FEW, len(frames))).astype(int)))
    parts = pair_rows(some, kinds, most)
    far = max(p.distance.max(initial=0.0) for p in parts)
    near = min(p.distance.min(initial=np.inf) for p in parts)
    if not near < far:
        raise ValueError(f"{frames.source}: no two atoms are within {most:g} Å of each other.")
    if far < 0.95 * most:  # all pairs of molecules: nothing lies beyond
        return float(far * (1 + 1e-6))
    tries = np.linspace(near + 0.3 * (most - near), most, STEPS)
    left = np.array([_left(parts, kinds, r) for r in tries])
    best = int(np.flatnonzero(left <= GAIN * left.min())[0])
    low, high = tries[max(best - 1, 0)], tries[min(best + 1, STEPS - 1)]
    found = {float(tries[best]): float(left[best])}
    for _ in range(REFINED):  # thirds of the interval, around the best so far
        for r in (low + (high - low) / 3, high - (high - low) / 3):
            found.setdefault(float(r), _left(parts, kinds, r))
        centre = min(found, key=lambda r: found[r])
        width = (high - low) / 3
        low, high = max(centre - width, near), min(centre + width, most)
    cutoff = min(r for r in found if found[r] <= GAIN * min(found.values()))
    log.info("pairs act within %.3f Å", cutoff)
    return cutoff


def _left(parts: Sequence[PairRows], kinds: Kinds, cutoff: float) -> float:
    return fit_splines([p.within(cutoff) for p in parts], kinds, cutoff).noise[0]
