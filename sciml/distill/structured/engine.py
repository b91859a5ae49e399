"""The embedded engine: screen, propose by stages, polish, select."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import sympy

from sciml.distill.front import Candidate, Front, Problem
from sciml.distill.structured import powers, products, sums, targets
from sciml.distill.structured.budget import Budget, Ended
from sciml.distill.structured.material import PLAIN_FACTORS, Material
from sciml.distill.structured.reduction import Guide, Reduced, dimensionless, exchanges, part, parts
from sciml.distill.structured.screening import active_variables
from sciml.distill.structured.shortlist import ENGINE, ShortList
from sciml.distill.structured.smoother import Model, Smoother
from sciml.distill.structured.table import Table, check, prepare

log = logging.getLogger(__name__)
FEWEST = 60  # rows that a smoother or a forest is fitted to
FIRST = 3  # stages of a pass that come before smaller problems: up to sums for the target itself
LIKELY, PRODUCTS = 96, 96  # products that are tried before sums, and after them
EASY = 2  # variables of a smaller problem that is solved before the many sums are tried


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
    under transformations of the target; then the same for the smaller problems that symmetries,
    dimensionless groups and separate parts lead to (these first, where ``problem.model`` is given).
    Each stage's best are refitted, pruned, rounded.

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
    state = _Search(problem, Budget(seconds, max_evaluations, clock), seed, on_front)
    try:
        state.run()
    except Ended:
        state.messages.append("ended by the given time or evaluations before everything was tried")
    except KeyboardInterrupt:
        interrupted = "interrupted: this is what was found until then"
        return state.shortlist.front([*state.messages, interrupted], complete=False)
    return state.shortlist.front(state.messages)


class _Search:
    """The stages over one problem; smaller problems have searches of their own, within the same budget."""

    def __init__(self, problem: Problem, budget: Budget, seed: int, on_front=None):
        self.problem, self.budget, self.seed, self.on_front = problem, budget, seed, on_front
        self.table, self.messages = prepare(problem, np.random.default_rng(seed))
        self.shortlist = ShortList(problem, self.table, budget)
        self.postponed: list[Callable[[], list[sympy.Expr]]] = []

    def run(self) -> None:
        """Search in the variables that matter; then again in those that what is left over depends on."""
        if not self.table.symbols:
            self.messages.append("no variable varies: only a constant can be found")
            return
        if self.finished([powers.propose(self.table.head(2000))]):
            return
        shown = active_variables(self.table, self.seed)
        active = shown or list(range(len(self.table.symbols)))[:8]
        with_units = self.table.dimensions.shape[1] and self.table.target_dimension is not None
        log.info("active variables: %s", [str(self.table.symbols[j]) for j in active])
        material = Material(self.table, active)
        free, smaller = self.passes(material), self.smaller(active)
        # a network shows at once what smaller problem there is; noisy data only by a fit that takes time
        likely = [] if self.problem.model is not None else [itertools.islice(free, FIRST)]
        consistent = [self.passes(material, strict=True)] if with_units else []
        stages: Iterator[Iterable[sympy.Expr]] = itertools.chain(*consistent, *likely, smaller, free)
        if not shown:  # it may all be noise: what is plain would be found in the first stages
            stages = itertools.islice(free, FIRST)
        if self.finished(itertools.chain(stages, (job() for job in self.postponed))):
            return
        rest = self.residual_table()
        if rest is None or len(rest) < FEWEST:
            return
        found = active_variables(rest, self.seed, least=0.02, assume=False)  # mostly noise
        more = [j for j in found if j not in active]
        if more and self.finished(self.passes(Material(self.table, [*active, *more]))):
            return
        if found:
            names = ", ".join(str(self.table.symbols[j]) for j in found)
            self.messages.append(f"what the best formula leaves over still depends on {names}: no law found")

    def finished(self, stages: Iterable[Iterable[sympy.Expr]]) -> bool:
        """Go through the stages until a formula leaves nothing to explain; tell whether one does."""
        for stage in stages:
            self.shortlist.consider(stage)
            if self.on_front is not None:
                self.on_front(self.shortlist.front(self.messages, final=False))
            if self.shortlist.done():
                return True
        return False

    def passes(self, material: Material, strict: bool = False) -> Iterator[Iterable[sympy.Expr]]:
        """Yield the proposals of products, then of sums; if strict, of the unit-consistent ones."""
        shortlist, few = self.shortlist, material.few
        shortlist.material = material
        shortlist.trusted = 14
        self.budget.look()
        if not strict:
            yield sums.propose(few, material.plain, "y", depth=2)
        self.budget.look()
        yield itertools.islice(products.propose(few, material.factors(strict, PLAIN_FACTORS)), LIKELY)
        for n, name in enumerate(targets.TARGETS):
            self.budget.look()
            features = material.consistent if strict else material.features
            yield sums.propose(few, features, name, strict)[:30]
            shortlist.trusted = 22  # sums imitate much: after the first, smaller problems go first
            if not n:
                self.budget.look()
                composites = material.factors(strict)
                self.budget.look()
                yield itertools.islice(products.propose(few, composites), PRODUCTS)
                yield [e for t in targets.FUNCTIONS.values() for e in products.inside(few, composites, t)]

    def smaller(self, active: list[int]) -> Iterator[Iterable[sympy.Expr]]:
        """Yield what is found in the smaller problems that this one comes down to."""
        if len(self.table) < FEWEST or not 1 < len(active) <= 12:
            return
        guide = Guide(self.table, self.model(), self.budget.look)
        whole = Reduced.of(self.table, active)
        for start in (dimensionless(self.table, active), whole):
            if start is None:
                continue
            small, smoother = guide.simplify(start)
            if small is not whole:
                log.info("; ".join(small.words))
                if len(small.variables) <= EASY:
                    yield self.inner(small)
                else:
                    self.postponed.append(partial(self.inner, small))
            alike = exchanges(small, smoother)
            if alike is not small:
                log.info("; ".join(alike.words))
                self.postponed.append(partial(self.inner, alike))
            for product in (False, True):
                groups = parts(small, smoother, np.random.default_rng(self.seed), product)
                if len(groups) > 1:
                    self.postponed.append(partial(self.pieces, small, smoother, groups, product))

    def inner(self, small: Reduced, most: int = 24) -> list[sympy.Expr]:
        """Return the best formulas of a smaller problem, in the variables of this one."""
        problem, restore = small.problem(self.table)
        return [restore(e) for e in self.solve(problem, most)]

    def solve(self, problem: Problem, most: int) -> list[sympy.Expr]:
        """Return the best formulas of another problem, found in a part of the time that is left."""
        search = _Search(problem, self.budget, self.seed)
        with self.budget.share(0.5):
            search.alone()
        best = sorted(search.shortlist.found.values(), key=lambda p: p.length)[:most]
        return [search.table.unscale(p.expression) for p in best]

    def alone(self) -> None:
        """Search a problem that is not reduced further."""
        if self.table.symbols and not self.finished([powers.propose(self.table.head(2000))]):
            self.finished(self.passes(Material(self.table, list(range(len(self.table.symbols))))))

    def pieces(
        self, small: Reduced, smoother: Smoother, groups: list[list[int]], product: bool
    ) -> list[sympy.Expr]:
        """Return sums or products of formulas that were found for separate groups of variables."""
        found = []
        for chosen in groups:
            y = part(small, smoother, chosen, product)
            names = tuple(f"u {k}" for k in chosen)
            problem = Problem(small.X[: len(y), chosen], y, names)
            back = {sympy.Symbol(n): small.variables[k] for n, k in zip(names, chosen, strict=True)}
            found.append([e.xreplace(back) for e in self.solve(problem, 24 // len(groups))])
        combine = sympy.Mul if product else sympy.Add
        one = sympy.Float(1.0)
        return [small.factor * combine(*(one * e for e in chosen)) for chosen in itertools.product(*found)][
            :96
        ]

    def model(self) -> Model | None:
        """Return the user's function in the variables of the table, None if there is none."""
        if self.problem.model is None:
            return None
        t, X = self.table, np.asarray(self.problem.X, float)
        kept = X[:, list(t.columns)]
        source = tuple(
            next((j for j, other in enumerate(kept.T) if np.array_equal(column, other)), -1) for column in X.T
        )
        return Model(self.problem.model, source, np.median(X, 0), t.scales, t.y_scale, t.X.std(0))

    def residual_table(self) -> Table | None:
        """Return the table with what the best formula leaves over as the target."""
        best = self.shortlist.best()
        if best.loss < 1e-20:
            return None
        root = np.sqrt(np.maximum(self.table.weights, 1e-300))
        return dataclasses.replace(self.table, y=self.shortlist.residual(best.expression) / root)
