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
from sciml.distill.fields.rollout import FieldRollout, follow
from sciml.distill.fields.select import Choice, choose, unexplained
from sciml.distill.fields.terms import Term, library, text
from sciml.distill.fields.verdict import Evidence, judge
from sciml.distill.fields.weak import TestFunctions
from sciml.distill.law import Law

log = logging.getLogger(__name__)

HELD_OUT = 0.25  # share of the snapshots, the last ones, that equations are judged by
WIDTH = 1.2  # width of a test function times the finest wavenumber of the signal
NARROW, WIDE = 8, 0.25  # half-width of test functions in space: points, and share of the grid
SCALES = (1.0, 1.4, 2.0)  # of the widths that are tried: narrower ones let more noise into products
WIDENED = (1.0, 1.5, 2.2)  # of the first widths, in turn, until the equations are good
ENOUGH = 0.25  # share (rms) of the rate of change that may be hidden or unexplained then


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
        seconds: by stage.
    """

    equations: tuple[Equation, ...]
    verdict: str
    reason: str
    time_order: int
    problem: WeakProblem
    rollout: FieldRollout | None
    proposed: dict[str, tuple[Term, ...]] = field(default_factory=dict)
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
    make the standard errors smallest. The final coefficients are fitted to all snapshots.

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
    known = character(data)
    data = replace(data, periodic=known.periodic)
    terms = library(len(data.channels), data.dim, degree=degree, order=order, second_order=time_order == 2)
    split = _split(data.times, held_out)
    halves = _first_halves(data, known, data.times - split)
    seeds = [[tuple(sorted(terms.index(t) for t in own if t in terms))] for own in proposed]
    seeds = seeds or [[] for _ in data.channels]
    problem, choices = _first_choice(
        WeakProblem(data, known, terms, halves, time_order), most_terms, seeds, split
    )
    better = _better_halves(problem, choices, split)
    if better != problem.halves:
        log.info("test functions of half-width %s, then %s points", problem.halves, better)
        seeds = [[*s, *([c.best.support] if c.best else [])] for s, c in zip(seeds, choices)]
        problem = replace(problem, halves=better, _spreads={})
        choices = _choices(problem, most_terms, seeds, split)
    rollout = _rollout(problem, choices, split)
    equations = tuple(_equation(problem, c, choice, split, rollout) for c, choice in enumerate(choices))
    worst = min(equations, key=lambda e: VERDICTS[e.law.verdict])
    several = len(equations) > 1
    reason = "\n".join(f"{e.channel}: {e.law.reason}" if several else e.law.reason for e in equations)
    names = {name: tuple(own) for name, own in zip(data.channels, proposed)}
    return FieldDiscovery(equations, worst.law.verdict, reason, time_order, problem, rollout, names)


def _choices(problem: WeakProblem, most_terms: int, seeds: Sequence, split: int) -> list[Choice]:
    rows = _rows(problem, 0, split)
    return [choose(Normal(problem, c, rows), most_terms, own) for c, own in enumerate(seeds)]


def _first_choice(
    problem: WeakProblem, most_terms: int, seeds: Sequence, split: int
) -> tuple[WeakProblem, list[Choice]]:
    """Choose with narrow test functions, or wider ones where noise hides too much from narrow ones."""
    tried: list[tuple[float, WeakProblem, list[Choice]]] = []
    limits = _limits(problem.data, problem.character, problem.data.times - split)
    for scale in WIDENED:
        halves = tuple(min(round(h * scale), high) for h, (_, high) in zip(problem.halves, limits))
        if any(p.halves == halves for _, p, _ in tried):
            continue
        wider = replace(problem, halves=halves, _spreads={})
        choices = _choices(wider, most_terms, seeds, split)
        missing = max(
            _missing(Normal(wider, c, _rows(wider, 0, split)), choice) for c, choice in enumerate(choices)
        )
        tried.append((missing, wider, choices))
        if missing < ENOUGH:
            break
    return min(tried, key=lambda t: t[0])[1:]


def _missing(normal: Normal, choice: Choice) -> float:
    """Share (rms) of the rate of change that an equation leaves unexplained, or that noise may hide."""
    if choice.best is None:
        return 1.0
    support, w = choice.best.support, choice.best.coefficients
    return float(np.sqrt(unexplained(normal, support, w) + normal.chance(support, w)))


def _equation(
    problem: WeakProblem, channel: int, choice: Choice, split: int, rollout: FieldRollout | None
) -> Equation:
    """Fit the chosen terms to all snapshots and judge them by the held-out ones."""
    data = problem.data
    normal = Normal(problem, channel, np.ones(problem.tests.number, dtype=bool))
    support = choice.best.support if choice.best else ()
    whole = fit(normal, support) if support else None
    evidence = judge(
        normal,
        Normal(problem, channel, _rows(problem, 0, split)),
        Normal(problem, channel, _rows(problem, split, data.times)),
        choice,
        whole,
        rollout,
    )
    terms = tuple(problem.terms[j] for j in support)
    target = (channel, problem.time_derivative)
    law = as_law(
        target,
        terms if whole else (),
        whole.coefficients if whole else np.zeros(0),
        whole.covariance if whole else np.zeros((0, 0)),
        data.channels,
        data.units,
        verdict=evidence.verdict,
        reason=evidence.reason,
        provenance={
            "kind": "field",
            "form": " + ".join(text(t, data.channels) for t in terms) or "0",
            "half_widths": list(problem.halves),
            "source": data.source,
        },
    )
    return Equation(data.channels[channel], law, terms, whole, choice.best, choice, evidence)


def _rollout(problem: WeakProblem, choices: Iterable[Choice], split: int) -> FieldRollout | None:
    sums = []
    for choice in choices:
        if choice.best is None:
            return None
        pairs = zip(choice.best.support, choice.best.coefficients)
        sums.append([(problem.terms[j], float(w)) for j, w in pairs])
    return follow(sums, problem.time_order, problem.data.between(split), problem.character)


# ------------------------------------------------------------- test functions


def prepared(data: FieldSeries, held_out: float = HELD_OUT) -> tuple[FieldSeries, TestFunctions, int]:
    """Return data with closed axes known, the first test functions, and the first held-out frame.

    Args:
        data: snapshots.
        held_out: share of them, the last ones.
    """
    known = character(data)
    data = replace(data, periodic=known.periodic)
    split = _split(data.times, held_out)
    halves = _first_halves(data, known, data.times - split)
    return data, WeakProblem(data, known, (), halves).tests, split


def _split(times: int, held_out: float) -> int:
    """First held-out frame; both parts have room for a test function."""
    least = 2 * SMALLEST + 1
    return int(np.clip(round(times * (1 - held_out)), least, times - least))


def _rows(problem: WeakProblem, first: int, last: int) -> np.ndarray:
    """Test functions that lie within frames first, ..., last - 1."""
    centre, half = problem.tests.time, problem.halves[0]
    return (centre - half >= first) & (centre + half < last)


def _limits(data: FieldSeries, known: Character, later: int) -> list[tuple[int, int]]:
    found = [(SMALLEST, max(int((later - 1) / 2.6), SMALLEST))]  # room for several in the later ones
    for n, closed in zip(data.shape, known.periodic):
        most = max(int(n * WIDE), SMALLEST) if closed else max((n - 1) // 4, SMALLEST)
        found.append((min(NARROW, most), most))
    return found


def _first_halves(data: FieldSeries, known: Character, later: int) -> tuple[int, ...]:
    """Half-widths at which test functions just pass the finest scale of the signal."""
    limits = _limits(data, known, later)
    return tuple(
        int(np.clip(round(4.4 * WIDTH / k), low, high)) for k, (low, high) in zip(known.finest, limits)
    )


def _better_halves(problem: WeakProblem, choices: Sequence[Choice], split: int) -> tuple[int, ...]:
    """Return the half-widths, around the present ones, at which the standard errors are smallest."""
    chosen = {c: choice.best for c, choice in enumerate(choices) if choice.best is not None}
    if not chosen:
        return problem.halves
    data = problem.data
    limits = _limits(data, problem.character, data.times - split)
    wanted = sorted({j for best in chosen.values() for j in best.support})
    terms = tuple(problem.terms[j] for j in wanted)
    best_score, best_halves = np.inf, problem.halves
    tried = set()
    for in_time in SCALES:
        for in_space in SCALES:
            scales = (in_time, *(in_space,) * data.dim)
            halves = tuple(
                int(np.clip(round(h * s), low, high))
                for h, s, (low, high) in zip(problem.halves, scales, limits)
            )
            if halves in tried:
                continue
            tried.add(halves)
            small = replace(problem, terms=terms, halves=halves, _spreads={})
            score = 0.0
            for c, best in chosen.items():
                normal = Normal(small, c, _rows(small, 0, split))
                found = fit(normal, [wanted.index(j) for j in best.support]) if normal.rows.any() else None
                relative = np.full(len(best.support), 1e9) if found is None else 1 / np.maximum(found.t, 1e-9)
                score += float(np.log(np.maximum(relative, EXACT)).mean()) / len(chosen)
            if score < best_score - (GAIN if halves != problem.halves else 0.0):
                best_score, best_halves = score, halves
    return best_halves


EXACT = 1e-5  # relative standard error below which smaller ones are no gain
GAIN = 0.05  # by which the logarithm of the standard errors must fall


def _check(degree: int, order: int, most_terms: int, time_order: int | None, held_out: float) -> None:
    if not 1 <= degree <= 5 or not 0 <= order <= 6 or not 1 <= most_terms <= 20:
        raise ValueError(
            f"degree={degree}, order={order}, most_terms={most_terms}: expected 1 to 5, 0 to 6 and 1 to 20"
        )
    if time_order not in (None, 1, 2):
        raise ValueError(f"time_order={time_order}: expected 1, 2, or null to try both")
    if not 0.05 <= held_out <= 0.5:
        raise ValueError(f"held_out={held_out}: expected a share of the snapshots between 0.05 and 0.5")
