"""Formulas of hidden properties, fitted to counts of contacts and judged on families that were kept back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import sympy
from jaxtyping import Float
from scipy.optimize import least_squares

from sciml.distill.contacts.counts import FIRST, SECOND, TYPES, ContactCounts
from sciml.distill.contacts.energies import expected_contacts
from sciml.distill.expression import parameters

RIDGE = 0.02  # pull of each hidden value towards zero, in square roots of deviance; fixes what is free
ALTERNATIONS = 10
CONVERGED = 1e-4  # kT


@dataclass(frozen=True)
class Form:
    """e_ab as a function of hidden properties of a and b, up to a constant.

    The constant is not free: energies are zero for the average pair (weighted by what chance would give).

    Attributes:
        name: for the table.
        expression: in q_i, q_j (and z_i, z_j), with numbers that are refitted; no constant term.
        hidden: names of the properties, a value of each for each type.
    """

    name: str
    expression: sympy.Expr
    hidden: tuple[str, ...] = ("q",)


@dataclass(frozen=True)
class Fitted:
    """A form with its numbers.

    Attributes:
        form: the form.
        constants: numbers of the expression, in the order in which `parameters` names them.
        hidden: value for each type, by property.
        energy: (210,) what it gives, the constant included.
        constant: what makes the average pair zero.
    """

    form: Form
    constants: dict[str, float]
    hidden: dict[str, Float[np.ndarray, "20"]] = field(default_factory=dict)
    energy: Float[np.ndarray, "210"] = field(default_factory=lambda: np.zeros(len(FIRST)))
    constant: float = 0.0


def deviance(
    observed: Float[np.ndarray, "pairs"], expected: Float[np.ndarray, "pairs"]
) -> Float[np.ndarray, "pairs"]:
    """Return the Poisson deviance 2 (N ln(N/μ) − N + μ) of each pair."""
    mu = np.maximum(expected, 1e-9)
    ratio = np.where(observed > 0, observed / mu, 1.0)
    return np.maximum(2 * (observed * np.log(ratio) - observed + mu), 0.0)


def fit_form(
    form: Form,
    observed: Float[np.ndarray, "strata 210"],
    possible: Float[np.ndarray, "strata 210"],
    start: dict[str, Float[np.ndarray, "20"]],
) -> Fitted:
    """Fit constants and hidden properties to counts: least deviance, and the λ of the reference in turn.

    Args:
        form: what is fitted.
        observed, possible: counts in strata.
        start: first values of the hidden properties.
    """
    template, values = tied(form.expression)
    names = list(values)
    function = _compiled(template, names, form.hidden)
    x = np.concatenate([list(values.values()), *(start[name] for name in form.hidden)]).astype(float)
    if not len(x):
        return Fitted(form, {})
    count, seen = len(names), observed.sum(0)
    chance = expected_contacts(observed, possible, np.zeros(len(FIRST)))

    def of(x: np.ndarray) -> np.ndarray:
        value = function(x[:count], x[count:].reshape(len(form.hidden), TYPES))
        return value - np.average(value, weights=chance)

    energy = of(x)
    for _ in range(ALTERNATIONS):
        base = expected_contacts(observed, possible, energy)

        def residuals(x: np.ndarray, base: np.ndarray = base) -> np.ndarray:
            mu = base * np.exp(-np.clip(of(x), -20, 20))
            signed = np.sign(seen - mu) * np.sqrt(deviance(seen, mu))
            return np.concatenate([signed, RIDGE * x[count:]])

        x = least_squares(residuals, x, max_nfev=30).x
        before, energy = energy, of(x)
        if np.abs(energy - before).max() < CONVERGED:
            break
    hidden = dict(zip(form.hidden, x[count:].reshape(-1, TYPES)))
    value = function(x[:count], np.array(list(hidden.values())))
    constant = -float(np.average(value, weights=chance))
    return Fitted(form, dict(zip(names, map(float, x[:count]))), hidden, energy, constant)


def tied(expression: sympy.Expr) -> tuple[sympy.Expr, dict[str, float]]:
    """Replace the numbers of a formula by symbols, equal numbers by one: both ends of an edge are alike."""
    template, values = parameters(expression)
    kept: dict[sympy.Symbol, float] = {}
    same = {}
    for symbol, value in values.items():
        alike = [s for s, other in kept.items() if abs(value - other) <= 1e-9 * abs(other)]
        if alike:
            same[symbol] = alike[0]
        else:
            kept[symbol] = value
    return template.xreplace(same), {str(symbol): value for symbol, value in kept.items()}


def evaluated(form: Form, hidden: Mapping[str, Float[np.ndarray, "20"]]) -> Float[np.ndarray, "210"] | None:
    """Return what a form without numbers gives for these hidden values; None if it has numbers."""
    template, values = tied(form.expression)
    return None if values else _compiled(template, [], form.hidden)(np.zeros(0), np.array([*hidden.values()]))


def held_out(
    form: Form, counts: ContactCounts, start: dict[str, Float[np.ndarray, "20"]], folds: int, seed: int
) -> Float[np.ndarray, "folds"]:
    """Return the deviance per contact that a form leaves in families to which it was not fitted, by fold.

    Of the fold that is judged only the λ_s are fitted.
    """
    from sciml.datasets.structures import assign_folds

    weight = np.bincount(counts.structure, counts.observed.sum(1), minlength=len(counts.family))
    number = assign_folds(counts.family, weight, folds, seed)
    return np.array([_judged(form, counts, start, number == fold) for fold in range(folds)])


# -------------------------------------------------------------------- details


def _judged(form: Form, counts: ContactCounts, start: dict[str, np.ndarray], kept_back: np.ndarray) -> float:
    observed, possible = counts.weighted()
    out = kept_back[counts.structure]
    fitted = fit_form(form, observed[~out], possible[~out], start)
    seen = observed[out].sum(0)
    mu = expected_contacts(observed[out], possible[out], fitted.energy) * np.exp(-fitted.energy)
    return float(deviance(seen, mu).sum() / seen.sum())


def _compiled(
    template: sympy.Expr, names: list[str], hidden: tuple[str, ...]
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the formula as a function of (constants, properties), values for the 210 pairs."""
    ends = [sympy.Symbol(f"{name}_{end}") for name in hidden for end in "ij"]
    call = sympy.lambdify([*map(sympy.Symbol, names), *ends], template, "numpy")

    def function(constants: np.ndarray, properties: np.ndarray) -> np.ndarray:
        columns = [values[index] for values in properties for index in (FIRST, SECOND)]
        with np.errstate(all="ignore"):
            found = np.broadcast_to(np.asarray(call(*constants, *columns), dtype=float), (len(FIRST),))
        return np.nan_to_num(found, nan=20.0, posinf=20.0, neginf=-20.0)

    return function
