"""The law out of a trained run: python scripts/distill.py run=DIR."""

from __future__ import annotations

from pathlib import Path

from common import main, road
from omegaconf import DictConfig


def run(config: DictConfig) -> Path:
    """Distill a trained run."""
    run_dir = Path(config.run)
    kind = road("sciml.training.run:load_config")(run_dir).get("task", {}).get("kind")
    if kind == "field":
        return road("fields:distill_field")(run_dir)
    if kind == "potential":
        return road("pair_law:distill_potential")(run_dir, config)
    return road("messages:distill_run")(run_dir, config.distill, config.seed)


if __name__ == "__main__":
    main(run, "distill_run")
