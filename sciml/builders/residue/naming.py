"""From a residue's name to its type."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from sciml.builders.residue.chemistry import (
    LETTERS,
    LIGAND,
    NUCLEIC,
    TYPE,
    UNKNOWN_AMINO,
    UNKNOWN_NUCLEIC,
    WATER,
)

_PARENTS = {"SEC": "CYS", "PYL": "LYS", "T": "DT"}  # standard names without a type of their own
_AMINO_LETTERS = LETTERS[: UNKNOWN_AMINO + 1]


def identify(name: str, parents: Mapping[str, str]) -> tuple[int, bool]:
    """Return the type of a residue name, and whether the name is a modification of it.

    A modified residue has the type of its parent: that of the file's own table (MODRES, or
    pdbx_struct_mod_residue), then that of gemmi's table of residues. A name that neither knows is taken
    for a ligand; where the file puts it into a polymer, its atoms decide (`table.tabulate`).
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
