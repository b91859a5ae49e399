"""What a graph's edges tell of its nodes: hops, walks and vibrations, as fields for positional encodings.

These are computed once, on dense tables of each graph: for graphs up to some thousand nodes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse.csgraph import shortest_path
from torch import Tensor

from sciml.graph import Complete, Graph, Place, Spec


def all_pairs(graph: Graph, most: int = 8) -> Graph:
    """Let every node hear every node, and label each pair with how far apart they were.

    ``edges["hops"]`` is the number of edges on the shortest path from sender to receiver: 0 at a node
    itself, ``most`` for all that are so far or farther, and ``most + 1`` where there is no path. Edge
    fields of numbers go along, as sums over parallel edges and zero where there was none. The layout is
    `sciml.graph.Complete`.

    Raises:
        ValueError: two node sets, a periodic graph (pairs then have many images), edge fields of labels.
    """
    _check_one_set(graph, "all_pairs")
    if most < 1:
        raise ValueError(f"most {most} must be at least 1: the largest number of hops that is told apart.")
    if "shift" in graph.edges:
        raise ValueError("all_pairs is for open space: in a periodic graph a pair has many images.")
    labels = [name for name, value in graph.edges.items() if not value.is_floating_point()]
    if labels:
        raise ValueError(
            f"all_pairs cannot say what edges.{labels[0]}, of dtype {graph.edges[labels[0]].dtype}, is where "
            "there was no edge: convert it to floats (labels with one_hot), or drop it with Graph.without."
        )
    layout = Complete(*(max(graph.node_counts.tolist(), default=0),) * 2)
    edge_index, edge_counts = layout.edges(graph.node_counts, graph.node_counts)
    hops = [_hops(table, most).flatten() for table in _adjacencies(graph)]
    size = graph.node_counts
    tables, nodes = edge_counts.cumsum(0) - edge_counts, size.cumsum(0) - size
    of = graph.edge_graph
    place = tables[of] + (graph.receiver - nodes[of]) * size[of] + graph.sender - nodes[of]
    edges = {
        name: value.new_zeros(edge_index.shape[1], *value.shape[1:]).index_add(0, place, value)
        for name, value in graph.edges.items()
    }
    specs: dict[tuple[Place, str], Spec] = {**graph.specs, ("edges", "hops"): Spec(classes=most + 2)}
    return graph.replace(
        edge_index=edge_index,
        edges=edges | {"hops": torch.cat(hops).to(graph.device)},
        edge_counts=edge_counts,
        specs=specs,
        layout=layout,
    )


def with_walks(graph: Graph, steps: int = 16) -> Graph:
    """Add ``nodes["walks"]``: the probability that a random walk is back after 1, 2, ..., ``steps`` steps.

    The walk leaves by each edge of a node alike; from nodes without edges it never returns. (Dwivedi et
    al. 2022, arXiv 2110.07875, "random walk positional encoding".)

    Raises:
        ValueError: two node sets, no steps.
    """
    _check_one_set(graph, "with_walks")
    if steps < 1:
        raise ValueError(f"steps {steps} must be at least 1.")

    def returns(table: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n steps"]:
        move = table / np.maximum(table.sum(1, keepdims=True), 1)
        power, diagonals = np.eye(len(table)), []
        for _ in range(steps):
            power = power @ move
            diagonals.append(power.diagonal().copy())
        return np.stack(diagonals, axis=1)

    return graph.with_nodes({"walks": Spec()}, walks=_on_nodes(graph, returns))


# -------------------------------------------------------------------- details


def _hops(table: Float[np.ndarray, "senders receivers"], most: int) -> Tensor:
    """Return hops, receivers by senders."""
    if not len(table):
        return torch.zeros(0, 0, dtype=torch.long)
    path = shortest_path(table, unweighted=True).T
    return torch.from_numpy(np.where(np.isinf(path), most + 1, np.minimum(path, most)).astype(np.int64))


def _adjacencies(graph: Graph) -> list[Float[np.ndarray, "senders receivers"]]:
    """Return one table for each graph: the number of edges from each sender to each receiver."""
    tables, edge, node = [], 0, 0
    sender, receiver = graph.edge_index.cpu().numpy()
    for nodes, edges in zip(graph.node_counts.tolist(), graph.edge_counts.tolist()):
        table = np.zeros((nodes, nodes))
        own = slice(edge, edge + edges)
        np.add.at(table, (sender[own] - node, receiver[own] - node), 1.0)
        tables.append(table)
        edge, node = edge + edges, node + nodes
    return tables


def _on_nodes(graph: Graph, function: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """Apply a function of the adjacency to each graph; as floats like the graph's own."""
    return torch.from_numpy(np.concatenate([function(t) for t in _adjacencies(graph)])).to(_floats(graph))


def _floats(graph: Graph) -> Tensor:
    """Return an empty tensor of the graph's floating-point type, on its device."""
    dtypes = [value.dtype for value in graph.nodes.values() if value.is_floating_point()]
    return torch.empty(0, dtype=dtypes[0] if dtypes else torch.get_default_dtype(), device=graph.device)


def _check_one_set(graph: Graph, who: str) -> None:
    if graph.two_sided:
        raise ValueError(f"{who} is for graphs with one node set; this one has senders and receivers.")
