"""The formulas that a search has fitted: which to fit closely, which is best, whether it is good enough."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import sympy
from jaxtyping import Float

from sciml.distill.expression import complexity, loss
from sciml.distill.front import FLOOR, Candidate, Front, Problem, shape
from sciml.distill.structured.budget import Budget, Ended
from sciml.distill.structured.fitting import Fit
from sciml.distill.structured.material import Material
from sciml.distill.structured.polish import Polished, fit, polish
from sciml.distill.structured.screening import FEW, effective_rows, neighbour_correlation
from sciml.distill.structured.snapping import snap
from sciml.distill.structured.table import Table

ENGINE = "structured"
ROUGH = 1000  # rows that proposals are compared on; the few that remain see the whole table
REFIT = 20_000  # rows that the short list is refitted on; the best sees all
RIVAL, RIVALS = 12.0, 8  # nats from the best within which another form is kept, and how many are
CLOSE = 30.0  # nats of description length within which a formula is worth polishing


class ShortList:
    """Formulas fitted on the whole table, by expression.

    Attributes:
        material: has the features that a residual should not depend on; None to trust no formula.
        trusted: nodes up to which a formula that leaves only noise ends the search.
    """

    def __init__(self, problem: Problem, table: Table, budget: Budget):
        self.problem, self.table, self.budget = problem, table, budget
        self.found: dict[sympy.Expr, Polished] = {}
        self.seen: set[sympy.Expr] = set()
        self.material: Material | None = None
        self.trusted = 14
        self.keep(fit(sympy.Float(np.average(table.y, weights=table.weights)), table))

    def consider(self, proposals: Iterable[sympy.Expr]) -> None:
        """Fit proposals on few rows; polish the shortest descriptions, and what improves the front."""
        few = self.table.head(ROUGH)
        rough: list[Polished] = []
        try:
            for e in proposals:
                if e not in self.seen:
                    self.seen.add(e)
                    self.budget.spend()
                    fitted = fit(e, few, 12)
                    if fitted is not None:
                        rough.append(fitted)
        except (Ended, KeyboardInterrupt):
            for p in sorted(rough, key=lambda p: self.length(p, len(few)))[:4]:
                self.keep(fit(p.expression, self.table))
            raise
        rough.sort(key=lambda p: self.length(p, len(few)))
        chosen = rough[:4]
        for p in sorted(rough[4:], key=lambda p: complexity(p.expression)):
            size = complexity(p.expression)
            if all(
                q.loss > p.loss for q in [*self.found.values(), *chosen] if complexity(q.expression) <= size
            ):
                chosen.append(p)
        for p in chosen[:7]:
            self.budget.spend()
            again = fit(p.expression, self.table)
            if again is None:
                continue
            close = self.length(again) < self.length(self.best()) + CLOSE
            for q in polish(again, self.table) if close else [again]:
                self.keep(q)

    def keep(self, formula: Polished | None) -> None:
        """Remember a formula that was fitted on the whole table."""
        if formula is not None:
            self.found[formula.expression] = formula

    def best(self) -> Polished:
        """Return the shortest description."""
        return min(self.found.values(), key=self.length)

    def length(self, p: Polished, rows: int | None = None) -> float:
        """Return the description length of a formula that was fitted on so many rows, all if None.

        A loss below that of the noise, where it is known, gains nothing: it describes the noise.
        """
        over = max(p.loss, FLOOR)
        rows = len(self.table) if rows is None else rows
        return p.length + 0.5 * rows * max(np.log(max(self.problem.noise, FLOOR) / over), 0.0)

    def done(self) -> bool:
        """Tell whether a simple formula leaves only noise: no feature of the library explains the rest."""
        best = self.best()
        if best.loss < 1e-22:
            return True
        if any(p.loss <= self.problem.noise and self._plain(p.expression) for p in self.found.values()):
            return True
        odd = any(power.exp.is_Float for power in best.expression.atoms(sympy.Pow))
        trusted = 9 if odd else self.trusted  # real exponents imitate much
        if complexity(best.expression) > trusted:
            return False
        if self.material is None or len(self.table) < 2 * FEW:
            return False
        many = self.material.many
        bound = Fit(best.expression, many.symbols, many.X, many.y, many.weights)
        r = bound.residual()
        # this takes a moment, the features many; and what oscillates is orthogonal to every smooth feature
        if neighbour_correlation(many.X[:, self.material.active], r) > 4 / np.sqrt(len(r)):
            return False
        F = self.material.probes * bound.root
        F /= np.abs(F).max(1, keepdims=True) + 1e-300
        z = (F @ r) / np.sqrt((F**2) @ (r**2) + 1e-300)  # White (1980): the noise need not be equal
        return bool(np.abs(z).max() < np.sqrt(2 * np.log(len(F))) + 1)

    def _plain(self, expression: sympy.Expr) -> bool:
        """Whether a formula is too simple, and its exponents too round, to be there by chance."""
        odd = any(power.exp.is_Float for power in expression.atoms(sympy.Pow))
        return not odd and complexity(expression) <= self.trusted

    def residual(self, expression: sympy.Expr) -> Float[np.ndarray, "rows"]:
        """Return what a formula leaves over, in units of its error."""
        t = self.table
        return Fit(expression, t.symbols, t.X, t.y, t.weights).residual()

    def front(self, messages: Iterable[str], complete: bool = True, final: bool = True) -> Front:
        """Return the front in the user's scales; if final, refitted on more rows and scored on all."""
        rows = len(self.problem.y)
        by_size: dict[int, Polished] = {}
        for p in sorted(self.found.values(), key=lambda p: p.length):
            by_size.setdefault(complexity(p.expression), p)
        chosen = Front.of((Candidate(p.expression, c, p.loss, ENGINE) for c, p in by_size.items()), rows)
        if not final:
            unscaled = [(self.table.unscale(c.expression), c.loss) for c in chosen]
            return Front.of((Candidate(e, complexity(e), loss, ENGINE) for e, loss in unscaled), rows)
        best = self.best()
        candidates = [self._rescore(c, complete, whole=c.expression == best.expression) for c in chosen]
        rivals = [self._rescore(c, complete, whole=False) for c in self._rivals(best, chosen)]
        independent = self._independent_rows(chosen)
        found = Front.of(
            candidates, rows, complete=complete, messages=tuple(messages), effective_rows=independent,
            rivals=tuple(r for r in rivals if np.isfinite(r.loss)),
        )  # fmt: skip
        return replace(found, candidates=self._snapped(found)) if complete else found

    def _rivals(self, best: Polished, front: Front) -> list[Candidate]:
        """Return formulas of other forms than those on the front that are nearly as likely as the best."""
        shapes = {shape(c.expression) for c in front}
        rivals: dict[str, Candidate] = {}
        for p in sorted(self.found.values(), key=lambda p: p.length):
            form = shape(p.expression)
            if p.length < best.length + RIVAL and form not in shapes:
                rivals.setdefault(form, Candidate(p.expression, complexity(p.expression), p.loss, ENGINE))
        return list(rivals.values())[:RIVALS]

    def _snapped(self, front: Front) -> tuple[Candidate, ...]:
        """Give known values to the constants of the best formula."""
        best = front.best()
        step = max(1, len(self.problem.y) // REFIT)
        p = self.problem
        weights = None if p.weights is None else np.asarray(p.weights, float)[::step]
        some = replace(p, X=np.asarray(p.X, float)[::step], y=np.asarray(p.y, float)[::step], weights=weights)
        independent = (front.effective_rows or front.rows) / front.rows * len(some.y)
        expression, snapped = snap(best.expression, some, independent)
        settled = replace(best, expression=expression, snapped=snapped, loss=loss(expression, p))
        return tuple(settled if c is best else c for c in front)

    def _independent_rows(self, front: Front) -> float | None:
        """Return the share of independent rows in what the most exact formula leaves over, times all rows."""
        t = self.table
        if not front.candidates:
            return None
        last = front.candidates[-1]
        used = [i for i, s in enumerate(t.symbols) if s in last.expression.free_symbols]
        if not used or last.loss < FLOOR or len(t) < 20:
            return None
        return effective_rows(t.X[:, used], self.residual(last.expression)) / len(t) * front.rows

    def _rescore(self, candidate: Candidate, refit: bool, whole: bool) -> Candidate:
        """Bring a formula to the user's scales, refit it on `REFIT` rows or the whole, score it on all."""
        p, t = self.problem, self.table
        weights = np.ones(len(p.y)) if p.weights is None else np.asarray(p.weights, float)
        X, y = np.asarray(p.X, float)[:, list(t.columns)] / t.scales, np.asarray(p.y, float) / t.y_scale
        total = np.mean(weights * y**2)
        weights = weights / (total or 1.0)
        found = candidate.expression
        if refit and len(y) > len(t):
            step = max(1, len(y) // REFIT)
            some = Fit(found, t.symbols, X[::step], y[::step], weights[::step])
            some.refit(3)
            found = some.expression()
        bound = Fit(found, t.symbols, X, y, weights)
        loss = bound.refit(2) if refit and whole and len(y) > REFIT else bound.loss()
        e = t.unscale(bound.expression())
        return Candidate(e, complexity(e), loss, ENGINE)
