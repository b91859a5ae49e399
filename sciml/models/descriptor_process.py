"""Descriptors to properties by a Gaussian process: what a few hundred molecules say best."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

MOST = 4000  # molecules that are remembered: the work goes with their number cubed
LINEAR, LENGTH = 0.3, 2.0  # the share of the linear kernel, and the length of the other one
NOISES = (1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0)  # variances of the noise, in units of the kernel


class DescriptorProcess(nn.Module):
    r"""Gaussian process regression (Rasmussen & Williams 2006, algorithm 2.1) on standardized descriptors.

        k(z, z') = 0.3 z·z'/p + (1 + √3 d/2) exp(−√3 d/2),   d² = |z − z'|²/p

    with p descriptors that differ in training: a linear part, which goes on beyond the training molecules,
    and a Matérn kernel of order 3/2. Of several groups of descriptors each has its kernel, and their mean is
    taken: a few numbers that say much are not lost among many others. The noise is that of the highest
    marginal likelihood, for each property.

    Args:
        points: training molecules that are remembered.
        descriptors: of each; or how many there are in each group, in order.
        targets: number of properties.

    Input: (molecules, descriptors), standardized. Output: (molecules, targets), in the units of `fit`.
    """

    points: Tensor
    weights: Tensor
    offset: Tensor

    def __init__(self, points: int, descriptors: int | Sequence[int], targets: int) -> None:
        super().__init__()
        self.groups = [descriptors] if isinstance(descriptors, int) else list(descriptors)
        self.register_buffer("points", torch.zeros(points, sum(self.groups)))
        self.register_buffer("weights", torch.zeros(points, targets))
        self.register_buffer("offset", torch.zeros(targets))

    def forward(
        self, descriptors: Float[Tensor, "molecules descriptors"]
    ) -> Float[Tensor, "molecules targets"]:
        """Return the mean of the process."""
        return self.offset + self._kernel(descriptors, self.points) @ self.weights

    def _kernel(
        self, one: Float[Tensor, "rows descriptors"], other: Float[Tensor, "columns descriptors"]
    ) -> Float[Tensor, "rows columns"]:
        varied = (self.points != self.points[:1]).any(0)
        parts = (each.split(self.groups, -1) for each in (one, other, varied))
        kernels = [kernel(a, b, v.sum().clamp(min=1)) for a, b, v in zip(*parts)]
        return torch.stack(kernels).mean(0)

    @torch.no_grad()
    def fit(
        self, descriptors: Float[Tensor, "points descriptors"], values: Float[Tensor, "points targets"]
    ) -> None:
        """Learn from molecules; NaN is a value that was not measured.

        Raises:
            ValueError: another number of molecules than is remembered.
        """
        if len(descriptors) != len(self.points):
            raise ValueError(f"{len(descriptors)} molecules for a process that remembers {len(self.points)}.")
        self.points.copy_(descriptors)
        self.weights.zero_()
        points = self.points.double()
        table = self._kernel(points, points)
        for target, column in enumerate(values.double().T):
            known = column.isfinite().nonzero()[:, 0]
            if len(known):
                self.offset[target] = column[known].mean()
                self.weights[known, target] = _likeliest(table, known, column).to(self.weights)


def kernel(
    one: Float[Tensor, "rows descriptors"], other: Float[Tensor, "columns descriptors"], size: Tensor
) -> Float[Tensor, "rows columns"]:
    """Return the kernel of a group of `DescriptorProcess` between all rows of both."""
    distance = torch.cdist(one, other) * (3 / size).sqrt() / LENGTH
    return LINEAR * (one @ other.T) / size + (1 + distance) * torch.exp(-distance)


def _likeliest(
    table: Float[Tensor, "points points"], known: Int[Tensor, "known"], column: Float[Tensor, "points"]
) -> Float[Tensor, "known"]:
    """Return the weights under the noise of the highest likelihood, amplitude profiled out."""
    own, value = table[known][:, known], column[known] - column[known].mean()
    best, found = -torch.inf, torch.zeros_like(value)
    for noise in NOISES:
        factor = torch.linalg.cholesky(
            own + noise * torch.eye(len(known), dtype=own.dtype, device=own.device)
        )
        weights = torch.cholesky_solve(value[:, None], factor)[:, 0]
        amplitude = (value @ weights / len(known)).clamp(min=1e-30)
        likelihood = float(-0.5 * len(known) * amplitude.log() - factor.diagonal().log().sum())
        if likelihood > best:
            best, found = likelihood, weights
    return found
