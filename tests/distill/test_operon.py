import sys

import numpy as np
import pytest
import sympy

from sciml.distill.expression import evaluate
from sciml.distill.front import Problem
from sciml.distill.operon import _Sample, search

SMALL = {"population_size": 200, "seconds": 60, "seed": 0, "allowed_symbols": "add,mul,div,constant,variable"}
rng = np.random.default_rng(1)
X = rng.uniform(1, 3, (200, 3)) * [1e24, 1e-3, 1.0]


def problem(law, **options):
    return Problem(X, law(*X.T), ("m", "r", "extra"), **options)


@pytest.fixture(autouse=True)
def _installed(request):
    if "without" not in request.node.name:
        pytest.importorskip("pyoperon")


def test_a_law_of_any_size_is_found_and_refitted_to_rounding():
    found = search(problem(lambda m, r, _: 6.67e-11 * m / r), generations=10, **SMALL)
    best = found.best()
    assert best.loss < 1e-25
    assert best.expression.free_symbols == set(sympy.symbols("m r"))
    far = {"m": np.array([1e20, 1e30]), "r": np.array([1.0, 5.0]), "extra": np.zeros(2)}
    np.testing.assert_allclose(evaluate(best.expression, far), 6.67e-11 * far["m"] / far["r"], rtol=1e-9)
    assert best.engine == "operon"
    assert found.complete


def test_the_front_depends_on_the_seed_only():
    noisy = problem(lambda m, r, e: m * r + 1e21 * e + 1e20 * rng.normal(size=200))
    small = {**SMALL, "population_size": 50, "max_length": 12}
    runs = [search(noisy, generations=10, **{**small, "seed": seed}) for seed in (3, 3, 4)]
    texts = [[(str(c.expression), c.complexity, c.loss) for c in run] for run in runs]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_weights_decide_which_rows_count():
    y = np.where(np.arange(200) < 100, X[:, 0] * X[:, 1], 7e21 * X[:, 2])
    weights = np.where(np.arange(200) < 100, 1.0, 1e-20)
    front = search(Problem(X, y, ("m", "r", "extra"), weights=weights), generations=10, **SMALL)
    ratio = front.best().expression / (sympy.Symbol("m") * sympy.Symbol("r"))
    assert float(ratio) == pytest.approx(1.0)
    assert "drawn by weight" in front.messages[0]


def test_large_tables_are_sampled_and_it_is_said():
    front = search(problem(lambda m, r, _: m / r), generations=5, rows=50, **SMALL)
    assert front.messages == ("operon saw 50 of 200 rows, drawn at random; all were used to refit",)
    assert front.rows == 200


def test_the_clock_ends_between_segments():
    heard = []
    options = {**SMALL, "seconds": 1e-3}
    assert len(search(problem(lambda m, r, _: m / r), on_front=heard.append, **options)) <= 10
    assert not heard or len(heard) == 1


def test_ctrl_c_returns_what_was_found():
    def interrupt(front):
        raise KeyboardInterrupt

    front = search(problem(lambda m, r, _: m / r), generations=20, on_front=interrupt, **SMALL)
    assert not front.complete
    assert len(front) > 0
    assert "interrupted" in front.messages[-1]


def test_operon_strings_are_read_with_and_without_their_offset():
    sample = _Sample(problem(lambda m, r, _: m / r), 100, 0)
    m, r = sympy.symbols("m r")
    forms = sample.formulas("(0.5000000000000000 + ((-2.0) * (powabs(X1, 2) / logabs(X2))))")
    values = {"m": np.array([2e24]), "r": np.array([3e-3])}
    scaled = -2.0 * 2.0**2 / np.log(3.0)
    y_size = sample.y_size
    # sizes are powers of ten near the root mean square of each column
    sizes = [float(1 / s.xreplace({m: 1, r: 1, sympy.Symbol("extra"): 1})) for s in sample.variables.values()]
    x1, x2 = values["m"] / sizes[0], values["r"] / sizes[1]
    scaled = -2.0 * x1**2 / np.log(x2)
    np.testing.assert_allclose(evaluate(forms[0], values), y_size * (0.5 + scaled))
    np.testing.assert_allclose(evaluate(forms[1], values), y_size * scaled)
    assert sample.formulas("unheard_of(X1)") == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population": 10}, "unknown option 'population' of operon; did you mean 'population_size'"),
        ({"random_state": 3}, "option 'random_state' of operon is set by seed"),
        ({"max_time": 3}, "is set by seconds"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        search(problem(lambda m, r, _: m / r), seconds=1, seed=0, **options)


def test_without_pyoperon_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyoperon", None)
    monkeypatch.setitem(sys.modules, "pyoperon.sklearn", None)
    with pytest.raises(ImportError, match=r"pip install 'sciml\[operon\]'.*backend='structured'"):
        search(problem(lambda m, r, _: m / r), seconds=1, seed=0)
