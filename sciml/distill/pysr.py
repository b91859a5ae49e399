"""PySR, genetic programming in Julia (Cranmer 2023, arXiv 2305.01582), as a search engine.

It runs in a process of its own (`sciml.distill.pysr_worker`), because Julia starts slowly, may crash
beside other libraries, and must end when its time is over. Its formulas are read from the file that it
writes as it searches: whatever ends it, those found until then are kept.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

import sciml
from sciml.distill.expression import complexity, loss, refit
from sciml.distill.front import Candidate, Front, Problem
from sciml.distill.pysr_front import read_front
from sciml.distill.pysr_options import check_options, safe_names, settings, to_json

DEFAULTS: dict[str, Any] = {
    "precision": 64,  # products of masses overflow single precision
    "verbosity": 0,
    "progress": False,
    "input_stream": "devnull",
}
OPERATORS: dict[str, Any] = {
    "binary_operators": ["+", "-", "*", "/"],
    "unary_operators": ["sqrt", "exp", "log", "square"],
}

STARTUP = 600.0  # seconds for Julia to start; the first time, it is downloaded
PATIENCE = 5.0  # seconds for a process that was asked to end
GRACE = 60.0  # seconds beyond the time limit: compilation, and the end of a cycle


class PySRUnavailable(ImportError):  # noqa: N818 (what it is, not that it is an error)
    """PySR or its Julia cannot be started."""


class PySRError(RuntimeError):
    """A search ended without any formula."""


def search(
    problem: Problem,
    *,
    seconds: float,
    seed: int,
    on_front: Callable[[Front], None] | None = None,
    startup: float = STARTUP,
    grace: float = GRACE,
    **options: Any,
) -> Front:
    """Search with PySR, in a process that ends when its time is over.

    By default the search is serial and depends on the seed only (unless the clock ends it); with
    ``parallelism``, ``procs`` or ``cluster_manager`` given it is faster and not reproducible. Units are
    passed as dimensions, unless ``X_units`` and ``y_units`` are given. Constants are refitted on all rows.

    Args:
        problem: the observations.
        seconds: time limit of the search, from when Julia has started.
        seed: for the evolution.
        on_front: called with the front whenever PySR has improved it.
        startup: time limit for Julia to start.
        grace: seconds beyond ``seconds`` after which the process is killed.
        **options: parameters of ``PySRRegressor``, and ``X_units``, ``y_units`` of its ``fit``. A
            template is a dictionary: ``expression_spec={"combine": "f(x) + g(y)", "expressions":
            ["f", "g"], "variable_names": ["x", "y"]}``. With ``output_directory`` given, PySR's files
            are kept there.

    Raises:
        PySRUnavailable: if PySR or Julia cannot be started, saying what to do.
        PySRError: if PySR failed before it had found any formula, with its last words.
        ValueError: for an unknown option, or one that the search sets itself.
    """
    check_options(options)
    # PySR may still be writing while the directory is removed
    with tempfile.TemporaryDirectory(prefix="sciml-pysr-", ignore_cleanup_errors=True) as directory:
        run = _Run(Path(directory), problem, options, seconds, seed)
        run.watch(startup, seconds + grace, on_front)
        return run.result()


class _Run:
    """One PySR process, and the formulas that it has written so far."""

    def __init__(
        self, directory: Path, problem: Problem, options: Mapping[str, Any], seconds: float, seed: int
    ):
        self.directory, self.problem = directory, problem
        self.names = safe_names(problem.names)
        self.mappings, self.template = options.get("extra_sympy_mappings"), options.get("expression_spec")
        self.ended = ""  # why the process was ended, if it was
        self.status: int | None = None

        home = Path(options.get("output_directory") or directory).absolute()
        run_id = options.get("run_id") or f"{datetime.now():%Y%m%d_%H%M%S_%f}"
        self.hall = home / run_id / "hall_of_fame.csv"
        if self.hall.exists():
            raise ValueError(f"{self.hall.parent} holds an earlier search; choose another run_id")
        serial = not {"parallelism", "procs", "cluster_manager"} & set(options)
        passed = {
            **DEFAULTS,
            **({} if "operators" in options else OPERATORS),
            **({"parallelism": "serial", "deterministic": True} if serial else {}),
            **options,
            "output_directory": str(home),
            "run_id": run_id,
            "random_state": seed,
            "timeout_in_seconds": seconds,
        }
        arrays: dict[str, Any] = {"X": problem.X, "y": problem.y}
        if problem.weights is not None:
            arrays["weights"] = problem.weights
        np.savez(directory / "problem.npz", **arrays)
        asked = to_json(settings(problem, list(self.names), passed))
        (directory / "settings.json").write_text(asked, encoding="utf-8")

    def watch(self, startup: float, limit: float, on_front: Callable[[Front], None] | None) -> None:
        """Run the process to its end, or end it."""
        with (self.directory / "worker.log").open("wb") as log:
            process = _start(self.directory, log)
            try:
                self._wait(process, startup, limit, on_front)
            except KeyboardInterrupt:
                self.ended = "was interrupted"
            finally:
                _end(process)
        self.status = process.returncode

    def _wait(self, process: subprocess.Popen, startup: float, limit: float, on_front) -> None:
        begun, ready, seen = time.monotonic(), False, None
        while process.poll() is None:
            if not ready and self.started():
                ready, begun = True, time.monotonic()
            if not ready and time.monotonic() - begun > startup:
                self.ended = f"had not started Julia after {startup:g} s"
                return
            if ready and time.monotonic() - begun > limit:
                self.ended = f"did not end by itself and was killed after {limit:g} s"
                return
            written = self.hall.stat().st_mtime_ns if self.hall.exists() else None
            if on_front is not None and written != seen:
                seen = written
                on_front(Front.of(self.read()[0], rows=len(self.problem.y)))
            time.sleep(0.05)

    def started(self) -> bool:
        """Say whether Julia has started."""
        return (self.directory / "ready").exists()

    def read(self) -> tuple[list[Candidate], list[str]]:
        """Return the formulas in the hall of fame as they are, and why others cannot be read."""
        formulas, troubles = read_front(self.hall, self.names, self.mappings, self.template)
        return [Candidate(f, complexity(f), loss(f, self.problem), "pysr") for f in formulas], troubles

    def result(self) -> Front:
        """Refit what was found and say how it went; raise if it failed with nothing found."""
        found, troubles = self.read()
        failure = self.ended or (f"failed with {self._status()}: {self._last_words()}" if self.status else "")
        if failure and not found and self.ended != "was interrupted":
            raise PySRError(f"pysr {failure}") if self.started() else PySRUnavailable(_advice(failure))
        messages = [f"pysr {failure}; this is what it had found until then"] if failure else []
        if troubles:
            messages.append(f"{len(troubles)} of pysr's formulas left out; the first: {troubles[0]}")
        refitted = [_refitted(candidate, self.problem) for candidate in found]
        return Front.of(refitted, rows=len(self.problem.y), complete=not failure, messages=tuple(messages))

    def _status(self) -> str:
        assert self.status is not None
        return signal.Signals(-self.status).name if self.status < 0 else f"exit status {self.status}"

    def _last_words(self) -> str:
        """Return the error that the worker wrote down, or the last lines that were printed."""
        failure = self.directory / "failure.json"
        if failure.exists():
            told = json.loads(failure.read_text(encoding="utf-8"))
            return f"{told['kind']}: {told['message']}"
        lines = (self.directory / "worker.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return " | ".join(line.strip() for line in lines[-5:] if line.strip()) or "it printed nothing"


def _start(directory: Path, log: BinaryIO) -> subprocess.Popen:
    # the worker finds this very sciml, wherever it was started from
    here = str(Path(sciml.__file__).parents[1])
    paths = [path for path in (os.environ.get("PYTHONPATH"), here) if path]
    return subprocess.Popen(
        [sys.executable, "-m", "sciml.distill.pysr_worker", str(directory)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,  # a group of its own, with Julia's workers in it
    )


def _end(process: subprocess.Popen) -> None:
    """End a process and its children: asked first, so that PySR can free a cluster's nodes, then killed."""
    if os.name == "nt":
        process.kill()
        process.wait()
        return
    for number, patience in ((signal.SIGINT, PATIENCE), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except ProcessLookupError:
            process.wait()
            return
        except subprocess.TimeoutExpired:
            continue


def _refitted(candidate: Candidate, problem: Problem) -> Candidate:
    fitted, error = refit(candidate.expression, problem)
    return Candidate(fitted, complexity(fitted), error, candidate.engine)


def _advice(failure: str) -> str:
    if "ModuleNotFoundError" in failure and "pysr" in failure:
        return f"the pysr backend needs PySR ({failure}): pip install pysr, or use backend='structured'"
    return (
        f"pysr {failure}\nPySR needs Julia and downloads it at its first import. Where the network can be "
        "reached, run once: python -c 'import pysr'. Behind a proxy or offline, install Julia 1.10 or later "
        "and PySR's Julia packages, and set PYTHON_JULIAPKG_EXE to julia and PYTHON_JULIAPKG_OFFLINE=yes. "
        "Without Julia, use backend='structured'."
    )
