"""What scripts/train.py does for trajectories: a network whose messages are forces."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf, open_dict

from sciml.datasets import load_trajectories
from sciml.datasets.trajectories import Trajectories
from sciml.training.dynamics import DynamicsData, dynamics_data, train_dynamics
from sciml.training.errors import RunError
from sciml.training.run import build, check_same_run, open_run, save_config, write_json

log = logging.getLogger(__name__)
# What a run directory must agree in with a run that goes on there; the data decide the rest of the model.
MODEL = (
    "message", "vectors", "invariants", "message_size", "regularizer", "strength", "third_law", "update",
    "own_force", "hidden_sizes", "activation",
)  # fmt: skip
FIXED = ("data", "task", "seed", *(f"model.{key}" for key in MODEL))
GOOD_ENOUGH = 0.02  # held-out error below which a second kind of network is not tried


def load_trajectories_of(config: DictConfig) -> Trajectories:
    """Return the trajectories that a configuration names."""
    if "source" in config.data:
        trajectories = build(config.data.source, "data.source")
    else:
        if OmegaConf.is_missing(config.data, "path"):
            raise RunError("data.path is missing: data.path=FILE (.npz, .csv, .extxyz or what ASE reads).")
        trajectories = load_trajectories(config.data.path, **(config.data.options or {}))
    if not isinstance(trajectories, Trajectories):
        raise RunError(f"data.source gave {type(trajectories).__name__}; expected Trajectories.")
    log.info("%r", trajectories)
    return trajectories


def load_data(config: DictConfig) -> DynamicsData:
    """Return the graphs that a configuration describes."""
    return dynamics_data(load_trajectories_of(config), **config.data.split, seed=config.seed)


def train(config: DictConfig, run_dir: Path) -> DynamicsData:
    """Train into a run directory, or go on there; return the data."""
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    start = time.perf_counter()
    data = load_data(config)
    outputs = [config.model.output] if config.model.output != "auto" else ["log", "linear"]
    best: tuple[float, dict, DictConfig, Path] | None = None
    open_run(run_dir)
    check_same_run(config, run_dir, FIXED)
    for output in outputs:
        model_config = _model_config(config, data, output)
        directory = run_dir if len(outputs) == 1 else run_dir / f"trial_{output}"
        torch.manual_seed(config.seed)
        torch.set_default_dtype(torch.float64)
        model = build(model_config, "model")
        metrics = train_dynamics(
            model,
            data,
            list(_stages(config, output)),
            open_run(directory),
            seed=config.seed,
            **{k: v for k, v in config.trainer.items() if k != "threads"},
        )
        error = metrics["validation/relative_error"]
        log.info("%s output: held-out error %.2g of the acceleration", output, error)
        if best is None or error < best[0]:
            best = (error, metrics, model_config, directory)
        if error < GOOD_ENOUGH:
            break
    assert best is not None
    _, metrics, model_config, directory = best
    if directory != run_dir:
        _adopt(directory, run_dir)
    config = config.copy()
    with open_dict(config):
        config.model = model_config
        config.run_dir = str(run_dir)
    save_config(run_dir, config)
    metrics = dict(metrics) | {"seconds/train": time.perf_counter() - start}
    write_json(
        run_dir / "metrics.json", metrics | {"units": {k: "s" if "seconds" in k else "" for k in metrics}}
    )
    return data


def _model_config(config: DictConfig, data: DynamicsData, output: str) -> DictConfig:
    """Fill in what only the data know."""
    arguments = data.arguments
    model = config.model.copy()
    with open_dict(model):
        model.hidden = [name for name in model.hidden if name not in arguments["given"]]
        model.output = output
        model.update(arguments)
    return model


def _stages(config: DictConfig, output: str):
    for stage in config.task.stages.values():
        stage = OmegaConf.to_container(stage)
        # Where forces change sign, accelerations pass through zero and have no logarithm.
        if output == "linear" and stage["loss"] == "log_angle":
            stage["loss"] = "relative"
        yield stage


def _adopt(trial: Path, run_dir: Path) -> None:
    """Copy the better of two trials to where a run keeps its results."""
    (run_dir / "checkpoints").mkdir(exist_ok=True)
    for name in ("checkpoints/last.ckpt", "metrics.csv"):
        partial = run_dir / f"{name}.partial"
        partial.write_bytes((trial / name).read_bytes())
        partial.replace(run_dir / name)
