"""A network on complexes of a ligand and its pocket, with weights for each kind of node and edge."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sciml.builders.complexes import BONDS, EDGE_KINDS, NODE_KINDS
from sciml.builders.molecule import ATOM
from sciml.builders.residue import TYPES
from sciml.graph import Graph
from sciml.models.heads import Heads
from sciml.nn.message_passing import segment_reduce
from sciml.nn.radial import gaussians
from sciml.nn.residue import RelationalBlock, TypedEmbedding
from sciml.nn.residue.inputs import PLACES, place_classes
from sciml.nn.residue.perceptron import length
from sciml.symmetry import Symmetry

LABELS = {"type": len(TYPES), **{name: len(values) for name, values in ATOM.items()}}
LIGAND = NODE_KINDS.index("ligand atom")
RELATIONS = ("covalent", "sequence", "in the pocket", "in the ligand", "to the ligand", "to the pocket")


class ComplexNetwork(nn.Module):
    """Relational message passing on complexes (`sciml.builders.complex_graph`), kinds told apart.

    Every kind of node has tables and matrices of its own, every kind of edge a matrix; edges within the
    pocket and within the ligand, to the ligand and to the pocket count as different kinds (`RELATIONS`).
    Distances come in by the features of edges. Complexes as a whole are told from the means over the pocket
    and over the ligand, side by side.

    It sees distances only, so that rotations and reflections change nothing, O(3); which hand a molecule has
    comes in by the CIP labels of its atoms, which are data of the graph and no geometry.

    Args:
        graph_heads: outputs for a complex, as ``{"affinity": 1}``: name to number of classes, 1 for a number;
            ``globals["predicted_NAME"]``.
        heads: the same at nodes: ``nodes["predicted_NAME"]``.
        channels, edge_channels: of nodes and edges.
        layers: number of layers.
        bases: matrices that those of the kinds are mixtures of; see `RelationalConvolution`.
        dropout: rate, in training.

    Raises:
        ValueError: no output; in use, a graph without the fields of `complex_graph`.
    """

    symmetry = Symmetry(("S", "T", "O"))

    def __init__(
        self,
        graph_heads: Mapping[str, int] | None = None,
        *,
        heads: Mapping[str, int] | None = None,
        channels: int = 64,
        edge_channels: int = 32,
        layers: int = 4,
        bases: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = TypedEmbedding(LABELS, len(NODE_KINDS), channels)
        self.edge = nn.Linear(2 * DISTANCES + len(EDGE_KINDS), edge_channels)
        self.bond = nn.Embedding(len(BONDS), edge_channels)
        self.place = nn.Embedding(PLACES, edge_channels)
        self.layers = nn.ModuleList(
            RelationalBlock(
                channels,
                len(RELATIONS),
                edge_channels,
                bases=bases,
                node_kinds=len(NODE_KINDS),
                dropout=dropout,
            )
            for _ in range(layers)
        )
        sizes = {"nodes": heads or {}, "globals": graph_heads or {}}
        self.heads = Heads(sizes, {"nodes": channels, "globals": 2 * channels}, channels, dropout)  # type: ignore[arg-type]
        if not len(self.heads):
            raise ValueError("ComplexNetwork predicts nothing: give graph_heads={'affinity': 1}, or heads.")
        self.channels = channels

    def forward(self, graph: Graph) -> Graph:
        """Return the graph with the predicted fields added."""
        _check(graph)
        kind = graph.nodes["kind"]
        x = self.embedding(graph.nodes, kind)
        edges = {"e": self._pairs(graph), "relation": relations(graph)}
        hidden = graph.replace(nodes={"x": x, "kind": kind}, edges=edges, globals={}, specs={})
        for layer in self.layers:
            hidden = layer(hidden)
        x = hidden.nodes["x"]
        ligand = (kind == LIGAND).to(x.dtype)[:, None]
        means = [_mean(x, share, graph) for share in (1 - ligand, ligand)]
        return self.heads(graph, {"nodes": x, "globals": torch.cat(means, dim=1)})

    def _pairs(self, graph: Graph) -> Float[Tensor, "edges edge_channels"]:
        apart = length(graph.edge_vectors()[..., None])[:, 0]
        columns = [gaussians(d, DISTANCES, EXTENT) for d in (apart, graph.edges["distance"])]
        columns.append(graph.edges["kind"].to(apart.dtype))
        place = place_classes(graph.edges["separation"], graph.edges["same_chain"])
        return self.edge(torch.cat(columns, dim=1)) + self.bond(graph.edges["bond"]) + self.place(place)


DISTANCES, EXTENT = 16, 12.0  # Gaussians, and the largest distance in Å that they tell apart


def relations(graph: Graph) -> Bool[Tensor, "edges 6"]:
    """Return which of `RELATIONS` each edge is."""
    covalent, sequence, contact, cross = graph.edges["kind"].bool().unbind(1)
    to_ligand = (graph.nodes["kind"] == LIGAND).index_select(0, graph.receiver)
    parts = [covalent, sequence, contact & ~to_ligand, contact & to_ligand]
    return torch.stack([*parts, cross & to_ligand, cross & ~to_ligand], dim=1)


# -------------------------------------------------------------------- details


def _mean(
    x: Float[Tensor, "nodes channels"], share: Float[Tensor, "nodes 1"], graph: Graph
) -> Float[Tensor, "graphs channels"]:
    total, count = (segment_reduce(v, graph.node_graph, graph.num_graphs) for v in (x * share, share))
    return total / count.clamp(min=1)


def _check(graph: Graph) -> None:
    for place, names in (("nodes", ("kind", *LABELS)), ("edges", ("kind", "bond", "distance", "separation"))):
        for name in names:
            if name not in getattr(graph, place):
                raise ValueError(
                    f"ComplexNetwork reads {place}.{name}, which the graph lacks; build it with "
                    "sciml.builders.complex_graph."
                )
    if graph.edges["kind"].shape[1:] != (len(EDGE_KINDS),):
        raise ValueError(
            f"edges.kind has shape {tuple(graph.edges['kind'].shape)}; ComplexNetwork takes the "
            f"{len(EDGE_KINDS)} kinds of complex_graph (a residue_graph is for ResidueNetwork)."
        )
