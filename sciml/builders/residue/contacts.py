"""Edges between residues: contacts within a cutoff, nearest ones, and neighbours along the chain."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from sciml.builders.residue.chemistry import NUCLEIC_KIND, OTHER_KIND, pack
from sciml.builders.residue.geometry import anchors, beta, centroids
from sciml.builders.residue.table import Residues

CONTACTS = ("ca", "cb", "heavy", "centroid")
KINDS = ("contact", "nearest", "sequence")
_BACKBONE = np.array([pack(name) for name in ("N", "CA", "C", "O", "OXT")])


class Edges(NamedTuple):
    """Directed edges sorted by receiver, then sender, each at most once."""

    sender: Int[np.ndarray, "edges"]
    receiver: Int[np.ndarray, "edges"]
    kinds: Bool[np.ndarray, "edges 3"]
    distance: Float[np.ndarray, "edges"]


def find_edges(residues: Residues, contact: str, cutoff: float | None, k: int | None, sequence: int) -> Edges:
    """Find all edges; see `residue_graph` for what the options mean."""
    points = None if contact == "heavy" else contact_points(residues, contact)
    found = [
        _within(residues, points, cutoff) if cutoff is not None else _none(),
        _nearest(residues, points, k) if k else _none(),
        _along(residues, sequence) if sequence else _none(),
    ]
    count = len(residues)
    key = np.concatenate([receiver * count + sender for sender, receiver in found])
    kind = np.repeat(np.arange(len(KINDS)), [len(sender) for sender, _ in found])
    unique, which = np.unique(key, return_inverse=True)
    kinds = np.zeros((len(unique), len(KINDS)), dtype=bool)
    kinds[which, kind] = True
    receiver, sender = np.divmod(unique, max(count, 1))
    if points is None:
        distance = closest_atoms(residues, sender, receiver)
    else:
        distance = np.linalg.norm(points[receiver] - points[sender], axis=1)
    return Edges(sender, receiver, kinds, distance)


def contact_points(residues: Residues, contact: str) -> Float[np.ndarray, "residues 3"]:
    """Points whose distances decide: CA (or what stands for it), Cβ, or the side chain's centroid."""
    if contact == "ca":
        return anchors(residues)
    if contact == "cb":
        return beta(residues)[0]
    side = np.isin(residues.atom_name, _BACKBONE, invert=True)
    side |= residues.kind[residues.atom_residue] >= NUCLEIC_KIND
    there = np.bincount(residues.atom_residue[side], minlength=len(residues)) > 0
    return np.where(there[:, None], centroids(residues, np.flatnonzero(side)), anchors(residues))


def closest_atoms(
    residues: Residues, sender: Int[np.ndarray, "edges"], receiver: Int[np.ndarray, "edges"]
) -> Float[np.ndarray, "edges"]:
    """Smallest distance of heavy atoms of two residues, in Å, a block of edges at a time."""
    counts = np.bincount(residues.atom_residue, minlength=len(residues))
    first = np.cumsum(counts) - counts
    result = np.empty(len(sender))
    block = 20_000
    for start in range(0, len(sender), block):
        i, j = receiver[start : start + block], sender[start : start + block]
        number = counts[i] * counts[j]
        edge = np.repeat(np.arange(len(i)), number)
        begin = np.cumsum(number) - number
        pair = np.arange(len(edge)) - begin[edge]
        a, b = np.divmod(pair, counts[j][edge])
        apart = residues.atom_pos[first[i][edge] + a] - residues.atom_pos[first[j][edge] + b]
        result[start : start + block] = np.minimum.reduceat(np.einsum("ij,ij->i", apart, apart), begin)
    return np.sqrt(result)


# -------------------------------------------------------------------- details

Pairs = tuple[np.ndarray, np.ndarray]


def _none() -> Pairs:
    return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)


def _both_ways(i: Int[np.ndarray, "pairs"], j: Int[np.ndarray, "pairs"]) -> Pairs:
    return np.concatenate([i, j]), np.concatenate([j, i])


def _within(residues: Residues, points: Float[np.ndarray, "residues 3"] | None, cutoff: float) -> Pairs:
    """Pairs of residues, the cutoff included."""
    if points is not None:
        return _both_ways(*cKDTree(points).query_pairs(cutoff, output_type="ndarray").T)
    pairs = cKDTree(residues.atom_pos).query_pairs(cutoff, output_type="ndarray")
    i, j = residues.atom_residue[pairs].T
    apart = i != j
    low, high = np.minimum(i, j)[apart], np.maximum(i, j)[apart]
    return _both_ways(*np.divmod(np.unique(low * len(residues) + high), len(residues)))


def _nearest(residues: Residues, points: Float[np.ndarray, "residues 3"] | None, k: int) -> Pairs:
    """The k nearest senders of each residue (all others, where there are fewer)."""
    points = contact_points(residues, "cb") if points is None else points
    k = min(k, len(points) - 1)
    if k < 1:
        return _none()
    neighbours = np.asarray(cKDTree(points).query(points, k=k + 1)[1])
    own = neighbours == np.arange(len(points))[:, None]
    own[:, -1] |= ~own.any(axis=1)  # k or more others at the very same place
    return neighbours[~own].astype(np.int64), np.repeat(np.arange(len(points)), k)


def _along(residues: Residues, steps: int) -> Pairs:
    """Residues up to so many bonds apart, with no break between."""
    polymer = residues.kind != OTHER_KIND
    segment = np.cumsum(~residues.bonded)
    parts = []
    for step in range(1, min(steps, len(residues) - 1) + 1):
        i = np.flatnonzero((segment[step:] == segment[:-step]) & polymer[step:])
        parts.append((i, i + step))
    if not parts:
        return _none()
    return _both_ways(*(np.concatenate(side) for side in zip(*parts)))
