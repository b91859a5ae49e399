"""From messages to a law: record, reduce, search, select, refit, Law, report."""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sciml.distill.front import Candidate, Front, Problem
    from sciml.distill.law import Constant, Law
    from sciml.distill.live import LiveFront
    from sciml.distill.search import search

# name: module; imported at first use, so that `import sciml` stays light
_HOMES = {
    "Distillation": "pipeline",
    "MessageTable": "record",
    "distill": "pipeline",
    "distill_memory": "memory",
    "distill_terms": "along",
    "estimate_errors": "reduce",
    "follow": "evaluate",
    "informative": "reduce",
    "record": "record",
    "reduce": "reduce",
    "refit": "refit",
    "report": "report",
    "select": "select",
    "Candidate": "front",
    "Constant": "law",
    "Front": "front",
    "Explanation": "explanation",
    "Law": "law",
    "LiveFront": "live",
    "LawCalculator": "calculator",
    "LawModule": "export",
    "Problem": "front",
    "explain": "explanation",
    "search": "search",
    "sharpen": "sharpen",
    "simulate": "simulate",
    "table": "export",
}

__all__ = [
    "Candidate",
    "Constant",
    "Distillation",
    "Explanation",
    "Front",
    "Law",
    "LawCalculator",
    "LawModule",
    "LiveFront",
    "MessageTable",
    "Problem",
    "distill",
    "distill_memory",
    "distill_terms",
    "estimate_errors",
    "explain",
    "follow",
    "informative",
    "record",
    "reduce",
    "refit",
    "report",
    "search",
    "select",
    "sharpen",
    "simulate",
    "table",
]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


class _Package(ModuleType):
    """Keeps the name of a function for the function, when the module of the same name is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
