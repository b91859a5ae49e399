"""Rotary positional encoding: queries and keys turn with position, so that scores see differences only."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


def frequencies(count: int, base: float) -> Float[Tensor, "count"]:
    """Return base^(-i / count), i = 0, 1, ...: from 1 radian per unit down to nearly 1 / base."""
    return torch.exp(-math.log(base) * torch.arange(count, dtype=torch.float64) / count)


class Rotary(nn.Module):
    """Turns pairs of channels by angles in proportion to position.

    Pair (a, b) becomes (a cos ωx - b sin ωx, a sin ωx + b cos ωx); the product of a query at x_i and a key
    at x_j then depends on x_i - x_j only. In several dimensions each axis has its share of the channels.
    (Su et al. 2021, arXiv 2104.09864, equations 14 and 15.)

    Args:
        width: channels of a head; a multiple of 2 · dim.
        dim: of the positions.
        base: ratio of the fastest to (nearly) the slowest frequency.
        unit: length in which the fastest frequency is 1 radian, in the unit of ``pos``.

    Raises:
        ValueError: a width that cannot be shared out.
    """

    groups = ("T",)
    omega: Tensor

    def __init__(self, width: int, dim: int = 1, base: float = 10_000.0, unit: float = 1.0) -> None:
        super().__init__()
        if dim < 1 or width < 1 or width % (2 * dim):
            raise ValueError(
                f"Rotary in {dim} dimensions needs heads whose width is a multiple of {2 * dim}, not {width}."
            )
        self.width, self.dim = width, dim
        self.register_buffer(
            "omega", (frequencies(width // (2 * dim), base) / unit).float(), persistent=False
        )

    def turns(self, pos: Float[Tensor, "nodes dim"]) -> tuple[Tensor, Tensor]:
        """Return cosines and sines of the angles, each (nodes, 1, width / 2)."""
        angle = (pos[:, :, None] * self.omega.to(pos.dtype)).flatten(1)[:, None]
        return angle.cos(), angle.sin()

    def forward(
        self, value: Float[Tensor, "nodes heads width"], turns: tuple[Tensor, Tensor]
    ) -> Float[Tensor, "nodes heads width"]:
        """Turn queries or keys."""
        cosine, sine = turns
        a, b = value.chunk(2, dim=-1)
        return torch.cat([a * cosine - b * sine, a * sine + b * cosine], dim=-1)
