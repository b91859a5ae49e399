"""What residues are: by their names, by the atoms that they have, and by where the file puts them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from sciml.builders.residue.atoms import POLYMER, Atoms
from sciml.builders.residue.chemistry import (
    AMINO_KIND,
    ION,
    LETTERS,
    LIGAND,
    NUCLEIC,
    NUCLEIC_KIND,
    OTHER_KIND,
    SLOT,
    TYPE,
    UNKNOWN_AMINO,
    UNKNOWN_NUCLEIC,
    WATER,
    unpack,
)
from sciml.builders.residue.rules import Rules

_PARENTS = {"SEC": "CYS", "PYL": "LYS", "T": "DT"}  # standard names without a type of their own
_AMINO_LETTERS = LETTERS[: UNKNOWN_AMINO + 1]


class Classes(NamedTuple):
    """What each residue is.

    Attributes:
        type: number in `TYPES`.
        modified: whether its name is not the type's own.
        kind: amino acid, nucleotide or neither.
        anchored: whether it has the atom that it stands at; what has none to have counts as anchored.
    """

    type: Int[np.ndarray, "residues"]
    modified: Bool[np.ndarray, "residues"]
    kind: Int[np.ndarray, "residues"]
    anchored: Bool[np.ndarray, "residues"]


def classify(
    atoms: Atoms,
    first: Int[np.ndarray, "residues"],
    heavy: Int[np.ndarray, "residues"],
    there: Bool[np.ndarray, "residues slots"],
    rules: Rules,
) -> Classes:
    """Say what the residues are that begin at these atoms.

    Args:
        atoms: of one model.
        first: row of the first atom of each residue.
        heavy: number of heavy atoms.
        there: which of `SLOTS` it has.
        rules: of which ``modified`` is asked.
    """
    names, which = np.unique(atoms.residue_name[first], return_inverse=True)
    known = np.array([identify(unpack(name), atoms.parents) for name in names]).reshape(-1, 2)
    type_, modified = known[which, 0], known[which, 1].astype(bool)
    standard = (type_ < LIGAND) & ~modified & (type_ != UNKNOWN_AMINO) & (type_ != UNKNOWN_NUCLEIC)
    polymer = (atoms.entity[first] == POLYMER) | (standard & (atoms.het[first] == ord("A")))
    ca, c1 = there[:, SLOT["CA"]], there[:, SLOT["C1'"]]
    nameless = polymer & (type_ >= LIGAND)  # in no table: the atoms decide
    type_ = np.where(nameless & ca, UNKNOWN_AMINO, type_)
    type_ = np.where(nameless & ~ca & c1, UNKNOWN_NUCLEIC, type_)
    other = (type_ >= LIGAND) | ~polymer
    type_ = np.where(other & (type_ != WATER), np.where(heavy == 1, ION, LIGAND), type_)
    modified &= ~other
    kind = np.where(other, OTHER_KIND, np.where(type_ <= UNKNOWN_AMINO, AMINO_KIND, NUCLEIC_KIND))
    if rules.modified == "unknown":
        type_ = np.where(modified, np.where(kind == AMINO_KIND, UNKNOWN_AMINO, UNKNOWN_NUCLEIC), type_)
    return Classes(type_, modified, kind, np.where(kind == AMINO_KIND, ca, other | c1))


def identify(name: str, parents: Mapping[str, str]) -> tuple[int, bool]:
    """Return the type of a residue name, and whether the name is a modification of it.

    A modified residue has the type of its parent: that of the file's own table (MODRES, or
    pdbx_struct_mod_residue), then that of gemmi's table of residues. A name that neither knows is taken
    for a ligand; where the file puts it into a polymer, its atoms decide (`classify`).
    """
    if name in TYPE and name[0].isupper():
        return TYPE[name], False
    parent = parents.get(name, "")
    if parent in TYPE and parent != name:
        return TYPE[parent], True
    return _tabulated(name)


@lru_cache(maxsize=4096)
def _tabulated(name: str) -> tuple[int, bool]:
    import gemmi

    if name in _PARENTS:
        return TYPE[_PARENTS[name]], name != "T"
    known = gemmi.find_tabulated_residue(name)
    if known.is_water():
        return WATER, False
    letter = known.one_letter_code.upper()
    if known.is_amino_acid():
        return max(0, _AMINO_LETTERS.find(letter)) if letter in _AMINO_LETTERS else UNKNOWN_AMINO, True
    if known.is_nucleic_acid():
        base = f"D{letter}" if known.kind == gemmi.ResidueKind.DNA else letter
        return (TYPE[base] if base in NUCLEIC else UNKNOWN_NUCLEIC), True
    return LIGAND, False
