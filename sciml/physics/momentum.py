"""Masses from accelerations alone: by Newton's second and third law, Σ mᵢ aᵢ = 0 at every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

BLOCKS = 20  # of the jackknife
SIGNIFICANT = 3.0  # standard errors


@dataclass(frozen=True, eq=False)
class MomentumClosure:
    """Relative masses, with what is needed to doubt them.

    Attributes:
        masses: relative to the heaviest particle; never negative. One row per simulation if the
            simulations differ in their masses.
        standard_error: of the masses, by a jackknife over blocks of time (errors correlated within a
            block are accounted for).
        determined: whether a mass differs from zero by three standard errors.
        reference: name of the particle whose mass is one.
        residual: root mean square of Σ mᵢ aᵢ over that of its terms; 0 is perfect closure.
        expected: the part of the residual that the stated errors of the accelerations explain.
        holds: whether the accelerations close within tolerance or errors, with no negative mass.
        reason: why not, in words; empty if it holds.
        shared: whether one set of masses serves all simulations.
    """

    masses: Float[np.ndarray, "*simulations particles"]
    standard_error: Float[np.ndarray, "*simulations particles"]
    determined: Bool[np.ndarray, "*simulations particles"]
    reference: str
    residual: float
    expected: float
    holds: bool
    reason: str
    shared: bool

    def positive(self) -> Float[np.ndarray, "*simulations particles"]:
        """Masses to start a fit from: where undetermined, at least their standard error."""
        return np.where(self.determined, self.masses, np.maximum(self.masses, self.standard_error))


def momentum_closure(
    acceleration: Float[np.ndarray, "simulations time particles dim"],
    error: Float[np.ndarray, "simulations particles"] | None = None,
    *,
    names: Sequence[str] = (),
    shared: bool | str = "auto",
    tolerance: float = 0.02,
) -> MomentumClosure:
    """Find the masses whose forces add up to nothing, before any force law is known.

    All accelerations have errors, so this is total least squares: columns are scaled by their errors
    and the smallest singular vector is taken (Golub & Van Loan, SIAM J. Numer. Anal. 17, 883, 1980).
    What the errors do not explain (bodies left out, say) is counted as an error of the sum.

    Args:
        acceleration: measured or estimated.
        error: rms error of each particle's acceleration; equal relative errors if None.
        names: of the particles, for the answer.
        shared: whether all simulations have the same masses; "auto" tries both.
        tolerance: residual up to which the closure is said to hold whatever the errors.

    Raises:
        ValueError: for wrong shapes, values that are not finite, a particle that never accelerates,
            or fewer equations than masses.
    """
    acceleration = np.asarray(acceleration, dtype=float)
    acceleration = acceleration[None] if acceleration.ndim == 3 else acceleration
    _check(acceleration)
    simulations, _, particles, _ = acceleration.shape
    names = tuple(names) or tuple(f"p{i}" for i in range(particles))
    size = np.sqrt((acceleration**2).mean(axis=(1, 3)))
    rounding = np.finfo(float).eps * size
    errors = size if error is None else np.maximum(np.broadcast_to(error, size.shape), rounding)

    everything = _Equations.of(acceleration, errors)
    single = [_Equations.of(acceleration[s : s + 1], errors[s : s + 1]) for s in range(simulations)]
    if shared == "auto":
        # Noise differs a little between fits of one set of masses and of many; other masses by far more.
        apart = np.sqrt(np.mean([part.residual(part.masses())[0] ** 2 for part in single]))
        shared = simulations == 1 or everything.residual(everything.masses())[0] < 3.0 * apart + 1e-10
    parts = [everything] if shared else single
    masses = np.stack([part.masses() for part in parts])
    heaviest = int(np.argmax((masses / masses.max(axis=1, keepdims=True)).mean(axis=0)))
    masses = masses / masses[:, [heaviest]]
    spread = np.stack([part.jackknife(heaviest) for part in parts])
    residual, expected = np.sqrt(
        np.mean([np.square(part.residual(mass)) for part, mass in zip(parts, masses, strict=True)], axis=0)
    )
    if error is None:
        expected = 0.0
    reason = _doubt(masses, spread, residual, expected, tolerance, names)
    found = (np.maximum(masses, 0.0), spread, masses > SIGNIFICANT * spread)
    found = tuple(x[0] for x in found) if shared else found
    return MomentumClosure(
        *found, names[heaviest], float(residual), float(expected), not reason, reason, bool(shared)
    )


class _Equations(NamedTuple):
    """Σ mᵢ aᵢ = 0 in blocks of time (or of simulations, if there are many), each reduced by QR."""

    factors: list[np.ndarray]  # triangular, [<= particles, particles], rows weighted
    rows: int  # number of equations
    sigma: Float[np.ndarray, "particles"]  # error of each column, weighted like the rows

    @classmethod
    def of(cls, acceleration: np.ndarray, errors: np.ndarray) -> _Equations:
        """Weight each simulation by the error of its sum, which needs a first idea of the masses."""
        simulations, times, particles, _ = acceleration.shape
        rows = np.moveaxis(acceleration, 3, 2)  # [simulations, time, dim, particles]
        weight = np.ones(simulations)
        for _ in range(2):
            weighted = rows * weight[:, None, None, None]
            if simulations >= BLOCKS:
                pieces = np.array_split(weighted.reshape(-1, particles), BLOCKS)
            else:
                count = min(-(-BLOCKS // simulations), times)
                pieces = [piece for one in weighted for piece in np.array_split(one, count)]
            factors = [np.asarray(np.linalg.qr(piece.reshape(-1, particles), mode="r")) for piece in pieces]
            sigma = np.sqrt(((errors * weight[:, None]) ** 2).mean(axis=0))
            equations = cls(factors, rows.size // particles, sigma)
            weight = 1.0 / np.sqrt(((errors * equations.masses()) ** 2).sum(axis=1))
            weight /= weight.max()
        return equations

    def masses(self, without: int | None = None) -> Float[np.ndarray, "particles"]:
        """Total least squares, the heaviest particle's mass one; possibly without one block."""
        kept = [factor for k, factor in enumerate(self.factors) if k != without]
        mass = np.linalg.svd(np.concatenate(kept) / self.sigma)[2][-1] / self.sigma
        return mass / mass[np.argmax(np.abs(mass))]

    def residual(self, mass: np.ndarray) -> tuple[float, float]:
        """Rms of the sum over that of its terms, and the part that the errors of the columns explain."""
        equations = np.concatenate(self.factors)
        terms = np.sum((equations * mass) ** 2)
        left, carried = np.sum((equations @ mass) ** 2), self.rows * np.sum((mass * self.sigma) ** 2)
        return float(np.sqrt(left / terms)), float(np.sqrt(carried / terms))

    def jackknife(self, reference: int) -> Float[np.ndarray, "particles"]:
        """Standard errors from leaving out one block at a time (Efron & Stein, Ann. Stat. 9, 586, 1981)."""
        count = len(self.factors)
        left_out = np.stack([self.masses(without=k) for k in range(count)])
        left_out /= left_out[:, [reference]]
        return np.sqrt((count - 1) * left_out.var(axis=0))


def _check(acceleration: np.ndarray) -> None:
    if acceleration.ndim != 4:
        raise ValueError(
            f"acceleration has shape {acceleration.shape}; expected [simulations, time, particles, dim]"
        )
    _, times, particles, dim = acceleration.shape
    if particles < 2 or times * dim < particles:
        raise ValueError(
            f"{times} times in {dim} dimensions give {times * dim} equations for {particles} masses in each "
            f"simulation; expected at least two particles and {-(-particles // dim)} times"
        )
    if not np.isfinite(acceleration).all():
        s, t, n, _ = np.argwhere(~np.isfinite(acceleration))[0]
        raise ValueError(f"acceleration is not finite at simulation {s}, time index {t}, particle {n}")
    still = ~acceleration.any(axis=(1, 3))
    if still.any():
        s, n = np.argwhere(still)[0]
        raise ValueError(f"particle {n} never accelerates in simulation {s}: its mass has no effect")


def _doubt(
    masses: np.ndarray,
    spread: np.ndarray,
    residual: float,
    expected: float,
    tolerance: float,
    names: Sequence[str],
) -> str:
    """Why the masses should not be believed, or nothing."""
    if residual > min(max(tolerance, SIGNIFICANT * expected), 0.3):
        return (
            f"the forces do not add up to nothing: {residual:.2g} of their size is left, {expected:.2g} "
            "expected from the stated errors (an external field, drag, bodies left out, no third law, or "
            "larger errors than stated)"
        )
    negative = np.argwhere(masses < -SIGNIFICANT * spread)
    if len(negative):
        s, n = negative[0]
        return f"the mass of {names[n]} comes out negative, {masses[s, n]:.2g} ± {spread[s, n]:.1g}"
    return ""
