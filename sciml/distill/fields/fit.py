"""Coefficients of an equation by corrected least squares in weak form, with their covariance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from sciml.distill.fields.problem import WeakProblem

CLEAR = 0.1  # share of a term's integrals that must be signal
KNOWN = 0.03  # relative error of the estimated variance of the noise
CONDITION = 1e-10  # smallest eigenvalue of normalized equations that can be solved


@dataclass(frozen=True, eq=False)
class Normal:
    """Normal equations of one channel over some of the test functions, noise subtracted.

    Attributes:
        problem: the whole data set in weak form.
        target: channel.
        rows: which test functions.
    """

    problem: WeakProblem
    target: int
    rows: Bool[np.ndarray, "rows"]

    @cached_property
    def _raw(self) -> tuple[np.ndarray, np.ndarray, float, int]:
        G, b = self.problem.columns[self.rows], self.problem.targets[self.rows, self.target]
        return G.T @ G, G.T @ b, float(b @ b), len(b)

    @cached_property
    def number(self) -> int:
        """Rows."""
        return self._raw[3]

    @cached_property
    def matrix(self) -> Float[np.ndarray, "terms terms"]:
        """GᵀG without the noise in it."""
        return self._raw[0] - self.number * self.problem.noise_products[0]

    @property
    def raw_matrix(self) -> Float[np.ndarray, "terms terms"]:
        """GᵀG, noise and all."""
        return self._raw[0]

    @cached_property
    def right(self) -> Float[np.ndarray, "terms"]:
        """Gᵀb without the noise in it."""
        return self._raw[1] - self.number * self.problem.noise_products[1][:, self.target]

    @cached_property
    def energy(self) -> float:
        """bᵀb without the noise in it: what there is to explain."""
        return self._raw[2] - self.number * float(self.problem.noise_products[2][self.target])

    @cached_property
    def clear(self) -> Bool[np.ndarray, "terms"]:
        """Terms whose integrals are more than noise."""
        raw = np.diag(self._raw[0])
        return (np.diag(self.matrix) > CLEAR * raw) & (raw > 0)

    def solve(self, support: Sequence[int]) -> Float[np.ndarray, "k"] | None:
        """Return the coefficients of these terms; None where the data do not fix them."""
        s = list(support)
        A = self.matrix[np.ix_(s, s)]
        diagonal = np.diag(A)
        if (diagonal <= 0).any():
            return None
        scale = 1 / np.sqrt(diagonal)
        normalized = A * scale[:, None] * scale
        values, vectors = np.linalg.eigh(normalized)
        if values[0] < CONDITION:
            return None
        return scale * (vectors @ ((vectors.T @ (scale * self.right[s])) / values))

    def left_over(self, support: Sequence[int], w: Float[np.ndarray, "k"]) -> float:
        """Return the squared residual beyond the noise, relative to what there was to explain."""
        s = list(support)
        rest = self.energy - 2 * w @ self.right[s] + w @ self.matrix[np.ix_(s, s)] @ w
        return float(rest / max(self.energy, 1e-300))

    def chance(self, support: Sequence[int], w: Float[np.ndarray, "k"]) -> float:
        """Return the standard deviation of `left_over` that noise makes, and not knowing its size well."""
        share = self.noise_energy(support, w) / max(self.energy, 1e-300)
        independent = max(self.number / self.problem.tests.redundancy, 1.0)
        return float(share * np.sqrt(2.0 / independent + KNOWN**2))

    def raw_residual(self, support: Sequence[int], w: Float[np.ndarray, "k"]) -> float:
        """Return the squared residual, noise and all."""
        s, (gg, gb, bb, _) = list(support), self._raw
        return float(max(bb - 2 * w @ gb[s] + w @ gg[np.ix_(s, s)] @ w, 0.0))

    def noise_energy(self, support: Sequence[int], w: Float[np.ndarray, "k"]) -> float:
        """Return the squared residual that noise alone would leave."""
        s, (cc, cb, bb) = list(support), self.problem.noise_products
        row = bb[self.target] - 2 * w @ cb[s, self.target] + w @ cc[np.ix_(s, s)] @ w
        return float(max(self.number * row, 0.0))


@dataclass(frozen=True, eq=False)
class Fit:
    """An equation of one channel fitted to data.

    Attributes:
        support: numbers of its terms.
        coefficients: of the terms.
        covariance: of the coefficients.
        left_over: squared residual beyond the noise, relative to what there was to explain; chance makes it
            negative.
        chi2: squared residual over that of the noise.
        chance: standard deviation of `left_over` that noise makes.
    """

    support: tuple[int, ...]
    coefficients: Float[np.ndarray, "k"]
    covariance: Float[np.ndarray, "k k"]
    left_over: float
    chi2: float
    chance: float

    @property
    def errors(self) -> Float[np.ndarray, "k"]:
        """Standard errors."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    @property
    def t(self) -> Float[np.ndarray, "k"]:
        """Coefficients over their standard errors."""
        return np.abs(self.coefficients) / np.maximum(self.errors, 1e-300)


def fit(normal: Normal, support: Sequence[int], errors: bool = True) -> Fit | None:
    """Fit an equation with these terms; None where the data do not fix its coefficients.

    Where the residual is larger than the noise explains, the covariance is scaled by as much: an effect
    that the equation lacks is taken for more noise.

    Args:
        normal: normal equations.
        support: numbers of the terms.
        errors: find the covariance, which takes most of the time; it is nan otherwise.
    """
    w = normal.solve(support)
    if w is None:
        return None
    problem, s = normal.problem, list(support)
    noise = normal.noise_energy(s, w)
    raw = normal.raw_residual(s, w)
    chi2 = raw / noise if noise > 0 else np.inf
    covariance = np.full((len(s), len(s)), np.nan)
    if errors and s:
        score = problem.score_covariance(normal.target, s, w, normal.rows.astype(float))
        inverse = np.linalg.inv(normal.matrix[np.ix_(s, s)])
        covariance = inverse @ score @ inverse * np.clip(chi2, 1.0, 1e300)
    return Fit(tuple(s), w, covariance, normal.left_over(s, w), float(chi2), normal.chance(s, w))
