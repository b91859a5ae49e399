"""Parts of the residual stage: dimensions, projections, subsets, ratios, scales."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciml.distill.refit import Estimate
from sciml.distill.residual.compose import constant_unit
from sciml.distill.residual.library import INVARIANTS, Geometry, library
from sciml.distill.residual.ratios import simple_ratio
from sciml.distill.residual.scale import scale
from sciml.distill.residual.subsets import Projected, best_subsets, coefficients
from sciml.units import dimensions

RNG = np.random.default_rng(0)


def geometry(rows=20):
    invariants = {name: RNG.uniform(0.5, 2, rows) for name in ("g", "r", "w", "w_r")}
    vectors = {"r_hat": (RNG.normal(size=(rows, 3)), (0, 0)), "w_vec": (RNG.normal(size=(rows, 3)), (1, -1))}
    return Geometry(invariants, vectors)


def test_terms_of_a_class_scale_alike_when_units_change():
    """With units of length and time a and b times as large, terms change by one power law per class."""
    seen, a, b = geometry(), 3.0, 7.0

    def in_other_units(value, dimension):
        return value / a ** dimension[0] / b ** dimension[1]

    other = Geometry(
        {name: in_other_units(value, INVARIANTS[name]) for name, value in seen.invariants.items()},
        {name: (in_other_units(v, d), d) for name, (v, d) in seen.vectors.items()},
    )
    for dimension, terms in library(seen).items():
        for term in terms:
            factor = a ** (-dimension[0]) * b ** (-dimension[1])  # of the constant
            acceleration = a**-1 * b**2
            np.testing.assert_allclose(
                factor * term.evaluate(other), acceleration * term.evaluate(seen), rtol=1e-12
            )


def test_the_library_holds_each_term_once_and_no_term_in_two_classes():
    terms = [t for found in library(geometry()).values() for t in found]
    assert len({(t.powers, t.vector) for t in terms}) == len(terms) > 100


def test_projection_gives_the_coefficients_of_the_joint_fit():
    base, columns, y = RNG.normal(size=(60, 3)), RNG.normal(size=(60, 4)), RNG.normal(size=60)
    joint = np.linalg.lstsq(np.hstack([base, columns]), y, rcond=None)[0][3:]
    found = Projected.of(columns, y, base)
    alone = np.linalg.lstsq(found.columns, found.target, rcond=None)[0] / found.scale
    np.testing.assert_allclose(alone, joint, rtol=1e-10)


def test_a_repeated_or_empty_base_column_changes_nothing():
    base, columns, y = RNG.normal(size=(60, 2)), RNG.normal(size=(60, 2)), RNG.normal(size=60)
    more = np.hstack([base, base @ [[1.0], [2.0]], np.zeros((60, 1))])
    np.testing.assert_allclose(
        Projected.of(columns, y, more).target, Projected.of(columns, y, base).target, atol=1e-12
    )


def test_best_subsets_are_those_of_exhaustive_least_squares():
    columns, y = RNG.normal(size=(50, 6)), RNG.normal(size=50)
    found = list(best_subsets(Projected.of(columns, y, np.zeros((50, 0))), 3))

    def rest(subset):
        return np.linalg.lstsq(columns[:, subset], y, rcond=None)[1][0]

    for size in (1, 2, 3):
        best = min(itertools.combinations(range(6), size), key=rest)
        chosen, squares = next((s, v) for s, v in found if len(s) == size)
        assert chosen == best
        assert squares == pytest.approx(rest(best))


def test_a_column_that_the_base_explains_is_never_chosen():
    base, y = RNG.normal(size=(50, 2)), RNG.normal(size=50)
    columns = np.hstack([base[:, :1] * 3, RNG.normal(size=(50, 1))])
    assert {s for s, _ in best_subsets(Projected.of(columns, y, base), 2)} == {(1,)}


def test_standard_errors_are_the_spread_over_repetitions():
    """With noise that is correlated within groups, where ordinary least squares would be too sure."""
    groups = np.repeat(np.arange(40), 10)
    column = RNG.normal(size=40).repeat(10)[:, None]
    values, errors = [], []
    for _ in range(300):
        noise = RNG.normal(size=40).repeat(10) + 0.1 * RNG.normal(size=400)
        value, covariance = coefficients(column, column[:, 0] * 2 + noise, groups)
        values.append(value[0])
        errors.append(np.sqrt(covariance[0, 0]))
    assert np.mean(values) == pytest.approx(2.0, abs=0.05)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.2)


@given(
    st.lists(st.integers(-9, 9).filter(bool), min_size=2, max_size=4),
    st.floats(1e-9, 1e9),
)
def test_a_simple_ratio_is_found_whatever_the_constant(numbers, constant):
    numbers = np.array(numbers) // np.gcd.reduce(numbers)
    found = simple_ratio(constant * numbers, lambda n: np.array_equal(np.abs(n), np.abs(numbers)))
    assert found == tuple(numbers)


def test_coefficients_in_no_simple_ratio_have_none():
    assert simple_ratio(np.array([1.0, np.pi]), lambda n: abs(n[1] / n[0] / np.pi - 1) < 1e-4) is None
    assert simple_ratio(np.array([1.0, 0.0]), lambda n: True) is None
    assert simple_ratio(np.array([1.0, np.nan]), lambda n: True) is None


def test_constants_have_the_units_of_their_dimension():
    for p, q in itertools.product(range(-3, 4), range(-3, 4)):
        unit = constant_unit((p, q), "m", "s")
        assert dict(dimensions(unit)) == {k: v for k, v in (("length", p), ("time", q)) if v}, unit
    assert constant_unit((2, 0), "", "s") == ""


def test_scales_of_known_constants():
    speed = scale(Estimate(1 / 173.1446**2, 1e-9), (-2, 2), "AU", "day")
    assert speed.kind == "speed"
    assert speed.unit == "km/s"
    assert speed.value == pytest.approx(299792.4, rel=1e-6)
    assert scale(Estimate(-4.0, 0.4), (2, 0), "m", "s") == ("length", 2.0, pytest.approx(0.1), "m")
    assert scale(Estimate(0.5, 0.1), (0, -1), "m", "s").value == pytest.approx(2.0)
    assert scale(Estimate(1.0, 0.1), (1, 1)) is None
    assert scale(Estimate(0.0, 0.1), (2, 0)) is None
