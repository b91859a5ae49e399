"""The Transformer's layer: attention, then a small network at each node, both beside the way straight on."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.attention.fields import read
from sciml.nn.attention.multihead import MultiHeadAttention, sending
from sciml.nn.attention.rotary import Rotary
from sciml.nn.attention.score_encodings import ScoreBias
from sciml.nn.mlp import mlp


class TransformerBlock(nn.Module):
    """Pre-norm Transformer layer: x ← x + attention(norm(x)), then x ← x + network(norm(x)).

    On a two-sided graph the receivers attend to the senders, which stay as they are.

    Args:
        channels: of the field, before and after.
        heads, sender_channels, biases, rotary, field: of the attention, see `MultiHeadAttention`.
        factor: width of the network's hidden layer, in ``channels``.
        dropout: share of both branches that is dropped in training.

    Xiong et al. 2020, arXiv 2002.04745, table 1 (right).
    """

    about = About(
        domain="any graph: sets, sequences, grids, two sets",
        content="q(x_i), k(x_j), v(x_j); then x_i alone",
        geometry="none, or what the encodings give",
        equation=r"y_i = x_i + A(\operatorname{norm} x)_i, \quad x_i' = y_i + \phi(\operatorname{norm} y_i)",
        cost="nodes · channels² + edges · channels",
        source="Xiong et al. 2020, arXiv 2002.04745, table 1",
    )

    def __init__(
        self,
        channels: int,
        heads: int = 8,
        *,
        sender_channels: int | None = None,
        biases: Sequence[ScoreBias] = (),
        rotary: Rotary | None = None,
        factor: int = 4,
        dropout: float = 0.0,
        field: str = "x",
    ) -> None:
        super().__init__()
        self.field = field
        self.attention = MultiHeadAttention(
            channels, heads, sender_channels=sender_channels, biases=biases, rotary=rotary, field=field
        )
        self.norm = nn.LayerNorm(channels)
        self.sender_norm = None if sender_channels is None else nn.LayerNorm(sender_channels)
        self.network = nn.Sequential(
            nn.LayerNorm(channels), mlp(channels, (factor * channels,), channels, "gelu"), nn.Dropout(dropout)
        )
        self.dropout = nn.Dropout(dropout)
        self.symmetry = self.attention.symmetry

    def forward(self, graph: Graph) -> Graph:
        """Return the graph with its field replaced.

        Raises:
            ValueError: see `MultiHeadAttention`.
        """
        name = self.field
        x = read(graph, "nodes", name, "TransformerBlock", self.attention.channels)
        normal = graph.with_nodes(None, **{name: self.norm(x)})
        if graph.two_sided:
            sent = read(graph, sending(graph), name, "TransformerBlock", self.attention.sender_channels)
            normal = normal.with_senders(None, **{name: (self.sender_norm or self.norm)(sent)})
        x = x + self.dropout(self.attention(normal).nodes[name])
        x = x + self.network(x)
        return graph.with_nodes({name: Spec(f"{x.shape[1]}x0e")}, **{name: x})
