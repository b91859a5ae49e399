"""All formulas of a law of pairs fitted together, to the energies and forces of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.optimize
from jaxtyping import Float
from scipy.interpolate import CubicSpline

from sciml.distill.pairs.forms import Form
from sciml.distill.pairs.rows import PairRows

GRID = 1500  # points of the integral of a force
FAR = 1e8  # what counts for a residual that is not finite, or larger
STEPS = 25


@dataclass(frozen=True, eq=False)
class PairModel:
    """A formula for each kind of pair, with the values of its constants.

    Attributes:
        forms: for each kind; None where there are no pairs of it.
        values: of the constants of each form.
        elements: energy of a single atom of each element, in eV.
        cutoff: beyond it there is no force, and the energy of a pair is zero there.
    """

    forms: tuple[Form | None, ...]
    values: tuple[tuple[float, ...], ...]
    elements: tuple[float, ...]
    cutoff: float

    @property
    def parameters(self) -> Float[np.ndarray, "parameters"]:
        """All constants, the energies of the elements last."""
        return np.array([v for own in self.values for v in own] + list(self.elements))

    def with_parameters(self, x: Float[np.ndarray, "parameters"]) -> PairModel:
        """Return the model with other constants."""
        values, at = [], 0
        for own in self.values:
            values.append(tuple(map(float, x[at : at + len(own)])))
            at += len(own)
        return PairModel(self.forms, tuple(values), tuple(map(float, x[at:])), self.cutoff)

    def predict(self, rows: PairRows) -> tuple[Float[np.ndarray, "frames"], Float[np.ndarray, "atoms 3"]]:
        """Return energies in eV and forces in eV/Å."""
        energy = np.zeros_like(rows.distance)
        for kind, (form, values) in enumerate(zip(self.forms, self.values)):
            own = rows.kind == kind
            if form is not None and own.any():
                grid = _grid(rows.distance[own], self.cutoff)
                energy[own] = _integral(form(grid, values), grid, rows.distance[own])
        return rows.add(energy) + rows.counts @ np.array(self.elements), rows.pull(self.force(rows))

    def force(self, rows: PairRows) -> Float[np.ndarray, "pairs"]:
        """Return f of each pair in eV/Å, positive where it pushes apart."""
        force = np.zeros_like(rows.distance)
        for kind, (form, values) in enumerate(zip(self.forms, self.values)):
            own = rows.kind == kind
            if form is not None and own.any():
                force[own] = form(rows.distance[own], values)
        return force

    def slopes(
        self, rows: PairRows
    ) -> tuple[Float[np.ndarray, "frames parameters"], Float[np.ndarray, "atoms 3 parameters"]]:
        """Return the derivatives of energies and forces by all constants."""
        energies, forces = [], []
        for kind, (form, values) in enumerate(zip(self.forms, self.values)):
            own = rows.kind == kind
            if form is None:
                continue
            r = rows.distance[own]
            grid = _grid(r, self.cutoff)
            here, along = form.slopes(r, *values)[1:], form.slopes(grid, *values)[1:]
            for at_pairs, at_grid in zip(here, along):
                pull, work = np.zeros_like(rows.distance), np.zeros_like(rows.distance)
                pull[own] = at_pairs
                work[own] = _integral(np.broadcast_to(at_grid, grid.shape), grid, r)
                energies.append(rows.add(work))
                forces.append(rows.pull(pull))
        energies += list(rows.counts.T)
        forces += [np.zeros_like(rows.forces)] * rows.counts.shape[1]
        return np.stack(energies, -1), np.stack(forces, -1)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A model fitted to frames.

    Attributes:
        model: with the best constants.
        errors: their standard errors, in the order of `PairModel.parameters`; of white errors in frames.
    """

    model: PairModel
    errors: Float[np.ndarray, "parameters"]


def fit_model(model: PairModel, parts: Sequence[PairRows], noise: tuple[float, float]) -> Fitted:
    """Fit all constants by least squares, from those of the model.

    Args:
        model: where to begin.
        parts: frames.
        noise: by what errors of forces (eV/Å) and energies (eV, for one atom) are divided.

    Raises:
        ValueError: a formula that is not finite where the frames have pairs.
    """
    start = model.parameters
    scale = np.maximum(np.abs(start), 1e-6 * np.abs(start).max(initial=1e-300))
    if not all(np.isfinite(v).all() for p in parts for v in model.predict(p)):
        raise ValueError("the formula is not finite at the distances of the frames")

    def left(z: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):  # a step too far; it is turned back below
            found = residuals(model.with_parameters(z * scale), parts, noise)
        return np.where(np.isfinite(found), np.clip(found, -FAR, FAR), FAR)

    def slopes(z: np.ndarray) -> np.ndarray:
        return np.nan_to_num(jacobian(model.with_parameters(z * scale), parts, noise)) * scale

    best = scipy.optimize.least_squares(
        left, start / scale, jac=slopes, x_scale="jac", max_nfev=STEPS, xtol=1e-10, ftol=1e-10, gtol=1e-10
    )
    loss = 2 * best.cost / max(len(best.fun) - len(start), 1)
    normal = best.jac.T @ best.jac
    size = 1 / np.sqrt(np.maximum(np.diag(normal), 1e-300))
    covariance = np.linalg.pinv(normal * size[:, None] * size, hermitian=True) * size[:, None] * size * loss
    errors = np.sqrt(np.maximum(np.diag(covariance), 0.0)) * scale
    return Fitted(model.with_parameters(best.x * scale), errors)


def residuals(
    model: PairModel, parts: Sequence[PairRows], noise: tuple[float, float]
) -> Float[np.ndarray, "rows"]:
    """Return what is left of forces and energies (per root of atoms), over their noise."""
    found = []
    for part in parts:
        energy, forces = model.predict(part)
        known = np.isfinite(part.energy)
        found.append(((forces - part.forces)[part.known] / noise[0]).ravel())
        root = np.sqrt(part.counts.sum(1))
        found.append(((energy - part.energy) / root / noise[1])[known])
    return np.concatenate(found)


def jacobian(
    model: PairModel, parts: Sequence[PairRows], noise: tuple[float, float]
) -> Float[np.ndarray, "rows parameters"]:
    """Return the derivatives of `residuals`."""
    found = []
    for part in parts:
        energy, forces = model.slopes(part)
        known = np.isfinite(part.energy)
        found.append((forces[part.known] / noise[0]).reshape(-1, forces.shape[-1]))
        root = np.sqrt(part.counts.sum(1))[:, None]
        found.append((energy / root / noise[1])[known])
    return np.concatenate(found)


def _grid(r: Float[np.ndarray, "pairs"], cutoff: float) -> Float[np.ndarray, "points"]:
    """Return distances from the smallest to the cutoff, even in the logarithm."""
    return np.geomspace(min(r.min(initial=np.inf), 0.999 * cutoff), cutoff, GRID)


def _integral(
    values: Float[np.ndarray, "points"], grid: Float[np.ndarray, "points"], r: Float[np.ndarray, "pairs"]
) -> Float[np.ndarray, "pairs"]:
    """Return ∫_r^cutoff of what has these values on a grid, by cubic splines; NaN where it is not finite."""
    if not np.isfinite(values).all():
        return np.full_like(r, np.nan)
    work = CubicSpline(np.log(grid), values * grid).antiderivative()
    return work(np.log(grid[-1])) - work(np.log(r))
