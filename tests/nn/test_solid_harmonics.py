"""Solid-harmonic scattering of molecules: known integrals, second ways to the same numbers, invariances."""

import math

import numpy as np
import pytest
import torch
from ase.build import molecule
from e3nn import o3

from sciml.graph import Complete, Graph, batch
from sciml.nn.scattering import DensityWavelets, SolidHarmonicScattering, solid_harmonic_features
from sciml.nn.scattering.features import charges
from sciml.nn.scattering.solid_harmonics import monomials, solid_harmonics, sum_by_degree, wavelet_transfer
from sciml.symmetry import check

DOUBLE = {"dtype": torch.float64}


def atoms(positions, charge):
    positions, charge = torch.as_tensor(positions, **DOUBLE), torch.as_tensor(charge, **DOUBLE)
    return Graph.create(torch.zeros(2, 0), {"pos": positions, "charge": charge})


def ethanol():
    found = molecule("CH3CH2OH")
    return atoms(found.positions, found.numbers)


def turn(seed=0, mirror=False):
    random = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=random, **DOUBLE))
    return q * (torch.det(q).sign() if not mirror else -torch.det(q).sign())


def coefficients(layer, graph, **chosen):
    """Coefficients whose path has these values."""
    keep = [all(getattr(path, k) == v for k, v in chosen.items()) for path in layer.paths]
    return layer(graph).globals["x"].reshape(len(graph), -1, len(layer.paths))[..., keep]


def change(layer, a, b, **chosen):
    s, t = coefficients(layer, a, **chosen), coefficients(layer, b, **chosen)
    return float(((s - t) / s).abs().max())


# ------------------------------------------------------------------ polynomials


def test_solid_harmonics_are_e3nns_up_to_a_turn_among_themselves():
    u = torch.randn(40, 3, generator=torch.Generator().manual_seed(0), **DOUBLE)
    terms = torch.stack([u[:, 0] ** a * u[:, 1] ** b * u[:, 2] ** c for a, b, c in monomials(4)], -1)
    ours = terms @ solid_harmonics(4).T
    for degree in range(5):
        theirs = o3.spherical_harmonics(degree, u, normalize=False, normalization="norm")
        mixing = torch.linalg.lstsq(theirs, ours[:, degree**2 : (degree + 1) ** 2]).solution
        torch.testing.assert_close(theirs @ mixing, ours[:, degree**2 : (degree + 1) ** 2])
        torch.testing.assert_close(mixing @ mixing.T, torch.eye(2 * degree + 1, **DOUBLE))
    torch.testing.assert_close(
        sum_by_degree(ours**2, 4), u.norm(dim=-1, keepdim=True) ** (2 * torch.arange(5))
    )


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_the_transfer_function_is_the_wavelets_fourier_transform(degree):
    n, spacing, scale = 30, 0.4, 0.9
    x = torch.fft.fftfreq(n, 1 / n, **DOUBLE) * spacing
    u = torch.stack(torch.meshgrid(x, x, x, indexing="ij"), -1) / scale
    terms = torch.stack(
        [u[..., 0] ** a * u[..., 1] ** b * u[..., 2] ** c for a, b, c in monomials(degree)], -1
    )
    wavelets = (terms @ solid_harmonics(degree)[degree**2 :].T).movedim(-1, 0)
    wavelets = wavelets * torch.exp(-u.square().sum(-1) / 2) / (math.sqrt(2 * math.pi) * scale) ** 3
    transform = torch.fft.fftn(wavelets, dim=(1, 2, 3)) * spacing**3
    expected = wavelet_transfer(degree, scale, (n, n, n), spacing) * (-1j) ** degree
    torch.testing.assert_close(transform, expected, atol=2e-6, rtol=0)


# -------------------------------------------------------------- known answers


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("power", [0.5, 1.0, 2.0, 3.0])
def test_one_atom_has_gamma_functions(degree, power):
    """∫ U^q = A^q 4π τ³ ∫ x^(lq+2) exp(−q x²/2) dx with A = q (s/τ)^l (2π)^(−3/2) τ^(−3)."""
    charge, width = 3.0, 0.5
    layer = SolidHarmonicScattering(
        14.0, width=width, spacing=0.25, J=1, oversampling=1, order=1, powers=(0.5, 1.0, 2.0, 3.0)
    )
    found = coefficients(layer, atoms([[0.1, 0.2, 0.3]], [charge]), degree=degree, power=power)[0, 0]
    for j, value in enumerate(found.tolist()):
        s, tau = width * 2**j, math.hypot(width, width * 2**j)
        amplitude = charge * (s / tau) ** degree / (math.sqrt(2 * math.pi) * tau) ** 3
        half = (degree * power + 3) / 2
        integral = 0.5 * (2 / power) ** half * math.gamma(half)
        exact = amplitude**power * 4 * math.pi * tau**3 * integral
        assert value == pytest.approx(exact, rel=5e-3 if power == 0.5 else 2e-3)


def test_the_integral_of_the_density_is_the_charge_in_both_orders():
    """l = 0, q = 1: smoothing changes no integral."""
    graph = ethanol()
    layer = SolidHarmonicScattering(16.0, spacing=0.3, J=1)
    found = coefficients(layer, graph, degree=0, power=1.0)
    torch.testing.assert_close(
        found, torch.full_like(found, float(graph.nodes["charge"].sum())), rtol=1e-5, atol=0
    )


def test_first_order_is_the_density_filtered_on_a_grid():
    """The other way: atoms as Gaussians on a grid, multiplied by ψ̂ in frequency."""
    graph, spacing, n = ethanol(), 0.25, 60
    layer = DensityWavelets((n, n, n), spacing, 0.4, 0.8, 2, "charge")
    axis = spacing * (torch.arange(n, **DOUBLE) - n // 2)
    grid = torch.cartesian_prod(axis, axis, axis)
    v = grid[:, None] - (graph.nodes["pos"] - graph.nodes["pos"].mean(0))
    density = (torch.exp(-v.square().sum(-1) / (2 * 0.4**2)) @ graph.nodes["charge"]) / (
        math.sqrt(2 * math.pi) * 0.4
    ) ** 3
    spectrum = torch.fft.fftn(density.reshape(n, n, n))
    for degree in range(3):
        filtered = torch.fft.ifftn(
            spectrum * wavelet_transfer(degree, 0.8, (n, n, n), spacing), dim=(1, 2, 3)
        )
        expected = filtered.abs().square().sum(0).sqrt()
        torch.testing.assert_close(layer.dense(graph)[0, 0, degree], expected, atol=3e-5, rtol=0)


def test_far_apart_molecules_add_up():
    graph, other = ethanol(), atoms([[0.0, 0, 0], [0.7, 0, 0]], [1.0, 2.0])
    pos = torch.cat([graph.nodes["pos"], other.nodes["pos"] + torch.tensor([9.0, 0, 0], **DOUBLE)])
    both = atoms(pos, torch.cat([graph.nodes["charge"], other.nodes["charge"]]))
    layer = SolidHarmonicScattering((26.0, 14, 14), J=1, order=1, oversampling=1, powers=(1.0, 2.0))
    together = layer(both).globals["x"]
    torch.testing.assert_close(
        together, layer(graph).globals["x"] + layer(other).globals["x"], rtol=2e-3, atol=1e-6
    )


# ---------------------------------------------------------------- invariances


def test_turns_and_mirrors_change_little_and_less_on_finer_grids():
    """Stated for spacings down to half the width: the error of q = 1 falls faster than spacing squared."""
    graph, errors = ethanol(), []
    turned = atoms(graph.nodes["pos"] @ turn(1, mirror=True).T, graph.nodes["charge"])
    for spacing in (0.6, 0.4, 0.2):
        layer = SolidHarmonicScattering(13.0, spacing=spacing, J=1, lmax=2, powers=(1.0, 2.0), oversampling=1)
        errors.append(change(layer, graph, turned, power=1.0))
        smooth = max(change(layer, graph, turned, power=2.0, octaves=(j,)) for j in (0, 1))
    assert errors[0] < 3e-2
    assert errors[2] < 1e-3
    assert errors[2] < errors[0] / 9
    assert smooth < 1e-6  # q = 2: spectral accuracy


def test_what_is_no_rigid_motion_is_noticed():
    graph = ethanol()
    layer = SolidHarmonicScattering(13.0, J=1, lmax=2)
    report = check(layer, graph, symmetry=("S", "T", "O"), tolerance=1e-2)
    assert report.ok, report
    assert min(row.change for row in report.rows if row.group == "O(d)") > 1e-2


def test_turns_of_the_cube_are_exact_in_a_cube():
    graph = ethanol()
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], **DOUBLE)
    layer = SolidHarmonicScattering(20.0, spacing=0.6, J=1, lmax=2)
    turned = atoms(graph.nodes["pos"] @ quarter.T, graph.nodes["charge"])
    assert change(layer, graph, turned) < 1e-6


# --------------------------------------------------------------- special cases


def test_two_atoms_at_one_place_are_one_of_both_charges():
    layer = SolidHarmonicScattering(10.0, J=1, lmax=2)
    apart = atoms([[0.0, 0, 0], [0, 0, 1], [0, 0, 1]], [1.0, 2.0, 4.0])
    # the centre of the grid is the mean of the positions: give it the same one
    joined = atoms([[0.0, 0, 0], [0, 0, 1], [0, 0, 1]], [1.0, 6.0, 0.0])
    torch.testing.assert_close(layer(apart).globals["x"], layer(joined).globals["x"])


def test_batches_of_known_size_take_no_more_room_and_give_the_same():
    layer = SolidHarmonicScattering(13.0, J=1, lmax=1, powers=(1.0,))
    graphs = [ethanol(), atoms([[0.0, 0, 0]], [1.0])]
    joined = batch(graphs)
    known = joined.replace(layout=Complete(9, 9))
    expected = torch.cat([layer(g).globals["x"] for g in graphs])
    for graph in (joined, known):
        torch.testing.assert_close(layer(graph).globals["x"], expected)


def test_molecules_that_the_box_does_not_hold_have_no_numbers():
    layer = SolidHarmonicScattering(8.0, J=1, lmax=1)
    s = layer(batch([ethanol(), atoms([[0.0, 0, 0]], [1.0])])).globals["x"]
    assert s[0].isnan().all()
    assert s[1].isfinite().all()


def test_features_of_arrays():
    names = ["CH4", "H2O", "C6H6", "H"]
    found = [molecule(name) for name in names]
    features, labels = solid_harmonic_features(
        [a.numbers for a in found], [a.positions for a in found], J=1, lmax=1, powers=(1.0, 2.0)
    )
    assert features.shape == (4, len(labels))
    assert features.dtype == torch.float32
    total = {
        channel: features[:, i]
        for i, (channel, path) in enumerate(labels)
        if path.power == 1.0 and path.degree == 0
    }
    assert total["nuclear"].tolist() == pytest.approx([10, 10, 42, 1], rel=1e-3)
    assert total["valence"].tolist() == pytest.approx([8, 8, 30, 1], rel=1e-3)
    assert total["core"].tolist() == pytest.approx([2, 2, 12, 0], abs=0.02)
    turned, _ = solid_harmonic_features(
        [a.numbers for a in found],
        [a.positions @ turn().T.numpy() + 3 for a in found],
        J=1,
        lmax=1,
        powers=(1.0, 2.0),
    )
    assert (features - turned).abs().max() < 1e-2 * features.abs().max()
    none, again = solid_harmonic_features([], [], J=1, lmax=1, powers=(1.0, 2.0))
    assert none.shape == (0, len(again)) == (0, len(labels))


def test_valence_electrons_are_those_of_the_periodic_table():
    numbers = torch.tensor([1, 2, 6, 9, 11, 17, 26, 31, 35, 53, 57, 72, 79, 82, 86])
    assert charges(numbers)[:, 1].tolist() == [1, 2, 4, 7, 1, 7, 8, 3, 7, 7, 3, 4, 11, 4, 8]


# -------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("numbers", "positions", "message"),
    [
        ([[6, 119]], [np.zeros((2, 3))], "Molecule 0: atom 1 has atomic number 119"),
        ([[6], [0]], [np.zeros((1, 3))] * 2, "Molecule 1: atom 0 has atomic number 0"),
        ([[6, 1]], [np.zeros((2, 2))], r"positions have shape \(2, 2\) for 2 atoms"),
        ([[6, 1]], [[[0, 0, 0], [0, math.nan, 0]]], "atom 1 is at .*, which is nowhere"),
        ([[]], [np.zeros((0, 3))], r"shape \(0,\)"),
        ([[6]], [], "1 lists of atomic numbers, but positions of 0"),
    ],
)
def test_bad_molecules_are_named(numbers, positions, message):
    with pytest.raises(ValueError, match=message):
        solid_harmonic_features(numbers, positions)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"box": 3.0}, r"box of 3 Å is too small: 6\.6 Å"),
        ({"box": (20.0, 20.0)}, "2 values for 3 axes"),
        ({"width": -0.4}, "width -0.4"),
        ({"spacing": 1.0}, "does not resolve atoms of width 0.4"),
        ({"J": -1}, "J=-1"),
        ({"order": 3}, "order=3"),
        ({"powers": ()}, "at least one"),
        ({"powers": (1, 0)}, "must be positive"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        SolidHarmonicScattering(**{"box": 14.0} | options)


@pytest.mark.parametrize("fused", [True, False])
def test_bad_fields_are_named(fused):
    layer = SolidHarmonicScattering(8.0, J=1, lmax=1, order=1)
    layer.fused = fused
    with pytest.raises(ValueError, match=r"positions \(atoms, 3\), not \(1, 2\)"):
        layer(atoms([[0.0, 0.0]], [1.0]))
    graph = atoms([[0.0, 0.0, 0.0]], [1.0])
    with pytest.raises(ValueError, match=r"nodes\.charge has shape \(1,\) and is torch\.int64"):
        layer(graph.with_nodes(charge=torch.ones(1, dtype=torch.long)))
