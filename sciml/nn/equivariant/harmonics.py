"""Spherical harmonics of directions."""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.nn.equivariant.paths import coupling, features


def harmonics(direction: Float[Tensor, "edges 3"], lmax: int) -> Float[Tensor, "edges harmonics"]:
    """Return Y_0, Y_1, ... Y_lmax of unit vectors, side by side, each with |Y_l|² = 2l + 1.

    In e3nn's order and signs, but by Y_{l+1} = c_l C(l, 1 → l+1) Y_l ⊗ Y_1: one product of matrices for each
    degree, which can be differentiated cheaply.
    """
    found = [torch.ones_like(direction[:, :1])]
    for degree in range(lmax):
        step = _step(degree, direction.dtype, direction.device)
        found.append((found[-1][:, :, None] * direction[:, None, :]).flatten(1) @ step)
    return torch.cat(found, dim=1)


def harmonics_irreps(lmax: int, parity: bool = True) -> str:
    """Return what `harmonics` are, in e3nn's notation."""
    return "+".join(map(str, features(lmax, "natural" if parity else "none")))


@cache
def _step(degree: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "pairs components"]:
    """Return the matrix from Y_l ⊗ r̂ to Y_{l+1}."""
    from e3nn.o3 import spherical_harmonics  # slow to import

    point = torch.tensor([[0.36, 0.48, 0.8]], dtype=torch.float64)
    both = [degree, degree + 1]
    values = spherical_harmonics(both, point, normalize=False, normalization="component")[0]
    here, there = values.split([2 * degree + 1, 2 * degree + 3])
    constants = torch.as_tensor(coupling(degree, 1, degree + 1))
    raw = torch.einsum("i,j,ijk->k", here, point[0], constants)
    return (constants * (raw @ there) / (raw @ raw)).flatten(0, 1).to(device, dtype)
