"""A smaller problem that a problem comes down to: dimensionless groups, merged variables, factors taken out.

What a reduction proposes is judged on the whole problem like any formula, so a wrong one costs time only.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse.csgraph
import sympy
from jaxtyping import Float

from sciml.distill.front import Problem
from sciml.distill.structured.dimensions import equal, groups
from sciml.distill.structured.monomials import exact
from sciml.distill.structured.smoother import LENGTHS, ROWS, Matrix, Model, Smoother, Values, smooth
from sciml.distill.structured.symmetry import PRODUCT, RATIO, Found, symmetries
from sciml.distill.structured.table import Table

ANGLE = 0.1  # mean squared sine up to which gradients may be parallel, when they are estimated
KNOWN = 0.02  # likewise, when they are the user's own function's
PER_PAIR = 2  # symmetries of one pair of variables that are put to the test
TRIALS = 8  # symmetries that are put to the test before a round is given up
SLACK = 1.0  # nats of evidence that a reduction may cost
SEPARATE = 3e-4  # share of the variance up to which variables count as separate; more where there is noise
PAIRS = 400  # of rows, whose variables are exchanged
OVERLAP = 0.2  # share of rows where two variables are in each other's range, to be exchanged
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

    @property
    def key(self) -> tuple[str, ...]:
        """What was done last, by which a refused step is known again."""
        return self.words[-2:]

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

    def scaled(self, i: int, power: float, j: int, sign: int) -> Reduced:
        """Take a power of variable ``i`` out, and put its product or quotient in place of variable ``j``."""
        both = self.merged(Found(j, i, RATIO if sign < 0 else PRODUCT, 0.0))
        single = self.divided(i, power)
        return replace(both, factor=single.factor, size=single.size, words=(*both.words, single.words[-1]))

    def exchanged(self, i: int, j: int, sign: int) -> Reduced:
        """Put x + z and x z in place of two variables, and x − z as a factor where ``sign`` is −1."""
        rest = [k for k in range(len(self.variables)) if k not in (i, j)]
        (a, b), (x, z) = (self.variables[i], self.variables[j]), self.X[:, [i, j]].T
        both = self.blocks[i] | self.blocks[j]
        change = "does not change" if sign > 0 else "only changes its sign"
        return replace(
            self,
            variables=(*(self.variables[k] for k in rest), a + b, a * b),
            X=np.column_stack([self.X[:, rest], x + z, x * z]),
            factor=self.factor * (sympy.Integer(1) if sign > 0 else a - b),
            size=self.size * (1.0 if sign > 0 else x - z),
            dimensions=np.vstack([self.dimensions[rest], self.dimensions[i], 2 * self.dimensions[i]]),
            blocks=(*(self.blocks[k] for k in rest), both, both),
            words=(*self.words, f"the target {change} where {a} and {b} are exchanged"),
        )

    def problem(self, whole: Table) -> tuple[Problem, Callable[[sympy.Expr], sympy.Expr]]:
        """Return the reduced problem for a search, and how its formulas read in the whole one."""
        good = np.abs(self.size) > 1e-6 * np.median(np.abs(self.size))
        names = tuple(f"u {k}" for k in range(len(self.variables)))  # no variable of a user has a blank
        problem = Problem(
            self.X[good],
            whole.y[good] / self.size[good],
            names,
            whole.weights[good] * self.size[good] ** 2,
        )
        back = {sympy.Symbol(name): u for name, u in zip(names, self.variables, strict=True)}
        return problem, lambda e: self.factor * e.xreplace(back)


def dimensionless(table: Table, active: list[int]) -> Reduced | None:
    """Return the problem in dimensionless groups (Buckingham 1914), None without units that fit.

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
    """Reads symmetries, factors and separate parts from a smooth function of the variables of a table.

    That is the user's model where there is one, or else a Gaussian process through the data.
    """

    def __init__(self, table: Table, model: Model | None = None, alive: Callable[[], None] = lambda: None):
        """Take the data; ``alive`` is called between steps and may raise to end the search."""
        rows = min(len(table), ROWS)
        self.table, self.model, self.alive = table.head(rows), model, alive
        self.refused: set[tuple[str, ...]] = set()
        self.y = self.table.y if model is None else model.value(self.table.X)

    def simplify(self, problem: Reduced) -> tuple[Reduced, Smoother]:
        """Merge variables and take out factors while the data are no less likely."""
        smoother = self.smooth(problem)
        while len(problem.variables) > 1:
            for trial in self.proposals(problem, smoother):
                self.alive()
                new = self.smooth(trial, smoother)
                if new.evidence > smoother.evidence - SLACK:
                    problem, smoother = trial, new
                    break
                self.refused.add(trial.key)
            else:
                break
        return problem, smoother

    def smooth(self, problem: Reduced, start: Smoother | None = None) -> Smoother:
        """Return a smooth function of the reduced variables through the reduced target."""
        rows = slice(0, len(self.y))
        X, size = problem.X[rows], problem.size[rows]
        size = np.where(np.abs(size) < 1e-9, 1e-9, size)
        found = smooth(X, self.y / size, self.table.weights * size**2, start)
        jacobian = 0.0 if found.log_target else float(np.log(np.abs(size[:LENGTHS])).sum())
        return replace(found, evidence=found.evidence - jacobian)

    def proposals(self, problem: Reduced, smoother: Smoother) -> list[Reduced]:
        """Return smaller problems that the derivatives suggest, the most certain first."""
        X = problem.X[: len(self.y)]
        level, gradient = self.slopes(problem, smoother)
        weights = np.ones(len(X)) if smoother.log_target else self.table.weights * problem.size[: len(X)] ** 2
        most = ANGLE if self.model is None else KNOWN
        pairs: dict[tuple[int, int], int] = {}
        found: list[tuple[float, Reduced]] = []
        for pair in symmetries(X, gradient, weights, problem.dimensions, most):
            pairs[pair.i, pair.j] = pairs.get((pair.i, pair.j), 0) + 1
            if pairs[pair.i, pair.j] <= PER_PAIR:
                found.append((pair.angle, problem.merged(pair)))
        rates = X * gradient
        mean = lambda values: float(np.average(values, weights=weights))
        misfit = lambda rate, p: mean((rate - p * level) ** 2) / mean(rate**2 + (p * level) ** 2)
        for i in range(X.shape[1]):
            angle, p = min((misfit(rates[:, i], p), p) for p in _POWERS)
            if angle < most and (p % 1 == 0 or X[:, i].min() > 0):
                found.append((angle, problem.divided(i, p)))
        for i, j in itertools.permutations(np.flatnonzero((X > 0).all(0)).tolist(), 2):
            for sign in (1, -1):  # y = xᵖ h(z/x), or xᵖ h(zx)
                rate = rates[:, i] + sign * rates[:, j]
                p = round(2 * mean(rate * level) / mean(level**2)) / 2
                if p and (angle := misfit(rate, p)) < most:
                    found.append((angle, problem.scaled(i, p, j, -sign)))
        found.sort(key=lambda f: f[0])
        return [reduced for _, reduced in found if reduced.key not in self.refused][:TRIALS]

    def slopes(self, problem: Reduced, smoother: Smoother) -> tuple[Values, Matrix]:
        """Return the reduced target and its gradient; of its logarithm, if the smoother is of that."""
        X = problem.X[: len(self.y)]
        if self.model is None:
            level = np.ones(len(X)) if smoother.log_target else smoother.value(X)
            return level, smoother.gradient(X)
        # f = factor · h(u): the gradient by the table's variables is that by u times the Jacobian of u
        size = problem.size[: len(X)]
        columns = sorted(frozenset().union(*problem.blocks))
        whole = [*range(self.table.X.shape[1])]
        symbols, values = [self.table.symbols[j] for j in whole], list(self.table.X.T)
        derivative = lambda e, j: np.broadcast_to(
            sympy.lambdify(symbols, sympy.diff(e, symbols[j]), "numpy")(*values), (len(X),)
        )
        g = self.model.gradient(self.table.X)
        log_factor = np.stack([derivative(problem.factor, j) / size for j in columns], 1)
        level = self.y / size
        slope = g[:, columns] / size[:, None] - level[:, None] * log_factor
        if smoother.log_target:
            slope, level = slope / level[:, None], np.ones_like(level)
        J = np.stack([np.stack([derivative(u, j) for j in columns], 1) for u in problem.variables], 1)
        scale = np.linalg.norm(J, axis=2, keepdims=True) + 1e-300
        J = J / scale
        gram = J @ J.transpose(0, 2, 1) + 1e-12 * np.eye(J.shape[1])
        return level, np.linalg.solve(gram, J @ slope[..., None])[..., 0] / scale[..., 0]


def exchanges(problem: Reduced, smoother: Smoother) -> Reduced:
    """Return the problem in sums and products of the variables that may be exchanged, each in one pair.

    A function that is the same with x and z exchanged is one of x + z and x z; one that only changes its sign
    is x − z times such a function. The problem itself is returned where nothing may be exchanged.
    """
    X, noise = problem.X[:ROWS], float(np.exp(smoother.process.parameters[-1]))
    level, free, reduced = smoother.value(X), [*range(X.shape[1])], problem
    for i, j in itertools.combinations(range(X.shape[1]), 2):
        if i not in free or j not in free or not equal(problem.dimensions[i][None], problem.dimensions[j])[0]:
            continue
        low, high = X[:, [i, j]].min(0).max(), X[:, [i, j]].max(0).min()
        inside = ((X[:, [i, j]] >= low) & (X[:, [i, j]] <= high)).all(1)
        if inside.mean() < OVERLAP:
            continue
        swapped = X[inside].copy()
        swapped[:, [i, j]] = swapped[:, [j, i]]
        here, there = level[inside], smoother.value(swapped)
        for sign in (1, -1):
            share = np.mean((there - sign * here) ** 2) / max(2 * np.var(np.r_[here, sign * there]), 1e-300)
            if share < SEPARATE + 0.3 * noise:
                name = reduced.variables.index  # their places move as others are put together
                reduced = reduced.exchanged(name(problem.variables[i]), name(problem.variables[j]), sign)
                free = [k for k in free if k not in (i, j)]
                break
    return reduced


def parts(problem: Reduced, smoother: Smoother, rng: np.random.Generator, product: bool) -> list[list[int]]:
    """Group the variables such that the target is a sum, or a product, of functions of one group each.

    Two variables belong together where the second difference f(a, b) + f(a′, b′) − f(a, b′) − f(a′, b)
    is not zero, or f(a, b) f(a′, b′) − f(a, b′) f(a′, b) for products.
    """
    X = problem.X[:ROWS]
    count = X.shape[1]
    first, second = X[rng.integers(len(X), size=PAIRS)], X[rng.integers(len(X), size=PAIRS)]
    level, noise = smoother.value(X), float(np.exp(smoother.process.parameters[-1]))
    together = np.eye(count, dtype=bool)
    for i in range(count):
        for j in range(i + 1, count):
            corners = []
            for take in ((), (i, j), (i,), (j,)):
                corner = first.copy()
                corner[:, list(take)] = second[:, list(take)]
                corners.append(smoother.value(corner))
            a, b, c, d = corners
            if product:
                share = np.mean((a * b - c * d) ** 2) / max(np.mean((a * b) ** 2 + (c * d) ** 2), 1e-300)
            else:
                share = np.mean((a + b - c - d) ** 2) / max(4 * np.var(level), 1e-300)
            together[i, j] = together[j, i] = share > SEPARATE + 0.3 * noise
    labels = scipy.sparse.csgraph.connected_components(together)[1]
    return [np.flatnonzero(labels == k).tolist() for k in range(labels.max() + 1)]


def part(problem: Reduced, smoother: Smoother, chosen: list[int], product: bool) -> Values:
    """Return the function of some of the variables that a sum or product holds, up to a constant.

    The other variables stay at those of some rows (partial dependence, Friedman 2001).
    """
    X = problem.X[:ROWS]
    rows = X[: min(len(X), 12)]
    typical = X[np.argmax(np.abs(smoother.value(X)))]
    total = np.zeros(len(X))
    for row in rows:
        mixed = np.tile(row, (len(X), 1))
        mixed[:, chosen] = X[:, chosen]
        at = row.copy()
        at[chosen] = typical[chosen]
        total += smoother.value(mixed) * (smoother.value(at[None])[0] if product else 1 / len(rows))
    return total
