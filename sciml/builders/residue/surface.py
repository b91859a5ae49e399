"""Solvent-accessible surface: points on spheres, with the points that a neighbour hides looked up as bits."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

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
from sciml.builders.residue.surface_masks import POINTS, masks
from sciml.builders.residue.table import Residues


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

    Raises:
        ImportError: numba is not installed.
    """
    try:
        from sciml.builders.residue.surface_kernel import hide
    except ImportError as error:
        raise ImportError(
            "Surfaces of structures need numba: pip install 'sciml[proteins]' (or pip install numba)."
        ) from error
    if not len(pos):
        return np.zeros(0)
    reach = radius + probe
    cell, order = _cells(pos, 2 * reach.max())
    near = (pos - pos.mean(axis=0)).astype(np.float32)  # small numbers lose nothing in 32 bits
    hidden = np.zeros((len(pos), POINTS // 64), dtype=np.uint64)
    hide(near.take(order, axis=0), reach.astype(np.float32).take(order), *cell, masks(), hidden)
    count = np.empty(len(pos))
    count[order] = np.bitwise_count(hidden).sum(axis=1)
    return 4 * np.pi * reach**2 * (1 - count / POINTS)


def prepare() -> None:
    """Make the table and compile now, so that forked processes share them."""
    atom_surface(np.zeros((1, 3)), np.ones(1))


# -------------------------------------------------------------------- details


def _cells(pos: Float[np.ndarray, "atoms 3"], width: float) -> tuple[tuple[np.ndarray, int, int], np.ndarray]:
    """Number of the cell of each atom in increasing order, steps to the next cells, and the atoms' order.

    The number grows by one from a cell to the next along z. There is an empty layer round all cells, so
    that a step leads to a neighbour or to nothing; cells take no memory however far apart atoms are.
    """
    place = np.floor((pos - pos.min(axis=0)) / width).astype(np.int64) + 1
    row, column = int(place[:, 2].max()) + 2, int(place[:, 1].max()) + 2
    number = (place[:, 0] * column + place[:, 1]) * row + place[:, 2]
    order = np.argsort(number, kind="stable")
    return (number.take(order), row * column, row), order
