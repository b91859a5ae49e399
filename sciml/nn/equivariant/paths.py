"""Which products of irreps there are, and the numbers that couple their components."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from sciml.symmetry.irreps import parse

Entry = tuple[int, int, int, float]  # i, j, k and the coefficient of x_i Y_j in the k-th component


class Kind(NamedTuple):
    """An irrep of O(3): its degree l, and its parity "e" or "o"."""

    degree: int
    parity: str

    @property
    def size(self) -> int:
        """Number of components."""
        return 2 * self.degree + 1

    def __str__(self) -> str:
        return f"{self.degree}{self.parity}"


class Path(NamedTuple):
    """One product: the irrep at ``left``, times harmonics of ``degree``, gives the irrep at ``out``.

    ``slot`` counts the paths into one irrep, whose results stand beside each other there.
    """

    left: int
    degree: int
    out: int
    slot: int
    entries: tuple[Entry, ...]


class Paths(NamedTuple):
    """All products of features with harmonics that give one of the wanted irreps.

    Attributes:
        left: irreps of the features.
        lmax: degree of the harmonics, of which there are (lmax + 1)².
        out: irreps that are reached, in the order in which they were wanted.
        paths: the products, ordered by ``left``, then by degree, then by ``out``.
        channels: copies of each irrep.
    """

    left: tuple[Kind, ...]
    lmax: int
    out: tuple[Kind, ...]
    paths: tuple[Path, ...]
    channels: int

    def slots(self, out: int) -> int:
        """Return the number of paths into an irrep."""
        return sum(path.out == out for path in self.paths)


def kinds(irreps: str | Sequence[Kind]) -> tuple[Kind, ...]:
    """Read ``"0e+1o"``: which irreps there are, each once; how many copies is said elsewhere.

    Raises:
        ValueError: not in e3nn's notation, an irrep named twice or with a multiplicity.
    """
    if not isinstance(irreps, str):
        return tuple(irreps)
    terms = parse(irreps)
    found = tuple(Kind(term.degree, term.parity) for term in terms)
    if len(set(found)) < len(found) or any(term.multiplicity != 1 for term in terms):
        raise ValueError(
            f"irreps={irreps!r}: name each irrep once, without a multiplicity, as in '0e+1o+2e'; all have "
            "the same number of channels."
        )
    return found


def features(lmax: int, parity: str = "both") -> tuple[Kind, ...]:
    """Return the irreps up to a degree, of ``both`` parities or the ``natural`` one (-1)^l of harmonics.

    With ``none`` every irrep is called even; mirror images then differ, and the group is SO(3).

    Raises:
        ValueError: a negative degree, an unknown parity.
    """
    signs = {
        "both": lambda degree: "eo",
        "natural": lambda degree: "eo"[degree % 2],
        "none": lambda degree: "e",
    }
    if parity not in signs or lmax < 0:
        raise ValueError(
            f"lmax={lmax}, parity={parity!r}: expected a degree of 0 or more, and both, natural or none."
        )
    return tuple(Kind(degree, sign) for degree in range(lmax + 1) for sign in signs[parity](degree))


@cache
def tensor_paths(
    left: tuple[Kind, ...], lmax: int, wanted: tuple[Kind, ...], channels: int, parity: bool = True
) -> Paths:
    """Return the products of features and harmonics up to ``lmax`` that give wanted irreps.

    Args:
        left: irreps of the features.
        lmax: of the harmonics.
        wanted: irreps to give; those that no product gives are left out.
        channels: copies of each irrep.
        parity: harmonics have parity (-1)^l; otherwise they are called even, as all irreps then are.
    """
    products = [
        (a, degree, kind)
        for a, x in enumerate(left)
        for degree in range(lmax + 1)
        for kind in wanted
        if abs(x.degree - degree) <= kind.degree <= x.degree + degree
        and (kind.parity == "e") == ((x.parity == "e") == (not parity or degree % 2 == 0))
    ]
    out = tuple(kind for kind in wanted if any(kind == k for *_, k in products))
    count = dict.fromkeys(out, 0)
    paths = []
    for a, degree, kind in products:
        entries = coupling_entries(left[a].degree, degree, kind.degree)
        paths.append(Path(a, degree, out.index(kind), count[kind], entries))
        count[kind] += 1
    return Paths(left, lmax, out, tuple(paths), channels)


@cache
def coupling(left: int, degree: int, out: int) -> np.ndarray:
    """Return C of z_k = Σ_ij C_ijk x_i y_j for degrees left × degree → out, (2l₁+1, 2l₂+1, 2l₃+1).

    Wigner's 3j symbols times √(2 l₃ + 1): z has as large components as x and y have (e3nn's component
    normalization).
    """
    from e3nn.o3 import wigner_3j  # slow to import

    values = wigner_3j(left, degree, out, dtype=torch.float64).numpy() * (2 * out + 1) ** 0.5
    return np.where(np.abs(values) < 1e-12, 0.0, values)


@cache
def coupling_entries(left: int, degree: int, out: int) -> tuple[Entry, ...]:
    """Return what is not zero in `coupling`."""
    values = coupling(left, degree, out)
    return tuple((i, j, k, float(values[i, j, k])) for i, j, k in np.argwhere(values).tolist())
