"""An equation as a `Law`: named constants with errors and units, in variables such as u, u_x and u_xx."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from math import gcd

import numpy as np
import sympy
from jaxtyping import Float

from sciml.distill.fields.terms import AXES, Factor, Term, expression, variable
from sciml.distill.law import Constant, Law

log = logging.getLogger(__name__)

TIED = 3.0  # standard errors within which coefficients of a symmetric operator are called equal
NEAR = 0.1  # relative difference beyond which they are not, however large their errors


def tied(
    terms: Sequence[Term], w: Float[np.ndarray, "k"], covariance: Float[np.ndarray, "k k"]
) -> tuple[list[dict[int, int]], Float[np.ndarray, "groups"], Float[np.ndarray, "groups groups"]]:
    """Join the parts of Laplacians whose coefficients the data call equal.

    Isotropy is not assumed but read from the data: coefficients that agree within their errors become one,
    estimated by generalized least squares from both.

    Returns:
        groups of terms (number of the term: its weight), their coefficients and covariance.
    """
    groups: list[dict[int, int]] = []
    used: set[int] = set()
    for i, term in enumerate(terms):
        if i in used:
            continue
        partners = _partners(term, terms)
        if partners and not used & set(partners) and _agree(partners, w, covariance):
            groups.append(partners)
            used |= set(partners)
        else:
            groups.append({i: 1})
            used.add(i)
    basis = np.zeros((len(terms), len(groups)))
    for g, group in enumerate(groups):
        for i, weight in group.items():
            basis[i, g] = weight
    if len(groups) == len(terms):
        order = [next(iter(g)) for g in groups]
        return groups, w[order], covariance[np.ix_(order, order)]
    scale = np.maximum(np.sqrt(np.maximum(np.diag(covariance), 0.0)), 1e-12 * np.abs(w))
    inverse = np.linalg.pinv(covariance / np.outer(scale, scale) + 1e-12 * np.eye(len(w)), hermitian=True)
    weighted = basis.T / scale @ inverse / scale
    joint = np.linalg.inv(weighted @ basis)
    return groups, joint @ (weighted @ w), joint


def _partners(term: Term, terms: Sequence[Term]) -> dict[int, int]:
    """Return the terms that make a rotation-invariant operator with this one, with their weights."""
    dim = len(term.orders) - 1
    number = {t: j for j, t in enumerate(terms)}
    if dim == 1 or term.direct:
        return {}
    parts: dict[Term, int] = {}
    time, spatial = term.orders[0], term.orders[1:]
    at = lambda orders: Term((time, *orders), term.factors)
    unit = lambda axis, n: tuple(n * (a == axis) for a in range(dim))
    if sum(spatial) == 2 and max(spatial) == 2:
        parts = {at(unit(axis, 2)): 1 for axis in range(dim)}
    elif sum(spatial) == 4 and all(o % 2 == 0 for o in spatial):
        parts = {at(unit(axis, 4)): 1 for axis in range(dim)}
        for a in range(dim):
            for b in range(a):
                parts[at(tuple(2 * (c in (a, b)) for c in range(dim)))] = 2
    if not parts or not all(p in number for p in parts):
        return {}
    return {number[p]: weight for p, weight in parts.items()}


def _agree(partners: Mapping[int, int], w: np.ndarray, covariance: np.ndarray) -> bool:
    indices = list(partners)
    values = np.array([w[i] / partners[i] for i in indices])
    scaled = np.array([partners[i] for i in indices])
    V = covariance[np.ix_(indices, indices)] / np.outer(scaled, scaled)
    apart = values[1:] - values[0]
    contrast = np.hstack([-np.ones((len(apart), 1)), np.eye(len(apart))])
    error = np.sqrt(np.maximum(np.diag(contrast @ V @ contrast.T), 0.0))
    near = np.abs(apart) < NEAR * np.abs(values).max()
    return bool((near & (np.abs(apart) <= TIED * error + 1e-3 * np.abs(values[0]))).all())


def as_law(
    target: Factor,
    terms: Sequence[Term],
    w: Float[np.ndarray, "k"],
    covariance: Float[np.ndarray, "k k"],
    names: Sequence[str],
    units: Mapping[str, str],
    offsets: Sequence[float] = (),
    *,
    verdict: str,
    reason: str,
    provenance: Mapping[str, object],
) -> Law:
    """Write an equation as a law.

    Args:
        target: channel, and orders of its derivative in time and space.
        terms, w, covariance: of the fit.
        names: of the channels.
        units: of x, time and the channels; "" where unknown.
        offsets: that were subtracted from the channels.
        verdict, reason, provenance: see `Law`.
    """
    groups, values, joint = tied(terms, w, covariance)
    total, constants = sympy.Integer(0), {}
    factors: set[Factor] = set()
    for number, (group, value, variance) in enumerate(zip(groups, values, np.diag(joint))):
        monomials: dict = {}
        for i, weight in group.items():
            for monomial, count in terms[i].expanded.items():
                monomials[monomial] = monomials.get(monomial, 0) + weight * count
        common = gcd(*monomials.values())
        symbol = sympy.Symbol(f"c{number}")
        total += symbol * expression({m: c // common for m, c in monomials.items()}, names, offsets)
        constants[symbol.name] = Constant(common * float(value), common * float(np.sqrt(max(variance, 0.0))))
        factors |= {factor for m in monomials for factor in m}
    variables = {variable(f, names): _unit(f, names, units) for f in sorted(factors)}
    target_unit = _unit(target, names, units)
    if target_unit and all(variables.values()):
        constants = _with_units(total, variables, target_unit, constants)
    return Law(
        expression=total, target=variable(target, names), variables=variables, target_unit=target_unit,
        constants=constants, verdict=verdict, reason=reason, provenance=provenance,
    )  # fmt: skip


def _with_units(
    formula: sympy.Expr, variables: Mapping[str, str], target_unit: str, constants: dict[str, Constant]
) -> dict[str, Constant]:
    from sciml.units import UnitError, constant_units

    try:
        found = constant_units(formula, variables, target_unit)
    except UnitError as error:
        log.warning("the equation's units do not close: %s", error)
        return constants
    return {name: c._replace(unit=found.get(name, "")) for name, c in constants.items()}


def _unit(factor: Factor, names: Sequence[str], units: Mapping[str, str]) -> str:
    """Return the unit of a derivative; "" if a unit that it needs is unknown."""
    channel, orders = factor
    parts = [units.get(names[channel], "")]
    for axis, order in zip(AXES, orders):
        unit = units.get("time" if axis == "t" else "x", "")
        if order and not unit:
            return ""
        if order:
            parts.append(f"({unit})**{order}" if order > 1 else f"({unit})")
    return "/".join(parts) if parts[0] else ""
