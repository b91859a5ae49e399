"""The scripts as a shell runs them: a process of its own, its streams and its exit status.

Processes are forked from one that has imported the large libraries, which take a script longer than most of
what is tested here. That one is started afresh: nothing of the tests is in it.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 240
START = multiprocessing.get_context("forkserver")
START.set_forkserver_preload(["lightning", "torch._dynamo", "sympy", "scipy.optimize", "matplotlib.pyplot"])


def command(script, *arguments, env=None, cwd=None):
    """Run a script to its end.

    Args:
        script: its name in scripts/.
        arguments: of the command.
        env: added to the environment.
        cwd: folder to run in.

    Raises:
        TimeoutExpired: it did not end.
    """
    arguments = [str(ROOT / f"scripts/{script}.py"), *map(str, arguments)]
    environment = {"PYTHONPATH": str(ROOT), "COLUMNS": "200"} | (env or {})
    with tempfile.TemporaryDirectory() as folder:
        out, error = Path(folder, "out"), Path(folder, "error")
        process = START.Process(target=_run, args=(arguments, environment, cwd or Path.cwd(), out, error))
        process.start()
        process.join(SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(arguments, SECONDS, out.read_bytes(), error.read_bytes())
        return subprocess.CompletedProcess(arguments, process.exitcode, out.read_text(), error.read_text())


def _run(arguments, environment, folder, out, error):
    os.environ.update(environment)
    os.chdir(folder)
    for number, path in ((0, os.devnull), (1, out), (2, error)):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT
        os.dup2(os.open(path, flags), number)
    sys.argv = arguments
    sys.path[:] = [str(ROOT / "scripts"), str(ROOT), *filter(None, sys.path)]  # not the folder it runs in
    runpy.run_path(arguments[0], run_name="__main__")
