"""How fields turn: irreducible representations of O(2) and O(3), in e3nn's notation.

In three dimensions the irrep ``l p`` has 2l + 1 components and D(-R) = p D(R) with parity p = ±1 (``e``,
``o``); ``1o`` is an arrow in the order x, y, z. In two dimensions ``0e`` (a scalar), ``0o`` (a
pseudoscalar, as a vorticity) and ``1o`` (an arrow of two components) are understood.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.graph import PLACES, Graph

Matrices = Callable[[int, str], Tensor | None]  # (degree, parity) -> one matrix per row, or None: leave


class Irrep(NamedTuple):
    """``multiplicity`` copies of the irrep of this degree l and parity ("e" or "o")."""

    multiplicity: int
    degree: int
    parity: str

    def size(self, dim: int) -> int:
        """Components of one copy in ``dim`` dimensions.

        Raises:
            ValueError: the notation has no such irrep in two dimensions.
        """
        if dim == 2 and (self.degree, self.parity) not in ((0, "e"), (0, "o"), (1, "o")):
            raise ValueError(
                f"Irrep {self.degree}{self.parity} in two dimensions: only 0e, 0o and 1o are understood."
            )
        return {0: 1, 1: dim}.get(self.degree, 2 * self.degree + 1)


def parse(irreps: str) -> list[Irrep]:
    """Read ``"16x0e+1x1o"``.

    Raises:
        ValueError: not in e3nn's notation.
    """
    found = [re.fullmatch(r"\s*(?:(\d+)\s*x\s*)?(\d+)([eo])\s*", term) for term in irreps.split("+")]
    if not all(found):
        raise ValueError(f"Irreps {irreps!r} are not in e3nn's notation, as in '16x0e+1x1o'.")
    return [Irrep(int(m[1] or 1), int(m[2]), m[3]) for m in found if m]


def total_size(irreps: str, dim: int) -> int:
    """Length of the axis that the irreps act on, in ``dim`` dimensions."""
    return sum(irrep.multiplicity * irrep.size(dim) for irrep in parse(irreps))


def dimension(graph: Graph) -> int:
    """Return 2 or 3, the dimension of space in which the graph's fields turn.

    Raises:
        ValueError: no field turns, or the fields fit neither dimension.
    """
    lengths = {
        f"{place}.{name} [{spec.irreps}]": (spec.irreps, value.shape[-1])
        for place in PLACES
        for name, value in (getattr(graph, place) or {}).items()
        if (spec := graph.spec(place, name)).irreps and any(i.degree for i in parse(spec.irreps))
    }
    if not lengths:
        raise ValueError("Rotations have nothing to turn: no field's Spec has irreps beyond scalars.")
    for dim in (3, 2):
        if all(_fits(irreps, length, dim) for irreps, length in lengths.values()):
            return dim
    axes = ", ".join(f"{label} has {length}" for label, (_, length) in lengths.items())
    raise ValueError(f"The last axes fit the irreps neither in 3 nor in 2 dimensions: {axes}.")


def _fits(irreps: str, length: int, dim: int) -> bool:
    try:
        return total_size(irreps, dim) == length
    except ValueError:
        return False


def representation(matrix: Float[Tensor, "rows dim dim"]) -> Matrices:
    """Return (degree, parity) → D(R), for orthogonal matrices R given one per row."""
    sign = torch.linalg.det(matrix).sign()[:, None, None]  # rows 1 1

    def wigner(degree: int, parity: str) -> Tensor | None:
        if degree == 0:
            return None if parity == "e" else sign
        if degree == 1:
            return matrix if parity == "o" else sign * matrix
        mirror = sign if parity == "o" else 1
        return mirror * _wigner_from_harmonics(degree, sign * matrix)

    return wigner


def _wigner_from_harmonics(degree: int, rotation: Float[Tensor, "rows 3 3"]) -> Float[Tensor, "rows m m"]:
    """Solve Y(R x) = D(R) Y(x) on fixed points; by way of Euler angles half the digits would be lost."""
    from e3nn.o3 import spherical_harmonics  # slow to import, and needed from degree two only

    points = torch.randn(4 * degree + 2, 3, generator=torch.Generator().manual_seed(degree))
    points = torch.nn.functional.normalize(points.to(rotation))  # points 3
    here = spherical_harmonics(degree, points, normalize=False)  # points m
    there = spherical_harmonics(degree, points @ rotation.mT, normalize=False)  # rows points m
    return (torch.linalg.pinv(here) @ there).mT


def apply_blockwise(value: Tensor, irreps: str, dim: int, matrices: Matrices, label: str) -> Tensor:
    """Apply to each irrep's block of the last axis its matrices; ``label`` names the field in errors.

    Raises:
        ValueError: the last axis is not as long as the irreps say.
    """
    blocks = parse(irreps)
    if value.ndim == 1:  # one number per row: a single scalar or pseudoscalar
        return apply_blockwise(value[:, None], irreps, dim, matrices, label)[:, 0]
    sizes = [irrep.multiplicity * irrep.size(dim) for irrep in blocks]
    if sum(sizes) != value.shape[-1]:
        raise ValueError(
            f"{label} has shape {tuple(value.shape)}, but its irreps {irreps} take {sum(sizes)} components "
            f"in {dim} dimensions."
        )
    parts = []
    for irrep, block in zip(blocks, value.split(sizes, dim=-1), strict=True):
        matrix = matrices(irrep.degree, irrep.parity)
        if matrix is not None:
            copies = block.unflatten(-1, (irrep.multiplicity, irrep.size(dim)))
            block = torch.einsum("rij,r...j->r...i", matrix.to(value.dtype), copies).flatten(-2)
        parts.append(block)
    return torch.cat(parts, dim=-1)
