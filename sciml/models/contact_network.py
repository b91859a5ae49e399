"""Which contacts are missing from a contact map? A network on contacts and types, without coordinates."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.builders.residue import TYPES
from sciml.graph import Graph, Spec
from sciml.nn.weighted_edge_mlp import WeightedEdgeMLP
from sciml.symmetry import Symmetry

NEAR = 8  # places along the chain that are told apart
_PLACES = 2 * NEAR + 4  # those, two classes for what is farther, and one for other chains


class ContactNetwork(nn.Module):
    """Messages along the contacts that are shown, then a score for each pair that is asked about.

        x_i ← x_i + Σ_j observed_ij φ(x_i, x_j, e_ij)
        s_ij = MLP(A x_i + A x_j, (B x_i) ∘ (B x_j), what shown contacts say of the pair)

    The score of (i, j) is that of (j, i).

    Args:
        pair_channels: of ``edges["pair"]``.
        channels: of residues.
        layers: rounds of messages.
        dropout: rate, in training.

    Input: graphs of `sciml.datasets.contact_maps.hide_contacts`. Output: ``edges["predicted_contacts"]``
    (edges,), log odds; of no meaning on edges that are no candidates.
    """

    symmetry = Symmetry(("S",))

    def __init__(self, pair_channels: int, channels: int = 48, layers: int = 3, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed = nn.Embedding(len(TYPES), channels)
        self.layers = nn.ModuleList(
            WeightedEdgeMLP(channels, hidden=(channels,), edge_channels=_PLACES + 3, weight_field="observed")
            for _ in range(layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(layers))
        self.last_norm = nn.LayerNorm(channels)
        self.sum, self.factor = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.score = nn.Sequential(
            nn.Linear(2 * channels + pair_channels, channels),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(channels, 1),
        )
        self.skip = nn.Linear(pair_channels, 1)  # a linear answer is at hand from the start

    def forward(self, graph: Graph) -> Graph:
        """Return the graph with a score on each edge."""
        x = self.embed(graph.nodes["type"])
        edge = _edge_features(graph, x.dtype)
        for layer, norm in zip(self.layers, self.norms):
            hidden = graph.with_nodes({"x": Spec()}, x=norm(x)).with_edges({"e": Spec()}, e=edge)
            x = x + 0.2 * layer(hidden).nodes["x"]  # some 20 contacts: their sum is of order one
        x = self.last_norm(x)
        total, factor, pair = self.sum(x), self.factor(x), graph.edges["pair"]
        ends = graph.sender, graph.receiver
        added = total.index_select(0, ends[0]) + total.index_select(0, ends[1])
        product = factor.index_select(0, ends[0]) * factor.index_select(0, ends[1])
        score = self.score(torch.cat([added, product, pair], dim=1)) + self.skip(pair)
        return graph.with_edges({"predicted_contacts": Spec()}, predicted_contacts=score[:, 0])


def _edge_features(graph: Graph, dtype: torch.dtype) -> Float[Tensor, "edges features"]:
    separation = graph.edges["separation"].clamp(-NEAR - 1, NEAR + 1)
    place = torch.where(graph.edges["same_chain"], separation, NEAR + 2) + NEAR + 1
    return torch.cat([nn.functional.one_hot(place, _PLACES).to(dtype), graph.edges["kind"].to(dtype)], dim=1)
