"""Operon, genetic programming in C++ (Burlacu, Kronberger & Kommenda, GECCO 2020), as a search engine.

Operon works in float32 and prints numbers with fixed decimals, so it is given variables of order one; its
formulas are refitted in float64 on all rows. It knows neither weights nor units: rows are drawn with
probability proportional to their weight, and units play no part.
"""

from __future__ import annotations

import difflib
import inspect
import logging
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import sympy
from jaxtyping import Float

from sciml.distill.expression import complexity, loss, parse, refit
from sciml.distill.front import Candidate, Front, Problem
from sciml.distill.parser import Function

log = logging.getLogger(__name__)

DEFAULTS: dict[str, Any] = {
    "allowed_symbols": "add,sub,mul,div,sqrt,square,exp,log,sin,cos,constant,variable",
    "objectives": ["r2", "length"],
    "optimizer_iterations": 5,
    "population_size": 1000,
    "max_length": 30,
    "max_depth": 10,
    "epsilon": 0.0,
    "n_threads": 1,
    "uncertainty": [1.0],
}

GENERATIONS = 5  # between two looks at the clock
ROWS = 2000  # more make each evaluation slower and the formulas no better

_FUNCTIONS: dict[str, Function] = {
    "fmin": (sympy.Min, 2, 2),
    "fmax": (sympy.Max, 2, 2),
    "logabs": (lambda x: sympy.log(sympy.Abs(x)), 1, 1),
    "sqrtabs": (lambda x: sympy.sqrt(sympy.Abs(x)), 1, 1),
    "powabs": (lambda x, y: sympy.Abs(x) ** y, 2, 2),
}


def search(
    problem: Problem,
    *,
    seconds: float,
    seed: int,
    on_front: Callable[[Front], None] | None = None,
    generations: int = 300,
    rows: int = ROWS,
    **options: Any,
) -> Front:
    """Search with Operon in segments of `GENERATIONS`, until ``generations`` or the clock ends it.

    The front depends on the seed only, unless the clock ends it.

    Args:
        problem: the observations.
        seconds: time limit; a segment that has begun is cut short.
        seed: of the sample and the evolution.
        on_front: called with the front after each segment that improved it.
        generations: of the evolution, rounded up to whole segments.
        rows: most rows that the evolution sees, drawn by weight; formulas are refitted on all.
        **options: parameters of ``pyoperon.sklearn.SymbolicRegressor`` in place of `DEFAULTS`.

    Raises:
        ImportError: if pyoperon is not installed.
        ValueError: for an unknown option.
    """
    deadline = time.monotonic() + seconds
    regressor = _regressor(options)
    sample = _Sample(problem, rows, seed)
    front = Front((), rows=len(problem.y), messages=sample.messages)
    seen: set[sympy.Expr] = set()
    seeds = np.random.SeedSequence(seed).generate_state(-(-generations // GENERATIONS))
    try:
        for segment_seed in seeds:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            texts = _evolve(regressor, sample, int(segment_seed), left)
            forms = dict.fromkeys(form for text in texts for form in sample.formulas(text))
            new = [form for form in forms if form not in seen]
            seen.update(new)
            found = [_refitted(form, problem) for form in new if _promising(form, problem, front)]
            before, front = front, Front.of((*front, *found), rows=front.rows, messages=front.messages)
            if on_front is not None and front.candidates != before.candidates:
                on_front(front)
    except KeyboardInterrupt:
        message = "operon was interrupted: this is what was found until then"
        return Front.of(front, rows=front.rows, complete=False, messages=(*front.messages, message))
    return front


def _regressor(options: dict[str, Any]):
    try:
        from pyoperon.sklearn import SymbolicRegressor
    except ImportError as error:
        raise ImportError(
            f"the operon backend needs pyoperon ({error}): pip install 'sciml[operon]' "
            "(wheels for Linux x86-64 and macOS arm64), or use backend='structured'"
        ) from error
    known = [name for name in inspect.signature(SymbolicRegressor).parameters if name not in _OURS]
    for name in options:
        if name in _OURS:
            raise ValueError(f"option {name!r} of operon is set by {_OURS[name]}")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise ValueError(f"unknown option {name!r} of operon; {hint}")
    return SymbolicRegressor(**{**DEFAULTS, **options}, warm_start=True)


_OURS = {
    "max_time": "seconds",
    "max_evaluations": "generations",
    "random_state": "seed",
    "warm_start": "the search itself",
}


def _evolve(regressor, sample: _Sample, seed: int, seconds: float) -> list[str]:
    """Continue the evolution by some generations; return its Pareto front as text."""
    limits = {"generations": GENERATIONS, "max_evaluations": 2**40, "max_time": max(1, round(seconds))}
    regressor.set_params(random_state=seed, **limits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "Model contains no variables": a constant is a model
        regressor.fit(sample.X, sample.y)
        return [regressor.get_model_string(entry["tree"], 16) for entry in regressor.pareto_front_]


class _Sample:
    """The rows that Operon sees, each variable and the target in units of its size."""

    X: Float[np.ndarray, "rows variables"]
    y: Float[np.ndarray, " rows"]

    def __init__(self, problem: Problem, rows: int, seed: int):
        rng = np.random.default_rng(seed)
        total = len(problem.y)
        chosen = np.arange(total)
        self.messages: tuple[str, ...] = ()
        if problem.weights is not None:
            count = min(total, rows)
            chosen = rng.choice(total, count, p=problem.weights / problem.weights.sum())
            self.messages = (f"operon saw {count} rows, drawn by weight; all were used to refit",)
        elif total > rows:
            chosen = rng.choice(total, rows, replace=False)
            self.messages = (f"operon saw {rows} of {total} rows, drawn at random; all were used to refit",)
        X, y = problem.X[chosen], problem.y[chosen]
        sizes = [_size(column) for column in problem.X.T]
        self.y_size = _size(problem.y)
        self.X, self.y = X / sizes, y / self.y_size
        # Operon's names are X1, X2, ...
        self.variables = {
            sympy.Symbol(f"X{k + 1}"): sympy.Symbol(name) / sympy.Float(size)
            if size != 1
            else sympy.Symbol(name)
            for k, (name, size) in enumerate(zip(problem.names, sizes, strict=True))
        }

    def formulas(self, text: str) -> list[sympy.Expr]:
        """Read a formula in the user's variables, with and without the offset that Operon always fits."""
        try:
            expression = parse(text, map(str, self.variables), _FUNCTIONS)
        except ValueError as error:
            log.debug("left out: %s", error)
            return []
        offset, rest = expression.as_coeff_Add()
        forms = [expression, rest] if offset and rest else [expression]
        size = 1 if self.y_size == 1 else sympy.Float(self.y_size)
        return [form.xreplace(self.variables) * size for form in forms]


def _size(column: np.ndarray) -> float:
    """Return a power of ten near the root mean square."""
    largest = float(np.max(np.abs(column)))
    if largest == 0:
        return 1.0
    return 10.0 ** round(np.log10(largest * np.sqrt(np.mean(np.square(column / largest)))))


def _promising(expression: sympy.Expr, problem: Problem, front: Front) -> bool:
    """Say whether a formula might enter the front once it is refitted, which takes longer than to look."""
    size = complexity(expression)
    rival = min((c.loss for c in front if c.complexity <= size), default=np.inf)
    return loss(expression, problem) < 1.2 * rival + 1e-12  # Operon's float32 leaves that much


def _refitted(expression: sympy.Expr, problem: Problem) -> Candidate:
    fitted, error = refit(expression, problem)
    return Candidate(fitted, complexity(fitted), error, "operon")
