"""The law out of a trained run: python scripts/distill.py run=DIR."""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path

import torch
from common import main
from omegaconf import DictConfig, OmegaConf
from train import load_data

from sciml.distill.front import Front
from sciml.distill.pipeline import Distillation
from sciml.distill.pipeline import distill as distill_model
from sciml.training.dynamics import DynamicsData
from sciml.training.run import load_config, load_run, open_run, write_json

log = logging.getLogger(__name__)


def distill(run_dir: Path, settings: DictConfig, seed: int, data: DynamicsData | None = None) -> Path:
    """Distill the model of a run directory and write the law and its report there."""
    config = load_config(run_dir)
    model = load_run(run_dir)
    open_run(run_dir)
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    data = data or load_data(config)
    options = {k: v for k, v in OmegaConf.to_container(settings).items() if k != "rollout"}
    result = distill_model(
        model,
        data.train,
        data.held_out,
        fit=data.fit,
        particles=data.names,
        units=data.past.units,
        noise=data.noise,
        seed=seed,
        **options,
    )
    result.law.save(run_dir / "law.json")
    print(result.law)
    for name, e in result.hidden["mass"].items():
        print(name, e)
    print(result.seconds)
    return run_dir


def run(config: DictConfig) -> Path:
    """Distill a trained run."""
    return distill(Path(config.run), config.distill, config.seed)


if __name__ == "__main__":
    main(run, "distill_run")
