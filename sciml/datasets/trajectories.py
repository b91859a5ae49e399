"""Trajectories: positions of particles in time, what else is known of them, and the checks on all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from sciml.datasets import checks
from sciml.physics.differentiate import fewest_times, local_polynomial

Index = slice | np.ndarray | list[int]


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Simulations (or observations) of the same particles, each at its own times.

    Construction checks everything and raises ValueError saying which array, simulation, time
    index and particle is wrong. Arrays are converted to float64.

    Attributes:
        position: in 2 or 3 dimensions; may be wrapped into ``box``.
        time: strictly increasing; one row serves all simulations if only one is given.
        velocity: time derivative of ``position``, if known.
        acceleration: its second derivative, if known (see `with_accelerations`).
        properties: given numbers (mass, charge) or labels (strings) per particle, which a model
            may see; ``[particles]`` is repeated for all simulations.
        names: names of the particles, ``p0, p1, …`` if not given.
        units: unit of each field and property in pint's notation, "" where unknown; those of
            velocity and acceleration follow from position and time.
        box: edge lengths of a periodic orthorhombic box, infinite along open directions.
        acceleration_error: estimated rms error of ``acceleration``, per component.
        reference: true values of hidden properties, for comparison in reports only: no
            model and no fit may see them.
        source: where the data come from, named in every error.
    """

    position: Float[np.ndarray, "simulations time particles dim"]
    time: Float[np.ndarray, "simulations time"]
    velocity: Float[np.ndarray, "simulations time particles dim"] | None = None
    acceleration: Float[np.ndarray, "simulations time particles dim"] | None = None
    properties: Mapping[str, np.ndarray] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    box: Float[np.ndarray, dim] | None = None
    acceleration_error: Float[np.ndarray, "simulations particles"] | None = None
    reference: Mapping[str, np.ndarray] = field(default_factory=dict)
    source: str = "trajectories"

    def __post_init__(self) -> None:
        set_ = lambda name, value: object.__setattr__(self, name, value)  # the class is frozen
        position = checks.position(self.position, self.source)
        simulations, times, particles, _ = position.shape
        set_("position", position)
        set_("names", checks.names(self.names, particles, self.source))
        set_("time", checks.time(self.time, simulations, times, self.source))
        for name in ("position", "velocity", "acceleration"):
            if getattr(self, name) is not None:
                array = checks.vectors(name, getattr(self, name), position.shape, self.source)
                checks.finite(name, array, self.names, self.source)
                set_(name, array)
        if self.acceleration_error is not None:
            error = np.asarray(self.acceleration_error, dtype=np.float64)
            set_("acceleration_error", np.broadcast_to(error, (simulations, particles)))
        for group in ("properties", "reference"):
            given = getattr(self, group).items()
            per_particle = checks.per_particle
            set_(group, {k: per_particle(k, v, simulations, self.names, self.source) for k, v in given})
        set_("box", checks.box(self.box, position.shape[-1], self.source))
        set_("units", _units(self.units))
        checks.apart(position, self.box, self.time, self.names, self.source)
        if self.acceleration is None:
            checks.enough_times(times, fewest_times(self.velocity is not None), self.source)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Numbers of simulations, times, particles and dimensions."""
        return self.position.shape  # type: ignore[return-value]

    def select(self, times: Index = slice(None), simulations: Index = slice(None)) -> Trajectories:
        """Return the given time indices (slice, integers or mask) of the given simulations."""
        arrays: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in ("position", "velocity", "acceleration", "time") and value is not None:
                arrays[item.name] = value[simulations][:, times]
            elif item.name in ("properties", "reference"):
                arrays[item.name] = {k: v[simulations] for k, v in value.items()}
            elif item.name == "acceleration_error" and value is not None:
                arrays[item.name] = value[simulations]
        return replace(self, **arrays)

    def split(self, train: float = 0.8, by: str = "auto") -> tuple[Trajectories, Trajectories]:
        """Return a training part and a held-out part.

        Args:
            train: share of the training part, between 0 and 1.
            by: "time" holds out the last times of every simulation, "simulation" the last
                simulations; "auto" takes simulations if there are at least five.

        Raises:
            ValueError: if a part would be empty or an option is unknown.
        """
        simulations, times = self.time.shape
        if by not in ("auto", "time", "simulation"):
            raise ValueError(f"split by {by!r}: expected 'time', 'simulation' or 'auto'")
        if by == "auto":
            by = "simulation" if simulations >= 5 else "time"
        total = times if by == "time" else simulations
        first = round(train * total)
        if not 0 < first < total:
            raise ValueError(
                f"{self.source}: a training share of {train} leaves {first} of {total} {by} points for "
                "training; expected some for training and some held out"
            )
        key = "times" if by == "time" else "simulations"
        return self.select(**{key: slice(0, first)}), self.select(**{key: slice(first, None)})

    def with_accelerations(self, method: str = "auto") -> Trajectories:
        """Return self if accelerations are known, else with estimates and their error.

        The estimate is a local polynomial (`sciml.physics.differentiate.local_polynomial`); times
        at both ends, where it is poor, are left out. Velocities are filled in if missing.

        Args:
            method: "position", "velocity", "both", or "auto" for what is there.
        """
        if self.acceleration is not None:
            return self
        found = local_polynomial(
            self.position, self.time, self.velocity, box=self.box, method=method, source=self.source
        )
        inner = self.position[:, found.keep]
        return replace(
            self,
            position=inner,
            time=self.time[:, found.keep],
            velocity=found.velocity if self.velocity is None else self.velocity[:, found.keep],
            acceleration=found.acceleration,
            acceleration_error=found.acceleration_error,
        )

    def labels(self, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """Return a property of strings as codes [simulations, particles] and what they stand for."""
        values, codes = np.unique(self.properties[name], return_inverse=True)
        return codes.reshape(self.properties[name].shape), tuple(map(str, values))

    def __repr__(self) -> str:
        simulations, times, particles, dim = self.shape
        known = [n for n in ("velocity", "acceleration") if getattr(self, n) is not None]
        known += [f"{n} [{self.units.get(n, '')}]" if self.units.get(n) else n for n in self.properties]
        unit = f" {self.units['time']}" if self.units["time"] else ""
        box = "" if self.box is None else f", box {' × '.join(f'{x:g}' for x in self.box)}"
        return (
            f"Trajectories({simulations} simulation{'s' * (simulations > 1)} × {times} times × "
            f"{particles} particles in {dim}D{box}, time {self.time.min():g} to {self.time.max():g}{unit}"
            f"{', with ' * bool(known)}{', '.join(known)}; {self.source})"
        )


def _units(given: Mapping[str, str]) -> dict[str, str]:
    """Fill in unknown units; velocity and acceleration follow from position and time."""
    units = {"position": "", "time": "", **given}
    for order, name in ((1, "velocity"), (2, "acceleration")):
        known = units["position"] and units["time"]
        units.setdefault(name, f"{units['position']}/{units['time']}{'**2' * (order == 2)}" if known else "")
    return units
