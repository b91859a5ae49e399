"""Which formula: of all that were found, the simplest that nothing clearly beats on frames kept back."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import sympy

from sciml.distill.pairs.fit import PairModel, fit_model
from sciml.distill.pairs.forms import BOOKS, Form, fit_curve
from sciml.distill.pairs.rows import PairRows
from sciml.distill.pairs.splines import Curve

log = logging.getLogger(__name__)
BETTER = 3.0  # a longer formula must leave so much less
EQUAL = 1.2  # what is left within this factor is alike
JOINT, WRITTEN = 6, 4  # formulas that are fitted to the frames, and how many of the books at least
ALIKE = 0.02  # of the largest force: formulas that differ by less are one
FLOOR = 1e-4  # of the typical force: less than that is not looked at
Fit = tuple[tuple[float, ...], float]  # constants, and what they leave of a curve


@dataclass(frozen=True)
class Trial:
    """A choice of formulas that was fitted to frames.

    Attributes:
        model: formulas and constants.
        size: nodes of all formulas that differ.
        error: root mean square of what is left of forces in frames kept back, over that of the forces.
        excess: the part of it that the best, splines or formula, does not leave.
    """

    model: PairModel
    size: int
    error: float
    excess: float

    @property
    def name(self) -> str:
        """The formulas, those of the books by name."""
        forms = dict.fromkeys(f for f in self.model.forms if f is not None)
        return "; ".join(f.name or str(_short(f.expression)) for f in forms)


@dataclass(frozen=True)
class Setting:
    """What formulas are fitted to and judged by.

    Attributes:
        curves: what pairs of each kind do.
        trial, held: frames to fit to, and later ones.
        elements: energies of single atoms, to begin with.
        cutoff: in Å.
        noise: what splines leave of forces and energies.
        least: error that splines leave on the frames kept back, relative to the forces.
    """

    curves: Sequence[Curve | None]
    trial: Sequence[PairRows]
    held: Sequence[PairRows]
    elements: tuple[float, ...]
    cutoff: float
    noise: tuple[float, float]
    least: float


def trials(setting: Setting, found: Sequence[Form]) -> list[Trial]:
    """Fit the most promising formulas to the frames: one for all kinds of pairs, and each kind's own best.

    Raises:
        ValueError: none can be fitted.
    """
    fits: dict[Form, list[Fit]] = {
        form: [((), 0.0) if c is None else fit_curve(form, c) for c in setting.curves]
        for form in (*BOOKS, *found)
    }
    left = {form: float(np.sqrt(np.sum([o[1] ** 2 for o in own]))) for form, own in fits.items()}
    # Curves that a network drew have errors of their own, which long formulas may follow: the frames decide.
    ordered = sorted(fits, key=lambda form: left[form])
    chosen = dict.fromkeys([*ordered[:JOINT], *[form for form in ordered if form.name][:WRITTEN]])
    choices = [tuple(None if c is None else form for c in setting.curves) for form in chosen]
    mixed = tuple(None if c is None else _best(fits, kind) for kind, c in enumerate(setting.curves))
    if len(set(mixed)) > 1:
        choices.append(mixed)
    done = []
    for forms in choices:
        values = tuple(() if f is None else fits[f][kind][0] for kind, f in enumerate(forms))
        tried = _tried(PairModel(forms, values, setting.elements, setting.cutoff), setting)
        if tried is not None:
            done.append(tried)
    if not done:
        raise ValueError("none of the formulas is finite at the distances of the frames")
    least = min(setting.least, *(t.error for t in done))  # splines may follow rare distances badly
    beyond = lambda t: float(np.sqrt(max(t.error**2 - least**2, (0.1 * least) ** 2, FLOOR**2)))
    return sorted((replace(t, excess=beyond(t)) for t in done), key=lambda t: (t.size, t.excess))


def simplest_unbeaten(tried: Sequence[Trial]) -> Trial:
    """Return the simplest, a longer one only where it leaves a third; by its name in the books, if any."""
    best = tried[0]
    for other in tried[1:]:
        if other.excess * BETTER < best.excess:
            best = other
    count = len(best.model.parameters)
    written = [
        t
        for t in tried
        if all(f is None or f.name for f in t.model.forms)
        and t.excess < EQUAL * best.excess
        and len(t.model.parameters) <= count
    ]
    return min(written, key=lambda t: t.excess) if written else best


def rivals(tried: Sequence[Trial], best: Trial, curves: Sequence[Curve | None]) -> list[Trial]:
    """Return other formulas, no longer than the best, that explain as much and are not the same function."""
    return [
        t
        for t in tried
        if t is not best
        and t.excess < EQUAL * best.excess
        and len(t.model.parameters) <= len(best.model.parameters)
        and not same(t.model, best.model, curves)
    ]


def same(a: PairModel, b: PairModel, curves: Sequence[Curve | None]) -> bool:
    """Whether two models give nearly the same forces where there are pairs."""
    for f, v, g, w, curve in zip(a.forms, a.values, b.forms, b.values, curves):
        if curve is None or f is None or g is None:
            continue
        one, two = f(curve.distance, v), g(curve.distance, w)
        if not np.allclose(one, two, rtol=0.0, atol=ALIKE * np.abs(two).max()):
            return False
    return True


def error_of(model: PairModel, parts: Sequence[PairRows]) -> float:
    """Return the root mean square of what a model leaves of forces, over that of the forces."""
    return relative([model.predict(p)[1] for p in parts], parts)


def relative(predicted: Sequence[np.ndarray], parts: Sequence[PairRows]) -> float:
    """Return the root mean square error of forces over their root mean square."""
    left = sum(float(np.square((f - p.forces)[p.known]).sum()) for f, p in zip(predicted, parts))
    whole = sum(float(np.square(p.forces[p.known]).sum()) for p in parts)
    return float(np.sqrt(left / max(whole, 1e-300)))


def _best(fits: dict[Form, list[Fit]], kind: int) -> Form:
    """Return the simplest form of one kind's curve that no other one beats threefold."""
    ordered = sorted(fits, key=lambda form: form.size)
    best = ordered[0]
    for form in ordered[1:]:
        if max(fits[form][kind][1], 1.0) * BETTER < fits[best][kind][1]:
            best = form
    return best


def _tried(model: PairModel, setting: Setting) -> Trial | None:
    forms = [f for f in model.forms if f is not None]
    try:
        fitted = fit_model(model, setting.trial, setting.noise).model
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        log.info("could not fit %s: %s", [f.name or str(f.expression) for f in forms], error)
        return None
    left = error_of(fitted, setting.held)
    if not np.isfinite(left):
        return None
    size = sum(f.size for f in dict.fromkeys(forms))
    trial = Trial(fitted, size, left, left)
    log.info("%s: %.3g of the forces left on frames kept back", trial.name, left)
    return trial


def _short(expression: sympy.Expr) -> sympy.Expr:
    return expression.xreplace({f: sympy.Float(f, 4) for f in expression.atoms(sympy.Float)})
