"""The parts of the search against independent computations."""

import itertools

import numpy as np
import pytest
import sympy
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sciml.distill.front import FLOOR, Candidate, Front, Problem
from sciml.distill.structured.fitting import Fit
from sciml.distill.structured.library import library
from sciml.distill.structured.monomials import atoms, enumerate_powers
from sciml.distill.structured.numeric import bind, template
from sciml.distill.structured.products import KINDS
from sciml.distill.structured.screening import active_variables, effective_rows
from sciml.distill.structured.steps import steps
from sciml.distill.structured.subsets import Subsets, round_powers
from sciml.distill.structured.table import prepare
from sciml.distill.structured.targets import FUNCTIONS, TARGETS, goals

x, z = sympy.symbols("x z")
FORMULAS = [
    1.5 * x**2.3 + 0.2,
    2.0 * sympy.exp(-0.7 * x) * sympy.sin(1.3 * z), (1.1 * x + 0.4 * z) ** sympy.Rational(-3, 2),
    sympy.Float(0.8) / (1.2 + x**2) + sympy.log(0.5 * x + z), sympy.tanh(0.3 * x) * sympy.cosh(0.2 * z),
    sympy.sqrt(x**2 + 0.3) * sympy.Max(0.9 * x, z), 0.4 * sympy.Abs(0.7 * x - z) + sympy.atan(0.2 * z),
]  # fmt: skip


def table(X, y, **more):
    return prepare(
        Problem(X, y, tuple(f"x{i}" for i in range(X.shape[1])), **more), np.random.default_rng(0)
    )[0]


@pytest.mark.parametrize("formula", FORMULAS, ids=str)
def test_gradient_is_the_finite_difference(formula):
    X = np.random.default_rng(0).uniform(0.5, 2, (40, 2))
    form, constants, values = template(formula)
    run = bind(form, {x: X[:, 0], z: X[:, 1]}, constants)
    value, gradient = run(values)
    assert np.allclose(value, sympy.lambdify((x, z), formula)(*X.T), rtol=1e-12)
    for k in range(len(values)):
        h = 1e-6 * np.eye(len(values))[k]
        difference = (run(values + h)[0] - run(values - h)[0]) / 2e-6
        assert np.allclose(np.broadcast_to(gradient[k], len(X)), difference, rtol=1e-6, atol=1e-8)


@settings(deadline=None, max_examples=25)
@given(a=st.floats(0.5, 3), b=st.floats(0.3, 2), p=st.floats(-3, 3).filter(lambda p: abs(p) > 0.2))
@example(a=0.5, b=1.75, p=-2.625)  # the first step went to where the formula is flat
@example(a=0.5, b=1.75, p=-0.5)  # and a later one
def test_fit_recovers_constants(a, b, p):
    X = np.random.default_rng(0).uniform(0.5, 2, (100, 1))
    y = a * X[:, 0] ** p * np.exp(-b * X[:, 0])
    fit = Fit(
        sympy.Float(1.0) * x ** sympy.Float(1.0) * sympy.exp(-sympy.Float(1.0) * x), [x], X, y, np.ones(100)
    )
    fit.refit(200)
    assert fit.loss() < 1e-20 * np.mean(y**2)


def test_pairs_and_triples_are_those_of_brute_force():
    rng = np.random.default_rng(1)
    F = rng.standard_normal((30, 80))
    target = F[3] - 0.7 * F[11] + 0.4 * F[17] + 0.05 * rng.standard_normal(80)
    weights = rng.uniform(0.5, 2, 80)
    problem = Subsets(F, target, weights, np.ones(30))
    found = {len(c): c for _, c in reversed(problem.best(3, 10, small=30))}

    def rest(chosen):
        A = F[list(chosen)].T * np.sqrt(weights)[:, None]
        t = target * np.sqrt(weights)
        return np.sum((t - A @ np.linalg.lstsq(A, t, rcond=None)[0]) ** 2)

    for size in (1, 2, 3):
        assert found[size] == min(itertools.combinations(range(30), size), key=rest)
    assert problem.exact((3, 11, 17))[0] == pytest.approx(rest((3, 11, 17)), rel=1e-4)
    assert np.allclose(problem.exact((3, 11, 17))[1], [1, -0.7, 0.4], atol=0.05)


def test_powers_are_rounded_only_within_their_error():
    rng = np.random.default_rng(0)
    logs = rng.uniform(-1, 1, (500, 2))
    A = np.column_stack([np.ones(500), logs])
    t = 0.3 - 2 * logs[:, 0] + 1.43 * logs[:, 1] + 0.01 * rng.standard_normal(500)
    value = round_powers(A, t, np.ones(500), [(), (1, 2, 3), (1, 2, 3)])
    assert value[1] == -2
    assert value[2] != 1.5
    assert value[2] == pytest.approx(1.43, abs=0.01)


def test_screening_leaves_out_what_does_not_matter():
    X = np.random.default_rng(0).uniform(0.5, 3, (1000, 6))
    y = X[:, 4] ** 2 * X[:, 1] + 0.05 * np.random.default_rng(1).standard_normal(1000)
    assert set(active_variables(table(X, y), seed=0)) == {1, 4}


def test_independent_rows_of_white_and_smooth_residuals():
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 1, (2000, 2))
    white = rng.standard_normal(2000)
    assert effective_rows(X, white) > 1500
    assert effective_rows(X, np.sin(5 * X[:, 0]) + np.cos(4 * X[:, 1])) < 60
    heavy = white * np.exp(2 * rng.standard_normal(2000))
    assert effective_rows(X, heavy) < 500


@pytest.mark.parametrize("name", [*TARGETS, *FUNCTIONS])
def test_slope_is_the_derivative_and_invert_undoes(name):
    target = (TARGETS | FUNCTIONS)[name]
    low = max(target.low, 0.3 if not target.signed else -3.0)
    y = np.linspace(low, min(target.high, 3.0), 22)[1:-1]
    assert target.reaches(y).all()
    difference = (target.apply(y + 1e-6) - target.apply(y - 1e-6)) / 2e-6
    assert np.allclose(target.slope(y), np.abs(difference), rtol=1e-5)
    back = sympy.lambdify(x, target.invert(x))(target.apply(y))
    assert np.allclose(back, y)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: str(k.expression(z)))
def test_a_kinds_expression_is_its_value(kind):
    u = np.linspace(0.3, 2, 15)
    assert np.allclose(kind.value(u), sympy.lambdify(z, kind.expression(z))(u))


def test_features_are_their_expressions():
    X = np.random.default_rng(0).uniform([-1, 0.5, 0.4], [1, 3, 2], (60, 3))
    data = table(X, X[:, 1])
    features = library(atoms(data, [0, 1, 2]), [(1, 1.7)], 3000)
    for k in range(0, len(features.cost), 97):
        value = sympy.lambdify(data.symbols, features.expression(k))(*data.X.T)
        assert np.allclose(value, features.values[k], rtol=1e-6, atol=1e-9)
    some = np.arange(0, len(features.cost), 31)
    assert np.allclose(features.evaluate(features.atoms, some), features.values[some], rtol=1e-9)


def test_units_prune_the_library():
    X = np.random.default_rng(0).uniform(0.5, 2, (50, 3))
    data = table(X, X[:, 0], units=("J", "nm", "nm"), target_unit="J")
    basis = atoms(data, [0, 1, 2])
    free, strict = library(basis, [], 4000), library(basis, [], 4000, goals(data))
    assert len(strict.cost) < len(free.cost) / 3
    energy = sympy.lambdify(data.symbols, strict.expression(5))
    ratio = energy(2.0, 3.0, 3.0) / energy(2.0, 1.0, 1.0)  # scaling both lengths changes nothing
    assert ratio == pytest.approx(1)


def test_steps_are_found_where_the_target_jumps():
    X = np.random.default_rng(0).uniform(0.5, 4, (1000, 2))
    y = X[:, 1] * (X[:, 0] - 1) * (X[:, 0] > 2)
    found = steps(table(X, y), [0, 1])
    assert found[0][0] == 0
    assert found[0][1] == pytest.approx(2, abs=0.02)
    noise = 0.1 * np.random.default_rng(1).standard_normal(1000)
    assert not steps(table(X, X[:, 0] ** 2 + X[:, 0] * X[:, 1] + noise), [0, 1])


def test_powers_are_enumerated_cheapest_first():
    powers = enumerate_powers(3, (1, -1, 2), 2, 5, 1000)
    assert not powers[0].any()
    assert len(np.unique(powers, axis=0)) == len(powers)
    # 1, three variables to three powers, pairs of first powers (3·4), pairs with one square (3·2·2)
    assert len(powers) == 1 + 9 + 12 + 12


def test_knee_of_a_front():
    line = [Candidate(sympy.Symbol("a"), 1, 0.5), Candidate(2.0 * sympy.Symbol("a"), 3, 1e-4)]
    line.append(Candidate(2.0 * sympy.Symbol("a") + 0.1, 30, 0.8e-4))
    assert Front.of(line, 300).best().complexity == 3
    assert Front.of(line, 10**6, effective_rows=100.0).best().complexity == 3
    assert Front.of(line, 10**6, effective_rows=1e6).best().complexity == 30
    exact = [Candidate(x, 3, FLOOR / 10), Candidate(x + z, 9, FLOOR / 1000)]
    assert len(Front.of(exact, 100)) == 1
    with pytest.raises(ValueError, match="empty"):
        Front.of([], 10).best()
