"""Solvent-accessible surface: points on spheres, with the points that a neighbour hides looked up as bits."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int, UInt64
from scipy.sparse import coo_array
from scipy.spatial import cKDTree

from sciml.builders.residue.chemistry import (
    BACKBONE_RADII,
    ELEMENT_RADII,
    MAX_SURFACE,
    OTHER_RADIUS,
    PROBE,
    SIDE_CHAIN_RADIUS,
    pack,
)
from sciml.builders.residue.table import AMINO_KIND, Residues

POINTS = 256  # on each sphere: four words of 64 bits
GRID = 64  # directions are told apart on a grid of this size on either axis: 1.2° on average
CAPS, LOWEST_CAP = 96, -0.25  # sizes of hidden caps that are told apart, by the cosine of the half angle


def surface(residues: Residues) -> tuple[Float[np.ndarray, "residues"], Float[np.ndarray, "residues"]]:
    """Accessible surface of each residue in Å², and relative to the largest that its type can have.

    The relative surface (Tien et al. 2013, theoretical values) is 0 for types that have none. What is not
    a node of the graph (by default waters and ligands) hides nothing.
    """
    area = atom_surface(residues.atom_pos, radii(residues))
    total = np.bincount(residues.atom_residue, area, len(residues))
    largest = MAX_SURFACE[residues.type]
    return total, np.where(np.isfinite(largest), total / largest, 0.0)


def radii(residues: Residues) -> Float[np.ndarray, "atoms"]:
    """Radii of DSSP's united atoms in Å: by name in amino acids, by element elsewhere."""
    by_element = np.full(256, OTHER_RADIUS)
    by_element[list(ELEMENT_RADII)] = list(ELEMENT_RADII.values())
    amino = np.full(len(residues.atom_name), SIDE_CHAIN_RADIUS)
    for name, radius in BACKBONE_RADII.items():
        amino[residues.atom_name == pack(name)] = radius
    is_amino = residues.kind[residues.atom_residue] == AMINO_KIND
    return np.where(is_amino, amino, by_element[residues.atom_element])


def atom_surface(
    pos: Float[np.ndarray, "atoms 3"], radius: Float[np.ndarray, "atoms"], probe: float = PROBE
) -> Float[np.ndarray, "atoms"]:
    """Surface of each atom that a probe can reach, in Å².

    Shrake & Rupley 1973 (J. Mol. Biol. 79, 351) with the table of bit masks of Le Grand & Merz 1993
    (J. Comput. Chem. 14, 349): a neighbour hides the points of a spherical cap, and the caps of all
    directions and sizes are known beforehand.
    """
    if not len(pos):
        return np.zeros(0)
    reach = radius + probe
    pairs = cKDTree(pos).query_pairs(2 * reach.max(), output_type="ndarray")
    i, j = pairs[:, 0], pairs[:, 1]
    apart = (pos[j] - pos[i]).astype(np.float32)  # pairs 3
    square = np.einsum("ij,ij->i", apart, apart)
    distance = np.sqrt(square)
    r_i, r_j = (reach.astype(np.float32)[k] for k in (i, j))
    touching = distance < r_i + r_j
    i, j, apart, square, distance, r_i, r_j = (a[touching] for a in (i, j, apart, square, distance, r_i, r_j))
    distance = np.maximum(distance, 1e-6)
    excess = (r_i - r_j) * (r_i + r_j)
    there, back = _directions(apart)
    code_i = there * CAPS + _caps((square + excess) / (2 * r_i * distance))
    code_j = back * CAPS + _caps((square - excess) / (2 * r_j * distance))
    shape = (len(pos), len(pos))
    codes = np.concatenate([code_i, code_j])
    rows = coo_array((codes, (np.concatenate([i, j]), np.concatenate([j, i]))), shape).tocsr()
    hidden = _hidden(rows.data, rows.indptr)
    return 4 * np.pi * reach**2 * (1 - hidden / POINTS)


# -------------------------------------------------------------------- details


def _hidden(codes: Int[np.ndarray, "pairs"], pointer: Int[np.ndarray, "atoms+1"]) -> Int[np.ndarray, "atoms"]:
    """How many points of each atom at least one neighbour hides."""
    count = np.zeros(len(pointer) - 1, dtype=np.int64)
    some = np.flatnonzero(np.diff(pointer))
    if len(some):
        masks = np.bitwise_or.reduceat(_masks()[codes], pointer[some], axis=0)  # atoms words
        count[some] = np.bitwise_count(masks).sum(axis=1, dtype=np.int64)
    return count


def _directions(vectors: Float[np.ndarray, "pairs 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Cells of the octahedral grid in which vectors and their opposites lie (Cigolle et al. 2014)."""
    x, y, z = vectors.T
    norm = np.maximum(np.abs(x) + np.abs(y) + np.abs(z), 1e-12)
    x, y = x / norm, y / norm
    return _cell(x, y, z >= 0), _cell(-x, -y, z < 0)


def _cell(x: np.ndarray, y: np.ndarray, up: np.ndarray) -> Int[np.ndarray, "pairs"]:
    """Fold the lower half of the octahedron outwards, and number the cells of the square."""
    u = np.where(up, x, np.copysign(1 - np.abs(y), x))
    v = np.where(up, y, np.copysign(1 - np.abs(x), y))
    row, column = (np.minimum(((w + 1) * (GRID / 2)).astype(np.int32), GRID - 1) for w in (u, v))
    return row * GRID + column


def _caps(cosine: Float[np.ndarray, "pairs"]) -> Int[np.ndarray, "pairs"]:
    """Number of the cap of each size; one that contains the other sphere hides all or nothing."""
    place = (cosine - LOWEST_CAP) * (CAPS / (1 - LOWEST_CAP))
    return np.clip(place.astype(np.int32), 0, CAPS - 1)


def sphere(points: int) -> Float[np.ndarray, "points 3"]:
    """Points evenly on the unit sphere, along a Fibonacci spiral."""
    k = np.arange(points) + 0.5
    z, angle = 1 - 2 * k / points, np.pi * (1 + 5**0.5) * k
    r = np.sqrt(1 - z * z)
    return np.stack([r * np.cos(angle), r * np.sin(angle), z], axis=1)


@lru_cache(maxsize=1)
def _masks() -> UInt64[np.ndarray, "directions*caps 4"]:
    """Hidden points of the cap in each direction and of each size, as bits."""
    centre = (np.arange(GRID) + 0.5) * (2 / GRID) - 1
    x, y = (a.ravel() for a in np.meshgrid(centre, centre, indexing="ij"))
    z = 1 - np.abs(x) - np.abs(y)
    low = z < 0
    u = np.where(low, np.copysign(1 - np.abs(y), x), x)
    v = np.where(low, np.copysign(1 - np.abs(x), y), y)
    direction = np.stack([u, v, z], axis=1)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    cosine = (direction @ sphere(POINTS).T).astype(np.float32)  # directions points
    size = (LOWEST_CAP + (np.arange(CAPS) + 0.5) * ((1 - LOWEST_CAP) / CAPS)).astype(np.float32)
    table = np.empty((len(cosine), CAPS, POINTS // 64), dtype=np.uint64)
    for first in range(0, len(cosine), 256):
        block = cosine[first : first + 256, None] > size[:, None]  # directions caps points
        table[first : first + 256] = np.packbits(block, axis=2).view(np.uint64)
    return table.reshape(-1, POINTS // 64)
