"""Stands in for PySR at its boundary: records its call, writes a hall of fame, and ends as told.

FAKE_PYSR holds {"record": path, "hall": {file name: text}, "end": how}.
"""

import json
import os
import signal
import sys
import time
import urllib.error
from pathlib import Path

TOLD = json.loads(os.environ["FAKE_PYSR"])
END = TOLD["end"]

if END == "no network":
    raise urllib.error.URLError("Name or service not known")
if END == "crash at start":
    sys.stderr.write("signal (11): Segmentation fault\n")
    os.kill(os.getpid(), signal.SIGSEGV)
if END == "hang at start":
    time.sleep(60)


class TemplateExpressionSpec:
    def __init__(self, combine, expressions, variable_names, parameters=None):
        self.call = {"combine": combine, "expressions": expressions, "variable_names": variable_names}
        self.call["parameters"] = parameters


class PySRRegressor:
    def __init__(self, **options):
        self.options = options

    def fit(self, X, y, weights=None, **fit):
        shown = {name: _show(value) for name, value in self.options.items()}
        called = {"options": shown, "fit": fit, "shapes": [X.shape, y.shape], "first": [X[0].tolist(), y[0]]}
        called["weights"] = None if weights is None else weights.tolist()
        called["modules"] = [name for name in ("torch", "scipy") if name in sys.modules]
        called["pid"] = os.getpid()
        Path(TOLD["record"]).write_text(json.dumps(called))
        run = Path(self.options["output_directory"]) / self.options["run_id"]
        run.mkdir(parents=True)
        for name, text in TOLD["hall"].items():
            (run / name).write_text(text)
        if END == "hang":
            time.sleep(60)
        if END == "deaf":
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            time.sleep(60)
        if END == "crash":
            sys.stderr.write("Please submit a bug report\nsignal (11): Segmentation fault\n")
            os.kill(os.getpid(), signal.SIGSEGV)
        if END == "refuse":
            raise ValueError("maxsize must be at least 7")


def _show(value):
    if isinstance(value, TemplateExpressionSpec):
        return value.call
    if isinstance(value, dict):
        return {str(key): _show(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return ["tuple", *value]
    return value if isinstance(value, str | int | float | list | None) else type(value).__name__
