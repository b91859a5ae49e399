"""From a fitted model to a `Law`: hidden strengths become masses and charges, parts become terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy
from jaxtyping import Float

from sciml.distill.law import Constant, Law
from sciml.distill.motion.model import Fit, Model, Part, part
from sciml.distill.refit import Estimate
from sciml.distill.terms import Term
from sciml.nn.interaction import SYMBOLS
from sciml.physics.vectors import dimension
from sciml.units import UnitError, constant_units


@dataclass(frozen=True)
class Reading:
    """What the hidden strengths u_i w_j of a pair force are.

    By action and reaction a product u_i w_j of accelerations is a force q_i q_j on a mass q_i / u_i: the
    charge is what a particle exerts, and the mass is fixed up to a factor that all share.

    Attributes:
        properties: name to values per particle.
        errors: their standard errors.
        inertia: "mass" where masses are among them.
        words: what remains free, in a sentence; "" if nothing is hidden.
    """

    properties: dict[str, Float[np.ndarray, "particles"]]
    errors: dict[str, Float[np.ndarray, "particles"]]
    inertia: str
    words: str


def normalized(model: Model) -> Model:
    """Scale hidden strengths so that the largest mass and charge are one; formulas take up the rest."""
    if not model.hidden:
        return model
    u, w = model.receiver, model.sender
    ends = model.hidden
    a = b = 1.0
    if ends == ("both",):
        a = b = 1 / w[np.argmax(np.abs(w))]
    else:
        if "sender" in ends:
            b = 1 / w[np.argmax(np.abs(w))]
        if "receiver" in ends:
            ratio = (w * b if "sender" in ends else np.ones_like(u)) / np.where(u == 0, 1e-300, u)
            a = float(ratio[np.argmax(np.abs(ratio))]) if _one_sign(ratio) else 1 / u[np.argmax(np.abs(u))]
    scales = {"free": 1.0, "felt": a, "light": a / b}
    parts = []
    for p in model.parts:
        scale = a * b if p.of_pairs and p.strength.hidden else scales.get(p.strength.receiver, 1.0)
        label = p.constants[0][0].rstrip("0123456789") if p.constants else "y"
        fresh = part(p.expression / scale, p.vector, p.argument, p.strength, label)
        parts.append(fresh)
    return replace(model, parts=tuple(parts), receiver=u * a, sender=w * b)


def _one_sign(values: np.ndarray) -> bool:
    return bool((values > 0).all() or (values < 0).all())


def read(fit: Fit, mass: str) -> Reading:
    """Say what the hidden strengths are."""
    model = fit.model
    ends = model.hidden
    if not ends:
        return Reading({}, {}, "", "")
    u, w = model.receiver, model.sender
    du, dw = _errors(fit)
    if ends == ("both",):
        name = _free("charge", model)
        return Reading({name: w}, {name: dw}, "", f"The {name} is known up to a common factor and sign.")
    inverse = w / np.where(u == 0, 1e-300, u) if "sender" in ends else 1 / np.where(u == 0, 1e-300, u)
    one_kind = ends == ("sender",)
    if mass:
        name = _free("charge", model)
        return Reading({name: w if "sender" in ends else u}, {name: dw if "sender" in ends else du}, "",
                       f"The {name} is known up to a common factor.")  # fmt: skip
    if one_kind and _one_sign(w):
        return Reading({"mass": w}, {"mass": dw}, "mass", "Masses are known up to a common factor.")
    if not one_kind and _one_sign(inverse):
        relative = np.hypot(du / np.maximum(np.abs(u), 1e-300), dw / np.maximum(np.abs(w), 1e-300))
        masses = {"mass": inverse}, {"mass": np.abs(inverse) * relative}
        if "sender" in ends:
            masses[0]["charge"], masses[1]["charge"] = w, dw
        words = "Masses are known up to a common factor" + (
            ", and so are charges." if "sender" in ends else "."
        )
        return Reading(*masses, "mass", words)
    names = {"receiver": ("response", u, du), "sender": ("charge", w, dw)}
    chosen = [names[end] for end in ends]
    return Reading({n: v for n, v, _ in chosen}, {n: e for n, _, e in chosen}, "",
                   "Strengths are known up to common factors; action does not equal reaction.")  # fmt: skip


def _free(name: str, model: Model) -> str:
    return name if name not in model.properties else f"hidden_{name}"


def _errors(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Return standard errors of u and w; those that are held have none."""
    model = fit.model
    du, dw = np.zeros_like(model.receiver), np.zeros_like(model.sender)
    for k, (end, g) in enumerate(model.moving):
        error = fit.errors[len(model.names) + k]
        if end in ("receiver", "both"):
            du[model.group == g] = error
        if end in ("sender", "both"):
            dw[model.group == g] = error
    return du, dw


def law_of(
    fit: Fit, reading: Reading, *, mass: str, kind: str, units: Mapping[str, str], verdict: str, reason: str,
    provenance: Mapping[str, Any],
) -> Law:  # fmt: skip
    """Write a fitted model as a law.

    Args:
        fit: the model with errors.
        reading: of its hidden strengths.
        mass: the given property that divides forces, "" if none.
        kind: the property of labels.
        units: of position, time and properties.
        verdict, reason, provenance: see `Law`.
    """
    parts = fit.model.parts
    forces = reading.inertia or (mass if mass and any(_inertial(p, mass) for p in parts) else "")
    names = _constant_names(parts)
    terms = [Term(_written(p, reading, forces, names), p.vector, _kinds(p)) for p in parts]
    terms = sorted(terms, key=lambda t: t.place != "pair")
    errors = dict(zip(fit.model.names, fit.errors, strict=False))
    constants = {
        names[n]: Constant(v, float(errors[n]) if np.isfinite(errors[n]) else None)
        for p in parts for n, v in p.constants
    }  # fmt: skip
    used = {str(s) for t in terms for s in t.expression.free_symbols} - set(constants)
    variables = {name: _unit(name, units) for name in sorted(used)}
    length, time = units.get("position", ""), units.get("time", "")
    target_unit = f"{length}/{time}**2" if length and time else ""
    if target_unit and forces:
        target_unit = f"{units[forces]}*{target_unit}" if units.get(forces) else ""
    fields: dict[str, Any] = {
        "target_unit": target_unit, "constants": constants, "verdict": verdict, "reason": reason,
        "provenance": dict(provenance), "inertia": forces,
        "kind": kind if any(t.kinds for t in terms) else "",
    }  # fmt: skip
    target = "F" if forces else "a"
    if len(terms) == 1 and terms[0].vector == "r_hat" and not terms[0].kinds:
        return _with_units(Law(terms[0].expression, target, variables, **fields), length, time)
    return _with_units(Law.of_terms(terms, target, variables, **fields), length, time)


def _inertial(p: Part, mass: str) -> bool:
    return p.strength.over == mass or mass in (p.strength.sender, p.strength.receiver)


def _constant_names(parts: tuple[Part, ...]) -> dict[str, str]:
    ordered = sorted(parts, key=lambda p: not p.of_pairs)
    return {n: f"c{k}" for k, n in enumerate(n for p in ordered for n, _ in p.constants)}


def _kinds(p: Part) -> tuple[tuple[str, ...], ...]:
    receiver, sender = (
        n[1:-1] if n.startswith("[") else "" for n in (p.strength.receiver, p.strength.sender)
    )
    if not receiver:
        return ()
    if not p.of_pairs:
        return ((receiver,),)
    return ((receiver, sender), (sender, receiver)) if p.strength.swapped else ((receiver, sender),)


def _written(p: Part, reading: Reading, forces: str, names: Mapping[str, str]) -> sympy.Expr:
    """Return the scalar of a term: the formula times the strengths by their names."""
    expression = p.template.xreplace({sympy.Symbol(n): sympy.Symbol(names[n]) for n, _ in p.constants})
    over = p.strength.over
    hidden_mass = reading.inertia == "mass"
    has_charge = any("charge" in n for n in reading.properties)
    receiver = sender = sympy.Integer(1)
    inertia = sympy.Symbol(f"{SYMBOLS.get(forces, forces)}_i") if forces else sympy.Integer(1)
    by_mass = inertia if forces and over != forces else sympy.Integer(1)
    if p.of_pairs and p.strength.hidden:
        if hidden_mass:  # m_i u_i w_j is q_i q_j with charges, m_i m_j where only senders differ, else one
            by_mass = sympy.Integer(1)
            if has_charge:
                receiver, sender = _symbol("charge", "i", reading), _symbol("charge", "j", reading)
            elif p.strength.sender == "free":
                receiver, sender = inertia, _symbol("mass", "j", reading)
        else:
            receiver = _symbol("response" if "response" in reading.properties else "charge", "i", reading)
            sender = _symbol("charge", "j", reading)
            receiver = receiver if p.strength.receiver == "free" else sympy.Integer(1)
            sender = sender if p.strength.sender == "free" else sympy.Integer(1)
    elif p.strength.receiver in ("felt", "light"):
        if hidden_mass:
            by_mass = sympy.Integer(1)
            felt = p.strength.receiver == "felt" and has_charge
            receiver = _symbol("charge", "i", reading) if felt else sympy.Integer(1)
        else:
            receiver = _symbol("response" if "response" in reading.properties else "charge", "i", reading)
            if p.strength.receiver == "light":
                receiver = receiver / _symbol("charge", "i", reading)
    else:
        receiver, sender = (_given(n, e) for n, e in ((p.strength.receiver, "i"), (p.strength.sender, "j")))
        if over and over != forces:
            receiver = receiver / sympy.Symbol(f"{SYMBOLS.get(over, over)}_i")
    return expression * by_mass * receiver * sender


def _given(name: str, end: str) -> sympy.Expr:
    if name == "1" or name.startswith("["):
        return sympy.Integer(1)
    return sympy.Symbol(f"{SYMBOLS.get(name, name)}_{end}")


def _symbol(name: str, end: str, reading: Reading) -> sympy.Expr:
    found = next((n for n in reading.properties if n in (name, f"hidden_{name}")), name)
    return sympy.Symbol(f"{SYMBOLS.get(found, found)}_{end}")


def _unit(variable: str, units: Mapping[str, str]) -> str:
    length, time = units.get("position", ""), units.get("time", "")
    speed = f"{length}/{time}" if length and time else ""
    if dimension(variable):
        return {"length": length, "speed": speed}[dimension(variable)]
    names = {symbol: name for name, symbol in SYMBOLS.items()}
    symbol = variable.removesuffix("_i").removesuffix("_j")
    return units.get(names.get(symbol, symbol), "")


def _with_units(law: Law, length: str, time: str) -> Law:
    """Give the constants their units, where all units are known and close."""
    if not law.target_unit:
        return law
    speed = f"{length}/{time}"
    found: dict[str, str] = {}
    try:
        for term in law.terms or (Term(law.expression),):
            of_vector = {"length": length, "speed": speed, "": ""}[dimension(term.vector)]
            target = f"{law.target_unit}/({of_vector})" if of_vector else law.target_unit
            mine = {n for n in law.constants if sympy.Symbol(n) in term.expression.free_symbols}
            known = {
                n: u for n, u in law.variables.items() if sympy.Symbol(n) in term.expression.free_symbols
            }
            if mine:
                found |= constant_units(term.expression, known, target, mine)
    except (UnitError, ValueError):
        return law
    return replace(law, constants={n: c._replace(unit=found.get(n, "")) for n, c in law.constants.items()})


def estimates(reading: Reading, names: tuple[str, ...]) -> dict[str, dict[str, Estimate]]:
    """Return hidden properties by particle."""
    found = {}
    for prop, values in reading.properties.items():
        pairs = zip(values.tolist(), reading.errors[prop].tolist(), strict=True)
        found[prop] = {name: Estimate(v, e) for name, (v, e) in zip(names, pairs, strict=True)}
    return found
