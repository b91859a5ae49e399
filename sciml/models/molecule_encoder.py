"""A molecule to a vector, by messages along its bonds."""

from __future__ import annotations

import torch
from torch import nn

from sciml.builders.molecule.labels import ATOM, BOND
from sciml.graph import Graph, Spec
from sciml.nn.edge_mlp import EdgeMLP
from sciml.nn.embedding import LabelEmbedding
from sciml.nn.message_passing import segment_reduce
from sciml.symmetry import Symmetry


class MoleculeEncoder(nn.Module):
    """Embeddings of atoms and bonds, rounds of messages along the bonds, then mean and maximum over atoms.

    Each round is x_i ← x_i + Σ_j φ(x_i, x_j, e_ij) with a network φ of one hidden layer on normalized x
    (Gilmer et al. 2017, arXiv 1704.01212, with residual connections).

    Args:
        channels: of atoms, bonds and the result.
        layers: rounds of messages: how many bonds far an atom sees.
        dropout: of the messages, in training.

    Input: graphs of `molecule_graph`. Output: ``globals["x"]`` of shape (molecules, channels) and
    ``nodes["x"]`` of shape (atoms, channels).
    """

    symmetry = Symmetry(("S",))

    def __init__(self, channels: int = 64, layers: int = 3, dropout: float = 0.0) -> None:
        super().__init__()
        self.channels = channels
        self.atoms = LabelEmbedding({name: len(values) for name, values in ATOM.items()}, channels)
        bonds = {name: len(values) for name, values in BOND.items()}
        self.bonds = LabelEmbedding(bonds, channels, "edges", "e")
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(layers))
        self.messages = nn.ModuleList(EdgeMLP(channels, edge_channels=channels) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(2 * channels, channels)

    def forward(self, graph: Graph) -> Graph:
        """Return the graph with a vector for each molecule.

        Raises:
            ValueError: graphs without the labels of `molecule_graph`.
        """
        graph = self.bonds(self.atoms(graph))
        spec = {"x": Spec(f"{self.channels}x0e")}
        for norm, message in zip(self.norms, self.messages):
            x = graph.nodes["x"]
            heard = message(graph.with_nodes(None, x=norm(x))).nodes["x"]
            graph = graph.with_nodes(spec, x=x + self.dropout(heard))
        return graph.with_globals(spec, x=self.last(mean_and_maximum(graph)))


def mean_and_maximum(graph: Graph) -> torch.Tensor:
    """Return mean and maximum of ``nodes["x"]`` over each graph, side by side: (graphs, 2 channels)."""
    pool = [
        segment_reduce(graph.nodes["x"], graph.node_graph, graph.num_graphs, how) for how in ("mean", "max")
    ]
    return torch.cat(pool, dim=1)
