"""sciml: graphs, symmetry and symbolic laws for molecules and physics.

The parts load when they are first used, so that ``import sciml`` costs nothing:

    import sciml

    model = sciml.load_run("outputs/orbits/...")
    table = sciml.distill.record(model, graphs)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciml import (
        builders,
        datasets,
        distill,
        graph,
        models,
        nn,
        physics,
        plotting,
        symmetry,
        training,
        units,
    )
    from sciml.graph import Graph
    from sciml.training.run import load_run

__version__ = "0.1.0"

_HOMES = {"Graph": "sciml.graph", "load_run": "sciml.training.run"}

__all__ = [
    "Graph",
    "__version__",
    "builders",
    "datasets",
    "distill",
    "graph",
    "load_run",
    "models",
    "nn",
    "physics",
    "plotting",
    "symmetry",
    "training",
    "units",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in __all__:
        return import_module(f"sciml.{name}")
    raise AttributeError(f"sciml has no {name!r}; it has {', '.join(__all__)}.")


def __dir__() -> list[str]:
    return __all__
