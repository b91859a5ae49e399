"""Symplectic and reversible integrators: constant steps, bounded energy error over long times."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

Acceleration = Callable[[np.ndarray], np.ndarray]
Turn = Callable[[np.ndarray, np.ndarray, float | np.ndarray], np.ndarray]

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
    path = splitting(acceleration, None, position, velocity, dt=dt, steps=steps, every=every, order=order)
    return path[:2]


def splitting(
    acceleration: Acceleration,
    turn: Turn | None,
    position: Float[np.ndarray, "*axes dim"],
    velocity: Float[np.ndarray, "*axes dim"],
    *,
    dt: float | np.ndarray,
    steps: int,
    every: int = 1,
    order: int = 4,
) -> tuple[
    Float[np.ndarray, "saved *axes dim"],
    Float[np.ndarray, "saved *axes dim"],
    Float[np.ndarray, "saved *axes"],
]:
    """Integrate x'' = a(x) + b(x, v): `symplectic`, with half a turn of velocities at both ends of a step.

    In a magnetic field this is the method of Boris with an exact rotation (Boris 1970; Hairer & Lubich, BIT
    Numer. Math. 58, 969, 2018). The step is symmetric whatever the turn, so that the composition of three
    has order 4.

    Args:
        acceleration: a, of all positions at once.
        turn: takes positions, velocities and a time h, and returns the velocities after h of v' = b(x, v) at
            fixed positions, exactly or by a symmetric method; None if b = 0.
        position, velocity, steps, every, order: see `symplectic`.
        dt: time step; may differ along leading axes, with two axes of one behind them.

    Returns:
        Positions, velocities, and the work per mass that b has done on each particle so far: the energy
        less this work is what a step that is fine enough conserves.
    """
    if order not in COMPOSITIONS:
        raise ValueError(f"order is {order}; expected 2 (velocity Verlet) or 4 (Yoshida)")
    if every < 1 or steps % every:
        raise ValueError(f"every={every} does not divide steps={steps}")
    x, v = np.array(position, dtype=float), np.array(velocity, dtype=float)
    positions, velocities = (np.empty((steps // every + 1, *x.shape)) for _ in range(2))
    works = np.zeros(positions.shape[:-1])
    positions[0], velocities[0], work = x, v, np.zeros(x.shape[:-1])

    def half_turn(h: float | np.ndarray) -> None:
        nonlocal v, work
        if turn is not None:
            before, v = v, turn(x, v, 0.5 * h)
            work = work + 0.5 * ((v - before) * (v + before)).sum(axis=-1)

    a = acceleration(x)
    for step in range(1, steps + 1):
        for weight in COMPOSITIONS[order]:
            h = weight * dt
            half_turn(h)
            v = v + 0.5 * h * a
            x = x + h * v
            a = acceleration(x)
            v = v + 0.5 * h * a
            half_turn(h)
        if step % every == 0:
            positions[step // every], velocities[step // every], works[step // every] = x, v, work
    return positions, velocities, works
