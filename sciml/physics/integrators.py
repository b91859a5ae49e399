"""Symplectic integrators: constant steps, bounded energy error over long times."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

Acceleration = Callable[[np.ndarray], np.ndarray]

_W = 1.0 / (2.0 - 2.0 ** (1.0 / 3.0))
COMPOSITIONS = {
    2: (1.0,),
    4: (_W, 1.0 - 2.0 * _W, _W),
}


def symplectic(
    acceleration: Acceleration,
    position: Float[np.ndarray, "*axes"],
    velocity: Float[np.ndarray, "*axes"],
    *,
    dt: float,
    steps: int,
    every: int = 1,
    order: int = 4,
) -> tuple[Float[np.ndarray, "saved *axes"], Float[np.ndarray, "saved *axes"]]:
    """Integrate x'' = a(x); the first saved state is the initial one.

    Order 2 is velocity Verlet (Swope et al., J. Chem. Phys. 76, 637, 1982); order 4 its symmetric
    composition of three (Yoshida, Phys. Lett. A 150, 262, 1990). Both are time-reversible.

    Args:
        acceleration: of all positions at once, any leading axes.
        position: initial positions.
        velocity: initial velocities.
        dt: time step; negative integrates backwards.
        steps: number of steps.
        every: save each so many steps; must divide ``steps``.
        order: 2 or 4.

    Returns:
        Positions and velocities, ``steps / every + 1`` of each.

    Raises:
        ValueError: for an unknown order, or if ``every`` does not divide ``steps``.
    """
    if order not in COMPOSITIONS:
        raise ValueError(f"order is {order}; expected 2 (velocity Verlet) or 4 (Yoshida)")
    if every < 1 or steps % every:
        raise ValueError(f"every={every} does not divide steps={steps}")
    x, v = np.array(position, dtype=float), np.array(velocity, dtype=float)
    positions, velocities = (np.empty((steps // every + 1, *x.shape)) for _ in range(2))
    positions[0], velocities[0] = x, v
    a = acceleration(x)
    for step in range(1, steps + 1):
        for weight in COMPOSITIONS[order]:
            h = weight * dt
            v = v + 0.5 * h * a
            x = x + h * v
            a = acceleration(x)
            v = v + 0.5 * h * a
        if step % every == 0:
            positions[step // every], velocities[step // every] = x, v
    return positions, velocities
