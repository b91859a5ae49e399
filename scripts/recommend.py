"""What scripts/train.py does for tables of users and items: train, then judge beside popularity."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import torch
from drug_target import show
from omegaconf import DictConfig, open_dict

from sciml.datasets import read_pairs
from sciml.datasets.simulated_pairs import simulated_preferences, southern_women
from sciml.models import CollaborativeFilter
from sciml.training.errors import RunError
from sciml.training.recommend import (
    PreferenceData,
    judge,
    popularity_of,
    preference_data,
    scores_of,
    train_recommender,
)
from sciml.training.run import build, check_same_run, open_run, write_json

log = logging.getLogger(__name__)
K = (10, 20)


def recommend(config: DictConfig, run_dir: Path) -> None:
    """Train a recommender into a run directory, or go on there, and write its metrics."""
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    start = time.perf_counter()
    open_run(run_dir)
    data = load(config)
    torch.manual_seed(config.seed)
    torch.set_default_dtype(torch.float32)
    with open_dict(config):  # what only the data know
        config.model.users, config.model.items = len(data.users), len(data.items)
    model = build(config.model, "model")
    assert isinstance(model, CollaborativeFilter)
    check_same_run(config, run_dir, ("data", "model", "task", "seed"))
    trainer = {k: v for k, v in config.trainer.items() if k != "threads"}
    options = {k: v for k, v in config.task.items() if k != "kind"}
    train_recommender(model, data, run_dir, seed=config.seed, **options, **trainer)
    known = torch.cat([data.train.pairs, data.validation.pairs], dim=1)
    ranked = {"test": scores_of(model.eval(), data.graph), "baseline/popularity": popularity_of(data)}
    found = {who: judge(scores, data.test.pairs, known, data, K) for who, scores in ranked.items()}
    metrics = {f"{who}/{name}": value for who, each in found.items() for name, value in each.items()} | {
        "test/pairs": len(data.test),
        "train/pairs": len(data.train),
        "unranked/pairs": data.unranked,
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds/train": time.perf_counter() - start,
    }
    units = {k: "s" if "seconds" in k else "" for k in metrics}
    write_json(run_dir / "metrics.json", metrics | {"units": units})
    show(found, f"{len(data.test)} test pairs of {len(data.test.pairs[0].unique())} users")


def load(config: DictConfig) -> PreferenceData:
    """Return the pairs that a configuration describes."""
    data = config.data
    if data.path is not None:
        pairs = read_pairs(
            data.path,
            data.user_column,
            data.item_column,
            value=data.value_column,
            time=data.time_column,
            strict=data.strict,
        )
    elif data.source == "simulated":
        pairs = simulated_preferences(**data.simulate, seed=config.seed)
    elif data.source == "southern_women":
        pairs = southern_women()
    else:
        raise RunError(
            f"data.source={data.source}: choose simulated or southern_women, or data.path=FILE.csv"
        )
    log.info("%r", pairs)
    return preference_data(pairs, threshold=data.threshold, seed=config.seed, **data.split)
