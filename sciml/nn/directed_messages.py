"""Messages along directed edges that do not go back where they came from."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.message_passing import Edges, MessagePassing
from sciml.symmetry import Symmetry


class DirectedMessages(MessagePassing):
    r"""One step of a directed message-passing network: states are at edges, and none meets its own echo.

    The edge from v to w hears the edges that come into v, all but the one from w:

        h_vw' = ReLU(h⁰_vw + W Σ_{k ∈ N(v) \ w} h_kv)

    (Yang et al. 2019, arXiv 1904.01561, equations 1, 2 and 4). The sum over all that come into v is made once
    for each node, and the one from w taken off again. There is at most one edge from any node to another.

    Args:
        channels: of edges.
        dropout: of the new states, in training.
        field, start: edge fields with h, which is replaced, and h⁰.
    """

    about = About(
        domain="any graph, states at directed edges",
        content="h_kv of the edges that come into the sender, all but the reverse edge",
        geometry="whatever the first states h⁰ hold",
        equation=r"h_{vw}' = \mathrm{ReLU}\Big(h^0_{vw} + W \sum_{k \in N(v) \setminus w} h_{kv}\Big)",
        cost="edges · channels²",
        source="Yang et al. 2019, arXiv 1904.01561, equations 1, 2 and 4",
    )
    symmetry = Symmetry(("S",))

    def __init__(self, channels: int, dropout: float = 0.0, field: str = "h", start: str = "h0") -> None:
        super().__init__()
        self.channels, self.field, self.start = channels, field, start
        self.linear = nn.Linear(channels, channels, bias=False)
        self.dropout = nn.Dropout(dropout)

    def message(self, edges: Edges) -> Float[Tensor, "edges channels"]:
        """Return h."""
        return edges[self.field]

    def message_inputs(self, edges: Edges) -> dict[str, Tensor]:
        """Return h."""
        return {"h": edges[self.field]}

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes channels"]) -> Graph:
        """Return the graph with new states at its edges."""
        reverse, known = reverse_edges(graph)
        h = graph.edges[self.field]
        echo = h.index_select(0, reverse) * known[:, None].to(h.dtype)
        heard = self.linear(aggregated.index_select(0, graph.sender) - echo)
        new = self.dropout(torch.relu(graph.edges[self.start] + heard))
        return graph.with_edges({self.field: Spec(f"{self.channels}x0e")}, **{self.field: new})


def reverse_edges(graph: Graph) -> tuple[Int[Tensor, "edges"], Bool[Tensor, "edges"]]:
    """Return for each edge the number of its reverse edge, and whether there is one.

    On the graph's device and without a word from the host: sorted by (receiver, sender), the reverse of an
    edge stands where its (sender, receiver) belongs.
    """
    size = graph.num_nodes
    key, wanted = graph.receiver * size + graph.sender, graph.sender * size + graph.receiver
    ascending, order = key.sort()
    place = torch.searchsorted(ascending, wanted).clamp(max=max(graph.num_edges - 1, 0))
    known = ascending.index_select(0, place) == wanted
    return order.index_select(0, place), known
