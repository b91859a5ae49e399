"""A smaller problem that a problem comes down to: dimensionless groups, merged variables, factors taken out.

What a reduction proposes is judged on the whole problem like any formula, so a wrong one costs time only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import sympy
from jaxtyping import Float

from sciml.distill.front import Problem
from sciml.distill.structured.dimensions import groups
from sciml.distill.structured.monomials import exact
from sciml.distill.structured.smoother import Matrix, Model, Process, Values
from sciml.distill.structured.symmetry import Found
from sciml.distill.structured.table import Table, prepare

ANGLE = 0.1  # mean squared sine up to which gradients may be parallel, when they are estimated
KNOWN = 0.02  # likewise, when they are the user's own function's
TRIALS = 5  # symmetries that are put to the test before a round is given up
_POWERS = (1, -1, 2, -2, 0.5, -0.5, 3, -3)


@dataclass(frozen=True)
class Reduced:
    """``y = factor · f(u₁, …, uₘ)`` with fewer variables u than the problem has.

    Attributes:
        variables: u, in the symbols of the table.
        X: their values.
        factor: in the symbols of the table.
        size: its values.
        dimensions: of the variables.
        blocks: columns of the table that each variable is made of.
        words: what was found.
    """

    variables: tuple[sympy.Expr, ...]
    X: Matrix
    factor: sympy.Expr
    size: Values
    dimensions: Float[np.ndarray, "variables base"]
    blocks: tuple[frozenset[int], ...]
    words: tuple[str, ...] = ()

    @classmethod
    def of(cls, table: Table, active: list[int]) -> Reduced:
        """Return a problem in some of its own variables."""
        return cls(
            tuple(table.symbols[j] for j in active),
            table.X[:, active],
            sympy.Integer(1),
            np.ones(len(table)),
            table.dimensions[active],
            tuple(frozenset([j]) for j in active),
        )

    def merged(self, found: Found) -> Reduced:
        """Put one variable in place of two."""
        i, j, merge = found.i, found.j, found.merge
        rest = [k for k in range(len(self.variables)) if k not in (i, j)]
        u = merge.form(self.variables[i], self.variables[j])
        values = merge.value(self.X[:, i], self.X[:, j])
        dimension = merge.powers[0] * self.dimensions[i] + merge.powers[1] * self.dimensions[j]
        return replace(
            self,
            variables=(*(self.variables[k] for k in rest), u),
            X=np.column_stack([self.X[:, rest], values]),
            dimensions=np.vstack([self.dimensions[rest], dimension]),
            blocks=(*(self.blocks[k] for k in rest), self.blocks[i] | self.blocks[j]),
            words=(*self.words, f"the target depends on {self.variables[i]} and {self.variables[j]} by {u}"),
        )

    def divided(self, i: int, power: float) -> Reduced:
        """Take a power of one variable out as a factor."""
        rest = [k for k in range(len(self.variables)) if k != i]
        factor = self.variables[i] ** exact(power)
        return replace(
            self,
            variables=tuple(self.variables[k] for k in rest),
            X=self.X[:, rest],
            factor=self.factor * factor,
            size=self.size * np.abs(self.X[:, i]) ** power * np.sign(self.X[:, i]) ** (power % 2 == 1),
            dimensions=self.dimensions[rest],
            blocks=tuple(self.blocks[k] for k in rest),
            words=(*self.words, f"the target is proportional to {factor}"),
        )

    def table(self, whole: Table) -> tuple[Table, Callable[[sympy.Expr], sympy.Expr]]:
        """Return the reduced problem as a table, and how its formulas read in the whole one."""
        good = np.abs(self.size) > 1e-6 * np.median(np.abs(self.size))
        names = tuple(f"u {k}" for k in range(len(self.variables)))  # no variable of a user has a blank
        problem = Problem(
            self.X[good],
            whole.y[good] / self.size[good],
            names,
            whole.weights[good] * self.size[good] ** 2,
        )
        small, _ = prepare(problem, np.random.default_rng(0))
        back = {sympy.Symbol(name): u for name, u in zip(names, self.variables, strict=True)}
        return small, lambda e: self.factor * small.unscale(e).xreplace(back)


def dimensionless(table: Table, active: list[int]) -> Reduced | None:
    """Return the problem in dimensionless groups (Buckingham 1914), None if units are not given or do not fit.

    The target is divided by the simplest power product that has its unit; the groups are the simplest
    independent ones.
    """
    if not table.dimensions.shape[1] or table.target_dimension is None:
        return None
    start = Reduced.of(table, active)
    found = groups(start.dimensions, table.target_dimension)
    if found is None or not len(found[1]):
        return None
    factor, powers = found
    logs = np.log(np.abs(start.X) + 1e-300)
    if (start.X[:, ((powers % 1 != 0).any(0)) | (factor % 1 != 0)] <= 0).any():
        return None
    odd = lambda p: np.prod(np.sign(start.X) ** (p % 2 == 1), axis=1)
    monomial = lambda p: sympy.Mul(*(s ** exact(q) for s, q in zip(start.variables, p, strict=True)))
    value = lambda p: np.exp(np.clip(logs @ p, -300, 300)) * odd(p)
    return replace(
        start,
        variables=tuple(map(monomial, powers)),
        X=np.stack([value(p) for p in powers], 1),
        factor=monomial(factor),
        size=value(factor),
        dimensions=np.zeros((len(powers), 0)),
        blocks=tuple(frozenset(active[k] for k in np.flatnonzero(p)) for p in powers),
        words=("dimensionless groups: " + ", ".join(str(monomial(p)) for p in powers),),
    )


class Guide:
    """Reads symmetries and factors of a reduced problem from a smooth function through its data."""

    def __init__(self, table: Table, model: Model | None = None):
        self.table, self.model = table, model

    def simplify(self, problem: Reduced, alive: Callable[[], None]) -> tuple[Reduced, Process | None]:
        """Merge variables and take out factors until nothing more is found.

        Args:
            problem: to start from.
            alive: called between steps; may raise to end the search.

        Returns:
            The smallest problem, and the smoother through its data.
        """
        smooth = self.smooth(problem)
        while len(problem.variables) > 1:
            for trial in self.proposals(problem, smooth):
                alive()
                new = self.smooth(trial, smooth)
                if new.evidence > smooth.evidence - 1:
                    problem, smooth = trial, new
                    break
            else:
                break
        return problem, smooth

    def smooth(self, problem: Reduced, start: Smoothed | None = None) -> Smoothed: ...
