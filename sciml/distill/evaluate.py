"""What a law is worth when it runs alone: its rollout beside the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from sciml.datasets.trajectories import Trajectories
from sciml.distill.law import Law
from sciml.distill.pipeline import Distillation
from sciml.nn.interaction import SYMBOLS
from sciml.physics.rollout import rollout
from sciml.units import UnitError, compatible, convert

LONG = 2.0  # years above which times are shown in years


@dataclass(frozen=True, eq=False)
class RolloutComparison:
    """Positions by a law, from a start that it was given, beside the true ones.

    Attributes:
        time: of each frame; the first is the start.
        names: of the particles.
        predicted: positions by the law.
        true: positions in the data.
        energy_drift: largest relative change of the total energy, None where there is none.
        momentum_drift: largest change of the total momentum over the sum of its parts, None where there is
            none.
        unit: of positions ("" if unknown).
        time_unit: of times ("" if unknown).
        note: what a reader must know of it, as that it ended early.

    Raises:
        ValueError: the arrays do not fit together; the message gives their shapes.
    """

    time: Float[np.ndarray, "time"]
    names: tuple[str, ...]
    predicted: Float[np.ndarray, "time particles dim"]
    true: Float[np.ndarray, "time particles dim"]
    energy_drift: float | None = None
    momentum_drift: float | None = None
    unit: str = ""
    time_unit: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        for name in ("time", "predicted", "true"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        object.__setattr__(self, "names", tuple(self.names))
        expected = (len(self.time), len(self.names))
        for name in ("predicted", "true"):
            array = getattr(self, name)
            if array.ndim != 3 or array.shape[:2] != expected or array.shape != self.true.shape:
                raise ValueError(
                    f"{name} has shape {array.shape}; expected [time, particles, dim] with {expected[0]} "
                    f"times and {expected[1]} particles, the same for predicted and true positions"
                )

    @property
    def error(self) -> Float[np.ndarray, "time particles"]:
        """Distance between predicted and true position."""
        return np.linalg.norm(self.predicted - self.true, axis=-1)

    @property
    def in_km(self) -> RolloutComparison:
        """The same in kilometres where positions are in AU; otherwise itself."""
        if self.unit.lower() not in ("au", "astronomical_unit"):
            return self
        positions = {name: convert(getattr(self, name), self.unit, "km") for name in ("predicted", "true")}
        return replace(self, unit="km", **positions)

    @property
    def elapsed(self) -> tuple[Float[np.ndarray, "time"], str]:
        """Time since the start and its unit: years if there are several, else the unit of the data."""
        since = self.time - self.time[0] if len(self.time) else self.time
        try:
            if self.time_unit and compatible(self.time_unit, "year"):
                years = convert(since, self.time_unit, "year")
                if years.size and years[-1] > LONG:
                    return years, "year"
        except UnitError:
            return since, self.time_unit  # a unit of the user's own
        return since, self.time_unit


def follow(found: Distillation, truth: Trajectories, most_evaluations: int = 300_000) -> RolloutComparison:
    """Let a law run alone from the first frame of ``truth``, and put it beside what happened.

    Args:
        found: law and hidden properties.
        truth: trajectories that nothing was fitted to; their first simulation is followed.
        most_evaluations: of the force, after which the rollout ends early (a collision, a stiff law).

    Raises:
        ValueError: a periodic box, no velocities, or a force that is not finite at the start.
    """
    count = truth.shape[2]
    properties = {
        name: np.array([e.value for e in per.values()])[:count] for name, per in found.hidden.items()
    }
    for name, values in truth.properties.items():
        properties.setdefault(name, np.asarray(values[0]))
    inertia = properties["mass"] if found.choice.best.model.update == "force_over_mass" else None
    return follow_law(found.law, properties, inertia, truth, most_evaluations)


def follow_law(
    law: Law,
    properties: Mapping[str, np.ndarray],
    inertia: Float[np.ndarray, "particles"] | None,
    truth: Trajectories,
    most_evaluations: int = 300_000,
) -> RolloutComparison:
    """Let one radial force between pairs run alone, energy and momentum kept in sight; see `follow`.

    Args:
        law: of the force that a sender exerts along the line of centres; its reaction acts on the sender.
        properties: that it needs, [particles].
        inertia: what divides forces, [particles]; None where the law gives accelerations.
        truth: see `follow`.
        most_evaluations: see `follow`.
    """
    if truth.box is not None:
        raise ValueError("rollouts are for open space; these trajectories have a periodic box")
    if truth.velocity is None:
        raise ValueError("a rollout starts from velocities, and these trajectories have none")
    count = truth.shape[2]
    inertia = np.ones(count) if inertia is None else inertia
    first, second = np.triu_indices(count, 1)
    force = law.numpy
    ends: dict[str, np.ndarray] = {}
    for name, values in properties.items():
        symbol = SYMBOLS.get(name, name)
        ends |= {f"{symbol}_i": values[second], f"{symbol}_j": values[first]}
    ends = {name: values for name, values in ends.items() if name in law.variables}

    def radial(r: Float[np.ndarray, "*axes pairs"]) -> Float[np.ndarray, "*axes pairs"]:
        return np.broadcast_to(
            force(r=r, **{k: np.broadcast_to(v, r.shape) for k, v in ends.items()}), r.shape
        )

    def acceleration(
        x: Float[np.ndarray, "particles dim"], v: np.ndarray
    ) -> Float[np.ndarray, "particles dim"]:
        vector = x[second] - x[first]
        r = np.sqrt((vector**2).sum(-1))
        push = (radial(r) / r)[:, None] * vector
        total = np.stack(
            [np.bincount(second, p, count) - np.bincount(first, p, count) for p in push.T], axis=1
        )
        return total / inertia[:, None]

    path = rollout(
        acceleration,
        truth.position[0, 0],
        truth.velocity[0, 0],
        truth.time[0],
        most_evaluations=most_evaluations,
    )
    reached = len(path.time)
    return RolloutComparison(
        time=path.time,
        names=truth.names,
        predicted=path.position,
        true=truth.position[0, :reached],
        energy_drift=float(np.abs(path.energy_drift(inertia, radial)).max()),
        momentum_drift=float(path.momentum_drift(inertia).max()),
        unit=truth.units.get("position", ""),
        time_unit=truth.units.get("time", ""),
        note=path.reason,
    )
