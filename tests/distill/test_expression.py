import math

import numpy as np
import pytest
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sciml.distill.expression import complexity, evaluate, loss, parameters, parse, refit, to_text
from sciml.distill.front import Problem
from sciml.distill.parser import MAX_DEPTH, MAX_LENGTH

x, y, r = sympy.symbols("x y r")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x + 2*y", x + 2 * y),
        (" -x^2 / y ** 3", -(x**2) / y**3),
        ("2^-x^2", 2 ** (-(x**2))),
        ("x**2.0 * y**0.5", x**2 * sympy.sqrt(y)),
        ("x**(1/3)", x ** sympy.Rational(1, 3)),
        ("pi*E", sympy.pi * sympy.E),
        ("square(x) + cube(inv(neg(y)))", x**2 - y**-3),
        ("Max(x, y, 1) + abs(x)", sympy.Max(x, y, 1) + sympy.Abs(x)),
        ("Heaviside(x - 1) * atan2(y, x)", sympy.Heaviside(x - 1) * sympy.atan2(y, x)),
        ("1.5e-3*x", sympy.Float(1.5e-3) * x),
    ],
)
def test_parse_reads_what_is_written(text, value):
    assert parse(text, ["x", "y"]) == value


def test_parse_knows_names_that_are_not_ascii_and_names_that_shadow():
    assert parse("µ + θ", ["µ", "θ"]).free_symbols == {sympy.Symbol("µ"), sympy.Symbol("θ")}
    assert parse("E + S", ["E", "S"]) == sympy.Symbol("E") + sympy.Symbol("S")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('true')", "not part of a formula .at position 0"),
        ("x + __import__('os')", "'os'.* is not part"),
        ("x.__class__", "not part of a formula"),
        ("x + lambda", "invalid syntax"),
        ("(lambda: x)()", "not part of a formula"),
        ("[x for x in y]", "not part of a formula"),
        ("x if y else x", "not part of a formula"),
        ("x == y", "not part of a formula"),
        ("x + True", "'True' is not part"),
        ("x + 1j", "'1j' is not part"),
        ("x % 2", "'x % 2' is not part"),
        ("sqrt(x=2)", "not part of a formula"),
        ("x + sqt(y)", r"unknown function 'sqt'; did you mean 'sqrt'\? \(at position 4"),
        ("x^2 + mass", r"unknown name 'mass'.* \(at position 6 of 'x\^2 \+ mass'"),
        ("sin(x, y)", "sin takes 1 arguments, found 2"),
        ("", "invalid syntax"),
        ("x +", "invalid syntax"),
        ("x)+(y", "unmatched"),
        ("9**9**9**9", "power out of range"),
        ("((2*x)**1000)**1000", "power out of range"),
        ("x**1e9", "power out of range"),
        ("exp(exp(exp(100)))", "not a real number of sane size"),
        ("1e400", "number out of range"),
        ("9" * 5000, "Exceeds the limit|unreadable"),
        ("x/0", "not a finite real number"),
        ("log(0)", "not a finite real number"),
        ("sqrt(-2) * x", "not a finite real number"),
        ("asin(2)", "not a real number"),
        ("nan + x", "unknown name 'nan'"),
        ("x\0", "unreadable formula|null"),
        ("(" * 500 + "x" + ")" * 500, "parentheses|unreadable"),
        ("-" * (MAX_DEPTH + 5) + "x", "nested operations"),
        ("x+" * MAX_LENGTH + "x", f"at most {MAX_LENGTH}"),
        (3.0, "must be text, found float"),
    ],
)
def test_parse_refuses_what_is_not_a_formula(text, message):
    with pytest.raises(ValueError, match=message):
        parse(text, ["x", "y"])


def test_positions_count_characters_of_the_text_as_given():
    with pytest.raises(ValueError, match="position 8"):
        parse("  θ^2 + oops", ["θ"])


numbers = st.one_of(
    st.integers(-9, 9),
    st.floats(-1e6, 1e6, allow_subnormal=False).filter(lambda v: v == 0 or abs(v) > 1e-6),
).map(sympy.sympify)
expressions = st.recursive(
    st.one_of(numbers, st.sampled_from([x, y, r])),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda p: p[0] + p[1]),
        st.tuples(inner, inner).map(lambda p: p[0] * p[1]),
        st.tuples(inner, st.sampled_from([2, 3, sympy.Rational(3, 2)]))
        .map(lambda p: p[0] ** p[1])
        .filter(lambda e: not e.has(sympy.I)),
        inner.map(sympy.sin),
        inner.map(sympy.Abs),
        inner.filter(lambda e: not e.has(sympy.I)).map(sympy.Heaviside),
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(expressions)
def test_text_goes_there_and_back(expression):
    assume(not expression.has(sympy.I, sympy.zoo, sympy.nan, sympy.oo))
    assume(all(abs(n) < 1e300 for n in expression.atoms(sympy.Number)))
    again = parse(to_text(expression), ["x", "y", "r"])
    rows = {"x": np.linspace(-2, 3, 7), "y": np.linspace(0.1, 1, 7), "r": np.linspace(-1, 1, 7)}
    np.testing.assert_allclose(evaluate(again, rows), evaluate(expression, rows), rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("3.5", 1),
        ("x", 1),
        ("-x", 1),
        ("x + y", 3),
        ("x - y", 3),
        ("x/y", 3),
        ("1/x", 2),
        ("1/(x*y)", 4),
        ("x**2", 2),
        ("sqrt(x)", 2),
        ("1/sqrt(x)", 3),
        ("x**3", 3),
        ("2.0*x*y/r**2", 8),
        ("sin(x)", 2),
        ("-exp(-x)", 2),
        ("Max(x, y)", 3),
        ("x**y", 3),
    ],
)
def test_complexity_counts_nodes(text, nodes):
    assert complexity(parse(text, ["x", "y", "r"])) == nodes


@pytest.mark.filterwarnings("error")
def test_evaluate_is_numpy_with_nan_where_nothing_is_defined():
    columns = {"x": np.array([-1.0, 0.0, 4.0]), "y": np.array([1, 2, 3])}
    np.testing.assert_array_equal(evaluate(parse("sqrt(x)", "x"), columns), [np.nan, 0, 2])
    np.testing.assert_array_equal(evaluate(parse("3", ""), columns), [3, 3, 3])
    np.testing.assert_array_equal(evaluate(parse("1/y", "y"), columns), 1 / columns["y"])
    np.testing.assert_allclose(
        evaluate(parse("cbrt(8*x)", "x"), columns), [-2, 0, 2 * np.cbrt(4)], rtol=1e-15
    )
    assert not np.isfinite(evaluate(parse("1/x", "x"), columns)[1])
    large = evaluate(parse("10**20*x*10**20", "x"), columns)
    np.testing.assert_allclose(large, 1e40 * columns["x"])
    assert np.isnan(evaluate(sympy.zoo * x, columns)).all()
    assert np.isnan(evaluate(sympy.log(sympy.Integer(-2), evaluate=False) * x, columns)).all()
    assert evaluate(parse("erf(x)", "x"), {"x": np.float64(0.5)}) == pytest.approx(math.erf(0.5))


def test_evaluate_names_the_missing_column():
    with pytest.raises(ValueError, match="no column for y of x\\*y; given: x"):
        evaluate(x * y, {"x": np.ones(3)})


def test_parameters_are_the_numbers_that_are_not_form():
    template, values = parameters(parse("2.5*x**2 - 0.5*y**1.7 + x/2 + 1 + 299792458*y", ["x", "y"]))
    assert sorted(values.values()) == [-0.5, 1.7, 2.5, 299792458.0]
    assert template.subs(values).equals(parse("2.5*x**2 - 0.5*y**1.7 + x/2 + 1 + 299792458.0*y", ["x", "y"]))
    template, values = parameters(parse("2.5*c0 + 1.25*c1", ["c0", "c1"]))
    assert not {sympy.Symbol("c0"), sympy.Symbol("c1")} & set(values)
    assert parameters(x**2 / y) == (x**2 / y, {})


def _problem(law, rows=400, noise=0.0, **options):
    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 3, (rows, 2))
    clean = law(*X.T)
    return Problem(X, clean * (1 + noise * rng.normal(size=rows)), ("x", "y"), **options)


@pytest.mark.parametrize(
    ("truth", "guess"),
    [
        ("6.674e-11*x*y**-2.0", "5e-11*x*y**-2.0"),
        ("6.674e11*x/y**2.25", "1e11*x/y**2.0001"),
        ("1.5*exp(-0.7*x)/y", "1.0*exp(-1.0*x)/y"),
        ("1.5*Abs(x - 1.25)", "1.4*Abs(x - 1.2)"),
        ("2.5*sin(1.3*x + 0.2) + 7.0*y", "2.0*sin(1.2*x + 0.1)+5.0*y"),
        ("1.75*Max(x, 1.3)", "1.5*Max(x, 1.1)"),
        ("3.5*Heaviside(x - 1)/y", "2.5*Heaviside(x - 1)/y"),
    ],
)
def test_refit_finds_the_constants_to_rounding(truth, guess):
    truth, guess = (parse(text, ["x", "y"]) for text in (truth, guess))
    problem = _problem(lambda a, b: evaluate(truth, {"x": a, "y": b}))
    fitted, error = refit(guess, problem)
    assert error < 1e-24
    assert error == loss(fitted, problem)
    far = {"x": np.linspace(5, 50, 9), "y": np.linspace(4, 20, 9)}
    np.testing.assert_allclose(evaluate(fitted, far), evaluate(truth, far), rtol=1e-9)


def test_refit_agrees_with_weighted_linear_regression():
    rng = np.random.default_rng(1)
    weights = rng.uniform(0.1, 10, 400)
    problem = _problem(lambda a, b: 2 * a - 3 * b, noise=0.1, weights=weights)
    fitted, error = refit(1.0 * x + 1.0 * y, problem)
    root = np.sqrt(weights)
    expected = np.linalg.lstsq(problem.X * root[:, None], problem.y * root, rcond=None)[0]
    np.testing.assert_allclose([float(fitted.coeff(x)), float(fitted.coeff(y))], expected, rtol=1e-9)
    residual = problem.X @ expected - problem.y
    assert error == pytest.approx(np.sum(weights * residual**2) / np.sum(weights * problem.y**2))


def test_refit_never_makes_a_formula_worse():
    problem = _problem(lambda a, b: a / b)
    for text in ("x/y", "log(x - 2.5)", "2.5*x**40.5 + exp(9.5*y)", "x + 1.5*y - 1.5*y + 0.001"):
        formula = parse(text, ["x", "y"])
        _, error = refit(formula, problem)
        assert error <= loss(formula, problem)
    assert loss(parse("log(x - 2.5)", "x"), problem) == math.inf
    assert math.isfinite(refit(2.5 * x, Problem(problem.X, np.zeros(400), ("x", "y")))[1])


def test_refit_of_a_large_table_uses_every_row():
    rng = np.random.default_rng(2)
    X = rng.uniform(0.5, 3, (50_000, 1))
    y = 2.5 * X[:, 0] ** 1.5 + rng.normal(0, 0.1, 50_000)
    fitted, error = refit(parse("1.5*x**1.3", "x"), Problem(X, y, ("x",)))
    expected, start = parameters(fitted)
    # at the optimum of all rows, the residual is orthogonal to the derivatives on all rows
    residual = evaluate(fitted, {"x": X[:, 0]}) - y
    for constant in start:
        derivative = evaluate(expected.diff(constant).subs(start), {"x": X[:, 0]})
        assert abs(derivative @ residual) < 1e-6 * np.linalg.norm(derivative) * np.linalg.norm(residual)
    assert error == pytest.approx(np.sum(residual**2) / np.sum(y**2))


@pytest.mark.parametrize("size", [1e-200, 1e-30, 1e200])
def test_loss_is_relative_at_any_size(size):
    X = np.linspace(1, 2, 50)[:, None]
    problem = Problem(X, size * X[:, 0], ("x",))
    assert loss(sympy.Float(size) * x, problem) < 1e-30
    assert loss(sympy.Float(1.5 * size) * x, problem) == pytest.approx(0.25)
    _, error = refit(sympy.Float(1.5 * size) * x, problem)
    assert error < 1e-30


def test_parse_takes_further_functions():
    functions = {"double": (lambda e: 2 * e, 1, 1)}
    assert parse("double(x) + sin(x)", "x", functions) == 2 * x + sympy.sin(x)
    with pytest.raises(ValueError, match="double takes 1"):
        parse("double(x, x)", "x", functions)
