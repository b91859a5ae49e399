"""SchNet: an energy by filters that are functions of distance."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.models.potential import Potential
from sciml.nn.continuous_filter import ContinuousFilter, ShiftedSoftplus
from sciml.nn.radial import gaussians

ELEMENTS = 119  # atomic numbers from 0 (of no element) to 118


class SchNet(Potential):
    """Schütt et al. 2017, arXiv 1706.08566: invariant features, mixed by continuous-filter convolutions.

    Args:
        channels: of an atom; the paper has 64.
        layers: interactions.
        radial: Gaussians of the distance, from 0 to the cutoff.
        cutoff, scale, references: of `Potential`; the paper has no cutoff.
    """

    def __init__(
        self,
        channels: int = 64,
        layers: int = 3,
        radial: int = 32,
        cutoff: float = 5.0,
        scale: float = 1.0,
        references: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(cutoff, scale, references)
        self.radial = radial
        self.embedding = nn.Parameter(torch.randn(ELEMENTS, channels))
        self.layers = nn.ModuleList(ContinuousFilter(channels, radial) for _ in range(layers))
        self.readout = nn.Sequential(
            nn.Linear(channels, channels // 2), ShiftedSoftplus(), nn.Linear(channels // 2, 1)
        )
        # With torch's own start, which shrinks variances at every map, the energy hardly knows of positions.
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def atomic(self, graph: Graph) -> Float[Tensor, "nodes"]:
        """Return the output of each atom."""
        x = self.embedding.index_select(0, graph.nodes["number"])
        radial = gaussians(graph.edges["distance"], self.radial, self.cutoff)
        graph = graph.with_nodes({"x": Spec()}, x=x).with_edges(None, radial=radial)
        for layer in self.layers:
            graph = layer(graph)
        return self.readout(graph.nodes["x"])[:, 0]
