"""Coefficients by whole trajectories: as good as the data allow, with honest errors, and only where sound."""

from dataclasses import replace

import numpy as np
import pytest

from sciml.datasets import FieldSeries
from sciml.distill.fields import discover
from sciml.distill.fields.fit import Fit
from sciml.distill.fields.noise import character
from sciml.distill.fields.refine import refine
from sciml.distill.fields.terms import Term
from sciml.physics.fields import simulate_field
from sciml.physics.spectral import PeriodicGrid, evolve

U_XX, U_UX = Term((0, 2), ((0, (0, 0)),)), Term((0, 1), ((0, (0, 0)), (0, (0, 0))))  # u_xx and (u²)_x


def burgers(noise, seed):
    """Snapshots of u_t = 0.1 u_xx - (u²)_x / 2."""
    clean = simulate_field("burgers", points=48, times=41, parameters={"nu": 0.1}, seed=1)
    white = np.random.default_rng(seed).normal(size=clean.values.shape)
    return FieldSeries(
        clean.values + noise * clean.values.std() * white,
        clean.dx,
        clean.dt,
        clean.channels,
        periodic=(True,),
    )


def rough(coefficients, error=0.05):
    """A fit as the weak form would give it under much noise."""
    w = np.array(coefficients)
    return Fit(tuple(range(len(w))), w, np.diag((error * w) ** 2), 0.0, 1.0, 0.1)


def refined(data, w=(0.105, -0.49), terms=(U_XX, U_UX), **options):
    return refine([rough(w, **options)], [terms], 1, data, character(data))


@pytest.mark.slow
def test_errors_are_as_large_as_stated():
    truth, pulls = np.array([0.1, -0.5]), []
    for seed in range(12):
        (found,) = refined(burgers(0.1, seed))
        pulls.append((found.coefficients - truth) / found.errors)
        assert (found.errors / np.abs(truth) < 0.03).all()
    assert 0.6 < np.sqrt(np.mean(np.square(pulls))) < 1.5
    assert abs(np.mean(pulls)) < 0.75  # no bias: the standard error of this mean is 0.2


def test_where_it_starts_does_not_matter():
    data = burgers(0.05, 0)
    (one,), (other,) = refined(data, (0.105, -0.49)), refined(data, (0.095, -0.52))
    np.testing.assert_allclose(one.coefficients, other.coefficients, atol=0.1 * one.errors.min())


def test_less_noise_less_error_in_proportion():
    (loud,), (quiet,) = refined(burgers(0.1, 3)), refined(burgers(0.05, 3))
    np.testing.assert_allclose(loud.errors / quiet.errors, 2.0, rtol=0.15)


@pytest.mark.parametrize(
    ("what", "data", "options"),
    [
        ("certain already", burgers(0.05, 0), {"error": 1e-3}),
        ("an axis that does not close", replace(burgers(0.05, 0), periodic=(False,)), {}),
        ("a term is missing", burgers(0.05, 0), {"w": (0.105,), "terms": (U_XX,)}),
        ("far from the weak form", burgers(0.02, 0), {"w": (0.2, -0.25), "error": 0.05}),
        ("it runs away", burgers(0.05, 0), {"w": (-0.1, -0.5)}),
    ],
)
def test_nothing_is_taken_from_a_trajectory_that_is_not_the_datas(what, data, options):
    assert refined(data, **options) is None, what


def test_many_sets_at_once_are_each_alone():
    grid = PeriodicGrid((16,), (0.5,))
    random = np.random.default_rng(0)
    start, rate = random.normal(size=(2, 3, 16)), np.array([0.1, 0.2, 0.3])
    linear = np.zeros((2, 2, 3, 9), dtype=complex)
    linear[0, 0] = linear[1, 1] = rate[:, None] * grid.symbol((2,))
    square = lambda u: np.stack([-u[0] * u[1], u[0] ** 2])
    together = evolve(start, grid, 0.1, 5, linear, square, substeps=2)
    for i in range(3):
        alone = evolve(start[:, i], grid, 0.1, 5, linear[:, :, i], square, substeps=2)
        np.testing.assert_allclose(together[:, :, i], alone, atol=1e-12)


def test_the_law_states_the_better_coefficients():
    found = discover(burgers(0.1, 5))
    (equation,) = found.equations
    assert equation.law.provenance["fitted by"] == "trajectory"
    values = sorted(c.value for c in equation.law.constants.values())
    np.testing.assert_allclose(values, [-1.0, 0.1], rtol=0.06)
    for constant in equation.law.constants.values():
        assert constant.standard_error < 0.03 * abs(constant.value)
