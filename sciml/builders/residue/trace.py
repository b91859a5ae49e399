"""Helices and strands from CA positions alone, where a file has nothing else."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from sciml.builders.residue.chemistry import AMINO_KIND, SECONDARY
from sciml.builders.residue.geometry import dihedral
from sciml.builders.residue.table import Residues

# Labesse et al. 1997 (CABIOS 13, 291), P-SEA: mean and tolerance of CA(i) to CA(i + 2), + 3, + 4 in Å, of the
# angle at CA(i) and of the torsion CA(i - 1) ... CA(i + 2) in degrees.
HELIX = {"d3": (5.3, 0.5), "d4": (6.4, 0.6), "angle": (89, 12), "torsion": (50, 20)}
STRAND = {"d2": (6.7, 0.6), "d3": (9.9, 0.9), "d4": (12.4, 1.1), "angle": (124, 14), "torsion": (-170, 45)}
HELIX_LENGTH, STRAND_LENGTH, SHORT_STRAND = 5, 4, 3
CONTACT, CONTACTS = (4.2, 5.2), 5  # Å; a strand of three residues needs so many CA at that distance


def psea(residues: Residues) -> Int[np.ndarray, "residues"]:
    """Assign helix (H), strand (E) or loop (-) to amino acids by P-SEA; numbers in `SECONDARY`."""
    result = np.full(len(residues), SECONDARY.index("?"))
    ca, there = residues.position("CA")
    rows = np.flatnonzero(there & (residues.kind == AMINO_KIND))
    if len(rows):
        linked = residues.bonded[rows] & (np.diff(rows, prepend=-1) == 1)
        result[rows] = assign_trace(ca[rows], np.cumsum(~linked))
    return result


def assign_trace(ca: Float[np.ndarray, "n 3"], segment: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """Assign classes to a trace; segments are unbroken pieces of chain."""
    like = _measures(ca, segment)
    fits = lambda kind, *names: np.all([_within(like[name], *kind[name]) for name in names], axis=0)
    helix = fits(HELIX, "d3", "d4") | fits(HELIX, "angle", "torsion")
    strand = fits(STRAND, "d2", "d3", "d4") | fits(STRAND, "angle", "torsion")
    helix = _runs(helix, segment, HELIX_LENGTH)
    short = _runs(strand, segment, SHORT_STRAND)
    strand = _runs(strand, segment, STRAND_LENGTH) | _with_contacts(short, segment, ca)
    helix = _grown(helix, fits(HELIX, "d3") | fits(HELIX, "angle"), segment)
    strand = _grown(strand, fits(STRAND, "d3"), segment)
    states = np.full(len(ca), SECONDARY.index("-"))
    states[helix] = SECONDARY.index("H")
    states[strand] = SECONDARY.index("E")
    return states


# -------------------------------------------------------------------- details


def _measures(ca: Float[np.ndarray, "n 3"], segment: Int[np.ndarray, "n"]) -> dict[str, np.ndarray]:
    """Distances, angle and torsion, written at the second residue of each stretch; NaN across a break."""
    n = len(ca)
    result = {name: np.full(n, np.nan) for name in STRAND}

    def write(name: str, span: int, values: np.ndarray) -> None:
        whole = segment[: n - span] == segment[span:]
        result[name][1 : 1 + len(values)] = np.where(whole, values, np.nan)

    for span in (2, 3, 4):
        if n > span:
            write(f"d{span}", span, np.linalg.norm(ca[span:] - ca[:-span], axis=1))
    if n > 2:
        back, forth = ca[:-2] - ca[1:-1], ca[2:] - ca[1:-1]
        lengths = np.linalg.norm(back, axis=1) * np.linalg.norm(forth, axis=1)
        cosine = (back * forth).sum(1) / np.maximum(lengths, 1e-9)
        write("angle", 2, np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    if n > 3:
        write("torsion", 3, np.degrees(dihedral(ca[:-3], ca[1:-2], ca[2:-1], ca[3:])))
    return result


def _within(values: Float[np.ndarray, "n"], mean: float, tolerance: float) -> Bool[np.ndarray, "n"]:
    apart = np.abs(values - mean)
    return np.minimum(apart, np.abs(apart - 360)) <= tolerance  # angles go round; no distance is that long


def _stretches(mask: Bool[np.ndarray, "n"], segment: Int[np.ndarray, "n"]) -> tuple[np.ndarray, np.ndarray]:
    """First residues of runs within a segment, and those after their last."""
    before = np.zeros(len(mask), dtype=bool)
    before[1:] = mask[:-1] & (segment[1:] == segment[:-1])
    after = np.zeros(len(mask), dtype=bool)
    after[:-1] = mask[1:] & (segment[1:] == segment[:-1])
    return np.flatnonzero(mask & ~before), np.flatnonzero(mask & ~after) + 1


def _runs(mask: Bool[np.ndarray, "n"], segment: Int[np.ndarray, "n"], length: int) -> Bool[np.ndarray, "n"]:
    """Keep runs of at least this length."""
    start, stop = _stretches(mask, segment)
    return _filled(len(mask), start[stop - start >= length], stop[stop - start >= length])


def _filled(n: int, start: np.ndarray, stop: np.ndarray) -> Bool[np.ndarray, "n"]:
    steps = np.bincount(start, minlength=n + 1) - np.bincount(stop, minlength=n + 1)
    return np.cumsum(steps)[:n] > 0


def _with_contacts(
    mask: Bool[np.ndarray, "n"], segment: Int[np.ndarray, "n"], ca: Float[np.ndarray, "n 3"]
) -> Bool[np.ndarray, "n"]:
    """Keep runs that have enough CA around them at the distance of a neighbouring strand."""
    tree, (nearest, farthest) = cKDTree(ca), CONTACT
    count = lambda radius: tree.query_ball_point(ca, radius, return_length=True)
    total = np.concatenate([[0], np.cumsum(np.where(mask, count(farthest) - count(nearest), 0))])
    start, stop = _stretches(mask, segment)
    enough = total[stop] - total[start] >= CONTACTS
    return _filled(len(mask), start[enough], stop[enough])


def _grown(
    mask: Bool[np.ndarray, "n"], also: Bool[np.ndarray, "n"], segment: Int[np.ndarray, "n"]
) -> Bool[np.ndarray, "n"]:
    """Add one residue at each end of a run where it meets the weaker condition."""
    beside = np.zeros(len(mask), dtype=bool)
    same = segment[1:] == segment[:-1]
    beside[1:] |= mask[:-1] & same
    beside[:-1] |= mask[1:] & same
    return mask | (beside & also)
