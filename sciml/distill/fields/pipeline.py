"""From snapshots of fields to their equations, in one call."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sciml.datasets.fields import FieldSeries
from sciml.distill.fields.fit import Fit, Normal, fit
from sciml.distill.fields.law import as_law
from sciml.distill.fields.noise import Character, character
from sciml.distill.fields.problem import SMALLEST, WeakProblem
from sciml.distill.fields.refine import refine
from sciml.distill.fields.rollout import FieldRollout, follow
from sciml.distill.fields.select import Choice
from sciml.distill.fields.terms import Term, library, text
from sciml.distill.fields.verdict import Evidence, judge
from sciml.distill.fields.widths import (
    HELD_OUT,
    PARTS,
    better_halves,
    choices_of,
    first_choice,
    first_halves,
    rows_between,
    split_at,
    widest,
)
from sciml.distill.law import Law

log = logging.getLogger(__name__)

FAR = 20.0  # spreads from zero: a field this far away is taken as a deviation from its mean


@dataclass(frozen=True, eq=False)
class Equation:
    """The equation of one channel.

    Attributes:
        channel: its name.
        law: the equation with errors, units and verdict.
        terms: candidates that it consists of.
        fit: to all snapshots; None where no equation was found.
        earlier: fit to the earlier snapshots only.
        choice: what was tried, and the rivals.
        evidence: numbers behind the verdict.
    """

    channel: str
    law: Law
    terms: tuple[Term, ...]
    fit: Fit | None
    earlier: Fit | None
    choice: Choice
    evidence: Evidence


@dataclass(frozen=True, eq=False)
class FieldDiscovery:
    """Equations of all channels and all that led to them.

    Attributes:
        equations: of each channel.
        verdict: the worst of theirs.
        reason: the verdict in words.
        time_order: of the time derivatives.
        problem: the data in weak form.
        rollout: equations running alone through the held-out snapshots; None where there are none.
        proposed: terms that a network proposed, by channel.
        offsets: subtracted from fields that hardly change in relation to their mean, zero for others: of
            300 K and a little, powers could not be told apart. ``problem`` and ``rollout`` have the rest.
        seconds: by stage.
    """

    equations: tuple[Equation, ...]
    verdict: str
    reason: str
    time_order: int
    problem: WeakProblem
    rollout: FieldRollout | None
    proposed: dict[str, tuple[Term, ...]] = field(default_factory=dict)
    offsets: tuple[float, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def data(self) -> FieldSeries:
        """The snapshots."""
        return self.problem.data

    @property
    def character(self) -> Character:
        """Noise and scales of the data."""
        return self.problem.character

    def __str__(self) -> str:
        return "\n".join(str(e.law) for e in self.equations)


def discover(
    data: FieldSeries,
    *,
    degree: int = 3,
    order: int = 4,
    most_terms: int = 8,
    time_order: int | None = None,
    held_out: float = HELD_OUT,
    proposed: Sequence[Sequence[Term]] = (),
) -> FieldDiscovery:
    """Find the partial differential equation of each channel, or say that there is none to be had.

    Candidate terms are integrated against test functions (weak form); few of them are chosen and fitted to
    the earlier snapshots and tested on the later ones, the widths of the test functions being those that
    make the standard errors smallest. The final coefficients are fitted to all snapshots, and where noise
    leaves them uncertain, to whole trajectories (`refine`).

    Args:
        data: snapshots.
        degree: most factors of a term.
        order: most spatial derivatives of a term.
        most_terms: of an equation.
        time_order: 1 for u_t = ..., 2 for u_tt = ...; None tries the second where the first finds no law.
        held_out: share of the snapshots, the last ones, to judge by.
        proposed: for each channel terms from which the search starts as well, such as a network's.

    Raises:
        ValueError: numbers out of range.
    """
    _check(degree, order, most_terms, time_order, held_out)
    start = time.perf_counter()
    found = _discover(data, degree, order, most_terms, time_order or 1, held_out, proposed)
    if time_order is None and found.verdict != "law":
        second = _discover(data, degree, order, most_terms, 2, held_out, ())
        if VERDICTS[second.verdict] > VERDICTS[found.verdict]:
            found = second
    return replace(found, seconds={"equations": time.perf_counter() - start})


VERDICTS = {"none": 0, "ambiguous": 1, "law": 2}


def _discover(
    data: FieldSeries,
    degree: int,
    order: int,
    most_terms: int,
    time_order: int,
    held_out: float,
    proposed: Sequence[Sequence[Term]],
) -> FieldDiscovery:
    offsets = _offsets(data)
    data = replace(data, values=data.values - np.array(offsets))
    known = character(data)
    data = replace(data, periodic=known.periodic)
    terms = library(len(data.channels), data.dim, degree=degree, order=order, second_order=time_order == 2)
    split = split_at(data.times, held_out)
    halves = first_halves(data, known, max(split // PARTS, SMALLEST))
    seeds = [[tuple(sorted(terms.index(t) for t in own if t in terms))] for own in proposed]
    seeds = seeds or [[] for _ in data.channels]
    problem, choices = first_choice(
        WeakProblem(data, known, terms, halves, time_order), most_terms, seeds, split
    )
    better = better_halves(problem, choices, split)
    if better != problem.halves:
        log.info("test functions of half-width %s, then %s points", problem.halves, better)
        seeds = [[*s, *([c.best.support] if c.best else [])] for s, c in zip(seeds, choices)]
        problem = replace(problem, halves=better, _spreads={})
        choices = choices_of(problem, most_terms, seeds, split)
    rollout = _rollout(problem, choices, split)
    wholes = [_whole(problem, c, choice) for c, choice in enumerate(choices)]
    equations = tuple(
        _equation(problem, c, choice, split, rollout, offsets, whole, refined)
        for c, (choice, whole, refined) in enumerate(zip(choices, wholes, _refined(problem, wholes)))
    )
    worst = min(equations, key=lambda e: VERDICTS[e.law.verdict])
    several = len(equations) > 1
    reason = "\n".join(f"{e.channel}: {e.law.reason}" if several else e.law.reason for e in equations)
    names = {name: tuple(own) for name, own in zip(data.channels, proposed)}
    return FieldDiscovery(equations, worst.law.verdict, reason, time_order, problem, rollout, names, offsets)


def _offsets(data: FieldSeries) -> tuple[float, ...]:
    """Return a round number near the mean of each channel that is far from zero, 0 for the others."""
    axes = tuple(range(data.dim + 1))
    mean, spread = data.values.mean(axes), data.values.std(axes)
    digits = 1 - np.floor(np.log10(np.maximum(spread, 1e-300))).astype(int)
    near = [round(float(m), int(d)) for m, d in zip(mean, digits)]
    return tuple(m if abs(m) > FAR * s else 0.0 for m, s in zip(near, spread))


def _all(problem: WeakProblem, channel: int) -> Normal:
    """Return the normal equations over all snapshots."""
    return Normal(problem, channel, np.ones(problem.tests.number, dtype=bool))


def _whole(problem: WeakProblem, channel: int, choice: Choice) -> Fit | None:
    """Fit the chosen terms to all snapshots."""
    return fit(_all(problem, channel), choice.best.support) if choice.best else None


def _refined(problem: WeakProblem, wholes: Sequence[Fit | None]) -> Sequence[Fit | None]:
    """Return the fits by whole trajectories, each None where that is not to be had."""
    fits = [f for f in wholes if f is not None]
    nothing: list[Fit | None] = [None] * len(wholes)
    if len(fits) < len(wholes):
        return nothing
    terms = [[problem.terms[j] for j in f.support] for f in fits]
    return refine(fits, terms, problem.time_order, problem.data, problem.character) or nothing


def _equation(
    problem: WeakProblem,
    channel: int,
    choice: Choice,
    split: int,
    rollout: FieldRollout | None,
    offsets: Sequence[float],
    whole: Fit | None,
    refined: Fit | None,
) -> Equation:
    """Judge the chosen terms by the held-out snapshots; state the better coefficients."""
    data = problem.data
    normal, support = _all(problem, channel), choice.best.support if choice.best else ()
    evidence = judge(
        normal,
        Normal(problem, channel, rows_between(problem, 0, split)),
        _held_out(problem, channel, support, split),
        choice,
        whole,
        rollout,
    )
    terms, stated = tuple(problem.terms[j] for j in support), refined or whole
    target = (channel, problem.time_derivative)
    law = as_law(
        target,
        terms if whole else (),
        stated.coefficients if stated else np.zeros(0),
        stated.covariance if stated else np.zeros((0, 0)),
        data.channels,
        data.units,
        offsets,
        verdict=evidence.verdict,
        reason=evidence.reason,
        provenance={
            "kind": "field",
            "form": " + ".join(text(t, data.channels) for t in terms) or "0",
            "fitted by": "trajectory" if refined else "weak form",
            "half_widths": list(problem.halves),
            "source": data.source,
        },
    )
    return Equation(data.channels[channel], law, terms, stated, choice.best, choice, evidence)


def _held_out(problem: WeakProblem, channel: int, support: Sequence[int], split: int) -> Normal:
    """Return the chosen terms alone over held-out snapshots, with test functions that fit among them."""
    half = min(problem.halves[0], widest(problem.data.times - split))
    terms = tuple(problem.terms[j] for j in support)
    later = replace(problem, terms=terms, halves=(half, *problem.halves[1:]), _spreads={})
    return Normal(later, channel, rows_between(later, split, problem.data.times))


def _rollout(problem: WeakProblem, choices: Iterable[Choice], split: int) -> FieldRollout | None:
    sums = []
    for choice in choices:
        if choice.best is None:
            return None
        pairs = zip(choice.best.support, choice.best.coefficients)
        sums.append([(problem.terms[j], float(w)) for j, w in pairs])
    return follow(sums, problem.time_order, problem.data.between(split), problem.character)


def _check(degree: int, order: int, most_terms: int, time_order: int | None, held_out: float) -> None:
    if not 1 <= degree <= 5 or not 0 <= order <= 6 or not 1 <= most_terms <= 20:
        raise ValueError(
            f"degree={degree}, order={order}, most_terms={most_terms}: expected 1 to 5, 0 to 6 and 1 to 20"
        )
    if time_order not in (None, 1, 2):
        raise ValueError(f"time_order={time_order}: expected 1, 2, or null to try both")
    if not 0.05 <= held_out <= 0.5:
        raise ValueError(f"held_out={held_out}: expected a share of the snapshots between 0.05 and 0.5")
