"""Products of a feature with itself: all tensors that are polynomials of it, and their weighted sums."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.nn.equivariant.paths import Kind, coupling, kinds
from sciml.nn.equivariant.polynomial import Polynomial
from sciml.nn.equivariant.product import has_fused

LEAST = 1e-6  # of a tensor of length one, when it is new


@cache
def symmetric_basis(irreps: tuple[Kind, ...], power: int, out: Kind) -> np.ndarray:
    """Return the tensors of kind ``out`` among the monomials of a degree: (tensors, 2l + 1, monomials).

    Monomials x_a x_b ... have a ≤ b ≤ ... and are ordered as `monomials`. The tensors come from coupling one
    factor after the other; what coincides when factors change places is dropped.
    """
    sizes = [kind.size for kind in irreps]
    starts = np.cumsum([0, *sizes])
    width = int(starts[-1])
    single = [np.eye(width)[starts[n] : starts[n + 1]] for n in range(len(irreps))]  # components width
    chains = [(n, kind, block) for n, (kind, block) in enumerate(zip(irreps, single))]
    for _ in range(power - 1):
        chains = [
            (n, Kind(degree, "e" if kind.parity == irreps[n].parity else "o"), product)
            for last, kind, block in chains
            for n in range(last, len(irreps))
            for degree in range(abs(kind.degree - irreps[n].degree), kind.degree + irreps[n].degree + 1)
            for product in [_coupled(block, single[n], kind.degree, irreps[n].degree, degree)]
        ]
    found = [_collected(block, width, power) for _, kind, block in chains if kind == out]
    found = _orthogonal(found)
    shape = (len(found), out.size, len(monomials(width, power)[0]))
    return np.array(found).reshape(shape) * out.size**0.5


def _orthogonal(tensors: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return what is new in each tensor, of length one: this keeps zeros, where a decomposition mixes all."""
    found: list[np.ndarray] = []
    for tensor in tensors:
        size = np.linalg.norm(tensor)
        if size < LEAST:
            continue
        rest = tensor / size
        for other in found:
            rest = rest - other * np.sum(other * rest)
        length = np.linalg.norm(rest)
        if length > LEAST:
            found.append(np.where(np.abs(rest) < 1e-12, 0.0, rest) / length)
    return found


def monomials(width: int, power: int) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each monomial, the number of that without its last factor, and the last factor."""
    shorter = {t: n for n, t in enumerate(combinations_with_replacement(range(width), power - 1))}
    full = list(combinations_with_replacement(range(width), power))
    return np.array([shorter[t[:-1]] for t in full]), np.array([t[-1] for t in full])


def _coupled(left: np.ndarray, right: np.ndarray, a: int, b: int, c: int) -> np.ndarray:
    flat = left.reshape(len(left), -1)
    product = np.einsum("ip,jq,ijk->kpq", flat, right, coupling(a, b, c), optimize=True)
    return product.reshape(2 * c + 1, *left.shape[1:], right.shape[1])


def _collected(block: np.ndarray, width: int, power: int) -> np.ndarray:
    """Return coefficients of monomials, from those of all orders of the factors."""
    place = {t: n for n, t in enumerate(combinations_with_replacement(range(width), power))}
    found = np.zeros((len(block), len(place)))
    for t in zip(*np.nonzero(np.abs(block).max(axis=0) > 1e-12)):
        found[:, place[tuple(sorted(t))]] += block[(slice(None), *t)]
    return found


class SymmetricPowers(nn.Module):
    """B_k = Σ_ν Σ_η w^ν_η(element) Σ U^{ν,η}_{k; ab...} x_a x_b ...: polynomials of each channel by itself.

    The symmetric contraction of MACE (Batatia et al. 2022, arXiv 2206.07697, equations 10 and 11), by
    monomials: x_a, x_a x_b, x_a x_b x_c are formed once, and all tensors are one matrix times them. The fast
    path writes this down as a `Polynomial` of few coefficients and compiles it.

    Args:
        irreps: of the features, which stand one after the other in (nodes, components, channels).
        out: irreps to give.
        correlation: largest number of factors, 1 to 3.
        channels: of each irrep.
        elements: how many are known, each of which has weights of its own.

    Raises:
        ValueError: a correlation that is not 1, 2 or 3.
    """

    def __init__(
        self, irreps: Sequence[Kind], out: Sequence[Kind], correlation: int, channels: int, elements: int
    ) -> None:
        super().__init__()
        if correlation not in (1, 2, 3):
            raise ValueError(f"correlation={correlation}: expected 1, 2 or 3 factors.")
        self.irreps, self.out, self.correlation = kinds(irreps), kinds(out), correlation
        self.weights = nn.ParameterList(
            nn.init.normal_(torch.empty(elements, count * channels), std=count**-0.5)
            for count in self.parts.counts  # tensors of one kind
        )
        self.fused = True

    @property
    def parts(self) -> _Contraction:
        """What all layers of the same irreps share."""
        return _contraction(self.irreps, self.out, self.correlation)

    def forward(
        self, x: Float[Tensor, "nodes components channels"], element: Float[Tensor, "nodes elements"]
    ) -> list[Float[Tensor, "nodes components channels"]]:
        """Return one tensor for each irrep of ``out``; ``element`` is 1 for the atom's own element."""
        own = [(element @ weights).unflatten(1, (-1, x.shape[2])) for weights in self.weights]
        if self.fused and has_fused(x):
            return self.parts.polynomial(x, *own)
        matrix, factors = _tensors(self.irreps, self.out, self.correlation, x.dtype, x.device)
        products = [x]
        for shorter, last in factors[1:]:
            products.append(products[-1].index_select(1, shorter) * x.index_select(1, last))
        tensors = torch.einsum("rm,nmc->nrc", matrix, torch.cat(products, dim=1))
        rows = [count * kind.size for count, kind in zip(self.parts.counts, self.out)]
        blocks = [t.unflatten(1, (-1, k.size)) for t, k in zip(tensors.split(rows, dim=1), self.out)]
        return [(block * weights[:, :, None]).sum(1) for block, weights in zip(blocks, own)]


class _Contraction(NamedTuple):
    """What `SymmetricPowers` of the same irreps share.

    Attributes:
        counts: number of tensors of each kind.
        bases: coefficients of each kind: (tensors · components, monomials of all powers).
        factors: `monomials` of each power.
        polynomial: all of it, of the features and of the weights of each kind.
    """

    counts: list[int]
    bases: list[np.ndarray]
    factors: list[tuple[np.ndarray, np.ndarray]]
    polynomial: Polynomial


@cache
def _contraction(irreps: tuple[Kind, ...], out: tuple[Kind, ...], correlation: int) -> _Contraction:
    width, powers = sum(kind.size for kind in irreps), range(1, correlation + 1)
    by_power = [[symmetric_basis(irreps, power, kind) for power in powers] for kind in out]
    counts = [sum(map(len, bases)) for bases in by_power]
    bases = [_block_diagonal(bases) for bases in by_power]
    factors = [monomials(width, power) for power in powers]
    found = Polynomial((width, *counts))
    products = [found.rows(0)]
    for shorter, last in factors[1:]:
        pairs = zip(shorter.tolist(), last.tolist())
        products.append([found.multiply(products[-1][a], products[0][b]) for a, b in pairs])
    values = [value for power in products for value in power]
    for number, (kind, basis) in enumerate(zip(out, bases)):
        weights = found.rows(1 + number)
        rows: list[int | None] = [None] * kind.size
        for n, coefficients in enumerate(basis):
            tensor: int | None = None
            for m in np.flatnonzero(coefficients).tolist():
                tensor = found.add(tensor, found.scale(values[m], float(coefficients[m])))
            if tensor is not None:
                k = n % kind.size
                rows[k] = found.add(rows[k], found.multiply(tensor, weights[n // kind.size]))
        found.outputs.append(rows)
    return _Contraction(counts, bases, factors, found)


@cache
def _tensors(
    irreps: tuple[Kind, ...],
    out: tuple[Kind, ...],
    correlation: int,
    dtype: torch.dtype,
    device: torch.device,
) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
    """Return coefficients and factors where the features are."""
    parts = _contraction(irreps, out, correlation)
    matrix = torch.as_tensor(np.concatenate(parts.bases)).to(device, dtype)
    return matrix, [tuple(torch.as_tensor(n, device=device) for n in pair) for pair in parts.factors]


def _block_diagonal(bases: Sequence[np.ndarray]) -> np.ndarray:
    """Return the rows of all powers, (tensors · components, monomials of all powers)."""
    widths = [basis.shape[2] for basis in bases]
    starts = np.cumsum([0, *widths])
    rows = []
    for basis, start in zip(bases, starts):
        flat = basis.reshape(-1, basis.shape[2])
        rows.append(np.pad(flat, ((0, 0), (int(start), int(starts[-1] - start - basis.shape[2])))))
    return np.concatenate(rows)
