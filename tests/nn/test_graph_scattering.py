"""Scattering on graphs: a frame, never more energy than the signal, stable to changes of the weights."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from known_graphs import DEGENERATE, dense, from_matrix, function, random_weights, ring, star

from sciml.graph import batch
from sciml.nn import recording
from sciml.nn.spectral import (
    DiffusionScattering,
    GraphFourier,
    diffusion_wavelets,
    laplacian,
    scattering_features,
    with_spectrum,
)

double = torch.float64


@pytest.mark.parametrize("name", [*DEGENERATE, "random"])
@pytest.mark.parametrize("scales", [1, 2, 4])
def test_wavelets_are_differences_of_powers(name, scales):
    W = random_weights(9, 0.4) if name == "random" else DEGENERATE[name]
    graph = from_matrix(W)
    found = diffusion_wavelets(graph, scales, weight="weight")
    T = lambda power: function(W, lambda value: (1 - value / 2) ** power, "symmetric")
    powers = [T(0), *(T(2**j) for j in range(scales))]
    expected = [a - b for a, b in pairwise(powers)] + [powers[-1]]
    x = graph.nodes["x"]
    torch.testing.assert_close(found, torch.stack([P @ x for P in expected], dim=-1))
    torch.testing.assert_close(found.sum(-1), x)


@given(seed=st.integers(0, 10**6), scales=st.integers(1, 6))
def test_wavelets_are_a_frame(seed, scales):
    graph = from_matrix(random_weights(8, 0.4, seed), seed=seed)
    energy = diffusion_wavelets(graph, scales, weight="weight").square().sum((0, 2))
    whole = graph.nodes["x"].square().sum(0)
    assert (energy <= whole * (1 + 1e-12)).all()
    assert (energy >= whole / (scales + 1)).all()


def by_hand(W, x, J):
    """Order two, path by path, with dense matrices and the invariant vector."""
    T = torch.eye(len(W), dtype=double) - dense(W, "symmetric") / 2
    power = torch.linalg.matrix_power
    psi = [power(T, 0) - T, *(power(T, 2 ** (j - 1)) - power(T, 2**j) for j in range(1, J))]
    degree = W.sum(1)
    v = torch.where(degree > 0, degree, 1.0).sqrt()
    v = v / v.norm()
    found = [v @ x, *(v @ (psi[j] @ x).abs() for j in range(J))]
    found += [v @ (psi[k] @ (psi[j] @ x).abs()).abs() for j in range(J) for k in range(j + 1, J)]
    return torch.stack(found, dim=-1)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("scales", [1, 2, 4])
def test_coefficients_path_by_path(fused, scales):
    matrices = [
        random_weights(7, 0.5),
        torch.block_diag(random_weights(5, 0.6), torch.zeros(2, 2)),
        ring(6).double(),
    ]
    graphs = [from_matrix(W, seed=i) for i, W in enumerate(matrices)]
    layer = DiffusionScattering(scales, weight="weight")
    layer.fused = fused
    found = layer(batch(graphs)).globals["scattering"]
    assert found.shape == (3, 2, len(layer.paths))
    expected = torch.stack([by_hand(W, g.nodes["x"], scales) for W, g in zip(matrices, graphs)])
    torch.testing.assert_close(found, expected)


def test_paths_name_the_coefficients():
    assert DiffusionScattering(3).paths == [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]
    assert DiffusionScattering(3, 1).paths == [(), (0,), (1,), (2,)]
    assert DiffusionScattering(3, 0).paths == [()]


@given(seed=st.integers(0, 10**6), scales=st.integers(1, 5))
def test_no_energy_is_gained(seed, scales):
    """Σ over all coefficients (S x)² ≤ ‖x‖²; and ‖S x - S y‖ ≤ ‖x - y‖ on one graph."""
    W = random_weights(8, 0.4, seed)
    x, y = from_matrix(W, seed=seed), from_matrix(W, seed=seed + 1)
    layer = DiffusionScattering(scales, weight="weight")
    S = lambda g: layer(g).globals["scattering"][0]
    assert (S(x).square().sum(-1) <= x.nodes["x"].square().sum(0) * (1 + 1e-12)).all()
    apart = (x.nodes["x"] - y.nodes["x"]).square().sum(0)
    assert ((S(x) - S(y)).square().sum(-1) <= apart * (1 + 1e-12)).all()


def test_a_signal_that_diffusion_keeps_has_no_wavelets():
    W = random_weights(8, 0.6)
    v = W.sum(1).sqrt()
    graph = from_matrix(W).with_nodes(x=(v / v.norm())[:, None])
    found = DiffusionScattering(4, weight="weight")(graph).globals["scattering"][0, 0]
    torch.testing.assert_close(found[0], torch.tensor(1.0, dtype=double))
    assert found[1:].abs().max() < 1e-12


def test_moments_are_means_of_powers():
    graph = batch([from_matrix(random_weights(7, 0.5)), from_matrix(star(4), seed=1)])
    layer = DiffusionScattering(3, pooling="moments", moments=(1, 3), weight="weight")
    found = layer(graph).globals["scattering"].unflatten(-1, (len(layer.paths), 2))
    for number, part in enumerate(graph):
        psi = diffusion_wavelets(part, 3, weight="weight").abs()
        for path in range(3):
            for place, q in enumerate((1, 3)):
                expected = (psi[..., path] ** q).mean(0)
                torch.testing.assert_close(found[number, :, 1 + path, place], expected)


def test_features_are_the_layer_in_a_row():
    graph = batch([from_matrix(ring(5)), from_matrix(star(4), seed=1)])
    rows = scattering_features(graph, 3, weight="weight")
    torch.testing.assert_close(
        rows, DiffusionScattering(3, weight="weight")(graph).globals["scattering"].flatten(1)
    )


# ------------------------------------------------------------------ stability


def test_weights_that_change_a_little_change_the_features_a_little():
    """Scattering moves by O(ε). Moduli of Fourier coefficients, which see single modes, do not: a graph of
    many nearly equal eigenvalues turns its modes by much for the smallest ε."""
    random = torch.Generator().manual_seed(0)
    W = ring(24).double()
    W[0, 12] = W[12, 0] = 1e-7  # breaks the degeneracy of pairs of modes by next to nothing
    E = torch.rand(24, 24, generator=random, dtype=double)
    x = torch.randn(24, 1, generator=random, dtype=double)

    def distances(epsilon):
        old = from_matrix(W).with_nodes(x=x)
        new = from_matrix(W * (1 + epsilon * (E + E.T) / 2)).with_nodes(x=x)
        scattering = lambda g: scattering_features(g, 4, weight="weight")
        fourier = lambda g: (
            GraphFourier()(with_spectrum(g, "symmetric", "weight", dtype=double)).globals["spectrum"].abs()
        )
        return [float((f(old) - f(new)).norm() / x.norm()) for f in (scattering, fourier)]

    large, small = distances(1e-2), distances(1e-4)
    assert large[0] < 1e-2
    assert large[0] / small[0] == pytest.approx(100, rel=0.1)  # proportional to ε
    assert small[0] < 1e-4
    assert small[1] > 0.1  # a thousand times ε, and no smaller for a smaller ε


def test_features_differ_where_spectra_do_not():
    """A star of 4 leaves with a node alone, and a square with one: the pair of graphs with equal spectra."""
    square = torch.block_diag(ring(4), torch.zeros(1, 1)).double()
    five = star(5).double()
    adjacency = lambda W: torch.linalg.eigvalsh(W)
    torch.testing.assert_close(adjacency(square), adjacency(five))
    degree = lambda W: from_matrix(W).with_nodes(x=W.sum(1, keepdim=True))
    one, other = scattering_features(degree(square)), scattering_features(degree(five))
    assert (one - other).norm() > 0.1


# ------------------------------------------------------------------ use


def test_gradients_by_weights():
    graph = from_matrix(random_weights(6, 0.7))
    upper = graph.sender < graph.receiver
    back = {(s, r): i for i, (s, r) in enumerate(graph.edge_index.T[upper].tolist())}
    place = torch.tensor([back[min(s, r), max(s, r)] for s, r in graph.edge_index.T.tolist()])
    weights = graph.edges["weight"][upper].clone().requires_grad_()
    features = lambda w: scattering_features(graph.with_edges(weight=w[place]), 3, weight="weight")
    assert torch.autograd.gradcheck(features, weights)


def test_recording_sees_every_diffusion():
    graph, layer = from_matrix(ring(6)), DiffusionScattering(3)
    with recording(layer) as tape:
        found = layer(graph)
    assert [m.shape for m in tape.messages["layer"]] == [(12, 2)] * 4 + [(12, 4)] * 4
    torch.testing.assert_close(found.globals["scattering"], layer(graph).globals["scattering"])


def test_bad_options_are_refused():
    graph = from_matrix(ring(4))
    for bad, message in [
        (lambda: DiffusionScattering(0), "at least 1"),
        (lambda: DiffusionScattering(3, 3), "one of 0, 1, 2"),
        (lambda: DiffusionScattering(pooling="max"), "Unknown pooling"),
        (lambda: DiffusionScattering(pooling="moments", moments=()), "moments"),
        (lambda: diffusion_wavelets(graph, 0), "at least 1"),
        (lambda: DiffusionScattering()(graph.with_nodes(x=graph.nodes["x"][:, 0])), "channels"),
    ]:
        with pytest.raises(ValueError, match=message):
            bad()


def test_matrix_of_the_layer_is_half_lazy():
    """T of Gama et al. has its eigenvalues in [0, 1], whatever the graph."""
    W = random_weights(9, 0.4)
    T = torch.eye(9, dtype=double) - laplacian(from_matrix(W), "symmetric", "weight").to_dense() / 2
    values = torch.linalg.eigvalsh(T)
    assert values.min() >= -1e-12
    assert values.max() == pytest.approx(1.0)
