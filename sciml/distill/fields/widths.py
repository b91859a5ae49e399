"""How wide the test functions are, and which of them fit: chosen by the data, in turn with the terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sciml.datasets.fields import FieldSeries
from sciml.distill.fields.fit import Normal, fit
from sciml.distill.fields.noise import Character, character
from sciml.distill.fields.problem import SMALLEST, WeakProblem
from sciml.distill.fields.select import Choice, choose, unexplained
from sciml.distill.fields.weak import TestFunctions

HELD_OUT = 0.25  # share of the snapshots, the last ones, that equations are judged by
WIDTH = 1.2  # width of a test function times the finest wavenumber of the signal
PARTS = 4  # of the earlier snapshots: a half-width in time is one of them at most
NARROW, WIDE = 8, 0.25  # half-width of test functions in space: points, and share of the grid
SCALES = (1.0, 1.4, 2.0)  # of the widths that are tried: narrower ones let more noise into products
WIDENED = (1.0, 1.5, 2.2)  # of the first widths, in turn, until the equations are good
ENOUGH = 0.15  # share (rms) of the rate of change that may be hidden or unexplained then
EXACT = 1e-5  # relative standard error below which smaller ones are no gain
GAIN = 0.05  # by which the logarithm of the standard errors must fall


def prepared(data: FieldSeries, held_out: float = HELD_OUT) -> tuple[FieldSeries, TestFunctions, int]:
    """Return data with closed axes known, the first test functions, and the first held-out frame.

    Args:
        data: snapshots.
        held_out: share of them, the last ones.
    """
    known = character(data)
    data = replace(data, periodic=known.periodic)
    split = split_at(data.times, held_out)
    halves = first_halves(data, known, widest(data.times - split))
    return data, WeakProblem(data, known, (), halves).tests, split


def split_at(times: int, held_out: float) -> int:
    """First held-out frame; both parts have room for a test function."""
    least = 2 * SMALLEST + 1
    return int(np.clip(round(times * (1 - held_out)), least, times - least))


def rows_between(problem: WeakProblem, first: int, last: int) -> np.ndarray:
    """Test functions that lie within frames first, ..., last - 1."""
    centre, half = problem.tests.time, problem.halves[0]
    return (centre - half >= first) & (centre + half < last)


def widest(frames: int) -> int:
    """Largest half-width in time of which several test functions fit into so many snapshots."""
    return max(int((frames - 1) / 2.6), SMALLEST)


def _limits(data: FieldSeries, known: Character, most: int) -> list[tuple[int, int]]:
    found = [(SMALLEST, most)]
    for n, closed in zip(data.shape, known.periodic):
        most = max(int(n * WIDE), SMALLEST) if closed else max((n - 1) // 4, SMALLEST)
        found.append((min(NARROW, most), most))
    return found


def first_halves(data: FieldSeries, known: Character, most: int) -> tuple[int, ...]:
    """Half-widths that just pass the finest scale of the signal; in time at most ``most``."""
    limits = _limits(data, known, most)
    return tuple(
        int(np.clip(round(4.4 * WIDTH / k), low, high)) for k, (low, high) in zip(known.finest, limits)
    )


def better_halves(problem: WeakProblem, choices: Sequence[Choice], split: int) -> tuple[int, ...]:
    """Return the half-widths, around the present ones, at which the standard errors are smallest."""
    chosen = {c: choice.best for c, choice in enumerate(choices) if choice.best is not None}
    if not chosen:
        return problem.halves
    data = problem.data
    limits = _limits(data, problem.character, max(split // PARTS, SMALLEST))
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
                normal = Normal(small, c, rows_between(small, 0, split))
                found = fit(normal, [wanted.index(j) for j in best.support]) if normal.rows.any() else None
                relative = np.full(len(best.support), 1e9) if found is None else 1 / np.maximum(found.t, 1e-9)
                score += float(np.log(np.maximum(relative, EXACT)).mean()) / len(chosen)
            if score < best_score - (GAIN if halves != problem.halves else 0.0):
                best_score, best_halves = score, halves
    return best_halves


def choices_of(problem: WeakProblem, most_terms: int, seeds: Sequence, split: int) -> list[Choice]:
    """Choose the terms of every channel by the snapshots before ``split``."""
    rows = rows_between(problem, 0, split)
    return [choose(Normal(problem, c, rows), most_terms, own) for c, own in enumerate(seeds)]


def first_choice(
    problem: WeakProblem, most_terms: int, seeds: Sequence, split: int
) -> tuple[WeakProblem, list[Choice]]:
    """Choose with narrow test functions, or wider ones where noise hides too much from narrow ones."""
    tried: list[tuple[float, WeakProblem, list[Choice]]] = []
    limits = _limits(problem.data, problem.character, max(split // PARTS, SMALLEST))
    for scale in WIDENED:
        halves = tuple(min(round(h * scale), high) for h, (_, high) in zip(problem.halves, limits))
        if any(p.halves == halves for _, p, _ in tried):
            continue
        wider = replace(problem, halves=halves, _spreads={})
        choices = choices_of(wider, most_terms, seeds, split)
        missing = max(
            _missing(Normal(wider, c, rows_between(wider, 0, split)), choice)
            for c, choice in enumerate(choices)
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
