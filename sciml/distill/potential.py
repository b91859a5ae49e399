"""Laws of force by way of their potentials: search for V where the model has one, and back from F to V."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy

from sciml.distill.expression import complexity, loss
from sciml.distill.front import Candidate, Front, Problem
from sciml.distill.record import MessageTable
from sciml.distill.search import search

DISTANCE = sympy.Symbol("r")


def search_potential(table: MessageTable, problem: Problem, *, noise: float = 0.0, **options: Any) -> Front:
    """Search for the potential in a table of messages; return the front of the forces that follow.

    The potential of a table is known up to a function of the properties, which the slope does not see. It is
    known to the force's error over one distance.

    Args:
        table: reduced messages of a model whose forces are slopes (``message="potential"``).
        problem: that of the forces, by which candidates are judged.
        noise: loss that the errors of the forces alone would give.
        options: of `sciml.distill.search`.

    Raises:
        ValueError: a table without a potential.
    """
    if table.potential is None:
        raise ValueError("These messages have no potential: train a model with message='potential'.")
    r = table.variables["r"]
    assert problem.weights is not None
    weights = problem.weights / r**2
    relative = float(1.0 / np.mean(weights * table.potential**2))
    found = search(
        problem.X, table.potential, names=problem.names, weights=weights, noise=relative, **options
    )
    forces = []
    for candidate in found:
        force = force_of(candidate.expression)
        if force != 0:
            forces.append(Candidate(force, complexity(force), loss(force, problem), candidate.engine))
    rows = len(problem.y)
    return Front.of(
        (c for c in forces if np.isfinite(c.loss)), rows, complete=found.complete, messages=found.messages,
        noise=noise,
    )  # fmt: skip


def force_of(potential: sympy.Expr) -> sympy.Expr:
    """Return F = -∂V/∂r, positive where it repels."""
    return sympy.expand(-sympy.diff(potential, DISTANCE)).replace(
        lambda e: isinstance(e, sympy.DiracDelta), lambda e: sympy.Integer(0)
    )


def potential_of(force: sympy.Expr) -> sympy.Expr:
    """Return V with F = -∂V/∂r: zero far away where it falls off, else without a constant.

    Raises:
        ValueError: a force whose integral is no formula.
    """
    positive = sympy.Symbol("r", positive=True)
    energy = -sympy.integrate(force.subs(DISTANCE, positive), positive)
    if energy.has(sympy.Integral):
        raise ValueError(f"the potential of {force} is not a formula that could be found")
    return energy.subs(positive, DISTANCE)
