"""Products of a feature with itself: all tensors that are polynomials of it, and their weighted sums."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations_with_replacement

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.nn.equivariant.paths import Kind, coupling, kinds

LEAST = 1e-8  # singular values below are zero


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
    if not found:
        return np.zeros((0, out.size, len(monomials(width, power)[0])))
    stacked = np.stack(found)
    _, values, basis = np.linalg.svd(stacked.reshape(len(stacked), -1), full_matrices=False)
    basis = basis[values > LEAST * values[0]]
    return basis.reshape(len(basis), *stacked.shape[1:]) * out.size**0.5


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
    monomials: x_a, x_a x_b, x_a x_b x_c are formed once, and all tensors are one sparse matrix times them.

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
        powers = range(1, correlation + 1)
        bases = {k: [symmetric_basis(self.irreps, power, k) for power in powers] for k in self.out}
        self.counts = [sum(map(len, bases[kind])) for kind in self.out]
        self.basis = [_block_diagonal(bases[kind]) for kind in self.out]
        self.factors = [monomials(sum(k.size for k in self.irreps), power) for power in powers]
        self.weights = nn.ParameterList(
            nn.init.normal_(torch.empty(elements, count * channels), std=count**-0.5) for count in self.counts
        )
        self._constants: dict[tuple, tuple[Tensor, list[tuple[Tensor, Tensor]]]] = {}

    def forward(
        self, x: Float[Tensor, "nodes components channels"], element: Float[Tensor, "nodes elements"]
    ) -> list[Float[Tensor, "nodes components channels"]]:
        """Return one tensor for each irrep of ``out``; ``element`` is 1 for the atom's own element."""
        matrix, factors = self._tensors(x)
        products = [x]
        for shorter, last in factors[1:]:
            products.append(products[-1].index_select(1, shorter) * x.index_select(1, last))
        tensors = torch.einsum("rm,nmc->nrc", matrix, torch.cat(products, dim=1))
        rows = [count * kind.size for count, kind in zip(self.counts, self.out)]
        found = []
        for part, count, kind, weights in zip(
            tensors.split(rows, dim=1), self.counts, self.out, self.weights
        ):
            own = (element @ weights).unflatten(1, (count, 1, -1))  # nodes tensors 1 channels
            found.append((part.unflatten(1, (count, kind.size)) * own).sum(1))
        return found

    def _tensors(self, like: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Return matrix and indices where the features are."""
        key = like.dtype, like.device
        if key not in self._constants:
            matrix = torch.as_tensor(np.concatenate(self.basis)).to(like.device, like.dtype)
            factors = [
                (torch.as_tensor(a, device=like.device), torch.as_tensor(b, device=like.device))
                for a, b in self.factors
            ]
            self._constants[key] = matrix, factors
        return self._constants[key]


def _block_diagonal(bases: Sequence[np.ndarray]) -> np.ndarray:
    """Return the rows of all powers, (tensors · components, monomials of all powers)."""
    widths = [basis.shape[2] for basis in bases]
    starts = np.cumsum([0, *widths])
    rows = []
    for basis, start in zip(bases, starts):
        flat = basis.reshape(-1, basis.shape[2])
        rows.append(np.pad(flat, ((0, 0), (int(start), int(starts[-1] - start - basis.shape[2])))))
    return np.concatenate(rows)
