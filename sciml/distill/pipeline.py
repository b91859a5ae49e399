"""The whole chain in one call: record → reduce → search → select → refit → Law."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sciml.distill.front import Front
from sciml.distill.law import Constant, Exponent, Law
from sciml.distill.potential import search_potential
from sciml.distill.record import MessageTable, record
from sciml.distill.reduce import estimate_errors, informative, reduce
from sciml.distill.refit import Estimate
from sciml.distill.search import search, unhurried
from sciml.distill.select import Choice, select
from sciml.graph import Graph
from sciml.models.interaction_network import InteractionNetwork
from sciml.nn.interaction import SYMBOLS
from sciml.nn.vector_force import VectorForce
from sciml.training.losses import mean_square, particle_labels
from sciml.units import UnitError, constant_units

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Distillation:
    """A law and all that led to it.

    Attributes:
        law: the result, with verdict and reason.
        choice: every formula that was fitted to the data.
        front: what the search found in the messages.
        messages: all messages, reduced, with errors.
        searched: those that the search saw.
        particles: names of the particles.
        hidden: property to estimate per particle, relative to the reference particle.
        reference: name of the particle whose hidden properties are one.
        network_error: held-out error of the network per particle, relative to the acceleration.
        seconds: time by stage.
    """

    law: Law
    choice: Choice
    front: Front
    messages: MessageTable
    searched: MessageTable
    particles: tuple[str, ...]
    hidden: dict[str, dict[str, Estimate]]
    reference: str
    network_error: np.ndarray
    seconds: dict[str, float] = field(default_factory=dict)


def distill(
    model: InteractionNetwork,
    train: Graph,
    held_out: Graph,
    *,
    fit: Graph | None = None,
    particles: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    backend: str | Sequence[str] = "structured",
    seconds: float = 30.0,
    seed: int = 0,
    relative_error: float = 0.1,
    noise: float = 0.0,
    by_potential: bool = False,
    front: Front | None = None,
    on_front: Callable[[Front], None] | None = None,
    **options: Any,
) -> Distillation:
    """Read a law out of a trained interaction network and fit it to the data.

    Args:
        model: trained; predicts ``acceleration``.
        train: frames whose messages are searched.
        held_out: later frames, by which messages and formulas are judged.
        fit: frames to which formulas are fitted; ``train`` if None. More than the network needed.
        particles: names; numbers if None.
        units: of ``position``, ``time`` and given properties.
        backend, seconds, seed, on_front, options: see `sciml.distill.search`; the seconds of the structured
            engine are the processor's.
        relative_error: messages known worse than this are not searched.
        noise: relative error of the accelerations, where known.
        by_potential: search for the potential instead of the force (models with ``message="potential"``);
            the law is still that of the force.
        front: an earlier front to choose from instead of searching.

    Raises:
        TypeError: forces along several vectors, see `sciml.distill.distill_terms`.
    """
    if isinstance(model.force, VectorForce):
        raise TypeError("forces along several vectors are a law of terms: use sciml.distill.distill_terms.")
    model = model.to(train.nodes["pos"].dtype).eval()
    seconds_of: dict[str, float] = {}
    with _timed("record", seconds_of):
        messages = estimate_errors(reduce(record(model, train)), model, held_out, train)
        searched = informative(messages, relative_error)
        network_error = relative_errors(model, held_out)
    log.info("%d of %d messages are known to better than %g", len(searched), len(messages), relative_error)
    if front is None:
        with _timed("search", seconds_of):
            problem = searched.problem()
            # The messages' own errors are known: a formula need not explain more than they allow.
            known = float(1.0 / np.mean(problem.weights * problem.y**2))
            options = unhurried(backend, options)
            options |= {"backend": backend, "seconds": seconds, "seed": seed, "on_front": on_front}
            if by_potential:
                front = search_potential(searched, problem, noise=known, **options)
            else:
                X, y, names, weights = problem.X, problem.y, problem.names, problem.weights
                front = search(X, y, names=names, weights=weights, noise=known, **options)
    if on_front is not None:
        on_front(front)
    with _timed("refit", seconds_of):
        choice = select(
            front,
            model,
            train if fit is None else fit,
            held_out,
            network_error=float(np.median(network_error)),
            noise=noise,
        )
    count = len(choice.best.relative_error)
    names = tuple(particles) if particles else tuple(str(i) for i in range(count))
    hidden = {
        name: dict(zip(names, estimates, strict=True)) for name, estimates in choice.best.hidden.items()
    }
    law = _law(choice, searched, names, dict(units or {}), model)
    return Distillation(
        law,
        choice,
        front,
        messages,
        searched,
        names,
        hidden,
        names[choice.best.reference],
        network_error,
        seconds_of,
    )


def _law(
    choice: Choice,
    table: MessageTable,
    names: tuple[str, ...],
    units: dict[str, str],
    model: InteractionNetwork,
) -> Law:
    variables = {name: unit_of(name, units) for name in table.names}
    length, duration = units.get("position", ""), units.get("time", "")
    target_unit = f"{length}/{duration}**2" if length and duration else ""
    mass_unit = units.get("mass", "")
    if mass_unit and target_unit and model.update == "force_over_mass":
        target_unit = f"{mass_unit}*{target_unit}"
    best = choice.best
    constant_unit = {}
    if target_unit:
        try:
            constant_unit = constant_units(best.template, variables, target_unit)
        except UnitError as error:
            log.warning("the law's units do not close: %s", error)
    return Law(
        expression=best.template,
        target=table.target,
        variables=variables,
        target_unit=target_unit,
        constants={
            name: Constant(e.value, e.standard_error, constant_unit.get(name, ""))
            for name, e in best.constants.items()
        },
        verdict=choice.verdict,
        reason=choice.reason,
        exponents=_exponents(choice),
        provenance={"reference": names[best.reference], "attraction": "negative"},
    )


def _exponents(choice: Choice) -> dict[str, Exponent]:
    if choice.released is None:
        return {}
    powers = choice.best.expression.as_powers_dict()
    snapped = {str(base): float(power) for base, power in powers.items() if base.is_Symbol}
    return {
        name: Exponent(e.value, e.standard_error, snapped.get(name, e.value))
        for name, e in choice.released.exponents.items()
    }


def unit_of(variable: str, units: Mapping[str, str]) -> str:
    """Return the unit of a variable of pairs or nodes by the units of fields; "" where unknown."""
    if variable == "r":
        return units.get("position", "")
    symbol = variable[:-2] if variable.endswith(("_i", "_j")) else variable
    names = {symbol: name for name, symbol in SYMBOLS.items()}
    return units.get(names.get(symbol, symbol), "")


def relative_errors(model: InteractionNetwork, graph: Graph) -> np.ndarray:
    """Return the error of the accelerations of each particle over their size, both root mean squares."""
    label = particle_labels(graph)
    count = int(label.max()) + 1
    target = graph.nodes["acceleration"]
    error = mean_square((model(graph).nodes["acceleration"] - target).detach(), label, count)
    return (error / mean_square(target, label, count).clamp(min=1e-300)).sqrt().cpu().numpy()


@contextmanager
def _timed(name: str, seconds: dict[str, float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start
