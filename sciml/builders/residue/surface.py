"""Solvent-accessible surface: points on spheres, with the points that a neighbour hides looked up as bits."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int, UInt64
from scipy.spatial import cKDTree

from sciml.builders.residue.chemistry import (
    AMINO_KIND,
    BACKBONE_RADII,
    ELEMENT_RADII,
    MAX_SURFACE,
    OTHER_RADIUS,
    PROBE,
    SIDE_CHAIN_RADIUS,
    pack,
)
from sciml.builders.residue.table import Residues

POINTS = 256  # on each sphere: four words of 64 bits
GRID = 48  # directions are told apart on a grid of this size on either axis: 1.6° on average
BLOCK = 1 << 15  # pairs at a time
CAPS, LOWEST_CAP = 64, -0.25  # sizes of hidden caps that are told apart, by the cosine of the half angle


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
    tree = cKDTree(pos, balanced_tree=False, compact_nodes=False)  # built once and asked once
    pairs = tree.query_pairs(2 * reach.max(), output_type="ndarray")
    receiver, code = _neighbours(pos, reach, pairs)
    order = _by_size(receiver, len(pos))
    hidden = _hidden(code.take(order), np.bincount(receiver, minlength=len(pos)))
    return 4 * np.pi * reach**2 * (1 - hidden / POINTS)


def prepare() -> None:
    """Make the tables now, so that forked processes share them."""
    _masks()


# -------------------------------------------------------------------- details


def _neighbours(
    pos: Float[np.ndarray, "atoms 3"], reach: Float[np.ndarray, "atoms"], pairs: Int[np.ndarray, "pairs 2"]
) -> tuple[Int[np.ndarray, "both"], Int[np.ndarray, "both"]]:
    """For each atom and each of its neighbours, the atom and the code of the cap that is hidden on it.

    Blocks of pairs fit into the processor's cache, which halves the time.
    """
    columns = [np.ascontiguousarray(column, dtype=np.float32) for column in (pos - pos.mean(axis=0)).T]
    reach = reach.astype(np.float32)
    opposite = _opposite()
    atoms, codes = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int32)]
    for start in range(0, len(pairs), BLOCK):
        i, j = np.ascontiguousarray(pairs[start : start + BLOCK].T)  # contiguous: twice as fast to take by
        r_i, r_j = reach.take(i), reach.take(j)
        x, y, z = (column.take(j) - column.take(i) for column in columns)
        square = x * x + y * y + z * z
        inverse = 1 / np.sqrt(np.maximum(square, 1e-6))
        excess = (r_i - r_j) * (r_i + r_j)
        there = _cell(x, y, z)
        on_i = _cap((square + excess) * inverse / r_i)
        on_j = _cap((square - excess) * inverse / r_j)
        atoms += [i, j]
        codes += [there * CAPS + on_i, opposite.take(there) * CAPS + on_j]
    return np.concatenate(atoms), np.concatenate(codes)


def _by_size(values: Int[np.ndarray, "n"], limit: int) -> Int[np.ndarray, "n"]:
    """Order of small whole numbers: NumPy sorts those of 16 bits in one pass over them."""
    order = np.argsort((values & 0xFFFF).astype(np.uint16), kind="stable")
    if limit <= 1 << 16:
        return order
    high = (values >> 16).astype(np.uint16).take(order)
    return order.take(np.argsort(high, kind="stable"))


def _hidden(codes: Int[np.ndarray, "pairs"], counts: Int[np.ndarray, "atoms"]) -> Int[np.ndarray, "atoms"]:
    """How many points of each atom at least one neighbour hides; codes are in the order of atoms."""
    hidden = np.zeros(len(counts), dtype=np.int64)
    some = np.flatnonzero(counts)
    if len(some):
        start = (np.cumsum(counts) - counts)[some]
        masks = np.bitwise_or.reduceat(_masks().take(codes, axis=0), start, axis=0)  # atoms words
        hidden[some] = np.bitwise_count(masks).sum(axis=1, dtype=np.int64)
    return hidden


def _cell(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> Int[np.ndarray, "pairs"]:
    """Cell of the octahedral grid in which a vector points: the lower half is folded outwards.

    Cigolle et al. 2014 (J. Comput. Graph. Tech. 3, 1).
    """
    flat, side = np.abs(x), np.abs(y)
    scale = (GRID / 2) / np.maximum(flat + side + np.abs(z), 1e-12)
    flat *= scale
    side *= scale
    half, low = np.float32(GRID / 2), z < 0
    row = (np.copysign(np.where(low, half - side, flat), x) + half).astype(np.int32)
    column = (np.copysign(np.where(low, half - flat, side), y) + half).astype(np.int32)
    return np.minimum(row, GRID - 1) * GRID + np.minimum(column, GRID - 1)


def _cap(twice_cosine: Float[np.ndarray, "pairs"]) -> Int[np.ndarray, "pairs"]:
    """Number of the cap of each size: the first, for a sphere within another, is all, the last is nothing."""
    place = (0.5 * twice_cosine - LOWEST_CAP) * np.float32((CAPS - 1) / (1 - LOWEST_CAP))
    return np.clip(place, 0, CAPS - 1).astype(np.int32)


@lru_cache(maxsize=1)
def _opposite() -> Int[np.ndarray, "directions"]:
    """Cell of the opposite direction, for each cell."""
    x, y, z = (-_centres().T).astype(np.float32)
    return _cell(x, y, z)


@lru_cache(maxsize=1)
def _centres() -> Float[np.ndarray, "directions 3"]:
    """Direction of the middle of each cell."""
    centre = (np.arange(GRID) + 0.5) * (2 / GRID) - 1
    x, y = (a.ravel() for a in np.meshgrid(centre, centre, indexing="ij"))
    z = 1 - np.abs(x) - np.abs(y)
    low = z < 0
    u = np.where(low, np.copysign(1 - np.abs(y), x), x)
    v = np.where(low, np.copysign(1 - np.abs(x), y), y)
    direction = np.stack([u, v, z], axis=1)
    return direction / np.linalg.norm(direction, axis=1, keepdims=True)


def sphere(points: int) -> Float[np.ndarray, "points 3"]:
    """Points evenly on the unit sphere, along a Fibonacci spiral."""
    k = np.arange(points) + 0.5
    z, angle = 1 - 2 * k / points, np.pi * (1 + 5**0.5) * k
    r = np.sqrt(1 - z * z)
    return np.stack([r * np.cos(angle), r * np.sin(angle), z], axis=1)


@lru_cache(maxsize=1)
def _masks() -> UInt64[np.ndarray, "directions*caps 4"]:
    """Hidden points of the cap in each direction and of each size, as bits."""
    cosine = (_centres() @ sphere(POINTS).T).astype(np.float32)  # directions points
    width = (1 - LOWEST_CAP) / (CAPS - 1)
    size = (LOWEST_CAP + (np.arange(CAPS) + 0.5) * width).astype(np.float32)  # the last exceeds 1: nothing
    size[0] = -2.0  # everything
    table = np.empty((len(cosine), CAPS, POINTS // 64), dtype=np.uint64)
    for first in range(0, len(cosine), 256):
        block = cosine[first : first + 256, None] > size[:, None]  # directions caps points
        table[first : first + 256] = np.packbits(block, axis=2).view(np.uint64)
    return table.reshape(-1, POINTS // 64)
