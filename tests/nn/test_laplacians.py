"""Laplacians have their textbook matrices and spectra, and say what they cannot be made of."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from known_graphs import (
    complete,
    dense,
    disconnected,
    from_matrix,
    hypercube,
    random_weights,
    ring,
    star,
)
from scipy.sparse import csgraph

from sciml.graph import Graph, batch
from sciml.nn.spectral import (
    ChebyshevFilter,
    DiffusionScattering,
    GraphConvolution,
    Laplacian,
    check_undirected,
    laplacian,
    with_spectrum,
)
from sciml.nn.spectral.sparse import sparse_product

KINDS = ("combinatorial", "symmetric", "random walk")
double = torch.float64
spectrum = lambda graph, *options, **more: with_spectrum(graph, *options, dtype=double, **more)


# ------------------------------------------------------------------ Laplacians


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fused", [True, False])
def test_laplacian_is_the_textbooks(kind, fused):
    W = torch.block_diag(random_weights(7), torch.zeros(1, 1))
    graph, layer = from_matrix(W), Laplacian(kind, "weight")
    layer.fused = fused
    torch.testing.assert_close(layer(graph).nodes["x"], dense(W, kind) @ graph.nodes["x"])
    torch.testing.assert_close(laplacian(graph, kind, "weight").to_dense(), dense(W, kind))
    torch.testing.assert_close(laplacian(graph, kind, "weight").to_csr().to_dense(), dense(W, kind))


@pytest.mark.parametrize("kind", ["combinatorial", "symmetric"])
def test_laplacian_is_scipys(kind):
    W = torch.block_diag(random_weights(9, 0.3), torch.zeros(2, 2))
    theirs = csgraph.laplacian(W.numpy(), normed=kind == "symmetric")
    ours = laplacian(from_matrix(W), kind, "weight").to_dense()
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-14)


def test_loops_keep_walkers_and_leave_heat_alone():
    W = random_weights(5)
    looped = W + torch.diag(torch.arange(5.0, dtype=double))
    difference = laplacian(from_matrix(looped), weight="weight").to_dense() - dense(W)
    torch.testing.assert_close(difference, torch.zeros(5, 5, dtype=double))
    walk = torch.eye(5, dtype=double) - looped / looped.sum(1, keepdim=True)
    torch.testing.assert_close(laplacian(from_matrix(looped), "random walk", "weight").to_dense(), walk)


@pytest.mark.parametrize(
    ("W", "expected"),
    [
        (ring(7), 2 - 2 * torch.cos(2 * math.pi * torch.arange(7) / 7)),
        (complete(6), torch.tensor([0.0] + [6.0] * 5)),
        (hypercube(4), torch.tensor([2.0 * k for k in range(5) for _ in range(math.comb(4, k))])),
        (star(6), torch.tensor([0.0, 1, 1, 1, 1, 6])),
    ],
    ids=["ring", "complete", "hypercube", "star"],
)
def test_known_spectra(W, expected):
    found = spectrum(from_matrix(W)).globals["eigenvalues"][0]
    torch.testing.assert_close(found, expected.double().sort()[0], atol=1e-6, rtol=0)


def test_normalized_spectrum_ends_at_two_exactly_on_bipartite_graphs():
    last = lambda W: spectrum(from_matrix(W), "symmetric").globals["eigenvalues"][0, -1].item()
    assert last(hypercube(3)) == pytest.approx(2)
    assert last(star(5)) == pytest.approx(2)
    assert last(complete(5)) == pytest.approx(5 / 4)


@pytest.mark.parametrize("kind", ["combinatorial", "symmetric"])
def test_zero_has_the_multiplicity_of_components(kind):
    values = spectrum(from_matrix(disconnected()), kind).globals["eigenvalues"][0]
    assert (values < 1e-12).tolist() == [True] * 3 + [False] * 3


@given(seed=st.integers(0, 10**6), n=st.integers(1, 12), kind=st.sampled_from(["combinatorial", "symmetric"]))
def test_no_eigenvalue_exceeds_the_bound(seed, n, kind):
    W = random_weights(n, 0.5, seed) + torch.diag(random_weights(n, 1.0, seed)[0])
    graph = from_matrix(W)
    largest = spectrum(graph, kind, "weight").globals["eigenvalues"].max()
    bound = laplacian(graph, kind, "weight").upper_bound()
    assert bound.shape == (1,)
    assert largest <= bound * (1 + 1e-12) + 1e-12


def test_bound_is_reached_by_regular_bipartite_graphs_and_is_zero_without_edges():
    assert laplacian(from_matrix(hypercube(3))).upper_bound().tolist() == [6]
    assert laplacian(
        batch([from_matrix(hypercube(3)), from_matrix(torch.zeros(2, 2))])
    ).upper_bound().tolist() == [
        6,
        0,
    ]


# ------------------------------------------------------------------ bad input


def without_edge(graph, edge):
    keep = torch.arange(graph.num_edges) != edge
    return Graph.create(graph.edge_index[:, keep], graph.nodes, {"weight": graph.edges["weight"][keep]})


@given(seed=st.integers(0, 10**6))
def test_one_way_edges_are_found(seed):
    graph = from_matrix(random_weights(8, 0.4, seed) + ring(8).double())
    check_undirected(graph, "weight")
    edge = seed % graph.num_edges
    sender, receiver = graph.edge_index[:, edge].tolist()
    with pytest.raises(ValueError, match="directed") as error:
        check_undirected(without_edge(graph, edge), "weight")
    assert f"{sender} to {receiver}" in str(error.value) or f"{receiver} to {sender}" in str(error.value)


def change(graph, value, edge=0):
    weight = graph.edges["weight"].clone()
    weight[edge] = value
    return graph.with_edges(weight=weight)


BAD = {
    "directed: weight .*5": lambda g: change(g, 5.0),
    "at least zero": lambda g: change(g, -1.0),
    "weight nan": lambda g: change(g, math.nan),
    "one number for each edge": lambda g: g.with_edges(weight=g.edges["weight"][:, None]),
    "no edge field 'weight'": lambda g: g.without("edges", "weight"),
    "needs one node set": lambda g: Graph.create(g.edge_index, g.nodes, g.edges, senders={"x": g.nodes["x"]}),
    "real fields": lambda g: g.with_nodes(x=g.nodes["x"] + 0j),
}


@pytest.mark.parametrize("message", BAD)
@pytest.mark.parametrize(
    "layer",
    [
        Laplacian(weight="weight"),
        ChebyshevFilter(2, 2, weight="weight").double(),
        GraphConvolution(2, 2, weight="weight").double(),
        DiffusionScattering(weight="weight"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_bad_graphs_are_refused(layer, message):
    graph = from_matrix(random_weights(6, 0.5))
    for fused in (True, False):
        layer.fused = fused
        layer(graph)
        with pytest.raises((ValueError, TypeError), match=message):
            layer(BAD[message](graph))


def test_a_graph_is_checked_again_after_a_change_in_place():
    graph, layer = from_matrix(ring(5)), Laplacian(weight="weight")
    layer(graph)
    graph.edges["weight"][0] = 3.0
    with pytest.raises(ValueError, match="directed"):
        layer(graph)


# ------------------------------------------------------------------ sparse products


def test_sparse_products_are_matrix_products_with_all_derivatives():
    edges = torch.tensor([[0, 2, 2, 1, 0, 0], [0, 1, 1, 1, 2, 2]])  # twice the same pair
    graph = Graph.create(edges, {"x": torch.zeros(4, 1)})
    values = torch.randn(6, dtype=double, requires_grad=True)
    x = torch.randn(4, 3, 2, dtype=double, requires_grad=True)
    matrix = torch.zeros(4, 4, dtype=double).index_put((edges[1], edges[0]), values, accumulate=True)
    torch.testing.assert_close(sparse_product(graph, values, x), torch.einsum("ij,jab->iab", matrix, x))
    product = lambda v, x: sparse_product(graph, v, x)
    assert torch.autograd.gradcheck(product, (values, x))
    assert torch.autograd.gradgradcheck(product, (values, x))
    assert torch.autograd.gradcheck(product, (values, x), check_forward_ad=True, check_batched_grad=True)
    by_weights = torch.func.jacrev(product)(values.detach(), x.detach())
    torch.testing.assert_close(by_weights, torch.func.jacfwd(product)(values.detach(), x.detach()))
    half = sparse_product(graph, values.bfloat16(), x.bfloat16())
    torch.testing.assert_close(half.double(), product(values, x), atol=0.1, rtol=0.1)
    assert sparse_product(graph, values, x[:, :0]).shape == (4, 0, 2)


def test_integers_are_filtered_as_numbers():
    graph = from_matrix(ring(4)).with_nodes(x=torch.tensor([0, 4, 0, 0]))
    for fused in (True, False):
        layer = Laplacian("symmetric", "weight")
        layer.fused = fused
        assert layer(graph).nodes["x"].tolist() == pytest.approx([-2, 4, -2, 0])
