"""Atoms to residues: which atoms stand for one residue, what it is, and which of them it keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from sciml.builders.residue.alternatives import choose, repeated
from sciml.builders.residue.atoms import POLYMER, Atoms
from sciml.builders.residue.chemistry import (
    ALIASES,
    ION,
    LIGAND,
    SLOT,
    SLOTS,
    UNKNOWN_AMINO,
    UNKNOWN_NUCLEIC,
    WATER,
    pack,
    unpack,
)
from sciml.builders.residue.naming import identify
from sciml.builders.residue.rules import Report, Rules

PEPTIDE_BOND = 2.5  # Å, longest C-N (and O3'-P) of bonded residues, as in DSSP
TRACE_BOND = 4.5  # Å, longest CA-CA where the atoms of the bond are not there
HYDROGENS = (1, 119)  # gemmi's numbers of H and D

AMINO_KIND, NUCLEIC_KIND, OTHER_KIND = 0, 1, 2


@dataclass(frozen=True)
class Residues:
    """The residues of one model that become nodes, as arrays, with the heavy atoms that they keep.

    Names are integers of 8 characters each (`unpack` of `chemistry` reads them).

    Attributes:
        source, model, title, predicted: of the file; ``predicted`` where B-factors are pLDDT.
        name: as in the file (MSE, not MET).
        type: number in `TYPES`.
        modified: whether the name is not the type's own.
        kind: 0 amino acid, 1 nucleotide, 2 neither.
        chain: number of the chain, in the order of the file; ``chain_name`` its name.
        number, insertion: of the author; insertion is the ASCII code, 0 for none.
        place: along the chain from 0, counting residues and, at breaks, by the author's numbers; 0 for
            what is not a polymer.
        bonded: to the residue before it.
        slot: row in the arrays of atoms for each of `SLOTS`; -1 where it is missing.
        atom_pos, atom_name, atom_element, atom_b, atom_residue: of the heavy atoms, in Å and Å².
        report: what was left out, and why.
    """

    source: str
    model: int
    title: str
    predicted: bool
    name: Int[np.ndarray, "residues"]
    type: Int[np.ndarray, "residues"]
    modified: Bool[np.ndarray, "residues"]
    kind: Int[np.ndarray, "residues"]
    chain: Int[np.ndarray, "residues"]
    chain_name: Int[np.ndarray, "residues"]
    number: Int[np.ndarray, "residues"]
    insertion: Int[np.ndarray, "residues"]
    place: Int[np.ndarray, "residues"]
    bonded: Bool[np.ndarray, "residues"]
    slot: Int[np.ndarray, "residues slots"]
    atom_pos: Float[np.ndarray, "atoms 3"]
    atom_name: Int[np.ndarray, "atoms"]
    atom_element: Int[np.ndarray, "atoms"]
    atom_b: Float[np.ndarray, "atoms"]
    atom_residue: Int[np.ndarray, "atoms"]
    report: Report

    def __len__(self) -> int:
        return len(self.type)

    def slot_of(self, name: str) -> Int[np.ndarray, "residues"]:
        """Row of the atom of this name of each residue; -1 where it is missing."""
        return self.slot[:, SLOT[name]]

    def position(self, name: str) -> tuple[Float[np.ndarray, "residues 3"], Bool[np.ndarray, "residues"]]:
        """Positions of the atom of this name, and where it is; zero where it is not."""
        index = self.slot_of(name)
        there = index >= 0
        return np.where(there[:, None], self.atom_pos[index], 0.0), there


def tabulate(atoms: Atoms, rules: Rules) -> Residues:
    """Apply the rules to the atoms of one model."""
    report = Report(atoms.source, atoms=len(atoms.pos))
    report.models_left_out = 0 if rules.model == "all" else atoms.models - 1
    site, residue = _segments(atoms)
    first = np.flatnonzero(np.diff(residue, prepend=-1))
    report.residues = len(first)
    keep = np.isin(atoms.element, HYDROGENS, invert=True)
    report.leave_out("hydrogens", 0, len(keep) - keep.sum())
    keep &= choose(atoms, site, residue, keep, rules.altloc, report)
    kept = np.flatnonzero(keep)
    again = kept[repeated(atoms.name[kept], residue[kept])]
    keep[again] = False
    report.leave_out("repeated atoms", 0, len(again))

    slots = _slot_of(atoms.name)
    has = lambda name: np.bincount(residue[keep & (slots == SLOT[name])], minlength=len(first)) > 0
    heavy = np.bincount(residue[keep], minlength=len(first))
    names, which = np.unique(atoms.residue_name[first], return_inverse=True)
    of_name, parent_of = np.array([identify(unpack(n), atoms.parents) for n in names]).reshape(-1, 2).T
    type_, modified = of_name[which], parent_of[which].astype(bool)
    standard = (type_ < LIGAND) & ~modified & (type_ != UNKNOWN_AMINO) & (type_ != UNKNOWN_NUCLEIC)
    polymer = (atoms.entity[first] == POLYMER) | (standard & (atoms.het[first] == ord("A")))
    anonymous = polymer & (type_ >= LIGAND)
    type_ = np.where(anonymous & has("CA"), UNKNOWN_AMINO, type_)
    type_ = np.where(anonymous & ~has("CA") & has("C1'"), UNKNOWN_NUCLEIC, type_)
    other = (type_ >= LIGAND) | ~polymer
    type_ = np.where(other & (type_ != WATER), np.where(heavy == 1, ION, LIGAND), type_)
    modified &= ~other
    kind = np.where(other, OTHER_KIND, np.where(type_ <= UNKNOWN_AMINO, AMINO_KIND, NUCLEIC_KIND))
    if rules.modified == "unknown":
        type_ = np.where(modified, np.where(kind == AMINO_KIND, UNKNOWN_AMINO, UNKNOWN_NUCLEIC), type_)

    anchored = np.where(kind == AMINO_KIND, has("CA"), (kind == OTHER_KIND) | has("C1'"))
    chosen = heavy > 0
    reasons = {
        "waters": (type_ == WATER) & (rules.waters == "drop"),
        "ions": (type_ == ION) & (rules.ions == "drop"),
        "ligands": (type_ == LIGAND) & (rules.ligands == "drop"),
        "nucleotides": (kind == NUCLEIC_KIND) & (rules.nucleic == "drop"),
        "modified residues": modified & (rules.modified == "drop"),
        "residues without CA or C1'": ~anchored & (rules.unplaced == "drop"),
    }
    for reason, out in reasons.items():
        out = out & chosen
        report.leave_out(reason, out.sum(), heavy[out].sum())
        chosen &= ~out
    keep &= chosen[residue]
    rows = first[chosen]
    number_of = np.cumsum(chosen) - 1
    kept = np.flatnonzero(keep)
    atom_residue = number_of[residue[kept]]
    slot = _slot_table(slots[kept], atom_residue, kind[chosen])
    chain_names, chain = _in_order(atoms.chain[rows])
    insertion = atoms.insertion[rows]
    pos = atoms.pos[kept]
    table = {
        "name": atoms.residue_name[rows],
        "type": type_[chosen],
        "modified": modified[chosen],
        "kind": kind[chosen],
        "chain": chain,
        "chain_name": chain_names[chain],
        "number": atoms.number[rows],
        "insertion": np.where(insertion == ord(" "), 0, insertion).astype(np.int64),
    }
    bonded = _bonded(pos, slot, table["kind"], chain)
    place = _places(bonded, chain, table["number"], table["kind"])
    report.kept_atoms, report.kept_residues = len(kept), len(rows)
    _note(report, table, slot, bonded, anchored[chosen], atoms.expected)
    return Residues(
        source=atoms.source,
        model=atoms.model,
        title=atoms.title,
        predicted=atoms.predicted,
        **table,
        place=place,
        bonded=bonded,
        slot=slot,
        atom_pos=pos,
        atom_name=atoms.name[kept],
        atom_element=atoms.element[kept],
        atom_b=atoms.b_factor[kept],
        atom_residue=atom_residue,
        report=report,
    )


# -------------------------------------------------------------------- details


def _segments(atoms: Atoms) -> tuple[Int[np.ndarray, "atoms"], Int[np.ndarray, "atoms"]]:
    """Number the places of the chain, and the residues: two at one place where names alternate."""
    changed = lambda *columns: np.any([np.diff(c, prepend=c[:1]) != 0 for c in columns], axis=0)
    new_site = changed(atoms.chain, atoms.subchain, atoms.number, atoms.insertion.astype(np.int64))
    new_residue = new_site | changed(atoms.residue_name)
    return np.cumsum(new_site), np.cumsum(new_residue)


_CODES = np.array([pack(name) for name in (*SLOTS, *ALIASES)])
_ORDER = np.argsort(_CODES)
_SORTED = _CODES[_ORDER]
_SLOT_OF_SORTED = np.array([*range(len(SLOTS)), *(SLOT[name] for name in ALIASES.values())])[_ORDER]


def _slot_of(names: Int[np.ndarray, "atoms"]) -> Int[np.ndarray, "atoms"]:
    """Slot of each atom; -1 for atoms that no feature asks for by name."""
    at = np.minimum(np.searchsorted(_SORTED, names), len(_SORTED) - 1)
    return np.where(_SORTED[at] == names, _SLOT_OF_SORTED[at], -1)


def _slot_table(
    slots: Int[np.ndarray, "atoms"], residue: Int[np.ndarray, "atoms"], kind: Int[np.ndarray, "residues"]
) -> Int[np.ndarray, "residues slots"]:
    table = np.full((len(kind), len(SLOTS)), -1)
    named = np.flatnonzero((slots >= 0) & (kind[residue] != OTHER_KIND))[::-1]  # of doubles the first stays
    table[residue[named], slots[named]] = named
    return table


def _in_order(codes: Int[np.ndarray, "rows"]) -> tuple[np.ndarray, np.ndarray]:
    """Distinct codes in the order in which they appear, and the number of each row's."""
    unique, where, which = np.unique(codes, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(where))
    return unique[np.argsort(where)], rank[which].astype(np.int64)


def _bonded(
    pos: Float[np.ndarray, "atoms 3"],
    slot: Int[np.ndarray, "residues slots"],
    kind: Int[np.ndarray, "residues"],
    chain: Int[np.ndarray, "residues"],
) -> Bool[np.ndarray, "residues"]:
    """Whether each residue is bonded to the one before it, judged by distance."""
    result = np.zeros(len(slot), dtype=bool)
    if len(slot) < 2:
        return result
    pairs = (kind[1:] == kind[:-1]) & (chain[1:] == chain[:-1]) & (kind[1:] != OTHER_KIND)

    def near(before: str, after: str, limit: float) -> tuple[np.ndarray, np.ndarray]:
        i, j = slot[:-1, SLOT[before]], slot[1:, SLOT[after]]
        return (i >= 0) & (j >= 0), np.linalg.norm(pos[i] - pos[j], axis=1) < limit

    known, peptide = near("C", "N", PEPTIDE_BOND)
    traced, trace = near("CA", "CA", TRACE_BOND)
    linked, link = near("O3'", "P", PEPTIDE_BOND)
    amino = np.where(known, peptide, traced & trace)
    result[1:] = pairs & np.where(kind[1:] == AMINO_KIND, amino, linked & link)
    return result


def _places(
    bonded: Bool[np.ndarray, "residues"],
    chain: Int[np.ndarray, "residues"],
    number: Int[np.ndarray, "residues"],
    kind: Int[np.ndarray, "residues"],
) -> Int[np.ndarray, "residues"]:
    """Place along the chain: one step to a bonded residue; at a break, what the numbers say, if anything."""
    if not len(bonded):
        return np.zeros(0, dtype=np.int64)
    step = np.where(bonded, 1, np.maximum(1, np.diff(number, prepend=number[0])))
    total = np.cumsum(step)
    start = np.flatnonzero(np.diff(chain, prepend=-1))
    place = total - np.repeat(total[start], np.diff([*start, len(chain)]))
    return np.where(kind == OTHER_KIND, 0, place)


def _note(
    report: Report,
    table: dict[str, np.ndarray],
    slot: Int[np.ndarray, "residues slots"],
    bonded: Bool[np.ndarray, "residues"],
    anchored: Bool[np.ndarray, "residues"],
    expected: int | None,
) -> None:
    kind, amino = table["kind"], table["kind"] == AMINO_KIND
    backbone = (slot[:, [SLOT[a] for a in ("N", "CA", "C", "O")]] >= 0).all(axis=1)
    polymer = kind != OTHER_KIND
    start = np.diff(table["chain"], prepend=-1) != 0
    report.note("modified residues", table["modified"].sum())
    report.note("residues of unknown type", np.isin(table["type"], (UNKNOWN_AMINO, UNKNOWN_NUCLEIC)).sum())
    report.note("residues at their centroid for want of CA or C1'", (~anchored).sum())
    report.note("amino acids that lack a backbone atom", (amino & ~backbone).sum())
    report.note("insertion codes", (table["insertion"] > 0).sum())
    report.note("breaks in a chain", (polymer & ~bonded & ~start).sum())
    if expected is not None:
        report.note("residues of the sequence without coordinates", max(0, expected - int(polymer.sum())))
