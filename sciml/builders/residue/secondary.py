"""Secondary structure: DSSP's hydrogen bonds and patterns, and P-SEA's angles for bare CA traces."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from sciml.builders.residue.chemistry import AMINO_KIND, SECONDARY, SLOT, TYPE
from sciml.builders.residue.ladders import strands
from sciml.builders.residue.table import PEPTIDE_BOND, Residues

CODE = {letter: number for number, letter in enumerate(SECONDARY)}
BACKBONE = ("N", "CA", "C", "O")

# Kabsch & Sander 1983 (Biopolymers 22, 2577): E = q1 q2 f (1/ON + 1/CH - 1/OH - 1/CN), in kcal/mol and Å.
COUPLING = 0.42 * 0.20 * 332
BOND_BELOW, LOWEST = -0.5, -9.9
NEAR, CLASH = 9.0, 0.5
FARTHEST = 5.6  # N to O: beyond 5.2 Å no bond is so strong, however straight (ibid.)
BEND = 70.0  # degrees


def dssp(residues: Residues) -> Int[np.ndarray, "residues"]:
    """Assign DSSP's classes (numbers in `SECONDARY`) by hydrogen bonds.

    Follows Kabsch & Sander 1983 as version 4 of the authors' program does: two best bonds for each group,
    ladders with bulges, π-helices before α-helices. Polyproline helices are loops. What lacks one of N,
    CA, C, O, and what is no amino acid, is "?".
    """
    result = np.full(len(residues), CODE["?"])
    index = residues.slot[:, [SLOT[name] for name in BACKBONE]]
    rows = np.flatnonzero((residues.kind == AMINO_KIND) & (index >= 0).all(axis=1))
    if len(rows):
        atoms = residues.atom_pos[index[rows]]  # residues (N CA C O) 3
        chain = residues.chain[rows]
        result[rows] = assign(atoms, chain, residues.type[rows] == TYPE["PRO"])
    return result


def assign(
    atoms: Float[np.ndarray, "n 4 3"], chain: Int[np.ndarray, "n"], proline: Bool[np.ndarray, "n"]
) -> Int[np.ndarray, "n"]:
    """Assign classes to residues whose N, CA, C and O are all there."""
    count = len(atoms)
    joined = np.zeros(count, dtype=bool)  # to the residue before
    gap = np.linalg.norm(atoms[1:, 0] - atoms[:-1, 2], axis=1)
    joined[1:] = (chain[1:] == chain[:-1]) & (gap <= PEPTIDE_BOND)
    segment = np.cumsum(~joined)
    acceptor = hydrogen_bonds(atoms, joined, proline)
    states = np.full(count, CODE["-"])
    strands(acceptor, segment, states, CODE["B"], CODE["E"])
    turns = _helices(acceptor, segment, states)
    free = states == CODE["-"]
    states[free & _bends(atoms[:, 1], segment)] = CODE["S"]
    states[free & turns] = CODE["T"]
    return states


def hydrogen_bonds(
    atoms: Float[np.ndarray, "n 4 3"], joined: Bool[np.ndarray, "n"], proline: Bool[np.ndarray, "n"]
) -> Int[np.ndarray, "n 2"]:
    """Residues to whose C=O the N-H of each residue is bonded, the best first; -1 for none."""
    n, ca, c, o = np.moveaxis(atoms, 1, 0)
    hydrogen = n.copy()  # of the first residue, at N itself
    away = np.roll(c, 1, axis=0) - np.roll(o, 1, axis=0)
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)
    hydrogen[joined] += away[joined]
    donor, taker = _candidates(n, o)
    apart = ca[donor] - ca[taker]
    able = ~proline[donor] & (donor != taker) & (donor != taker + 1)
    able &= np.einsum("ij,ij->i", apart, apart) < NEAR**2
    donor, taker = donor[able], taker[able]
    inverse, clash = np.zeros(len(donor)), np.zeros(len(donor), dtype=bool)
    for start, end, sign in ((n, o, 1), (hydrogen, c, 1), (hydrogen, o, -1), (n, c, -1)):
        apart = start[donor] - end[taker]
        length = np.sqrt(np.einsum("ij,ij->i", apart, apart))
        clash |= length < CLASH
        inverse += sign / np.maximum(length, CLASH)
    energy = np.maximum(np.where(clash, LOWEST, np.round(COUPLING * inverse, 3)), LOWEST)
    bonded = energy < BOND_BELOW
    return _best_two(donor[bonded], taker[bonded], energy[bonded], len(atoms))


def _candidates(
    n: Float[np.ndarray, "n 3"], o: Float[np.ndarray, "n 3"]
) -> tuple[Int[np.ndarray, "pairs"], Int[np.ndarray, "pairs"]]:
    """Donors and acceptors whose N and O are close enough for a bond."""
    trees = (cKDTree(at, balanced_tree=False, compact_nodes=False) for at in (n, o))  # asked but once
    pairs = next(trees).sparse_distance_matrix(next(trees), FARTHEST, output_type="ndarray")
    return pairs["i"], pairs["j"]


def _best_two(
    donor: Int[np.ndarray, "bonds"],
    taker: Int[np.ndarray, "bonds"],
    energy: Float[np.ndarray, "bonds"],
    n: int,
) -> Int[np.ndarray, "n 2"]:
    order = np.lexsort((taker, energy, donor))
    donor, taker = donor[order], taker[order]
    start = np.searchsorted(donor, np.arange(n))
    rank = np.arange(len(donor)) - start[donor]
    result = np.full((n, 2), -1)
    best = rank < 2
    result[donor[best], rank[best]] = taker[best]
    return result


def _helices(
    acceptor: Int[np.ndarray, "n 2"], segment: Int[np.ndarray, "n"], states: Int[np.ndarray, "n"]
) -> Bool[np.ndarray, "n"]:
    """Write G, H and I into the states; return where turns are."""
    n = len(segment)
    turns, starts = np.zeros(n, dtype=bool), {}
    for stride in (3, 4, 5):
        first = np.arange(max(0, n - stride))
        bond = (acceptor[first + stride] == first[:, None]).any(1) & (
            segment[first] == segment[first + stride]
        )
        starts[stride] = np.append(bond, np.zeros(n - len(first), dtype=bool))
        for k in range(1, stride):
            turns[k:] |= starts[stride][: max(0, n - k)]
    helix = np.zeros(n, dtype=bool)
    for at in _twice(starts[4]):
        helix[at : at + 4] = True
    states[helix] = CODE["H"]
    for stride, letter, over in ((3, "G", ("-", "G")), (5, "I", ("-", "I", "H"))):
        free = [CODE[name] for name in over]
        for at in _twice(starts[stride]):
            if np.isin(states[at : at + stride], free).all():
                states[at : at + stride] = CODE[letter]
    return turns


def _twice(starts: Bool[np.ndarray, "n"]) -> Int[np.ndarray, "helices"]:
    """Where a turn starts at this residue and at the one before."""
    return np.flatnonzero(starts[1:] & starts[:-1]) + 1


def _bends(ca: Float[np.ndarray, "n 3"], segment: Int[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
    """Where the chain turns by more than 70° over five residues."""
    result = np.zeros(len(ca), dtype=bool)
    if len(ca) < 5:
        return result
    before, after = ca[2:-2] - ca[:-4], ca[4:] - ca[2:-2]
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    cosine = (before * after).sum(1) / np.maximum(lengths, 1e-9)
    result[2:-2] = (segment[4:] == segment[:-4]) & (cosine < np.cos(np.radians(BEND)))
    return result
