"""Attention contains convolution; message passing contains attention and graph convolution."""

import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from sciml.builders import complete_graph, grid_graph, grid_values, sequence_graph
from sciml.graph import Graph
from sciml.nn import (
    AttentionByMessages,
    DistanceBias,
    GraphConvolution,
    GridConvolution,
    MultiHeadAttention,
    Rotary,
    as_attention,
)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def convolution(*arguments, **options):
    torch.manual_seed(3)
    layer = GridConvolution(*arguments, **options).double()
    if layer.bias is not None:
        torch.nn.init.normal_(layer.bias)
    return layer


CASES = {
    "1D, bounded": ((7,), False, {"kernel": 3}),
    "1D, periodic, even kernel as long as the ring": ((4,), True, {"kernel": 4}),
    "1D, periodic, dilated": ((7,), True, {"kernel": 2, "dilation": 3}),
    "2D, bounded": ((5, 6), False, {"kernel": 3}),
    "2D, periodic": ((5, 4), True, {"kernel": 3}),
    "2D, half bounded, uneven": ((5, 6), (True, False), {"kernel": (2, 3), "dilation": (1, 2)}),
    "2D, stride": ((6, 8), (True, False), {"kernel": 3, "stride": 2}),
    "2D, no bias": ((4, 4), False, {"kernel": 3, "bias": False}),
    "3D, bounded": ((3, 4, 3), False, {"kernel": (3, 1, 2)}),
    "3D, periodic": ((3, 3, 4), True, {"kernel": 3}),
}


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_attention_is_the_convolution(case, fused):
    shape, periodic, options = CASES[case]
    layer = convolution(2, 3, dim=len(shape), **options)
    graph = grid_graph(draw(2, 2, *shape), periodic=periodic)
    ours = as_attention(layer)
    ours.attention.fused = fused
    result, expected = ours(graph), layer(graph)
    torch.testing.assert_close(grid_values(result), grid_values(expected), rtol=0, atol=1e-12)
    assert result.layout == expected.layout
    assert result.specs == expected.specs


def test_as_many_heads_as_places_each_at_its_own():
    """On an image: head h of the pixel at p puts all its weight on p + Δ_h."""
    layer = as_attention(convolution(1, 1))
    graph = layer.pairs(grid_graph(draw(1, 1, 4, 5)))
    shape = (4, 5, 6, 7, 9)  # rows, columns; those of the grid with its margin; heads
    weight = layer.attention.weights(graph).detach().reshape(shape)
    assert layer.attention.heads == 9
    for head, (down, right) in enumerate((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)):
        for row in range(4):
            for column in range(5):
                there = weight[row, column, :, :, head]
                assert there[row + down + 1, column + right + 1] > 1 - 1e-12
                assert float(there.sum()) == pytest.approx(1)


def test_slopes_are_those_of_the_convolution():
    layer, values = convolution(2, 1), draw(1, 2, 4, 4)
    slopes = []
    for module in (layer, as_attention(layer)):
        graph = grid_graph(values)
        leaf = graph.nodes["x"].clone().requires_grad_()
        y = module(graph.with_nodes(x=leaf)).nodes["x"]
        slopes.append(torch.autograd.grad(y.square().sum(), leaf)[0])
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("shape", [(12,), (6, 6)])
def test_the_error_falls_as_the_exponential_of_the_sharpness(shape):
    """From one α to the next the error falls by e^-Δα: what leaks comes from pixels one step away."""
    layer, graph = convolution(1, 1, dim=len(shape)), grid_graph(draw(1, 1, *shape))
    expected = layer(graph).nodes["x"].detach()
    sharpness = [4.0, 8.0, 12.0, 16.0, 20.0]
    with torch.no_grad():
        results = [as_attention(layer, a)(graph).nodes["x"] for a in sharpness]
    errors = [float((result - expected).abs().max()) for result in results]
    for before, after, step in zip(errors, errors[1:], [4.0] * 4):
        assert math.log(before / after) == pytest.approx(step, rel=0.05)
    neighbours = 2 * len(shape)
    bound = neighbours * 2 * float(graph.nodes["x"].abs().max()) * float(layer.weight.detach().abs().sum())
    assert errors[1] < bound * math.exp(-8) * 1.01


def test_it_is_a_start_for_training():
    """The weights are parameters: a step along the slope makes it another function than the convolution."""
    layer, graph = convolution(1, 1), grid_graph(draw(1, 1, 4, 4))
    ours = as_attention(layer, 2.0)
    loss = ours(graph).nodes["x"].square().sum()
    slopes = dict(
        zip([n for n, _ in ours.named_parameters()], torch.autograd.grad(loss, [*ours.parameters()]))
    )
    assert slopes["attention.output.weight"].abs().max() > 1e-3
    assert slopes["attention.biases.0.centre"].abs().max() > 1e-3
    with torch.no_grad():
        ours.attention.output.weight.zero_()
    assert layer.weight.abs().min() > 0  # a copy


SMALL = grid_graph(torch.zeros(1, 1, 3, 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: as_attention(GridConvolution(1, 1), 0.0), "sharpness 0.0"),
        (
            lambda: as_attention(GridConvolution(2, 1))(grid_graph(torch.zeros(1, 1, 3, 3))),
            "takes 2 channels",
        ),
        (
            lambda: as_attention(GridConvolution(1, 1, 5))(grid_graph(torch.zeros(1, 1, 3, 3))),
            "spans 5 points",
        ),
        (lambda: as_attention(GridConvolution(1, 1))(sequence_graph(torch.zeros(1, 3, 1))), "grid layout"),
        (lambda: as_attention(GridConvolution(1, 1))(grid_graph(torch.zeros(1, 1, 3))), "2 dimensions"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ------------------------------------------------------------------ inclusions in message passing


def test_graph_convolution_is_the_matrix_product():
    table = (draw(7, 7) > 0.5).double()
    table = ((table + table.T) > 0).double().fill_diagonal_(0)
    table[6], table[:, 6] = 0, 0  # a node alone
    graph = Graph.create(table.nonzero().T.flip(0), {"x": draw(7, 3)})
    layer = GraphConvolution(3, 4, bias=False).double()
    layer.fused = False  # messages, not the sparse product
    own = table + torch.eye(7)
    scale = torch.diag(own.sum(1) ** -0.5)
    expected = scale @ own @ scale @ graph.nodes["x"] @ layer.linear.weight.T
    torch.testing.assert_close(layer(graph).nodes["x"], expected)


GRAPHS = {
    "all pairs": lambda: complete_graph(draw(2, 5, 4), pos=draw(2, 5, 2)),
    "unequal": lambda: complete_graph([draw(3, 4), draw(1, 4)], pos=[draw(3, 2), draw(1, 2)]),
    "causal": lambda: sequence_graph(draw(1, 5, 4), causal=True).with_nodes(pos=draw(5, 2)),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_attention_is_two_sums_of_messages(name):
    graph = GRAPHS[name]()
    attention = MultiHeadAttention(4, 2, width=4, biases=[DistanceBias(2, 3.0)], rotary=Rotary(4, 2)).double()
    torch.testing.assert_close(
        AttentionByMessages(attention)(graph).nodes["x"], attention(graph).nodes["x"], rtol=0, atol=1e-14
    )


def test_attention_is_a_softmax_matrix_times_values():
    attention, x = MultiHeadAttention(4, 2).double(), draw(6, 4)
    q, k, v = (
        m(x).unflatten(-1, (2, 2)).transpose(0, 1) for m in (attention.query, attention.key, attention.value)
    )
    mixed = F.softmax(q @ k.mT / 2**0.5, dim=-1) @ v
    expected = attention.output(mixed.transpose(0, 1).flatten(1))
    graph = complete_graph(x[None])
    torch.testing.assert_close(AttentionByMessages(attention)(graph).nodes["x"], expected)
