"""What scripts/train.py does for pairs of drugs and targets: train, then judge beside baselines."""

from __future__ import annotations

import csv
import io
import logging
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig, open_dict
from rich.console import Console
from rich.table import Table

from sciml.datasets import Pairs, read_pairs
from sciml.datasets.simulated_pairs import simulated_drug_target
from sciml.models import DrugTarget
from sciml.training.affinity import DrugTargetData, drug_target_data, predicted, train_drug_target
from sciml.training.agreement import affinity_metrics, link_metrics
from sciml.training.pair_baselines import baselines
from sciml.training.processes import leave_to_first
from sciml.training.run import build, check_same_run, open_run, write_json, write_text

log = logging.getLogger(__name__)
IN_UNIT = ("rmse", "mae")  # metrics that have the unit of the values


def drug_target(config: DictConfig, run_dir: Path) -> None:
    """Train a drug–target model into a run directory, or go on there, and write its metrics."""
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    start = time.perf_counter()
    open_run(run_dir)
    data = load(config)
    log.info("%r, %s, divided by %s", data.pairs, data.kind, config.data.split.by)
    torch.manual_seed(config.seed)
    torch.set_default_dtype(torch.float32)
    with open_dict(config):  # what only the data know
        config.model.kind = data.kind
        if data.kind == "affinity":
            config.model.mean = float(data.train.value.mean())
            config.model.scale = float(data.train.value.std()) or 1.0
    model = build(config.model, "model")
    assert isinstance(model, DrugTarget)
    check_same_run(config, run_dir, ("data", "model", "task", "seed"))
    write_left_out(run_dir, data)
    trainer = {k: v for k, v in config.trainer.items() if k != "threads"}
    options = {k: v for k, v in config.task.items() if k != "kind"}
    train_drug_target(model, data.train, data.validation, run_dir, seed=config.seed, **options, **trainer)
    leave_to_first()
    found = judge(model, data, run_dir)
    units = {
        f"{who}/{name}": config.data.unit if name in IN_UNIT else "" for who in found for name in found[who]
    }
    metrics = {f"{who}/{name}": value for who, each in found.items() for name, value in each.items()}
    extra = {
        "test/pairs": len(data.test),
        "train/pairs": len(data.train),
        "unused/pairs": len(data.split.unused),
        **{f"left_out/{side}": len(failures) for side, failures in data.left_out.items()},
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds/train": time.perf_counter() - start,
    }
    units |= {k: "s" if "seconds" in k else "" for k in extra}
    write_json(run_dir / "metrics.json", metrics | extra | {"notes": data.pairs.notes, "units": units})
    show(found, f"{len(data.test)} test pairs, divided by {config.data.split.by}", config.data.unit)


def load(config: DictConfig) -> DrugTargetData:
    """Return the pairs that a configuration describes."""
    data = config.data
    if data.path is None:
        pairs = simulated_drug_target(**data.simulate, seed=config.seed)
    else:
        pairs = read_pairs(
            data.path,
            data.drug_column,
            data.target_column,
            value=data.value_column,
            time=data.time_column,
            left_text=data.smiles_column,
            right_text=data.sequence_column,
            strict=data.strict,
        )
    options = {name: data[name] for name in ("kind", "negatives", "strict")}
    return drug_target_data(pairs, **options, seed=config.seed, **data.split)


def judge(model: DrugTarget, data: DrugTargetData, run_dir: Path) -> dict[str, dict[str, float]]:
    """Return metrics on the test pairs of the model and of each baseline; write the predictions."""
    truth = data.test.value.double().numpy()
    value = predicted(model, data.test)
    measure = affinity_metrics if data.kind == "affinity" else link_metrics
    if data.kind == "link":
        value = 1 / (1 + np.exp(-value))
    write_predictions(run_dir / "predictions.csv", data, value)
    found = {"test": measure(value, truth)}
    for name, guess in baselines(data.pairs, data.split).items():
        found[f"baseline/{name}"] = measure(guess, truth)
    return found


def write_predictions(path: Path, data: DrugTargetData, value: np.ndarray) -> None:
    """Write the test pairs by name, with measurement and prediction."""
    pairs: Pairs = data.pairs
    chosen = data.split.test
    measured = pairs.value[chosen]
    names = (np.array(side)[row[chosen]] for side, row in zip((pairs.left, pairs.right), pairs.index))
    rows = zip(*names, measured.tolist(), value.tolist())
    write_text(path, _csv((*pairs.columns[:2], "measured", "predicted"), rows))


def write_left_out(run_dir: Path, data: DrugTargetData) -> None:
    """Write drugs and targets that could not be read, if there are any."""
    rows = [
        (side, names[failure.row], failure.text, failure.reason)
        for (side, failures), names in zip(data.left_out.items(), (data.pairs.left, data.pairs.right))
        for failure in failures
    ]
    if rows:
        write_text(run_dir / "left_out.csv", _csv(("column", "name", "text", "reason"), rows))


def show(found: Mapping[str, Mapping[str, float]], title: str, unit: str = "") -> None:
    """Print metrics, a row for the model and one for each baseline."""
    names = list(found["test"])
    heads = [f"{n} ({unit})" if unit and n in IN_UNIT else n for n in names]
    table = Table("", *heads, title=title)
    for who, metrics in found.items():
        label = "model" if who == "test" else who.removeprefix("baseline/").replace("_", " ")
        table.add_row(label, *("–" if np.isnan(metrics[n]) else f"{metrics[n]:.3f}" for n in names))
    Console().print(table)


def _csv(header, rows) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    return text.getvalue()
