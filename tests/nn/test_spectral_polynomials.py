"""Polynomials and Krylov spaces give the dense answer without dense matrices, and say how near they come."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from known_graphs import (
    DEGENERATE,
    complete,
    dense,
    from_matrix,
    function,
    hypercube,
    random_weights,
    ring,
    torus,
    torus_eigenvalues,
)
from scipy.special import ive

from sciml.graph import Graph, batch
from sciml.nn.spectral import (
    ChebyshevFilter,
    ChebyshevFunction,
    GraphConvolution,
    Heat,
    SimplifiedGraphConvolution,
    SpectralFilter,
    Wave,
    chebyshev_coefficients,
    chebyshev_error,
    chebyshev_function,
    function_of_laplacian,
    heat_kernel,
    lanczos_function,
    laplacian,
    largest_eigenvalue,
    scattering_features,
    with_spectrum,
)

double = torch.float64
heat = lambda value: torch.exp(-0.7 * value)
wave = lambda value: torch.cos(3 * value.clamp(min=0).sqrt())
resolvent = lambda value: 1 / (1 + value)


# ------------------------------------------------------------------ expansions


@pytest.mark.parametrize("end", [0.5, 4.0, 30.0])
def test_coefficients_of_heat_are_bessel_functions(end):
    """exp(-t λ) on [0, b]: c_k = 2 (-1)^k e^(-tb/2) I_k(tb/2)."""
    c = chebyshev_coefficients(heat, 40, torch.tensor(end, dtype=double))
    k = np.arange(41)
    expected = 2 * (-1.0) ** k * ive(k, 0.7 * end / 2)
    expected[0] /= 2
    np.testing.assert_allclose(c, expected, atol=1e-14)


@given(
    seed=st.integers(0, 10**6),
    degree=st.integers(0, 25),
    f=st.sampled_from([heat, wave, resolvent]),
    kind=st.sampled_from(["combinatorial", "symmetric"]),
)
def test_the_error_stays_below_its_bound(seed, degree, f, kind):
    W = random_weights(8, 0.5, seed)
    graph = from_matrix(W)
    L = laplacian(graph, kind, "weight")
    end = L.upper_bound().max()
    if end == 0:
        return
    bound = chebyshev_error(f, chebyshev_coefficients(f, degree, end), end)
    x = graph.nodes["x"]
    error = (chebyshev_function(L, x, f, degree=degree) - function(W, f, kind) @ x).norm(dim=0)
    assert (error <= bound * x.norm(dim=0) * 1.001 + 1e-12).all()


@pytest.mark.parametrize("f", [heat, wave, resolvent])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-11])
def test_the_tolerance_is_reached_with_few_terms(f, tolerance):
    W = random_weights(40, 0.3)
    graph = from_matrix(W)
    calls = []
    counted = lambda value: calls.append(value) or f(value)
    L = laplacian(graph, weight="weight")
    x = graph.nodes["x"]
    error = (chebyshev_function(L, x, counted, tolerance=tolerance) - function(W, f) @ x).norm(dim=0)
    assert (error <= tolerance * x.norm(dim=0)).all()
    degree = calls[-1].numel() // 2 - 1  # coefficients of degree K are taken from 2 (K + 1) points
    end = L.upper_bound()[0]
    shorter = chebyshev_error(f, chebyshev_coefficients(f, degree - 2, end), end)
    assert shorter > tolerance / 20


def test_jackson_neither_overshoots_nor_undershoots_a_jump():
    step = lambda value: (value < 2.0).double()
    end = torch.tensor(6.0, dtype=double)
    graph = from_matrix(ring(60), 1).with_nodes(x=torch.eye(60, dtype=double))
    U = torch.linalg.eigh(dense(ring(60)))[1]
    gains = {}
    for jackson in (True, False):
        P = chebyshev_function(
            laplacian(graph, dtype=double), graph.nodes["x"], step, degree=40, jackson=jackson, largest=6.0
        )
        gains[jackson] = torch.diagonal(U.T @ P @ U)
    assert (gains[True] > -1e-9).all()
    assert (gains[True] < 1 + 1e-9).all()
    assert gains[False].max() > 1.02
    assert chebyshev_coefficients(step, 0, end, jackson=True).shape == (1,)


def test_functions_that_no_polynomial_follows_are_refused():
    graph = from_matrix(ring(300))
    with pytest.raises(ValueError, match=r"too rough on .*lanczos_function"):
        function_of_laplacian(graph, torch.sqrt, tolerance=1e-9)
    with pytest.raises(ValueError, match="not finite everywhere"):
        function_of_laplacian(graph, lambda value: 1 / value)
    L = laplacian(graph, dtype=double)
    with pytest.raises(ValueError, match="give a degree"):
        chebyshev_function(L, graph.nodes["x"], heat, jackson=True)
    with pytest.raises(ValueError, match="at least 0"):
        chebyshev_function(L, graph.nodes["x"], heat, degree=-1)
    with pytest.raises(ValueError, match="one gain for each eigenvalue"):
        ChebyshevFunction(Heat([1.0, 2.0])).double()(graph)


@pytest.mark.parametrize("name", DEGENERATE)
def test_chebyshev_function_is_the_exact_filter(name):
    graph = batch([from_matrix(DEGENERATE[name]), from_matrix(complete(4), seed=1)])
    for response in (Heat(0.5).double(), Wave(2.0).double()):
        exact = SpectralFilter(response)(with_spectrum(graph, dtype=double)).nodes["x"]
        layer = ChebyshevFunction(response, 40)
        torch.testing.assert_close(layer(graph).nodes["x"], exact)


# ------------------------------------------------------------------ learned filters


@pytest.mark.parametrize("kind", ["combinatorial", "symmetric"])
@pytest.mark.parametrize("out", [1, 4])
def test_chebyshev_filter_is_a_spectral_filter(kind, out):
    W = random_weights(9, 0.5)
    graph, largest = from_matrix(W, 3), 9.0 if kind == "combinatorial" else 2.0
    layer = ChebyshevFilter(3, out, 4, kind=kind, weight="weight", largest=largest).double()

    def response(value):
        angle = torch.acos((2 * value / largest - 1).clamp(-1, 1))
        return sum(torch.cos(k * angle)[..., None, None] * m for k, m in enumerate(layer.matrices))

    exact = SpectralFilter(response)(with_spectrum(graph, kind, "weight", dtype=double))
    torch.testing.assert_close(layer(graph).nodes["x"], exact.nodes["x"])


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("degree", [0, 1, 3])
def test_a_filter_reaches_as_far_as_its_degree(degree, fused):
    impulse = torch.zeros(20, 1, dtype=double)
    impulse[0] = 1
    layer = ChebyshevFilter(1, 1, degree, bias=False).double()
    layer.fused = fused
    reached = layer(from_matrix(ring(20)).with_nodes(x=impulse)).nodes["x"][:, 0] != 0
    distance = torch.minimum(torch.arange(20), 20 - torch.arange(20))
    assert reached.tolist() == (distance <= degree).tolist()


def looped(W):
    return W + torch.eye(len(W), dtype=W.dtype)


@pytest.mark.parametrize("fused", [True, False])
def test_graph_convolution_is_the_paper_s_and_a_chebyshev_filter(fused):
    W = torch.block_diag(random_weights(6, 0.5), torch.zeros(1, 1))
    graph, layer = from_matrix(W, 3), GraphConvolution(3, 2, weight="weight").double()
    layer.fused = fused
    A = looped(W)
    root = A.sum(1) ** -0.5
    expected = root[:, None] * A * root @ graph.nodes["x"] @ layer.linear.weight.T + layer.linear.bias
    torch.testing.assert_close(layer(graph).nodes["x"], expected)
    chebyshev = ChebyshevFilter(3, 2, 1, weight="weight").double()
    with torch.no_grad():
        chebyshev.matrices[0], chebyshev.matrices[1] = 0, -layer.linear.weight.T
        chebyshev.bias.copy_(layer.linear.bias)
    same = from_matrix(looped(W)).with_nodes(x=graph.nodes["x"])
    torch.testing.assert_close(chebyshev(same).nodes["x"], expected)


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_simplified_convolution_is_a_low_pass_filter(steps):
    W = random_weights(7, 0.5)
    graph, layer = from_matrix(W), SimplifiedGraphConvolution(2, 3, steps, weight="weight").double()
    same = with_spectrum(from_matrix(looped(W)), "symmetric", "weight", dtype=double)
    filtered = SpectralFilter(lambda value: (1 - value) ** steps)(same).nodes["x"]
    torch.testing.assert_close(layer(graph).nodes["x"], layer.linear(filtered))


def test_graph_convolution_is_a_simplified_one_of_one_step():
    graph = from_matrix(random_weights(7, 0.5))
    one, other = GraphConvolution(2, 3).double(), SimplifiedGraphConvolution(2, 3, 1).double()
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(one(graph).nodes["x"], other(graph).nodes["x"])


def test_many_steps_forget_all_but_the_degrees():
    """Oversmoothing: Â^K x tends to the projection on √(1 + d)."""
    graph = from_matrix(random_weights(7, 0.9), 1)
    layer = SimplifiedGraphConvolution(1, 1, 400, weight="weight", bias=False).double()
    v = (1 + dense(random_weights(7, 0.9)).diagonal()).sqrt()
    v = v / v.norm()
    expected = v[:, None] * (v @ graph.nodes["x"]) * layer.linear.weight
    torch.testing.assert_close(layer(graph).nodes["x"], expected)


def test_largest_eigenvalue_by_name():
    graph = batch([from_matrix(random_weights(9, 0.5)), from_matrix(ring(4))])
    values = with_spectrum(graph, weight="weight", dtype=double).globals["eigenvalues"].amax(1)
    ready = graph.with_globals(largest=values)
    layer = ChebyshevFilter(2, 3, kind="combinatorial", weight="weight", largest="largest").double()
    for number, part in enumerate(graph):
        layer_of_one = ChebyshevFilter(
            2, 3, kind="combinatorial", weight="weight", largest=float(values[number])
        ).double()
        layer_of_one.load_state_dict(layer.state_dict())
        torch.testing.assert_close(layer(ready)[number].nodes["x"], layer_of_one(part).nodes["x"])
    with pytest.raises(ValueError, match="no such field; store them"):
        layer(graph)


def test_bad_filters_are_refused():
    graph = from_matrix(ring(5))
    for bad in (
        lambda: ChebyshevFilter(2, 2, -1),
        lambda: ChebyshevFilter(2, 2, largest=0.0),
        lambda: SimplifiedGraphConvolution(2, 2, -1),
        lambda: ChebyshevFilter(3, 2).double()(graph),
        lambda: ChebyshevFilter(3, 2).double()(graph.with_nodes(x=torch.ones(5, 3, 2, dtype=double))),
        lambda: GraphConvolution(3, 2).double()(graph),
    ):
        with pytest.raises(ValueError, match=r"at least 0|takes 3 channels"):
            bad()


# ------------------------------------------------------------------ Lanczos


@pytest.mark.parametrize("f", [heat, wave, resolvent, torch.sqrt])
@pytest.mark.parametrize("kind", ["combinatorial", "symmetric"])
def test_lanczos_is_the_dense_answer(f, kind):
    W = random_weights(12, 0.5)
    graph = from_matrix(W)
    found = lanczos_function(laplacian(graph, kind, "weight"), graph.nodes["x"], lambda v: f(v.clamp(min=0)))
    torch.testing.assert_close(found, function(W, f, kind) @ graph.nodes["x"], atol=1e-7, rtol=1e-7)


@pytest.mark.parametrize(("W", "different"), [(hypercube(5), 6), (complete(9), 2), (ring(12), 7)])
def test_as_many_steps_as_eigenvalues_are_exact(W, different):
    graph = from_matrix(W)
    L = laplacian(graph, weight="weight")
    expected = function(W, wave) @ graph.nodes["x"]
    torch.testing.assert_close(lanczos_function(L, graph.nodes["x"], wave, different), expected)
    short = lanczos_function(L, graph.nodes["x"], wave, different - 1)
    assert float((short - expected).abs().max()) > 1e-4


def test_graphs_of_a_batch_have_spaces_of_their_own():
    graphs = [from_matrix(W, seed=i) for i, W in enumerate([*DEGENERATE.values(), random_weights(20, 0.3)])]
    graphs[1] = graphs[1].with_nodes(x=0 * graphs[1].nodes["x"])  # nothing to start from
    whole = batch(graphs)
    f = lambda value: 1 / (value + 0.1)
    together = lanczos_function(laplacian(whole, weight="weight"), whole.nodes["x"], f)
    apart = [lanczos_function(laplacian(g, weight="weight"), g.nodes["x"], f) for g in graphs]
    torch.testing.assert_close(together, torch.cat(apart))
    torch.testing.assert_close(apart[-1], function(random_weights(20, 0.3), f) @ graphs[-1].nodes["x"])


def test_lanczos_needs_a_spectrum_without_zero_only_where_x_has_no_zero():
    """The inverse square root, of what has no mean: f(0) is infinite and never asked for."""
    W = random_weights(8, 0.9)
    x = from_matrix(W).nodes["x"]
    graph = from_matrix(W).with_nodes(x=x - x.mean(0))
    found = lanczos_function(laplacian(graph, weight="weight"), graph.nodes["x"], lambda v: v**-0.5, 7)
    torch.testing.assert_close(dense(W) @ found, function(W, torch.sqrt) @ graph.nodes["x"])


def test_lanczos_converges_faster_than_chebyshev_where_eigenvalues_cluster():
    W = torch.block_diag(ring(80).double(), 100 * complete(4).double())
    graph = from_matrix(W)
    L, x = laplacian(graph, weight="weight"), graph.nodes["x"]
    expected = function(W, heat) @ x
    error = lambda found: float((found - expected).norm() / x.norm())
    assert error(lanczos_function(L, x, heat, 14)) < 1e-6
    assert error(chebyshev_function(L, x, heat, degree=13)) > 1e-2


def test_bad_krylov_spaces_are_refused():
    graph = from_matrix(ring(5))
    L, x = laplacian(graph, dtype=double), graph.nodes["x"]
    for bad, message in [
        (lambda: lanczos_function(laplacian(graph, "random walk", dtype=double), x, heat), "symmetric"),
        (lambda: lanczos_function(L, x, heat, 0), "at least 1"),
        (lambda: lanczos_function(L, x.clone().requires_grad_(), heat), "no derivatives"),
    ]:
        with pytest.raises(ValueError, match=message):
            bad()


@pytest.mark.parametrize("kind", ["combinatorial", "symmetric", "random walk"])
def test_largest_eigenvalues(kind):
    graph = batch(
        [from_matrix(W) for W in (random_weights(80, 0.1), ring(9), complete(5), torch.zeros(3, 3))]
    )
    symmetric = "symmetric" if kind == "random walk" else kind
    exact = with_spectrum(graph, symmetric, "weight", dtype=double).globals["eigenvalues"].amax(1)
    found = largest_eigenvalue(graph, kind, "weight").double()
    assert (found >= exact * (1 - 1e-6)).all()
    torch.testing.assert_close(found, exact, rtol=5e-3, atol=1e-6)


@pytest.mark.parametrize("method", ["exact", "chebyshev"])
def test_nothing_from_nothing(method):
    none = Graph.create(torch.zeros(2, 0), {"x": torch.zeros(0, 3)})
    assert heat_kernel(none, 1.0, method=method).nodes["x"].shape == (0, 3)
    assert lanczos_function(laplacian(none), none.nodes["x"], heat).shape == (0, 3)
    assert largest_eigenvalue(none).tolist() == [0]
    assert (scattering_features(none) == 0).all()


# ------------------------------------------------------------------ large graphs


def test_heat_on_a_hundred_thousand_nodes_is_the_fourier_solution():
    shape = (317, 316)
    u = torch.zeros(1, 1, *shape, dtype=double)
    u[0, 0, 5, 7] = 1
    graph = torus(u)
    found = heat_kernel(graph, 5.0, weight="weight", tolerance=1e-9).nodes["x"].reshape(shape)
    solution = torch.fft.ifft2(torch.fft.fft2(u[0, 0]) * torch.exp(-5.0 * torus_eigenvalues(*shape))).real
    torch.testing.assert_close(found, solution, atol=1e-9, rtol=0)
    by_lanczos = lanczos_function(
        laplacian(graph, weight="weight"), graph.nodes["x"], lambda v: torch.exp(-5 * v)
    )
    torch.testing.assert_close(by_lanczos.reshape(shape), solution, atol=1e-9, rtol=0)
    assert math.isclose(float(found.sum()), 1.0, rel_tol=1e-8)
