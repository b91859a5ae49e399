"""A smooth function through the data, or the user's own, to read a target's symmetries from.

A network that was trained on the data, or any callable, knows the target without its noise; where there is
none, a Gaussian process with one length per variable is fitted (Rasmussen and Williams 2006, chapters 2, 5).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.optimize
from jaxtyping import Bool, Float

LENGTHS = 350  # rows that lengths and noise are fitted to; the cost grows with the cube
ROWS = 900  # rows that the posterior is conditioned on
STEP = 1e-4  # of a variable's spread, for differences of a callable without derivatives

Values = Float[np.ndarray, "rows"]
Matrix = Float[np.ndarray, "rows variables"]


@dataclass(frozen=True)
class Process:
    """A Gaussian process with squared-exponential covariance: the smoother where there is no network.

    Attributes:
        inputs: the rows that it is conditioned on, in units of ``lengths`` after ``center``.
        alpha: K⁻¹ (t − mean).
        center, spread: mean and standard deviation of the inputs.
        mean: of the target.
        evidence: log marginal likelihood of the rows that lengths were fitted to.
        parameters: log lengths, log signal variance, log noise variance.
    """

    inputs: Matrix
    alpha: Values
    center: Values
    spread: Values
    mean: float
    evidence: float
    parameters: Values

    @property
    def lengths(self) -> Values:
        """Length over which the function changes along each variable."""
        return self.spread * np.exp(self.parameters[:-2])

    def value(self, X: Matrix) -> Values:
        """Return the posterior mean."""
        return self.mean + self._covariance((X - self.center) / self.lengths) @ self.alpha

    def gradient(self, X: Matrix) -> Matrix:
        """Return the derivatives of the posterior mean: ∂k(x, z)/∂x = (z − x) k(x, z)/length²."""
        Z = (X - self.center) / self.lengths
        K = self._covariance(Z) * self.alpha
        return (K @ self.inputs - Z * K.sum(1, keepdims=True)) / self.lengths

    def _covariance(self, Z: Matrix) -> Float[np.ndarray, "rows inputs"]:
        return np.exp(self.parameters[-2] - 0.5 * _squared_distances(Z, self.inputs))


def _squared_distances(A: Matrix, B: Matrix) -> np.ndarray:
    return np.maximum((A**2).sum(1)[:, None] + (B**2).sum(1) - 2 * A @ B.T, 0)


def fit_process(
    X: Matrix, t: Values, variance: Values, start: Values | None = None, steps: int = 40
) -> Process:
    """Fit lengths, signal and noise by the marginal likelihood, then condition on more rows.

    Args:
        X: inputs, in random order.
        t: targets.
        variance: of the noise, up to a factor that is fitted.
        start: parameters to start from.
        steps: of the optimizer.
    """
    center, spread = X.mean(0), X.std(0)
    shape = np.clip(variance / np.median(variance), 1e-3, 1e6)
    mean, size = float(t.mean()), float(t.std()) or 1.0
    few = min(LENGTHS, len(t))
    Z, r = (X[:few] - center) / spread, (t[:few] - mean) / size
    v = X.shape[1]
    differences = (Z[:, None] - Z[None]) ** 2

    def negative_evidence(p: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the negative log marginal likelihood and its derivatives (equation 5.9)."""
        K = np.exp(p[-2] - 0.5 * differences @ np.exp(-2 * p[:v]))
        try:
            noisy = K + np.diag(np.exp(p[-1]) * shape[:few] + _jitter(p))
            L = scipy.linalg.cholesky(noisy, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(p)
        inverse = scipy.linalg.cho_solve((L, True), np.eye(few), check_finite=False)
        alpha = inverse @ r
        W = inverse - np.outer(alpha, alpha)
        WK = W * K
        slope = [*(np.exp(-2 * p[:v]) * np.einsum("nm,nmk->k", WK, differences)), WK.sum()]
        value = 0.5 * r @ alpha + np.log(np.diag(L)).sum()
        return float(value), 0.5 * np.array([*slope, np.exp(p[-1]) * np.diag(W) @ shape[:few]])

    first = np.r_[np.full(v, np.log(1.5 * np.sqrt(v))), 1.0, np.log(1e-2)] if start is None else start
    bounds = [*[(np.log(0.1), np.log(300))] * v, (-2.0, 8.0), (np.log(1e-8), 0.5)]
    found = scipy.optimize.minimize(
        negative_evidence, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps}
    )
    p = found.x
    inputs = (X[:ROWS] - center) / (spread * np.exp(p[:v]))
    K = np.exp(p[-2] - 0.5 * _squared_distances(inputs, inputs))
    K += np.diag(np.exp(p[-1]) * shape[:ROWS] + _jitter(p))
    alpha = scipy.linalg.solve(K, (t[:ROWS] - mean) / size, assume_a="pos", check_finite=False)
    return Process(inputs, alpha * size, center, spread, mean, -float(found.fun) - few * np.log(size), p)


def _jitter(p: Values) -> float:
    """Return a variance below any noise that keeps covariances of any amplitude well-conditioned."""
    return 1e-9 + 1e-11 * float(np.exp(p[-2]))


@dataclass(frozen=True)
class Smoother:
    """A Gaussian process through data whose variables and target may stretch over decades.

    Attributes:
        process: of the variables, or their logarithms, to the target, or its logarithm.
        logs: which variables enter by their logarithms.
        log_target: whether the process is of log|y|.
        sign: of the target, where it is of one sign.
        evidence: log density of the target, so that smoothers of one target compare.
    """

    process: Process
    logs: Bool[np.ndarray, "variables"]
    log_target: bool
    sign: float
    evidence: float

    def value(self, X: Matrix) -> Values:
        """Return the smoothed target."""
        found = self.process.value(self._inputs(X))
        return self.sign * np.exp(np.clip(found, -300, 300)) if self.log_target else found

    def gradient(self, X: Matrix) -> Matrix:
        """Return the derivatives of the target, or of its logarithm where the process is of that."""
        slope = self.process.gradient(self._inputs(X))
        return np.where(self.logs, slope / np.where(self.logs, X, 1.0), slope)

    def _inputs(self, X: Matrix) -> Matrix:
        return np.where(self.logs, np.log(np.maximum(np.where(self.logs, X, 1.0), 1e-300)), X)


def smooth(X: Matrix, y: Values, weights: Values, start: Smoother | None = None) -> Smoother:
    """Fit a smoother; ``start`` is one of a like problem, whose noise is a first guess."""
    low, high = np.quantile(X, 0.02, axis=0), np.quantile(X, 0.98, axis=0)
    logs = (X.min(0) > 0) & (high > 3 * np.maximum(low, 1e-300))
    sign = float(np.sign(y[0]))
    low_y, high_y = np.quantile(np.abs(y), [0.02, 0.98])
    log_target = bool(sign and (np.sign(y) == sign).all() and high_y > 4 * low_y)
    t, slope = (np.log(np.abs(y)), 1 / np.abs(y)) if log_target else (y, np.ones_like(y))
    inputs = np.where(logs, np.log(np.where(logs, X, 1.0)), X)
    variance = slope**2 / np.maximum(weights, 1e-6 * weights.mean())
    guess = None
    if start is not None and start.log_target == log_target:
        p, v = start.process.parameters, X.shape[1]
        guess = np.r_[np.full(v, np.log(1.5 * np.sqrt(v))), p[-2:]]
    process = fit_process(inputs, t, variance, guess)
    evidence = process.evidence + float(np.log(slope[:LENGTHS]).sum())
    return Smoother(process, logs, log_target, sign, evidence)


@dataclass(frozen=True)
class Model:
    """The user's own function, usually the network that is being distilled, in the variables of a table.

    Attributes:
        function: from [rows, variables] in the user's units to [rows] or [rows, 1]. A torch module is given
            a tensor and differentiated by autograd; anything else is given an array and differentiated by
            central differences.
        source: for each of the function's variables the table's variable that it is, -1 for those that the
            table does not have, since they are constant.
        typical: for each of the function's variables its median.
        scales: units of the table's variables.
        y_scale: unit of the table's target.
        spread: of the table's variables.
    """

    function: Callable[[Any], Any]
    source: tuple[int, ...]
    typical: Values
    scales: Values
    y_scale: float
    spread: Values

    def value(self, X: Matrix) -> Values:
        """Evaluate the function on the table's rows.

        Raises:
            ValueError: if it does not return one finite number for each row.
        """
        full = self._insert(X)
        module = _module(self.function)
        if module is None:
            found = np.asarray(self.function(full), dtype=np.float64)
        else:
            found = module(_tensor(full, module)).detach().cpu().numpy().astype(np.float64)
        if found.shape not in ((len(X),), (len(X), 1)) or not np.isfinite(found).all():
            raise ValueError(
                f"the model must return a finite number for each of {len(X)} rows, found shape {found.shape}"
                f"{'' if np.isfinite(found).all() else ' with numbers that are not finite'}"
            )
        return found.reshape(-1) / self.y_scale

    def gradient(self, X: Matrix) -> Matrix:
        """Return the derivatives by the table's variables."""
        module = _module(self.function)
        if module is not None:
            import torch

            full = _tensor(self._insert(X), module).requires_grad_(True)
            (slope,) = torch.autograd.grad(module(full).sum(), full)
            by_column = slope.detach().cpu().numpy().astype(np.float64)
            found = np.zeros(X.shape)
            for column, j in enumerate(self.source):
                if j >= 0:
                    found[:, j] += by_column[:, column]
            return found * self.scales / self.y_scale
        columns = []
        for j, width in enumerate(self.spread * STEP):
            step = np.zeros(X.shape[1])
            step[j] = width
            columns.append((self.value(X + step) - self.value(X - step)) / (2 * width))
        return np.stack(columns, 1)

    def _insert(self, X: Matrix) -> Matrix:
        full = np.tile(self.typical, (len(X), 1))
        for column, j in enumerate(self.source):
            if j >= 0:
                full[:, column] = X[:, j] * self.scales[j]
        return full


def _module(function: Any) -> Any:
    """Return the function if it is a torch module; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return function if torch is not None and isinstance(function, torch.nn.Module) else None


def _tensor(X: Matrix, module: Any) -> Any:
    import torch

    like = next(module.parameters(), torch.zeros(0, dtype=torch.float64))
    return torch.as_tensor(X, dtype=like.dtype, device=like.device)
