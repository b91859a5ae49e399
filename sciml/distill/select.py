"""Choose among the formulas of a front by what the data say, and say how sure the choice is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sympy

from sciml.distill.expression import complexity
from sciml.distill.front import Candidate, Front
from sciml.distill.refit import Refit, refit
from sciml.graph import Graph
from sciml.models.interaction_network import InteractionNetwork

log = logging.getLogger(__name__)

BETTER = 3.0  # a longer formula must lower the held-out error by this factor
EQUAL = 1.2  # errors within this factor are alike
TRIAL_FRAMES = 200  # to which every candidate is fitted; the chosen one is fitted to all
LEARNED = 0.3  # a model whose held-out error is above this has not learned the motion


@dataclass(frozen=True)
class Choice:
    """The formula that the data prefer, and the others that were tried.

    Attributes:
        best: the fit that is the law.
        released: the same with free exponents, where the formula is a product of powers.
        tried: every fit, in the order of the front.
        verdict: "law", "ambiguous" or "none".
        reason: the verdict in words.
    """

    best: Refit
    released: Refit | None
    tried: tuple[Refit, ...]
    verdict: str
    reason: str


def select(
    front: Front,
    model: InteractionNetwork,
    graphs: Graph,
    held_out: Graph,
    *,
    network_error: float,
    noise: float = 0.0,
    most: int = 6,
) -> Choice:
    """Fit the front's likeliest formulas to the data and take the simplest that nothing clearly beats.

    The search saw messages, which carry the network's error; the data do not. The front's knee goes first;
    a longer formula replaces it only if it lowers the held-out error threefold, a shorter one if it loses
    nothing.

    Args:
        front: what the search found.
        model: the trained network.
        graphs, held_out: frames to fit, and later ones to judge by.
        network_error: the network's own held-out error relative to the accelerations.
        noise: relative error of the accelerations themselves, where known.
        most: number of formulas to fit.

    Raises:
        ValueError: no formula of the front can be fitted; the reasons are in the message.
    """
    tried, failures = [], []
    some = graphs[:: max(1, len(graphs) // TRIAL_FRAMES)]
    for candidate in _likeliest(front, most):
        try:
            tried.append(refit(model, candidate.expression, some, held_out))
        except (ValueError, ArithmeticError, RuntimeError) as error:
            failures.append(f"{candidate.expression}: {error}")
            log.info("could not fit %s: %s", candidate.expression, error)
    if not tried:
        raise ValueError(
            "None of the found formulas could be fitted to the data:\n  " + "\n  ".join(failures)
        )
    best = refit(model, _simplest_unbeaten(tried).expression, graphs, held_out)
    released = _released(best, model, graphs, held_out)
    if released is not None and _error(released) * BETTER < _error(best):
        best = released  # the exponents are not the simple numbers that they were rounded to
    verdict, reason = _verdict(best, tried, network_error, noise)
    return Choice(best, released, tuple(tried), verdict, reason)


def _likeliest(front: Front, most: int) -> list[Candidate]:
    ordered = sorted(front, key=front.length)
    variable = [c for c in ordered if c.expression.free_symbols] or ordered
    return sorted(variable[:most], key=lambda c: c.complexity)


def _simplest_unbeaten(tried: Sequence[Refit]) -> Refit:
    ordered = sorted(tried, key=lambda r: complexity(r.expression))
    best = ordered[0]
    for other in ordered[1:]:
        if _error(other) * BETTER < _error(best):
            best = other
    return best


def _released(best: Refit, model: InteractionNetwork, graphs: Graph, held_out: Graph) -> Refit | None:
    try:
        released = refit(model, best.expression, graphs, held_out, free_exponents=True)
    except (ValueError, ArithmeticError, RuntimeError) as error:
        log.info("exponents could not be released: %s", error)
        return None
    return released if released.exponents else None


def _error(fit: Refit) -> float:
    """Median over particles of the held-out error, relative to the acceleration."""
    error = float(np.median(fit.held_out_error))
    return error if np.isfinite(error) else np.inf


def _verdict(best: Refit, tried: Sequence[Refit], network_error: float, noise: float) -> tuple[str, str]:
    error = _error(best)
    stated = f"held-out error {error:.1e} of the acceleration (network {network_error:.1e})"
    if noise:
        stated += f", noise of the data {noise:.1e}"
    allowed = max(2.0 * network_error, 2.0 * noise)
    if error > LEARNED and error > 2.0 * noise:
        return "none", f"No formula explains the motion: {stated}."
    if error > allowed:
        return "none", f"The best formula leaves more unexplained than the network does: {stated}."
    rivals = [
        other
        for other in tried
        if _error(other) < EQUAL * error
        and complexity(other.expression) <= complexity(best.expression)
        and not _same_form(other.template, best.template)
    ]
    if rivals:
        forms = "; ".join(str(rival.template) for rival in rivals)
        return "ambiguous", f"The data do not tell this formula from {forms}: {stated}."
    return "law", f"One formula explains the motion, and no shorter or other one does: {stated}."


def _same_form(a: sympy.Expr, b: sympy.Expr) -> bool:
    return sympy.simplify(a - b) == 0
