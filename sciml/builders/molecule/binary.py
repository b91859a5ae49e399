"""Atoms and bonds of many molecules out of RDKit's binary form: one call for each, the rest in NumPy.

Each call from Python into RDKit costs more than what it asks for; `Mol.ToBinary` tells all of a molecule in
one. It writes a record for each atom and each bond, with a bit for each value that is not the usual one, and
then that value:

    atom  element, flags, four bytes of bits; a byte each for charge, chiral tag, hybridization, drawn
          hydrogens, explicit and implicit valence, radicals; four for the isotope
    bond  begin, end, flags; a byte each for type and direction; stereo, the number of its atoms, and these
    ring  number of atoms, and these

Records differ in length, so all molecules are walked side by side: their first atoms, their second ones, ...
This is the form of version 16 (RDKit's ``MolPickler.cpp``). Molecules of another version, with more than 255
atoms, without rings found, with queries, map numbers, dummies or residues are not read: `featurize` asks
their atoms and bonds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Int
from rdkit import Chem

HEADER = np.frombuffer(np.array([0xDEADBEEF, 0, 16], dtype="<u4").tobytes(), dtype=np.uint8)
ATOMS, BONDS, RECORDS = 20, 24, 30  # where the counts stand (four bytes each), and the first atom
MOST = 255  # atoms that a byte can number
RINGS = 0x42  # what stands before rings that sanitization found
LEAST = int(Chem.PropertyPickleOptions.NoProps) | int(Chem.PropertyPickleOptions.NoConformers)
# Bits of an atom's values in their order, its flags, and a bond's flags.
CHARGE, CHIRAL, HYBRIDIZATION, DRAWN, IMPLICIT = 1, 2, 3, 4, 6
AROMATIC, FIXED = 6, 5  # fixed: no implicit hydrogens
CONJUGATED, TYPE, DIRECTION, STEREO = 5, 3, 2, 1
STRANGE_ATOM, STRANGE_BOND = 0b10011111, 0b10010001  # flags of what has more than the above
SET = np.array([bin(i).count("1") for i in range(256)])  # bits of a byte that are set

Columns = tuple[Int[np.ndarray, "atoms 7"], Int[np.ndarray, "bonds 6"]]


def decode(mols: Sequence[Chem.Mol]) -> tuple[Bool[np.ndarray, "molecules"], Columns]:
    """Return which molecules are read, and the columns of `featurize.asked` for these."""
    blobs = [mol.ToBinary(LEAST) for mol in mols]
    start = np.cumsum([0, *map(len, blobs)])[:-1]
    buffer = np.frombuffer(b"".join(blobs) + bytes(64), dtype=np.uint8)  # reading ahead stays inside
    header = buffer[start[:, None] + np.arange(len(HEADER))] == HEADER
    numbers = [_integers(buffer, start + place) for place in (ATOMS, BONDS)]
    read = header.all(1) & (numbers[0] <= MOST)
    read &= ~np.array([mol.NeedsUpdatePropertyCache() for mol in mols], dtype=bool)
    atoms, bonds = (np.where(read, n, 0) for n in numbers)
    atom, cursor = _walk(buffer, start + RECORDS, atoms, _atom_length, read)
    bond, cursor = _walk(buffer, cursor + 1, bonds, _bond_length, read)
    read &= buffer[np.where(read, cursor, 0)] == RINGS
    rings = np.where(read, _integers(buffer, np.where(read, cursor + 1, 0)), 0)
    ring, _ = _walk(buffer, cursor + 5, rings, lambda buffer, here: buffer[here] + 1, read)
    atom, bond = atom[np.repeat(read, atoms)], bond[np.repeat(read, bonds)]
    atoms, bonds, rings = atoms[read], bonds[read], rings[read]
    columns = _atoms(buffer, atom), _bonds(buffer, bond)
    _mark_rings(buffer, ring, columns, atoms, bonds, rings)
    return read, columns


# -------------------------------------------------------------------- details


def _integers(buffer: np.ndarray, place: np.ndarray) -> Int[np.ndarray, "places"]:
    return buffer[place[:, None] + np.arange(4)].copy().view("<i4")[:, 0].astype(np.int64)


def _walk(
    buffer: np.ndarray,
    cursor: Int[np.ndarray, "molecules"],
    counts: Int[np.ndarray, "molecules"],
    length: Callable[[np.ndarray, np.ndarray], np.ndarray],
    read: Bool[np.ndarray, "molecules"],
) -> tuple[Int[np.ndarray, "records"], Int[np.ndarray, "molecules"]]:
    """Return where each record starts, and where each molecule's last one ends; strange ones end ``read``."""
    first = np.cumsum(counts) - counts
    where = np.zeros(counts.sum(), dtype=np.int64)
    cursor, going, step = cursor.copy(), np.flatnonzero(counts), 0
    while len(going):
        here = cursor[going]
        where[first[going] + step] = here
        size = length(buffer, here).astype(np.int64)
        cursor[going] += size
        read[going[size == 0]] = False
        step += 1
        going = going[(size > 0) & (counts[going] > step)]
    return where, cursor


def _atom_length(buffer: np.ndarray, here: np.ndarray) -> np.ndarray:
    bits, more = buffer[here + 2], buffer[here + 3]
    strange = (buffer[here + 1] & STRANGE_ATOM) | (bits & 1) | (more & 0xFE) | buffer[here + 4]
    return np.where(strange > 0, 0, 6 + SET[bits] + 4 * (more & 1))


def _bond_length(buffer: np.ndarray, here: np.ndarray) -> np.ndarray:
    flags = buffer[here + 2]
    before = 3 + _bit(flags, TYPE) + _bit(flags, DIRECTION)
    stereo = np.where(_bit(flags, STEREO) > 0, 2 + buffer[here + before + 1].astype(np.int64), 0)
    return np.where(flags & STRANGE_BOND, 0, before + stereo)


def _bit(values: np.ndarray, bit: int) -> np.ndarray:
    return (values >> bit & 1).astype(np.int64)


def _atoms(buffer: np.ndarray, here: np.ndarray) -> Int[np.ndarray, "atoms 7"]:
    flags, bits = buffer[here + 1], buffer[here + 2]

    def value(bit: int, usual: int = 0) -> np.ndarray:
        place = here + 6 + SET[bits & ((1 << bit) - 1)]
        return np.where(_bit(bits, bit), buffer[place].astype(np.int8), usual)

    hydrogens = value(DRAWN) + np.where(_bit(flags, FIXED), 0, value(IMPLICIT))
    hybridization = value(HYBRIDIZATION, int(Chem.HybridizationType.SP3))
    given = [buffer[here], value(CHARGE), hydrogens, hybridization, _bit(flags, AROMATIC)]
    return np.stack([*given, np.zeros(len(here)), value(CHIRAL) != 0], axis=1).astype(np.int64)


def _bonds(buffer: np.ndarray, here: np.ndarray) -> Int[np.ndarray, "bonds 6"]:
    flags = buffer[here + 2]
    kind = np.where(_bit(flags, TYPE), buffer[here + 3], int(Chem.BondType.SINGLE))
    given = [buffer[here], buffer[here + 1], kind, _bit(flags, CONJUGATED)]
    return np.stack([*given, np.zeros(len(here)), _bit(flags, STEREO)], axis=1).astype(np.int64)


def _mark_rings(
    buffer: np.ndarray,
    ring: Int[np.ndarray, "rings"],
    columns: Columns,
    atoms: Int[np.ndarray, "molecules"],
    bonds: Int[np.ndarray, "molecules"],
    rings: Int[np.ndarray, "molecules"],
) -> None:
    """Mark the atoms of rings, and the bonds between atoms that follow each other in one."""
    first, size = np.cumsum(atoms) - atoms, buffer[ring].astype(np.int64)
    begin = np.cumsum(size) - size
    within = np.arange(size.sum()) - np.repeat(begin, size)
    member = buffer[np.repeat(ring + 1, size) + within] + np.repeat(np.repeat(first, rings), size)
    following = member[np.repeat(begin, size) + (within + 1) % np.repeat(size, size)]
    columns[0][member, 5] = 1
    ends = columns[1][:, :2] + np.repeat(first, bonds)[:, None]
    pair = lambda a, b: np.minimum(a, b) * atoms.sum() + np.maximum(a, b)
    columns[1][:, 4] = np.isin(pair(ends[:, 0], ends[:, 1]), pair(member, following))
