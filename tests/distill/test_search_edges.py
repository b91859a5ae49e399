"""Data that searches fail on: the right answer, or a message that says what is the matter."""

import time

import numpy as np
import pytest
import sympy

from sciml.distill import Front, search
from sciml.distill.front import Candidate


def uniform(rows, variables, seed=0):
    return np.random.default_rng(seed).uniform(0.5, 3.0, (rows, variables))


def constant(front):
    return not front.best().expression.free_symbols


@pytest.mark.parametrize("rows", [12, 60, 500])
@pytest.mark.parametrize("heavy", [False, True])
def test_pure_noise_has_no_law(rows, heavy):
    rng = np.random.default_rng(rows)
    y = rng.standard_t(2, rows) if heavy else rng.standard_normal(rows)
    assert constant(search(uniform(rows, 3), y, seconds=60, max_evaluations=200))


def test_one_variable():
    X = uniform(200, 1)
    best = search(X, 2 * np.exp(-1.3 * X[:, 0]), names=["t"], seconds=20).best()
    assert best.loss < 1e-20
    assert best.complexity <= 8


@pytest.mark.slow
def test_a_hundred_variables_of_which_three_matter():
    X = uniform(1000, 100)
    y = X[:, 17] * X[:, 71] / X[:, 42] ** 2
    best = search(X, y + 0.01 * y.std() * np.random.default_rng(1).standard_normal(1000), seconds=60).best()
    assert best.expression.free_symbols == set(sympy.symbols("x17 x71 x42"))
    assert float(best.expression.subs({"x17": 1, "x71": 1, "x42": 1})) == pytest.approx(1, rel=0.01)


def test_ten_rows_of_a_law_and_of_none():
    X = uniform(10, 2)
    best = search(X, X[:, 0] / X[:, 1], seconds=20).best()
    assert best.loss < 1e-20
    assert constant(search(X, np.random.default_rng(3).standard_normal(10), seconds=20))


def test_duplicated_columns_are_named():
    X = uniform(300, 2)
    front = search(np.column_stack([X, X[:, 0]]), X[:, 0] * X[:, 1], names=["a", "b", "again"], seconds=20)
    assert front.messages[0] == "again was left out: it equals a, and a law cannot tell them apart"
    assert front.best().loss < 1e-20


def test_a_constant_column_is_named_and_a_constant_target_is_a_constant():
    X = np.column_stack([uniform(300, 1), np.full(300, 2.0)])
    front = search(X, 3 * X[:, 0], names=["a", "two"], seconds=20)
    assert front.messages[0] == "two was left out: it is 2 in every row"
    assert float(search(X, np.full(300, -7.0), seconds=20).best().expression) == -7


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_values_that_are_not_finite_are_refused_by_place(value):
    X = uniform(50, 2)
    X[[3, 8], 1] = value
    with pytest.raises(ValueError, match=rf"column 'b' of X is {value} in row 3 \(2 such rows\); leave"):
        search(X, X[:, 0], names=["a", "b"], seconds=5)


@pytest.mark.slow
def test_a_target_without_a_law_says_so():
    X = uniform(600, 1)
    jumpy = np.floor(4 * np.abs(np.sin(9 * X[:, 0] ** 2)))
    front = search(X, jumpy, names=["p"], seconds=60, clock=time.process_time)
    assert front.best().loss > 1e-3
    assert "still depends on p" in front.messages[-1]


@pytest.mark.parametrize("rows", [10_000, 1_000_000])  # pytest --durations shows both times
@pytest.mark.slow
def test_a_million_rows_are_searched_by_a_stated_sample(rows):
    X = uniform(rows, 3)
    y = X[:, 0] * np.exp(-X[:, 1]) + 0.01 * np.random.default_rng(0).standard_normal(rows)
    front = search(X, y, names=["a", "b", "c"], seconds=120)
    assert f"searched on 2000 of {rows} rows, drawn at random; all score the formulas" in front.messages
    assert front.rows == rows
    ratio = front.best().expression / sympy.parse_expr("a*exp(-b)")
    assert float(ratio.subs({"a": 1, "b": 1})) == pytest.approx(1, abs=0.2 / np.sqrt(rows))


def test_what_the_data_cannot_tell_apart_is_read_off_the_front():
    x = np.random.default_rng(0).uniform(1.0, 1.1, 100)  # so narrow that 1/x and 2 − x are one
    y = 3 / x + 0.01 * np.random.default_rng(1).standard_normal(100)
    front = search(x[:, None], y, names=["x"], seconds=20)
    rivals = front.alternatives(nats=12)
    assert len(rivals) >= 1
    assert front.best() not in rivals
    lengths = [front.length(c) for c in rivals]
    assert lengths == sorted(lengths)
    assert lengths[-1] < front.length(front.best()) + 12
    clear = search(uniform(500, 2), 3 * uniform(500, 2)[:, 0] ** 2, seconds=20)
    assert clear.alternatives() == ()


def test_alternatives_are_within_the_odds_that_are_asked():
    a, b = sympy.symbols("a b")
    front = Front.of(
        [Candidate(a, 1, 1e-2), Candidate(a + b, 3, 0.9e-2), Candidate(a * b + a + b, 7, 1e-9)], 50
    )
    assert front.best().complexity == 7
    assert front.alternatives() == ()
    assert len(front.alternatives(nats=1e4)) == 2
    with pytest.raises(ValueError, match="empty"):
        Front.of([], 10).alternatives()
