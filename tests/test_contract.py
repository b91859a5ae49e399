"""Every layer and model on the list keeps the contract; a new one costs one line in `CASES`."""

import math

import contract
import pytest
import torch
from contract import Case
from torch import nn

from sciml.builders import grid_graph
from sciml.graph import Graph, Spec, batch
from sciml.models.interaction_network import InteractionNetwork
from sciml.nn.convolution import GlobalPooling, GridConvolution, GridPooling
from sciml.nn.groups import (
    ArrowReadout,
    GroupConvolution,
    GroupPooling,
    LiftingConvolution,
    NormNonlinearity,
    OnField,
    OrientedPooling,
)
from sciml.nn.interaction import FormulaScalar, FreeForce, PairScalar, RadialForce
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
newton = lambda r, m_i, m_j, G: -G * m_i * m_j / r**2

CASES = [
    Case("example with cutoff and fused path", WeightedConvolution, FEW),
    Case("example with attention", Attention, FEW),
    Case("radial force, logarithmic", lambda: RadialForce(PairScalar(["mass"], logarithmic=["mass"])), FEW),
    Case("radial force, linear", lambda: RadialForce(PairScalar(["charge"], output="linear")), FLAT),
    Case("radial force, no third law", lambda: RadialForce(PairScalar(["mass"], symmetric=False)), FEW),
    Case("radial force by formula", lambda: RadialForce(FormulaScalar(newton, {"G": 2.0}, ["mass"])), FEW),
    Case("free force", lambda: FreeForce(3, ["mass"]), FEW),
    Case("interaction network", lambda: InteractionNetwork(given=["mass"]), FEW),
    Case("interaction network, 2D", lambda: InteractionNetwork(2, given=["mass"], output="linear"), FLAT),
    Case(
        "interaction network, hidden masses",
        lambda: InteractionNetwork(particles=4, hidden=["mass"], train_hidden=True),
        FEW,
    ),
    Case("interaction network, learned update", lambda: InteractionNetwork(update="learned"), FEW),
    Case(
        "interaction network, free messages",
        lambda: InteractionNetwork(2, given=["charge"], message="free", update="force"),
        FLAT,
    ),
    # grids
    Case("convolution", lambda: GridConvolution(2, 3), grids(4, 5, kernel=3)),
    Case(
        "convolution, 1D", lambda: GridConvolution(2, 3, 2, dim=1, dilation=2), grids(6, kernel=2, dilation=2)
    ),
    Case(
        "convolution, 3D", lambda: GridConvolution(2, 2, (3, 1, 2), dim=3), grids(3, 4, 3, kernel=(3, 1, 2))
    ),
    Case(
        "convolution, half bounded",
        lambda: GridConvolution(2, 3),
        grids(4, 5, kernel=3, periodic=(True, False)),
    ),
    Case("convolution, stride", lambda: GridConvolution(2, 3, 3, stride=2), grids(4, 6)),
    Case("maximum pooling", GridPooling, grids(4, 6)),
    Case("mean pooling, 1D", lambda: GridPooling(3, dim=1, stride=2, kind="mean"), grids(8)),
    Case("global pooling", GlobalPooling, grids(3, 3, kernel=3)),
    # groups
    Case("lifting, p4", lambda: LiftingConvolution(2, 2, "C4"), grids(4, 4, kernel=3)),
    Case("lifting, C8", lambda: LiftingConvolution(2, 1, "C8", 5), grids(5, 5, kernel=5, graphs=1)),
    Case("group convolution, p4", lambda: GroupConvolution(2, 3), oriented("C4", 4, 4, kernel=3)),
    Case(
        "group convolution, p4m",
        lambda: GroupConvolution(1, 1, "D4"),
        oriented("D4", 3, 3, channels=1, kernel=3),
    ),
    Case(
        "group convolution, D6",
        lambda: GroupConvolution(1, 1, "D6"),
        oriented("D6", 3, 3, channels=1, kernel=3),
    ),
    Case(
        "group convolution, octahedral",
        lambda: GroupConvolution(1, 1, "Oct", bias=False),
        oriented("Oct", 3, 3, 3, channels=1, kernel=3, graphs=1),
    ),
    Case("group convolution, stride", lambda: GroupConvolution(2, 1, stride=2), oriented("C4", 4, 4)),
    Case("oriented pooling", OrientedPooling, oriented("C4", 4, 4)),
    Case("group pooling", GroupPooling, oriented("C4", 3, 3, kernel=3)),
    Case("arrow readout", ArrowReadout, oriented("C4", 3, 3, kernel=3)),
    Case("on a field", lambda: OnField(nn.Tanh()), oriented("C4", 3, 3, kernel=3)),
    Case("norm nonlinearity", lambda: NormNonlinearity(2), arrows()),
]
FUSED = [case for case in CASES if contract.fused_layers(case.model())]
CUT = [case for case in CASES if contract.cutoff_of(case.model()) is not None]
each = lambda cases: pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


@each(CASES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_symmetry(case, dtype):
    contract.symmetry(case, dtype)


@each(CASES)
def test_precision(case):
    contract.precision(case)


@each(CASES)
def test_gradients(case):
    contract.gradients(case)


@each(CASES)
def test_isolation(case):
    contract.isolation(case)


@each(CASES)
def test_meta(case):
    contract.meta(case)


@each(CASES)
def test_lone_nodes(case):
    contract.lone_nodes(case)


@each(FUSED)
def test_fused(case):
    contract.fused(case)


@each(CUT)
def test_smooth_cutoff(case):
    contract.smooth_cutoff(case)


# ------------------------------------------- the contract itself finds what breaks it


class Sharp(WeightedConvolution):
    def weight(self, graph):
        return (graph.edge_vectors().norm(dim=-1) < self.cutoff).double() + graph.edge_vectors().norm(dim=-1)


class WrongFused(WeightedConvolution):
    def fused_forward(self, graph):
        x = self.content(graph.nodes)
        return self.update(graph, torch.zeros_like(x).index_add(0, graph.receiver, x[graph.sender]))


class Detached(Attention):
    def message(self, edges):
        return edges.vectors().detach() + 0 * edges.vectors()


class Synchronizing(Attention):
    def score(self, edges):
        return super().score(edges) * float(self.key)


class OtherDevice(Attention):
    def score(self, edges):
        return super().score(edges) + torch.zeros(edges.graph.num_edges)


class DoubleOnly(Attention):
    def score(self, edges):
        return super().score(edges).double()


class Undefined(Attention):
    def update(self, graph, aggregated):
        return super().update(graph, aggregated / aggregated.norm(dim=-1, keepdim=True))


class Leaking(Attention):
    def update(self, graph, aggregated):
        return super().update(graph, aggregated * graph.nodes["pos"].var())


@pytest.mark.parametrize(
    ("check", "layer", "fault"),
    [
        (contract.smooth_cutoff, Sharp, "not close"),
        (contract.fused, WrongFused, "not close"),
        (contract.gradients, Detached, "Jacobian mismatch"),
        (contract.meta, Synchronizing, "meta tensors"),
        (contract.meta, OtherDevice, "device"),
        (contract.precision, DoubleOnly, "is float64"),
        (contract.lone_nodes, Undefined, "not finite"),
        (contract.isolation, Leaking, "of another graph"),
        (lambda case: contract.symmetry(case, torch.float64), Leaking, r"batch on nodes\.mean"),
    ],
)
def test_faults_are_found(check, layer, fault):
    with pytest.raises((AssertionError, RuntimeError), match=fault):
        check(Case(layer.__name__, layer, FEW))
