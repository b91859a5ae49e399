"""Weighted nonlinear least squares of a formula's constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.linalg
import sympy
from jaxtyping import Float

from sciml.distill.structured.numeric import Constants, Gradient, bind, fill, template

GAIN_RATIO = 0.25  # least decrease by a step over the one that the tangent promises


class Fit:
    """A formula bound to a table: its loss, and the constants that make it least.

    The loss is the weighted mean square of the residual; infinite where the formula is undefined.
    """

    def __init__(
        self,
        expression: sympy.Expr,
        symbols: Sequence[sympy.Symbol],
        X: Float[np.ndarray, "rows variables"],
        y: Float[np.ndarray, "rows"],
        weights: Float[np.ndarray, "rows"],
        more: Mapping[sympy.Symbol, float] | None = None,
    ):
        """Bind; ``more`` are constants that the formula holds as symbols, with values to start from."""
        self.formula, self.constants, self.values = template(expression)
        self.constants = [*self.constants, *(more or {})]
        self.values = np.r_[self.values, list((more or {}).values())]
        self.run = bind(self.formula, dict(zip(symbols, X.T, strict=True)), self.constants)
        self.y, self.root = y, np.sqrt(weights)

    def predict(self) -> Float[np.ndarray, "rows"]:
        """Evaluate with the present constants."""
        with np.errstate(all="ignore"):
            return np.broadcast_to(np.asarray(self.run(self.values)[0]), self.y.shape)

    def loss(self) -> float:
        """Return the loss with the present constants."""
        return self._step(self.values)[0]

    def residual(self) -> Float[np.ndarray, "rows"]:
        """Return the weighted residual with the present constants."""
        return (self.predict() - self.y) * self.root

    def _step(self, values: Constants) -> tuple[float, np.ndarray, Gradient]:
        with np.errstate(all="ignore"):
            value, gradient = self.run(values)
            r = (value - self.y) * self.root
            loss = float(r @ r) / len(r)
        return (loss if np.isfinite(loss) else np.inf), r, gradient

    def refit(self, iterations: int = 30, tolerance: float = 1e-9, hopeless: float = np.inf) -> float:
        """Move the constants to a local least-squares optimum (Levenberg–Marquardt); return the loss.

        Args:
            iterations: most steps.
            tolerance: relative decrease of the loss that counts as none.
            hopeless: give up after five steps if the loss is still above.
        """
        count = len(self.values)
        loss, r, gradient = self._step(self.values)
        if not 0 < count < len(self.y) or not np.isfinite(loss):
            return loss
        damping, small = 1e-4, 0
        for iteration in range(iterations):
            J = np.stack(
                [np.broadcast_to(gradient.get(k, 0.0) * self.root, r.shape) for k in range(count)], 1
            )
            if not np.isfinite(J).all() or (iteration == 5 and loss > hopeless):
                break
            size = np.sqrt(np.einsum("nk,nk->k", J, J)) + 1e-300
            R = scipy.linalg.qr(np.column_stack([J / size, r]), mode="r", check_finite=False)[0][: count + 1]
            R, projected = R[:count, :count], R[:count, count]
            while damping < 1e8:
                A = np.vstack([R, np.sqrt(damping) * np.eye(count)])
                move = np.linalg.lstsq(A, np.r_[projected, np.zeros(count)], rcond=1e-15)[0] / size
                new, new_r, new_gradient = self._step(self.values - move)
                # Madsen, Nielsen & Tingleff 2004, section 2.4: a step that brings far less than the tangent
                # promises may end where the formula is flat.
                promised = loss - float(np.sum((r - J @ move) ** 2)) / len(r)
                if new <= loss and (promised < tolerance * loss or loss - new >= GAIN_RATIO * promised):
                    break
                damping *= 10
            else:
                break
            small = small + 1 if new > loss * (1 - tolerance) else 0
            self.values, loss, r, gradient = self.values - move, new, new_r, new_gradient
            damping = max(damping / 10, 1e-14)
            if small > 1 or loss < 1e-31:
                break
        return loss

    def errors(self) -> Float[np.ndarray, "constants"]:
        """Return the constants' standard errors for independent noise; infinite where one undoes another."""
        count = len(self.values)
        _, r, gradient = self._step(self.values)
        if not 0 < count < len(r):
            return np.full(count, np.inf)
        J = np.stack([np.broadcast_to(gradient.get(k, 0.0) * self.root, r.shape) for k in range(count)], 1)
        if not np.isfinite(J).all():
            return np.full(count, np.inf)
        size = np.linalg.norm(J, axis=0) + 1e-300
        _, s, V = np.linalg.svd(J / size, full_matrices=False)
        spread = np.linalg.norm(V / np.maximum(s, 1e-9 * max(s[0], 1.0))[:, None], axis=0)
        errors = spread * np.sqrt(r @ r / (len(r) - count))
        return np.where(spread > 1e7, np.inf, errors / size)

    def expression(self) -> sympy.Expr:
        """Return the formula with its present constants."""
        return fill(self.formula, self.constants, self.values)
