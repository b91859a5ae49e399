"""Scattering: the frame, the transform against its formula, invariance, stability, energy, and bad input."""

import copy
import math
import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sciml.builders import grid_graph, grid_values
from sciml.nn import GlobalPooling, recording
from sciml.nn.scattering import (
    Scattering1d,
    Scattering2d,
    Scattering3d,
    morlet_1d,
    morlet_2d,
    morlet_3d,
    smooth_modulus,
)
from sciml.symmetry import Shifts, check

BANKS = {
    "1D, Q=1": lambda tight: morlet_1d(512, 5, 1, tight),
    "1D, Q=8": lambda tight: morlet_1d(1024, 6, 8, tight),
    "2D, L=8": lambda tight: morlet_2d((64, 64), 4, 8, tight),
    "2D, L=6": lambda tight: morlet_2d((48, 64), 3, 6, tight),
    "3D": lambda tight: morlet_3d((16, 16, 8), 2, tight),
}


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def texture(n=64, seed=0):
    """An image with details at all scales and little contrast in the finest, as photographs have."""
    k = torch.fft.fftfreq(n, dtype=torch.float64)
    radius = (k[:, None] ** 2 + k**2).sqrt()
    spectrum = torch.fft.fft2(noise(n, n, seed=seed)) / radius.clamp(min=1 / n)
    image = torch.fft.ifft2(spectrum).real
    return (image - image.mean()) / image.std()


# ---------------------------------------------------------------------- filters


@pytest.mark.parametrize("name", BANKS)
def test_tight_banks_keep_all_energy(name):
    bank = BANKS[name](True)
    assert bank.bounds == pytest.approx((1, 1), abs=1e-12)
    assert max(float(o.transfer.flatten(1)[:, 0].abs().max()) for o in bank.octaves) == 0  # zero mean


@pytest.mark.parametrize(
    ("name", "least", "within"), [("1D, Q=1", 0.2, 0.24), ("2D, L=8", 0.11, 0.34), ("2D, L=6", 0.05, 0.3)]
)
def test_morlet_banks_add_no_energy(name, least, within):
    """Morlet's own: what they lose is at the highest frequencies, in the corners of the square."""
    bank = BANKS[name](False)
    assert least < bank.bounds[0] < 1
    assert bank.bounds[1] == pytest.approx(1, abs=1e-12)
    cycles = torch.meshgrid(*(torch.fft.fftfreq(n) for n in bank.shape), indexing="ij")
    assert bank.littlewood_paley[torch.stack(cycles).norm(dim=0) < 0.4].min() > within


def test_wavelets_are_plane_waves_under_gaussians():
    """The formula in space, ψ(u) = g(u) (exp(i ξ·u) − κ), sampled and transformed."""
    n, j, angle, slant = 64, 1, math.pi / 3, 4 / 6
    u = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
    x, y = torch.meshgrid(u, u, indexing="ij")
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    sigma = 0.8 * 2**j
    envelope = (
        torch.exp(-(along**2 + slant**2 * across**2) / (2 * sigma**2)) * slant / (2 * math.pi * sigma**2)
    )
    wave = envelope * torch.exp(1j * 0.75 * math.pi / 2**j * along)
    expected = torch.fft.fft2(wave - wave.sum() / envelope.sum() * envelope)
    octave = morlet_2d((n, n), 3, 6, tight=False).octaves[j]
    actual = octave.transfer[2] / octave.transfer[2].max()  # the third of six directions is 60°
    torch.testing.assert_close(actual, (expected / expected.real.max()).real, atol=1e-8, rtol=0)
    assert expected.imag.abs().max() < 1e-12
    assert octave.frequencies[2].tolist() == pytest.approx(
        [0.375 * math.pi * math.cos(angle), 0.375 * math.pi * math.sin(angle)]
    )


# -------------------------------------------------------------- the transform


def by_the_book(x, layer):
    """All at full resolution, one path after the other; second filters sampled in space."""
    plan, axes = layer.plan, tuple(range(-len(layer.shape), 0))
    fft, ifft = (lambda v: torch.fft.fftn(v, dim=axes)), (lambda v: torch.fft.ifftn(v, dim=axes))
    every = lambda v, s: v[(..., *(slice(None, None, s) for _ in axes))]
    sampled = lambda transfer, s: fft(every(ifft(transfer + 0j), s)) * s ** len(axes)
    modulus = lambda v: (v.abs() ** 2 + 1e-12).sqrt() - 1e-6
    low = 1.0
    for axis, along in enumerate(plan.first.low):
        low = low * along.reshape([-1 if k == axis else 1 for k in range(len(axes))])
    average = lambda u, s: every(ifft(fft(u) * sampled(low, s)).real, layer.step // s)
    orders = [[average(x, 1)], [], []]
    for octave in plan.first.octaves:
        for psi in octave.transfer:
            s = 2 ** plan.level(octave.j)
            u = every(modulus(ifft(fft(x) * psi)), s)
            orders[1].append(average(u, s))
            for later in plan.second.octaves:
                for eta in later.transfer if later.j > octave.j and plan.order == 2 else ():
                    t = 2 ** plan.level(later.j)
                    v = every(modulus(ifft(fft(u) * sampled(eta, s))), t // s)
                    orders[2].append(average(v, t))
    return torch.stack([s for order in orders for s in order], dim=-1 - len(axes))


@pytest.mark.parametrize(
    "layer",
    [
        Scattering1d(128, 4, 3, periodic=True),
        Scattering1d(64, 3, 1, periodic=True, oversampling=1, tight=False),
        Scattering2d((32, 16), 2, 4, periodic=True),
        Scattering2d((16, 16), 3, 2, periodic=True, oversampling=2),
        Scattering2d((16, 16), 2, 3, periodic=True, order=1),
        Scattering3d((8, 8, 4), 2, periodic=True),
    ],
    ids=lambda layer: f"{type(layer).__name__}{layer.shape}",
)
def test_the_transform_is_its_formula(layer):
    x = noise(2, *layer.shape)
    torch.testing.assert_close(layer.transform(x), by_the_book(x, layer), rtol=1e-10, atol=1e-10)
    assert layer.transform(x).shape[1] == len(layer.paths)


def test_long_signals_are_averaged_by_fft():
    """Beyond a size, the matrices of the averages would be large: the other way gives the same."""
    layer = Scattering1d(2**13, 3, 1, periodic=True)
    average = layer.cascade(noise(1)).average
    assert [bool(average[level].transfer) for level in sorted(average)] == [True, False]
    x = noise(2**13)
    torch.testing.assert_close(layer.transform(x), by_the_book(x, layer), rtol=1e-10, atol=1e-10)


def test_a_cosine_has_the_wavelets_gain_in_first_order_and_nothing_beyond():
    """|cos ⋆ ψ| = |ψ̂(ω)| / 2, a constant, where ψ̂(−ω) is negligible; its wavelet transforms vanish."""
    n, layer = 512, Scattering1d(512, 5, 8, periodic=True)
    k = 60
    x = torch.cos(2 * math.pi * k / n * torch.arange(n, dtype=torch.float64))
    s = layer.transform(x)
    gains = torch.cat([octave.transfer for octave in layer.plan.first.octaves])[:, [k, -k]]
    clean = gains[:, 1].abs() < 1e-8
    order = torch.tensor([path.order for path in layer.paths])
    first = s[order == 1]
    torch.testing.assert_close(
        first[clean], (gains[clean, :1] / 2).expand_as(first[clean]), atol=3e-6, rtol=0
    )
    assert s[order == 2].abs().max() < 2e-3
    loudest = [p for p in layer.paths if p.order == 1][int(first.mean(1).argmax())]
    assert loudest.frequencies[0][0] == pytest.approx(2 * math.pi * k / n, rel=0.05)


def test_a_constant_is_kept_by_order_zero_only_up_to_the_border():
    layer = Scattering2d((20, 13), 2, 4)
    s = layer.transform(torch.full((20, 13), 3.0, dtype=torch.float64))
    torch.testing.assert_close(s[0], torch.full((5, 4), 3.0).double())
    assert s[1:].abs().max() < 1e-9


@pytest.mark.parametrize(("shape", "J"), [((30,), 2), ((12, 19), 2), ((4, 9), 2)])
def test_bounded_grids_are_mirrored(shape, J):
    x = noise(*shape)
    make = {1: lambda s, **kw: Scattering1d(*s, J, 2, **kw), 2: lambda s, **kw: Scattering2d(s, J, 2, **kw)}
    bounded = make[len(shape)](shape)
    widths = [(b, m - n - b) for n, m, b in zip(shape, bounded.padded, bounded.padding)]
    mirrored = torch.from_numpy(np.pad(x.numpy(), widths, mode="reflect"))
    expected = make[len(shape)](bounded.padded, periodic=True).transform(mirrored)
    cut = tuple(slice(b // 2**J, b // 2**J + math.ceil(n / 2**J)) for n, b in zip(shape, bounded.padding))
    torch.testing.assert_close(bounded.transform(x), expected[(slice(None), *cut)])


def test_a_quarter_turn_permutes_directions():
    layer, x = Scattering2d((16, 16), 2, 4, periodic=True), noise(16, 16)
    about_origin = lambda v: v.rot90(1, (-2, -1)).roll(1, -2)
    s = layer.transform(about_origin(x))
    axis = lambda xi: tuple(round(abs(c), 6) if min(map(abs, xi)) < 1e-9 else round(c, 6) for c in xi)
    line = lambda xi: max(axis(xi), axis(tuple(-c for c in xi)))  # ξ and −ξ: one wavelet, for real signals
    key = lambda path, turn: (path.octaves, *(line(turn(xi)) for xi in path.frequencies))
    place = {key(path, lambda xi: xi): i for i, path in enumerate(layer.paths)}
    order = [place[key(path, lambda xi: (xi[1], -xi[0]))] for path in layer.paths]
    assert sorted(order) == list(range(len(order)))
    assert order != sorted(order)
    torch.testing.assert_close(s, about_origin(layer.transform(x)[order]), rtol=1e-9, atol=1e-9)


def test_oversampling_gives_more_points_of_the_same_function():
    x = noise(64)
    coarse, fine = (Scattering1d(64, 3, 2, periodic=True, oversampling=o).transform(x) for o in (0, 3))
    assert fine.shape[1] == 64
    torch.testing.assert_close(fine[:, ::8], coarse, atol=2e-2 * float(coarse.abs().max()), rtol=0)


# ---------------------------------------------- invariance, stability, energy


def test_shifts_are_held_exactly_in_steps_and_not_within():
    layer, graph = Scattering2d((16, 32), 2, 2, periodic=True), grid_graph(noise(1, 1, 16, 32), periodic=True)
    assert check(layer, graph, tolerance=1e-12).ok
    assert not check(layer, graph, symmetry=(Shifts(1),)).ok


def test_invariance_grows_with_the_scale():
    """Moved by 2 points, an image's coefficients change by less for every octave that J is larger."""
    x = texture(64)

    def change(J):
        s, moved = (Scattering2d((64, 64), J, 4, periodic=True).transform(v) for v in (x, x.roll(2, 0)))
        return float((moved - s).norm() / s.norm())

    changes = [change(J) for J in (2, 3, 4, 5)]
    assert all(b < 0.75 * a for a, b in pairwise(changes))
    plain = float((x.roll(2, 0) - x).norm() / x.norm())
    assert changes[-1] < 0.25 * plain


def test_a_whole_average_is_invariant():
    """Pooled over the grid, nothing of a shift by the sampling step remains."""
    layer = torch.nn.Sequential(Scattering2d((16, 16), 2, 2, periodic=True), GlobalPooling("mean"))
    both = torch.stack([texture(16), texture(16).roll((4, 8), (0, 1))])[:, None]
    s = layer(grid_graph(both, periodic=True)).globals["x"]
    torch.testing.assert_close(s[0], s[1])


def test_deformations_change_it_in_proportion_where_fourier_moduli_are_unstable():
    """Wave packets, stretched by ε: ‖S x_τ − S x‖ ≤ C ε ‖x‖ with one C (here 8) at all frequencies.

    The modulus of the Fourier transform changes as the frequency grows: there is no such C.
    """
    n = 2048
    layer, t = Scattering1d(n, 5, 4, periodic=True), torch.arange(n, dtype=torch.float64) - n / 2
    packet = lambda w, scale: torch.cos(w * scale * t) * torch.exp(-((scale * t / 100) ** 2) / 2)
    s = lambda x: layer.transform(x) * math.sqrt(layer.step)
    fourier = lambda x: torch.fft.fft(x, norm="ortho").abs()

    def rate(representation, w, eps):
        x, stretched = packet(w, 1.0), packet(w, 1 - eps)
        return float((representation(stretched) - representation(x)).norm() / x.norm() / eps)

    frequencies = (0.1, 0.2, 0.4, 0.8, 1.6)
    for eps in (0.005, 0.01, 0.02, 0.04):
        assert all(rate(s, w, eps) < 8 for w in frequencies)
    moduli = [rate(fourier, w, 0.005) for w in frequencies]
    assert all(b > 1.5 * a for a, b in pairwise(moduli))
    assert moduli[-1] > 60


@given(st.integers(0, 2**31), st.floats(0.1, 10))
def test_distances_never_grow(seed, size):
    """‖Sx − Sy‖ ≤ ‖x − y‖ for tight banks, and so ‖Sx‖ ≤ ‖x‖; all that is sampled, at every point."""
    layer = LAYERS["whole"]
    x, y = noise(32, seed=seed), size * noise(32, seed=seed + 1)
    assert (layer.transform(x) - layer.transform(y)).norm() <= (x - y).norm() * (1 + 1e-9)
    assert layer.transform(x).norm() <= x.norm() * (1 + 1e-9)


LAYERS = {"whole": Scattering1d(32, 3, 2, periodic=True, oversampling=3)}


def test_two_orders_keep_most_of_the_energy():
    """White noise, tight banks: at least 93 % in 1-D (Q = 8) and 86 % in 2-D, some of it in order 2."""
    for layer, kept in (
        (Scattering1d(2048, 6, 8, periodic=True), 0.93),
        (Scattering2d((64, 64), 3, 8, periodic=True), 0.86),
    ):
        x = noise(*layer.shape)
        order = torch.tensor([path.order for path in layer.paths])
        energy = layer.transform(x).square() * layer.step ** len(layer.shape) / x.square().sum()
        shares = [float(energy[order == k].sum()) for k in range(3)]
        assert kept < sum(shares) <= 1 + 1e-3  # what aliasing may add
        assert shares[2] > 0.05


# ---------------------------------------------------------------- the modulus


@given(st.complex_numbers(max_magnitude=10), st.complex_numbers(max_magnitude=10))
def test_the_smooth_modulus_takes_nothing_apart(a, b):
    z = torch.tensor([a, b], dtype=torch.complex128)
    r = smooth_modulus(z)
    assert (r - z.abs()).abs().max() <= 1e-6
    assert abs(r[0] - r[1]) <= abs(z[0] - z[1]) + 1e-15


def test_blank_signals_have_no_gradient():
    layer = Scattering2d((16, 16), 2, 2)
    x = torch.zeros(16, 16, requires_grad=True)
    order = torch.tensor([path.order for path in layer.paths])
    (slope,) = torch.autograd.grad(layer.transform(x)[order > 0].sum(), x)
    assert slope.isfinite().all()
    assert slope.abs().max() < 1e-3
    z = torch.zeros(3, dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradgradcheck(smooth_modulus, (z + 0.3,))
    (slope,) = torch.autograd.grad(smooth_modulus(z).sum(), z)
    assert (slope == 0).all()


# ------------------------------------------------------------------- as a layer


def test_layer_and_function_agree():
    layer, values = Scattering2d((16, 12), 2, 3), noise(2, 3, 16, 12)
    graph = layer(grid_graph(values, spacing=0.5))
    s = grid_values(graph).unflatten(1, (3, -1))  # graphs channels paths *coarse
    torch.testing.assert_close(s, layer.transform(values))
    assert graph.nodes["pos"][:4].tolist() == [[0, 0], [0, 2], [0, 4], [2, 0]]


def test_recording_sees_messages_between_points():
    layer, graph = Scattering1d(8, 1, 1, periodic=True), grid_graph(noise(1, 1, 8), periodic=True)
    with recording(layer) as tape:
        layer(graph)
    first = tape.messages["_first.0"][0]
    assert first.is_complex()
    assert first.shape[0] == 8 * 8


def test_layers_are_copied_and_stored_without_their_tables():
    layer, x = Scattering2d((16, 16), 2, 2), noise(16, 16)
    expected = layer.transform(x)
    assert layer.state_dict() == {}
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(Scattering2d((16, 16), 2, 2)))):
        torch.testing.assert_close(again.transform(x), expected, rtol=0, atol=0)


def test_few_labels_suffice_for_digits():
    """Ten labels a class of scikit-learn's 8×8 digits: linear on scattering beats linear on pixels."""
    digits = load_digits()
    images = torch.tensor(digits.images / 16)
    s = Scattering2d((8, 8), 1, 8, oversampling=1).transform(images).flatten(1).numpy()
    chosen = np.concatenate([np.flatnonzero(digits.target[:600] == k)[:10] for k in range(10)])

    def error(features, C):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000))
        model.fit(features[chosen], digits.target[chosen])
        return 1 - model.score(features[600:], digits.target[600:])

    pixels = min(error(images.flatten(1).numpy(), C) for C in (0.01, 0.1, 1.0))  # the best of three
    assert error(s, 0.1) < 0.75 * pixels


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of vmap, by torch
def test_any_batch_will_do():
    layer, x = Scattering2d((8, 6), 1, 2), noise(2, 3, 8, 6)
    s = layer.transform(x)
    torch.testing.assert_close(layer.transform(x[1, 2]), s[1, 2])
    torch.testing.assert_close(torch.func.vmap(layer.transform)(x), s)
    assert layer.transform(x[:, :0]).shape == (2, 0, *s.shape[2:])
    x[0, 1, 2, 3] = math.nan  # spoils its own image only
    again = layer.transform(x)
    assert not again[0, 1].isfinite().any()
    assert again[1].equal(s[1])
    slopes = torch.func.jacrev(lambda v: layer.transform(v).mean((-1, -2)))(x[1, 2])
    (slope,) = torch.autograd.grad(
        layer.transform(v := x[1, 2].clone().requires_grad_()).mean((-1, -2))[1], v
    )
    torch.testing.assert_close(slopes[1], slope)


# -------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Scattering2d((30, 32), 2, periodic=True), "axis 0 of 30 points is no multiple of 2\\^J = 4"),
        (lambda: Scattering1d(100, 3, periodic=True), "no multiple of 2\\^J = 8"),
        (lambda: Scattering2d((32, 7), 3), "7 points along axis 1 is smaller than the largest wavelet"),
        (lambda: Scattering1d(8, 0), "J=0 must be at least 1"),
        (lambda: Scattering2d((8, 8), 1, 0), "L=0 must be at least 1"),
        (lambda: Scattering1d(8, 1, 0), "Q=0 must be at least 1"),
        (lambda: Scattering1d(8, 1, order=3), "order 0, 1 or 2, not 3"),
        (lambda: Scattering1d(8, 1, oversampling=-1), "oversampling=-1"),
        (lambda: Scattering2d((8, 8), 1, periodic=(True,)), "1 values for 2 axes"),
        (lambda: Scattering2d((8, 8, 8), 1), r"grids with 2 axes, not for shape \(8, 8, 8\)"),
    ],
)
def test_bad_options_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("fused", [True, False])
def test_bad_graphs_are_named(fused):
    layer = Scattering2d((8, 8), 1, 2)
    layer.fused = fused
    with pytest.raises(ValueError, match=r"built for a grid \(8, 8\), .* is \(8, 6\)"):
        layer(grid_graph(noise(1, 1, 8, 6)))
    with pytest.raises(ValueError, match=r"periodic \(False, False\); this one.*periodic \(True, True\)"):
        layer(grid_graph(noise(1, 1, 8, 8), periodic=True))
    graph = grid_graph(noise(1, 2, 8, 8))
    with pytest.raises(ValueError, match=r"takes float32 or float64 \(nodes, channels\).*\(64, 2, 1\)"):
        layer(graph.with_nodes(x=graph.nodes["x"][..., None]))
    with pytest.raises(ValueError, match="grid layout"):
        layer(graph.replace(layout=None))
    with pytest.raises(ValueError, match=r"do not end with the layer's \(8, 8\)"):
        layer.transform(noise(8, 9))
    for wrong in (torch.zeros(8, 8, dtype=torch.long), torch.zeros(8, 8).half(), np.zeros((8, 8))):
        with pytest.raises(TypeError, match=r"float32 or float64, not (torch\.(int64|float16)|ndarray)"):
            layer.transform(wrong)
    with pytest.raises(ValueError, match="not finite"):
        grid_graph(torch.full((1, 1, 8, 8), math.nan))
