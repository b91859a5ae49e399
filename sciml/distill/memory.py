"""From a network that remembers to two laws: of the force, and of how the memory changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy
import torch

from sciml.distill.along import TermFit, distinct
from sciml.distill.front import Front
from sciml.distill.law import Constant, Law
from sciml.distill.pipeline import relative_errors
from sciml.distill.record import record
from sciml.distill.reduce import estimate_errors, informative, reduce
from sciml.distill.refit import Estimate, solve
from sciml.distill.search import search, unhurried
from sciml.distill.select import free_coefficients, judge, likeliest, simplest_unbeaten
from sciml.distill.torch_code import keyword_function
from sciml.graph import Graph
from sciml.models.memory_network import MEMORY, MemoryNetwork
from sciml.nn.own_terms import node_variables

MOST = 3  # formulas of each front that are tried with those of the other
SOME = 20  # simulations that every pair of formulas is fitted to


@dataclass(frozen=True)
class Remembered:
    """What a network that remembers came down to.

    Attributes:
        force: the law of the pair force; the memories of the two are ``memory_i`` and ``memory_j``.
        rate: the law of ds/dt of a particle, in ``memory_i`` and what else it reads.
        tried: every pair of formulas that was fitted.
        fronts: what the two searches found.
        network_error: held-out error of the network per particle, relative to the acceleration.
    """

    force: Law
    rate: Law
    tried: tuple[TermFit, ...]
    fronts: dict[str, Front]
    network_error: np.ndarray


def distill_memory(
    model: MemoryNetwork,
    train: Graph,
    held_out: Graph,
    *,
    seconds: float = 60.0,
    seed: int = 0,
    relative_error: float = 0.1,
    noise: float = 0.0,
    **options: Any,
) -> Remembered:
    """Read the laws of force and of memory out of a trained network, and fit them to the motion together.

    Args:
        model: trained, with messages along the line of centres.
        train, held_out: simulations, see `sciml.training.memory.memory_data`.
        seconds: of both searches together, the processor's.
        seed, options: see `sciml.distill.search`.
        relative_error, noise: see `distill`.

    Raises:
        NothingLearnedError: no message is known well enough.
    """
    model = model.to(train.nodes["pos"].dtype).eval()
    with torch.no_grad():
        seen, later = model.remember(train), model.remember(held_out)
    inner = model.interaction
    table = informative(estimate_errors(reduce(record(inner, seen)), inner, later, seen), relative_error)
    problem = table.problem()
    options = unhurried(options.get("backend", "structured"), options) | {
        "seconds": seconds / 2,
        "seed": seed,
    }
    known = float(1.0 / np.mean(problem.weights * problem.y**2))
    fronts = {
        "force": search(problem.X, problem.y, problem.names, weights=problem.weights, noise=known, **options),
        "rate": search(*_rate_table(model, seen), **options),
    }
    third_law = bool(getattr(getattr(inner.force, "scalar", None), "symmetric", False))
    forces = [free_coefficients(min(fronts["force"], key=fronts["force"].length).expression)]
    forces += likeliest(fronts["force"], MOST, third_law)
    constant = next((c.expression for c in fronts["rate"] if not c.expression.free_symbols), sympy.Integer(0))
    rates = [*likeliest(fronts["rate"], MOST, False), free_coefficients(constant)]
    some = train[:: max(1, len(train) // SOME)]
    tried = [fit_memory(model, forces[0], rate, some, held_out) for rate in dict.fromkeys(rates)]
    now: Any = simplest_unbeaten(tried)  # type: ignore[arg-type]
    rate = dict(zip(map(id, tried), dict.fromkeys(rates)))[id(now)]
    others = [force for force in dict.fromkeys(forces) if force != forces[0]]
    tried += [fit_memory(model, force, rate, some, held_out) for force in others]
    best: Any = simplest_unbeaten(tried)  # type: ignore[arg-type]
    error = relative_errors(model, held_out)  # type: ignore[arg-type]
    verdict = judge(best, tried, float(np.median(error)), noise)  # type: ignore[arg-type]
    return Remembered(
        _law(best, "force", "F" if model.update == "force_over_mass" else "a", table.names, verdict),
        _law(best, "rate", f"{MEMORY}_rate", tuple(_rate_table(model, seen)[2]), verdict),
        tuple(tried),
        fronts,
        error,
    )


@torch.no_grad()
def _rate_table(model: MemoryNetwork, seen: Graph) -> tuple[np.ndarray, np.ndarray, list[str]]:
    variables = node_variables(seen.nodes, model.rate.properties, model.rate.invariants)
    columns = np.stack([value.cpu().numpy() for value in variables.values()], axis=1)
    return columns, model.rate(seen).cpu().numpy(), list(variables)


def fit_memory(
    model: MemoryNetwork, force: sympy.Expr, rate: sympy.Expr, graphs: Graph, held_out: Graph
) -> TermFit:
    """Fit the constants of a formula of the force and one of the rate to the accelerations together.

    Args:
        model: has the variables of both.
        force, rate: formulas with their numbers in.
        graphs, held_out: simulations to fit, and to judge by.
    """
    templates, values = distinct({"force": force, "rate": rate})
    function = {name: (keyword_function(t), values[name]) for name, t in templates.items()}
    fitted = model.with_formulas(function["force"], function["rate"]).to(torch.float64)
    solved = solve(fitted, graphs, held_out, 0)  # type: ignore[arg-type]
    constants = {
        name.rsplit(".", 1)[-1]: Estimate(*value[0])
        for name, value in solved.estimates.items()
        if ".constants." in name
    }
    return _MemoryFit(templates, constants, solved.relative_error, solved.held_out_error, fitted)  # type: ignore[arg-type]


class _MemoryFit(TermFit):
    """Two formulas that are told apart by a mark in place of a vector."""

    @property
    def template(self) -> sympy.Expr:
        return sympy.Add(*(t * sympy.Symbol(f"[{name}]") for name, t in self.templates.items()))


def _law(best: TermFit, which: str, target: str, names: tuple[str, ...], verdict: tuple[str, str]) -> Law:
    template = best.templates[which]
    used = {str(symbol) for symbol in template.free_symbols}
    constants: Mapping[str, Constant] = {
        name: Constant(e.value, e.standard_error) for name, e in best.constants.items() if name in used
    }
    return Law(
        template, target, dict.fromkeys(names, ""), constants=constants, verdict=verdict[0],
        reason=verdict[1], provenance={"attraction": "negative"},
    )  # fmt: skip
