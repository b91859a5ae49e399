"""What a law is worth beyond its fit: outside of where it was fitted, term by term, and running alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import sympy
from jaxtyping import Bool, Float

from sciml.datasets.trajectories import Trajectories
from sciml.distill.evaluate import RolloutComparison, follow_law
from sciml.distill.law import Law
from sciml.distill.motion.bank import SIMULATIONS, held_out_rows, pair_geometry
from sciml.distill.motion.model import Fit, fit_rows, residuals
from sciml.distill.motion.natural import Natural
from sciml.distill.motion.rows import Observed
from sciml.distill.residual import Known, run_alone

log = logging.getLogger(__name__)

TAIL = 0.1  # share of the least and of the greatest values that counts as outside
EVALUATIONS = 100_000  # of the force, after which a rollout ends


@dataclass(frozen=True)
class Outside:
    """Constants fitted where distances and speeds are middling, judged where they are not.

    Attributes:
        left: rms of what the law leaves outside, beyond noise and relative to what was there.
        inside: the same on the rows to which it was fitted.
        share: of rows that are outside.
    """

    left: float
    inside: float
    share: float


@dataclass(frozen=True)
class Share:
    """Part of one term in the accelerations.

    Attributes:
        variance: covariance of the term with the measured rows over their variance, noise taken off. The
            shares of all terms add up to what the law explains; where terms oppose each other one may be
            negative, or more than one.
        size: its rms over that of the measured rows.
    """

    variance: float
    size: float


def outside(fit: Fit, observed: Observed) -> Outside | None:
    """Fit the constants again to the inner rows only; None where there are too few of either.

    A row of a receiver is outside if its nearest distance, its farthest distance or its speed is among the
    least or the greatest tenth of all. The formula is the one that was found in all of them.
    """
    far = _far(observed)
    share = float(np.mean(np.concatenate([f[v] for f, v in zip(far, observed.valid, strict=True)])))
    unknowns = len(fit.model.start)
    rows = sum(int(v.sum()) for v in observed.valid)
    if not fit.model.parts or min(share, 1 - share) * rows < 3 * max(unknowns, 1):
        return None
    inner = fit_rows(fit.model, observed, far)
    nothing = replace(fit.model, parts=())
    energies = [float(np.mean(residuals(nothing, observed, far, part) ** 2)) for part in (False, True)]
    noise = 1.0 if observed.noise_known else 0.0
    left = lambda loss, energy: float(np.sqrt(max(loss - noise, 0.0) / max(energy - noise, 1e-12 * energy)))
    return Outside(left(inner.held_out, energies[1]), left(inner.loss, energies[0]), share)


def _far(observed: Observed) -> list[Bool[np.ndarray, "rows particles"]]:
    """Return which rows are outside, for each simulation."""
    values = [_states(observed, s) for s in range(len(observed.targets))]
    every = np.concatenate([v.reshape(-1, v.shape[-1]) for v in values])
    low, high = np.quantile(every, [TAIL, 1 - TAIL], axis=0)
    return [((v < low) | (v > high)).any(-1) for v in values]


def _states(observed: Observed, s: int) -> Float[np.ndarray, "rows particles invariants"]:
    """Return nearest and farthest distance and speed of each receiver, averaged over each row."""
    weight = np.abs(observed.operators[s])
    weight = weight / weight.sum(1, keepdims=True)
    speed = np.linalg.norm(observed.velocity[s], axis=-1)
    columns = [speed]
    if speed.shape[1] > 1:
        distance = np.linalg.norm(pair_geometry(observed, s)[0], axis=-1)
        own = np.eye(speed.shape[1], dtype=bool)
        columns += [np.where(own, np.inf, distance).min(-1), distance.max(-1)]
    return np.einsum("rt,ctp->rpc", weight, np.stack(columns))


def shares(fit: Fit, observed: Observed) -> list[Share]:
    """Return the part of each term of a model in the held-out rows."""
    held = held_out_rows(observed)
    whole = replace(fit.model, parts=())
    measured = -residuals(whole, observed, held, True)
    noise = 1.0 if observed.noise_known else 0.0
    energy = float(np.mean(measured**2)) if len(measured) else 0.0
    there = max(energy - noise, 1e-12 * energy, 1e-300)
    found = []
    for part in fit.model.parts:
        term = residuals(replace(fit.model, parts=(part,)), observed, held, True) + measured
        found.append(Share(float(np.mean(term * measured)) / there, float(np.sqrt(np.mean(term**2) / there))))
    return found


def rolled_out(
    law: Law, hidden: Mapping[str, np.ndarray], observed: Observed, natural: Natural
) -> RolloutComparison | None:
    """Let a law run alone through what was held out, from where the paths are there; None where it cannot.

    Args:
        law: in the file's units.
        hidden: properties that were found, [particles].
        observed: paths, in natural units.
        natural: these.
    """
    truth = _kept_back(observed, natural)
    given = {name: values[0] for name, values in truth.properties.items()}
    try:
        if law.terms or not _mutual(law):
            return run_alone(Known(law, truth.names, hidden, given), truth, EVALUATIONS)
        inertia = {**given, **hidden}.get(law.inertia)
        return follow_law(law, {**given, **hidden}, inertia, truth, EVALUATIONS)
    except (ValueError, KeyError) as error:
        log.info("no rollout: %s", error)
        return None


def _mutual(law: Law) -> bool:
    """Whether the sender is pushed back as strongly: the formula is the same with i and j exchanged."""
    ends = {"_i": "_j", "_j": "_i"}
    symbols = [s for s in law.expression.free_symbols if s.name[-2:] in ends]
    swap = {s: sympy.Symbol(s.name[:-2] + ends[s.name[-2:]]) for s in symbols}
    return bool(law.expression.xreplace(swap) == law.expression)


def _kept_back(observed: Observed, natural: Natural) -> Trajectories:
    """Return the held-out part of the first simulation that has one, smoothed, in the file's units."""
    data, simulations = observed.data, len(observed.position)
    s = round(0.75 * simulations) if simulations >= SIMULATIONS else 0
    first = 0 if simulations >= SIMULATIONS else round(0.75 * data.shape[1])
    paths = replace(
        data,
        position=observed.position * natural.length,
        velocity=observed.velocity * (natural.length / natural.time),
        time=data.time * natural.time,
        acceleration=None,
        acceleration_error=None,
        properties=natural.given(data.properties),
    )
    return paths.select(simulations=slice(s, s + 1), times=slice(first, None))
