"""Attention as a sum of messages: a test holds it to `MultiHeadAttention`."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.graph import Graph
from sciml.nn.about import About
from sciml.nn.attention.multihead import MultiHeadAttention
from sciml.nn.message_passing import Edges, MessagePassing


class AttentionByMessages(MessagePassing):
    """Attention ⊂ message passing: a sum of messages (e^s v_j, e^s), and the ratio of its parts at the node.

    So message passing over all pairs contains attention exactly, without a softmax in the engine. e^s is
    taken as it is: scores beyond 700 (88 in float32) overflow, which `MultiHeadAttention` avoids.

    Args:
        attention: whose weights are used.
    """

    about = About(
        domain="any graph: sets, sequences, grids, two sets",
        content="q(x_i), k(x_j), v(x_j)",
        geometry="none, or what the encodings give",
        equation=r"x_i' = W_o \frac{\sum_j e^{s_{ij}} v_j}{\sum_j e^{s_{ij}}}",
        cost="nodes · channels² + edges · channels",
    )

    def __init__(self, attention: MultiHeadAttention) -> None:
        super().__init__()
        self.attention = attention
        self.symmetry = attention.symmetry

    def message(self, edges: Edges) -> Float[Tensor, "edges heads width+1"]:
        """Return e^s v_j, and e^s beside it."""
        value = self.attention.message(edges)
        weight = self.attention.score(edges).exp()[..., None]
        return torch.cat([weight * value, weight], dim=-1)

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes heads width+1"]) -> Graph:
        """Divide one sum by the other; where there were no edges both are zero."""
        total = aggregated[..., -1:]
        value = aggregated[..., :-1] / torch.where(total == 0, torch.ones_like(total), total)
        return self.attention.update(graph, value)
