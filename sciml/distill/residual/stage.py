"""Subtract a law, look again: the residual stage."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from sciml.datasets.trajectories import Trajectories
from sciml.distill.front import Front
from sciml.distill.refit import Estimate
from sciml.distill.residual.compose import extended
from sciml.distill.residual.finding import Finding, find
from sciml.distill.residual.known import Known
from sciml.distill.residual.rows import STRETCHES, Look, chosen_frames, equations_of
from sciml.distill.residual.subsets import coefficients
from sciml.distill.simulate import simulate

if TYPE_CHECKING:
    from sciml.distill.evaluate import RolloutComparison

log = logging.getLogger(__name__)
FRAMES = 1500
SETTLED = 0.1  # standard errors by which constants may still move
STEPS = 3  # of Gauss–Newton: laws are nearly linear in small changes of their constants


@dataclass(frozen=True, eq=False)
class Rest:
    """What a law leaves over for each particle.

    Attributes:
        names: of the particles.
        size: rms acceleration, all components.
        rms: rms of what the law leaves over, all components.
        noise: rms error of the data, all components; None where it is not stated.
    """

    names: tuple[str, ...]
    size: Float[np.ndarray, "particles"]
    rms: Float[np.ndarray, "particles"]
    noise: Float[np.ndarray, "particles"] | None = None


@dataclass(frozen=True, eq=False)
class LookedAgain:
    """What became of a law after looking at its rest.

    Attributes:
        first: the law as it came.
        known: the law with what was found, fitted again.
        findings: one for each look, in order.
        before, after: what each of the two laws leaves over.
        seconds: by look.
    """

    first: Known
    known: Known
    findings: tuple[Finding, ...]
    before: Rest
    after: Rest
    seconds: dict[str, float] = field(default_factory=dict)


def look_again(
    known: Known,
    data: Trajectories,
    looks: Sequence[Look],
    *,
    frames: int = FRAMES,
    on_front: Callable[..., None] | None = None,
) -> LookedAgain:
    """Search what a law leaves over, look by look; what is found in one is part of the law in the next.

    Args:
        known: the law, with its hidden properties.
        data: trajectories that it was fitted to, with velocities.
        looks: where to look.
        frames: at most so many are used, spread evenly.
        on_front: told of the best formulas so far, and in which look.

    Raises:
        ValueError: names that the data do not have, missing velocities, a periodic box.
    """
    data = data.with_accelerations()
    first = refitted(known, data, frames)
    now, findings, seconds = first, [], {}
    for look in looks:
        start = time.perf_counter()
        tell = None if on_front is None else partial(on_front, what=f"what is left over for {look}")
        found = search_rest(data, now, look, frames=frames, on_front=tell)
        log.info("%s: %s", look, found.reason)
        findings.append(found)
        if found.verdict == "law":
            now = refitted(extended(now, found), data, frames)
        seconds[str(look)] = time.perf_counter() - start
    return LookedAgain(
        first, now, tuple(findings), rest(first, data, frames), rest(now, data, frames), seconds
    )


def search_rest(
    data: Trajectories,
    known: Known,
    look: Look,
    *,
    frames: int = FRAMES,
    on_front: Callable[[Front], None] | None = None,
) -> Finding:
    """Search what a law leaves over in one look.

    Terms are made of the known law's pull, and change with its constants: the choice is repeated with these
    where the last one put them, until they stay.

    Raises:
        ValueError: names that the data do not have, missing velocities, a periodic box.
    """
    found = find(equations_of(data, known, look, frames), look, on_front=on_front)
    first, moved = found, dict(found.parameters)
    for _ in range(STEPS):
        if not found.terms:
            break
        again = find(equations_of(data, known.changed(moved), look, frames), look, found.short)
        if not again.terms:
            break
        steps = again.parameters
        moved = {
            name: Estimate(moved[name].value + step.value, step.standard_error) if name in moved else step
            for name, step in steps.items()
        }
        found = replace(again, before=first.before, parameters=moved)
        if all(abs(e.value) <= SETTLED * e.standard_error for e in steps.values()):
            break
    return found


def rest(known: Known, data: Trajectories, frames: int = FRAMES) -> Rest:
    """Return what a law leaves over for each particle."""
    x, v, a = chosen_frames(data, frames)
    rms = lambda field: np.sqrt((field**2).sum(-1).mean(0))
    noise = None
    if data.acceleration_error is not None:
        noise = np.sqrt((data.acceleration_error**2).mean(0) * data.shape[3])
    return Rest(data.names, rms(a), rms(a - known.acceleration(x, v)), noise)


def refitted(known: Known, data: Trajectories, frames: int = FRAMES) -> Known:
    """Fit the law's own constants and hidden properties again, relative to each particle's acceleration.

    Constants of terms that were found in the rest stay: they were fitted to the particles that show them
    best. The standard errors are cluster-robust over particles and stretches of time (see `coefficients`).
    """
    x, v, a = chosen_frames(data, frames)
    names = known.parameters()
    if not names:
        return known
    size = np.sqrt((a**2).sum(-1).mean(0))
    weight = 1.0 / np.where(size > 0, size, 1.0)[:, None]
    stretch = np.arange(len(x)) * STRETCHES // len(x)
    groups = stretch[:, None, None] + STRETCHES * np.arange(x.shape[1])[:, None]
    for _ in range(STEPS):
        slopes = (known.columns(x, v, names) * weight[..., None]).reshape(-1, len(names))
        left = ((a - known.acceleration(x, v)) * weight).ravel()
        change, covariance = coefficients(slopes, left, np.broadcast_to(groups, x.shape).ravel())
        errors = np.sqrt(np.diag(covariance).clip(min=0))
        changes = (Estimate(float(c), float(e)) for c, e in zip(change, errors, strict=True))
        known = known.changed(dict(zip(names, changes, strict=True)))
    return known


def run_alone(
    known: Known, truth: Trajectories, most_evaluations: int = 2_000_000, rtol: float = 1e-12
) -> RolloutComparison:
    """Let a law run alone from the first frame of ``truth``, and put it beside what happened.

    Raises:
        ValueError: a periodic box, or no velocities.
    """
    from sciml.distill.evaluate import RolloutComparison

    if truth.box is not None or truth.velocity is None:
        lack = "have a periodic box" if truth.box is not None else "have no velocities to start from"
        raise ValueError(f"{truth.source}: no rollout, since these trajectories {lack}")
    path = simulate(
        known.law, truth.position[0, 0], truth.velocity[0, 0], truth.time[0], known.properties, rtol=rtol,
        most_evaluations=most_evaluations,
    )  # fmt: skip
    inertia = known.properties.get(known.law.inertia)
    return RolloutComparison(
        time=path.time,
        names=truth.names,
        predicted=path.position,
        true=truth.position[0, : len(path.time)],
        momentum_drift=None if inertia is None else float(path.momentum_drift(inertia).max()),
        unit=truth.units.get("position", ""),
        time_unit=truth.units.get("time", ""),
        note=path.reason,
    )


def with_units(known: Known, data: Trajectories) -> Known:
    """Let a law know the units of the data's lengths and times, for the units of new constants."""
    units = {"time_unit": data.units.get("time", ""), "length_unit": data.units.get("position", "")}
    return replace(known, law=replace(known.law, provenance={**known.law.provenance, **units}))
