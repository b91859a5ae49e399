"""The embedded engine: screen, propose by stages, polish, select."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import sympy

from sciml.distill.expression import complexity
from sciml.distill.front import FLOOR, Candidate, Front, Problem
from sciml.distill.structured import powers, products, sums
from sciml.distill.structured.fitting import Fit
from sciml.distill.structured.library import library
from sciml.distill.structured.monomials import atoms
from sciml.distill.structured.polish import Polished, fit, polish
from sciml.distill.structured.screening import FEW, active_variables, effective_rows
from sciml.distill.structured.steps import steps
from sciml.distill.structured.table import Table, check, prepare

log = logging.getLogger(__name__)
ENGINE = "structured"


class Ended(Exception):  # noqa: N818
    """The clock, or the number of evaluations, ended the search."""


def search(
    problem: Problem,
    *,
    seconds: float = 60.0,
    seed: int = 0,
    on_front: Callable[[Front], None] | None = None,
    max_evaluations: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Front:
    """Search for formulas by linear algebra on structured families instead of by evolution.

    Stages: products of powers and composite factors (linear in logarithms), then sums of features
    under transformations of the target; each stage's best are refitted, pruned, rounded.

    Args:
        problem: the observations.
        seconds: time limit.
        seed: of the row sample and the screening; unless the clock ends it, it fixes the front.
        on_front: called with the front after each stage that improved it.
        max_evaluations: limit on the number of formulas that are fitted.
        clock: what counts the seconds; `time.process_time` for CPU time.

    Raises:
        ValueError: for a problem that no search could treat, with the row and column.
    """
    check(problem)
    if not np.ptp(problem.y):
        value = sympy.Float(float(problem.y[0])) if problem.y[0] else sympy.Integer(0)
        only = Candidate(value, 1, 0.0, ENGINE)
        return Front((only,), len(problem.y), messages=("the target is constant",))
    rng = np.random.default_rng(seed)
    table, messages = prepare(problem, rng)
    state = _Search(problem, table, messages, clock, clock() + seconds, max_evaluations, on_front)
    try:
        state.run(seed)
    except Ended:
        log.debug("ended before the last stage")
    except KeyboardInterrupt:
        return state.front(complete=False, more="interrupted: this is what was found until then")
    return state.front()


class _Search:
    def __init__(self, problem, table, messages, clock, deadline, max_evaluations, on_front):
        self.problem, self.table, self.messages = problem, table, messages
        self.clock, self.deadline = clock, deadline
        self.left, self.on_front = max_evaluations, on_front
        self.found: dict[sympy.Expr, Polished] = {}
        self.seen: set[sympy.Expr] = set()
        self.probes: np.ndarray | None = None
        self.trusted = 14  # nodes up to which a formula that leaves only noise ends the search

    def run(self, seed: int) -> None:
        """Search in the variables that matter; then again in those that what is left over depends on."""
        mean = fit(sympy.Float(np.average(self.table.y, weights=self.table.weights)), self.table)
        self.keep(mean)
        if not self.table.symbols:
            self.messages.append("no variable varies: only a constant can be found")
            return
        if self.finished([powers.propose(self.table.head(2000))]):
            return
        active = active_variables(self.table, seed) or list(range(len(self.table.symbols)))[:8]
        with_units = self.table.dimensions.shape[1] and self.table.target_dimension is not None
        if not (with_units and self.finished(self.passes(active, strict=True))):
            self.finished(self.passes(active))
        rest = self.residual_table()
        found = [] if rest is None else active_variables(rest, seed, least=0.02)  # mostly noise
        more = [j for j in found if j not in active]
        if more:
            self.finished(self.passes([*active, *more]))

    def finished(self, stages: Iterable[Iterable[sympy.Expr]]) -> bool:
        """Go through the stages until a formula leaves nothing to explain; tell whether one does."""
        for stage in stages:
            self.consider(stage)
            if self.on_front is not None:
                self.on_front(self.front(final=False))
            if self.done():
                return True
        return False

    def passes(self, active: list[int], strict: bool = False) -> Iterator[Iterable[sympy.Expr]]:
        """Yield the proposals of products, then of sums; if strict, of the unit-consistent ones."""
        log.info("active variables: %s", [str(self.table.symbols[j]) for j in active])
        small = self.table.head(600)
        basis = atoms(small, active[:8])
        jumps = steps(self.table.head(2000), active)
        goals = sums.goals(self.table) if strict else None
        self.library = library(basis, jumps, 15000, goals)
        self.look_at_clock()
        many = self.table.head(2000)
        chosen = np.argsort(self.library.cost, kind="stable")[:4000]
        self.probes = self.library.evaluate(atoms(many, active[:8]), chosen).astype(np.float32)
        self.look_at_clock()
        composites = products.factors(basis, 3000, strict)
        self.look_at_clock()
        found = products.propose(small, composites)[:96]
        self.trusted = 14
        yield found
        for name in sums.TARGETS:
            self.trusted = 22
            self.look_at_clock()
            yield sums.propose(small, self.library, name)[:30]

    def residual_table(self) -> Table | None:
        """Return the table with what the best formula leaves over as the target."""
        best = self.best()
        r = Fit(
            best.expression, self.table.symbols, self.table.X, self.table.y, self.table.weights
        ).residual()
        if best.loss < 1e-20:
            return None
        root = np.sqrt(np.maximum(self.table.weights, 1e-300))
        return dataclasses.replace(self.table, y=r / root)

    def consider(self, proposals: Iterable[sympy.Expr]) -> None:
        """Fit proposals on few rows; polish the shortest descriptions, and what improves the front."""
        few = self.table.head(1000)
        rough: list[Polished] = []
        try:
            for e in proposals:
                if e not in self.seen:
                    self.seen.add(e)
                    self.spend()
                    fitted = fit(e, few, 12)
                    if fitted is not None:
                        rough.append(fitted)
        except (Ended, KeyboardInterrupt):
            for p in sorted(rough, key=lambda p: p.length)[:4]:
                self.keep(fit(p.expression, self.table))
            raise
        rough.sort(key=lambda p: p.length)
        chosen = rough[:4]
        for p in sorted(rough[4:], key=lambda p: complexity(p.expression)):
            size = complexity(p.expression)
            if all(
                q.loss > p.loss for q in [*self.found.values(), *chosen] if complexity(q.expression) <= size
            ):
                chosen.append(p)
        for p in chosen[:7]:
            self.spend()
            again = fit(p.expression, self.table)
            if again is None:
                continue
            close = again.length < self.best().length + 30 if self.found else False
            for q in polish(again, self.table) if close else [again]:
                self.keep(q)

    def keep(self, formula: Polished | None) -> None:
        """Remember a formula that was fitted on the whole table."""
        if formula is not None:
            self.found[formula.expression] = formula

    def done(self) -> bool:
        """Tell whether a simple formula leaves only noise: no feature of the library explains the rest."""
        best = self.best()
        if best.loss < 1e-22:
            return True
        if any(p.loss <= self.problem.noise and self.plain(p.expression) for p in self.found.values()):
            return True
        odd = any(power.exp.is_Float for power in best.expression.atoms(sympy.Pow))
        trusted = 9 if odd else self.trusted  # real exponents imitate much
        if complexity(best.expression) > trusted:
            return False
        if self.probes is None or len(self.table) < 2 * FEW:
            return False
        many = self.table.head(self.probes.shape[1])
        bound = Fit(best.expression, many.symbols, many.X, many.y, many.weights)
        r = bound.residual()
        F = self.probes * bound.root
        F /= np.abs(F).max(1, keepdims=True) + 1e-300
        z = (F @ r) / np.sqrt((F**2) @ (r**2) + 1e-300)  # White (1980): the noise need not be equal
        return bool(np.abs(z).max() < np.sqrt(2 * np.log(len(F))) + 1)

    def plain(self, expression: sympy.Expr) -> bool:
        """Whether a formula is too simple, and its exponents too round, to be there by chance."""
        odd = any(power.exp.is_Float for power in expression.atoms(sympy.Pow))
        return not odd and complexity(expression) <= self.trusted

    def look_at_clock(self) -> None:
        """End the search when its time is over."""
        if self.clock() > self.deadline:
            raise Ended

    def spend(self) -> None:
        """Count a fitted formula, and end the search when its time or number is used up."""
        self.look_at_clock()
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Ended

    def best(self) -> Polished:
        return min(self.found.values(), key=lambda p: p.length)

    def front(self, complete: bool = True, more: str | None = None, final: bool = True) -> Front:
        """Return the front; if final, in the user's scales and with constants refitted on all rows."""
        rows = len(self.problem.y)
        by_size: dict[int, Polished] = {}
        for p in sorted(self.found.values(), key=lambda p: p.length):
            by_size.setdefault(complexity(p.expression), p)
        chosen = Front.of((Candidate(p.expression, c, p.loss, ENGINE) for c, p in by_size.items()), rows)
        candidates = [self.rescore(c, refit=final and complete) for c in chosen]
        messages = (*self.messages, more) if more else tuple(self.messages)
        independent = self.independent_rows(chosen)
        return Front.of(candidates, rows, complete=complete, messages=messages, effective_rows=independent)

    def independent_rows(self, front: Front) -> float | None:
        """Return the share of independent rows in what the most exact formula leaves over, times all rows."""
        t = self.table
        if not front.candidates:
            return None
        last = front.candidates[-1]
        used = [i for i, s in enumerate(t.symbols) if s in last.expression.free_symbols]
        if not used or last.loss < FLOOR or len(t) < 20:
            return None
        r = Fit(last.expression, t.symbols, t.X, t.y, t.weights).residual()
        return effective_rows(t.X[:, used], r) / len(t) * front.rows

    def rescore(self, candidate: Candidate, refit: bool) -> Candidate:
        """Bring a formula to the user's scales and score it on all rows."""
        p, t = self.problem, self.table
        weights = np.ones(len(p.y)) if p.weights is None else np.asarray(p.weights, float)
        X, y = np.asarray(p.X, float)[:, list(t.columns)] / t.scales, np.asarray(p.y, float) / t.y_scale
        total = np.mean(weights * y**2)
        bound = Fit(candidate.expression, t.symbols, X, y, weights / (total or 1.0))
        loss = bound.refit(3) if refit and len(y) > len(t) else bound.loss()
        e = t.unscale(bound.expression())
        return Candidate(e, complexity(e), loss, ENGINE)
