"""Sums over neighbours with symmetric normalization: the whole of a light graph convolution."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.graph import Graph, Place
from sciml.nn.about import About
from sciml.nn.gather import gather_sum
from sciml.nn.message_passing import Edges, MessagePassing
from sciml.symmetry import Symmetry


class NormalizedSum(MessagePassing):
    """Light graph convolution: x_i' = Σ_j x_j / √(d_i d_j), with the numbers of edges d of both ends.

    There is nothing to learn: a linear map could stand before or behind it (Kipf & Welling 2017), and on
    tables of pairs it is better left out (He et al. 2020, equation 3). On a two-sided graph x_j is the
    senders' field, and the result is the receivers'; `turned` gives the way back. Nodes without edges get
    zero.

    Args:
        field: of the senders, and of the nodes where it is written.
    """

    about = About(
        domain="any graph, one- or two-sided",
        content="x_j",
        geometry="the numbers of edges at both ends",
        equation=r"x_i' = \sum_j \frac{x_j}{\sqrt{d_i d_j}}",
        cost="edges · channels",
        fused="rows summed as they are read (embedding_bag)",
        source="He et al. 2020, arXiv 2002.02126, equation 3; Kipf & Welling 2017, arXiv 1609.02907",
    )
    symmetry = Symmetry(("S",))

    def __init__(self, field: str = "x") -> None:
        super().__init__()
        self.field = field

    def score(self, edges: Edges) -> Float[Tensor, "edges"]:
        """Return 1 / √(d_i d_j)."""
        graph = edges.graph
        sender, receiver = self._scales(graph)
        return receiver.index_select(0, graph.receiver) * sender.index_select(0, graph.sender)

    def message(self, edges: Edges) -> Float[Tensor, "edges channels"]:
        """Return x_j."""
        return edges.sender(self.field)

    def message_inputs(self, edges: Edges) -> dict[str, Tensor]:
        """Return x_j."""
        return {"x_j": edges.sender(self.field)}

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes channels"]) -> Graph:
        """Return the sum as the node field, which means what the senders' means."""
        place: Place = "senders" if graph.two_sided else "nodes"
        return graph.with_nodes({self.field: graph.spec(place, self.field)}, **{self.field: aggregated})

    def fused_forward(self, graph: Graph) -> Graph:
        """Scale the senders, sum, and scale the receivers."""
        sender, receiver = self._scales(graph)
        values = self._senders(graph)[self.field]
        total = gather_sum(values * sender[:, None], graph.sender, graph.receiver, graph.num_nodes)
        return self.update(graph, total * receiver[:, None])

    def _senders(self, graph: Graph) -> dict[str, Tensor]:
        return graph.nodes if graph.senders is None else graph.senders

    def _scales(self, graph: Graph) -> tuple[Float[Tensor, "senders"], Float[Tensor, "nodes"]]:
        """Return 1 / √d of senders and receivers; where there is no edge it does not matter."""
        like = self._senders(graph)[self.field]
        count = like.new_zeros(graph.num_senders)
        count = count.index_add(0, graph.sender, like.new_ones(graph.num_edges))
        degree = graph.row_pointer.diff().to(like.dtype)
        return count.clamp(min=1).rsqrt(), degree.clamp(min=1).rsqrt()


def turned(graph: Graph) -> Graph:
    """Return a two-sided graph with its sides exchanged: who sent receives, along the same edges.

    Raises:
        ValueError: the graph has one node set.
    """
    if graph.senders is None or graph.sender_counts is None:
        raise ValueError("The graph has one node set, so it has no sides to exchange.")
    order = torch.argsort(graph.sender, stable=True)
    places = {"nodes": "senders", "senders": "nodes"}
    return graph.replace(
        edge_index=graph.edge_index.flip(0).index_select(1, order),
        nodes=graph.senders,
        senders=graph.nodes,
        edges={name: value.index_select(0, order) for name, value in graph.edges.items()},
        node_counts=graph.sender_counts,
        sender_counts=graph.node_counts,
        specs={(places.get(place, place), name): spec for (place, name), spec in graph.specs.items()},
    )
