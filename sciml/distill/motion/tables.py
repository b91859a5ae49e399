"""Forces as the splines have them: tables for the search, and formulas fitted to splines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.optimize
import sympy
from jaxtyping import Float

from sciml.distill.expression import parameters
from sciml.distill.motion.bank import Bank, Splines
from sciml.distill.motion.structure import Channel, Fitted
from sciml.distill.select import free_coefficients

POINTS = 48  # of a table


@dataclass(frozen=True)
class Table:
    """A force as the splines have it.

    Attributes:
        channel: which.
        argument: values of its invariant.
        value: of the scalar that multiplies the vector.
        error: standard errors.
        shape, precision: coefficients of the splines, and what the data fix them to, other forces adapting.
    """

    channel: Channel
    argument: Float[np.ndarray, "points"]
    value: Float[np.ndarray, "points"]
    error: Float[np.ndarray, "points"]
    shape: Float[np.ndarray, "splines"]
    precision: Float[np.ndarray, "splines splines"]

    @property
    def doubt(self) -> float:
        """Typical relative error."""
        return float(np.median(self.error) / max(np.median(np.abs(self.value)), 1e-300))

    def refitted(self, formula: sympy.Expr, splines: Splines) -> tuple[sympy.Expr, float]:
        """Refit a formula's constants by the normal equations of the splines; return squared residual added.

        The formula is projected on the splines, and its distance from theirs is measured by the precision
        that the data give their coefficients, other forces adapting.
        """
        template, start = parameters(free_coefficients(formula))
        columns = splines(self.argument)
        weight = 1 / np.maximum(np.abs(self.value), 1e-3 * np.abs(self.value).max())[:, None]
        project = np.linalg.lstsq(columns * weight, np.eye(len(columns)) * weight, rcond=None)[0]
        values, vectors = np.linalg.eigh(self.precision)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        names = list(start)
        function = sympy.lambdify(
            [sympy.Symbol(splines.argument), *names], template, modules=["numpy", "scipy"]
        )
        size = np.array([abs(v) or 1.0 for v in start.values()])

        def left(z: np.ndarray) -> np.ndarray:
            with np.errstate(all="ignore"):
                found = np.broadcast_to(np.asarray(function(self.argument, *(z * size))), self.argument.shape)
            if np.iscomplexobj(found) or not np.isfinite(found).all():
                return np.full(len(self.shape), 1e12)
            return root.T @ (project @ found - self.shape)

        z = np.array(list(start.values())) / size
        if len(z) and np.abs(left(z)).max() < 1e12:
            z = scipy.optimize.least_squares(left, z, x_scale="jac", max_nfev=60).x
        fitted = template.xreplace({s: sympy.Float(v) for s, v in zip(names, z * size, strict=True)})
        return fitted, float((left(z) ** 2).sum())


def tables(found: Fitted, bank: Bank) -> list[Table]:
    """Return the table of every force that depends on an invariant; empty arguments for constants."""
    result, at = [], 0
    for channel, shape in zip(found.channels, found.shapes, strict=True):
        block = bank.blocks[channel.block]
        inverse = found.inverse[at : at + len(shape), at : at + len(shape)]
        covariance, precision = inverse * found.loss, np.linalg.pinv(inverse, hermitian=True)
        at += len(shape)
        if block.splines.knots is None:
            error = np.sqrt(np.maximum(np.diag(covariance), 0))
            result.append(Table(channel, np.zeros(0), shape, error, shape, precision))
            continue
        knots = block.splines.knots
        grid = np.exp(np.linspace(knots[0], knots[-1], POINTS))
        values = block.splines(grid)
        error = np.sqrt(np.maximum(np.einsum("pk,kl,pl->p", values, covariance, values), 0))
        result.append(Table(channel, grid, values @ shape, error, shape, precision))
    return result
