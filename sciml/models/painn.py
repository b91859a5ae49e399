"""PaiNN: an energy by scalars and vectors at atoms."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.models.potential import Potential
from sciml.models.schnet import ELEMENTS
from sciml.nn.painn import PaiNNLayer
from sciml.nn.radial import bessel


class PaiNN(Potential):
    """Schütt et al. 2021, arXiv 2102.03150: equivariant message passing with scalars and vectors.

    Args:
        channels: scalars of an atom, and as many vectors.
        layers: message and update blocks.
        radial: Bessel functions of the distance.
        cutoff, scale, references: of `Potential`. The envelope at the cutoff is a polynomial with two
            continuous derivatives in place of the paper's cosine, whose second derivative jumps.
    """

    def __init__(
        self,
        channels: int = 128,
        layers: int = 3,
        radial: int = 20,
        cutoff: float = 5.0,
        scale: float = 1.0,
        references: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(cutoff, scale, references)
        self.radial = radial
        self.embedding = nn.Parameter(torch.randn(ELEMENTS, channels))
        self.layers = nn.ModuleList(PaiNNLayer(channels, radial) for _ in range(layers))
        self.readout = nn.Sequential(
            nn.Linear(channels, channels // 2), nn.SiLU(), nn.Linear(channels // 2, 1)
        )

    def atomic(self, graph: Graph) -> Float[Tensor, "nodes"]:
        """Return the output of each atom."""
        x = self.embedding.index_select(0, graph.nodes["number"])
        radial = bessel(graph.edges["distance"], self.radial, self.cutoff)
        graph = graph.with_nodes({"x": Spec()}, x=x).with_edges(None, radial=radial)
        for layer in self.layers:
            graph = layer(graph)
        return self.readout(graph.nodes["x"])[:, 0]
