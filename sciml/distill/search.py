"""Search for formulas: check the data, choose the engines, merge what they find."""

from __future__ import annotations

import difflib
import importlib
import inspect
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy

from sciml.distill.expression import complexity, loss
from sciml.distill.front import Backend, Candidate, Front, Problem
from sciml.distill.problem import as_problem, informative

log = logging.getLogger(__name__)

# a new engine is one line: "module:function", imported when it is chosen
BACKENDS = {
    "structured": "sciml.distill.structured:search",
    "operon": "sciml.distill.operon:search",
    "pysr": "sciml.distill.pysr:search",
}


def search(
    X: Any,
    y: Any,
    names: Sequence[str] | None = None,
    units: Sequence[str] | Mapping[str, str] | None = None,
    target_unit: str | None = None,
    weights: Any = None,
    *,
    backend: str | Backend | Sequence[str | Backend] = "structured",
    seconds: float = 30.0,
    seed: int = 0,
    noise: float = 0.0,
    model: Callable[[Any], Any] | None = None,
    on_front: Callable[[Front], None] | None = None,
    **options: Any,
) -> Front:
    """Search for formulas ``y = f(X)``.

    Args:
        X: [rows, variables], an array, a tensor or a data frame (whose columns give the names).
        y: [rows], the target.
        names: names of the variables; x0, x1, ... if not given.
        units: unit of each variable (in order or by name), or None if unknown.
        target_unit: unit of the target.
        weights: [rows], inverse variances of the target up to a common factor.
        backend: an engine of `BACKENDS`, a function with the signature of `Backend`, several of them,
            which share the time, or "all" for those that are installed.
        seconds: time limit in total.
        seed: the result is the same for the same seed if the time limit does not end the search.
        noise: loss that the errors of the target alone would give (mean square error over mean square,
            both weighted), if it is known: formulas gain nothing by falling below it.
        model: a function of X that was fitted to y, such as the network that is distilled: a torch module, or
            anything that takes an array of rows. The structured engine reads symmetries and separate parts
            from its derivatives instead of from the data.
        on_front: called with the front so far whenever it has improved.
        **options: for the engine; with several engines, a dictionary of options by engine:
            ``operon={"population_size": 500}``.

    Returns:
        The Pareto front of the formulas found, simplest first. Ctrl-C ends the search and returns what
        was found until then, with ``complete=False``.

    Raises:
        ValueError: for data that cannot be searched, naming row and column, or an unknown engine or option.
        ImportError: if the engine is not installed, saying how to install it.
    """
    engines = _engines(backend)
    options_of = _options(engines, options)
    if not seconds > 0:
        raise ValueError(f"seconds must be positive, found {seconds}")
    checked = replace(as_problem(X, y, names, units, target_unit, weights), noise=noise, model=model)
    problem, messages = informative(checked)
    front = Front.of([_constant(problem)], rows=len(problem.y), messages=tuple(messages), noise=noise)
    if np.ptp(problem.y) == 0 or not problem.names:
        return replace(front, messages=(*front.messages, "no variable changes the target: it is a constant"))

    deadline = time.monotonic() + seconds
    for count, engine in enumerate(engines):
        start = front
        share = max(deadline - time.monotonic(), 0.1) / (len(engines) - count)

        def tell(found: Front, start: Front = start) -> None:
            if on_front is not None:
                on_front(start.merge(found))

        try:
            found = engine.load()(problem, seconds=share, seed=seed, on_front=tell, **options_of[engine.name])
        except ImportError as error:
            if backend != "all":
                raise
            found = Front((), rows=front.rows, messages=(f"{engine.name} left out: {error}",))
            log.info("%s left out: %s", engine.name, error)
        front = front.merge(found)
        if not found.complete and engine is not engines[-1]:
            return replace(front, messages=(*front.messages, f"stopped after {engine.name}"))
    return front


def unhurried(backend: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with the processor's time for the clock, where the engine has one to set.

    On a busy machine the wall clock would end a search sooner, with another result.
    """
    return {"clock": time.process_time, **options} if backend == "structured" else dict(options)


@dataclass(frozen=True)
class _Engine:
    name: str
    function: Backend | None = None

    def load(self) -> Backend:
        if self.function is not None:
            return self.function
        module, _, function = BACKENDS[self.name].partition(":")
        return getattr(importlib.import_module(module), function)


def _engines(backend: str | Backend | Sequence[str | Backend]) -> list[_Engine]:
    if backend == "all":
        return [_Engine(name) for name in BACKENDS]
    chosen = backend if isinstance(backend, Sequence) and not isinstance(backend, str) else [backend]
    engines = []
    for one in chosen:
        if callable(one):
            engines.append(_Engine(getattr(one, "__name__", "engine"), one))
        elif one in BACKENDS:
            engines.append(_Engine(one))
        else:
            raise ValueError(f"unknown backend {one!r}{_near(str(one), [*BACKENDS, 'all'])}")
    if not engines or len({engine.name for engine in engines}) < len(engines):
        raise ValueError(f"expected one or more different backends, found {backend!r}")
    return engines


def _options(engines: list[_Engine], options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Assign options to engines, and refuse those that an engine does not take."""
    if len(engines) == 1:
        chosen = {engines[0].name: options}
    else:
        names = [engine.name for engine in engines]
        for key, value in options.items():
            if key not in names or not isinstance(value, Mapping):
                raise ValueError(
                    f"unknown option {key!r}; with several backends, give {names[0]}={{{key!r}: ...}}"
                )
        chosen = {name: dict(options.get(name, {})) for name in names}
    for engine in engines:
        if not chosen[engine.name]:
            continue
        known = inspect.signature(engine.load()).parameters
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
            continue  # the engine checks its own
        for key in chosen[engine.name]:
            if key not in known:
                raise ValueError(f"unknown option {key!r} of {engine.name}{_near(key, list(known)[1:])}")
    return chosen


def _near(name: str, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"


def _constant(problem: Problem) -> Candidate:
    """Return the simplest law: the mean of the target."""
    first = problem.y[0]
    mean = first if np.ptp(problem.y) == 0 else np.average(problem.y, weights=problem.weights)
    formula = sympy.Float(mean) if mean else sympy.Integer(0)
    return Candidate(formula, complexity(formula), loss(formula, problem), "constant")
