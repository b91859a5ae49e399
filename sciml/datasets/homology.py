"""Which chains are relatives? Sequence identity by alignment, and families that a split must not divide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

LETTERS = "ARNDCQEGHILKMFPSTWYVX"
# Henikoff & Henikoff 1992 (PNAS 89, 10915), BLOSUM62 in half bits, lower triangle in the order of LETTERS;
# an unknown residue (X) costs one against everything.
_TRIANGLE = """
 4
-1  5
-2  0  6
-2 -2  1  6
 0 -3 -3 -3  9
-1  1  0  0 -3  5
-1  0  0  2 -4  2  5
 0 -2  0 -1 -3 -2 -2  6
-2  0  1 -1 -3  0  0 -2  8
-1 -3 -3 -3 -1 -3 -3 -4 -3  4
-1 -2 -3 -4 -1 -2 -3 -4 -3  2  4
-1  2  0 -1 -3  1  1 -2 -1 -3 -2  5
-1 -1 -2 -3 -1  0 -2 -3 -2  1  2 -1  5
-2 -3 -3 -3 -2 -3 -3 -3 -1  0  0 -3  0  6
-1 -2 -2 -1 -3 -1 -1 -2 -2 -3 -3 -1 -2 -4  7
 1 -1  1  0 -1  0  0  0 -1 -2 -2  0 -1 -2 -1  4
 0 -1  0 -1 -1 -1 -1 -2 -2 -1 -1 -1 -1 -2 -1  1  5
-3 -3 -4 -4 -2 -2 -3 -2 -2 -3 -2 -3 -1  1 -4 -3 -2 11
-2 -2 -2 -3 -2 -1 -2 -3  2 -1 -1 -2 -1  3 -3 -2 -2  2  7
 0 -3 -3 -3 -1 -2 -2 -3 -3  3  1 -2  1 -1 -2 -2  0 -3 -1  4
-1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1
"""
GAP_OPEN, GAP_EXTEND = 11, 1  # of the first residue in a gap, and of each further one
SHORTEST = 12  # residues; shorter chains say nothing of kinship and are relatives of nobody by themselves
MANY = 1500  # chains from which on only pairs that share enough triplets are aligned
BLOCK = 128  # sequences aligned at once
_SCALE = 1 << 13  # scores count in units of this, and the matches along the path below it
_NEVER = np.int32(-(1 << 29))


def blosum62() -> Int[np.ndarray, "21 21"]:
    """Return the substitution matrix in the order of `LETTERS`."""
    result = np.zeros((len(LETTERS), len(LETTERS)), dtype=np.int64)
    for i, row in enumerate(_TRIANGLE.split("\n")[1:-1]):
        values = [int(value) for value in row.split()]
        result[i, : i + 1] = result[: i + 1, i] = values
    return result


def identities(query: str, targets: Sequence[str]) -> Float[np.ndarray, "targets"]:
    """Return the share of the shorter sequence's residues that are identical in the best alignment of each.

    Global alignment with free ends (Needleman & Wunsch 1970, affine gaps by Gotoh 1982) under BLOSUM62;
    of equally good alignments the one with the most identical residues. Many targets are aligned at once, a
    residue of the query at a time; the number of identical residues rides along in the low bits of the score,
    so that no path has to be traced back. Sequences of up to 8,000 residues.
    """
    result = np.zeros(len(targets))
    order = np.argsort([len(t) for t in targets], kind="stable")  # of like length, to pad little
    for chosen in np.array_split(order, max(1, -(-len(order) // BLOCK))):
        result[chosen] = _aligned(query, [targets[int(k)] for k in chosen])
    return result


def limit(length: Int[np.ndarray, "pairs"], threshold: float) -> Float[np.ndarray, "pairs"]:
    """Return the identity above which two sequences, the shorter of this length, are taken for relatives.

    The threshold, and for short sequences, which agree by chance more often, what Rost's curve asks:
    4.8 L^(−0.32 (1 + exp(−L/1000))), Rost 1999 (Protein Eng. 12, 85), equation 2, at its n = 0.
    """
    length = np.maximum(length, 1).astype(float)
    rost = 4.8 * length ** (-0.32 * (1 + np.exp(-length / 1000)))
    return np.clip(np.maximum(threshold, np.where(length < 80, rost, 0.0)), None, 1.0)


def families(structures: Sequence[Sequence[str]], threshold: float = 0.3) -> Int[np.ndarray, "structures"]:
    """Number the families of structures, given the sequences of the chains of each.

    Two structures are of one family if any of their chains are relatives (`identities` above `limit`), and
    families are closed: relatives of relatives belong to it. So no chain of one family has a relative in
    another, whatever the order, which greedy clustering does not promise.

    Nucleic chains, in small letters, are not looked at. Up to `MANY` different sequences all pairs are
    aligned; beyond, those that share more triplets of residues than chance would have it, a filter that may
    miss remote relatives.

    Raises:
        ValueError: a threshold that is no share.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}; expected an identity above 0 and at most 1, as 0.3.")
    chains = [[_clean(chain) for chain in one if not chain.islower()] for one in structures]
    # short chains tell nothing, unless a structure has no other: then at least equal ones are of one family
    telling = [[s for s in one if len(s) >= SHORTEST] or one for one in chains]
    distinct = sorted({s for one in telling for s in one}, key=lambda s: (len(s), s))
    position = {s: len(structures) + i for i, s in enumerate(distinct)}
    links = _relatives([s for s in distinct if len(s) >= SHORTEST], threshold)
    edges = [(position[a], position[b]) for a, b in links]
    edges += [(number, position[s]) for number, one in enumerate(telling) for s in one]
    count = len(structures)
    total = count + len(distinct)
    i, j = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    joined = connected_components(csr_matrix((np.ones(len(i)), (i, j)), (total, total)), directed=False)[1]
    return np.unique(joined[:count], return_inverse=True)[1]


# -------------------------------------------------------------------- details


def _aligned(query: str, targets: Sequence[str]) -> Float[np.ndarray, "targets"]:
    lengths = np.array([len(t) for t in targets], dtype=np.int64)
    shorter = np.minimum(lengths, len(query))
    if not len(shorter) or not shorter.any():
        return np.zeros(len(targets))
    letters = np.full((len(targets), lengths.max()), len(LETTERS) - 1)
    for row, target in zip(letters, targets):
        row[: len(target)] = _encode(target)
    own = _encode(query)
    gain = {residue: _GAIN[residue][letters] for residue in np.unique(own)}
    at_end = np.arange(len(targets)), lengths - 1
    ramp = GAP_EXTEND * _SCALE * np.arange(letters.shape[1], dtype=np.int32)
    # a column of zeros before the first residue: the query may begin anywhere
    best = np.zeros((len(targets), letters.shape[1] + 1), dtype=np.int32)
    down = np.full(letters.shape, _NEVER)  # of alignments that end in a gap of the target
    straight, ahead = np.empty((2, *letters.shape), dtype=np.int32)
    final = np.full(len(targets), _NEVER)
    for residue in own:
        down -= GAP_EXTEND * _SCALE
        np.subtract(best[:, 1:], GAP_OPEN * _SCALE, out=ahead)
        np.maximum(down, ahead, out=down)
        np.add(best[:, :-1], gain[residue], out=straight)
        np.maximum(straight, down, out=straight)
        # the best gap of the query that ends here: opened at any earlier place, each step costs the same
        np.add(straight, ramp, out=ahead)
        np.maximum.accumulate(ahead, axis=1, out=ahead)
        ahead[:, :-1] -= ramp[1:] + (GAP_OPEN - GAP_EXTEND) * _SCALE
        best[:, 1:] = straight
        np.maximum(best[:, 2:], ahead[:, :-1], out=best[:, 2:])
        final = np.maximum(final, best[:, 1:][at_end])
    inside = np.arange(letters.shape[1]) < lengths[:, None]
    final = np.maximum(final, np.where(inside, best[:, 1:], _NEVER).max(axis=1))
    matches = np.where(final > 0, final % _SCALE, 0)
    return np.where(shorter > 0, matches / np.maximum(shorter, 1), 0.0)


def _clean(chain: str) -> str:
    return "".join(c if c in LETTERS else "X" for c in chain.replace("-", "").upper())


def _gain() -> Int[np.ndarray, "21 21"]:
    same = np.eye(len(LETTERS), dtype=np.int64)
    same[-1] = 0  # two unknown residues are not known to be the same
    return (blosum62() * _SCALE + same).astype(np.int32)


_GAIN = _gain()
_NUMBER = np.full(128, len(LETTERS) - 1)
_NUMBER[[ord(c) for c in LETTERS]] = np.arange(len(LETTERS))


def _encode(sequence: str) -> Int[np.ndarray, "residues"]:
    return _NUMBER[np.frombuffer(sequence.encode("ascii"), dtype=np.uint8)]


def _relatives(sequences: Sequence[str], threshold: float) -> list[tuple[str, str]]:
    """Pairs of different sequences (sorted by length) that are relatives."""
    pairs = _likely(sequences) if len(sequences) > MANY else None
    found = []
    for number, query in enumerate(sequences):
        others = np.arange(number + 1, len(sequences)) if pairs is None else pairs[number]
        longer = [sequences[int(other)] for other in others]
        share = identities(query, longer)
        bound = limit(np.full(len(longer), len(query)), threshold)
        found += [(query, longer[k]) for k in np.flatnonzero(share > bound)]
    return found


def _likely(sequences: Sequence[str]) -> list[Int[np.ndarray, "others"]]:
    """For each sequence, the later ones that share at least twice as many triplets as chance gives."""
    size = len(LETTERS)
    rows, columns = [], []
    for number, sequence in enumerate(sequences):
        code = _encode(sequence)
        triplets = np.unique(code[:-2] * size * size + code[1:-1] * size + code[2:])
        rows.append(np.full(len(triplets), number))
        columns.append(triplets)
    i, j = np.concatenate(rows), np.concatenate(columns)
    table = csr_matrix((np.ones(len(i), dtype=np.int32), (i, j)), (len(sequences), size**3))
    lengths = np.array([len(s) for s in sequences])
    frequency = np.bincount(j, minlength=size**3) / len(sequences)
    by_chance = float((frequency**2).sum()) / max(float(lengths.mean()) ** 2, 1.0)
    result = []
    for number in range(len(sequences)):
        shared = np.asarray((table[number] @ table.T).todense()).ravel()
        expected = by_chance * lengths[number] * lengths
        result.append(number + 1 + np.flatnonzero((shared >= np.maximum(2 * expected, 2))[number + 1 :]))
    return result
