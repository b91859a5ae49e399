"""Train a network: python scripts/train.py experiment=NAME, as orbits, digits_rotated or residues."""

from __future__ import annotations

from pathlib import Path

from common import main, road
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

ROADS = {  # by kind of task; only the one that is taken is imported
    "classification": "classify:classify",
    "drug_target": "drug_target:drug_target",
    "dynamics": "dynamics:train",
    "field": "fields:train_field",
    "potential": "potential:potential",
    "pretraining": "structures:pretraining",
    "property": "property:property_",
    "recommend": "recommend:recommend",
    "residues": "residues:residues",
    "structures": "structures:structures",
}


def run(config: DictConfig) -> Path:
    """Train and return the run directory."""
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    kind = config.task.get("kind", "dynamics")
    if kind not in ROADS:
        raise ValueError(f"A task of kind {kind} trains no network: run scripts/discover.py instead.")
    road(ROADS[kind])(config, run_dir)
    return run_dir


if __name__ == "__main__":
    main(run, "config")
