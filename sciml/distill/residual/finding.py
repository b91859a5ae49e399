"""What explains the rest: candidates by complexity, the choice among them, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import isclose

import numpy as np
import sympy
from jaxtyping import Float

from sciml.distill import front as formulas
from sciml.distill.front import Front
from sciml.distill.refit import Estimate
from sciml.distill.residual.library import Dimension, Monomial
from sciml.distill.residual.ratios import simple_ratio
from sciml.distill.residual.rows import Look, Rows
from sciml.distill.residual.subsets import Projected, best_subsets, coefficients
from sciml.distill.select import BETTER, EQUAL

MOST = 4  # terms
ABOVE = 3.0  # times the noise that the rest must be to be looked at
SURE = 4.0  # standard errors that each coefficient must be from zero
SHORT_LIST = 60  # candidates that are judged on later times
SLACK = 4  # symbols that a formula may be longer by and still be a rival
WORTH = 1.5  # times that a longer formula may leave less before the chosen one is in doubt
DOUBT = 2.0  # as EQUAL, where more than noise remains; see `_rivals`
SAME_FUNCTION = 1e-7  # relative difference of sums of squares below which two formulas are one function


@dataclass(frozen=True, eq=False)
class Candidate:
    """Terms that share one new constant.

    Attributes:
        terms: the terms.
        dimension: of the constant, in powers of length and time.
        complexity: symbols that it takes to write the terms as corrections to the known law, and two for
            each invariant that they use.
        left: rms of what they leave over, over the noise, on all rows.
        held_out: the same on later times, fitted to the earlier ones.
    """

    terms: tuple[Monomial, ...]
    dimension: Dimension
    complexity: int
    left: float
    held_out: float = np.nan

    def __str__(self) -> str:
        return " + ".join(map(str, self.terms))


@dataclass(frozen=True, eq=False)
class Finding:
    """What was found in what a law leaves over.

    Attributes:
        look: where.
        noise: rms error of a component of the acceleration by receiver, in the data's units.
        size: rms acceleration by receiver, in the same units.
        before: rms of what the law leaves over, over the noise, by receiver.
        refitted: the same after the law's own constants have moved to take up what they can.
        after: the same with the terms.
        terms: that explain it; empty if none do.
        coefficients: of the terms.
        constant: the one new constant, if the coefficients are in a simple ratio; in powers of the data's
            units of length and time as ``dimension`` says.
        ratio: the whole numbers.
        dimension: of the constant.
        parameters: changes of the law's own constants and hidden properties that go with the terms.
        front: candidates that no simpler one beats.
        short: candidates that were judged on later times.
        rivals: other candidates that the data do not rule out.
        verdict, reason: "law", "ambiguous" or "none", and why.
    """

    look: Look
    noise: Float[np.ndarray, "receivers"]
    size: Float[np.ndarray, "receivers"]
    before: Float[np.ndarray, "receivers"]
    refitted: Float[np.ndarray, "receivers"]
    after: Float[np.ndarray, "receivers"]
    verdict: str = "none"
    reason: str = ""
    terms: tuple[Monomial, ...] = ()
    coefficients: tuple[Estimate, ...] = ()
    constant: Estimate | None = None
    ratio: tuple[int, ...] | None = None
    dimension: Dimension | None = None
    parameters: dict[str, Estimate] = field(default_factory=dict)
    front: tuple[Candidate, ...] = ()
    short: tuple[Candidate, ...] = ()
    rivals: tuple[Candidate, ...] = ()


def find(
    equations: Rows,
    look: Look,
    among: Sequence[Candidate] | None = None,
    on_front: Callable[[Front], None] | None = None,
) -> Finding:
    """Search what is left over for terms that share one constant, and judge the best.

    Args:
        equations: of the look (`sciml.distill.residual.rows.equations_of`).
        look: where.
        among: candidates of an earlier search, to choose from instead of searching again.
        on_front: told of the best formulas so far, coefficients left out, after each class of terms.
    """
    rest = Projected.of(np.zeros((len(equations.target), 0)), equations.target, equations.base).target
    refitted = equations.rms(rest)
    nothing = Finding(
        look, equations.noise, equations.size, equations.rms(equations.target), refitted, refitted
    )
    if refitted.max() < ABOVE:
        names = ", ".join(f"{name} {value:.1f}" for name, value in zip(look.receivers, refitted, strict=True))
        reason = (
            f"Nothing stands above the noise once the law's own constants may move: rms over noise {names}."
        )
        return replace(nothing, reason=reason)
    if among is None:
        among = _likeliest(_candidates(equations, on_front))
    short = _judged(equations, among)
    start = _error(rest[equations.late])
    front = _front(short)
    best = _simplest_unbeaten(front, equations)
    if best is None or start < BETTER * _excess(best.held_out, equations):
        gain = start / best.held_out if best is not None else 1.0
        reason = (
            f"Something is left over, {refitted.max():.3g} times the noise, and no few terms of the "
            f"library explain it: the best leave 1/{gain:.1f} of it in times that they were not fitted to."
        )
        return replace(nothing, reason=reason, front=front)
    return _settled(equations, nothing, best, short, front, start)


def _candidates(equations: Rows, on_front: Callable[[Front], None] | None = None) -> list[Candidate]:
    """The best subsets of every class, those of one function once."""
    found: list[Candidate] = []
    for dimension, terms in equations.library().items():
        columns = equations.columns(terms)
        usable = np.isfinite(columns).all(0) & (np.abs(columns).max(0, initial=0.0) > 0)
        terms = [t for t, good in zip(terms, usable, strict=True) if good]
        if not terms:
            continue
        problem = Projected.of(columns[:, usable], equations.target, equations.base)
        for subset, squares in best_subsets(problem, MOST):
            chosen = tuple(terms[k] for k in subset)
            if proportional(chosen) is not None:
                left = float(np.sqrt(squares / len(equations.target)))
                found.append(Candidate(chosen, dimension, complexity(chosen), left))
        if on_front is not None and found:
            on_front(_shown(found, equations))
    return _distinct(found, lambda c: c.left)


def _shown(found: Sequence[Candidate], equations: Rows) -> Front:
    """Return candidates as formulas, with the share of the rest that they leave."""
    whole = float(np.mean(equations.target**2)) or 1.0
    sums = (
        formulas.Candidate(
            sympy.Add(*(t.scalar * sympy.Symbol(t.vector) for t in c.terms)), c.complexity, c.left**2 / whole
        )
        for c in found
    )
    return Front.of(sums, rows=len(equations.target))


def proportional(terms: Sequence[Monomial]) -> int | None:
    """Return the least power of the known law's pull in the terms; None if they could all do with less."""
    least = min(dict(t.powers).get("g", 0) for t in terms)
    return None if least > 1 else least


def complexity(terms: Sequence[Monomial]) -> int:
    """Count symbols: those of each term beside the known law's, and two for each invariant."""
    names = {name for t in terms for name in t.relative}
    # a correction in proportion to the known law is the simpler of two ways to write one function
    return sum(t.cost for t in terms) + 2 * len(names) + 2 * (proportional(terms) == 0)


def _distinct(found: Sequence[Candidate], number: Callable[[Candidate], float]) -> list[Candidate]:
    """Of several ways to write one function, as g and 1/r² are under one sender, keep the simplest.

    They are told by a number, the same for the same function to rounding errors.
    """
    kept: list[Candidate] = []
    for one in sorted(found, key=lambda c: (len(c.terms), number(c), c.complexity)):
        twin = kept[-1] if kept else None
        if (
            twin is None
            or len(twin.terms) < len(one.terms)
            or not isclose(number(twin), number(one), rel_tol=SAME_FUNCTION)
        ):
            kept.append(one)
        elif one.complexity < twin.complexity:
            kept[-1] = one
    return kept


def _likeliest(found: Sequence[Candidate]) -> list[Candidate]:
    """Leave out those that a simpler one beats by far, and of the others all but the best."""
    least, chosen = np.inf, []
    for c in sorted(found, key=lambda c: (c.complexity, c.left)):
        if c.left < BETTER * least:
            chosen.append(c)
        least = min(least, c.left)
    return sorted(chosen, key=lambda c: np.log(c.left) + 0.1 * c.complexity)[:SHORT_LIST]


def _judged(equations: Rows, found: Sequence[Candidate]) -> list[Candidate]:
    """Fit candidates to the earlier times and judge them by the later."""
    early, judged = ~equations.late, []
    for c in found:
        columns = np.hstack([equations.base, equations.columns(c.terms)])
        values, _ = coefficients(columns[early], equations.target[early], equations.groups[early])
        error = _error(equations.target[~early] - columns[~early] @ values)
        judged.append(replace(c, held_out=error))
    return _distinct(judged, lambda c: c.held_out)


def _error(residual: np.ndarray) -> float:
    return float(np.sqrt(np.mean(residual**2)))


def _excess(rms: float, equations: Rows) -> float:
    """What of a residual the noise does not explain, at least what chance may leave of it."""
    chance = 2.0 * np.sqrt(2.0 / max(int(equations.late.sum()), 1))
    return float(np.sqrt(max(rms**2 - 1.0, chance)))


def _front(candidates: list[Candidate]) -> tuple[Candidate, ...]:
    kept: list[Candidate] = []
    for c in sorted(candidates, key=lambda c: (c.complexity, c.held_out)):
        if not kept or c.held_out < kept[-1].held_out:
            kept.append(c)
    return tuple(kept)


def _simplest_unbeaten(front: Sequence[Candidate], equations: Rows) -> Candidate | None:
    """A longer formula must lower the error that noise does not explain threefold."""
    best = None
    for c in front:
        if best is None or _excess(c.held_out, equations) * BETTER < _excess(best.held_out, equations):
            best = c
    return best


def _settled(
    equations: Rows,
    nothing: Finding,
    best: Candidate,
    short: Sequence[Candidate],
    front: tuple[Candidate, ...],
    start: float,
) -> Finding:
    """Fit the chosen terms with the law's constants free, and say how sure they are."""
    own = equations.columns(best.terms)
    number = len(equations.parameters)
    values, covariance = coefficients(np.hstack([equations.base, own]), equations.target, equations.groups)
    errors = np.sqrt(np.diag(covariance).clip(min=0))
    estimates = [Estimate(float(v), float(e)) for v, e in zip(values, errors, strict=True)]
    after = equations.target - np.hstack([equations.base, own]) @ values
    ratio, constant = _shared(equations, own, values[number:], after)
    rivals = _rivals(equations, best, short)
    weak = [
        str(t)
        for t, e in zip(best.terms, estimates[number:], strict=True)
        if abs(e.value) < SURE * e.standard_error
    ]
    stated = (
        f"of what was left over, {start:.3g} times the noise, {best.held_out:.3g} times remain in times that "
        "the terms were not fitted to"
    )
    longer = next(
        (c for c in front if _excess(c.held_out, equations) * WORTH < _excess(best.held_out, equations)), None
    )
    verdict, reason = "law", f"These terms explain it: {stated}."
    if rivals or weak or longer:
        verdict = "ambiguous"
        reason = f"Not sure: {stated}; " + "; ".join(
            [f"{t} is less than {SURE:g} standard errors from zero" for t in weak]
            + [f"not ruled out: {c}" for c in rivals[:3]]
            + [f"and {len(rivals) - 3} more"] * (len(rivals) > 3)
            + ([f"a longer one leaves {longer.held_out:.3g}: {longer}"] if longer else [])
        )
    return replace(
        nothing,
        after=equations.rms(after),
        verdict=verdict,
        reason=reason,
        terms=best.terms,
        coefficients=tuple(estimates[number:]),
        constant=constant,
        ratio=ratio,
        dimension=best.dimension,
        parameters=dict(zip(equations.parameters, estimates[:number], strict=True)),
        front=front,
        short=tuple(short),
        rivals=rivals,
    )


def _rivals(equations: Rows, best: Candidate, short: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Return other formulas, about as simple, that these data do not rule out.

    Where only noise remains, those are as good within `EQUAL`. Where something else remains, it may be what
    tells them apart: a rival that leaves R times as much could still be right if that remainder followed the
    difference of the two with a correlation of sqrt(1 - 1/R²), 0.87 for R = `DOUBT`.
    """
    near = EQUAL if best.held_out < ABOVE else DOUBT
    return tuple(
        c
        for c in short
        if not set(best.terms) <= set(c.terms)
        and c.complexity <= best.complexity + SLACK
        and _excess(c.held_out, equations) < near * _excess(best.held_out, equations)
    )


def _shared(
    equations: Rows, own: np.ndarray, values: np.ndarray, after: np.ndarray
) -> tuple[tuple[int, ...] | None, Estimate | None]:
    """Return the simple ratio of the coefficients, if the data allow one, and the constant they share."""

    def fit(numbers: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        columns = np.hstack([equations.base, (own @ np.array(numbers, dtype=float))[:, None]])
        values, covariance = coefficients(columns, equations.target, equations.groups)
        return values, covariance, equations.target - columns @ values

    free = _error(after)
    numbers = simple_ratio(values, lambda n: _error(fit(n)[2]) < EQUAL * free)
    if numbers is None:
        if len(values) > 1:
            return None, None
        numbers = (1,)
    shared, covariance, _ = fit(numbers)
    return numbers, Estimate(float(shared[-1]), float(np.sqrt(max(covariance[-1, -1], 0.0))))
