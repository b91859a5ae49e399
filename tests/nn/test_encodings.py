"""Encodings keep what they say and lose what they must: shifts, turns, signs, bases."""

import math

import networkx as nx
import pytest
import torch

from sciml.builders import all_pairs, complete_graph, grid_graph, sequence_graph
from sciml.graph import Graph
from sciml.nn import (
    DistanceBias,
    Edges,
    LabelBias,
    LaplacianEncoding,
    LearnedEncoding,
    MultiHeadAttention,
    OffsetBias,
    QuadraticBias,
    Rotary,
    SinusoidalEncoding,
    SpectralBias,
    with_modes,
)
from sciml.nn.radial import envelope, gaussians


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(net):
    edges = torch.tensor(list(net.to_directed().edges)).T
    return Graph.create(edges, {"x": draw(len(net), 4)})


def double(module):
    torch.manual_seed(2)
    return module().double()


# ------------------------------------------------------------------ sines and turns


def test_sinusoidal_is_the_papers():
    graph = sequence_graph(torch.zeros(1, 7, 6).double())
    code = SinusoidalEncoding(6).double()(graph).nodes["x"]
    for position in range(7):
        for i in range(3):
            angle = position / 10_000 ** (2 * i / 6)
            assert code[position, i] == pytest.approx(math.sin(angle), abs=1e-6)
            assert code[position, 3 + i] == pytest.approx(math.cos(angle), abs=1e-6)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_products_of_sinusoids_depend_on_differences(dim):
    code = SinusoidalEncoding(12, dim, unit=0.7).double().code
    at = lambda pos: code(complete_graph(draw(1, 2, 12), pos=pos[None]))
    pos, shift = draw(2, dim), draw(dim, seed=1)
    product = lambda pos: (at(pos)[0] * at(pos)[1]).sum()
    torch.testing.assert_close(product(pos + shift), product(pos))
    assert (product(pos * 1.5) - product(pos)).abs() > 1e-3


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_rotary_scores_see_differences_only(dim):
    layer = double(lambda: MultiHeadAttention(24, 2, rotary=Rotary(12, dim, base=100.0)))
    x, pos, shift = draw(1, 5, 24), draw(1, 5, dim), 10 * draw(dim, seed=1)
    out = lambda pos: layer(complete_graph(x, pos=pos)).nodes["x"]
    torch.testing.assert_close(out(pos + shift), out(pos))
    assert (out(1.5 * pos) - out(pos)).abs().max() > 1e-3


def test_rotary_is_multiplication_of_complex_numbers():
    rotary, value, pos = Rotary(8, base=50.0).double(), draw(5, 2, 8), draw(5, 1)
    turned = rotary(value, rotary.turns(pos))
    number = torch.complex(value[..., :4], value[..., 4:])
    phase = torch.polar(torch.ones(5, 1, 4).double(), pos[:, None] * 50.0 ** (-torch.arange(4) / 4))
    torch.testing.assert_close(
        turned, torch.cat([(number * phase).real, (number * phase).imag], -1), rtol=1e-6, atol=1e-6
    )
    torch.testing.assert_close(turned.norm(dim=-1), value.norm(dim=-1))


# ------------------------------------------------------------------ tables


def test_learned_vectors_stand_at_their_places():
    graph = grid_graph(torch.zeros(1, 4, 2, 3).double(), spacing=0.5)
    layer = double(lambda: LearnedEncoding(4, (2, 3), spacing=0.5))
    rows, columns = layer.tables
    expected = rows[:, None] + columns
    torch.testing.assert_close(layer(graph).nodes["x"], expected.flatten(0, 1))


def test_offsets_are_clipped_from_receiver_to_sender():
    graph = sequence_graph(draw(1, 6, 1))
    label = OffsetBias(1, (2,)).label(Edges(graph)).reshape(6, 6)  # receivers senders
    expected = (torch.arange(6) - torch.arange(6)[:, None]).clamp(-2, 2) + 2
    assert torch.equal(label, expected)


def test_offsets_of_a_window_are_its_labels():
    """Where nothing is clipped, both count one thing: labels the last axis fastest, offsets the first."""
    graph = grid_graph(draw(1, 2, 4, 5), kernel=3, spacing=2.0, periodic=True)
    by_label, by_offset = LabelBias(2, 9), OffsetBias(2, (1, 1), spacing=2.0)
    label, offset = by_label.label(Edges(graph)), by_offset.label(Edges(graph))
    assert torch.equal(label // 3 + 3 * (label % 3), offset)


def test_relative_keys_are_the_papers():
    """Score q_i · (k_j + a_ij) / √d + b_ij, Shaw et al."""
    bias = double(lambda: OffsetBias(2, (2,), key_width=3))
    layer = double(lambda: MultiHeadAttention(6, 2, biases=[bias]))
    graph = sequence_graph(draw(1, 4, 6))
    query, key = layer.queries(graph)[graph.receiver], layer.keys(graph)[graph.sender]
    label = bias.label(Edges(graph))
    expected = (query * (key + bias.keys[label][:, None])).sum(-1) / 3**0.5 + bias.table[label]
    torch.testing.assert_close(layer.score(Edges(graph)), expected)


def test_hops_tell_neighbours_from_strangers():
    pair = all_pairs(network(nx.path_graph(3)), 2)
    bias = LabelBias(1, 4, "hops")
    assert bias.label(Edges(pair)).tolist() == [0, 1, 2, 1, 0, 1, 2, 1, 0]


# ------------------------------------------------------------------ distances


def test_distances_of_all_orders_at_zero():
    """A node's distance from itself is no source of NaN, in the second derivative either."""
    layer = double(lambda: MultiHeadAttention(4, 2, biases=[DistanceBias(2, 2.0)]))
    pos = draw(1, 3, 3).requires_grad_()
    y = layer(complete_graph(draw(1, 3, 4), pos=pos)).nodes["x"].square().sum()
    (force,) = torch.autograd.grad(y, pos, create_graph=True)
    (second,) = torch.autograd.grad(force.square().sum(), pos)
    assert force.isfinite().all()
    assert second.isfinite().all()
    assert second.abs().max() > 0


def test_gaussians_and_envelope():
    r = torch.linspace(0, 3, 301, dtype=torch.float64)
    basis = gaussians(r, 4, 3.0)
    assert torch.equal(basis.argmax(0), torch.tensor([0, 100, 200, 300]))
    assert basis[100].tolist() == pytest.approx([math.exp(-0.5), 1, math.exp(-0.5), math.exp(-2)])
    assert gaussians(r, 1, 3.0).shape == (301, 1)
    x = torch.tensor([0.0, 1.0, 2.0, 2.5], dtype=torch.float64, requires_grad=True)
    u = envelope(x, 2.0)
    assert u.tolist() == [1, 0.5, 0, 0]
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), x)
    assert slope[[0, 2, 3]].tolist() == [0, 0, 0]
    assert curvature[[0, 2, 3]].tolist() == [0, 0, 0]


def test_a_parabola_attends_where_its_centre_is():
    bias = QuadraticBias(1, 1, sharpness=50)
    torch.nn.init.constant_(bias.centre, 2.0)
    layer = MultiHeadAttention(1, 1, biases=[bias])
    for parameter in (*layer.query.parameters(), *layer.key.parameters()):
        torch.nn.init.zeros_(parameter)
    weight = layer.weights(sequence_graph(torch.zeros(1, 5, 1)))[:, 0].reshape(5, 5)
    torch.testing.assert_close(weight[:3], torch.eye(5)[2:])


# ------------------------------------------------------------------ modes


SIMPLE, RING = nx.lollipop_graph(3, 3), nx.cycle_graph(6)  # the lollipop has one double eigenvalue


def turned(graph, angle):
    """The same graph with another basis of the eigenspace of modes 1 and 2."""
    modes = graph.nodes["lowest_modes"].clone()
    rotation = torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    ).double()
    modes[:, 1:3] = modes[:, 1:3] @ rotation
    return graph.with_nodes(lowest_modes=modes)


@pytest.mark.parametrize("modes", ["lowest_modes", "mode_sizes"])
def test_signs_of_eigenvectors_mean_nothing(modes):
    graph = with_modes(network(nx.path_graph(5)), 4)
    flipped = graph.with_nodes(lowest_modes=graph.nodes["lowest_modes"] * torch.tensor([1, -1, -1, 1]))
    node = double(lambda: LaplacianEncoding(4, modes=modes))
    score = double(lambda: MultiHeadAttention(4, 2, biases=[SpectralBias(2)]))
    for layer in (node, score):
        torch.testing.assert_close(layer(flipped).nodes["x"], layer(graph).nodes["x"])
    uneven = graph.with_nodes(
        lowest_modes=2 * graph.nodes["lowest_modes"], mode_sizes=2 * graph.nodes["mode_sizes"]
    )
    for layer in (node, score):
        assert (layer(uneven).nodes["x"] - layer(graph).nodes["x"]).abs().max() > 1e-4


def test_bases_of_degenerate_eigenspaces_mean_nothing():
    graph = with_modes(network(RING), 3)
    other = turned(graph, 0.7)
    for layer in (
        double(lambda: LaplacianEncoding(4)),
        double(lambda: MultiHeadAttention(4, 2, biases=[SpectralBias(2)])),
    ):
        torch.testing.assert_close(layer(other).nodes["x"], layer(graph).nodes["x"])
    raw = double(lambda: LaplacianEncoding(4, modes="lowest_modes"))  # as its docstring warns
    assert (raw(other).nodes["x"] - raw(graph).nodes["x"]).abs().max() > 1e-4


@pytest.mark.parametrize("net", [RING, SIMPLE, nx.disjoint_union(RING, nx.path_graph(3))])
def test_encodings_follow_a_renumbering(net):
    """Whatever eigenvectors the solver finds after the nodes are renumbered."""
    order = torch.randperm(len(net), generator=torch.Generator().manual_seed(0))
    graph, number = network(net), torch.argsort(order)
    moved = Graph.create(number[graph.edge_index], {"x": graph.nodes["x"][order]})
    for layer in (
        double(lambda: LaplacianEncoding(4)),
        double(lambda: MultiHeadAttention(4, 2, biases=[SpectralBias(2)])),
    ):
        there, back = (layer(with_modes(g, 4)).nodes["x"] for g in (graph, moved))
        torch.testing.assert_close(back, there[order])


class Decay(torch.nn.Module):
    def forward(self, eigenvalue):
        return torch.exp(-0.8 * eigenvalue)


def test_spectral_bias_is_a_function_of_the_laplacian():
    """With f = exp(-t λ) it is the heat kernel: matrix_exp(-t L)."""
    graph = all_pairs(with_modes(network(SIMPLE), 6))
    bias = SpectralBias(1).double()
    bias.function = Decay()
    laplacian = torch.from_numpy(nx.normalized_laplacian_matrix(SIMPLE).toarray())
    kernel = bias(Edges(graph), torch.empty(0)).reshape(6, 6)
    torch.testing.assert_close(kernel, torch.linalg.matrix_exp(-0.8 * laplacian))
