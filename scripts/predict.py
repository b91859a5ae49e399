"""Predict for a file, by what the run was trained for: predict.py run=DIR input=FILE output=FILE."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from common import EXPECTED, fail, keep_memory
from omegaconf import DictConfig, OmegaConf
from potential import predict_frames
from property import predict_properties

from sciml.training.run import RunError, load_config

ROADS: dict[str, Callable[[Path, Path, Path, DictConfig], None]] = {  # by kind of task
    "potential": predict_frames,
    "property": predict_properties,
}
NEEDED = ("run", "input", "output")


def main(arguments: list[str]) -> None:
    """Read ``key=value`` arguments, and let the run's kind of task decide what is done with the file."""
    options = OmegaConf.from_dotlist(arguments)
    missing = [name for name in NEEDED if name not in options]
    if missing:
        raise RunError(
            f"{', '.join(missing)} missing: python scripts/predict.py run=DIR input=FILE output=FILE"
        )
    run, source, target = (Path(str(options.pop(name))) for name in NEEDED)
    kind = load_config(run).get("task", {}).get("kind", "dynamics")
    if kind not in ROADS:
        raise RunError(
            f"{run} was trained for {kind}, which predicts no files; runs of kind {', '.join(ROADS)} do."
        )
    ROADS[kind](run, source, target, options)
    print(target, flush=True)


if __name__ == "__main__":
    import sys

    keep_memory()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        main(sys.argv[1:])
    except EXPECTED as error:
        fail(str(error))
