"""Alternate locations and alternate residues: one conformer per place of the chain."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

from sciml.builders.residue.atoms import Atoms
from sciml.builders.residue.rules import Report


def choose(
    atoms: Atoms,
    site: Int[np.ndarray, "atoms"],
    residue: Int[np.ndarray, "atoms"],
    heavy: Bool[np.ndarray, "atoms"],
    rule: str,
    report: Report,
) -> Bool[np.ndarray, "atoms"]:
    """Return which atoms stay, see `Rules.altloc`; the others are counted in the report.

    A conformer is what has one residue name and one label of alternate location at one place of the chain.
    """
    keep = np.ones(len(site), dtype=bool)
    first_residue = np.full(site[-1] + 1, residue[-1] + 1)
    np.minimum.at(first_residue, site, residue)
    alternate = (atoms.altloc != 0) | (residue != first_residue[site])
    affected = np.bincount(site[alternate], minlength=site[-1] + 1) > 0
    rows = np.flatnonzero(affected[site] & heavy)
    if not len(rows):
        return keep
    best = _best_conformers(atoms, site[rows], residue[rows], rows, rule)  # residue and label of each site
    chosen_residue, chosen_label = (column[site[rows]] for column in best)
    same = residue[rows] == chosen_residue
    label = atoms.altloc[rows]
    # Of the locations of one atom: the chosen conformer's, then the most occupied, then the first.
    wrong = (label != 0) & (label != chosen_label)
    occupancy = atoms.occupancy[rows] if rule == "occupancy" else np.zeros(len(rows))
    order = np.lexsort((np.arange(len(rows)), -occupancy, wrong, atoms.name[rows], residue[rows]))
    sorted_residue, sorted_name = residue[rows][order], atoms.name[rows][order]
    repeated = np.zeros(len(rows), dtype=bool)
    repeated[1:] = (sorted_residue[1:] == sorted_residue[:-1]) & (sorted_name[1:] == sorted_name[:-1])
    stays = np.empty(len(rows), dtype=bool)
    stays[order] = ~repeated
    keep[rows] = stays & same
    report.leave_out("alternate locations", 0, (same & ~stays).sum())
    lost = len(np.unique(residue[rows][~same]))
    report.leave_out("alternate residues at one place", lost, (~same).sum())
    return keep


def repeated(name: Int[np.ndarray, "atoms"], residue: Int[np.ndarray, "atoms"]) -> Bool[np.ndarray, "atoms"]:
    """Atoms whose name is there before in the same residue, as where labels of alternates were lost."""
    mixed = name ^ (residue * np.int64(0x9E3779B97F4A7C1))  # seldom the same for two different atoms
    in_order = np.sort(mixed)
    if not (in_order[1:] == in_order[:-1]).any():
        return np.zeros(len(name), dtype=bool)
    order = np.lexsort((np.arange(len(name)), name, residue))
    again = np.zeros(len(name), dtype=bool)
    same = (name[order][1:] == name[order][:-1]) & (residue[order][1:] == residue[order][:-1])
    again[order[1:]] = same
    return again


def _best_conformers(
    atoms: Atoms,
    site: Int[np.ndarray, "rows"],
    residue: Int[np.ndarray, "rows"],
    rows: Int[np.ndarray, "rows"],
    rule: str,
) -> tuple[np.ndarray, np.ndarray]:
    """For each site, number of the residue and label of its best conformer."""
    label = atoms.altloc[rows].astype(np.int64)
    conformer, first, which = np.unique(residue * 256 + label, return_index=True, return_inverse=True)
    occupancy = np.bincount(which, atoms.occupancy[rows]) / np.bincount(which)
    # Atoms without a label belong to every conformer of their residue and are none by themselves, unless
    # their residue has no others.
    several = np.bincount(residue[first], minlength=residue.max() + 1)[conformer // 256] > 1
    shared = several & (conformer % 256 == 0)
    score = np.round(occupancy, 4) if rule == "occupancy" else np.zeros(len(conformer))
    order = np.lexsort((first, -score, shared, site[first]))
    winner = order[np.diff(site[first][order], prepend=-1) != 0]
    chosen_residue, chosen_label = np.full((2, site.max() + 1), -1)
    chosen_residue[site[first][winner]] = conformer[winner] // 256
    chosen_label[site[first][winner]] = conformer[winner] % 256
    return chosen_residue, chosen_label
