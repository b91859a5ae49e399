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

DEGENERATE = 1e-8  # eigenvalues of order one closer than this are one; rounding parts them by some 1e-15


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


def with_modes(graph: Graph, count: int = 8) -> Graph:
    """Add the lowest eigenvectors of the normalized Laplacian I - D^-½ A D^-½ of each graph.

    Adds ``globals["eigenvalues"]`` (graphs, count), in [0, 2], and two node fields (nodes, count):

    - ``modes``: the eigenvectors v. Their signs mean nothing, and in a degenerate eigenspace (as that of
      eigenvalue 0 in a disconnected graph) no basis means anything: use them only through sums over the
      eigenspace, as `sciml.nn.SpectralBias` does. An eigenspace that ``count`` cuts is zero.
    - ``mode_sizes``: what every choice of basis leaves alone, |v| at each node; in an eigenspace of m
      dimensions the norm of the node's row of it, over √m.

    Graphs of fewer nodes have zeros for the rest. Self-loops do not count.

    Raises:
        ValueError: two node sets, no modes, edges that do not go both ways.
    """
    _check_one_set(graph, "with_modes")
    if count < 1:
        raise ValueError(f"count {count} must be at least 1.")
    found = []
    for number, table in enumerate(_adjacencies(graph)):
        if (table != table.T).any():
            sender, receiver = (int(i) for i in np.argwhere(table != table.T)[0])
            raise ValueError(
                f"with_modes needs edges that go both ways; in graph {number} those between nodes {sender} "
                f"and {receiver} do not. Add the reverse edges."
            )
        found.append(_modes(table, count))
    values, vectors, sizes = zip(*found, strict=True)
    like = _floats(graph)
    return graph.with_globals(eigenvalues=torch.from_numpy(np.stack(values)).to(like)).with_nodes(
        {"modes": Spec(), "mode_sizes": Spec()},
        modes=torch.from_numpy(np.concatenate(vectors)).to(like),
        mode_sizes=torch.from_numpy(np.concatenate(sizes)).to(like),
    )


# -------------------------------------------------------------------- details


def _modes(
    table: Float[np.ndarray, "n n"], count: int
) -> tuple[Float[np.ndarray, "count"], Float[np.ndarray, "n count"], Float[np.ndarray, "n count"]]:
    """Return eigenvalues, eigenvectors, and sizes of their rows."""
    size = len(table)
    table = table * ~np.eye(size, dtype=bool)
    root = np.sqrt(table.sum(1))
    scale = np.divide(1.0, root, out=np.zeros(size), where=root > 0)
    laplacian = np.diag((root > 0).astype(float)) - scale[:, None] * table * scale
    value, vector = np.linalg.eigh(laplacian)
    values, vectors, sizes = np.zeros(count), np.zeros((size, count)), np.zeros((size, count))
    borders = np.flatnonzero(np.diff(value) > DEGENERATE) + 1
    for space in np.split(np.arange(size), borders) if size else []:
        within = space[space < count]
        rows = vector[:, space]
        values[within] = value[space].mean()  # equal numbers for what is one
        sizes[:, within] = (np.linalg.norm(rows, axis=1) / np.sqrt(len(space)))[:, None]
        if len(within) == len(space):
            vectors[:, within] = rows
    return values, vectors, sizes


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
