"""Laws of forces along several vectors: one table of messages for each, searched alone, fitted together."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy
import torch
from jaxtyping import Float

from sciml.distill.expression import parameters
from sciml.distill.front import Front
from sciml.distill.law import Constant, Law
from sciml.distill.pipeline import relative_errors, unit_of
from sciml.distill.record import MessageTable
from sciml.distill.reduce import LUCK, NothingLearnedError, informative, residuals_here, usual_residuals
from sciml.distill.refit import Estimate, heaviest, solve
from sciml.distill.search import search, unhurried
from sciml.distill.select import TRIAL_FRAMES, free_coefficients, judge, likeliest, simplest_unbeaten
from sciml.distill.terms import Term, total
from sciml.distill.torch_code import keyword_function
from sciml.graph import Graph
from sciml.models.interaction_network import InteractionNetwork
from sciml.nn.interaction import directions, pair_variables
from sciml.nn.message_passing import Edges
from sciml.nn.own_terms import OwnTerms, node_variables
from sciml.nn.vector_force import VectorForce

log = logging.getLogger(__name__)
MOST = 4  # formulas of each front that are tried with those of the others
SWEEPS = 2  # over the vectors, one changed at a time


@dataclass(frozen=True)
class TermFit:
    """Formulas along vectors, fitted to data together.

    Attributes:
        templates: vector to formula, the constants as symbols; vectors without a force are left out.
        constants: their estimates.
        relative_error, held_out_error: residual over acceleration, per particle, see `Refit`.
        model: the network with the formulas in its place.
    """

    templates: dict[str, sympy.Expr]
    constants: dict[str, Estimate]
    relative_error: Float[np.ndarray, "particles"]
    held_out_error: Float[np.ndarray, "particles"]
    model: InteractionNetwork = field(repr=False)
    exponents: Mapping[str, Estimate] = field(default_factory=dict)

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms, the constants as symbols."""
        return tuple(Term(template, vector) for vector, template in self.templates.items())

    @property
    def template(self) -> sympy.Expr:
        """Their sum, the vectors as symbols."""
        return total(self.terms)

    @property
    def expression(self) -> sympy.Expr:
        """The same with its numbers in."""
        return self.template.subs({name: e.value for name, e in self.constants.items()})


@dataclass(frozen=True)
class AlongVectors:
    """A law of terms and what led to it.

    Attributes:
        law: with verdict and reason.
        best: the fit that is the law.
        tried: every combination that was fitted.
        tables: vector to the messages along it.
        fronts: vector to what the search found in them; none where nothing was learned.
        network_error: held-out error of the network per particle, relative to the acceleration.
    """

    law: Law
    best: TermFit
    tried: tuple[TermFit, ...]
    tables: dict[str, MessageTable]
    fronts: dict[str, Front]
    network_error: np.ndarray


@torch.no_grad()
def record_terms(model: InteractionNetwork, graphs: Graph, held_out: Graph) -> dict[str, MessageTable]:
    """Return one table for each vector that a model has forces along, pairs first, then nodes.

    The scalar of a row is known as well as the force there (see `estimate_errors`) over the length of the
    part of the vector that the others do not span.

    Raises:
        TypeError: a model without such forces.
    """
    seen = model.hidden(graphs) if model.hidden.names else graphs
    force: Any = model.force
    own: Any = model.own_force
    tables: dict[str, MessageTable] = {}
    error = _node_errors(model, graphs, held_out)
    if not isinstance(force, VectorForce) and not isinstance(own, OwnTerms):
        raise TypeError("no forces along named vectors: take message='vectors', or name those of own_force.")
    edges, label = Edges(seen), graphs.nodes["particle"].cpu().numpy()
    receiver, sender = graphs.receiver.cpu().numpy(), graphs.sender.cpu().numpy()
    if not isinstance(force, VectorForce):
        pairs = {"r_hat": (force.scalar(edges), directions(edges))} if hasattr(force, "scalar") else {}
        scalars: dict[str, Any] = {"r_hat": force.scalar} if pairs else {}
    else:
        pairs, scalars = force.terms(edges), dict(force.scalars.items())
    both = np.minimum(error[receiver], error[sender]) if _symmetric(scalars) else error[receiver]
    ends = {"sender": label[sender], "receiver": label[receiver], "frame": graphs.edge_graph.cpu().numpy()}
    for name, table in _tables(pairs, both, ends).items():
        seen_by = scalars[name]
        tables[name] = table(pair_variables(edges, seen_by.properties, seen_by.invariants))
    if isinstance(own, OwnTerms):
        ends = {"sender": label, "receiver": label, "frame": graphs.node_graph.cpu().numpy()}
        for name, table in _tables(own.terms(seen), error, ends).items():
            scalar: Any = own.scalars[name]
            tables[name] = table(node_variables(seen.nodes, scalar.properties, scalar.invariants))
    return tables


def _tables(terms: Mapping[str, tuple], error: np.ndarray, ends: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return for each term a function that makes its table of the variables."""
    if not terms:
        return {}
    vectors = np.stack([vector.cpu().numpy() for _, vector in terms.values()], axis=-1)  # rows dim terms
    gram = np.einsum("rdk,rdl->rkl", vectors, vectors)
    inverse = np.linalg.pinv(gram, hermitian=True)
    alone = np.sqrt(np.einsum("rkk->rk", inverse))  # one over the length that is left of each

    def make(k: int, scalar: np.ndarray):
        return lambda variables: MessageTable(
            variables={name: value.cpu().numpy() for name, value in variables.items()},
            message=scalar[:, None] * vectors[:, :, k],
            direction=vectors[:, :, k],
            units={},
            target="g",
            scalar=scalar,
            error=error * alone[:, k],
            **ends,
        )

    return {name: make(k, s.cpu().numpy()) for k, (name, (s, _)) in enumerate(terms.items())}


def _symmetric(scalars: Mapping[str, Any]) -> bool:
    return bool(scalars) and all(getattr(s, "symmetric", False) for s in scalars.values())


def _node_errors(model: InteractionNetwork, graphs: Graph, held_out: Graph) -> Float[np.ndarray, "nodes"]:
    label = graphs.nodes["particle"].cpu().numpy()
    return np.maximum(residuals_here(model, graphs), LUCK * usual_residuals(model, held_out)[label])


def distill_terms(
    model: InteractionNetwork,
    train: Graph,
    held_out: Graph,
    *,
    fit: Graph | None = None,
    units: Mapping[str, str] | None = None,
    seconds: float = 60.0,
    seed: int = 0,
    relative_error: float = 0.1,
    noise: float = 0.0,
    **options: Any,
) -> AlongVectors:
    """Read a law of several terms out of a network of forces along vectors, and fit it to the data.

    Each vector's scalars are searched alone; then the likeliest formulas of all, zero among them, are
    fitted together, one vector's formula changed at a time, and chosen as in `select`.

    Args:
        model: trained, ``message="vectors"`` or with ``own_force`` along named vectors.
        train, held_out, fit, units, relative_error, noise: see `distill`.
        seconds: of all searches together, the processor's.
        seed, options: see `sciml.distill.search`.

    Raises:
        NothingLearnedError: nothing was learned along any vector.
    """
    model = model.to(train.nodes["pos"].dtype).eval()
    network_error = relative_errors(model, held_out)
    tables = record_terms(model, train, held_out)
    fronts = {}
    for name, table in tables.items():
        try:
            problem = informative(table, relative_error).problem()
        except NothingLearnedError as nothing:
            log.info("along %s: %s", name, nothing)
            continue
        own_noise = float(1.0 / np.mean(problem.weights * problem.y**2))
        fronts[name] = search(
            problem.X, problem.y, names=problem.names, weights=problem.weights, seconds=seconds / len(tables),
            seed=seed, noise=own_noise, **unhurried(options.get("backend", "structured"), options),
        )  # fmt: skip
    if not fronts:
        raise NothingLearnedError(
            "No force along any vector is known well enough. Train longer, or give more data."
        )
    chooser = _Chooser(model, _candidates(fronts, model), train if fit is None else fit, held_out)
    best, tried = chooser.choose()
    verdict, reason = judge(best, tried, float(np.median(network_error)), noise)  # type: ignore[arg-type]
    law = _law(best, tables, dict(units or {}), model, verdict, reason)
    return AlongVectors(law, best, tuple(tried), tables, fronts, network_error)


def _candidates(fronts: Mapping[str, Front], model: InteractionNetwork) -> dict[str, list[sympy.Expr]]:
    """Return for each vector its likeliest formulas, the best first, a constant and zero among them."""
    force, found = model.force, {}
    scalars = force.scalars.values() if isinstance(force, VectorForce) else [getattr(force, "scalar", None)]
    third_law = all(getattr(s, "symmetric", False) for s in scalars)
    for name, front in fronts.items():
        first = free_coefficients(min(front, key=front.length).expression)
        constant = next((c.expression for c in front if not c.expression.free_symbols), sympy.Integer(0))
        formulas = likeliest(front, MOST, third_law and name not in getattr(model.own_force, "scalars", {}))
        found[name] = list(dict.fromkeys([first, *formulas, free_coefficients(constant), sympy.Integer(0)]))
    return found


class _Chooser:
    """Combinations of one formula for each vector, fitted together and remembered."""

    def __init__(
        self,
        model: InteractionNetwork,
        candidates: dict[str, list[sympy.Expr]],
        graphs: Graph,
        held_out: Graph,
    ) -> None:
        self.model, self.candidates, self.graphs, self.held_out = model, candidates, graphs, held_out
        self.some = graphs[:: max(1, len(graphs) // TRIAL_FRAMES)]
        self.found: dict[tuple[sympy.Expr, ...], TermFit | None] = {}

    def choose(self) -> tuple[TermFit, list[TermFit]]:
        """Return the best combination, fitted to all frames, and all that were tried."""
        names = list(self.candidates)
        now = tuple(self.candidates[name][0] for name in names)
        for _ in range(SWEEPS):
            before = now
            for k, name in enumerate(names):
                rivals = [(*now[:k], e, *now[k + 1 :]) for e in self.candidates[name]]
                fits = {key: self.fit(key) for key in rivals}
                good = [f for f in fits.values() if f is not None]
                if good:
                    best = simplest_unbeaten(good)  # type: ignore[arg-type]
                    now = next(key for key, f in fits.items() if f is best)
            if now == before:
                break
        tried = [f for f in self.found.values() if f is not None]
        if not tried:
            raise ValueError("None of the found formulas could be fitted to the data.")
        final = fit_terms(self.model, dict(zip(names, now, strict=True)), self.graphs, self.held_out)
        return final, tried

    def fit(self, key: tuple[sympy.Expr, ...]) -> TermFit | None:
        """Fit a combination to some frames; None where that fails."""
        if key not in self.found:
            try:
                formulas = dict(zip(self.candidates, key, strict=True))
                self.found[key] = fit_terms(self.model, formulas, self.some, self.held_out)
            except (ValueError, ArithmeticError, RuntimeError) as error:
                log.info("could not fit %s: %s", key, error)
                self.found[key] = None
        return self.found[key]


def fit_terms(
    model: InteractionNetwork, formulas: Mapping[str, sympy.Expr], graphs: Graph, held_out: Graph
) -> TermFit:
    """Fit the constants of formulas along vectors, and hidden properties, to the accelerations in ``graphs``.

    Args:
        model: has the vectors' variables.
        formulas: vector to formula with its numbers in; those that are zero are left out.
        graphs, held_out: frames to fit, and to judge by.
    """
    templates, values = distinct({vector: formula for vector, formula in formulas.items() if formula != 0})
    terms = {name: (keyword_function(t), values[name]) for name, t in templates.items()}
    fitted = model.with_terms(terms).to(torch.float64)
    solved = solve(fitted, graphs, held_out, heaviest(fitted))
    constants = {
        name.rsplit(".", 1)[-1]: Estimate(*value[0])
        for name, value in solved.estimates.items()
        if ".constants." in name
    }
    return TermFit(templates, constants, solved.relative_error, solved.held_out_error, fitted)


def distinct(
    formulas: Mapping[str, sympy.Expr],
) -> tuple[dict[str, sympy.Expr], dict[str, dict[str, float]]]:
    """Return formulas with their numbers as symbols c0, c1, ..., no two alike, and the values of these."""
    number, templates, values = itertools.count(), {}, {}
    for key, formula in formulas.items():
        template, found = parameters(formula)
        names = {symbol: sympy.Symbol(f"c{next(number)}") for symbol in found}
        templates[key] = template.xreplace(names)
        values[key] = {names[s].name: float(v) for s, v in found.items()}
    return templates, values


def _law(
    best: TermFit,
    tables: Mapping[str, MessageTable],
    units: dict[str, str],
    model: InteractionNetwork,
    verdict: str,
    reason: str,
) -> Law:
    names: Sequence[str] = list(dict.fromkeys(name for table in tables.values() for name in table.names))
    used = {str(s) for template in best.templates.values() for s in template.free_symbols}
    return Law.of_terms(
        best.terms,
        "F" if model.update == "force_over_mass" else "a",
        {name: unit_of(name, units) for name in names if name in used},
        constants={name: Constant(e.value, e.standard_error) for name, e in best.constants.items()},
        inertia="mass" if model.update == "force_over_mass" else "",
        verdict=verdict,
        reason=reason,
        provenance={"attraction": "negative"},
    )
