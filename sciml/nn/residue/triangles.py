"""Triangles of edges: what the edge from j to i hears of the edges that join both with a third node k.

A pair (i, j) is the edge with receiver i and sender j, as in a table with receivers as rows. All that is said
here holds on any graph; on complete graphs (`sciml.graph.Complete`) the same is done with dense tables.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.graph import Graph
from sciml.nn.attention.kernel import Padding

Corner = Literal["outgoing", "incoming"]
CORNERS: tuple[Corner, ...] = ("outgoing", "incoming")


def triangles(graph: Graph, corner: Corner, **fields: Float[Tensor, "edges ..."]) -> Graph:
    """Return the graph whose nodes are the edges of a graph and whose edges are its triangles.

    For every pair (i, j) and every third node k (which may be i or j, where nodes have edges to themselves)
    there is an edge to (i, j) from (i, k), labelled with the number of (j, k) in ``edges["other"]``, if both
    are edges of the graph. With ``incoming`` it is from (k, i), labelled with (k, j).

    How many there are depends on the edges: this asks the device for them.

    Args:
        graph: one node set, at most one edge from one node to another.
        corner: as above.
        fields: of the edges, which become those of the nodes.

    Raises:
        ValueError: two node sets, or two edges from one node to another.
    """
    _check(graph)
    sender, receiver = graph.edge_index
    if corner == "incoming":  # the same with all edges turned round
        sender, receiver = receiver, sender
    size = max(graph.num_nodes, 1)
    key = receiver * size + sender
    by_key, order = key.sort()
    if bool((by_key.diff() == 0).any()):
        raise ValueError("Triangles need at most one edge from one node to another: join parallel edges.")
    degree = torch.bincount(receiver, minlength=graph.num_nodes)
    first = degree.cumsum(0) - degree
    # (i, j) and every (i, k): the rows of node i stand together in ``order``
    here = receiver if corner == "outgoing" else graph.edge_index[1]
    there = sender if corner == "outgoing" else graph.edge_index[0]
    number = degree[here]
    pair = torch.repeat_interleave(number)
    step = torch.arange(len(pair), device=pair.device) - (number.cumsum(0) - number)[pair]
    side = order[first[here[pair]] + step]
    wanted = there[pair] * size + sender[side]
    found = torch.searchsorted(by_key, wanted).clamp(max=max(len(key) - 1, 0))
    closed = by_key[found] == wanted
    pair, side, other = pair[closed], side[closed], order[found[closed]]
    graph_of_pair = graph.edge_graph[pair]
    return Graph(
        torch.stack([side, pair]),
        dict(fields),
        {"other": other},
        {},
        node_counts=graph.edge_counts,
        edge_counts=torch.bincount(graph_of_pair, minlength=graph.num_graphs),
    )


class Tables:
    """Values on edges of complete graphs as tables (graphs, receivers, senders, ...), padded with zeros."""

    def __init__(self, padding: Padding) -> None:
        self.padding = padding

    @classmethod
    def of(cls, graph: Graph) -> Tables | None:
        """Return how to make tables of a graph's edges; None where it is not known to be complete."""
        _check(graph)
        padding = Padding.of(graph)
        return None if padding is None else cls(padding)

    def table(self, value: Float[Tensor, "edges ..."]) -> Float[Tensor, "graphs rows columns ..."]:
        """Return values as a table."""
        padding = self.padding
        shape = (padding.graphs, padding.receivers, padding.senders)
        if padding.edge is not None:
            size = padding.graphs * padding.receivers * padding.senders
            value = value.new_zeros(size, *value.shape[1:]).index_copy(0, padding.edge, value)
        return value.reshape(*shape, *value.shape[1:])

    def rows(self, table: Float[Tensor, "graphs rows columns ..."]) -> Float[Tensor, "edges ..."]:
        """Return a table as values on edges."""
        flat = table.flatten(0, 2)
        return flat if self.padding.edge is None else flat.index_select(0, self.padding.edge)

    def hide_padding(
        self, score: Float[Tensor, "graphs heads rows columns"]
    ) -> Float[Tensor, "graphs heads rows columns"]:
        """Return scores that leave no weight to columns of padding."""
        if self.padding.heard is None:
            return score
        lowest = torch.finfo(score.dtype).min / 4  # not infinite: rows of padding alone would give NaN
        return score.masked_fill(~self.padding.heard, lowest)


def check_corner(corner: str) -> None:
    """Raise ValueError where it is neither of the two."""
    if corner not in CORNERS:
        raise ValueError(f"corner={corner!r}; choose from {', '.join(CORNERS)}.")


def _check(graph: Graph) -> None:
    if graph.two_sided:
        raise ValueError("Triangles of pairs need one node set; this graph has senders of their own.")
