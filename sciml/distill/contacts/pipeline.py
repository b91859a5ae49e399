"""From contact counts to a formula in hidden properties of the residue types."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy
from jaxtyping import Float

from sciml.distill.contacts.compare import Comparison, compare, compare_hidden
from sciml.distill.contacts.counts import FIRST, SECOND, TYPES, ContactCounts
from sciml.distill.contacts.energies import ContactEnergies, contact_energies
from sciml.distill.contacts.forms import Fitted, Form, evaluated, fit_form, held_out, tied
from sciml.distill.contacts.gauge import (
    ONE_BODY,
    bilinear,
    canonical,
    ends,
    extended,
    settled,
    signs_of,
    start_of,
)
from sciml.distill.expression import complexity
from sciml.distill.law import Constant, Law
from sciml.distill.search import search
from sciml.distill.select import free_coefficients

log = logging.getLogger(__name__)

Q = ends("q")
EXTRA = 2.0  # standard errors by which a term more must be better: each brings 20 numbers
REFITS = 40  # of the bootstrap of hidden values, each a fit
MOST = 4  # formulas of the front that are fitted to the counts


@dataclass(frozen=True)
class Trial:
    """A form and what it leaves over.

    Attributes:
        form: the form.
        complexity: nodes of its expression, a hidden property counting three.
        deviance: per contact, in families kept back, by fold.
        chosen: whether it is the law.
    """

    form: Form
    complexity: int
    deviance: Float[np.ndarray, "folds"]
    chosen: bool = False

    @property
    def mean(self) -> float:
        """Mean over folds."""
        return float(self.deviance.mean())


@dataclass(frozen=True)
class ContactLaw:
    """What contacts tell of residues.

    Attributes:
        energies: of pairs of types, with errors.
        law: the formula, in ``q_i``, ``q_j`` and further properties.
        fitted: its constants and the hidden property of each type.
        draws: (draws, 20) hidden values of the bootstrap over families, by property.
        trials: all forms that were tried, simplest first.
        floor: deviance per contact that counting alone leaves to the true energies.
        comparisons: with published scales.
        contacts, structures, families: that all of it rests on.
    """

    energies: ContactEnergies
    law: Law
    fitted: Fitted
    draws: dict[str, Float[np.ndarray, "draws 20"]]
    trials: tuple[Trial, ...]
    floor: float
    comparisons: tuple[Comparison, ...]
    contacts: int
    structures: int
    families: int

    @property
    def errors(self) -> dict[str, Float[np.ndarray, "20"]]:
        """Standard error of each hidden value, by property."""
        return {name: values.std(axis=0, ddof=1) for name, values in self.draws.items() if len(values) > 1}


def distill_contacts(
    counts: ContactCounts,
    *,
    folds: int = 5,
    draws: int = 200,
    seconds: float = 15.0,
    seed: int = 0,
    backend: str = "structured",
) -> ContactLaw:
    """Infer pair energies, find the formula and the hidden properties behind them, and compare.

    1. Pair energies by maximum likelihood (`contact_energies`).
    2. A first hidden property: q of the best q_a + q_b.
    3. Symbolic search for e_ij = f(q_i, q_j) on it (`sciml.distill.search`). Formulas that change when both
       ends change places are dropped, numbers are freed, and what q can hold goes into q.
    4. Each is fitted to the counts, together with hidden values of its own, and judged on families kept back.
       The simplest one within a standard error of the best stays.
    5. Terms are added, one-body or a product of a further property (`sciml.distill.contacts.gauge`), while
       each is better by more than two standard errors. Of equally good ones the one-body term goes first:
       its values are unique.

    Args:
        counts: of contacts.
        folds: of the families, for judging.
        draws: of the bootstrap over families.
        seconds: for the search.
        seed: of folds, draws and search.
        backend: engine of the search.

    Raises:
        ValueError: fewer families than folds.
    """
    energies = contact_energies(counts, draws, seed)
    observed, possible = counts.weighted()
    one_body = bilinear(True, ())
    h = fit_form(one_body, observed, possible, start_of(one_body, energies.energy)).hidden[ONE_BODY]
    found = _searched(energies, h, seconds, seed, backend)
    forms = [Form("none", sympy.Integer(0), ()), one_body, *found]
    judge = lambda form: _judged(form, counts, energies, h, folds, seed)
    trials = [judge(form) for form in _distinct(forms)]
    best = _simplest_good(trials)
    while more := [judge(form) for form in extended(best.form) if not _tried(form, trials)]:
        trials += more
        candidate = _clearest(more)  # one for each test: of several, some would pass by luck
        if not _better(candidate, best, EXTRA):
            break
        best = candidate
    start = _start(best.form, energies, h)
    fitted = fit_form(best.form, observed, possible, start)
    fitted = _with_hidden(fitted, settled(best.form, fitted.hidden, start))
    drawn = _drawn(best.form, counts, fitted, min(draws, REFITS), seed)
    floor = float(len(FIRST) * folds / observed.sum())
    ordered = sorted((replace(t, chosen=t is best) for t in trials), key=lambda t: (t.complexity, t.mean))
    return ContactLaw(
        energies=energies,
        law=_law(best, ordered, fitted, floor),
        fitted=fitted,
        draws=drawn,
        trials=tuple(ordered),
        floor=floor,
        comparisons=(*compare(energies), *compare_hidden(fitted.hidden, drawn)),
        contacts=counts.contacts,
        structures=len(counts.family),
        families=len(np.unique(counts.family)),
    )


# -------------------------------------------------------------------- details


def _searched(
    energies: ContactEnergies, q: np.ndarray, seconds: float, seed: int, backend: str
) -> list[Form]:
    """Formulas of the front that treat both ends alike, with free numbers and without their constant."""
    i, j = np.concatenate([FIRST, SECOND]), np.concatenate([SECOND, FIRST])
    y, error = energies.energy[i, j], np.maximum(energies.error[i, j], 1e-3)
    weights = error**-2.0
    front = search(
        np.stack([q[i], q[j]], axis=1),
        y,
        ["q_i", "q_j"],
        weights=weights,
        backend=backend,
        seconds=seconds,
        seed=seed,
        noise=float(len(y) / (weights * y**2).sum()),
    )
    swap = dict(zip(Q, reversed(Q)))
    forms = []
    for candidate in sorted(front, key=front.length):
        formula = candidate.expression
        if formula.free_symbols and sympy.simplify(formula - formula.xreplace(swap)) == 0:
            variable = free_coefficients(formula).as_independent(*Q, as_Add=True)[1]
            forms.append(canonical(variable) or Form("searched", variable))
    return forms[:MOST]


def _distinct(forms: list[Form]) -> list[Form]:
    """Forms that are not the same but for their numbers."""
    seen: dict[tuple, Form] = {}
    for form in forms:
        seen.setdefault((tied(form.expression)[0], form.hidden), form)
    return list(seen.values())


def _tried(form: Form, trials: list[Trial]) -> bool:
    return any(trial.form.expression == form.expression for trial in trials)


def _start(form: Form, energies: ContactEnergies, h: np.ndarray) -> dict[str, np.ndarray]:
    return start_of(form, energies.energy) if signs_of(form) is not None else dict.fromkeys(form.hidden, h)


def _judged(
    form: Form, counts: ContactCounts, energies: ContactEnergies, h: np.ndarray, folds: int, seed: int
) -> Trial:
    size = complexity(tied(form.expression)[0]) + 3 * len(form.hidden)
    return Trial(form, size, held_out(form, counts, _start(form, energies, h), folds, seed))


def _simplest_good(trials: list[Trial]) -> Trial:
    """The simplest form whose loss is within a standard error of the best (Breiman et al. 1984, 3.4.3)."""
    best = min(trials, key=lambda t: t.mean)
    good = [t for t in trials if not _better(best, t)]
    return min(good, key=lambda t: (t.complexity, t.mean))


def _better(a: Trial, b: Trial, errors: float = 1.0) -> bool:
    """Whether a is better than b by more than so many standard errors of the difference, fold by fold."""
    gain = b.deviance - a.deviance
    return a is not b and gain.mean() > errors * gain.std(ddof=1) / np.sqrt(len(gain))


def _clearest(trials: list[Trial]) -> Trial:
    """The best trial, or one with a one-body term that is not clearly worse."""
    best = min(trials, key=lambda t: t.mean)
    unique = [t for t in trials if ONE_BODY in t.form.hidden and not _better(best, t)]
    return min(unique or [best], key=lambda t: t.mean)


def _with_hidden(fitted: Fitted, hidden: dict[str, np.ndarray]) -> Fitted:
    """The same energies in other hidden values, and the constant that goes with them."""
    value = evaluated(fitted.form, hidden)
    constant = 0.0 if value is None else float(np.mean(fitted.energy - value))
    return replace(fitted, hidden=hidden, constant=fitted.constant if value is None else constant)


def _drawn(
    form: Form, counts: ContactCounts, fitted: Fitted, draws: int, seed: int
) -> dict[str, Float[np.ndarray, "draws 20"]]:
    """Hidden values refitted to families drawn with replacement."""
    rng = np.random.default_rng(seed)
    names, which = np.unique(counts.family, return_inverse=True)
    samples: dict[str, list[np.ndarray]] = {name: [] for name in form.hidden}
    for _ in range(draws):
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        one = fit_form(form, *counts.weighted(counts.weight * times[which]), fitted.hidden)
        for name, values in settled(form, one.hidden, fitted.hidden).items():
            samples[name].append(values)
    return {name: np.array(values).reshape(-1, TYPES) for name, values in samples.items()}


def _law(best: Trial, trials: list[Trial], fitted: Fitted, floor: float) -> Law:
    template, _ = tied(best.form.expression)
    nothing = next(t for t in trials if not t.form.hidden)
    explained = 1 - (best.mean - floor) / (nothing.mean - floor) if nothing.mean > floor else 0.0
    stated = (
        f"deviance per contact in families kept back {best.mean:.3f}; without types {nothing.mean:.3f}, "
        f"by counting alone {floor:.3f}"
    )
    if best.form.hidden:
        verdict, reason = "law", f"It explains {explained:.0%} of what types can explain: {stated}."
    else:
        verdict, reason = "none", f"Types of residues do not tell which touch: {stated}."
    constants = {name: Constant(value, None, "") for name, value in fitted.constants.items()}
    zero = sympy.Symbol("e_0")
    return Law(
        expression=template + zero,
        target="e",
        target_unit="",
        variables={f"{name}_{end}": "" for name in best.form.hidden for end in "ij"},
        constants=constants | {"e_0": Constant(fitted.constant, None, "")},
        verdict=verdict,
        reason=reason,
        provenance=_provenance(best.form),
    )


def _provenance(form: Form) -> dict[str, Any]:
    signs = signs_of(form)
    free = ["the sign of each hidden property that stands in a product"] if signs else []
    if signs and ONE_BODY in form.hidden:
        free.append("the zero of properties in products, taken as their mean over the 20 types")
    if signs and len(signs) > 1:
        free.append("how properties in products mix: they are eigenvectors, orthogonal over the 20 types")
    if signs is None:
        free = ["hidden values but for a change that the formula's numbers make up for"]
    return {
        "unit": "kT, by Boltzmann's law",
        "zero": "e_0 makes the average pair zero",
        "reference_state": "random pairs of the same structure and separation along the chain",
        "free": free,
    }
