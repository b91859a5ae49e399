"""Filters are functions of the Laplacian, whatever the eigenbasis: heat, waves and what is learned."""

import math

import numpy as np
import pytest
import torch
from known_graphs import (
    DEGENERATE,
    complete,
    dense,
    from_matrix,
    function,
    hypercube,
    random_weights,
    ring,
    star,
    torus,
    torus_eigenvalues,
)
from scipy.linalg import expm_frechet

from sciml.graph import batch
from sciml.nn import recording
from sciml.nn.spectral import (
    ChebyshevFilter,
    GraphConvolution,
    GraphFourier,
    Heat,
    InverseGraphFourier,
    Laplacian,
    NetworkResponse,
    SpectralFilter,
    SplineResponse,
    Wave,
    WaveImpulse,
    chebyshev_function,
    heat_kernel,
    laplacian,
    wave_kernel,
    with_spectrum,
)

double = torch.float64
spectrum = lambda graph, *options, **more: with_spectrum(graph, *options, dtype=double, **more)


# ------------------------------------------------------------------ Fourier


def several():
    """Graphs of unequal sizes, some without edges, some of a single node."""
    return batch([from_matrix(W, seed=i, weighted=False) for i, W in enumerate(DEGENERATE.values())])


@pytest.mark.parametrize("kind", ["combinatorial", "symmetric"])
@pytest.mark.parametrize("fused", [True, False])
def test_transform_and_inverse(kind, fused):
    graph, there, back = spectrum(several(), kind), GraphFourier(), InverseGraphFourier(output="y")
    there.fused = back.fused = fused
    transformed = there(graph)
    torch.testing.assert_close(back(transformed).nodes["y"], graph.nodes["x"])
    energy = [part.nodes["x"].square().sum() for part in graph]
    torch.testing.assert_close(transformed.globals["spectrum"].square().sum((1, 2)), torch.stack(energy))


def test_a_constant_is_the_first_mode_of_a_connected_graph():
    graph = spectrum(
        from_matrix(random_weights(9, 0.6)).with_nodes(x=torch.ones(9, 1, dtype=double)), weight="weight"
    )
    coefficients = GraphFourier()(graph).globals["spectrum"][0, :, 0].abs()
    torch.testing.assert_close(
        coefficients, torch.tensor([3.0] + [0.0] * 8, dtype=double), atol=1e-12, rtol=0
    )


def test_few_modes_are_a_projection_to_smooth_signals():
    graph = spectrum(from_matrix(random_weights(9, 0.6)), weight="weight", modes=4)
    project = lambda g: InverseGraphFourier()(GraphFourier()(g))
    once = project(graph)
    assert graph.nodes["modes"].shape == (9, 4)
    torch.testing.assert_close(project(once).nodes["x"], once.nodes["x"])
    rough = lambda g: (
        (g.nodes["x"] * (laplacian(g, weight="weight") @ g.nodes["x"])).sum() / g.nodes["x"].square().sum()
    )
    assert rough(once) < rough(graph)


def test_graphs_prepared_one_by_one_are_the_batch():
    graphs = [from_matrix(W, weighted=False) for W in (ring(4), complete(6), star(5))]
    apart = batch([spectrum(g, width=6) for g in graphs])
    layer = SpectralFilter(Heat(0.4))
    torch.testing.assert_close(layer(apart).nodes["x"], layer(spectrum(batch(graphs))).nodes["x"])


# ------------------------------------------------------------------ filters


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("fused", [True, False])
def test_filters_are_functions_of_the_matrix(name, fused):
    W = DEGENERATE[name].double()
    graph, layer = spectrum(from_matrix(W, weighted=False)), SpectralFilter(Heat(0.7).double())
    layer.fused = fused
    layer.response.time.fill_(0.7)
    expected = torch.matrix_exp(-0.7 * dense(W)) @ graph.nodes["x"]
    torch.testing.assert_close(layer(graph).nodes["x"], expected)


def turned(graph, seed=0):
    """Another eigenbasis, as good: modes of equal eigenvalue mixed by a random orthogonal matrix."""
    random = torch.Generator().manual_seed(seed)
    values, U = graph.globals["eigenvalues"][0], graph.nodes["modes"].clone()
    for value in values.round(decimals=6).unique():
        same = (values - value).abs() < 1e-5
        Q, _ = torch.linalg.qr(torch.randn(int(same.sum()), int(same.sum()), generator=random, dtype=double))
        U[:, same] = U[:, same] @ -Q
    return graph.with_nodes(modes=U)


@pytest.mark.parametrize("name", ["ring", "complete", "hypercube", "disconnected", "no edges"])
def test_the_choice_of_basis_does_no_harm(name):
    graph = spectrum(from_matrix(DEGENERATE[name]))
    torch.manual_seed(0)
    for response in (Wave(1.3), SplineResponse(2, 3, largest=6.0), NetworkResponse(2, 3, largest=6.0)):
        layer = SpectralFilter(response).double()
        torch.testing.assert_close(layer(turned(graph)).nodes["x"], layer(graph).nodes["x"])
    by_number = SpectralFilter(lambda value: torch.arange(value.shape[1], dtype=double).expand_as(value))
    assert not torch.allclose(by_number(turned(graph)).nodes["x"], by_number(graph).nodes["x"], atol=1e-2)


@pytest.mark.parametrize("name", ["ring", "complete", "hypercube", "disconnected"])
def test_derivatives_on_degenerate_spectra(name):
    """By the time: d/dt exp(-tL) x = -L exp(-tL) x. By x: the filter is its own transpose."""
    W = DEGENERATE[name].double()
    graph = spectrum(from_matrix(W))
    x = graph.nodes["x"].clone().requires_grad_()
    layer = SpectralFilter(Heat(0.7, learn=True).double())
    y = layer(graph.with_nodes(x=x)).nodes["x"]
    g = torch.ones_like(y).cumsum(0)
    by_x, by_time = torch.autograd.grad((g * y).sum(), (x, layer.response.time))
    flow = torch.matrix_exp(-layer.response.time.detach() * dense(W))
    torch.testing.assert_close(by_x, flow @ g)
    torch.testing.assert_close(by_time, -(g * (dense(W) @ flow @ x.detach())).sum())


@pytest.mark.parametrize("W", [complete(5), hypercube(3), ring(6)], ids=["complete", "hypercube", "ring"])
def test_derivative_by_weights_is_the_frechet_derivative(W):
    """Daleckii and Krein: it exists where eigenvalues coincide and eigenvectors have none."""
    graph = from_matrix(W, channels=1)
    weight = graph.edges["weight"].clone().requires_grad_()
    L = laplacian(graph.with_edges(weight=weight), weight="weight")
    y = chebyshev_function(L, graph.nodes["x"], lambda v: torch.exp(-v), tolerance=1e-14)
    (slope,) = torch.autograd.grad(y[0, 0], weight)
    for edge in range(0, graph.num_edges, 3):
        sender, receiver = graph.edge_index[:, edge].tolist()
        E = np.zeros(W.shape)
        E[receiver, receiver], E[receiver, sender] = -1, 1  # of -L, by this one weight
        by_edge = expm_frechet(-dense(W).numpy(), E, compute_expm=False) @ graph.nodes["x"].numpy()
        assert float(slope[edge]) == pytest.approx(by_edge[0, 0], abs=1e-10)


def test_splines_sum_to_one_and_are_local():
    layer = SplineResponse(1, 1, knots=7).double()
    at = torch.linspace(0, 2, 50, dtype=double)
    torch.nn.init.ones_(layer.weight)
    torch.testing.assert_close(layer(at), torch.ones(50, 1, 1, dtype=double))
    with torch.no_grad():
        layer.weight[1:] = 0
    assert (layer(at[at > 0.5001]) == 0).all()
    assert layer(at[:1]).item() == pytest.approx(1 / 6)
    torch.testing.assert_close(layer(torch.tensor([2.0, 9.0], dtype=double))[0], layer(at[-1]))


def test_waves_are_smooth_at_zero():
    at = torch.tensor([0.0, 1e-18, 1e-9, 1e-4, 2e-3, 0.3, 5.0], dtype=double, requires_grad=True)
    for t in (0.5, 3.0):
        wave, impulse = Wave(t).double(), WaveImpulse(t).double()
        root = at.detach().sqrt().clamp(min=1e-200)
        torch.testing.assert_close(wave(at), torch.cos(t * root))
        torch.testing.assert_close(impulse(at), torch.sin(t * root) / root)
        (slope,) = torch.autograd.grad(wave(at).sum(), at)
        torch.testing.assert_close(slope, -t / 2 * torch.sin(t * root) / root)
        assert torch.autograd.gradgradcheck(impulse, at)


# ------------------------------------------------------------------ heat and waves


@pytest.mark.parametrize("shape", [(7,), (4, 5), (3, 4, 5)])
@pytest.mark.parametrize("method", ["exact", "chebyshev"])
def test_on_a_periodic_grid_it_is_the_fourier_transform(shape, method):
    u = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(0), dtype=double)
    graph, eigenvalues = torus(u), torus_eigenvalues(*shape)
    found = spectrum(graph, weight="weight").globals["eigenvalues"]
    torch.testing.assert_close(found[1], eigenvalues.flatten().sort()[0])
    axes = tuple(range(2, u.ndim))
    solution = torch.fft.ifftn(torch.fft.fftn(u, dim=axes) * torch.exp(-0.8 * eigenvalues), dim=axes).real
    heat = heat_kernel(graph, 0.8, weight="weight", method=method, tolerance=1e-13).nodes["x"]
    torch.testing.assert_close(heat, solution.flatten(2).mT.flatten(0, 1))


@pytest.mark.parametrize("method", ["exact", "chebyshev"])
def test_heat_is_conserved_spreads_and_adds_up(method):
    W = torch.block_diag(random_weights(6, 0.7), random_weights(4, 0.9), torch.zeros(1, 1))
    graph = from_matrix(W).with_nodes(x=torch.eye(11, dtype=double))
    flow = lambda g, t: heat_kernel(g, t, weight="weight", method=method, tolerance=1e-13)
    torch.testing.assert_close(flow(graph, 0.3).nodes["x"].sum(0), torch.ones(11, dtype=double))
    assert (flow(graph, 0.3).nodes["x"] > -1e-12).all()
    torch.testing.assert_close(flow(flow(graph, 0.3), 0.5).nodes["x"], flow(graph, 0.8).nodes["x"])
    means = torch.block_diag(torch.full((6, 6), 1 / 6), torch.full((4, 4), 1 / 4), torch.ones(1, 1)).double()
    torch.testing.assert_close(flow(graph, 300.0).nodes["x"], means, atol=1e-8, rtol=0)


@pytest.mark.parametrize("method", ["exact", "chebyshev"])
def test_random_walks_in_continuous_time(method):
    W = torch.block_diag(random_weights(7, 0.5), torch.zeros(1, 1))
    graph = from_matrix(W)
    found = heat_kernel(graph, 1.5, kind="random walk", weight="weight", method=method, tolerance=1e-13)
    torch.testing.assert_close(
        found.nodes["x"], torch.matrix_exp(-1.5 * dense(W, "random walk")) @ graph.nodes["x"]
    )


@pytest.mark.parametrize("method", ["exact", "chebyshev"])
def test_waves_conserve_energy_and_come_back(method):
    graph = from_matrix(random_weights(9, 0.5)).with_nodes(v=torch.ones(9, 2, dtype=double).cumsum(0))
    L = laplacian(graph, weight="weight")

    def energy(g):
        x, v = g.nodes["x"], g.nodes["v"]
        return (v.square() + x * (L @ x)).sum(0) / 2

    go = lambda g, t: wave_kernel(g, t, "v", weight="weight", method=method, tolerance=1e-13)
    later = go(graph, 4.0)
    assert not torch.allclose(later.nodes["x"], graph.nodes["x"], atol=0.1)
    torch.testing.assert_close(energy(later), energy(graph))
    for name in ("x", "v"):
        torch.testing.assert_close(go(later, -4.0).nodes[name], graph.nodes[name])


def test_smooth_waves_on_a_ring_run_both_ways_unchanged():
    """D'Alembert: f becomes [f(x - t) + f(x + t)]/2; the ring's dispersion is of second order in 1/width."""

    def error(width):
        place = torch.arange(32 * width, dtype=double)
        pulse = lambda centre: torch.exp(-(((place - centre) / width) ** 2) / 2)
        graph = from_matrix(ring(len(place)), 1).with_nodes(x=pulse(16 * width)[:, None])
        found = wave_kernel(graph, 8.0 * width, method="chebyshev", tolerance=1e-12).nodes["x"][:, 0]
        return float((found - (pulse(8 * width) + pulse(24 * width)) / 2).abs().max())

    assert error(8) < 0.01
    assert error(4) / error(8) == pytest.approx(4, rel=0.1)


def test_times_are_learned():
    graph = from_matrix(ring(6))
    time = torch.tensor(0.4, dtype=double, requires_grad=True)
    for method in ("exact", "chebyshev"):
        loss = lambda t, method=method: heat_kernel(graph, t, method=method, tolerance=1e-13).nodes["x"]
        assert torch.autograd.gradcheck(loss, time)


def test_auto_takes_the_polynomial_where_the_eigenbasis_would_be_wrong_or_dear(monkeypatch):
    used = []
    monkeypatch.setattr(
        "sciml.nn.spectral.kernels.chebyshev_function", lambda L, x, f, **_: used.append(len(x)) or x
    )
    heat_kernel(from_matrix(ring(6)), 1.0)
    graph = from_matrix(ring(7))
    heat_kernel(graph.with_edges(weight=graph.edges["weight"].requires_grad_()), 1.0, weight="weight")
    heat_kernel(from_matrix(ring(300)), 1.0)
    assert used == [7, 300]


# ------------------------------------------------------------------ the record


@pytest.mark.parametrize(
    ("layer", "calls"),
    [
        (Laplacian(), 1),
        (GraphConvolution(2, 1), 1),
        (ChebyshevFilter(2, 1, 3), 3),
        (SpectralFilter(Heat(1.0)), 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_recording_sees_every_step_along_edges(layer, calls):
    graph, layer = spectrum(from_matrix(hypercube(3))), layer.double()
    with recording(layer) as tape:
        result = layer(graph)
    assert [len(m) for m in tape.messages["layer"]] == [64 if calls == 2 else 24] * calls
    torch.testing.assert_close(result.nodes["x"], layer(graph).nodes["x"])


def test_function_agrees_with_the_reference_of_these_tests():
    """The dense reference itself, against torch's matrix exponential."""
    W = random_weights(6)
    torch.testing.assert_close(function(W, lambda v: torch.exp(-v)), torch.matrix_exp(-dense(W)))


# ------------------------------------------------------------------ bad input


def test_bad_options_are_refused():
    graph = from_matrix(ring(5))
    for bad, message in [
        (lambda: laplacian(graph, "normalized"), "Unknown Laplacian 'normalized'; choose combinatorial"),
        (lambda: with_spectrum(graph, "random walk"), "kind='symmetric'"),
        (lambda: with_spectrum(graph, width=4), "5 nodes, more than 4"),
        (lambda: with_spectrum(graph, modes=6), "between 1 and 5"),
        (lambda: SpectralFilter(Heat(1.0))(graph), "lacks its spectrum"),
        (
            lambda: InverseGraphFourier("x")(spectrum(graph).with_globals(x=torch.ones(1, 3, 2))),
            r"not \(graphs, 5",
        ),
        (lambda: SpectralFilter(Heat([1.0, 2.0, 3.0]))(spectrum(graph)), "does not fit a field"),
        (lambda: Heat(-1.0), "at least zero"),
        (lambda: Wave(math.nan), "finite"),
        (lambda: SplineResponse(1, 1, knots=3), "at least 4"),
        (lambda: heat_kernel(graph, torch.ones(2)), "one number"),
        (lambda: heat_kernel(graph, 1.0, method="fast"), "Unknown method"),
    ]:
        with pytest.raises(ValueError, match=message):
            bad()


def test_a_signal_of_another_precision_than_the_basis_is_refused():
    graph = with_spectrum(from_matrix(ring(5)), dtype=torch.float32)
    with pytest.raises(ValueError, match=r"of torch.float64, .* of torch.float32: call with_spectrum"):
        SpectralFilter(Heat(1.0))(graph)


def test_too_many_nodes_for_a_dense_basis(monkeypatch):
    monkeypatch.setattr("sciml.nn.spectral.spectrum.MOST_NODES", 4)
    with pytest.raises(ValueError, match="5 nodes, more than 4: take Cheb"):
        with_spectrum(from_matrix(ring(5)))
