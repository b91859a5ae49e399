"""Message passing by a network on edges that count by a weight of their own."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.graph import Graph
from sciml.nn.about import About
from sciml.nn.edge_mlp import EdgeMLP
from sciml.nn.message_passing import Edges, segment_reduce


class WeightedEdgeMLP(EdgeMLP):
    """Weighted sum of a network on each edge: x_i' = Σ_j w_ij φ(x_i, x_j, e_ij).

    φ as in `EdgeMLP`. The weight is a field of the edges: a cutoff function, which makes the result smooth
    where edges come and go, or a mask of edges that are only asked about.

    Args:
        channels, options: of `EdgeMLP`, which sums.
        weight_field: edge field of shape (edges,).

    Raises:
        ValueError: as `EdgeMLP`; a reduction other than the sum.
    """

    about = About(
        domain="any graph, one- or two-sided",
        content="x_i and x_j",
        geometry="whatever the edge field e_ij and the weight w_ij hold",
        equation=r"x_i' = \sum_j w_{ij} \big(W_n\, \sigma(W_r x_i + W_s x_j + W_e e_{ij} + b) + b_n\big)",
        cost="edges · edge_channels · hidden + nodes · hidden · (channels + out)",
        fused="linear maps at nodes instead of edges",
        source="Gilmer et al. 2017, arXiv 1704.01212; weights as in Schütt et al. 2017, arXiv 1706.08566",
    )

    def __init__(self, channels: int, *arguments: Any, weight_field: str = "weight", **options: Any) -> None:
        super().__init__(channels, *arguments, **options)
        if self.reduction != "sum":
            raise ValueError(f"reduction={self.reduction!r}: a weighted mean is not defined; take sum.")
        self.weight_field = weight_field

    def score(self, edges: Edges) -> Float[Tensor, "edges"]:
        """Return the weights."""
        return edges[self.weight_field].to(edges.receiver(self.field).dtype)

    def fused_forward(self, graph: Graph) -> Graph:
        """Apply the first maps before the edges and the last one after them."""
        weight = graph.edges[self.weight_field].to(graph.nodes[self.field].dtype)[:, None]
        joined = segment_reduce(weight * self.hidden(graph), graph.receiver, graph.num_nodes)
        total = segment_reduce(weight, graph.receiver, graph.num_nodes)
        return self.update(graph, torch.addmm(total * self.last.bias, joined, self.last.weight.T))
