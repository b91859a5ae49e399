"""Stencils: their moments are the derivatives that they take."""

import math

import pytest
import torch
from cases.examples import grids

from sciml.builders import grid_graph
from sciml.models import FieldNetwork
from sciml.nn.message_passing import recording
from sciml.nn.stencils import StencilSum, moments_of, monomials, stencil_basis

DOUBLE = torch.float64


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(DOUBLE)
    yield
    torch.set_default_dtype(torch.float32)


def test_known_finite_differences():
    first, second = stencil_basis([3])[1:]
    torch.testing.assert_close(first, torch.tensor([-0.5, 0.0, 0.5]))
    torch.testing.assert_close(second, torch.tensor([1.0, -2.0, 1.0]))
    torch.testing.assert_close(stencil_basis([5])[1] * 12, torch.tensor([1.0, -8.0, 0.0, 8.0, -1.0]))


@pytest.mark.parametrize("kernel", [(5,), (3, 5), (3, 3, 3)])
def test_moments_and_stencils_are_inverse(kernel):
    basis = stencil_basis(kernel)
    torch.testing.assert_close(moments_of(basis, kernel), torch.eye(math.prod(kernel)))


def test_polynomials_are_derived_exactly():
    x = torch.arange(16.0)[None, None] / 4
    layer = StencilSum(1, 5, degree=1)
    graph = grid_graph(x**4)
    for order, exact in ((1, 4 * x**3), (2, 12 * x**2), (3, 24 * x), (4, 24 + 0 * x)):
        layer.moments.data.zero_()
        layer.moments.data[0, 0, order] = 4.0**order  # one over the step, to the order
        rate = layer(graph).nodes["rate"].reshape(-1)
        torch.testing.assert_close(rate[2:-2], exact.reshape(-1)[2:-2], atol=1e-9, rtol=1e-9)


def test_monomials_of_two_fields():
    assert monomials(2, 2) == ((0,), (1,), (0, 0), (0, 1), (1, 1))
    x = torch.tensor([[2.0, 3.0]])
    assert StencilSum(2, degree=3).content(x)[0].tolist() == [2, 3, 4, 6, 9, 8, 12, 18, 27]


def test_recorded_messages_make_the_result():
    network = FieldNetwork(2, 1, 3, degree=2)
    torch.manual_seed(0)
    network.stencils.moments.data.normal_()
    graph = grids(6)
    with recording(network) as tape:
        rate = network(graph).nodes["rate"]
    messages = tape.messages["stencils"][0].reshape(12, 3, 2)  # three offsets each, on a closed axis
    torch.testing.assert_close(messages.sum(1), network(graph).nodes["rate"])
    torch.testing.assert_close(rate, network(graph).nodes["rate"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": 4}, "must be odd"),
        ({"kernel": (3, 3)}, "2 values for 1 axes"),
        ({"degree": 0}, "at least 1"),
    ],
)
def test_impossible_layers(options, message):
    with pytest.raises(ValueError, match=message):
        StencilSum(1, **options)


def test_impossible_graphs():
    with pytest.raises(ValueError, match="the window spans 5 points along axis 0, where the grid has 4"):
        StencilSum(2, 5)(grids(4))
    with pytest.raises(ValueError, match="takes 3 channels"):
        StencilSum(3)(grids(6))
