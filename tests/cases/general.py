"""Layers on any graph, with features on nodes and edges."""

import torch
from contract import Case

from sciml.graph import Graph, batch
from sciml.nn.edge_mlp import EdgeMLP


def featured(*sizes, channels=2, edge_channels=3, senders=None, seed=0):
    """A batch of random sparse graphs with features, one- or two-sided."""
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=random, dtype=torch.float64)
    graphs = []
    for n in sizes:
        edge_index = (torch.rand(senders or n, n, generator=random) < 0.5).nonzero().T
        other = None if senders is None else {"x": draw(senders, 3)}
        edges = {"e": draw(edge_index.shape[1], edge_channels)}
        graphs.append(Graph.create(edge_index, {"x": draw(n, channels)}, edges, senders=other))
    return batch(graphs)


CASES = [
    Case("edge network", lambda: EdgeMLP(2, 4, edge_channels=3), featured(4, 6)),
    Case(
        "edge network, deep, mean",
        lambda: EdgeMLP(2, hidden=(3, 4), reduction="mean", activation="tanh"),
        featured(5, 3),
    ),
    Case(
        "edge network, two-sided",
        lambda: EdgeMLP(2, edge_channels=3, sender_channels=3),
        featured(4, 3, senders=5),
    ),
]
