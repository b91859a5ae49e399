"""Which equation: the terms that the data demand, and whether another equation would do as well."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sciml.distill.fields.fit import Fit, Normal, fit
from sciml.distill.fields.subsets import Found, Subset, best_subsets
from sciml.distill.fields.terms import expand

SURE = 4.5  # standard errors from zero that a term needs: some hundred are tried
UNSURE = 3.0  # standard errors below which a term is not needed
SMALL = 4e-5  # share of the squared rate of change that a term must explain: 0.6 % of it (rms)
CHANCE = 2.0  # standard deviations of the residual that are put down to chance
FITTED = 3  # subsets of each size that are fitted with errors
IMPOSSIBLE = 3.0  # standard deviations of the residual below its mean that no equation reaches by chance
IMPROBABLE = 0.02  # how far below zero it may be anyway: the noise is known to some percent only
NEAR = 10.0  # rivals are sought among subsets that leave over so many standard deviations more
EXACT = 1e-9  # relative error of arithmetic in coefficients
ALIKE = 1e-2  # two equations whose coefficients differ by less are one


@dataclass(frozen=True, eq=False)
class Choice:
    """The equation of one channel, and the others that were tried.

    Attributes:
        best: the fit; None where no term is demanded.
        tried: the best fit of each size, in order, without errors.
        rivals: equations of at most as many terms that the data do not tell from it.
        most: number of terms that was allowed.
    """

    best: Fit | None
    tried: tuple[Fit, ...]
    rivals: tuple[Fit, ...]
    most: int


def choose(normal: Normal, most: int = 8, seeds: Iterable[Subset] = ()) -> Choice:
    """Take the largest equation all of whose terms the data demand.

    A term is demanded if its coefficient is `SURE` standard errors from zero, and leaving it out costs more
    than `SMALL` and more than what the equation leaves unexplained anyway. Under much noise the errors
    decide, and on clean data, where anything is significant, the size of the contributions.
    """
    subsets = best_subsets(normal, most, seeds)
    tried: list[Fit] = []
    best: Fit | None = None
    for size in range(1, most + 1):
        fits = [f for _, s in subsets[size][:FITTED] if (f := fit(normal, s, errors=False)) is not None]
        if not fits:
            continue
        tried.append(min(fits, key=lambda f: f.left_over))
        worthy = [fit(normal, f.support) for f in fits if _worthy(normal, f)]
        demanded = [f for f in worthy if f is not None and (f.t > SURE).all()]
        if demanded:
            found = _simplest(normal, demanded)
            best = found if best is None or _adds(normal, best, found) else best
    rivals = () if best is None else tuple(_rivals(normal, best, subsets))
    return Choice(best, tuple(tried), rivals, most)


def contributions(normal: Normal, found: Fit) -> np.ndarray:
    """Return what leaving out each term costs, as a share of the squared rate of change."""
    s = list(found.support)
    inverse = np.linalg.inv(normal.matrix[np.ix_(s, s)])
    return found.coefficients**2 / np.diag(inverse) / max(normal.energy, 1e-300)


def unexplained(normal: Normal, support: Sequence[int], w: np.ndarray, deviations: float = CHANCE) -> float:
    """Return the squared residual beyond noise and chance, relative to what there was to explain."""
    return max(normal.left_over(support, w) - deviations * normal.chance(support, w), 0.0)


def _simplest(normal: Normal, fits: Sequence[Fit]) -> Fit:
    """Return, of equations that chance may have ordered, the one with the simplest terms."""
    least = min(f.left_over for f in fits)
    terms = normal.problem.terms
    alike = [f for f in fits if f.left_over <= least + max(f.chance, SMALL)]
    return min(alike, key=lambda f: (sum(terms[j].order + terms[j].degree for j in f.support), f.left_over))


def _worthy(normal: Normal, found: Fit) -> bool:
    """Whether each term explains enough to be looked at."""
    w = found.coefficients
    if found.left_over < -max(IMPOSSIBLE * normal.chance(found.support, w), IMPROBABLE):
        return False  # much less than noise leaves over: the terms fit the noise
    rest, costs = unexplained(normal, found.support, w), contributions(normal, found)
    return bool((costs > SMALL).all() and (costs > rest).all())


def _adds(normal: Normal, shorter: Fit, longer: Fit) -> bool:
    """Whether the terms that only the longer equation has are demanded beside the shorter one, together.

    So they are, too, where noise cannot make what the shorter one leaves over, and can what the longer does.
    """
    gain = shorter.left_over - longer.left_over
    if gain < SMALL:
        return False
    beyond = [f.left_over - IMPOSSIBLE * f.chance for f in (shorter, longer)]
    if beyond[0] > SMALL and beyond[1] < 0:
        return True
    new = [j for j in longer.support if j not in shorter.support]
    evidence = _evidence(normal, shorter, new)
    if evidence is None:
        return gain > IMPOSSIBLE * normal.chance(longer.support, longer.coefficients)
    return evidence > SURE**2 * len(new)


def _rivals(normal: Normal, best: Fit, subsets: dict[int, Found]) -> Iterable[Fit]:
    """Yield equations to which the terms of the best one add nothing that can be seen."""
    yielded = [_law(normal, best)]
    rest = unexplained(normal, best.support, best.coefficients)
    chance = normal.chance(best.support, best.coefficients)
    for size in range(1, len(best.support) + 1):
        for left_over, subset in subsets[size]:
            missing = [j for j in best.support if j not in subset]
            gain = left_over - best.left_over
            if set(subset) < set(best.support) or not missing or gain > max(NEAR * chance, SMALL, rest):
                continue
            rival = fit(normal, subset)
            if rival is None or any(_same(_law(normal, rival), law) for law in yielded):
                continue
            evidence = _evidence(normal, rival, missing)
            unseen = gain < IMPOSSIBLE * chance if evidence is None else evidence < UNSURE**2 * len(missing)
            if gain <= max(SMALL, rest) or unseen:
                yielded.append(_law(normal, rival))
                yield rival


def _evidence(normal: Normal, found: Fit, new: Sequence[int]) -> float | None:
    """Return the squared distance from zero, in standard errors, of new terms beside those of an equation.

    None where all of them together are not fixed by the data.
    """
    together = fit(normal, (*found.support, *new))
    if together is None:
        return None
    w, V = together.coefficients[-len(new) :], together.covariance[-len(new) :, -len(new) :]
    return float(w @ np.linalg.solve(V + np.diag((EXACT * w) ** 2), w))


def _law(normal: Normal, found: Fit) -> dict:
    terms = normal.problem.terms
    return expand({terms[j]: w for j, w in zip(found.support, found.coefficients)})


def _same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(abs(a[m] - b[m]) <= ALIKE * abs(b[m]) for m in a)
