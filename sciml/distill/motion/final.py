"""The last decision, by whole paths: which of the laws that rows left, and which of its forces are needed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from sciml.distill.expression import complexity
from sciml.distill.motion.model import Model
from sciml.distill.motion.paths import SPACINGS, PathFit, Pieces, cut, fit_paths
from sciml.distill.motion.rows import Observed
from sciml.distill.motion.simpler import ODD, extends, flattened, odd_exponents, same_values, simpler_forms
from sciml.distill.motion.verdict import CLOSE

log = logging.getLogger(__name__)

WEAK = 4.0  # standard errors from zero within which leaving a force out is tried
LONGER = 1.2  # times the residual of shorter pieces that longer ones may leave
MOST = 6  # laws that are compared by paths
WITHIN = 25.0  # nats by which rows may prefer another law


@dataclass(frozen=True, eq=False)
class Final:
    """The law by paths.

    Attributes:
        fit: its fit.
        length: its description length in nats.
        rivals: other laws that paths do not tell from it, in words.
        far: whether it was followed through pieces much longer than the finest detail of the paths.
    """

    fit: PathFit
    length: float
    rivals: tuple[str, ...]
    far: bool


def length(fit: PathFit) -> float:
    """Return description length: half the squared residual over its noise, and the formulas and numbers."""
    nodes = sum(complexity(p.template) + ODD * odd_exponents(p) for p in fit.model.parts)
    numbers = len(fit.model.start) * np.log(max(fit.rows, 2)) / 2
    return float(fit.total / 2 + np.log(10.0) * nodes + numbers)


def _evidence(fit: PathFit) -> float:
    """Return what the data alone say: half the squared residual, and the price of the numbers."""
    return float(fit.total / 2 + len(fit.model.start) * np.log(max(fit.rows, 2)) / 2)


Ranges = Mapping[str, tuple[float, float]]
Fitting = Callable[[Model], tuple[float, PathFit] | None]


def decide(models: Sequence[Model], observed: Observed, ranges: Ranges) -> Final | None:
    """Fit laws to paths; simplify the best; name the others that come near.

    Args:
        models: laws, the most likely first.
        observed: the data.
        ranges: of the invariants, see `Bank.ranges`.

    Returns:
        None where no trajectory can be followed.
    """
    fitting: Fitting = partial(_fit, pieces=cut(observed))
    tried = [fitting(model) for model in _different(models, ranges)[:MOST]]
    fits = [t for t in tried if t is not None]
    if not fits:
        return None
    short, far = min(fits, key=lambda f: f[0])[1], False
    for spacings in SPACINGS[1:]:
        try:
            longer = cut(observed, spacings, guide=min(fits, key=lambda f: f[0])[1].model)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            log.info("paths of %s spacings: %s", spacings, error)
            break
        further: Fitting = partial(_fit, pieces=longer)
        again = _longer(fits, further)
        if again is None:
            break
        fits, fitting, far = again, further, True
    best = min(fits, key=lambda f: f[0])
    least = _evidence(best[1])  # before it is simplified, as the others are not
    best = _simplified(best, fitting, ranges)
    # the shorter pieces are all of the data, and judge whether the law explains them
    best = (best[0], replace(best[1], chi2=max(best[1].chi2, short.chi2),
                             held_out=float(np.fmax(best[1].held_out, short.held_out))))  # fmt: skip
    rivals: list[str] = []
    for _, fit in sorted(fits, key=lambda f: f[0]):
        words = _differences(fit.model, best[1].model, ranges)
        near = _evidence(fit) < least + CLOSE and words and words not in rivals
        if near and not _adds_to(fit.model, best[1].model, ranges):
            rivals.append(words)
    return Final(best[1], best[0], tuple(rivals), far)


def _longer(fits: Sequence[tuple[float, PathFit]], fit: Fitting) -> list[tuple[float, PathFit]] | None:
    """Fit laws that come near to longer pieces of paths; None where the best cannot be followed so far."""
    least = min(length for length, _ in fits)
    near = [before.model for length, before in fits if length < least + WITHIN]
    again = [t for model in near if (t := fit(model)) is not None]
    if not again:
        return None
    best, before = (min(f, key=lambda f: f[0])[1] for f in (again, fits))
    return again if best.chi2 < LONGER * max(before.chi2, 1.0) else None


def _different(models: Sequence[Model], ranges: Ranges) -> list[Model]:
    """Return the models that give other numbers than those before them."""
    found: list[Model] = []
    for model in models:
        if all(_differences(model, other, ranges) or len(model.parts) != len(other.parts) for other in found):
            found.append(model)
    return found


def _fit(model: Model, pieces: Pieces) -> tuple[float, PathFit] | None:
    try:
        fit = fit_paths(model, pieces)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        log.info("paths could not be fitted: %s", error)
        return None
    found = length(fit)
    log.debug(
        "%.1f nats, chi2 %.4g by paths: %s", found, fit.chi2, [str(p.expression) for p in fit.model.parts]
    )
    return (found, fit) if np.isfinite(found) else None


def _simplified(best: tuple[float, PathFit], fit: Fitting, ranges: Ranges) -> tuple[float, PathFit]:
    """Leave out what hardly varies and forces that are within their errors of zero; make numbers simple."""
    flat = tuple(flattened(p, ranges) for p in best[1].model.parts)
    if flat != best[1].model.parts:
        best = min(best, fit(replace(best[1].model, parts=flat)) or best, key=lambda f: f[0])
    model, errors = best[1].model, dict(zip(best[1].model.names, best[1].errors, strict=False))
    needed = [p for p in model.parts if not all(abs(v) < WEAK * errors[n] for n, v in p.constants[:1])]
    if needed and len(needed) < len(model.parts):
        best = min(best, fit(replace(model, parts=tuple(needed))) or best, key=lambda f: f[0])
    model, errors = best[1].model, dict(zip(best[1].model.names, best[1].errors, strict=False))
    simpler = tuple(next(iter(simpler_forms(p, errors)), p) for p in model.parts)
    if simpler != model.parts:
        best = min(best, fit(replace(model, parts=simpler)) or best, key=lambda f: f[0])
    return best


def _differences(other: Model, best: Model, ranges: Ranges) -> str:
    """Return how another law differs, in words; "" if it gives the same numbers."""
    if len(other.parts) != len(best.parts):
        if len(other.parts) > len(best.parts):
            return ""  # the same with a force that is not needed
        return " + ".join(f"({p.expression})*{p.vector}" for p in _ordered(other))
    words = []
    for a, b in zip(_ordered(other), _ordered(best), strict=True):
        alike = a.vector == b.vector and a.strength == b.strength
        if not alike or not same_values(a.expression, b.expression, ranges):
            words.append(f"({_short(a.expression)})*{a.vector}")
    return " + ".join(words)


def _adds_to(other: Model, best: Model, ranges: Ranges) -> bool:
    """Whether another law is the best one with terms added that hardly matter where the data are."""
    if len(other.parts) != len(best.parts):
        return False
    return all(
        (a.vector, a.strength) == (b.vector, b.strength)
        and (same_values(a.expression, b.expression, ranges) or extends(a.expression, b.expression, ranges))
        for a, b in zip(_ordered(other), _ordered(best), strict=True)
    )


def _short(expression) -> str:
    return str(expression.xreplace({f: round(f, 4) for f in expression.atoms() if f.is_Float}))


def _ordered(model: Model) -> list:
    return sorted(model.parts, key=lambda p: (not p.of_pairs, p.vector))
