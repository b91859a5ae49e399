"""Graphs to try layers on, and two layers that have all that a layer can have."""

import math

import torch
from torch import nn

from sciml.builders import grid_graph
from sciml.graph import Graph, Spec, batch
from sciml.nn.message_passing import MessagePassing, segment_softmax
from sciml.symmetry import Symmetry, finite_group


def particles(*sizes, dim=3, seed=0):
    """A batch of complete graphs of particles with masses and charges, in random places."""
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=random, dtype=torch.float64)
    return batch(
        [
            Graph.create(
                (~torch.eye(n, dtype=torch.bool)).nonzero().T,
                {
                    "pos": draw(n, dim),
                    "mass": (0.5 * draw(n)).exp(),
                    "charge": draw(n),
                    "particle": torch.arange(n),
                },
            )
            for n in sizes
        ]
    )


def grids(*shape, channels=2, graphs=2, seed=0, **options):
    """A batch of random fields on grids; periodic and without edges, unless the options say otherwise."""
    random = torch.Generator().manual_seed(seed)
    values = torch.randn(graphs, channels, *shape, generator=random, dtype=torch.float64)
    return grid_graph(values, **{"periodic": True} | options)


def oriented(group, *shape, channels=2, seed=0, **options):
    """Random fields on grids in the regular representation of a group."""
    graph = grids(*shape, seed=seed, **options)
    elements = len(finite_group(group))
    random = torch.Generator().manual_seed(seed)
    values = torch.randn(graph.num_nodes, channels, elements, generator=random, dtype=torch.float64)
    return graph.with_nodes({"x": Spec(regular=group)}, x=values)


def networks(*sizes, channels=2, weighted=False, seed=0):
    """A batch of rings with a few chords and random signals, undirected, with or without weights."""
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=random, dtype=torch.float64)
    graphs = []
    for n in sizes:
        weight = torch.zeros(n, n, dtype=torch.float64)
        ring = torch.arange(n)
        weight[ring, (ring + 1) % n] = 1.0
        weight[0, n // 2] = 1.0
        weight = weight.maximum(weight.T).fill_diagonal_(0)
        edges = weight.nonzero().T
        values = draw(n, n).exp()
        values = (values + values.T)[tuple(edges)]
        graphs.append(Graph.create(edges, {"x": draw(n, channels)}, {"weight": values} if weighted else None))
    return batch(graphs)


def arrows():
    """Particles with two arrows each."""
    random = torch.Generator().manual_seed(0)
    v = torch.randn(4, 2, 3, generator=random, dtype=torch.float64)
    return particles(4).with_nodes({"v": Spec("1o")}, v=v)


class WeightedConvolution(MessagePassing):
    """An example that has all that a layer can have: x_i' = Σ_j softmax-free w(r_ij) W x_j, cut off."""

    symmetry = Symmetry(groups=("S", "T", "O"))

    def __init__(self, cutoff=2.0):
        super().__init__()
        self.cutoff = cutoff
        self.linear = nn.Linear(2, 3)

    def weight(self, graph):
        r = graph.edge_vectors().norm(dim=-1)
        return torch.where(r < self.cutoff, 0.5 + 0.5 * torch.cos(math.pi * r / self.cutoff), 0.0)

    def content(self, nodes):
        return self.linear(torch.stack([nodes["mass"], nodes["charge"]], dim=-1))

    def message(self, edges):
        values = {name: edges.sender(name) for name in ("mass", "charge")}
        return self.weight(edges.graph)[:, None] * self.content(values)

    def update(self, graph, aggregated):
        return graph.with_nodes({"x": Spec("3x0e")}, x=aggregated)

    def fused_forward(self, graph):
        adjacency = torch.zeros(
            graph.num_nodes, graph.num_nodes, dtype=graph.nodes["pos"].dtype, device=graph.device
        )
        adjacency = adjacency.index_put((graph.receiver, graph.sender), self.weight(graph), accumulate=True)
        return self.update(graph, adjacency @ self.content(graph.nodes))


class Attention(MessagePassing):
    """An example with score and normalization."""

    symmetry = Symmetry(groups=("S", "T", "O"))

    def __init__(self):
        super().__init__()
        self.key = nn.Parameter(torch.tensor(0.7))

    def score(self, edges):
        return -self.key * edges.vectors().square().sum(-1)

    def normalize(self, score, graph):
        return segment_softmax(score, graph.receiver, graph.num_nodes)

    def message(self, edges):
        return edges.vectors()

    def update(self, graph, aggregated):
        return graph.with_nodes({"mean": Spec("1o")}, mean=aggregated)


FEW, FLAT = particles(4, 3), particles(4, 3, dim=2)
MOVING = FEW.with_nodes({"velocity": Spec(irreps="1o")}, velocity=FEW.nodes["pos"].roll(1, 0))
FLOWING = FLAT.with_nodes({"velocity": Spec(irreps="1o")}, velocity=FLAT.nodes["pos"].roll(1, 0))


def world_lines(times=3, simulations=2, count=3):
    """Particles of the plane at several times, a graph for each simulation, edges within each time."""
    random = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=random, dtype=torch.float64)
    pairs = (~torch.eye(count, dtype=torch.bool)).nonzero().T
    graphs = []
    for _ in range(simulations):
        nodes = {
            "pos": draw(times * count, 2),
            "velocity": draw(times * count, 2),
            "mass": (0.5 * draw(count)).exp().repeat(times),
            "charge": draw(count).repeat(times),
            "time": 0.3 * torch.arange(times, dtype=torch.float64).repeat_interleave(count),
            "particle": torch.arange(count).repeat(times),
        }
        edges = torch.cat([pairs + count * k for k in range(times)], dim=1)
        graphs.append(Graph.create(edges, nodes, specs={("nodes", "velocity"): Spec(irreps="1o")}))
    return batch(graphs)


REMEMBERED = world_lines()
