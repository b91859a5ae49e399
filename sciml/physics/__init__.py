"""Physics: simulators, integrators, ephemerides, and the ASE calculator of trained potentials."""

from importlib import import_module
from typing import Any

# The calculator opens runs, so it lives on the floor of trainings; here is where one looks for it.
_HOMES = {"SciMLCalculator": "sciml.training.calculator"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"sciml.physics has no {name!r}; it has {', '.join(_HOMES)}, and modules.")
