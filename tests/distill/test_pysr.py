import importlib.util
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import sympy

from sciml.distill.front import Front, Problem
from sciml.distill.pysr import PySRError, PySRUnavailable, search
from sciml.distill.pysr_front import read_front
from sciml.distill.pysr_options import safe_names

rng = np.random.default_rng(0)
X = rng.uniform(1, 3, (50, 3))
GRAVITY = Problem(X, 2.5 * X[:, 0] * X[:, 1] / X[:, 2] ** 2, ("m", "E", "r"))
m, E, r = sympy.symbols("m E r")

# as PySR 2.7 writes it, with the names that it was given
HALL = """Complexity,Loss,Equation
1,5.0721717,"1.2938"
3,1.1134871,"m / r"
5,0.40612593,"(m * E_) / r"
8,1.1e-13,"(m * (E_ * 2.4999998)) / square(r)"
10,1.0e-13,"((m * (E_ * 2.5)) / square(r)) - 1.0f-7"
"""


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Put the stand-in for PySR where the worker imports it, tell it how to end; return what it recorded."""

    def arrange(hall=HALL, end="well", backup=None):
        files = {"hall_of_fame.csv": hall} if hall is not None else {}
        if backup is not None:
            files["hall_of_fame.csv.bak"] = backup
        told = {"record": str(tmp_path / "record.json"), "hall": files, "end": end}
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "fake_pysr"))
        monkeypatch.setenv("FAKE_PYSR", json.dumps(told))
        return lambda: json.loads((tmp_path / "record.json").read_text())

    return arrange


def run(problem=GRAVITY, seconds=30, seed=3, **options):
    return search(problem, seconds=seconds, seed=seed, **options)


def ended(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # a zombie has ended too
    return Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


def test_the_front_is_read_refitted_and_in_the_names_of_the_user(fake):
    fake()
    front = run()
    assert front.complete
    assert front.messages == ()
    best = front.best()
    assert best.expression.free_symbols == {m, E, r}
    assert best.loss < 1e-28
    assert float(best.expression.subs({m: 1, E: 1, r: 1})) == pytest.approx(2.5, rel=1e-12)
    assert best.engine == "pysr"
    assert E * m / r in [c.expression for c in front]


def test_what_pysr_is_called_with(fake):
    record = fake()
    weights = np.linspace(1, 2, 50)
    problem = Problem(
        X, GRAVITY.y, GRAVITY.names, weights, units=("solar_mass", "kg", "AU"), target_unit="kg**2/m**2"
    )
    run(problem, niterations=7, constraints={"^": (-1, 1)}, nested_constraints={"exp": {"exp": 0}})
    called = record()
    options, fit = called["options"], called["fit"]
    assert options["niterations"] == 7
    assert options["constraints"] == {"^": ["tuple", -1, 1]}
    assert options["nested_constraints"] == {"exp": {"exp": 0}}
    assert (options["random_state"], options["timeout_in_seconds"]) == (3, 30)
    assert (options["deterministic"], options["parallelism"]) == (True, "serial")
    assert options["binary_operators"] == ["+", "-", "*", "/"]
    assert fit["variable_names"] == ["m", "E_", "r"]
    assert fit["X_units"] == ["kg^(1//1)", "kg^(1//1)", "m^(1//1)"]
    assert fit["y_units"] == "kg^(2//1)*m^(-2//1)"
    assert called["shapes"] == [[50, 3], [50]]
    assert called["first"] == [X[0].tolist(), GRAVITY.y[0]]
    assert called["weights"] == weights.tolist()
    assert called["modules"] == []  # Julia must be the first to load its libraries


def test_parallel_runs_clusters_and_arity_maps_are_passed_through(fake):
    record = fake()
    run(
        parallelism="multiprocessing", procs=8, cluster_manager="slurm", operators={1: ["exp"], 2: ["+", "*"]}
    )
    options = record()["options"]
    assert (options["cluster_manager"], options["procs"], options["parallelism"]) == (
        "slurm",
        8,
        "multiprocessing",
    )
    assert "deterministic" not in options
    assert "binary_operators" not in options
    assert options["operators"] == {"1": ["exp"], "2": ["+", "*"]}


def test_units_of_the_users_own_choice_go_through(fake):
    record = fake()
    run(X_units=["Constants.M_sun", "", "m"], y_units="kg")
    assert record()["fit"]["X_units"] == ["Constants.M_sun", "", "m"]


def test_operators_of_the_users_own_are_read_by_their_mapping(fake):
    record = fake(hall='Complexity,Loss,Equation\n5,1.0,"gauss(m) * r"\n')
    front = run(
        unary_operators=["gauss(x) = exp(-x^2)"], extra_sympy_mappings={"gauss": lambda x: sympy.exp(-(x**2))}
    )
    assert [c.expression for c in front] == [r * sympy.exp(-(m**2))]
    assert list(record()["options"]["extra_sympy_mappings"]) == ["gauss"]


TEMPLATE = {
    "combine": "p[1] * f(a * c) + p[2] * g(b, c)^2",
    "expressions": ["f", "g"],
    "variable_names": ["a", "b", "c"],
    "parameters": {"p": 2},
}
FILLED = 'Complexity,Loss,Equation\n9,1.0,"f = #1 * 2.0; g = (#1 + #2) / 4.0; p = [0.5, -1.5]"\n'


def test_templates_are_passed_and_read(fake):
    record = fake(hall=FILLED)
    problem = Problem(X, GRAVITY.y, GRAVITY.names, units=("", "", ""), target_unit="")
    front = run(problem, expression_spec=TEMPLATE)
    called = record()
    assert called["options"]["expression_spec"] == TEMPLATE
    assert "X_units" not in called["fit"]  # PySR's templates know no units
    assert front.messages == ()
    assert len(front) == 1


def test_templates_are_filled_with_their_parts(tmp_path):
    path = tmp_path / "hall_of_fame.csv"
    path.write_text(FILLED + FILLED.splitlines()[1].replace("#2", "#3") + "\n")
    formulas, troubles = read_front(path, {"m": "m", "E_": "E", "r": "r"}, None, TEMPLATE)
    assert sympy.expand(formulas[0] - (1.0 * m * r - 1.5 * ((E + r) / 4.0) ** 2)) == 0
    assert troubles == ["(#1 + #3) / 4.0 takes 3 arguments, found 2"]


@pytest.mark.parametrize(
    ("hall", "backup", "count", "message"),
    [
        (HALL[:60], HALL, 5, None),  # the file is being rewritten
        (None, HALL, 5, None),
        (HALL[: HALL.index("8,1.1")] + '8,1.0,"(m * E_', None, 3, None),  # cut in a row, with no backup
        (HALL + "11,1.0,\"__import__('os').system('true')\"\n", None, 5, "1 of pysr's formulas left out"),
        (HALL + '11,1.0,"gamma(r)"\n12,1.0,"NaN * r"\n', None, 5, "2 of pysr's formulas left out; .*'gamma'"),
        (HALL + "not,a,row,at all\n\x00\n", None, 5, "unknown name 'row'"),
    ],
)
def test_damaged_and_hostile_halls_of_fame(fake, hall, backup, count, message):
    fake(hall=hall, backup=backup)
    front = run()
    found = len(front)
    assert 2 <= found <= count
    assert front.candidates[0].complexity == 1
    if message is None:
        assert front.messages == ()
    else:
        assert pytest.importorskip("re").search(message, front.messages[0])


def test_a_search_that_does_not_end_is_ended_and_its_front_kept(fake):
    record = fake(end="hang")
    front = run(seconds=0.5, grace=0.5)
    assert not front.complete
    assert "was killed after 1 s; this is what it had found until then" in front.messages[0]
    assert front.best().loss < 1e-28
    assert ended(record()["pid"])


def test_a_search_deaf_to_signals_is_killed(fake, monkeypatch):
    record = fake(end="deaf")
    monkeypatch.setattr("sciml.distill.pysr.PATIENCE", 0.2)
    front = run(seconds=0.2, grace=0.2)
    assert not front.complete
    assert ended(record()["pid"])


def test_a_crash_keeps_what_was_found(fake):
    fake(end="crash")
    front = run()
    assert not front.complete
    assert "SIGSEGV: Please submit a bug report | signal (11)" in front.messages[0]
    assert front.best().loss < 1e-28


def test_a_crash_with_nothing_found_is_an_error(fake):
    fake(hall=None, end="crash")
    with pytest.raises(PySRError, match=r"failed with SIGSEGV: .*signal \(11\)"):
        run()


def test_what_pysr_refuses_is_told_in_its_words(fake):
    fake(hall=None, end="refuse")
    with pytest.raises(PySRError, match="exit status 1: ValueError: maxsize must be at least 7"):
        run(maxsize=3)


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (
            "no network",
            "URLError: .*Name or service not known(.|\n)*import pysr(.|\n)*PYTHON_JULIAPKG_OFFLINE",
        ),
        ("crash at start", "SIGSEGV: signal(.|\n)*backend='structured'"),
        ("hang at start", "had not started Julia after 0.5 s"),
    ],
)
def test_a_julia_that_does_not_start_is_explained(fake, end, message):
    fake(hall=None, end=end)
    with pytest.raises(PySRUnavailable, match=message):
        run(startup=0.5 if end == "hang at start" else 60)


def test_without_pysr_the_error_says_how_to_install_it(monkeypatch, tmp_path):
    (tmp_path / "pysr.py").write_text("raise ModuleNotFoundError(\"No module named 'pysr'\")")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(PySRUnavailable, match="pip install pysr"):
        run()


def test_ctrl_c_ends_the_process_and_returns_the_front(fake):
    record = fake(end="hang")

    def interrupt(front: Front):
        if len(front) > 1:
            raise KeyboardInterrupt

    front = run(on_front=interrupt)
    assert not front.complete
    assert "was interrupted" in front.messages[0]
    assert front.best().loss < 1e-28
    assert ended(record()["pid"])


def test_on_front_hears_of_the_formulas_while_the_search_runs(fake):
    fake(end="hang")
    heard = []
    run(seconds=1, grace=0.5, on_front=heard.append)
    assert [len(front) for front in heard] == [0, 5] or len(heard[-1]) == 5


def test_files_are_kept_where_they_are_asked_for(fake, tmp_path):
    fake()
    run(output_directory=tmp_path / "kept", run_id="one")
    assert (tmp_path / "kept" / "one" / "hall_of_fame.csv").read_text() == HALL
    with pytest.raises(ValueError, match="holds an earlier search; choose another run_id"):
        run(output_directory=tmp_path / "kept", run_id="one")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population": 3}, "unknown option 'population' of pysr; did you mean 'populations'"),
        ({"loss": "L2"}, "did you mean 'elementwise_loss'"),
        ({"multithreading": True}, "did you mean 'parallelism'"),
        ({"zzz": 1}, "see PySRRegressor's documentation"),
        ({"random_state": 1}, "set by seed"),
        ({"timeout_in_seconds": 1}, "set by seconds"),
        ({"warm_start": True}, "set by guesses"),
        ({"expression_spec": "f(x)"}, "expression_spec is a dictionary"),
        ({"expression_spec": {"combine": "f(x)"}}, "expressions, variable_names missing"),
        ({"expression_spec": {"combine": 3}}, "'combine' is unknown or cannot be 3"),
        ({"logger_spec": object()}, "'logger_spec' of pysr goes to another process"),
    ],
)
def test_wrong_options_are_refused_before_julia_starts(options, message):
    with pytest.raises(ValueError, match=message):
        run(**options)


def test_the_known_parameters_are_those_of_the_installed_pysr():
    import ast

    from sciml.distill.pysr_options import _SET_BY, PARAMETERS

    spec = importlib.util.find_spec("pysr")
    if spec is None or "fake_pysr" in str(spec.origin):
        pytest.skip("PySR is not installed")
    tree = ast.parse(Path(spec.origin).with_name("sr.py").read_text())
    regressor = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "PySRRegressor")
    init = next(n for n in regressor.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    names = {argument.arg for argument in (*init.args.args, *init.args.kwonlyargs)} - {"self"}
    assert set(PARAMETERS) <= names
    left_out = names - set(PARAMETERS) - set(_SET_BY)
    assert left_out == {
        "output_jax_format", "output_torch_format", "extra_torch_mappings", "extra_jax_mappings"
    }  # fmt: skip


def test_names_that_pysr_refuses_are_replaced_and_stay_different():
    names = ("r", "E", "E_", "gamma", "µ", "div", "x4")
    theirs = safe_names(names)
    assert tuple(theirs.values()) == names
    assert len(theirs) == len(names)
    assert all(name.isascii() and not hasattr(sympy, name) for name in theirs)
    assert next(iter(theirs)) == "r"


@pytest.mark.julia
def test_a_real_search():
    if shutil.which("julia") is None and not os.environ.get("PYTHON_JULIAPKG_EXE"):
        pytest.skip("Julia is missing: no julia on PATH, and PYTHON_JULIAPKG_EXE is not set")
    begun = time.monotonic()
    front = search(GRAVITY, seconds=60, seed=0, niterations=20)
    assert front.best().loss < 1e-20
    assert time.monotonic() - begun < 60 + 660
