"""From contact counts to a formula in one hidden property of each residue type (or two)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy
from jaxtyping import Float

from sciml.distill.contacts.compare import Comparison, attraction, compare, compare_hidden, without_one_body
from sciml.distill.contacts.counts import TYPES, ContactCounts, I, J
from sciml.distill.contacts.energies import ContactEnergies, contact_energies
from sciml.distill.contacts.forms import Fitted, Form, fit_form, held_out
from sciml.distill.expression import complexity, parameters
from sciml.distill.law import Constant, Law
from sciml.distill.search import search
from sciml.distill.select import free_coefficients

log = logging.getLogger(__name__)

Q = sympy.symbols("q_i q_j")
Z = sympy.symbols("z_i z_j")
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
        law: the formula, in ``q_i``, ``q_j`` (and ``z_i``, ``z_j``).
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
    """Infer pair energies, find the formula and the hidden property behind them, and compare.

    1. Pair energies by maximum likelihood (`contact_energies`).
    2. A first hidden property: q of the best q_a + q_b.
    3. Symbolic search for e_ij = f(q_i, q_j) on it (`sciml.distill.search`). Formulas that change when both
       ends change places are dropped, and numbers are freed.
    4. Each is fitted to the counts, together with a q of its own, and judged on families kept back. The
       simplest one within a standard error of the best is the law. The same with a second property,
       + z_i z_j or − z_i z_j, is taken if it is better by more than a standard error.

    The q of one formula is fixed up to what the formula forgives: its sign and scale, and a monotone map.

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
    start = _start(energies)
    observed, possible = counts.weighted()
    additive = fit_form(Form("additive", Q[0] + Q[1]), observed, possible, start)
    found = _searched(energies, additive.hidden["q"], seconds, seed, backend)
    forms = [Form("none", sympy.Integer(0), ()), Form("additive", Q[0] + Q[1]), *found]
    trials = [_tried(form, counts, start | additive.hidden, folds, seed) for form in _distinct(forms)]
    best = _simplest_good(trials)
    if best.form.hidden:
        twofold = [_tried(f, counts, start | additive.hidden, folds, seed) for f in _with_second(best.form)]
        trials += twofold
        second = min(twofold, key=lambda t: t.mean)
        best = second if _better(second, best) else best
    trials = sorted((replace(t, chosen=t is best) for t in trials), key=lambda t: (t.complexity, t.mean))
    fitted = _oriented(fit_form(best.form, observed, possible, start | additive.hidden), energies)
    drawn = _drawn(best.form, counts, fitted, min(draws, REFITS), seed)
    weight = counts.weighted()[0].sum()
    floor = float(len(I) * folds / weight) if weight else float("nan")
    return ContactLaw(
        energies=energies,
        law=_law(best, trials, fitted, floor),
        fitted=fitted,
        draws=drawn,
        trials=tuple(trials),
        floor=floor,
        comparisons=(*compare(energies), *compare_hidden(fitted.hidden, drawn)),
        contacts=counts.contacts,
        structures=len(counts.family),
        families=len(np.unique(counts.family)),
    )


# -------------------------------------------------------------------- details


def _start(energies: ContactEnergies) -> dict[str, np.ndarray]:
    h = -attraction(energies.energy)
    values, vectors = np.linalg.eigh(without_one_body(energies.energy))
    which = np.abs(values).argmax()
    return {"q": h - h.mean() / 2, "z": vectors[:, which] * np.sqrt(abs(values[which]))}


def _searched(
    energies: ContactEnergies, q: np.ndarray, seconds: float, seed: int, backend: str
) -> list[Form]:
    """Formulas of the front that treat both ends alike, with free numbers."""
    i, j = np.concatenate([I, J]), np.concatenate([J, I])
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
        fair = sympy.simplify(formula - formula.xreplace(swap)) == 0
        if fair and formula.free_symbols:
            variable = free_coefficients(formula).as_independent(*Q, as_Add=True)[1]
            forms.append(Form("searched", _absorbed(variable)))
    return forms[:MOST]


def _absorbed(formula: sympy.Expr) -> sympy.Expr:
    """Let q take a factor that it can hold: c (q_i + q_j) becomes q_i + q_j, and c q_i q_j becomes ± q_i q_j."""
    for whole in (Q[0] + Q[1], Q[0] * Q[1]):
        ratio = sympy.simplify(formula / whole)
        if not ratio.free_symbols:
            return whole if whole.is_Add or ratio > 0 else -whole
    return formula


def _distinct(forms: list[Form]) -> list[Form]:
    """Forms that are not the same but for their numbers."""
    seen: dict[tuple, Form] = {}
    for form in forms:
        seen.setdefault((parameters(form.expression)[0], form.hidden), form)
    return list(seen.values())


def _tried(form: Form, counts: ContactCounts, start: dict, folds: int, seed: int) -> Trial:
    size = complexity(parameters(form.expression)[0]) + 3 * len(form.hidden)
    return Trial(form, size, held_out(form, counts, start, folds, seed))


def _simplest_good(trials: list[Trial]) -> Trial:
    """The simplest form whose loss is within a standard error of the best (Breiman et al. 1984, 3.4.3)."""
    best = min(trials, key=lambda t: t.mean)
    good = [t for t in trials if not _better(best, t)]
    return min(good, key=lambda t: (t.complexity, t.mean))


def _better(a: Trial, b: Trial) -> bool:
    """Whether a is better than b by more than a standard error of the difference, fold by fold."""
    gain = b.deviance - a.deviance
    return a is not b and gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain))


def _with_second(form: Form) -> list[Form]:
    """The form and a product of a second property: what any symmetric rest begins with, by eigenvalues."""
    both = [form.expression + sign * Z[0] * Z[1] for sign in (1, -1)]
    return [Form("two properties", expression, (*form.hidden, "z")) for expression in both]


def _oriented(fitted: Fitted, energies: ContactEnergies) -> Fitted:
    """Turn q round where that gives the same energies, so that it is large for types that attract."""
    hidden = dict(fitted.hidden)
    for name, values in hidden.items():
        pair = sympy.symbols(f"{name}_i {name}_j")
        turned = fitted.form.expression.xreplace({s: -s for s in pair})
        even = sympy.simplify(turned - fitted.form.expression) == 0
        if even and np.corrcoef(values, attraction(energies.energy))[0, 1] < 0:
            hidden[name] = -values
    return replace(fitted, hidden=hidden)


def _drawn(
    form: Form, counts: ContactCounts, fitted: Fitted, draws: int, seed: int
) -> dict[str, Float[np.ndarray, "draws 20"]]:
    """Hidden values refitted to families drawn with replacement, turned to the sign of the estimate."""
    rng = np.random.default_rng(seed)
    names, which = np.unique(counts.family, return_inverse=True)
    samples: dict[str, list[np.ndarray]] = {name: [] for name in form.hidden}
    for _ in range(draws):
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        one = fit_form(form, *counts.weighted(counts.weight * times[which]), fitted.hidden)
        for name, values in one.hidden.items():
            samples[name].append(values * np.sign(values @ fitted.hidden[name]))
    return {name: np.array(values).reshape(-1, TYPES) for name, values in samples.items()}


def _law(best: Trial, trials: list[Trial], fitted: Fitted, floor: float) -> Law:
    template, _ = parameters(best.form.expression)
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
    text = str(form.expression)
    freedom = ["the sign of each hidden property that stands in a product"]
    if "q_i*q_j" in text and "z_i*z_j" in text:
        freedom.append("a hyperbolic rotation of q into z, which leaves the difference of their products")
    return {
        "unit": "kT, by Boltzmann's law",
        "zero": "e_0 makes the average pair zero",
        "reference_state": "random pairs of the same structure and separation along the chain",
        "free": freedom,
    }
