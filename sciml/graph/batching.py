"""Many graphs into one, and back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from sciml.graph.container import Graph
from sciml.graph.fields import PLACES, Place, check_same_fields
from sciml.graph.layout import alone, common


def batch(graphs: Sequence[Graph]) -> Graph:
    """Join graphs into one batch; `unbatch` gives exactly these graphs back.

    Raises:
        ValueError: no graphs, or graphs whose fields, their shapes, dtypes or specs differ (named in the
            message).
    """
    graphs = list(graphs)
    if not graphs:
        raise ValueError("An empty list of graphs cannot be batched: the fields would be unknown.")
    first = graphs[0]
    for number, graph in enumerate(graphs[1:], start=1):
        _check_alike(first, graph, number)
    device = first.device
    nodes = torch.tensor([0, *(g.num_nodes for g in graphs)], device=device).cumsum(0)
    senders = torch.tensor([0, *(g.num_senders for g in graphs)], device=device).cumsum(0)
    offsets = torch.stack([senders, nodes])[:, :-1]

    def join(place: Place) -> dict[str, Tensor]:
        return {name: torch.cat([getattr(g, place)[name] for g in graphs]) for name in getattr(first, place)}

    return first.replace(
        edge_index=torch.cat([g.edge_index + offsets[:, i, None] for i, g in enumerate(graphs)], dim=1),
        nodes=join("nodes"),
        edges=join("edges"),
        globals=join("globals"),
        node_counts=torch.cat([g.node_counts for g in graphs]),
        edge_counts=torch.cat([g.edge_counts for g in graphs]),
        senders=join("senders") if first.two_sided else None,
        sender_counts=torch.cat([g.sender_counts for g in graphs if g.sender_counts is not None])
        if first.two_sided
        else None,
        layout=common([g.layout for g in graphs]),
    )


def unbatch(graph: Graph) -> list[Graph]:
    """Split a batch into its graphs, each a batch of one."""
    rows = {
        "nodes": graph.node_counts.tolist(),
        "senders": (graph.node_counts if graph.sender_counts is None else graph.sender_counts).tolist(),
        "edges": graph.edge_counts.tolist(),
        "globals": [1] * graph.num_graphs,
    }
    parts = {
        place: {name: value.split(rows[place]) for name, value in getattr(graph, place).items()}
        for place in PLACES
        if getattr(graph, place) is not None
    }
    edges = graph.edge_index.split(rows["edges"], dim=1)
    count = lambda number: graph.node_counts.new_tensor([number])

    def single(i: int, first_sender: int, first_node: int) -> Graph:
        fields = {  # clones: a view would drag the whole batch into every pickle
            place: {name: split[i].clone() for name, split in splits.items()}
            for place, splits in parts.items()
        }
        return graph.replace(
            edge_index=edges[i] - edges[i].new_tensor([[first_sender], [first_node]]),
            node_counts=count(rows["nodes"][i]),
            edge_counts=count(rows["edges"][i]),
            sender_counts=count(rows["senders"][i]) if graph.two_sided else None,
            layout=alone(graph.layout, rows["nodes"][i], rows["senders"][i]),
            **fields,
        )

    starts = zip(accumulate(rows["senders"], initial=0), accumulate(rows["nodes"], initial=0))
    return [single(i, *start) for i, start in zip(range(graph.num_graphs), starts)]


def _check_alike(first: Graph, other: Graph, number: int) -> None:
    if first.two_sided != other.two_sided:
        raise ValueError(f"Graph {number} and graph 0 differ: one is two-sided, the other is not.")
    for place in PLACES:
        a, b = getattr(first, place) or {}, getattr(other, place) or {}
        check_same_fields(number, place, a, b, first.specs, other.specs)
