"""Atoms to scalars and vectors that know their surroundings: what several heads may read."""

from __future__ import annotations

import torch
from torch import nn

from sciml.builders.atoms import ELEMENTS
from sciml.graph import Graph, Spec
from sciml.models.potential import with_geometry
from sciml.nn import PaiNNLayer
from sciml.nn.pairs import radial_functions
from sciml.nn.radial import bessel
from sciml.symmetry import Symmetry


class AtomEncoder(nn.Module):
    """Elements embedded, and layers of PaiNN (Schütt et al. 2021, arXiv 2102.03150).

    Args:
        channels: scalars of an atom, and as many vectors.
        layers: message and update blocks.
        radial: Bessel functions of the distance.
        cutoff: in Å.

    Input: graphs of `atoms_graph` with this cutoff. Output: the graph with node fields ``x``
    (nodes, channels) and ``v`` (nodes, channels, 3). Element 0 stands for an atom whose element is hidden.
    """

    symmetry = Symmetry(("S", "T", "O"))

    def __init__(self, channels: int = 64, layers: int = 3, radial: int = 16, cutoff: float = 5.0) -> None:
        super().__init__()
        self.cutoff, self.radial, self.channels = float(cutoff), radial, channels
        self.embedding = nn.Parameter(torch.randn(ELEMENTS, channels))
        self.layers = nn.ModuleList(PaiNNLayer(channels, radial) for _ in range(layers))

    def forward(self, graph: Graph) -> Graph:
        """Return the graph with ``x`` and ``v``."""
        inner = with_geometry(graph, graph.edge_vectors(), self.cutoff)
        basis = lambda distance: bessel(distance, self.radial, self.cutoff)
        x = self.embedding.index_select(0, graph.nodes["number"])
        inner = inner.with_nodes({"x": Spec(f"{self.channels}x0e")}, x=x)
        inner, radial = radial_functions(inner, basis, self.layers)
        for layer in self.layers:
            inner = layer(inner, radial)
        specs = {"x": Spec(f"{self.channels}x0e"), "v": Spec("1o")}
        return graph.with_nodes(specs, x=inner.nodes["x"], v=inner.nodes["v"])
