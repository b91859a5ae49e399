"""The embedded search as a user meets it: right laws, honest ends, the promises of the protocol."""

import numpy as np
import pytest
import sympy

from sciml.distill.front import Front, Problem
from sciml.distill.structured import search


def uniform(rows, variables, seed=0, low=0.5, high=3.0):
    return np.random.default_rng(seed).uniform(low, high, (rows, variables))


def same(expression, text):
    """Whether two formulas agree, numbers to 1 %."""
    other = sympy.parse_expr(text)
    names = sorted(other.free_symbols | expression.free_symbols, key=str)
    points = np.random.default_rng(9).uniform(0.7, 2.0, (5, len(names)))
    values = [
        [float(e.subs(dict(zip(names, map(float, p), strict=True)))) for p in points]
        for e in (expression, other)
    ]
    return np.allclose(*values, rtol=0.01)


@pytest.mark.parametrize(("noise", "seed"), [(1e-4, 0), (1e-2, 1), (1e-2, 2)])
def test_gravity_messages_over_eight_decades(noise, seed):
    rng = np.random.default_rng(seed)
    r, mi, mj = 10 ** rng.uniform([-0.5, -4, -4], [1.5, 3, 3], (1000, 3)).T
    y = 39.5 * mi * mj / r**2
    error = noise * y
    problem = Problem(
        np.stack([r, mi, mj], 1), y + error * rng.standard_normal(1000), ("r", "m_i", "m_j"), 1 / error**2
    )
    best = search(problem, seconds=60, seed=seed).best()
    ratio = best.expression / sympy.parse_expr("m_i*m_j/r**2")
    assert float(ratio) == pytest.approx(39.5, rel=10 * noise / np.sqrt(1000))


def test_smooth_error_of_a_network_is_not_fitted():
    rng = np.random.default_rng(0)
    r, m = rng.uniform([0.3, 0.1], [5, 3], (400, 2)).T
    y = 2 * m / r**2
    waves = np.sin(np.stack([np.log(r), m], 1) @ rng.normal(0, 3, (2, 30)) + rng.uniform(0, 6, 30))
    network = y * (1 + 0.01 * waves @ rng.standard_normal(30) / np.sqrt(15))
    front = search(
        Problem(np.stack([r, m], 1), network, ("r", "m"), 1 / y**2), seconds=60, max_evaluations=150
    )
    assert same(front.best().expression, "2*m/r**2")
    assert front.effective_rows < 200
    assert len(front) > 2


def test_sum_of_terms_with_an_irrelevant_variable():
    X = uniform(800, 4)
    y = X[:, 0] + X[:, 1] * X[:, 2] ** 2 / 2
    y += 0.02 * y.std() * np.random.default_rng(1).standard_normal(800)
    best = search(Problem(X, y, ("P", "rho", "v", "d")), seconds=60).best()
    assert best.expression.free_symbols == set(sympy.symbols("P rho v"))
    assert same(best.expression, "P + rho*v**2/2")


def test_units_make_the_law_of_lennard_jones_plain():
    rng = np.random.default_rng(3)
    eps, sigma, r = rng.uniform([0.5, 0.8, 0.95], [2, 1.2, 2.5], (600, 3)).T
    y = 4 * eps * ((sigma / r) ** 12 - (sigma / r) ** 6)
    problem = Problem(
        np.stack([eps, sigma, r], 1), y + 0.02 * y.std() * rng.standard_normal(600), ("eps", "sigma", "r"),
        units=("J", "nm", "nm"), target_unit="J",
    )  # fmt: skip
    best = search(problem, seconds=60).best()
    assert same(best.expression, "4*eps*((sigma/r)**12 - (sigma/r)**6)")


@pytest.mark.parametrize("power", [2.7, -1.37])
def test_odd_exponents_are_not_rounded(power):
    X = uniform(400, 1)
    y = 3 * X[:, 0] ** power * (1 + 1e-4 * np.random.default_rng(0).standard_normal(400))
    best = search(Problem(X, y, ("x",), 1 / y**2), seconds=60).best()
    exponent = next(iter(best.expression.atoms(sympy.Pow))).exp
    assert float(exponent) == pytest.approx(power, abs=1e-4)


def test_noise_has_no_law():
    y = np.random.default_rng(0).standard_normal(400)
    best = search(Problem(uniform(400, 2), y, ("a", "b")), seconds=60).best()
    assert best.loss > 0.9
    assert best.complexity == 1


def test_constant_target_and_columns_that_say_nothing():
    X = uniform(300, 2)
    assert search(Problem(X, np.full(300, 2.5), ("a", "b")), seconds=5).best().expression == 2.5
    assert search(Problem(X, np.zeros(300), ("a", "b")), seconds=5).best().expression == 0
    wide = np.column_stack([X, X[:, 0], np.ones(300)])
    front = search(Problem(wide, X[:, 0] / X[:, 1], ("a", "b", "twin", "one")), seconds=60)
    assert same(front.best().expression, "a/b")
    assert any("twin repeats a" in m for m in front.messages)
    assert any("one is constant" in m for m in front.messages)


def test_ten_rows():
    X = uniform(10, 2)
    assert same(search(Problem(X, 3 * X[:, 0] / X[:, 1], ("a", "b")), seconds=60).best().expression, "3*a/b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.ones((4, 2))}, "found shapes"),
        ({"names": ("a", "a")}, "different names"),
        ({"y": np.array([1.0, np.nan, 2, 3, 4])}, "target is nan in row 1"),
        ({"X": np.array([[1, 2], [3, np.inf], [1, 1], [2, 2], [3, 3.0]])}, "b is inf in row 1"),
        ({"weights": -np.ones(5)}, "weights must be"),
        ({"units": ("m",)}, "2 units"),
        ({"units": ("m", "foo")}, "unknown unit 'foo'"),
    ],
)
def test_bad_problems_are_named(change, message):
    X = uniform(5, 2)
    good = {"X": X, "y": X[:, 0], "names": ("a", "b")}
    with pytest.raises(ValueError, match=message):
        search(Problem(**(good | change)), seconds=5)


def test_same_seed_same_front_and_evaluations_end_it():
    X = uniform(300, 2)
    problem = Problem(X, X[:, 0] * np.exp(-X[:, 1]) + X[:, 1], ("a", "b"))
    first, second = (search(problem, seconds=60, seed=4, max_evaluations=30) for _ in range(2))
    assert [c.expression for c in first] == [c.expression for c in second]
    assert len(first) >= 1


def test_no_time_gives_the_mean():
    X = uniform(300, 2)
    front = search(Problem(X, X[:, 0] / X[:, 1], ("a", "b")), seconds=1e-6)
    assert float(front.best().expression) == pytest.approx(np.mean(X[:, 0] / X[:, 1]))


def test_interrupt_returns_what_there_is():
    X = uniform(300, 2)

    def interrupt(front: Front) -> None:
        assert len(front) >= 1
        raise KeyboardInterrupt

    front = search(Problem(X, X[:, 0] / X[:, 1] ** 2, ("a", "b")), seconds=60, on_front=interrupt)
    assert not front.complete
    assert any("interrupted" in m for m in front.messages)
    assert same(front.best().expression, "a/b**2")


def test_many_rows_are_sampled_and_all_are_scored():
    X = uniform(50_000, 2)
    y = X[:, 0] * X[:, 1] ** 2 * (1 + 0.01 * np.random.default_rng(0).standard_normal(len(X)))
    front = search(Problem(X, y, ("a", "b"), 1 / y**2), seconds=60)
    best = front.best()
    assert any("of 50000 rows" in m for m in front.messages)
    assert front.rows == 50_000
    constant = float(best.expression / sympy.parse_expr("a*b**2"))
    assert constant == pytest.approx(1, abs=5 * 0.01 / np.sqrt(50_000))
    residual = (constant * X[:, 0] * X[:, 1] ** 2 - y) / y
    assert best.loss == pytest.approx(np.mean(residual**2), rel=1e-6)
