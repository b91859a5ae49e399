"""Networks on residue graphs, with outputs for residues, structures and pairs of residues."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.builders.residue import SECONDARY, TYPES
from sciml.graph import Graph, Place, Spec
from sciml.models.heads import Heads, Sizes
from sciml.nn.message_passing import segment_reduce
from sciml.nn.residue import GVPConvolution, PairBlock, PointAttentionBlock, RelationalBlock, ResidueInputs
from sciml.nn.residue.inputs import KINDS
from sciml.symmetry import Symmetry

Kind = Literal["gvp", "ipa", "relational"]
INPUTS: tuple[str, ...] = ("place", "type", "frame")


class ResidueNetwork(nn.Module):
    """A network on residue graphs (`sciml.builders.residue_graph`), in one line.

    It sees the fields that ``inputs`` name and no others, so what is to be predicted is not read by accident:

    - secondary structure, exposure or B-factor from a CA trace: ``("place",)``, and ``"type"`` where the
      sequence is known. (Torsions and frames of the backbone tell secondary structure;
      `residue_graph(..., frame="trace")` makes frames of CA alone.)
    - residue types from a backbone (inverse folding): ``("place", "frame")``, on graphs with
      ``contact="ca"``. (Cβ is built for glycine and measured for the others, so ``"cb"``, and contacts by Cβ,
      tell a little of the type.)
    - anything else from all of it: ``("place", "type", "frame")``, the default.

    Three kinds, all unmoved by translations and equivariant under rotations:

    - ``gvp``: scalars and vectors (`GVPConvolution`). SO(3): mirror images are told apart; with
      ``reflections=True`` they are not, O(3).
    - ``ipa``: invariant point attention in local frames (`InvariantPointAttention`), SO(3); needs ``frame``.
    - ``relational``: one matrix for each kind of edge (`RelationalConvolution`). SO(3) where frames or
      torsions are inputs, else O(3): nothing that it sees tells mirror images apart.

    Args:
        heads: outputs at residues: name to number of classes, 1 for a number. ``nodes["predicted_NAME"]`` is
            (nodes, classes), scores before a softmax, or (nodes,).
        graph_heads: the same for whole structures, from the mean over residues, in ``globals``.
        edge_heads: the same for pairs of residues, along the graph's edges, in ``edges``.
        vector_heads: names of vectors at residues, as a displacement: ``nodes["predicted_NAME"]`` (nodes, 3).
            Not of the relational kind.
        kind: see above.
        inputs: names in `sciml.nn.residue.READS`.
        channels, vectors, edge_channels: of scalars and vectors at nodes, and of edges.
        layers: number of layers.
        pair_blocks: number of triangle updates of the pairs (`PairBlock`) before the layers, on complete
            graphs (`sciml.builders.residue_pairs`) or on contacts.
        reflections: read and do nothing that tells mirror images apart.
        dropout: rate, in training.

    Raises:
        ValueError: no output, an unknown kind or input, options that exclude each other; in use, a graph
            without a field that is read.
    """

    def __init__(
        self,
        heads: Mapping[str, int] | None = None,
        *,
        graph_heads: Mapping[str, int] | None = None,
        edge_heads: Mapping[str, int] | None = None,
        vector_heads: Sequence[str] = (),
        kind: Kind = "gvp",
        inputs: Sequence[str] = INPUTS,
        channels: int = 64,
        vectors: int = 16,
        edge_channels: int = 32,
        layers: int = 3,
        pair_blocks: int = 0,
        reflections: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        sizes: dict[Place, Mapping[str, int]] = {
            "nodes": heads or {},
            "globals": graph_heads or {},
            "edges": edge_heads or {},
        }
        _check(kind, inputs, reflections, sizes, vector_heads)
        self.kind = kind
        self.inputs = ResidueInputs(
            inputs,
            channels,
            vectors,
            edge_channels,
            types=len(TYPES),
            secondary=len(SECONDARY),
            reflections=reflections,
        )
        layer: dict[str, Callable[[], nn.Module]] = {
            "gvp": lambda: GVPConvolution(
                channels, vectors, edge_channels, reflections=reflections, dropout=dropout
            ),
            "ipa": lambda: PointAttentionBlock(channels, edge_channels, dropout=dropout),
            "relational": lambda: RelationalBlock(channels, len(KINDS), edge_channels, dropout=dropout),
        }
        blocks = [PairBlock(channels, edge_channels, dropout=dropout) for _ in range(pair_blocks)]
        self.layers = nn.ModuleList([*blocks, *(layer[kind]() for _ in range(layers))])
        widths: dict[Place, int] = {
            "nodes": channels,
            "globals": channels,
            "edges": 2 * channels + edge_channels,
        }
        self.heads = Heads(sizes, widths, channels, dropout)
        arrow = lambda: nn.Linear(vectors, 1, bias=False) if kind == "gvp" else nn.Linear(channels, 3)
        self.vector_heads = nn.ModuleDict({f"predicted_{name}": arrow() for name in vector_heads})
        chiral = not reflections if kind == "gvp" else "SO" in self.inputs.symmetry.groups
        self.symmetry = Symmetry(("S", "T", "SO" if chiral else "O"))

    @property
    def reads(self) -> frozenset[tuple[Place, str]]:
        """All fields that the network reads, as (place, name)."""
        return self.inputs.reads

    def encode(self, graph: Graph) -> Graph:
        """Return a graph with ``x`` and, by ``gvp``, ``v`` of the last layer, and with ``e``."""
        hidden = self.inputs(graph)
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden

    def forward(self, graph: Graph) -> Graph:
        """Return the graph with the predicted fields added."""
        hidden = self.encode(graph)
        x = hidden.nodes["x"]
        rows: dict[Place, Tensor] = {
            "nodes": x,
            "globals": segment_reduce(x, graph.node_graph, graph.num_graphs, "mean"),
            "edges": _pairs(hidden) if "edges" in self.heads else x,
        }
        graph = self.heads(graph, rows)
        for name, linear in self.vector_heads.items():
            graph = graph.with_nodes({name: Spec("1o")}, **{name: self._arrow(linear, hidden)})
        return graph

    def _arrow(self, linear: nn.Module, hidden: Graph) -> Float[Tensor, "nodes 3"]:
        """Return a vector for each residue: a sum of its vectors, or one told in its frame."""
        if self.kind == "gvp":
            return linear(hidden.nodes["v"].mT)[..., 0]
        axes = hidden.nodes["frame"].unflatten(1, (3, 3))
        return (linear(hidden.nodes["x"])[:, None] @ axes)[:, 0]


# -------------------------------------------------------------------- details


def _pairs(hidden: Graph) -> Float[Tensor, "edges width"]:
    x = hidden.nodes["x"]
    ends = [x.index_select(0, hidden.receiver), x.index_select(0, hidden.sender)]
    return torch.cat([*ends, hidden.edges["e"]], dim=1)


def _check(
    kind: str,
    inputs: Sequence[str],
    reflections: bool,
    sizes: Sizes,
    vector_heads: Sequence[str],
) -> None:
    """Raise where options are unknown or exclude each other."""
    if kind not in get_args(Kind):
        raise ValueError(f"Unknown kind {kind!r}; choose from {', '.join(get_args(Kind))}.")
    if not any(sizes.values()) and not vector_heads:
        raise ValueError(
            "ResidueNetwork has nothing to predict: give heads={'exposure': 1}, graph_heads, edge_heads or "
            "vector_heads."
        )
    if kind == "ipa" and "frame" not in inputs:
        raise ValueError(
            "kind='ipa' works in local frames: add 'frame' to the inputs (with "
            "residue_graph(..., frame='trace') where there are CA only), or choose kind='gvp'."
        )
    if kind == "ipa" and reflections:
        raise ValueError("kind='ipa' tells mirror images apart; reflections=True needs kind='gvp'.")
    if kind == "relational" and vector_heads:
        raise ValueError("kind='relational' has no vectors: choose kind='gvp' or 'ipa' for vector_heads.")
