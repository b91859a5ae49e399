"""Weights of their own for each kind of node."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class TypedLinear(nn.Module):
    """y_i = W_k x_i + b_k with the kind k of node i.

    Args:
        channels, out_channels: of x and y.
        kinds: number of kinds.
    """

    def __init__(self, channels: int, out_channels: int, kinds: int) -> None:
        super().__init__()
        self.out_channels, self.kinds = out_channels, kinds
        self.all = nn.Linear(channels, kinds * out_channels)

    def forward(
        self, x: Float[Tensor, "nodes channels"], kind: Int[Tensor, "nodes"]
    ) -> Float[Tensor, "nodes out"]:
        """Map each row by the matrix of its kind."""
        every = self.all(x).unflatten(1, (self.kinds, self.out_channels))
        index = kind[:, None, None].expand(-1, 1, self.out_channels)
        return every.gather(1, index)[:, 0]


class TypedEmbedding(nn.Module):
    """Sum of one learned vector for each label, of tables of their own for each kind of node.

    Args:
        labels: name of each label to its number of values.
        kinds: number of kinds.
        channels: of the vectors.
    """

    def __init__(self, labels: dict[str, int], kinds: int, channels: int) -> None:
        super().__init__()
        self.sizes = dict(labels)
        self.tables = nn.ModuleDict(
            {f"of_{name}": nn.Embedding(kinds * size, channels) for name, size in labels.items()}
        )

    def forward(
        self, labels: dict[str, Int[Tensor, "nodes"]], kind: Int[Tensor, "nodes"]
    ) -> Float[Tensor, "nodes channels"]:
        """Look the vectors up."""
        rows = [self.tables[f"of_{name}"](kind * size + labels[name]) for name, size in self.sizes.items()]
        return torch.stack(rows).sum(0) / len(rows) ** 0.5
