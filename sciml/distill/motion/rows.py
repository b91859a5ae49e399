"""What the data say of accelerations, as rows of equal noise: measured ones, or weak forms of the paths.

Where accelerations were not measured, the equation of motion is integrated against test functions φ,

    ∫ φ'' x dt  =  ∫ φ a(x, v) dt,      −∫ φ' v dt  =  ∫ φ a(x, v) dt,

so that no noisy path is differentiated (Messenger & Bortz 2021, arXiv 2007.02848; `fields.weak` does the same
for fields). The noise of the left side is known, overlapping test functions and all, and is made white.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import solve_triangular

from sciml.datasets.trajectories import Trajectories
from sciml.distill.motion.smooth import Smooth, smooth
from sciml.physics.differentiate import nearest_image, unwrap

log = logging.getLogger(__name__)

EXPONENT = 6  # of the test function (1 − s²)^p
NARROWEST = 6.0  # half-width of a test function in times, at least
WIDTH = 1.5  # half-width in spacings of knots
OVERLAP = 3  # test functions within a half-width
MOMENTS = 6  # polynomials that sums over test functions integrate exactly
FRAMES = 3000  # most frames of measured accelerations, over all simulations
SUPPORT = 0.05  # share of its largest weight from which a time counts for a row
RESOLVED = 3.0  # times between knots from which noise can be told from motion
NOISELESS = 1e8  # mean square of what is to be explained over the noise's: there is none to speak of
ROUNDING = 1e-5  # noise of positions over their spread below which there is none to speak of
NEAR = (15.0, 8.0, 4.0)  # distances in units of their noise below which forces are not known
DROPPED = 0.1  # most of all times that are left out for it
QUIET = 1e-3  # noise over typical accelerations below which errors are rather those of splines


@dataclass(frozen=True, eq=False)
class Observed:
    """States of all particles, and rows that a law must explain.

    A model's accelerations ``a`` of simulation s [time, particles, dim] predict
    ``operators[s] @ a / sigma[s]``, to be compared with ``targets[s]``; the noise has unit variance where
    ``noise_known``. Where there is no noise, large rows count by their relative errors: otherwise one close
    encounter would hide all the rest behind the error of its splines.

    Attributes:
        data: the trajectories.
        position, velocity: smoothed, or as measured where that is better.
        operators: matrix for each simulation.
        targets: for each simulation.
        valid: rows during which the sampling follows the motion, and no particle is so near another that
            the noise of their distance spoils the force; the others are left out.
        sigma: noise of each row of a target in its own unit, or what stands for it.
        noise_known: whether sigma is noise that was measured.
        path_noise: standard deviation of the noise in positions.
        spacing: times between two knots of the paths, the finest over all bodies.
        kind: "acceleration", "velocity" or "position", what the targets are made of.
        near: when a particle is so near another; None where accelerations were measured.
    """

    data: Trajectories
    position: Float[np.ndarray, "simulations time particles dim"]
    velocity: Float[np.ndarray, "simulations time particles dim"]
    operators: tuple[Float[np.ndarray, "rows time"], ...]
    targets: tuple[Float[np.ndarray, "rows particles dim"], ...]
    valid: tuple[Bool[np.ndarray, "rows particles"], ...]
    sigma: tuple[Float[np.ndarray, "rows particles"], ...]
    noise_known: bool
    path_noise: Float[np.ndarray, "simulations particles"]
    spacing: float
    kind: str
    near: Bool[np.ndarray, "simulations time particles"] | None = None

    @property
    def noisy_paths(self) -> bool:
        """Whether noise of positions is told from motion, and is more than rounding."""
        spread = float(np.std(self.position - self.position.mean((0, 1))))
        return self.spacing >= RESOLVED and float(np.median(self.path_noise)) > ROUNDING * spread

    def first(self, number: int) -> Observed:
        """Return the first simulations alone; they keep their numbers."""
        few = slice(0, number)
        names = ("position", "velocity", "operators", "targets", "valid", "sigma", "path_noise")
        near = None if self.near is None else self.near[few]
        some: dict[str, Any] = {name: getattr(self, name)[few] for name in names}
        return replace(self, data=self.data.select(simulations=few), near=near, **some)


def observe(data: Trajectories) -> Observed:
    """Estimate paths, noise and rows."""
    position = unwrap(data.position, data.box)
    paths = [
        smooth(data.time[s], position[s], None if data.velocity is None else data.velocity[s])
        for s in range(len(position))
    ]
    path_noise = np.stack([p.sigma for p in paths])
    spacing = float(np.min([np.quantile(p.spacing, 0.25) for p in paths]))
    if data.acceleration is not None:
        return _measured(data, position, paths, path_noise, spacing)
    smoothed = np.stack([p.value for p in paths])
    rates = np.stack([p.rate for p in paths])
    return _weak(data, position, smoothed, rates, paths, path_noise, spacing)


def _measured(
    data: Trajectories, position: np.ndarray, paths: list[Smooth], noise: np.ndarray, spacing: float
) -> Observed:
    """Rows that are measured accelerations, thinned."""
    assert data.acceleration is not None
    simulations, times, particles, _ = position.shape
    noisy = spacing >= 2 * RESOLVED
    x = np.stack([p.value for p in paths]) if noisy else position
    v = data.velocity if data.velocity is not None and not noisy else np.stack([p.rate for p in paths])
    kept = np.unique(np.linspace(0, times - 1, min(times, max(FRAMES // simulations, 20))).astype(int))
    operator = np.zeros((len(kept), times))
    operator[np.arange(len(kept)), kept] = 1.0
    levels = [smooth(data.time[s], data.acceleration[s]) for s in range(simulations)]
    sigma = np.stack([level.sigma for level in levels])
    size = np.sqrt((data.acceleration**2).mean((1, 3)))
    resolved = bool(np.median([level.spacing for level in levels]) >= RESOLVED)
    typical = np.median(np.linalg.norm(data.acceleration, axis=-1))
    quiet = bool(np.median(sigma) < QUIET * typical)
    if data.acceleration_error is not None:
        sigma, resolved = np.broadcast_to(data.acceleration_error, sigma.shape), True
    floor = 1e-9 * float(np.sqrt((size**2).mean())) or 1e-300
    sigma = np.maximum(sigma, floor) if resolved else np.full_like(sigma, max(float(np.median(size)), floor))
    targets = tuple(data.acceleration[s, kept] / sigma[s][:, None] for s in range(simulations))
    valid = (np.ones((len(kept), particles), dtype=bool),) * simulations
    every = tuple(np.broadcast_to(one, valid[0].shape) for one in sigma)
    found = Observed(
        data, x, v, (operator,) * simulations, targets, valid, every, resolved, noise, spacing, "acceleration"
    )
    return _relative(found) if (quiet and not resolved) or _noiseless(found) else found


def _weak(
    data: Trajectories,
    position: np.ndarray,
    smoothed: np.ndarray,
    rates: np.ndarray,
    paths: list[Smooth],
    noise: np.ndarray,
    spacing: float,
) -> Observed:
    """Rows that are integrals against test functions."""
    times = position.shape[1]
    half = min(max(NARROWEST, WIDTH * spacing), (times - 1) / 4)
    near = encounters(smoothed, noise, data.box)
    operators, targets, valid, sigma, kind = [], [], [], [], "position"
    for s, path in enumerate(paths):
        forms = weak_forms(data.time[s], half)
        spread = [np.sqrt((f**2).sum(1).mean()) for f in forms]
        use_rates = data.velocity is not None and bool(
            np.median(path.rate_sigma) * spread[1] < np.median(path.sigma) * spread[2]
        )
        kind = "velocity" if use_rates else "position"
        source = -forms[1] if use_rates else forms[2]
        series = data.velocity[s] if use_rates and data.velocity is not None else position[s]
        level = path.rate_sigma if use_rates else path.sigma
        gram = source @ source.T
        factor = np.linalg.cholesky(gram + 1e-9 * np.trace(gram) / len(gram) * np.eye(len(gram)))
        operators.append(solve_triangular(factor, forms[0], lower=True))
        white = solve_triangular(factor, source, lower=True)
        targets.append(np.einsum("rt,tnd->rnd", white, series) / level[:, None])
        sigma.append(np.broadcast_to(level, targets[-1].shape[:2]))
        heavy = np.abs(operators[-1]) > SUPPORT * np.abs(operators[-1]).max(1, keepdims=True)
        valid.append(heavy.astype(float) @ (path.unresolved | near[s]) < 0.5)
    found = Observed(
        data, smoothed, rates, tuple(operators), tuple(targets), tuple(valid), tuple(sigma), True, noise,
        spacing, kind, near,
    )  # fmt: skip
    return _relative(found) if _noiseless(found) else found


def encounters(
    position: Float[np.ndarray, "simulations time particles dim"],
    noise: Float[np.ndarray, "simulations particles"],
    box: Float[np.ndarray, "dim"] | None = None,
) -> Bool[np.ndarray, "simulations time particles"]:
    """Tell when a particle is so near another that noise is a large part of their distance.

    A force like 1/r² is then known badly, whatever the acceleration, and biases all that is fitted.
    Where much of a motion is so near, the limit is lower: nothing else is to be had.
    """
    ratio = np.full(position.shape[:3], np.inf)
    for s, (x, sigma) in enumerate(zip(position, noise, strict=True)):
        error = np.hypot(sigma[:, None], sigma) + 1e-300
        for i in range(x.shape[1]):
            r = np.linalg.norm(nearest_image(x - x[:, i : i + 1], box), axis=-1) / error[i]
            r[:, i] = np.inf
            ratio[s, :, i] = r.min(1)
    limit = next((n for n in NEAR if (ratio < n).mean() < DROPPED), 0.0)
    return ratio < limit


def energy(observed: Observed) -> float:
    """Return the mean square of what is to be explained, over the noise's."""
    rows = [t[v].ravel() for t, v in zip(observed.targets, observed.valid, strict=True)]
    return float(np.mean(np.concatenate(rows) ** 2))


def _noiseless(observed: Observed) -> bool:
    return observed.noise_known and energy(observed) > NOISELESS


def _relative(observed: Observed) -> Observed:
    """Weigh rows beyond the typical one by their size, and take the noise for unknown."""
    sizes = [np.linalg.norm(t, axis=-1) * s for t, s in zip(observed.targets, observed.sigma, strict=True)]
    typical = max(float(np.median(np.concatenate([s.ravel() for s in sizes]))), 1e-300)
    weights = tuple(np.hypot(size, typical) for size in sizes)
    targets = tuple(
        t * (s / w)[..., None] for t, s, w in zip(observed.targets, observed.sigma, weights, strict=True)
    )
    return replace(observed, targets=targets, sigma=weights, noise_known=False)


def weak_forms(
    time: Float[np.ndarray, "time"], half: float
) -> tuple[Float[np.ndarray, "tests time"], Float[np.ndarray, "tests time"], Float[np.ndarray, "tests time"]]:
    """Return the matrices of ∫φ f, ∫φ' f and ∫φ'' f for test functions along a series.

    The sums are exact for polynomials up to degree five, at even and uneven times.

    Args:
        time: of the series.
        half: half-width of the test functions, in (mean) steps of time.
    """
    step = (time[-1] - time[0]) / (len(time) - 1)
    reach = half * step
    every = max(reach / OVERLAP, step)
    count = max(int((time[-1] - time[0] - 2 * reach) / every + 1e-9) + 1, 1)
    room = time[-1] - time[0] - 2 * reach - (count - 1) * every
    centres = time[0] + reach + room / 2 + every * np.arange(count)
    weight = np.gradient(time)
    forms = np.zeros((3, count, len(time)))
    for row, centre in enumerate(centres):
        s = (time - centre) / reach
        inside = np.flatnonzero(np.abs(s) < 1)
        s = s[inside]
        one = 1 - s**2
        p = EXPONENT
        bump = one**p
        kernels = [
            bump,
            -2 * p * s * one ** (p - 1) / reach,
            (4 * p * (p - 1) * s**2 * one ** (p - 2) - 2 * p * one ** (p - 1)) / reach**2,
        ]
        forms[0, row, inside] = bump * weight[inside] / (bump @ weight[inside])
        own = forms[0, row, inside]
        powers = np.stack([s**k for k in range(MOMENTS)])
        moments = powers @ own
        for order in (1, 2):
            kernel = kernels[order] * weight[inside] / (bump @ weight[inside])
            wanted = np.zeros(MOMENTS)
            for k in range(order, MOMENTS):
                factor = k if order == 1 else k * (k - 1)
                wanted[k] = (-1) ** order * factor * moments[k - order] / reach**order
            basis = powers * own
            coefficient = np.linalg.lstsq(basis @ powers.T, wanted - powers @ kernel, rcond=1e-10)[0]
            forms[order, row, inside] = kernel + coefficient @ basis
    return forms[0], forms[1], forms[2]
