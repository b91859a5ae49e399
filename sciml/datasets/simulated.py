"""Simulated particles as trajectories, their properties hidden or given."""

from __future__ import annotations

from collections.abc import Collection

from sciml.datasets.trajectories import Trajectories
from sciml.physics.systems import SYSTEMS, simulate


def simulated(system: str = "gravity", *, given: Collection[str] = (), **options) -> Trajectories:
    """Simulate (`sciml.physics.systems.simulate`) and keep the true properties for reports only.

    Args:
        system: "gravity", "inverse" (1/r force), "spring" or "charge".
        given: which of "mass" and "charge" a model may see; the others are ``reference``.
        **options: particles, dim, simulations, times, dt, masses, softening, seed, …

    Raises:
        ValueError: for unknown systems, properties and impossible numbers.
    """
    truth = simulate(system, **options)
    known = {"mass": truth.mass}
    if SYSTEMS[system].couples == "charge":
        known["charge"] = truth.charge
    unknown = set(given) - set(known)
    if unknown:
        raise ValueError(f"{system!r} has no property {min(unknown)!r} to give; it has {', '.join(known)}")
    return Trajectories(
        position=truth.position,
        time=truth.time,
        velocity=truth.velocity,
        acceleration=truth.acceleration,
        properties={name: known[name] for name in given},
        reference={name: values for name, values in known.items() if name not in given},
        source=f"simulated {system}, {truth.position.shape[2]} particles, seed {options.get('seed', 0)}",
    )
