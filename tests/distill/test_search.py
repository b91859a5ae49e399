import subprocess
import sys

import numpy as np
import pytest
import sympy
import torch

from sciml.distill import Front, search
from sciml.distill.expression import complexity, loss
from sciml.distill.front import Candidate
from sciml.distill.problem import as_problem

rng = np.random.default_rng(0)
X = rng.uniform(1, 2, (40, 3))
Y = X[:, 0] / X[:, 1]


class Engine:
    """An engine that proposes given formulas and remembers what it was asked."""

    def __init__(self, *formulas, complete=True, name="recorder"):
        self.formulas, self.complete, self.__name__, self.asked = formulas, complete, name, []

    def __call__(self, problem, *, seconds, seed, on_front=None, depth=3):
        self.asked.append((problem, seconds, seed, depth))
        found = [
            Candidate(f, complexity(f), loss(f, problem), self.__name__)
            for f in map(sympy.sympify, self.formulas)
        ]
        front = Front.of(
            found, rows=len(problem.y), complete=self.complete, messages=(f"by {self.__name__}",)
        )
        if on_front:
            on_front(front)
        return front


def test_an_engine_is_any_function_with_the_signature():
    engine = Engine("x0/x1", "2.5*x0")
    heard = []
    front = search(X, Y, backend=engine, seconds=3, seed=7, on_front=heard.append, depth=5)
    problem, seconds, seed, depth = engine.asked[0]
    assert (seconds, seed, depth) == (3, 7, 5)
    assert problem.names == ("x0", "x1", "x2")
    assert [str(c.expression) for c in front][-1] == "x0/x1"
    assert front.messages == ("by recorder",)
    assert front.complete
    assert [c.expression for c in heard[-1]] == [c.expression for c in front]


def test_several_engines_share_the_time_and_merge_their_fronts():
    one, two = Engine("x0", name="one"), Engine("x0/x1", "x0", name="two")
    front = search(X, Y, backend=[one, two], seconds=4, two={"depth": 9})
    assert (one.asked[0][1], two.asked[0][1]) == (2, 2)
    assert (one.asked[0][3], two.asked[0][3]) == (3, 9)
    assert {c.engine for c in front} >= {"two"}
    assert front.messages == ("by one", "by two")


def test_an_interrupted_engine_ends_the_search_with_what_there_is():
    one, two = Engine("x0/x1", complete=False, name="one"), Engine("x0", name="two")
    front = search(X, Y, backend=[one, two])
    assert not two.asked
    assert not front.complete
    assert front.messages[-1] == "stopped after one"
    assert str(front.candidates[-1].expression) == "x0/x1"


def test_all_leaves_out_what_is_not_installed_and_says_so(monkeypatch):
    def missing(problem, *, seconds, seed, on_front=None):
        raise ImportError("needs the moon")

    module = sys.modules["sciml.distill.search"]
    monkeypatch.setattr(module, "BACKENDS", {"moon": "here:moon", "recorder": "here:recorder"})
    monkeypatch.setitem(sys.modules, "here", type(sys)("here"))
    sys.modules["here"].moon, sys.modules["here"].recorder = missing, Engine("x0/x1")
    front = search(X, Y, backend="all")
    assert front.messages[0] == "moon left out: needs the moon"
    assert str(front.candidates[-1].expression) == "x0/x1"
    with pytest.raises(ImportError, match="needs the moon"):
        search(X, Y, backend="moon")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "structred"}, "unknown backend 'structred'; did you mean 'structured'"),
        ({"backend": "eureqa"}, "known: structured, operon, pysr, all"),
        ({"backend": []}, "one or more different backends"),
        ({"backend": ["operon", "operon"]}, "one or more different backends"),
        ({"backend": Engine("x0"), "dept": 3}, "unknown option 'dept' of recorder; did you mean 'depth'"),
        (
            {"backend": ["operon", "structured"], "depth": 3},
            "unknown option 'depth'; with several .*operon=",
        ),
        ({"backend": "structured", "population": 3}, "unknown option 'population' of structured"),
        ({"seconds": 0}, "seconds must be positive"),
        ({"seconds": float("nan")}, "seconds must be positive"),
    ],
)
def test_wrong_options_are_refused_before_any_search(options, message):
    with pytest.raises(ValueError, match=message):
        search(X, Y, **options)


def _with(value, row, column):
    bad = X.copy()
    bad[row, column] = value
    return bad


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": X[:, 0]}, r"X must be \[rows, variables\], found shape \(40,\); X\[:, None\]"),
        ({"y": Y[:-1]}, r"40 rows of X, found shape \(39,\)"),
        ({"y": X}, r"found shape \(40, 3\)"),
        ({"X": X[:9], "y": Y[:9]}, "found 9 rows; a search needs at least 10"),
        ({"X": X[:0], "y": Y[:0]}, "found 0 rows"),
        ({"X": _with(np.nan, 7, 1)}, "column 'x1' of X is nan in row 7"),
        ({"X": _with(-np.inf, slice(5, 8), 2)}, r"column 'x2' of X is -inf in row 5 \(3 such rows\)"),
        ({"y": np.where(np.arange(40) == 3, np.nan, Y)}, "y is nan in row 3"),
        ({"X": X + 0j}, "real numbers"),
        ({"X": [["a", "b"]] * 40}, "real numbers"),
        ({"X": [[1.0], [1.0, 2.0]] * 20}, "real numbers"),
        ({"names": ["a", "b"]}, "X has 3 columns, but there are 2 names: a, b"),
        ({"names": ["a", "b", "a"]}, "'a' occurs 2 times"),
        ({"names": ["a", "b", "lambda"]}, "'lambda' already has a meaning.*'lambda_'"),
        ({"names": ["a", "b", "sqrt"]}, "'sqrt' already has a meaning"),
        ({"names": ["a", "b", "m 1"]}, "'m 1' is not a word.*'m_1'"),
        ({"names": ["a", "b", ""]}, "'' is not a word"),
        ({"names": ["a", "b", "2x"]}, "'2x' is not a word.*'x_2x'"),
        ({"names": ["a", "b", 3]}, "name 3 is not a word"),
        ({"units": ["m", "s"]}, "expected 3 units"),
        ({"units": "m"}, "expected 3 units"),
        ({"units": ["m", "s", "furlongg"]}, "unit of variable x2: unknown unit"),
        ({"units": {"x0": "m", "x9": "s"}}, "no variable 'x9'"),
        ({"units": {"x0": "m"}}, "no unit for 'x1'"),
        ({"target_unit": "furlongg"}, "unit of the target"),
        ({"weights": np.ones(39)}, r"one number for each of 40 rows, found shape \(39,\)"),
        ({"weights": -np.ones(40)}, "weight -1.0 in row 0"),
        ({"weights": np.zeros(40)}, "weight 0.0 in row 0"),
        ({"weights": np.full(40, np.inf)}, "weights is inf in row 0"),
    ],
)
def test_data_that_cannot_be_searched_are_refused_by_row_and_column(arguments, message):
    with pytest.raises(ValueError, match=message):
        search(**{"X": X, "y": Y, "backend": Engine("x0"), **arguments})


@pytest.mark.parametrize("value", [0.0, 2.5, -1e-300])
def test_a_constant_target_gives_the_constant(value):
    front = search(X, np.full(40, value), backend=Engine("x0"))
    assert [float(c.expression) for c in front] == [value]
    assert front.candidates[0].loss == 0
    assert "it is a constant" in front.messages[-1]


def test_columns_without_information_are_left_out_and_named():
    table = np.column_stack([X[:, 0], np.full(40, 3.0), X[:, 0], X[:, 1]])
    engine = Engine("a/d")
    front = search(table, Y, names=list("abcd"), units=["m", "s", "m", "kg"], backend=engine)
    problem = engine.asked[0][0]
    assert problem.names == ("a", "d")
    assert problem.units == ("m", "kg")
    assert front.messages[:2] == (
        "b was left out: it is 3 in every row",
        "c was left out: it equals a, and a law cannot tell them apart",
    )


def test_with_no_variable_left_the_mean_is_the_law():
    weights = np.linspace(0, 1, 40)
    front = search(np.ones((40, 2)), Y, weights=weights, backend=Engine("x0"))
    assert float(front.best().expression) == pytest.approx(np.average(Y, weights=weights))


class Frame:
    columns = ("mass", "radius", "extra")

    def __array__(self, dtype=None, copy=None):
        return X


def test_tensors_and_frames_are_tables_too():
    tensor = torch.tensor(X, dtype=torch.float32, requires_grad=True)
    problem = as_problem(tensor, torch.tensor(Y)[:, None], names=["a", "b", "c"])
    assert problem.X.dtype == np.float64
    np.testing.assert_allclose(problem.X, X, rtol=1e-6)
    assert problem.y.shape == (40,)
    assert as_problem(Frame(), Y).names == ("mass", "radius", "extra")
    mixed = as_problem(X, Y, units={"x1": "s", "x0": "m", "x2": ""}, target_unit="m/s")
    assert mixed.units == ("m", "s", "")
    np.testing.assert_array_equal(as_problem(np.arange(40)[:, None] > 20, Y).X[:, 0], np.arange(40) > 20)


@pytest.mark.parametrize(
    "code",
    [
        "import sys, sciml.distill; assert not {'torch', 'sympy', 'scipy'} & set(sys.modules)",
        "import sciml.distill.search, sciml.distill; assert callable(sciml.distill.search)",
        "import sciml.distill as d; d.search; import sciml.distill.search; assert callable(d.search)",
        "from sciml.distill import Law, Front, Candidate, Problem, search; assert callable(search)",
        "import sciml.distill as d; assert 'search' in dir(d); assert not hasattr(d, 'serch')",
    ],
)
def test_the_package_is_light_and_its_functions_keep_their_names(code):
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_embedded_engine_finds_a_ratio():
    front = search(X, 3.5 * Y, names=["a", "b", "c"], seconds=10)
    assert front.best().loss < 1e-20
    assert front.best().expression.free_symbols == set(sympy.symbols("a b"))
