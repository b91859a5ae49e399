"""What a search is asked (Problem) and what it answers (Candidate, Front): the protocol of every engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import sympy
from jaxtyping import Float


@dataclass(frozen=True)
class Problem:
    """A table of observations of a scalar law ``y = f(x₁, …, xₖ)``.

    Attributes:
        X: one row per observation, one column per variable.
        y: the target.
        names: variable names, usable as SymPy symbols.
        weights: inverse variances of ``y`` up to a common factor; equal if None.
        units: unit of each variable (pint notation), or None if unknown.
        target_unit: unit of ``y``, or None if unknown.
        noise: loss that the errors of ``y`` alone would give (see `Candidate`), 0 if unknown; a simple
            formula at or below it leaves nothing to search for.
        model: a function of ``X`` that was fitted to the target, such as the network that is distilled: its
            derivatives show symmetries. None to read them from the data.
    """

    X: Float[np.ndarray, "rows variables"]
    y: Float[np.ndarray, "rows"]
    names: tuple[str, ...]
    weights: Float[np.ndarray, "rows"] | None = None
    units: tuple[str, ...] | None = None
    target_unit: str | None = None
    noise: float = 0.0
    model: Callable[[Any], Any] | None = None


@dataclass(frozen=True)
class Snapped:
    """A number in a formula that is simple or known, and what the data gave where it was free.

    Attributes:
        number: the number as text: "2", "4*pi**2", or the name of a constant of nature.
        value: fitted in its place.
        error: standard error of that.
    """

    number: str
    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.number} (fitted: {self.value:.7g} ± {self.error:.1g})"


@dataclass(frozen=True)
class Candidate:
    """A formula with its numbers in place.

    Attributes:
        expression: SymPy expression in the problem's variable names.
        complexity: nodes of the expression (`sciml.distill.expression.complexity`).
        loss: weighted mean squared error on all rows, divided by the weighted mean square of ``y``.
        engine: which backend proposed it.
        snapped: numbers that were set to simple or known ones, and what was fitted in their place.
    """

    expression: sympy.Expr
    complexity: int
    loss: float
    engine: str = ""
    snapped: tuple[Snapped, ...] = ()


EFFECTIVE_ROWS = 2000  # most rows that count in a selection: beyond, a model's errors are not independent
FLOOR = 1e-24  # relative mean squares below this are rounding errors


def description_length(expression: sympy.Expr, complexity: int, loss: float, rows: float) -> float:
    """Return how many nats it takes to write down a formula and what it leaves unexplained.

    ``rows/2 · log(loss) + log(10) · nodes + log(rows)/2`` per fitted constant (Rissanen 1978), and
    two nodes more for an exponent that is no simple fraction: such laws are rare.
    """
    nodes = list(sympy.preorder_traversal(expression))
    constants = sum(node.is_Float for node in nodes)
    odd = sum(node.is_Pow and node.exp.is_Float for node in nodes)
    rest = rows / 2 * np.log(max(loss, FLOOR))
    return float(rest + np.log(10.0) * (complexity + 2 * odd) + constants * np.log(max(rows, 1.0)) / 2)


def shape(expression: sympy.Expr) -> str:
    """Return the form of a formula without its numbers: what two fits of one law have in common."""
    if expression.is_Number:
        return "#"
    if not expression.args:
        return str(expression)
    parts = sorted({p for p in map(shape, expression.args) if p != "#" or expression.is_Add})
    if expression.is_Pow and expression.exp.is_Number:
        return f"({parts[0]})^{float(expression.exp):.1f}"
    if expression.is_Mul and len(parts) == 1:
        return parts[0]
    return f"{type(expression).__name__}({', '.join(parts)})"


@dataclass(frozen=True)
class Front:
    """Pareto front: no candidate is both more complex and worse than another; simplest first.

    Attributes:
        candidates: the front.
        rivals: formulas of other forms that are not on the front but nearly as likely as its best.
        rows: number of observations that the losses were computed on.
        effective_rows: how many independent observations they are worth, None if not estimated; fewer
            than ``rows`` if what the best formula leaves over is correlated between neighbouring rows, as
            the error of a network is.
        noise: loss that the stated errors of ``y`` alone would give, where they are known; formulas below
            it fit errors and gain nothing by it.
        complete: False if the search was ended before its time (interrupted, crashed, timed out).
        messages: what the user should know of how the search went.
    """

    candidates: tuple[Candidate, ...]
    rows: int
    complete: bool = True
    messages: tuple[str, ...] = field(default=())
    effective_rows: float | None = None
    noise: float = 0.0
    rivals: tuple[Candidate, ...] = ()

    @classmethod
    def of(cls, candidates: Iterable[Candidate], rows: int, **state) -> Front:
        """Keep the candidates that no simpler one equals or beats (to rounding errors)."""
        kept: list[Candidate] = []
        for candidate in sorted(candidates, key=lambda c: (c.complexity, c.loss)):
            if np.isfinite(candidate.loss) and (not kept or candidate.loss < kept[-1].loss > FLOOR):
                kept.append(candidate)
        return cls(tuple(kept), rows, **state)

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.candidates)

    def __len__(self) -> int:
        return len(self.candidates)

    def best(self) -> Candidate:
        """Return the candidate of least description length: the knee of the front.

        Counts at most `EFFECTIVE_ROWS` rows, or ``effective_rows`` where these are fewer: the error of a
        network is not white noise, and with every row counted as independent, ever more complex formulas
        would win by fitting it.

        Raises:
            ValueError: if the front is empty.
        """
        if not self.candidates:
            raise ValueError(
                "the front is empty: the search ended before it fitted a formula; give it more time"
            )
        return min(self, key=self.length)

    def length(self, candidate: Candidate) -> float:
        """Return the description length by which `best` chooses."""
        rows = min(self.rows, EFFECTIVE_ROWS, self.effective_rows or np.inf)
        loss = max(candidate.loss, self.noise)
        return description_length(candidate.expression, candidate.complexity, loss, rows)

    def alternatives(self, nats: float = 5.0) -> tuple[Candidate, ...]:
        """Return the formulas that the data cannot tell from the best, the likeliest first.

        A difference of ``nats`` in description length is odds of e^nats: at 5, 150 to 1. They may be other
        forms of one law; what they say beyond the data may differ widely.

        Raises:
            ValueError: if the front is empty.
        """
        best = self.best()
        found: dict[str, Candidate] = {shape(best.expression): best}
        for c in sorted((*self, *self.rivals), key=self.length):
            if self.length(c) < self.length(best) + nats:
                found.setdefault(shape(c.expression), c)
        return tuple(found.values())[1:]

    def merge(self, other: Front) -> Front:
        """Return the front of both, complete only if both are; of two estimates, the cautious one."""
        front = Front.of((*self, *other), rows=self.rows)
        off = (c for c in (*self, *other, *self.rivals, *other.rivals) if c not in front.candidates)
        estimates = [e for e in (self.effective_rows, other.effective_rows) if e is not None]
        return replace(
            front,
            complete=self.complete and other.complete,
            messages=self.messages + other.messages,
            effective_rows=min(estimates, default=None),
            noise=max(self.noise, other.noise),
            rivals=tuple(off),
        )


class Backend(Protocol):
    """A search engine: deterministic for a seed unless the clock ends it; Ctrl-C returns what it has."""

    def __call__(
        self,
        problem: Problem,
        *,
        seconds: float,
        seed: int,
        on_front: Callable[[Front], None] | None = None,
    ) -> Front:
        """Search for at most ``seconds``; tell ``on_front`` whenever the front has improved."""
        ...
