"""What two nodes are to each other: a value for every edge."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.mlp import ACTIVATIONS
from sciml.symmetry import Symmetry


class EdgeReadout(nn.Module):
    """A value for each edge from both its ends: y_ij = w · σ(A x_i + B x_j + (C x_i) ∘ (D x_j) + b) + c.

    The product of both sides says what a sum cannot: that a pair fits, where neither side is good or bad by
    itself. All matrices are applied at the nodes. On a two-sided graph x_j is the senders'.

    Args:
        channels, sender_channels: of the receivers and of the senders; equal if None.
        hidden: channels of σ.
        outputs: values for each edge.
        activation: σ; see `mlp`.
        field: node field that is read.
        result: edge field that is written, of shape (edges, outputs), or (edges,) for one output.
    """

    about = About(
        domain="any graph, one- or two-sided",
        content="x_i and x_j",
        geometry="none",
        equation=r"y_{ij} = w \cdot \sigma\big(A x_i + B x_j + (C x_i) \circ (D x_j) + b\big) + c",
        cost="nodes · channels · hidden + edges · hidden",
        source="low-rank bilinear: Kim et al. 2017, arXiv 1610.04325, equation 5",
    )
    symmetry = Symmetry(("S",))

    def __init__(
        self,
        channels: int,
        sender_channels: int | None = None,
        *,
        hidden: int = 64,
        outputs: int = 1,
        activation: str = "silu",
        field: str = "x",
        result: str = "y",
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"Unknown activation {activation!r}; choose from {', '.join(ACTIVATIONS)}.")
        self.field, self.result, self.outputs = field, result, outputs
        self.receiver = nn.Linear(channels, 2 * hidden)
        self.sender = nn.Linear(sender_channels or channels, 2 * hidden)
        self.activation = ACTIVATIONS[activation]()
        self.last = nn.Linear(hidden, outputs)

    def forward(self, graph: Graph) -> Graph:
        """Return the graph with a value on each edge."""
        senders = graph.nodes if graph.senders is None else graph.senders
        ours = self.receiver(graph.nodes[self.field]).index_select(0, graph.receiver)
        theirs = self.sender(senders[self.field]).index_select(0, graph.sender)
        (added, factor), (added_too, factor_too) = ours.chunk(2, 1), theirs.chunk(2, 1)
        value: Float[Tensor, "edges outputs"] = self.last(
            self.activation(added + added_too + factor * factor_too)
        )
        value = value[:, 0] if self.outputs == 1 else value
        return graph.with_edges({self.result: Spec()}, **{self.result: value})
