"""The whole road, from data to a law: python scripts/discover.py experiment=NAME, as orbits or field."""

from __future__ import annotations

from pathlib import Path

from common import main
from contacts import contacts
from distill import distill_run
from fields import distill_field, train_field
from hydra.core.hydra_config import HydraConfig
from laws import laws, refuse_networks
from omegaconf import DictConfig
from pair_law import pair_law
from residual import look_at_rest
from train import train

from sciml.training.run import RunError


def run(config: DictConfig) -> Path:
    """Train, distill, report."""
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    kind = config.task.get("kind", "dynamics")
    if kind == "contact_law":  # contacts need no network
        return contacts(config, run_dir)
    if kind == "pair_law":
        return pair_law(config, run_dir)
    if kind == "field":
        train_field(config, run_dir)
        return distill_field(run_dir)
    if kind == "dynamics" and config.task.road == "terms":
        refuse_networks(HydraConfig.get().overrides.task)
        laws(config, run_dir)
        return look_at_rest(run_dir, config) if config.residual.looks else run_dir
    if kind != "dynamics":
        raise RunError(f"A run of {config.task.kind} has no forces to distill: train it by scripts/train.py.")
    data = train(config, run_dir)
    distill_run(run_dir, config.distill, config.seed, data)
    return look_at_rest(run_dir, config, data) if config.residual.looks else run_dir


if __name__ == "__main__":
    main(run, "config")
