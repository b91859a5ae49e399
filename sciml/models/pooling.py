"""Atoms to molecules."""

from __future__ import annotations

from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor

from sciml.graph import Graph
from sciml.nn.message_passing import segment_reduce

Pool = Literal["mean", "sum"]
USUAL = 20  # heavy atoms of a molecule, more or less: sums are divided by it, to be of the size of means


def pooled(graph: Graph, pool: Pool) -> Float[Tensor, "graphs channels"]:
    """Join ``nodes["x"]`` over each graph.

    Args:
        graph: with ``nodes["x"]`` of shape (nodes, channels).
        pool: "mean", for properties that do not grow with the molecule; "sum" (divided by 20, whatever
            the molecule), for those that do.

    Raises:
        ValueError: another pool.
    """
    if pool not in get_args(Pool):
        raise ValueError(f"pool={pool!r}: choose from {', '.join(get_args(Pool))}.")
    value = segment_reduce(graph.nodes["x"], graph.node_graph, graph.num_graphs, pool)
    return value / USUAL if pool == "sum" else value
