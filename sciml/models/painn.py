"""PaiNN: an energy by scalars and vectors at atoms."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import nn

from sciml.models.potential import LayeredPotential
from sciml.nn.painn import PaiNNLayer
from sciml.nn.radial import bessel


class PaiNN(LayeredPotential):
    """Schütt et al. 2021, arXiv 2102.03150: equivariant message passing with scalars and vectors.

    Args:
        channels: scalars of an atom, and as many vectors.
        layers: message and update blocks.
        radial: Bessel functions of the distance.
        cutoff, scale, references, repulsion: of `Potential`. The envelope at the cutoff is a polynomial with
            two continuous derivatives in place of the paper's cosine, whose second derivative jumps.
    """

    def __init__(
        self,
        channels: int = 128,
        layers: int = 3,
        radial: int = 20,
        cutoff: float = 5.0,
        scale: float = 1.0,
        references: Mapping[str, float] | None = None,
        repulsion: str | None = None,
    ) -> None:
        layer = partial(PaiNNLayer, channels, radial)
        super().__init__(
            layer, layers, bessel, channels, radial, nn.SiLU,
            cutoff=cutoff, scale=scale, references=references, repulsion=repulsion,
        )  # fmt: skip
