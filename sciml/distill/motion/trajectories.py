"""Trajectories of a law over short windows, and how they move with their starts.

Where there are few particles, every coordinate of the starts is nudged in turn, all at once. Whoever does so
runs as many trajectories as there are coordinates, and in each computes the forces between all particles.
Where there are many, the forces are differentiated once, pair by pair, at each stage of the step, and the
derivatives of the path follow by products of matrices: the variational equations (Hairer, Nørsett & Wanner
1993, section I.14) in the steps of the integration. Both are derivatives of the discrete path.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from sciml.distill.motion.accelerations import Accelerations
from sciml.distill.motion.model import Model

Array = np.ndarray
NUDGE = 1e-6  # of a coordinate, relative to the spread of its kind
FEW = 20_000  # pairs of all windows and nudges, below which they cost little beside their start


def integrate(
    model: Model,
    values: Float[Array, "*sets windows parameters"],
    z: Float[Array, "*sets windows 2 particles dim"],
    time: Float[Array, "windows times"],
    simulation: Int[Array, "windows"],
    steps: int,
) -> Float[Array, "*sets windows times particles dim"]:
    """Integrate all windows at once by the classical Runge-Kutta method of fourth order.

    Args:
        model: the law.
        values: its parameters.
        z: positions and velocities at the start.
        time: of each window.
        simulation: which one each window is from.
        steps: between two times.

    Returns:
        positions; not finite where a path runs away.
    """
    x, v = z[..., 0, :, :], z[..., 1, :, :]
    path, pull = [x], Accelerations(model, values, simulation)
    with np.errstate(all="ignore"):
        for step in _steps(time, steps):
            for _ in range(steps):
                a1 = pull(x, v)
                v2 = v + 0.5 * step * a1
                a2 = pull(x + 0.5 * step * v, v2)
                v3 = v + 0.5 * step * a2
                a3 = pull(x + 0.5 * step * v2, v3)
                v4 = v + step * a3
                a4 = pull(x + step * v3, v4)
                x = x + step * _mean(v, v2, v3, v4)
                v = v + step * _mean(a1, a2, a3, a4)
            path.append(x)
    return np.stack(path, axis=-3)


Paths = tuple[
    Float[Array, "windows times particles dim"], Float[Array, "windows times particles dim coordinates"]
]


def sensitivities(
    model: Model,
    z: Float[Array, "windows 2 particles dim"],
    time: Float[Array, "windows times"],
    simulation: Int[Array, "windows"],
    steps: int,
) -> Paths:
    """Integrate as `integrate` does, at the model's own parameters, with derivatives by the start.

    Returns:
        paths, and their derivatives by the coordinates of the start, positions first.
    """
    few = len(z) * z.shape[2] ** 2 * z[0].size < FEW
    way: Callable[..., Paths] = by_differences if few else by_variational_equations
    return way(model, z, time, simulation, steps)


def by_differences(model: Model, z: Array, time: Array, simulation: Array, steps: int) -> Paths:
    """Return what `sensitivities` does by finite differences, one for each coordinate."""
    size = z[0].size
    spread = np.sqrt((z**2).mean((0, 2, 3)))
    scale = NUDGE * np.broadcast_to(np.maximum(spread, 1e-9)[:, None, None], z.shape[1:]).ravel()
    many = np.broadcast_to(z, (size + 1, *z.shape)).copy()
    flat = many.reshape(size + 1, len(z), size)
    for k in range(size):
        flat[1 + k, :, k] += scale[k]
    path = integrate(model, model.start, many, time, simulation, steps)
    return path[0], np.moveaxis(path[1:] - path[0], 0, -1) / scale


def by_variational_equations(model: Model, z: Array, time: Array, simulation: Array, steps: int) -> Paths:
    """Return what `sensitivities` does by the variational equations."""
    windows, _, particles, dim = z.shape
    size = particles * dim
    x, v = z[:, 0], z[:, 1]
    one = np.broadcast_to(np.eye(2 * size), (windows, 2 * size, 2 * size))
    dx, dv = one[:, :size], one[:, size:]
    path, slopes = [x], [dx]
    forces = Accelerations(model, None, simulation)

    def pull(x: Array, v: Array, dx: Array, dv: Array) -> tuple[Array, Array]:
        a, by_x, by_v = forces.slopes(x, v)
        flat = (windows, size, size)
        found = by_x.reshape(flat) @ dx
        return a, found if by_v is None else found + by_v.reshape(flat) @ dv

    with np.errstate(all="ignore"):
        for step in _steps(time, steps):
            half = 0.5 * step
            for _ in range(steps):
                a1, d1 = pull(x, v, dx, dv)
                v2, dv2 = v + half * a1, dv + half * d1
                a2, d2 = pull(x + half * v, v2, dx + half * dv, dv2)
                v3, dv3 = v + half * a2, dv + half * d2
                a3, d3 = pull(x + half * v2, v3, dx + half * dv2, dv3)
                v4, dv4 = v + step * a3, dv + step * d3
                a4, d4 = pull(x + step * v3, v4, dx + step * dv3, dv4)
                x, dx = x + step * _mean(v, v2, v3, v4), dx + step * _mean(dv, dv2, dv3, dv4)
                v, dv = v + step * _mean(a1, a2, a3, a4), dv + step * _mean(d1, d2, d3, d4)
            path.append(x)
            slopes.append(dx)
    found = np.stack(slopes, axis=1).reshape(windows, len(slopes), particles, dim, 2 * size)
    return np.stack(path, axis=1), found


def _steps(time: Array, steps: int) -> Array:
    """Return steps of each window from one time to the next, as they multiply positions."""
    return np.moveaxis(np.diff(time, axis=1) / steps, 1, 0)[..., None, None]


def _mean(one: Array, two: Array, three: Array, four: Array) -> Array:
    return (one + 2 * two + 2 * three + four) / 6
