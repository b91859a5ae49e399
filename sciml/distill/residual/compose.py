"""A law with what was found in its rest: one law of terms, to be saved, simulated and looked at again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import sympy

from sciml.distill.law import Constant, Law
from sciml.distill.residual.finding import Finding
from sciml.distill.residual.known import Known
from sciml.distill.residual.library import Dimension
from sciml.distill.terms import Term
from sciml.nn.interaction import SYMBOLS
from sciml.physics.vectors import AXES, PAIR_INVARIANTS

LABEL = "body"  # property of labels that tells particles apart


def extended(known: Known, found: Finding) -> Known:
    """Add the terms that were found to a law, with their constants, and let its own constants follow.

    Args:
        known: the law in which it was found.
        found: the finding; one with the verdict "none" adds nothing.

    Raises:
        ValueError: the law already tells kinds of particles by another property, or its pull cannot be
            written as a formula.
    """
    if not found.terms:
        return known
    known = known.changed(found.parameters)
    law = known.law
    base = law.terms or (Term(law.expression),)
    receivers = known.names if found.look.everywhere else found.look.receivers
    kinds = _kinds(found, known, receivers)
    given = dict(known.given)
    if kinds:
        if law.kind not in ("", LABEL):
            raise ValueError(f"the law tells particles by {law.kind}; terms for single bodies need names")
        given[LABEL] = np.array(known.names)
    constants, numbers = _constants(found, law)
    inertia = sympy.Symbol(f"{SYMBOLS.get(law.inertia, law.inertia)}_i") if law.inertia else sympy.Integer(1)
    added = []
    for monomial, number in zip(found.terms, numbers, strict=True):
        scalar = monomial.scalar.xreplace({sympy.Symbol("g"): _pull(base, inertia)})
        alone = found.look.senders is None
        scalar = _named(inertia * number * scalar, found, alone)
        for vector, share in _vectors(monomial.vector, found):
            term = Term(share * scalar, vector, kinds)
            added.append(term)
            if law.inertia and kinds:
                added.append(_reaction(term))
    variables = dict(law.variables)
    for name in {str(s) for term in added for s in term.expression.free_symbols} - set(law.constants):
        if name not in constants:
            variables.setdefault(name, _unit(name, law))
    whole = Law.of_terms(
        [*base, *added],
        law.target,
        variables,
        target_unit=law.target_unit,
        constants={**law.constants, **constants},
        verdict=found.verdict,
        reason=found.reason,
        exponents=law.exponents,
        provenance={**law.provenance, "residual": [*law.provenance.get("residual", []), str(found.look)]},
        inertia=law.inertia,
        kind=LABEL if kinds else law.kind,
    )
    return replace(known, law=whole, given=given, settled=known.settled | set(constants))


def _kinds(found: Finding, known: Known, receivers: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return (receiver, sender) by name; nothing where the term is for all."""
    senders = found.look.senders
    if senders is None:
        return () if len(receivers) == len(known.names) else tuple((r,) for r in receivers)
    named = ("*",) if isinstance(senders, str) else senders
    onto = ("*",) if len(receivers) == len(known.names) else tuple(receivers)
    if (onto, named) == (("*",), ("*",)):
        return ()
    return tuple((r, s) for s in named for r in onto if r != s)


def _constants(found: Finding, law: Law) -> tuple[dict[str, Constant], list[sympy.Expr]]:
    """Return the new constants, and what stands before each term."""
    taken = {*law.constants, *law.variables}
    names = (name for k in range(99) if (name := f"k{k}") not in taken)
    if found.constant is not None and found.ratio is not None and found.dimension is not None:
        name = next(names)
        made = {name: _constant(found.constant, found.dimension, law)}
        return made, [sympy.Integer(n) * sympy.Symbol(name) for n in found.ratio]
    chosen = [next(names) for _ in found.terms]
    made = {
        name: _constant(value, monomial.dimension, law)
        for name, value, monomial in zip(chosen, found.coefficients, found.terms, strict=True)
    }
    return made, [sympy.Symbol(name) for name in chosen]


def _constant(value, dimension: Dimension, law: Law) -> Constant:
    unit = constant_unit(dimension, _length(law), _time(law))
    return Constant(value.value, value.standard_error, unit)


def constant_unit(dimension: Dimension, length: str, time: str) -> str:
    """Write a dimension in the units of the data: ``day**2/AU**2``; "" where they are unknown."""
    if not length or not time:
        return ""
    above = [(name, p) for name, p in ((length, dimension[0]), (time, dimension[1])) if p > 0]
    below = [(name, -p) for name, p in ((length, dimension[0]), (time, dimension[1])) if p < 0]
    write = lambda parts: "*".join(name if p == 1 else f"{name}**{p}" for name, p in parts)
    upper = write(above) or "1"
    return f"{upper}/{write(below)}" if len(below) == 1 else f"{upper}/({write(below)})" if below else (
        upper if above else "")  # fmt: skip


def _time(law: Law) -> str:
    return str(law.provenance.get("time_unit", ""))


def _length(law: Law) -> str:
    return law.variables.get("r") or str(law.provenance.get("length_unit", ""))


def _pull(base: Sequence[Term], inertia: sympy.Expr) -> sympy.Expr:
    """Return the acceleration towards the sender as a formula."""
    radial = {"r_hat": sympy.Integer(1), "w_vec": sympy.Symbol("w_r")}
    pairs = [t for t in base if t.place == "pair"]
    plain = [t for t in pairs if t.vector in radial and not t.kinds]
    if len(plain) < len(pairs):
        odd = next(t for t in pairs if t not in plain)
        plain = [t for t in pairs if t.vector == "r_hat" and not t.kinds]
        if not plain:
            raise ValueError(f"the pull towards a sender has no formula with the term {odd}")
    return -sympy.Add(*(t.expression * radial[t.vector] for t in plain)) / inertia


def _named(expression: sympy.Expr, found: Finding, alone: bool) -> sympy.Expr:
    """Write invariants by the names that laws know."""
    if alone:
        return expression.xreplace({sympy.Symbol(n): sympy.Symbol(f"{n}_i") for n in ("v", "x")})
    if found.look.axis is None:
        return expression
    cosine = sympy.Add(*(_share(a) * sympy.Symbol(f"n_{k}") for k, a in zip(AXES, found.look.axis) if a))
    return expression.xreplace({sympy.Symbol("n_axis"): cosine})


def _vectors(vector: str, found: Finding) -> Iterator[tuple[str, sympy.Expr]]:
    if vector != "axis":
        yield vector, sympy.Integer(1)
        return
    for name, component in zip(AXES, found.look.axis or ()):
        if component:
            yield f"{name}_hat", _share(component)


def _share(component: float) -> sympy.Expr:
    return sympy.Integer(round(component)) if abs(component) == 1 else sympy.Float(component)


def _reaction(term: Term) -> Term:
    """Return the force on the sender: equal and opposite, in the variables of its own row."""
    swap = {}
    for s in term.expression.free_symbols:
        if s.name.endswith(("_i", "_j")):
            swap[s] = sympy.Symbol(s.name[:-1] + {"i": "j", "j": "i"}[s.name[-1]])
        elif s.name in (f"n_{k}" for k in AXES):
            swap[s] = -s
    expression = term.expression.subs(swap, simultaneous=True)
    if term.vector in [f"{k}_hat" for k in AXES]:  # does not turn round with the pair
        expression = -expression
    return Term(expression, term.vector, tuple((s, r) for r, s in term.kinds))


def _unit(name: str, law: Law) -> str:
    length, time = _length(law), _time(law)
    if name in ("r", "x_i", "x_j"):
        return length
    if name in ("w", "w_r", "w_t", "v_i", "v_j"):
        return f"{length}/{time}" if length and time else ""
    assert name in PAIR_INVARIANTS or name[-2:] in ("_i", "_j")
    return ""
