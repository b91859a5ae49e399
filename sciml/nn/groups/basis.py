"""Filters in every orientation of a finite group: as pixels that change places, or as turned harmonics."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.graph import window
from sciml.symmetry.finite import FiniteGroup

Basis = Literal["auto", "pixels", "harmonics"]


def oriented_filters(
    group: FiniteGroup, kernel: int, basis: Basis
) -> Float[Tensor, "elements places functions"]:
    """Return every function of a basis in every orientation, (g b)(x) = b(g⁻¹ x), at the window's places.

    ``pixels``: one function for each place. The group must map the grid to itself; then equivariance is
    exact. ``harmonics``: Gaussian rings times circular harmonics, which may be sampled at any angle
    (Weiler & Cesa 2019, arXiv 1911.08251); the frequency at radius r goes up to 2r, below which sampling
    at whole steps resolves it. ``auto``: pixels where they are exact.

    Raises:
        ValueError: an even kernel, pixels that the group does not map to pixels, harmonics in another
            dimension than two.
    """
    if kernel % 2 == 0:
        raise ValueError(f"Kernel {kernel}: a window that turns about its centre needs an odd kernel.")
    if basis == "auto":
        basis = "pixels" if group.on_grid else "harmonics"
    steps = torch.tensor(window(kernel, group.dim), dtype=torch.float64)  # places dim
    turned = torch.einsum("gji,pj->gpi", group.matrices, steps)  # g⁻¹ x
    if basis == "pixels":
        if not group.on_grid:
            raise ValueError(
                f"{group.name} does not map the grid to itself, so its pixels have no place to go: take "
                "basis='harmonics', or C2, C4, D2, D4, Oct, Oh."
            )
        return (turned[:, :, None] - steps).abs().amax(-1).lt(0.5).double()
    if basis == "harmonics":
        if group.dim != 2:
            raise ValueError(f"Harmonic filters are for the plane; {group.name} acts in {group.dim}D.")
        return _harmonics(turned, kernel // 2)
    raise ValueError(f"Unknown basis {basis!r}; choose auto, pixels or harmonics.")


def _harmonics(
    points: Float[Tensor, "elements places 2"], rings: int
) -> Float[Tensor, "elements places functions"]:
    radius, angle = points.norm(dim=-1), torch.atan2(points[..., 1], points[..., 0])
    functions = []
    for ring in range(rings + 1):
        width = 0.6 if ring < rings else 0.4  # the outermost must end within the window
        profile = torch.exp(-((radius - ring) ** 2) / (2 * width**2))
        functions.append(profile)
        varying = profile.masked_fill(radius < 0.5, 0.0)  # at the centre an angle means nothing
        for frequency in range(1, 2 * ring + 1):
            functions += [varying * torch.cos(frequency * angle), varying * torch.sin(frequency * angle)]
    stacked = torch.stack(functions, dim=-1)
    return stacked / stacked[0].norm(dim=0)
