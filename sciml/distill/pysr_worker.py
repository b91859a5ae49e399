"""Runs one PySR search in a process of its own: ``python -m sciml.distill.pysr_worker DIRECTORY``.

The directory holds ``problem.npz`` and ``settings.json`` (see `sciml.distill.pysr`). The worker writes
``ready`` once Julia has started, and ``failure.json`` with the stage if it fails; the formulas are in
PySR's own hall of fame. Nothing but PySR is imported here: Julia crashes beside some versions of torch.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def main(directory: Path) -> int:
    """Return the exit status: 0, or 1 with ``failure.json`` written."""
    stage = "start"
    try:
        import pysr

        (directory / "ready").touch()
        stage = "search"
        settings = json.loads((directory / "settings.json").read_text(encoding="utf-8"))
        regressor = pysr.PySRRegressor(**_revive(settings["options"], pysr))
        with np.load(directory / "problem.npz") as arrays:
            data = dict(arrays)
        regressor.fit(data.pop("X"), data.pop("y"), **data, **settings["fit"])
    except Exception as error:
        failure = {"stage": stage, "kind": type(error).__name__, "message": str(error)}
        (directory / "failure.json").write_text(json.dumps(failure), encoding="utf-8")
        raise
    return 0


def _revive(options: dict[str, Any], pysr: Any) -> dict[str, Any]:
    """Give PySR the objects that JSON has no form for."""
    if isinstance(options.get("expression_spec"), dict):
        options["expression_spec"] = pysr.TemplateExpressionSpec(**options["expression_spec"])
    if isinstance(options.get("operators"), dict):
        options["operators"] = {int(arity): names for arity, names in options["operators"].items()}
    if isinstance(options.get("constraints"), dict):
        # the limits of a binary operator's two sides are a tuple
        options["constraints"] = {
            name: tuple(limit) if isinstance(limit, list) else limit
            for name, limit in options["constraints"].items()
        }
    if "extra_sympy_mappings" in options:
        import sympy

        # the parent process reads the formulas; here SymPy only has to accept the names
        names = options["extra_sympy_mappings"]
        options["extra_sympy_mappings"] = {name: sympy.Function(name) for name in names}
    return options


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
