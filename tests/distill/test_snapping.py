"""Known numbers in formulas: taken where the data allow it, not where chance or noise may bring them."""

import numpy as np
import pytest
import scipy.constants
import sympy

from sciml.distill.front import Candidate, Front, Problem, shape
from sciml.distill.structured.fitting import Fit
from sciml.distill.structured.snapping import snap

a, b = sympy.symbols("a b")
X = np.random.default_rng(0).uniform(0.5, 3, (1000, 2))


def problem(y, noise=0.0, **units):
    error = noise * y.std() * np.random.default_rng(1).standard_normal(len(y))
    return Problem(X, y + error, ("a", "b"), **units)


def snapped(constant, noise, **units):
    asked = problem(constant * X[:, 0] / X[:, 1], noise, **units)
    fit = Fit(sympy.Float(constant * 1.001) * a / b, [a, b], asked.X, asked.y, np.ones(1000))
    fit.refit()
    return snap(fit.expression(), asked, 1000), fit.values[0]


@pytest.mark.parametrize(("constant", "text"), [(4 * np.pi**2, "4*pi**2"), (-1 / np.sqrt(2 * np.pi), "pi")])
def test_a_multiple_of_pi_is_recognized_and_the_fitted_value_kept(constant, text):
    (expression, found), fitted = snapped(constant, 1e-3)
    (number,) = (s for s in found if s.number not in ("-1", "1"))
    assert text in number.number
    assert float(sympy.sympify(number.number)) == pytest.approx(constant, rel=1e-14)
    assert float(expression.subs({a: 1, b: 1})) == pytest.approx(constant, rel=1e-14)
    assert number.value == pytest.approx(fitted, rel=1e-12)
    assert 0 < abs(number.value - constant) < 3 * number.error < 0.01 * abs(constant)


def test_noise_or_a_number_beside_it_is_no_known_number():
    for constant, noise in ((4 * np.pi**2, 0.1), (39.6, 1e-3), (2.3456, 0.0)):
        (expression, found), fitted = snapped(constant, noise)
        assert not found
        assert float(expression.subs({a: 1, b: 1})) == pytest.approx(fitted, rel=1e-12)


def test_constants_of_nature_are_known_by_their_units():
    units = {"units": ("kg", "m"), "target_unit": "J/m**2"}  # g m / (1 m), in units of g = J/kg/m
    (expression, found), fitted = snapped(scipy.constants.g, 0.01, **units)
    assert [s.number for s in found] == ["g"]
    assert float(expression.subs({a: 1, b: 1})) == pytest.approx(scipy.constants.g)
    assert found[0].value == pytest.approx(fitted)
    assert not snapped(scipy.constants.g, 0.01)[0][1]  # without units it may be anything
    assert not snapped(9.5, 0.001, **units)[0][1]


def test_a_simple_exponent_shows_what_was_fitted_in_its_place():
    asked = problem(3.3 * X[:, 0] ** 2 / X[:, 1], 0.01)
    _, found = snap(sympy.Float(3.3) * a**2 / b, asked, 1000)
    (square,) = (s for s in found if s.number == "2")
    assert abs(square.value - 2) < 4 * square.error < 0.02
    assert str(square).startswith("2 (fitted: ")
    wider = next(s for s in snap(sympy.Float(3.3) * a**2 / b, asked, 10)[1] if s.number == "2")
    assert wider.error == pytest.approx(10 * square.error)  # if only ten rows are independent


def test_standard_errors_are_those_of_linear_regression():
    asked = problem(2.5 * X[:, 0] + 0.7 * X[:, 1], 0.05)
    fit = Fit(sympy.Float(2.5) * a + sympy.Float(0.7) * b, [a, b], asked.X, asked.y, np.ones(1000))
    fit.refit()
    r = asked.y - asked.X @ np.linalg.lstsq(asked.X, asked.y, rcond=None)[0]
    exact = np.sqrt(np.diag(np.linalg.inv(asked.X.T @ asked.X)) * (r @ r) / 998)
    assert np.allclose(sorted(fit.errors()), sorted(exact), rtol=1e-6)
    twice = Fit(sympy.Float(2.0) * (sympy.Float(1.5) * a + b), [a, b], asked.X, asked.y, np.ones(1000))
    free = Fit(sympy.Symbol("p") * sympy.Symbol("q") * a, [a, b], asked.X, asked.y, np.ones(1000),
               {sympy.Symbol("p"): 1.0, sympy.Symbol("q"): 2.0})  # fmt: skip
    assert np.isfinite(twice.errors()).all()
    assert np.isinf(free.errors()).all()


def test_shape_is_the_form_without_its_numbers():
    assert shape(2.5 * a**2 / b + 1) == shape(-0.3 * a**2 / b + 7)
    assert shape(2.5 * a**2 / b) != shape(2.5 * a**3 / b)
    assert shape(sympy.exp(-2.0 * a)) == shape(sympy.exp(-a))
    assert shape(sympy.exp(a)) != shape(sympy.sin(a))
    assert shape(a) != shape(a + 1)


def test_rivals_are_alternatives_and_survive_a_merge():
    rivals = (Candidate(b, 1, 1.01e-2), Candidate(2.0 * a, 1, 1.02e-2))
    front = Front.of([Candidate(a, 1, 1e-2)], 100, rivals=rivals)
    assert [c.expression for c in front.alternatives()] == [b]
    merged = Front.of([Candidate(a * b, 3, 1e-6)], 100).merge(front)
    assert not merged.alternatives()
    assert {c.expression for c in merged.rivals} == {b, 2.0 * a}
    assert [c.expression for c in Front.of([Candidate(a, 1, 1e-2)], 100).merge(front).alternatives()] == [b]
