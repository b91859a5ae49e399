"""Simulated particles as trajectories, their properties hidden or given."""

from __future__ import annotations

from collections.abc import Collection

from sciml.datasets.trajectories import Trajectories
from sciml.physics.catalogue import System
from sciml.physics.systems import Simulated, simulate


def simulated(system: str | System = "gravity", *, given: Collection[str] = (), **options) -> Trajectories:
    """Simulate (`sciml.physics.systems.simulate`) and keep the true properties for reports only.

    Args:
        system: one of `sciml.physics.catalogue.SYSTEMS` ("gravity", "spring", "magnetic", …), or your own.
        given: which properties a model may see, of "mass", "charge" (where forces depend on it) and
            "species" (where there are several); the others are ``reference``.
        **options: particles, dim, simulations, times, dt, masses, species, parameters, softening, seed, …

    Raises:
        ValueError: for unknown systems, properties and impossible numbers.
    """
    name = system if isinstance(system, str) else "system"
    return of_truth(simulate(system, **options), given, f"simulated {name}, seed {options.get('seed', 0)}")


def of_truth(truth: Simulated, given: Collection[str] = (), source: str = "simulated") -> Trajectories:
    """Return what a simulator knows as trajectories, see `simulated`."""
    known = {"mass": truth.mass}
    if (truth.charge != 1).any():
        known["charge"] = truth.charge
    if len(truth.couplings) > 1:
        known["species"] = truth.species
    unknown = set(given) - set(known)
    if unknown:
        raise ValueError(f"{source} has no property {min(unknown)!r} to give; it has {', '.join(known)}")
    return Trajectories(
        position=truth.position,
        time=truth.time,
        velocity=truth.velocity,
        acceleration=truth.acceleration,
        properties={name: known[name] for name in given},
        reference={name: values for name, values in known.items() if name not in given},
        source=source,
    )
