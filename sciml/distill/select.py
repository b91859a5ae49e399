"""Choose among the formulas of a front by what the data say, and say how sure the choice is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy

from sciml.distill.expression import complexity, parameters
from sciml.distill.front import Front
from sciml.distill.refit import Refit, refit
from sciml.graph import Graph
from sciml.models.interaction_network import InteractionNetwork

log = logging.getLogger(__name__)

BETTER = 3.0  # a longer formula must lower the held-out error by this factor
EQUAL = 1.2  # errors within this factor are alike
NEAR = 0.06  # an exponent this close to a simple fraction may be it
BENT = 1e-3  # an exponent this close to a simple fraction is it, whatever the error gains
TRIAL_FRAMES = 200  # to which every candidate is fitted; the chosen one is fitted to all
APPROXIMATE = 1e-3  # a formula that leaves more than this, and more than noise, may only approximate the law
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
        noise: relative error of the accelerations themselves, where known, else zero. A formula that leaves
            more than three times as much (and than a thousandth) is "ambiguous" at best.
        most: number of formulas to fit.

    Raises:
        ValueError: no formula of the front can be fitted; the reasons are in the message.
    """
    tried, failures = [], []
    some = graphs[:: max(1, len(graphs) // TRIAL_FRAMES)]
    third_law = bool(getattr(getattr(model.force, "scalar", None), "symmetric", False))
    for formula in likeliest(front, most, third_law):
        try:
            tried.append(refit(model, formula, some, held_out))
        except (ValueError, ArithmeticError, RuntimeError) as error:
            failures.append(f"{formula}: {error}")
            log.info("could not fit %s: %s", formula, error)
    if not tried:
        raise ValueError(
            "None of the found formulas could be fitted to the data:\n  " + "\n  ".join(failures)
        )
    best = refit(model, simplest_unbeaten(tried).expression, graphs, held_out)
    released = _released(best, model, graphs, held_out)
    if released is not None and _error(released) * BETTER < _error(best) and _odd(released):
        # The exponents are not the simple numbers that they were rounded to: they become constants.
        best = refit(model, _settle(released), graphs, held_out)
    verdict, reason = judge(best, tried, network_error, noise)
    return Choice(best, released, tuple(tried), verdict, reason)


def likeliest(front: Front, most: int, third_law: bool) -> list[sympy.Expr]:
    """The likeliest formulas, each also with its nearly simple exponents made simple; shortest first.

    Under the third law, only those that do not change when the two ends of an edge change places: otherwise
    the masses could be traded against the formula.
    """
    ordered = sorted(front, key=front.length)
    variable = [c for c in ordered if c.expression.free_symbols] or ordered
    formulas: dict[sympy.Expr, None] = {}
    for candidate in variable[:most]:
        formula = free_coefficients(candidate.expression)
        formulas |= dict.fromkeys([formula, round_exponents(formula)])
    fair = [e for e in formulas if not third_law or _exchangeable(e)]
    return sorted(fair or formulas, key=complexity)


def _exchangeable(expression: sympy.Expr) -> bool:
    """Whether a formula stays what it is when sender and receiver change places."""
    partner = {s: sympy.Symbol(s.name[:-1] + {"i": "j", "j": "i"}[s.name[-1]])
               for s in expression.free_symbols if s.name.endswith(("_i", "_j"))}  # fmt: skip
    return sympy.simplify(expression - expression.xreplace(partner)) == 0


def free_coefficients(expression: sympy.Expr) -> sympy.Expr:
    """Make the coefficient of every term a number that can be fitted.

    A search may have taken −1.002 for −1, since messages are no better known; the data know better. A number
    before a sum goes into the sum: two that can undo each other have no best values.
    """
    return sympy.Add(*map(_free_term, sympy.Add.make_args(expression)))


def _free_term(term: sympy.Expr) -> sympy.Expr:
    number, rest = term.as_coeff_Mul()
    sums = [factor for factor in sympy.Mul.make_args(rest) if factor.is_Add]
    if not sums:
        return sympy.Mul(sympy.Float(number), rest, evaluate=rest == 1)
    return free_coefficients(sympy.Add(*(number * part for part in sums[0].args))) * (rest / sums[0])


def round_exponents(expression: sympy.Expr) -> sympy.Expr:
    """Replace real exponents by simple fractions that they nearly equal; the data decide between the two."""

    def rounded(power: sympy.Pow) -> sympy.Expr:
        simple = _nearest(float(power.exp))
        return power if simple is None else power.base**simple

    return expression.replace(lambda e: e.is_Pow and e.exp.is_Float, rounded)


def _nearest(value: float, default: float | None = None) -> Any:
    """Return the simplest fraction near a number, or the default."""
    for denominator in (1, 2, 3):
        simple = sympy.Rational(round(value * denominator), denominator)
        if simple != 0 and abs(value - float(simple)) < NEAR:
            return simple
    return default


def simplest_unbeaten(tried: Sequence[Refit]) -> Refit:
    """Return the shortest formula whose held-out error no longer one lowers `BETTER` times."""
    ordered = sorted(tried, key=lambda r: complexity(r.expression))
    best = ordered[0]
    for other in ordered[1:]:
        nearly = _same_form(other.expression, best.expression) and not _odd(other)
        if _error(other) * BETTER < _error(best) and not nearly:
            best = other
    return best


def _odd(fit: Refit) -> bool:
    """Whether an exponent differs from the simple fraction near it by more than a missing effect can do.

    A law that lacks a small effect is always improved by exponents that bend a little to imitate it.
    """
    powers = [float(e.exp) for e in fit.expression.atoms(sympy.Pow) if e.exp.is_Float]
    powers += [e.value for e in fit.exponents.values()]
    return any(abs(p - _nearest(p, default=np.inf)) > BENT for p in powers)


def _released(best: Refit, model: InteractionNetwork, graphs: Graph, held_out: Graph) -> Refit | None:
    try:
        released = refit(model, best.expression, graphs, held_out, free_exponents=True)
    except (ValueError, ArithmeticError, RuntimeError) as error:
        log.info("exponents could not be released: %s", error)
        return None
    return released if released.exponents else None


def _settle(released: Refit) -> sympy.Expr:
    """Return the formula with its released exponents in, those within their errors of whole numbers whole."""
    numbers = {}
    for name, estimate in released.constants.items():
        whole = round(estimate.value)
        exact = (
            name.startswith("p_")
            and whole
            and abs(estimate.value - whole) < max(3 * estimate.standard_error, 1e-3)
        )
        numbers[sympy.Symbol(name)] = sympy.Integer(whole) if exact else sympy.Float(estimate.value)
    return released.template.xreplace(numbers)


def _error(fit: Refit) -> float:
    """Median over particles of the held-out error, relative to the acceleration."""
    error = float(np.median(fit.held_out_error))
    return error if np.isfinite(error) else np.inf


def judge(best: Refit, tried: Sequence[Refit], network_error: float, noise: float) -> tuple[str, str]:
    """Return the verdict on a formula, "law", "ambiguous" or "none", and why, in words."""
    error = _error(best)
    stated = f"held-out error {error:.1e} of the acceleration (network {network_error:.1e})"
    if noise:
        stated += f", noise of the data {noise:.1e}"
    if error > LEARNED:
        why = "No formula explains the motion"
        if noise > LEARNED:
            why = (
                "The accelerations are too uncertain to tell laws apart (record in shorter steps, or better)"
            )
        return "none", f"{why}: {stated}."
    if error > max(2.0 * network_error, 2.0 * noise):
        return "none", f"The best formula leaves more unexplained than the network does: {stated}."
    if error > max(3.0 * noise, APPROXIMATE):
        return "ambiguous", (
            "This formula is the best that was found, and may only approximate the law, since it leaves more "
            f"than noise: {stated}. Give the search more time, or look at where it is wrong in the report."
        )
    rivals = [
        other
        for other in tried
        if _error(other) < EQUAL * error
        and complexity(other.expression) <= complexity(best.expression)
        and not _same_form(other.expression, best.expression)
    ]
    if rivals:
        forms = "; ".join(str(rival.template) for rival in rivals)
        return "ambiguous", f"The data do not tell this formula from {forms}: {stated}."
    return "law", f"One formula explains the motion, and no shorter or other one does: {stated}."


def _same_form(a: sympy.Expr, b: sympy.Expr) -> bool:
    """Whether two fitted formulas are one law, the numbers of the one near to those of the other."""
    forms = [parameters(round_exponents(e))[0] for e in (a, b)]
    return sympy.simplify(forms[0] - forms[1]) == 0
