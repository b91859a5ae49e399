"""From frames, or from a network that was trained on them, to a formula for each pair of elements."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import sympy

from sciml.datasets.frames import Frames
from sciml.distill.front import Front
from sciml.distill.law import Constant, Law
from sciml.distill.pairs.choose import (
    Setting,
    Trial,
    error_of,
    relative,
    rivals,
    simplest_unbeaten,
    trials,
)
from sciml.distill.pairs.cutoff import find_cutoff
from sciml.distill.pairs.fit import Fitted, fit_model
from sciml.distill.pairs.forms import BIAS, Form, found_forms
from sciml.distill.pairs.rows import Kinds, PairRows, pair_rows
from sciml.distill.pairs.splines import Curve, SplineFit, fit_splines
from sciml.distill.pairs.verdict import Shares, judge
from sciml.distill.search import search
from sciml.distill.terms import Term
from sciml.units import UnitError, constant_units

log = logging.getLogger(__name__)
HELD_OUT = 0.2  # of the frames, the last ones
TRIED = 16  # frames to which all formulas are fitted
FITTED = 200  # frames to which the law is


@dataclass(frozen=True, eq=False)
class PairLaw:
    """A law of pairs and what led to it.

    Attributes:
        law: the force along the line of centres for each pair of elements, with verdict and reason.
        kinds: pairs of elements.
        curves: what pairs of each kind do, as splines have it; None where there are too few pairs.
        splines: from which they are.
        fitted: the law's formulas, fitted to frames.
        tried: every choice of formulas, simplest first.
        best: of these, the law.
        fronts: what the search found, by kind.
        shares: of the variance of forces that are explained.
        cutoff: in Å.
        taught: whether the curves are those of a network.
        frames, held_out: numbers of frames that were fitted, and judged by.
        seconds: time by stage.
    """

    law: Law
    kinds: Kinds
    curves: list[Curve | None]
    splines: SplineFit = field(repr=False)
    fitted: Fitted
    tried: tuple[Trial, ...]
    best: Trial
    fronts: dict[str, Front]
    shares: Shares
    cutoff: float
    taught: bool
    frames: int
    held_out: int
    seconds: dict[str, float]


def distill_pairs(
    frames: Frames,
    held_out: Frames | None = None,
    *,
    network: Callable[[Frames], Frames] | None = None,
    cutoff: float | None = None,
    seconds: float = 30.0,
    seed: int = 0,
    backend: str = "structured",
    on_front: Callable[[str, Front], None] | None = None,
) -> PairLaw:
    """Find the formula of distance by which atoms of each pair of elements push and pull each other.

    1. Splines for each pair of elements are fitted to forces and energies together: the most that any sum
       over pairs can explain. With a network they are fitted to what it says of the frames.
    2. A symbolic search proposes formulas for each curve, with units.
    3. These and those of the books are fitted to the frames themselves, all pairs and all constants together.
    4. The simplest that nothing clearly beats on frames kept back is the law.

    Args:
        frames: with forces; energies where there are any.
        held_out: frames to judge by; the last fifth if None.
        network: gives frames with a network's energies and forces in place of the calculated ones.
        cutoff: in Å; found from the frames if None.
        seconds: for the search of each pair of elements.
        seed: of the search.
        backend: engine of the search, see `sciml.distill.search`.
        on_front: told of every front that a search improves, with the pair of elements.

    Raises:
        ValueError: frames without forces, or too few pairs.
    """
    spent: dict[str, float] = {}
    first, last = _divided(frames, held_out)
    kinds = Kinds.of(first)
    with _timed("cutoff", spent):
        cutoff = cutoff or find_cutoff(first, kinds)
    with _timed("splines", spent):
        parts = pair_rows(first, kinds, cutoff)
        held = pair_rows(_some(last, TRIED), kinds, cutoff)
        data = fit_splines(parts, kinds, cutoff)
        taught, said = data, None
        if network is not None:
            taught = fit_splines(pair_rows(network(first), kinds, cutoff), kinds, cutoff)
            said = pair_rows(network(_some(last, TRIED)), kinds, cutoff)
        curves = taught.curves(parts)
    with _timed("search", spent):
        fronts = {
            name: searched(curve, name, seconds=seconds, seed=seed, backend=backend, on_front=on_front)
            for name, curve in zip(kinds.names, curves)
            if curve is not None
        }
    with _timed("formulas", spent):
        least = relative([data.predict(p)[1] for p in held], held)
        elements = tuple(map(float, data.coefficients[-len(kinds.elements) :]))
        trial = pair_rows(_some(first, TRIED), kinds, cutoff)
        setting = Setting(curves, trial, held, elements, cutoff, data.noise, least)
        tried = trials(setting, _different([f for front in fronts.values() for f in found_forms(front)]))
        best = simplest_unbeaten(tried)
    with _timed("refit", spent):
        fitted = fit_model(best.model, pair_rows(_some(first, FITTED), kinds, cutoff), data.noise)
    shares = _shares(fitted, data, held, said)
    others = [t.name for t in rivals(tried, best, curves)]
    verdict, reason = judge(shares, others)
    law = _law(fitted, kinds, verdict, reason, cutoff, frames.source)
    return PairLaw(
        law, kinds, curves, taught, fitted, tuple(tried), best, fronts, shares, cutoff, network is not None,
        len(first), len(last), spent,
    )  # fmt: skip


def _divided(frames: Frames, held_out: Frames | None) -> tuple[Frames, Frames]:
    for some in (frames, held_out):
        if some is not None and all(f is None for f in some.forces):
            raise ValueError(f"{some.source}: no frame has forces, and a law of pairs is found from forces.")
    if held_out is not None:
        return frames, held_out
    number = int(len(frames) * HELD_OUT)
    if number < 1:
        raise ValueError(f"{frames.source}: {len(frames)} frames; expected 5 or more, to keep some back.")
    order = np.arange(len(frames))
    return frames.take(order[:-number]), frames.take(order[-number:])


def _some(frames: Frames, most: int) -> Frames:
    return frames.take(np.unique(np.linspace(0, len(frames) - 1, min(most, len(frames))).astype(int)))


def searched(
    curve: Curve,
    name: str,
    *,
    seconds: float = 30.0,
    seed: int = 0,
    backend: str = "structured",
    on_front: Callable[[str, Front], None] | None = None,
) -> Front:
    """Return formulas for a curve, with units; see `distill_pairs` for the arguments."""
    typical = float(np.median(np.abs(curve.force)))
    error = np.hypot(curve.error, BIAS * (np.abs(curve.force) + typical))
    weights = error**-2.0
    return search(
        curve.distance[:, None],
        curve.force,
        names=["r"],
        units=["angstrom"],
        target_unit="eV/angstrom",
        weights=weights,
        backend=backend,
        seconds=seconds,
        seed=seed,
        noise=float(len(weights) / (weights * curve.force**2).sum()),
        on_front=None if on_front is None else lambda front: on_front(name, front),
    )


def _different(forms: Sequence[Form]) -> list[Form]:
    return list({form.expression: form for form in reversed(forms)}.values())[::-1]


def _shares(
    fitted: Fitted, data: SplineFit, held: Sequence[PairRows], said: Sequence[PairRows] | None
) -> Shares:
    """Return how much of the forces in frames kept back is explained, and of what the network says there."""
    law, splines = error_of(fitted.model, held), relative([data.predict(p)[1] for p in held], held)
    energies = _energies(fitted, held)
    if said is None:
        return Shares(law, splines, energies)
    network = relative([p.forces for p in said], held)
    return Shares(law, splines, energies, network, error_of(fitted.model, said))


def _energies(fitted: Fitted, held: Sequence[PairRows]) -> float | None:
    """Return the error of energies over their spread, compositions aside; None where they do not differ."""
    true = np.concatenate([p.energy for p in held])
    found = np.concatenate([fitted.model.predict(p)[0] for p in held])
    counts = np.concatenate([p.counts for p in held])
    known = np.isfinite(true)
    if known.sum() <= counts.shape[1] + 1:
        return None
    aside = lambda e: e - counts[known] @ np.linalg.lstsq(counts[known], e, rcond=1e-9)[0]
    spread = float(np.square(aside(true[known])).sum())
    return float(np.sqrt(np.square(aside((found - true)[known])).sum() / spread)) if spread > 0 else None


def _law(fitted: Fitted, kinds: Kinds, verdict: str, reason: str, cutoff: float, source: str) -> Law:
    """Return the law: a term for each pair of elements, each with constants of its own."""
    model, terms, constants = fitted.model, [], {}
    at = 0
    for (a, b), form, values in zip(kinds.symbols, model.forms, model.values):
        if form is None:
            continue
        names = {n: n if len(kinds) == 1 else f"{n}_{a}{b}" for n in form.names}
        expression = form.expression.xreplace({sympy.Symbol(n): sympy.Symbol(m) for n, m in names.items()})
        terms.append(Term(expression, "r_hat", ((a, b),) if a == b else ((a, b), (b, a))))
        for name, value, unit in zip(form.names, values, _units(form)):
            constants[names[name]] = Constant(value, float(fitted.errors[at]), unit)
            at += 1
    return Law.of_terms(
        terms,
        "F",
        {"r": "angstrom"},
        target_unit="eV/angstrom",
        constants=constants,
        verdict=verdict,
        reason=reason,
        inertia="mass",
        kind="element",
        provenance={
            "cutoff": cutoff,
            "elements": dict(zip(_names(kinds), model.elements)),
            "forms": {n: f.name for n, f in zip(kinds.names, model.forms) if f is not None},
            "source": source,
        },
    )


def _names(kinds: Kinds) -> list[str]:
    return [a for a, b in kinds.symbols if a == b]


def _units(form: Form) -> Sequence[str]:
    if form.units:
        return form.units
    try:
        found = constant_units(form.expression, {"r": "angstrom"}, "eV/angstrom", form.names)
    except UnitError:  # an exponent that is a constant: what it belongs to has no unit of its own
        return [""] * len(form.names)
    return [found.get(name, "") for name in form.names]


@contextmanager
def _timed(name: str, seconds: dict[str, float]):
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start
