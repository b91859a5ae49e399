"""A sequence to a vector, by convolutions along it."""

from __future__ import annotations

from torch import nn

from sciml.builders.protein_sequence import RESIDUES
from sciml.graph import Chain, Graph, Spec
from sciml.models.molecule_encoder import mean_and_maximum
from sciml.nn.chain import ChainConvolution
from sciml.nn.embedding import LabelEmbedding
from sciml.symmetry import Symmetry


class SequenceEncoder(nn.Module):
    """Embeddings of residues, convolutions that reach twice as far each, then mean and maximum.

    Each layer is x ← x + W σ(conv(x)) on normalized x, with dilations 1, 2, 4, … : three of width 5 see 29
    residues, and the maximum finds a motif wherever it stands.

    Args:
        channels: of residues and the result.
        layers: convolutions.
        kernel: residues in a window, odd.
        dropout: after each convolution, in training.

    Input: graphs of `protein_sequence_graph`. Output: ``globals["x"]`` of shape (sequences, channels) and
    ``nodes["x"]`` of shape (residues, channels).
    """

    symmetry = Symmetry()  # the order of residues means something
    needs_layout = True

    def __init__(self, channels: int = 64, layers: int = 3, kernel: int = 5, dropout: float = 0.0) -> None:
        super().__init__()
        self.channels = channels
        self.residues = LabelEmbedding({"residue": len(RESIDUES)}, channels)
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(layers))
        self.convolutions = nn.ModuleList(
            ChainConvolution(channels, channels, kernel, dilation=2**i) for i in range(layers)
        )
        self.mixes = nn.ModuleList(nn.Linear(channels, channels) for _ in range(layers))
        self.activation, self.dropout = nn.SiLU(), nn.Dropout(dropout)
        self.last = nn.Linear(2 * channels, channels)

    def forward(self, graph: Graph) -> Graph:
        """Return the graph with a vector for each sequence.

        Raises:
            ValueError: graphs that are no rows of residues.
        """
        if not isinstance(graph.layout, Chain):
            raise ValueError(  # noqa: TRY004 - the type is right, the graph is not
                "SequenceEncoder needs residues in a row, and the graph has no chain layout: build it with "
                "sciml.builders.protein_sequence_graph, and leave its nodes in their order."
            )
        graph = self.residues(graph)
        spec = {"x": Spec(f"{self.channels}x0e")}
        for norm, convolution, mix in zip(self.norms, self.convolutions, self.mixes):
            x = graph.nodes["x"]
            heard = convolution(graph.with_nodes(None, x=norm(x))).nodes["x"]
            graph = graph.with_nodes(spec, x=x + self.dropout(mix(self.activation(heard))))
        return graph.with_globals(spec, x=self.last(mean_and_maximum(graph)))
