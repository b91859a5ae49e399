"""Points on a sphere, and which of them the cap in each direction and of each size hides, as bits."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float, UInt64

POINTS = 256  # on each sphere: four words of 64 bits
GRID = 48  # directions are told apart on a grid of this size on either axis: to 1.8° on average, 5° at most
DIRECTIONS = GRID * GRID
CAPS, LOWEST_CAP = 64, -0.25  # sizes of hidden caps that are told apart, by the cosine of the half angle


def sphere(points: int) -> Float[np.ndarray, "points 3"]:
    """Points evenly on the unit sphere, along a Fibonacci spiral."""
    k = np.arange(points) + 0.5
    z, angle = 1 - 2 * k / points, np.pi * (1 + 5**0.5) * k
    r = np.sqrt(1 - z * z)
    return np.stack([r * np.cos(angle), r * np.sin(angle), z], axis=1)


def centres() -> Float[np.ndarray, "directions 3"]:
    """Direction of the middle of each cell of the octahedral grid (see `surface_kernel`)."""
    centre = (np.arange(GRID) + 0.5) * (2 / GRID) - 1
    x, y = (a.ravel() for a in np.meshgrid(centre, centre, indexing="ij"))
    z = 1 - np.abs(x) - np.abs(y)
    low = z < 0
    u = np.where(low, np.copysign(1 - np.abs(y), x), x)
    v = np.where(low, np.copysign(1 - np.abs(x), y), y)
    direction = np.stack([u, v, z], axis=1)
    return direction / np.linalg.norm(direction, axis=1, keepdims=True)


@lru_cache(maxsize=1)
def masks() -> UInt64[np.ndarray, "directions caps 4"]:
    """Hidden points of the cap in each direction and of each size, as bits."""
    cosine = (centres() @ sphere(POINTS).T).astype(np.float32)  # directions points
    width = (1 - LOWEST_CAP) / (CAPS - 1)
    size = (LOWEST_CAP + (np.arange(CAPS) + 0.5) * width).astype(np.float32)  # the last exceeds 1: nothing
    size[0] = -2.0  # everything
    table = np.empty((DIRECTIONS, CAPS, POINTS // 64), dtype=np.uint64)
    for first in range(0, DIRECTIONS, 256):
        block = cosine[first : first + 256, None] > size[:, None]  # directions caps points
        table[first : first + 256] = np.packbits(block, axis=2).view(np.uint64)
    return table
