"""The one container of every domain: a batch of graphs whose fields say what they are.

Conventions, kept everywhere:

- ``edge_index[0]`` is the sender, ``edge_index[1]`` the receiver; edges are sorted by receiver.
- The vector of an edge points from sender to receiver,
  ``pos[receiver] - pos[sender] + shift @ cell``; it is computed, never stored.
- A field is a tensor whose first axis counts nodes, edges, graphs or, on two-sided graphs, senders.
"""

from sciml.graph import pytree as _pytree  # noqa: F401 - registers Graph
from sciml.graph.batching import batch, unbatch
from sciml.graph.container import Graph
from sciml.graph.fields import CELL, PLACES, POSITION, Place, Spec
from sciml.graph.layout import Chain, Complete, Grid, Layout, window

__all__ = [
    "CELL",
    "PLACES",
    "POSITION",
    "Chain",
    "Complete",
    "Graph",
    "Grid",
    "Layout",
    "Place",
    "Spec",
    "batch",
    "unbatch",
    "window",
]
