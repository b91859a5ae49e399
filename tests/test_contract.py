"""Every layer and model of `cases` keeps the contract."""

import contract
import pytest
import torch
from cases import CASES
from cases.examples import FEW, Attention, WeightedConvolution
from contract import Case

from sciml.nn.about import About

FUSED = [case for case in CASES if contract.fused_layers(case.model())]
CUT = [case for case in CASES if contract.cutoff_of(case.model()) is not None]
each = lambda cases: pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


@each(CASES)
def test_layers_say_what_they_are(case):
    model = case.model()
    if type(model).__module__.startswith("sciml.nn"):
        assert isinstance(model.about, About)
        assert bool(model.about.fused) == (model in contract.fused_layers(model))


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


class Steeper(torch.autograd.Function):
    """The identity, with a slope that is wrong by a hundredth."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return 1.01 * gradient


class OneSlopeOff(Attention):
    """Of two parameters the one that matters a thousand times less."""

    def __init__(self):
        super().__init__()
        self.small = torch.nn.Parameter(torch.tensor(0.3))

    def message(self, edges):
        return edges.vectors() * (1 + 1e-3 * Steeper.apply(self.small))


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
        (contract.gradients, OneSlopeOff, "Jacobian mismatch"),
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
