"""The loop over pairs of atoms in `surface`, compiled by numba: what each hides of the other's sphere."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba import njit

from sciml.builders.residue.surface_masks import CAPS, GRID, LOWEST_CAP

_HALF = np.float32(GRID / 2)
_CAPS_EACH = np.float32((CAPS - 1) / (1 - LOWEST_CAP))
_LEAST = np.float32(1e-6)


def compiled(function: Callable) -> Callable:
    """Compile at the first call, and keep the machine code for the next process where there is a place."""
    try:
        return njit(cache=True)(function)
    except RuntimeError:  # neither this folder nor the user's can be written: compile in each process
        return njit(function)


@njit(inline="always")
def direction(x, y, z):
    """Cell of the octahedral grid in which a vector points: the lower half is folded outwards.

    Cigolle et al. 2014 (J. Comput. Graph. Tech. 3, 1).
    """
    flat, side = abs(x), abs(y)
    scale = _HALF / max(flat + side + abs(z), np.float32(1e-12))
    flat *= scale
    side *= scale
    if z < 0:
        flat, side = _HALF - side, _HALF - flat
    row = int(math.copysign(flat, x) + _HALF)
    column = int(math.copysign(side, y) + _HALF)
    return min(row, GRID - 1) * GRID + min(column, GRID - 1)


@njit(inline="always")
def cap(cosine):
    """Number of the cap of each size: the first, for a sphere within another, is all, the last is nothing."""
    return min(max(int((cosine - np.float32(LOWEST_CAP)) * _CAPS_EACH), 0), CAPS - 1)


@compiled
def hide(pos, reach, cell, slab, row, masks, hidden):
    """Mark the points of each sphere that lie within another.

    Args:
        pos, reach: (atoms 3) and (atoms), float32, by increasing number of their cells; a cell is at
            least as wide as the two largest spheres together.
        cell: (atoms) numbers of the cells; from one to the next it is 1 along z, ``row`` along y and
            ``slab`` along x.
        masks: (directions caps words) points of each cap, as bits.
        hidden: (atoms words) is written.
    """
    start = 0
    while start < len(cell):
        here = cell[start]
        stop = np.searchsorted(cell, here + 1)
        for across in (0, row, slab - row, slab, slab + row):  # pairs of columns, once
            begin = np.searchsorted(cell, here + across - 1) if across else start
            end = np.searchsorted(cell, here + across + 2)
            for i in range(start, stop):
                xi, yi, zi, ri = pos[i, 0], pos[i, 1], pos[i, 2], reach[i]
                for j in range(max(begin, i + 1), end):
                    x, y, z, rj = pos[j, 0] - xi, pos[j, 1] - yi, pos[j, 2] - zi, reach[j]
                    square = x * x + y * y + z * z
                    both = ri + rj
                    if square >= both * both:
                        continue
                    inverse = np.float32(0.5) / np.float32(math.sqrt(max(square, _LEAST)))
                    excess = (ri - rj) * both
                    on_i, on_j = cap((square + excess) * inverse / ri), cap((square - excess) * inverse / rj)
                    there, back = direction(x, y, z), direction(-x, -y, -z)
                    for word in range(masks.shape[2]):
                        hidden[i, word] |= masks[there, on_i, word]
                        hidden[j, word] |= masks[back, on_j, word]
        start = stop
