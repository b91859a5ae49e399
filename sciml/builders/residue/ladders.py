"""β-bridges and the ladders that they form: the part of DSSP that makes strands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

LONG, SHORT = 6, 3  # residues that a bulge may have on its two strands, plus one (Kabsch & Sander 1983)


@dataclass
class _Ladder:
    """Bridges in a row: residues ``i`` ascending, their partners ``j`` (descending where antiparallel)."""

    parallel: bool
    i: tuple[int, int]
    j: tuple[int, int]


def strands(
    acceptor: Int[np.ndarray, "n 2"],
    segment: Int[np.ndarray, "n"],
    states: Int[np.ndarray, "n"],
    bridge: int,
    strand: int,
) -> None:
    """Write into ``states`` where lone bridges and where ladders of two or more bridges are."""
    for ladder in _joined(_ladders(*_bridges(acceptor, segment)), segment):
        alone = ladder.i[0] == ladder.i[1]
        for first, last in (ladder.i, ladder.j):
            part = states[first : last + 1]
            part[part != strand] = bridge if alone else strand


def _bridges(
    acceptor: Int[np.ndarray, "n 2"], segment: Int[np.ndarray, "n"]
) -> tuple[Int[np.ndarray, "bridges"], Int[np.ndarray, "bridges"], np.ndarray]:
    """Pairs i < j of bridge partners in order, and whether they are parallel."""
    n = len(segment)
    donor = np.repeat(np.arange(n), 2)
    taker = acceptor.ravel()
    donor, taker = donor[taker >= 0], taker[taker >= 0]
    steps = ((-1, 0), (0, 1), (-1, 1), (0, 0))  # of donor and acceptor to the bridge that they may belong to
    pairs = np.concatenate([np.stack([donor + a, taker + b], axis=1) for a, b in steps])
    pairs.sort(axis=1)
    pairs = pairs[(pairs >= 0).all(axis=1)]
    i, j = np.divmod(np.unique(pairs[:, 0] * n + pairs[:, 1]), max(n, 1))
    inside = (i >= 1) & (j <= n - 2) & (j - i >= 3)
    i, j = i[inside], j[inside]
    whole = (segment[i - 1] == segment[i + 1]) & (segment[j - 1] == segment[j + 1])
    i, j = i[whole], j[whole]
    bond = lambda a, b: (acceptor[a] == b[:, None]).any(axis=1)
    parallel = (bond(i + 1, j) & bond(j, i - 1)) | (bond(j + 1, i) & bond(i, j - 1))
    antiparallel = (bond(i + 1, j - 1) & bond(j + 1, i - 1)) | (bond(j, i) & bond(i, j))
    found = parallel | antiparallel
    return i[found], j[found], parallel[found]


def _ladders(i: np.ndarray, j: np.ndarray, parallel: np.ndarray) -> list[_Ladder]:
    """Gather bridges that follow each other."""
    ladders: list[_Ladder] = []
    ends: dict[tuple[bool, int, int], int] = {}  # the bridge that would continue a ladder, to the ladder
    for a, b, same in zip(i.tolist(), j.tolist(), parallel.tolist()):
        number = ends.pop((same, a, b), None)
        if number is None:
            number = len(ladders)
            ladders.append(_Ladder(same, (a, a), (b, b)))
        else:
            ladder = ladders[number]
            ladder.i = (ladder.i[0], a)
            ladder.j = (ladder.j[0], b) if same else (b, ladder.j[1])
        ends[same, a + 1, b + 1 if same else b - 1] = number
    return ladders


def _joined(ladders: list[_Ladder], segment: Int[np.ndarray, "n"]) -> list[_Ladder]:
    """Join ladders of one kind that a bulge separates."""
    ladders = sorted(ladders, key=lambda ladder: ladder.i[0])
    number = 0
    while number < len(ladders):
        one, other = ladders[number], number + 1
        while other < len(ladders) and ladders[other].i[0] - one.i[1] < LONG:
            two = ladders[other]
            if _bulge(one, two, segment):
                one.i = (one.i[0], max(one.i[1], two.i[1]))
                one.j = (one.j[0], two.j[1]) if one.parallel else (two.j[0], one.j[1])
                del ladders[other]
            else:
                other += 1
        number += 1
    return ladders


def _bulge(one: _Ladder, two: _Ladder, segment: Int[np.ndarray, "n"]) -> bool:
    if one.parallel != two.parallel or (two.i[1] >= one.i[0] and two.i[0] <= one.i[1]):
        return False
    for strand in ("i", "j"):
        ends = (*getattr(one, strand), *getattr(two, strand))
        if segment[min(ends)] != segment[max(ends)]:
            return False
    along = two.i[0] - one.i[1]
    across = two.j[0] - one.j[1] if one.parallel else one.j[0] - two.j[1]
    return across >= 0 and ((across < LONG and along < SHORT) or (across < SHORT and along < LONG))
