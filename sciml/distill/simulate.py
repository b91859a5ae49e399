"""Motion by a law, from any start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from sciml.distill.forces import Forces
from sciml.distill.law import Law
from sciml.physics.rollout import Rollout, rollout


def simulate(
    law: Law,
    position: Float[np.ndarray, "particles dim"],
    velocity: Float[np.ndarray, "particles dim"],
    times: Float[np.ndarray, "time"],
    properties: Mapping[str, Any] | None = None,
    *,
    rtol: float = 1e-12,
    most_evaluations: int = 2_000_000,
) -> Rollout:
    """Let particles move by a law.

    Args:
        law: a force over an inertia, or an acceleration (see `Law.inertia`), in the units of the positions
            and times.
        position: at ``times[0]``.
        velocity: at ``times[0]``.
        times: where the path is wanted, increasing or decreasing.
        properties: numbers and labels per particle that the law needs, as ``{"mass": m}``.
        rtol, most_evaluations: see `sciml.physics.rollout.rollout`.

    Raises:
        ValueError: a property that is missing, shapes that disagree, or a force that is not finite at
            the start.
    """
    forces = Forces(law, properties)
    return rollout(forces, position, velocity, times, rtol=rtol, most_evaluations=most_evaluations)
