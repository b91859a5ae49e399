"""Simulated fields against exact solutions."""

import numpy as np
import pytest
from scipy.special import iv

from sciml.physics.fields import FIELDS, simulate_field
from sciml.physics.spectral import BlowUpError, PeriodicGrid, evolve

X = np.arange(64) * 2 * np.pi / 64


def test_heat_modes_decay_each_at_its_rate():
    start = (np.sin(X) + 0.5 * np.cos(3 * X))[None]
    found = simulate_field("heat", points=64, times=5, dt=0.3, parameters={"D": 0.2}, start=start)
    t = 0.3 * np.arange(5)[:, None]
    exact = np.exp(-0.2 * t) * np.sin(X) + 0.5 * np.exp(-1.8 * t) * np.cos(3 * X)
    np.testing.assert_allclose(found.values[..., 0], exact, atol=1e-13)


def test_heat_in_the_plane_is_isotropic():
    x, y = np.meshgrid(X, X, indexing="ij")
    found = simulate_field("heat", dim=2, points=64, times=3, dt=0.5, start=np.sin(2 * x + 3 * y)[None])
    np.testing.assert_allclose(found.values[2, ..., 0], np.exp(-0.1 * 13) * np.sin(2 * x + 3 * y), atol=1e-13)


def test_waves_travel_both_ways():
    """d'Alembert: u = (f(x − ct) + f(x + ct)) / 2 from rest."""
    f = lambda x: np.exp(np.cos(x))
    start = np.stack([f(X), np.zeros_like(X)])
    found = simulate_field("wave", points=64, times=4, dt=0.4, parameters={"c": 1.5}, start=start)
    for k, t in enumerate(0.4 * np.arange(4)):
        exact = 0.5 * (f(X - 1.5 * t) + f(X + 1.5 * t))
        np.testing.assert_allclose(found.values[k, :, 0], exact, atol=1e-12)


def test_burgers_by_cole_and_hopf():
    """From −sin x: u = −2ν θ_x/θ, θ a series of Bessel functions (Benton & Platzman 1972)."""
    nu, t = 0.1, 0.8
    found = simulate_field(
        "burgers", points=128, times=2, dt=t, parameters={"nu": nu},
        start=-np.sin(np.arange(128) * 2 * np.pi / 128)[None], tolerance=1e-10,
    )  # fmt: skip
    x, z = np.arange(128) * 2 * np.pi / 128, 1 / (2 * nu)
    n = np.arange(1, 40)[:, None]
    decay = (-1.0) ** n * iv(n, z) * np.exp(-nu * n**2 * t)
    theta = iv(0, z) + 2 * (decay * np.cos(n * x)).sum(0)
    slope = -2 * (n * decay * np.sin(n * x)).sum(0)
    np.testing.assert_allclose(found.values[1, :, 0], -2 * nu * slope / theta, atol=1e-8)


def test_soliton_of_korteweg_and_de_vries_keeps_its_shape():
    """u_t + u u_x + δ u_xxx = 0 has u = 3c sech²(√(c/δ) (x − ct)/2)."""
    delta, c, length = 0.05, 1.0, 20.0
    x = np.arange(256) * length / 256
    exact = lambda t: 3 * c / np.cosh(np.sqrt(c / delta) / 2 * (x - length / 2 - c * t)) ** 2
    found = simulate_field(
        "kdv", points=256, length=length, times=2, dt=0.5, parameters={"delta": delta},
        start=exact(0.0)[None], tolerance=1e-8,
    )  # fmt: skip
    np.testing.assert_allclose(found.values[1, :, 0], exact(0.5), atol=1e-6)


def test_logistic_growth_without_space():
    found = simulate_field("fisher", points=16, times=5, dt=0.5, start=np.full((1, 16), 0.2), tolerance=1e-10)
    t = 0.5 * np.arange(5)
    np.testing.assert_allclose(found.values[:, 3, 0], 0.2 * np.exp(t) / (0.8 + 0.2 * np.exp(t)), rtol=1e-9)


def test_steps_in_time_are_of_fourth_order():
    grid = PeriodicGrid((32,), (2 * np.pi / 32,))
    linear = (-0.1 * grid.k[0] ** 2)[None, None].astype(complex)
    rate = lambda u: -0.5 * grid.derivative(u**2, (1,))
    start = np.sin(grid.points[0])[None]
    at = lambda n: evolve(start, grid, 0.5, 2, linear, rate, substeps=n)[-1]
    exact = at(256)
    errors = [np.abs(at(n) - exact).max() for n in (4, 8, 16)]
    assert 3.5 < np.log2(errors[0] / errors[1]) < 4.8
    assert 3.5 < np.log2(errors[1] / errors[2]) < 4.8


def test_coupled_and_single_channels_agree():
    """The matrix exponentials of coupled channels give what the contour gives where nothing couples."""
    grid = PeriodicGrid((16,), (0.4,))
    single = (-0.3 * grid.k[0] ** 2)[None, None].astype(complex)
    rate = lambda u: u - u**3
    start = np.cos(2 * np.pi * np.arange(16) / 16)[None]
    linear = np.zeros((2, 2, *single.shape[2:]), dtype=complex)
    linear[0, 0] = linear[1, 1] = single[0, 0]
    linear[0, 1] = 1e-30  # takes the way of coupled channels
    two = evolve(np.concatenate([start, start]), grid, 0.1, 4, linear, rate, substeps=3)
    one = evolve(start, grid, 0.1, 4, single, rate, substeps=3)
    np.testing.assert_allclose(two[:, :1], one, atol=1e-12)


@pytest.mark.parametrize("n", [16, 17])
def test_derivatives_of_waves(n):
    grid = PeriodicGrid((n,), (2 * np.pi / n,))
    x = grid.points[0]
    np.testing.assert_allclose(grid.derivative(np.sin(3 * x)[None], (3,))[0], -27 * np.cos(3 * x), atol=1e-10)
    rough = np.random.default_rng(0).normal(size=(1, n))
    assert np.isrealobj(grid.derivative(rough, (1,)))
    np.testing.assert_allclose(grid.derivative(rough, (1,)).sum(), 0.0, atol=1e-10)


def test_solutions_without_bounds_are_refused():
    grid = PeriodicGrid((8,), (1.0,))
    with pytest.raises(BlowUpError, match="not finite"):
        evolve(
            np.full((1, 8), 2.0),
            grid,
            1.0,
            3,
            np.zeros((1, 1, 5), dtype=complex),
            lambda u: u**3,
            most_substeps=8,
        )


@pytest.mark.parametrize("system", FIELDS)
def test_every_system_is_drawn_anew_by_its_seed(system):
    run = lambda seed: simulate_field(system, points=32, times=2, dt=1e-3, seed=seed).values
    assert np.isfinite(run(0)).all()
    np.testing.assert_array_equal(run(0), run(0))
    assert np.abs(run(0) - run(1)).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"system": "haet"}, "did you mean heat"),
        ({"system": "kdv", "dim": 2}, "in 1 dimensions, not 2"),
        ({"parameters": {"nu": 1.0}}, "no 'nu'; its parameters are D"),
        ({"dt": -1.0}, "expected at least 2, positive"),
        ({"dim": 2, "points": [8, 8, 8]}, "3 values for 2 axes"),
        ({"start": np.zeros((2, 128))}, "start has shape"),
    ],
)
def test_bad_simulations(options, message):
    with pytest.raises(ValueError, match=message):
        simulate_field(**options)
