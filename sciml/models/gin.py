"""A molecule to a vector by a graph isomorphism network: the plain baseline."""

from __future__ import annotations

import torch
from torch import nn

from sciml.builders.molecule.labels import ATOM, BOND
from sciml.graph import Graph, Spec
from sciml.models.pooling import Pool, pooled
from sciml.nn.embedding import LabelEmbedding
from sciml.nn.isomorphism import IsomorphismLayer
from sciml.symmetry import Symmetry


class GIN(nn.Module):
    """Layers of a graph isomorphism network on labels of atoms and bonds.

    Xu et al. 2019 (arXiv 1810.00826), with bonds as in Hu et al. 2020 (arXiv 1905.12265). A LayerNorm stands
    where the papers have a BatchNorm, so that a molecule's vector does not depend on its batch.

    Args:
        channels: of atoms, bonds and the result.
        steps: layers: how many bonds far an atom sees.
        dropout: behind each layer, in training.
        pool: how atoms are joined; see `pooled`.

    Input and output are those of `DMPNN`.
    """

    symmetry = Symmetry(("S",))

    def __init__(
        self, channels: int = 300, steps: int = 5, dropout: float = 0.0, pool: Pool = "mean"
    ) -> None:
        super().__init__()
        self.channels, self.pool = channels, pool
        self.atoms = LabelEmbedding({name: len(values) for name, values in ATOM.items()}, channels)
        bonds = {name: len(values) for name, values in BOND.items()}
        self.bonds = LabelEmbedding(bonds, channels, "edges", "e")
        self.layers = nn.ModuleList(IsomorphismLayer(channels) for _ in range(steps))
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(steps))
        self.dropout = nn.Dropout(dropout)

    def forward(self, graph: Graph) -> Graph:
        """Return the graph with a vector for each molecule.

        Raises:
            ValueError: graphs without the labels of `molecule_graph`.
        """
        inner = self.bonds(self.atoms(graph))
        for layer, norm in zip(self.layers, self.norms):
            x = norm(layer(inner).nodes["x"])
            inner = inner.with_nodes(None, x=self.dropout(torch.relu(x)))
        spec = {"x": Spec(f"{self.channels}x0e")}
        graph = graph.with_nodes(spec, x=inner.nodes["x"])
        return graph.with_globals(spec, x=pooled(graph, self.pool))
