"""Atoms to residues: which atoms stand for one residue, what it is, and which of them it keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from sciml.builders.residue.alternatives import choose, repeated
from sciml.builders.residue.atoms import Atoms
from sciml.builders.residue.chemistry import (
    ALIASES,
    AMINO_KIND,
    ION,
    LIGAND,
    NUCLEIC_KIND,
    OTHER_KIND,
    SLOT,
    SLOTS,
    UNKNOWN_AMINO,
    UNKNOWN_NUCLEIC,
    WATER,
    pack,
)
from sciml.builders.residue.naming import Classes, classify
from sciml.builders.residue.rules import Report, Rules

PEPTIDE_BOND = 2.5  # Å, longest C-N (and O3'-P) of bonded residues, as in DSSP
TRACE_BOND = 4.5  # Å, longest CA-CA where the atoms of the bond are not there
HYDROGENS = (1, 119)  # gemmi's numbers of H and D


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
    keep = _one_of_each(atoms, site, residue, rules, report)
    slots = _slot_of(atoms.name)
    names_there = np.zeros((len(first), len(SLOTS)), dtype=bool)
    named = keep & (slots >= 0)
    names_there[residue[named], slots[named]] = True
    heavy = np.bincount(residue[keep], minlength=len(first))
    classes = classify(atoms, first, heavy, names_there, rules)
    chosen = _wanted(classes, heavy, rules, report)
    rows, kept = first[chosen], np.flatnonzero(keep & chosen[residue])
    owner = (np.cumsum(chosen) - 1)[residue[kept]]
    slot = _slot_table(slots[kept], owner, classes.kind[chosen])
    chain_names, chain = _in_order(atoms.chain[rows])
    insertion = atoms.insertion[rows]
    pos, kind, number = atoms.pos[kept], classes.kind[chosen], atoms.number[rows]
    bonded = _bonded(pos, slot, kind, chain)
    report.kept_atoms, report.kept_residues = len(kept), len(rows)
    residues = Residues(
        source=atoms.source,
        model=atoms.model,
        title=atoms.title,
        predicted=atoms.predicted,
        name=atoms.residue_name[rows],
        type=classes.type[chosen],
        modified=classes.modified[chosen],
        kind=kind,
        chain=chain,
        chain_name=chain_names[chain],
        number=number,
        insertion=np.where(insertion == ord(" "), 0, insertion).astype(np.int64),
        place=_places(bonded, chain, number, kind),
        bonded=bonded,
        slot=slot,
        atom_pos=pos,
        atom_name=atoms.name[kept],
        atom_element=atoms.element[kept],
        atom_b=atoms.b_factor[kept],
        atom_residue=owner,
        report=report,
    )
    _note(residues, classes.anchored[chosen], atoms.expected)
    return residues


# -------------------------------------------------------------------- details


def _segments(atoms: Atoms) -> tuple[Int[np.ndarray, "atoms"], Int[np.ndarray, "atoms"]]:
    """Number the places of the chain, and the residues: two at one place where names alternate."""
    changed = lambda *columns: np.any([np.diff(c, prepend=c[:1]) != 0 for c in columns], axis=0)
    new_site = changed(atoms.chain, atoms.subchain, atoms.number, atoms.insertion.astype(np.int64))
    new_residue = new_site | changed(atoms.residue_name)
    return np.cumsum(new_site), np.cumsum(new_residue)


def _one_of_each(
    atoms: Atoms,
    site: Int[np.ndarray, "atoms"],
    residue: Int[np.ndarray, "atoms"],
    rules: Rules,
    report: Report,
) -> Bool[np.ndarray, "atoms"]:
    """Heavy atoms, of alternates one, and of atoms named twice the first."""
    keep = np.isin(atoms.element, HYDROGENS, invert=True)
    report.leave_out("hydrogens", 0, len(keep) - keep.sum())
    keep &= choose(atoms, site, residue, keep, rules.altloc, report)
    kept = np.flatnonzero(keep)
    again = kept[repeated(atoms.name[kept], residue[kept])]
    keep[again] = False
    report.leave_out("repeated atoms", 0, len(again))
    return keep


def _wanted(
    classes: Classes, heavy: Int[np.ndarray, "residues"], rules: Rules, report: Report
) -> Bool[np.ndarray, "residues"]:
    """Which residues the rules keep; the others are counted under the first reason that they have."""
    kind, type_ = classes.kind, classes.type
    chosen = heavy > 0
    empty = len(chosen) - chosen.sum() - report.left_out_residues.total()  # alternates are counted already
    report.leave_out("residues of hydrogens alone", empty, 0)
    reasons = {
        "waters": (type_ == WATER) & (rules.waters == "drop"),
        "ions": (type_ == ION) & (rules.ions == "drop"),
        "ligands": (type_ == LIGAND) & (rules.ligands == "drop"),
        "nucleotides": (kind == NUCLEIC_KIND) & (rules.nucleic == "drop"),
        "modified residues": classes.modified & (rules.modified == "drop"),
        "residues without CA or C1'": ~classes.anchored & (rules.unplaced == "drop"),
    }
    for reason, out in reasons.items():
        out = out & chosen
        report.leave_out(reason, out.sum(), heavy[out].sum())
        chosen &= ~out
    return chosen


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


def _note(residues: Residues, anchored: Bool[np.ndarray, "residues"], expected: int | None) -> None:
    """Count what is kept, but is not as in a textbook."""
    report, kind = residues.report, residues.kind
    backbone = (residues.slot[:, [SLOT[a] for a in ("N", "CA", "C", "O")]] >= 0).all(axis=1)
    polymer = kind != OTHER_KIND
    start = np.diff(residues.chain, prepend=-1) != 0
    unknown = np.isin(residues.type, (UNKNOWN_AMINO, UNKNOWN_NUCLEIC))
    report.note("modified residues", residues.modified.sum())
    report.note("residues of unknown type", unknown.sum())
    report.note("residues at their centroid for want of CA or C1'", (~anchored).sum())
    report.note("amino acids that lack a backbone atom", ((kind == AMINO_KIND) & ~backbone).sum())
    report.note("insertion codes", (residues.insertion > 0).sum())
    report.note("breaks in a chain", (polymer & ~residues.bonded & ~start).sum())
    if expected is not None:
        report.note("residues of the sequence without coordinates", max(0, expected - int(polymer.sum())))
