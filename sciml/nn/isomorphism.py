"""Sums over neighbours and a network behind them: as discerning as the Weisfeiler–Lehman test."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.message_passing import Edges, MessagePassing
from sciml.nn.mlp import mlp
from sciml.symmetry import Symmetry


class IsomorphismLayer(MessagePassing):
    """Graph isomorphism network: x_i' = MLP((1 + ε) x_i + Σ_j ReLU(x_j + e_ij)).

    Equation 4.1 of Xu et al. 2019 (arXiv 1810.00826) with a learned ε; edges enter as in Hu et al. 2020
    (arXiv 1905.12265). Without an edge field the message is x_j, as in the first paper.

    Args:
        channels: of nodes, edges and the result.
        edge_field: with as many channels; None where edges carry nothing.
        field: the node field that is read and replaced.
    """

    about = About(
        domain="any graph",
        content="x_j",
        geometry="whatever the edge field e_ij holds",
        equation=r"x_i' = \mathrm{MLP}\Big((1 + \epsilon)\, x_i + \sum_j \mathrm{ReLU}(x_j + e_{ij})\Big)",
        cost="edges · channels + nodes · channels²",
        source="Xu et al. 2019, arXiv 1810.00826, equation 4.1; Hu et al. 2020, arXiv 1905.12265",
    )
    symmetry = Symmetry(("S",))

    def __init__(self, channels: int, edge_field: str | None = "e", field: str = "x") -> None:
        super().__init__()
        self.channels, self.field, self.edge_field = channels, field, edge_field
        self.epsilon = nn.Parameter(torch.zeros(()))
        self.mlp = mlp(channels, (2 * channels,), channels, "relu")

    def message(self, edges: Edges) -> Float[Tensor, "edges channels"]:
        """Return what the sender says."""
        sent = edges.sender(self.field)
        return sent if self.edge_field is None else torch.relu(sent + edges[self.edge_field])

    def message_inputs(self, edges: Edges) -> dict[str, Tensor]:
        """Return x_j and e_ij."""
        inputs = {"x_j": edges.sender(self.field)}
        return inputs if self.edge_field is None else inputs | {"e_ij": edges[self.edge_field]}

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes channels"]) -> Graph:
        """Return the graph with new node features."""
        x = self.mlp((1 + self.epsilon) * graph.nodes[self.field] + aggregated)
        return graph.with_nodes({self.field: Spec(f"{self.channels}x0e")}, **{self.field: x})
