"""Predict for a file, by what the run was trained for: predict.py run=DIR input=FILE output=FILE."""

from __future__ import annotations

from pathlib import Path

from common import road, run_plain
from omegaconf import OmegaConf

from sciml.training.errors import RunError

ROADS = {
    "potential": "potential:predict_frames",
    "property": "property:predict_properties",
}  # by kind of task
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
    kind = road("sciml.training.run:load_config")(run).get("task", {}).get("kind", "dynamics")
    if kind not in ROADS:
        raise RunError(
            f"{run} was trained for {kind}, which predicts no files; runs of kind {', '.join(ROADS)} do."
        )
    road(ROADS[kind])(run, source, target, options)
    print(target, flush=True)


if __name__ == "__main__":
    run_plain(main)
