"""networkx's graphs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sciml.graph import Graph, Place

if TYPE_CHECKING:
    import networkx as nx

MEMO = "sciml_fields"  # attribute of a networkx graph that came from a Graph: dtypes, shapes, specs


def to_networkx(graph: Graph) -> nx.MultiDiGraph:
    """Return a `networkx.MultiDiGraph`: nodes 0, 1, ..., edges keyed by their number, attributes in NumPy.

    Raises:
        ValueError: several graphs (convert each), or two node sets.
    """
    import networkx as nx

    if graph.num_graphs != 1 or graph.two_sided:
        hint = "and senders apart" if graph.two_sided else "(convert each: [to_networkx(g) for g in graph])"
        raise ValueError(f"networkx holds one graph with one node set; this has {graph.num_graphs} {hint}.")
    result = nx.MultiDiGraph()
    result.add_nodes_from((i, row) for i, row in enumerate(_rows(graph.nodes, graph.num_nodes)))
    edges = zip(graph.edge_index.T.tolist(), _rows(graph.edges, graph.num_edges), strict=True)
    for number, ((sender, receiver), row) in enumerate(edges):
        result.add_edge(sender, receiver, key=number, **row)
    result.graph.update(_rows(graph.globals, 1)[0])
    places: tuple[Place, ...] = ("nodes", "edges", "globals")
    result.graph[MEMO] = {
        "empty": {place: {n: v[:0].cpu() for n, v in getattr(graph, place).items()} for place in places},
        "specs": dict(graph.specs),
    }
    return result


def from_networkx(graph: nx.Graph) -> Graph:
    """Return a Graph of any networkx graph whose attributes are numbers or arrays of one shape.

    Nodes are numbered in networkx's order; an undirected edge becomes two directed ones. Every node must
    have the same attributes, and so must every edge. A graph without node attributes gets the field
    ``x`` of zero width.

    Raises:
        ValueError: an attribute that some nodes or edges lack, or that is no number (named in the message).
    """
    memo = graph.graph.get(MEMO, {"empty": {}, "specs": {}})
    number = {node: i for i, node in enumerate(graph.nodes)}
    directed = graph if graph.is_directed() else graph.to_directed()
    edges = list(directed.edges(keys=True, data=True) if graph.is_multigraph() else directed.edges(data=True))
    if memo["specs"] or memo["empty"]:
        edges.sort(key=lambda edge: edge[2])  # networkx groups edges by sender; the keys hold our order
    nodes = _columns("node", graph.nodes(data=True), memo["empty"].get("nodes", {}))
    edge_index = torch.tensor([[number[e[0]], number[e[1]]] for e in edges], dtype=torch.long)
    attributes = {name: value for name, value in graph.graph.items() if name != MEMO}
    return Graph.create(
        edge_index.reshape(-1, 2).T,
        nodes or {"x": torch.zeros(len(number), 0)},
        _columns("edge", ((f"{e[0]} -> {e[1]}", e[-1]) for e in edges), memo["empty"].get("edges", {})),
        _columns("graph", [("", attributes)], memo["empty"].get("globals", {})),
        specs=memo["specs"],
    )


def _rows(fields: Mapping[str, Tensor], length: int) -> list[dict[str, Any]]:
    arrays = {name: value.detach().cpu().numpy() for name, value in fields.items()}
    return [{name: array[i] for name, array in arrays.items()} for i in range(length)]


def _columns(
    what: str, rows: Iterable[tuple[Any, dict[str, Any]]], empty: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    rows = list(rows)
    if not rows:
        return dict(empty)
    names = list(rows[0][1])
    for label, row in rows:
        if set(row) != set(names):
            raise ValueError(
                f"{what} {label!r} differs from the first in attributes {sorted(set(row) ^ set(names))}; "
                f"give every {what} the same."
            )
    columns = {}
    for name in names:
        try:
            columns[name] = torch.as_tensor(np.stack([np.asarray(row[name]) for _, row in rows]))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"The {what} attribute {name!r} is not a number or an array of one shape everywhere; the "
                f"first is {rows[0][1][name]!r}. Remove it or encode it as numbers."
            ) from error
    return columns
