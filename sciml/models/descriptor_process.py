"""Descriptors to properties by a Gaussian process: what a few hundred molecules say best."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

MOST = 4000  # molecules that are remembered: the work goes with their number cubed
LINEAR, LENGTH = 0.3, 2.0  # the share of the linear kernel, and the length of the other one
NOISES = (1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0)  # variances of the noise, in units of the kernel
AMPLITUDES = (0.3, 1.0, 3.0, 10.0, 30.0)  # variances of the logarithm of the odds, in units of the kernel
FAR = 20.0  # logarithm of the odds where all labels are alike
PARTS = (0.0, 0.25, 0.5)  # of counts in the kernel
STEPS, CLOSE = 50, 1e-8  # of Newton's method, at most, and what it may leave of a likelihood


class DescriptorProcess(nn.Module):
    r"""Gaussian process regression (Rasmussen & Williams 2006, algorithm 2.1) on standardized descriptors.

        k(z, z') = 0.3 z·z'/p + (1 + √3 d/2) exp(−√3 d/2),   d² = |z − z'|²/p

    with p descriptors that differ in training: a linear part, which goes on beyond the training molecules,
    and a Matérn kernel of order 3/2. Of several groups of descriptors each has its kernel, and their mean is
    taken: a few numbers that say much are not lost among many others. Counts n of fragments are compared by
    what two molecules have in common (Ruzicka's similarity; Ralaivola et al. 2005):

        k(n, n') = Σ min(n, n') / Σ max(n, n')

    The noise, and the part of counts in the kernel (none, a quarter or a half), are those of the highest
    marginal likelihood, for each property: a few hundred molecules are compared by descriptors alone.

    Of labels 0 and 1 the process is the logarithm of the odds beside those of all training, by Laplace's
    approximation (algorithm 3.1), with the amplitude of the highest marginal likelihood. The result is that
    of the most likely process.

    Args:
        points: training molecules that are remembered.
        descriptors: of each; or how many there are in each group, in order.
        targets: number of properties.
        counts: columns of counts behind the descriptors.

    Input: (molecules, descriptors + counts), descriptors standardized. Output: (molecules, targets), in the
    units of `fit`.
    """

    points: Tensor
    weights: Tensor
    offset: Tensor
    part: Tensor

    def __init__(self, points: int, descriptors: int | Sequence[int], targets: int, counts: int = 0) -> None:
        super().__init__()
        self.groups = [descriptors] if isinstance(descriptors, int) else list(descriptors)
        self.counts = counts
        self.register_buffer("points", torch.zeros(points, sum(self.groups) + counts))
        self.register_buffer("weights", torch.zeros(points, targets))
        self.register_buffer("offset", torch.zeros(targets))
        self.register_buffer("part", torch.zeros(targets), persistent=counts > 0)

    def forward(
        self, descriptors: Float[Tensor, "molecules descriptors"]
    ) -> Float[Tensor, "molecules targets"]:
        """Return the mean of the process."""
        by_descriptors, by_counts = self._kernels(descriptors, self.points)
        said = by_descriptors @ ((1 - self.part) * self.weights) + by_counts @ (self.part * self.weights)
        return self.offset + said

    def _kernels(
        self, one: Float[Tensor, "rows descriptors"], other: Float[Tensor, "columns descriptors"]
    ) -> tuple[Float[Tensor, "rows columns"], Float[Tensor, "rows columns"]]:
        """Return the kernels of descriptors and of counts; where there are none it is zero."""
        varied = (self.points != self.points[:1]).any(0)
        parts = (each.split([*self.groups, self.counts], -1) for each in (one, other, varied))
        *groups, (counts, other_counts, _) = zip(*parts)
        none = one.new_zeros(len(one), len(other))
        kernels = [kernel(a, b, v.sum().clamp(min=1)) for a, b, v in groups]
        return (
            torch.stack(kernels).mean(0) if kernels else none,
            similarity(counts, other_counts) if self.counts else none,
        )

    @torch.no_grad()
    def fit(
        self,
        descriptors: Float[Tensor, "points descriptors"],
        values: Float[Tensor, "points targets"],
        labels: bool = False,
    ) -> None:
        """Learn from molecules; NaN is a value that was not measured.

        Args:
            descriptors: of the molecules.
            values: numbers, or labels 0 and 1.
            labels: they are labels.

        Raises:
            ValueError: another number of molecules than is remembered.
        """
        if len(descriptors) != len(self.points):
            raise ValueError(f"{len(descriptors)} molecules for a process that remembers {len(self.points)}.")
        self.points.copy_(descriptors)
        self.weights.zero_()
        points = self.points.double()
        by_descriptors, by_counts = self._kernels(points, points)
        parts = (PARTS if self.groups else (1.0,)) if self.counts else (0.0,)
        tables = [(1 - part) * by_descriptors + part * by_counts for part in parts]
        for target, column in enumerate(values.double().T):
            known = column.isfinite().nonzero()[:, 0]
            if len(known):
                seen = column[known]
                mean = seen.mean()
                offset = (mean / (1 - mean)).log().clamp(-FAR, FAR) if labels else mean
                found = []
                for table in tables:
                    own = table[known][:, known]
                    found.append(
                        _likeliest_odds(own, seen, offset) if labels else _likeliest(own, seen - mean)
                    )
                likelihoods = [likelihood for _, likelihood in found]
                best = likelihoods.index(max(likelihoods))
                self.offset[target], self.part[target] = offset, parts[best]
                self.weights[known, target] = found[best][0].to(self.weights)


def kernel(
    one: Float[Tensor, "rows descriptors"], other: Float[Tensor, "columns descriptors"], size: Tensor
) -> Float[Tensor, "rows columns"]:
    """Return the kernel of a group of `DescriptorProcess` between all rows of both."""
    distance = torch.cdist(one, other) * (3 / size).sqrt() / LENGTH
    return LINEAR * (one @ other.T) / size + (1 + distance) * torch.exp(-distance)


def similarity(
    one: Float[Tensor, "rows counts"], other: Float[Tensor, "columns counts"]
) -> Float[Tensor, "rows columns"]:
    """Return Σ min / Σ max of counts between all rows of both; of none and none it is one."""
    total = one.sum(1)[:, None] + other.sum(1)
    apart = torch.cdist(one, other, p=1)
    return torch.where(total > 0, (total - apart) / (total + apart).clamp(min=1e-9), 1.0)


def _likeliest(
    own: Float[Tensor, "points points"], value: Float[Tensor, "points"]
) -> tuple[Float[Tensor, "points"], float]:
    """Return weights and likelihood under the likeliest noise, amplitude profiled out."""
    best, found = -torch.inf, torch.zeros_like(value)
    one = torch.eye(len(own), dtype=own.dtype, device=own.device)
    for noise in NOISES:
        factor = torch.linalg.cholesky(own + noise * one)
        weights = torch.cholesky_solve(value[:, None], factor)[:, 0]
        amplitude = (value @ weights / len(own)).clamp(min=1e-30)
        likelihood = float(-0.5 * len(own) * amplitude.log() - factor.diagonal().log().sum())
        if likelihood > best:
            best, found = likelihood, weights
    return found, best


def _likeliest_odds(
    own: Float[Tensor, "points points"], label: Float[Tensor, "points"], offset: Tensor
) -> tuple[Float[Tensor, "points"], float]:
    """Return weights and likelihood under the likeliest amplitude."""
    best, found = -torch.inf, torch.zeros_like(label)
    for amplitude in AMPLITUDES:
        weights, likelihood = laplace(amplitude * own, label, offset)
        if likelihood > best:
            best, found = likelihood, amplitude * weights
    return found, best


def laplace(
    table: Float[Tensor, "points points"], label: Float[Tensor, "points"], offset: Tensor
) -> tuple[Float[Tensor, "points"], float]:
    """Find the most likely process of labels by Newton's method (Rasmussen & Williams 2006, algorithm 3.1).

    Args:
        table: covariances of the process.
        label: 0 or 1.
        offset: mean of the process, added to it.

    Returns:
        weights a, with which the most likely process is table @ a, and the logarithm of the approximate
        marginal likelihood.
    """
    one = torch.eye(len(table), dtype=table.dtype, device=table.device)
    process, before = torch.zeros_like(label), torch.inf
    for _ in range(STEPS):
        chance = (offset + process).sigmoid()
        slope = chance * (1 - chance)
        root = slope.sqrt()
        factor = torch.linalg.cholesky(one + root[:, None] * table * root)
        right = slope * process + label - chance
        weights = right - root * torch.cholesky_solve((root * (table @ right))[:, None], factor)[:, 0]
        process = table @ weights
        agreement = nn.functional.logsigmoid((2 * label - 1) * (offset + process)).sum()
        likelihood = float(agreement - 0.5 * weights @ process - factor.diagonal().log().sum())
        if abs(likelihood - before) < CLOSE * len(table):
            break
        before = likelihood
    return weights, likelihood
