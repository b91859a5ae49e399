"""The whole road, from data to a law: python scripts/discover.py experiment=orbits, or contacts."""

from __future__ import annotations

from pathlib import Path

from common import main
from contacts import contacts
from distill import distill_run
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from train import train

from sciml.training.run import RunError


def run(config: DictConfig) -> Path:
    """Train, distill, report; contacts need no network."""
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    if config.task.get("kind") == "contact_law":
        return contacts(config, run_dir)
    if config.task.get("kind", "dynamics") != "dynamics":
        raise RunError(f"A run of {config.task.kind} has no forces to distill: train it by scripts/train.py.")
    data = train(config, run_dir)
    return distill_run(run_dir, config.distill, config.seed, data)


if __name__ == "__main__":
    main(run, "config")
