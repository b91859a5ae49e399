"""Torsions, local frames and Cβ positions, for all residues at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from sciml.builders.residue.chemistry import AMINO_KIND, CHI_SLOTS, NUCLEIC_KIND, SLOT
from sciml.builders.residue.table import Residues

# Cβ of an L-amino acid from its backbone, in terms of b = CA - N, c = C - CA and b × c (ideal geometry, as in
# Dauparas et al. 2022, ProteinMPNN).
_IDEAL_CB = (-0.58273431, 0.56802827, -0.54067466)
_FRAME_ATOMS = {AMINO_KIND: ("N", "CA", "C"), NUCLEIC_KIND: ("C1'", "C3'", "C4'")}


def dihedral(
    a: Float[np.ndarray, "n 3"],
    b: Float[np.ndarray, "n 3"],
    c: Float[np.ndarray, "n 3"],
    d: Float[np.ndarray, "n 3"],
) -> Float[np.ndarray, "n"]:
    """Torsion about b-c in radians, in (-π, π], positive for a right-handed turn (IUPAC-IUB 1970)."""
    along, before, after = c - b, a - b, d - c
    m, n = cross(before, along), cross(along, after)  # normals, of opposite sense for trans
    sine = (before * n).sum(1) * np.linalg.norm(along, axis=1)
    return np.arctan2(-sine, -(m * n).sum(1))


def cross(a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """A × b, at half the cost of `numpy.cross`."""
    (ax, ay, az), (bx, by, bz) = a.T, b.T
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=1)


def torsions(residues: Residues) -> tuple[Float[np.ndarray, "residues 7"], Bool[np.ndarray, "residues 7"]]:
    """φ, ψ, ω and χ1 to χ4 of amino acids in radians, and where they are; zero where they are not.

    φ(i) and ω(i) need a bonded residue before, ψ(i) one after; ω(i) is about the bond of i - 1 and i.
    """
    count = len(residues)
    slot, bonded = residues.slot, residues.bonded & (residues.kind == AMINO_KIND)
    backbone = [slot[:, SLOT[name]] for name in ("N", "CA", "C")]
    shift = lambda column, by: np.where(_rolled(bonded, by), np.roll(column, by), -1)
    n, ca, c = backbone
    quadruples = np.full((count, 7, 4), -1)
    quadruples[:, 0] = np.stack([shift(c, 1), n, ca, c], axis=1)
    quadruples[:, 1] = np.stack([n, ca, c, shift(n, -1)], axis=1)
    quadruples[:, 2] = np.stack([shift(ca, 1), shift(c, 1), n, ca], axis=1)
    which = CHI_SLOTS[residues.type]  # residues 4 4
    quadruples[:, 3:] = np.where(which >= 0, slot[np.arange(count)[:, None, None], which], -1)
    quadruples[residues.kind != AMINO_KIND] = -1
    there = np.asarray((quadruples >= 0).all(axis=2))
    angles = np.zeros((count, 7))
    angles[there] = dihedral(*np.moveaxis(residues.atom_pos[quadruples[there]], 1, 0))
    return angles, there


def _rolled(bonded: Bool[np.ndarray, "n"], by: int) -> Bool[np.ndarray, "n"]:
    """Whether the residue ``by`` steps before (after, if negative) is bonded."""
    return bonded if by == 1 else np.append(bonded[1:], False)


def frames_of_three(
    before: Float[np.ndarray, "n 3"], middle: Float[np.ndarray, "n 3"], after: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n 3 3"]:
    """Right-handed axes as rows: e1 to ``after``, e2 in the plane towards ``before``, e3 = e1 × e2.

    Gram-Schmidt, Jumper et al. 2021 (AlphaFold 2), supplement, algorithm 21; zero for points on a line.
    """
    e1 = _unit(after - middle)
    toward = before - middle
    e2 = _unit(toward - (toward * e1).sum(1, keepdims=True) * e1)
    frame = np.stack([e1, e2, cross(e1, e2)], axis=1)
    return np.where((frame != 0).any(axis=2).all(axis=1)[:, None, None], frame, 0.0)


def frames(
    residues: Residues, kind: str = "backbone"
) -> tuple[Float[np.ndarray, "residues 3 3"], Bool[np.ndarray, "residues"]]:
    """Local frames, and where they are; zero where they are not, since zero turns with everything.

    ``backbone``: N, CA, C of amino acids, and C1', C3', C4' of nucleotides (Abramson et al. 2024,
    AlphaFold 3). ``trace``: CA of the residues before, at and after, for files without more.
    """
    result = np.zeros((len(residues), 3, 3))
    if kind == "trace":
        ca, there = residues.position("CA")
        bonded = residues.bonded & there & np.roll(there, 1)
        rows = np.flatnonzero(bonded & _rolled(bonded, -1))
        result[rows] = frames_of_three(ca[rows - 1], ca[rows], ca[rows + 1])
    else:
        for number, names in _FRAME_ATOMS.items():
            index = residues.slot[:, [SLOT[name] for name in names]]
            rows = np.flatnonzero((residues.kind == number) & (index >= 0).all(axis=1))
            result[rows] = frames_of_three(*np.moveaxis(residues.atom_pos[index[rows]], 1, 0))
    return result, np.asarray((result != 0).any(axis=(1, 2)))


def anchors(residues: Residues) -> Float[np.ndarray, "residues 3"]:
    """Where each residue stands: CA, C1' of nucleotides, and else the centroid of its heavy atoms."""
    result = centroids(residues, np.arange(len(residues.atom_pos)))
    for kind, name in ((AMINO_KIND, "CA"), (NUCLEIC_KIND, "C1'")):
        position, there = residues.position(name)
        rows = there & (residues.kind == kind)
        result[rows] = position[rows]
    return result


def beta(residues: Residues) -> tuple[Float[np.ndarray, "residues 3"], Bool[np.ndarray, "residues"]]:
    """Cβ of each residue, and whether it is of the file.

    Of glycine, and where it is missing, it is built from N, CA and C; without these it is `anchors`.
    Nucleotides have C4 (purines) or C2 (pyrimidines) of the base in its place, as in AlphaFold 3.
    """
    result = anchors(residues)
    index = residues.slot[:, [SLOT[name] for name in ("N", "CA", "C")]]
    rows = np.flatnonzero((residues.kind == AMINO_KIND) & (index >= 0).all(axis=1))
    n, ca, c = np.moveaxis(residues.atom_pos[index[rows]], 1, 0)
    b, d = ca - n, c - ca
    x, y, z = _IDEAL_CB
    result[rows] = ca + x * cross(b, d) + y * b + z * d
    purine = np.array([letter in "ag" for letter in _letters(residues.type)], dtype=bool)
    known = np.zeros(len(residues), dtype=bool)
    for kind, name, of in (
        (AMINO_KIND, "CB", np.ones(len(residues), dtype=bool)),
        (NUCLEIC_KIND, "C4", purine),
        (NUCLEIC_KIND, "C2", ~purine),
    ):
        position, there = residues.position(name)
        there = there & (residues.kind == kind) & of
        result[there] = position[there]
        known |= there
    return result, known


def centroids(residues: Residues, atoms: Int[np.ndarray, "chosen"]) -> Float[np.ndarray, "residues 3"]:
    """Mean position of the chosen atoms of each residue; zero where none is chosen."""
    owner, count = residues.atom_residue[atoms], len(residues)
    number = np.maximum(np.bincount(owner, minlength=count), 1)
    sums = [np.bincount(owner, residues.atom_pos[atoms, axis], count) for axis in range(3)]
    return np.stack(sums, axis=1) / number[:, None]


# -------------------------------------------------------------------- details


def _letters(types: Int[np.ndarray, "n"]) -> list[str]:
    from sciml.builders.residue.chemistry import LETTERS

    return [LETTERS[t] for t in types]


def _unit(vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 1e-6)
