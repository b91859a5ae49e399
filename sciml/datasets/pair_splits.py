"""Dividing pairs into what is learned and what it is judged by, without telling the answer beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Int

from sciml.datasets.pairs import Pairs

By = Literal["random", "left", "right", "both", "time"]
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class PairSplit:
    """Numbers of the pairs in each part; `unused` is in none.

    Attributes:
        train, validation, test: of the pairs.
        unused: pairs of a name that is new with one that is known, where both must be new.
    """

    train: Int[np.ndarray, "train"]
    validation: Int[np.ndarray, "validation"]
    test: Int[np.ndarray, "test"]
    unused: Int[np.ndarray, "unused"]


def split_pairs(
    pairs: Pairs, by: By = "random", *, test: float = 0.2, validation: float = 0.1, seed: int = 0
) -> PairSplit:
    """Divide pairs.

    - random: both names of a test pair were mostly seen in training, though not together.
    - left, right (cold start): no left (right) name of the test was seen in training.
    - both: neither was. Names of each side are divided; pairs across parts are unused.
    - time: the latest pairs are the test, those before them the validation; pairs of one time stay together.

    Args:
        pairs: as read by `read_pairs`.
        by: see above.
        test, validation: share of the pairs; for left, right and both, of the names of that side.
        seed: of the division.

    Raises:
        ValueError: an unknown ``by``, shares that leave nothing for training, a part without pairs, no
            column of times.
    """
    if by not in get_args(By):
        raise ValueError(f"split by {by!r}; choose from {', '.join(get_args(By))}.")
    if not (0 < test < 1 and 0 <= validation < 1 and test + validation < 1):
        raise ValueError(f"test={test} and validation={validation} must be shares that leave some to train.")
    shares, rng = (1 - test - validation, validation, test), np.random.default_rng(seed)
    if by == "time":
        part = _by_time(pairs, shares)
    elif by == "random":
        part = _parts(len(pairs), shares, rng)
    else:
        sides = [
            _parts(len(names), shares, rng)[row]
            for side, names, row in zip(("left", "right"), (pairs.left, pairs.right), pairs.index)
            if by in (side, "both")
        ]
        part = np.where(sides[0] == sides[-1], sides[0], len(PARTS))
    found = [np.flatnonzero(part == number) for number in range(len(PARTS) + 1)]
    for name, share, rows in zip(PARTS, shares, found):
        if share and not len(rows):
            raise ValueError(
                f"{pairs!r} divided by {by} leaves no pair for {name}: take another share (test={test}, "
                f"validation={validation}), another way to divide, or more pairs."
            )
    return PairSplit(*found)


def _parts(number: int, shares: tuple[float, ...], rng: np.random.Generator) -> Int[np.ndarray, "number"]:
    """Return a random part for each of so many things, in these shares."""
    edges = np.round(np.cumsum(shares)[:-1] * number)
    return np.searchsorted(edges, rng.permutation(number), side="right")


def _by_time(pairs: Pairs, shares: tuple[float, ...]) -> Int[np.ndarray, "pairs"]:
    if pairs.time is None:
        raise ValueError(
            f"{pairs!r} has no times: name their column (data.time_column=...) to divide by time."
        )
    limits = np.quantile(pairs.time, np.cumsum(shares)[:-1], method="inverted_cdf")
    return np.searchsorted(limits, pairs.time, side="left")
