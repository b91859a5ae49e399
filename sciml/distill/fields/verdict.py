"""Is it a law? What the equation leaves over, on snapshots not fitted too, and what else would do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sciml.distill.fields.fit import Fit, Normal, fit
from sciml.distill.fields.rollout import FieldRollout
from sciml.distill.fields.select import CHANCE, SURE, Choice, unexplained
from sciml.distill.fields.terms import text

MOST = 0.25  # share of the rate of change (rms) that may stay unexplained before an equation is no law
RARE = 3.0  # standard deviations put down to chance on held-out snapshots, which are few
LITTLE = 0.07  # share up to which it is one, without more ado
BLIND = 0.2  # squared share that noise hides, beyond which data cannot test an equation
DRIFT = 0.1  # relative change of a coefficient between earlier and later snapshots that matters
ASTRAY = 0.5  # error of a rollout, relative to the spread, that an equation should not reach


@dataclass(frozen=True)
class Evidence:
    """Numbers behind a verdict.

    Attributes:
        verdict: "law", "ambiguous" or "none".
        reason: in words.
        unexplained: share of the rate of change (rms) beyond the noise, all snapshots.
        held_out: the same on held-out snapshots, by coefficients fitted to the earlier ones; None where the
            noise there is larger than what could be seen.
        hidden: share (rms) that could hide in the noise.
        noise_share: share of the integrated rate of change (rms) that is noise.
        drift: largest relative change of a coefficient between two parts of the data (earlier and held-out
            snapshots, the halves of each axis) that their errors do not explain.
        where: which parts.
        rollout_error: at the end of the rollout.
    """

    verdict: str
    reason: str
    unexplained: float | None = None
    held_out: float | None = None
    hidden: float | None = None
    noise_share: float | None = None
    drift: float = 0.0
    where: str = ""
    rollout_error: float | None = None


def judge(
    whole: Normal,
    earlier: Normal,
    later: Normal,
    choice: Choice,
    found: Fit | None,
    rollout: FieldRollout | None,
) -> Evidence:
    """Judge the equation of one channel.

    Args:
        whole, earlier: normal equations of all and of the fitted test functions.
        later: of held-out ones, with the chosen terms alone.
        choice: what was chosen by the earlier ones.
        found: fit to all.
        rollout: of all channels.
    """
    noise = whole.noise_energy((), np.zeros(0))
    share = float(np.sqrt(noise / max(whole.energy + noise, 1e-300))) if whole.energy > 0 else 1.0
    silent = whole.energy < 4 * whole.chance((), np.zeros(0)) * max(whole.energy, 1e-300)
    if whole.energy <= 0 or silent:
        return Evidence(
            "none",
            "The fields change by no more than their noise: there is nothing to explain.",
            noise_share=share,
        )
    if choice.best is None or found is None:
        least = min((f.left_over for f in choice.tried), default=1.0)
        rest = float(np.sqrt(min(max(least, 0.0), 1.0)))
        return Evidence(
            "none",
            f"No equation of few terms is demanded by the data; the best of them leaves {rest:.0%} of the "
            f"rate of change unexplained, and noise makes {share:.0%} of it.",
            unexplained=rest,
            noise_share=share,
        )
    w = choice.best.coefficients
    rest = np.sqrt(unexplained(whole, found.support, found.coefficients))
    blind = CHANCE * whole.chance(found.support, found.coefficients)
    chosen = range(len(w))
    blind_later = CHANCE * later.chance(chosen, w) if later.energy > 0 else np.inf
    held_out = float(np.sqrt(unexplained(later, chosen, w, RARE))) if blind_later < BLIND else None
    drift, where = _drift(whole, earlier, later, choice.best)
    error = None if rollout is None or not len(rollout.error) else float(rollout.error[-1, whole.target])
    numbers: dict[str, Any] = {
        "unexplained": float(rest),
        "held_out": held_out,
        "hidden": float(np.sqrt(blind)),
        "noise_share": share,
        "drift": drift,
        "where": where,
        "rollout_error": error,
    }
    verdict, reason = _verdict(whole, choice, rollout, max(float(rest), held_out or 0.0), numbers)
    return Evidence(verdict, reason, **numbers)


def _verdict(
    whole: Normal, choice: Choice, rollout: FieldRollout | None, rest: float, numbers: dict[str, Any]
) -> tuple[str, str]:
    """Return the first fault there is, or a law."""
    error, hidden, drift = numbers["rollout_error"], numbers["hidden"], numbers["drift"]
    size = len(choice.best.support) if choice.best else 0
    stays = error is None or rollout is None or error <= max(ASTRAY, rollout.persistence[-1, whole.target])
    note = "" if rollout is None else rollout.note
    faults: tuple[tuple[bool, str, str], ...] = (
        (rest > MOST, "none", "The best equation is not good enough"),
        (hidden**2 > BLIND, "ambiguous", f"Noise hides too much to test the equation ({hidden:.0%} of it)"),
        (
            rest > LITTLE,
            "ambiguous",
            "The equation is incomplete, and no few terms make up for what it lacks",
        ),
        (bool(choice.rivals), "ambiguous", f"The data do not tell its terms from {_rivals(whole, choice)}"),
        (size == choice.most, "ambiguous", f"It takes all {size} terms that are allowed, and may want more"),
        (drift > DRIFT, "ambiguous", f"A coefficient changes by {drift:.0%} {numbers['where']}"),
        (bool(note), "ambiguous", f"The equation fits, but run alone {note}"),
        (not stays, "ambiguous", "The equation fits, but run alone it strays (as chaos does too)"),
    )
    law = (True, "law", "Few terms explain the data, each of them needed and none to be exchanged")
    _, verdict, words = next(fault for fault in (*faults, law) if fault[0])
    return verdict, f"{words}: {_stated(numbers)}."


def _stated(numbers: dict[str, Any]) -> str:
    stated = f"{numbers['unexplained']:.1%} of the rate of change is unexplained beyond the noise"
    if numbers["held_out"] is not None:
        stated += f", {numbers['held_out']:.1%} on held-out snapshots"
    if numbers["rollout_error"] is not None:
        stated += f"; run alone, the equations end {numbers['rollout_error']:.1%} of the fields' spread away"
    return stated


def _rivals(whole: Normal, choice: Choice, most: int = 3) -> str:
    names, terms = whole.problem.data.channels, whole.problem.terms
    forms = [" + ".join(text(terms[j], names) for j in r.support) for r in choice.rivals]
    more = f" and {len(forms) - most} more" if len(forms) > most else ""
    return "; ".join(forms[:most]) + more


def _drift(whole: Normal, earlier: Normal, later: Normal, best: Fit) -> tuple[float, str]:
    """Return the largest relative change of a coefficient that errors do not explain, and where it is."""
    parts = [(earlier, later, "from earlier to later snapshots")]
    supports = (best.support, tuple(range(len(best.support))))
    tests = whole.problem.tests
    for axis in range(1, len(tests.bumps)):
        centre = tests.centres(axis)
        middle = np.median(tests.bumps[axis].centres)
        near, far = (replace(whole, rows=rows) for rows in (centre < middle, centre >= middle))
        parts.append((near, far, f"from one half of axis {axis} to the other"))
    worst = (0.0, "")
    for one, other, where in parts:
        if where != parts[0][2]:
            supports = (best.support, best.support)
        fits = [fit(n, s) if n.rows.any() and n.energy > 0 else None for n, s in zip((one, other), supports)]
        if fits[0] is None or fits[1] is None:
            continue
        apart = np.abs(fits[0].coefficients - fits[1].coefficients)
        sure = apart > SURE * np.hypot(fits[0].errors, fits[1].errors)
        change = float((np.where(sure, apart, 0.0) / np.abs(best.coefficients)).max())
        worst = max(worst, (change, where if change else ""))
    return worst
