"""A molecule to a vector by attention among all of its atoms."""

from __future__ import annotations

from torch import nn

from sciml.builders.molecule.labels import ATOM, BOND, one_hot
from sciml.builders.structure import all_pairs, with_walks
from sciml.graph import Graph, Spec
from sciml.models.pooling import Pool, pooled
from sciml.nn.attention import EdgeBias, LabelBias, TransformerBlock, WalkEncoding
from sciml.nn.embedding import LabelEmbedding
from sciml.symmetry import Symmetry

FARTHEST = 8  # bonds between two atoms beyond which they count as equally far
WALKS = 12  # steps after which a random walk is asked whether it is back


class MoleculeTransformer(nn.Module):
    """Transformer blocks in which every atom hears all atoms of its molecule.

    Scores have a number for how many bonds lie between two atoms (Graphormer: Ying et al. 2021, arXiv
    2106.05234, equation 6) and a linear map of the bond's labels where there is one; atoms know how probable
    it is that a random walk is back after 1, 2, ... steps, which tells rings from chains (Dwivedi et al.
    2022, arXiv 2110.07875).

    Args:
        channels: of atoms and the result.
        steps: blocks.
        dropout: of both branches of each block, in training.
        pool: how atoms are joined; see `pooled`.
        heads: of the attention.

    Input: graphs of `molecule_graph`, or what `prepare` made of them, which need not be found out again.
    Output is that of `DMPNN`, on the graph of all pairs.

    Raises:
        ValueError: heads that do not divide the channels; in use, graphs without the labels of
            `molecule_graph`.
    """

    symmetry = Symmetry(("S",))

    def __init__(
        self, channels: int = 128, steps: int = 4, dropout: float = 0.0, pool: Pool = "mean", heads: int = 8
    ) -> None:
        super().__init__()
        self.channels, self.pool = channels, pool
        self.atoms = LabelEmbedding({name: len(values) for name, values in ATOM.items()}, channels)
        self.walks = WalkEncoding(channels, WALKS)
        bonds = sum(map(len, BOND.values()))
        self.blocks = nn.ModuleList(
            TransformerBlock(
                channels,
                heads,
                biases=[LabelBias(heads, FARTHEST + 2, "hops"), EdgeBias(heads, bonds, "e")],
                factor=2,
                dropout=dropout,
            )
            for _ in range(steps)
        )
        self.norm = nn.LayerNorm(channels)

    @staticmethod
    def prepare(graph: Graph) -> Graph:
        """Return the graph of all pairs of atoms, with how far apart they are and what bond joins them."""
        if "hops" in graph.edges:
            return graph
        told = with_walks(one_hot(graph), WALKS)
        return all_pairs(told.without("nodes", "x").without("edges", *BOND), FARTHEST)

    def forward(self, graph: Graph, pairs: Graph | None = None) -> Graph:
        """Return the graph of all pairs with a vector for each molecule.

        Args:
            graph: the molecules.
            pairs: what `prepare` returned for them, where several networks read the same.
        """
        pairs = self.prepare(graph) if pairs is None else pairs
        like = self.norm.weight.dtype
        inner = self.walks(self.atoms(pairs.to(like)))
        for block in self.blocks:
            inner = block(inner)
        spec = {"x": Spec(f"{self.channels}x0e")}
        inner = inner.with_nodes(spec, x=self.norm(inner.nodes["x"]))
        return inner.with_globals(spec, x=pooled(inner, self.pool))
