"""A classifier of images and volumes, plain or equivariant to turns and mirrors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph
from sciml.nn.convolution import GlobalPooling, GridConvolution, GridPooling
from sciml.nn.groups import (
    GroupConvolution,
    GroupPooling,
    LiftingConvolution,
    OnField,
    OrientedPooling,
    to_plain,
)
from sciml.nn.groups.convolution import turns_of_grid
from sciml.symmetry import Symmetry, finite_group


class ImageNetwork(nn.Module):
    """Convolutions, each with batch normalization and ReLU, then a mean over the image and a linear map.

    With a group every convolution is one on the group (Cohen & Welling 2016), and a maximum over its
    elements stands before the mean: the scores of a turned image are those of the upright one, exactly
    for quarter turns of a square image and nearly for the other elements of the group. Without one it is
    a plain network of the same build.

    Args:
        classes: number of scores.
        channels: of the images.
        widths: channels of each convolution, for each orientation.
        kernel: of each convolution, odd.
        pool: after which convolutions the grid is halved (by maximum), one factor each; 1 is none.
        group: a name that `sciml.symmetry.finite_group` knows, or None.
        dim: of the grid, where there is no group.

    Input: graphs on grids with ``nodes["x"]`` of shape (nodes, channels). Output: ``globals["logits"]``.
    """

    def __init__(
        self,
        classes: int,
        channels: int = 1,
        widths: Sequence[int] = (16, 32, 32),
        kernel: int | Sequence[int] = 5,
        pool: Sequence[int] = (2, 2, 1),
        group: str | None = None,
        dim: int = 2,
    ) -> None:
        super().__init__()
        kernels = (kernel,) * len(widths) if isinstance(kernel, int) else tuple(kernel)
        if not len(widths) == len(pool) == len(kernels):
            raise ValueError(
                f"widths {tuple(widths)}, kernel {kernels} and pool {tuple(pool)} must be of one length: one "
                "value for each convolution."
            )
        self.classes, self.group = classes, group
        layers: list[nn.Module] = []
        for before, width, size, factor in zip((channels, *widths), widths, kernels, pool):
            layers += [_convolution(before, width, size, group, dim, first=not layers)]
            layers += [OnField(nn.BatchNorm1d(width)), OnField(nn.ReLU())]
            if factor > 1:
                layers += [OrientedPooling(group, factor) if group else GridPooling(factor, dim=dim)]
        layers += [GroupPooling("max")] if group else []
        self.layers = nn.Sequential(*layers, GlobalPooling("mean"))
        self.head = nn.Linear(widths[-1], classes)
        turns = turns_of_grid(finite_group(group)) if group else ()
        self.symmetry = Symmetry(turns)

    def forward(self, graph: Graph) -> Graph:
        """Return the graph with one row of scores for each image."""
        return graph.with_globals(logits=self.head(self.layers(graph).globals["x"]))

    def plain(self) -> nn.Module:
        """Return an ordinary network on arrays (images, channels, *shape) that gives the same scores."""
        return to_plain([*self.layers, self.head])

    def predict(self, graph: Graph) -> Float[Tensor, "graphs classes"]:
        """Return probabilities of the classes."""
        with torch.no_grad():
            return self.eval()(graph).globals["logits"].softmax(-1)


def _convolution(before: int, width: int, kernel: int, group: str | None, dim: int, first: bool) -> nn.Module:
    if group is None:
        return GridConvolution(before, width, kernel, dim=dim, bias=False)
    make = LiftingConvolution if first else GroupConvolution
    return make(before, width, group, kernel, bias=False)
