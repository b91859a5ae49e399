"""EGNN: an energy by distances between points that move."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.builders.atoms import ELEMENTS
from sciml.graph import Graph, Spec
from sciml.models.potential import Potential
from sciml.nn.egnn import EGNNLayer


class EGNN(Potential):
    """Satorras et al. 2021, arXiv 2102.09844: messages of distances between points that move.

    Args:
        channels: of an atom.
        layers: how many.
        neighbors: how many there are of an atom, typically.
        cutoff, scale, references, repulsion: of `Potential`; the paper has no cutoff.
    """

    def __init__(
        self,
        channels: int = 64,
        layers: int = 4,
        neighbors: float = 12.0,
        cutoff: float = 5.0,
        scale: float = 1.0,
        references: Mapping[str, float] | None = None,
        repulsion: str | None = None,
    ) -> None:
        super().__init__(cutoff, scale, references, repulsion)
        self.embedding = nn.Parameter(torch.randn(ELEMENTS, channels))
        self.layers = nn.ModuleList(EGNNLayer(channels, cutoff, neighbors) for _ in range(layers))
        self.readout = nn.Sequential(nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, 1))

    def atomic(self, graph: Graph) -> Float[Tensor, "nodes"]:
        """Return the output of each atom."""
        x = self.embedding.index_select(0, graph.nodes["number"])
        graph = graph.with_nodes({"x": Spec()}, x=x)
        for layer in self.layers:
            graph = layer(graph)
        return self.readout(graph.nodes["x"])[:, 0]
