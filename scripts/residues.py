"""What scripts/train.py does for residues: train, then judge on families of proteins that were kept back."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console
from rich.table import Table

from sciml.datasets.residue_tasks import ResidueTask
from sciml.datasets.residues import ResidueData, asked, residue_data
from sciml.models import ResiduePredictor
from sciml.training.processes import first, leave_to_first
from sciml.training.residue_baselines import linear_answers, mean_answers
from sciml.training.residue_scores import SCORES, Answers, margin, scores, units
from sciml.training.residues import TEST_SEED, answer, train_residues
from sciml.training.run import build, check_same_run, open_run, write_json

log = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[1]
WHO = ("network", "linear", "mean")


def residues(config: DictConfig, run_dir: Path) -> None:
    """Train a network for one task into a run directory, or go on there, and write its metrics."""
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    torch.set_default_dtype(torch.float32)
    start = time.perf_counter()
    open_run(run_dir)
    every = config.data.every_fold
    parts = []
    folds = list(range(config.data.folds)) if every else [config.data.fold]
    for fold in folds:
        one = config.copy()
        with open_dict(one):
            one.data.fold = fold
        data = load(one)
        directory = open_run(run_dir / f"fold_{fold}") if every else run_dir
        model = _train(one, data, directory)
        if fold == folds[-1]:
            leave_to_first()
        parts.append(_judge(one, data, model))
        if every and first():
            _write(directory, one, data, [parts[-1]], model, start)
            log.info("fold %d of %d done", fold + 1, config.data.folds)
    if every:  # the run as a whole lends the first fold's model to load_run
        for name in ("checkpoints/last.ckpt", "metrics.csv", "config.yaml", "versions.json"):
            (run_dir / name).parent.mkdir(exist_ok=True)
            (run_dir / name).write_bytes((run_dir / "fold_0" / name).read_bytes())
    metrics = _write(run_dir, config, data, parts, model, start)
    show(data.task, metrics)


def load(config: DictConfig) -> ResidueData:
    """Return the structures that a configuration describes."""
    options: dict[str, Any] = OmegaConf.to_container(config.data, resolve=True)  # type: ignore[assignment]
    options.pop("every_fold")
    cache = options.pop("cache")
    data = residue_data(**options, cache=(ROOT / cache) if cache else None, seed=config.seed)
    log.info(
        "%s %d structures to learn from, %d kept back, of %d families; %d left out",
        *(data.task.question, len(data.train), len(data.test), data.families, len(data.left_out)),
    )
    return data


def _train(config: DictConfig, data: ResidueData, directory: Path) -> ResiduePredictor:
    torch.manual_seed(config.seed)
    with open_dict(config):  # what only the data know
        config.model.task = data.task.name
        config.model.scale = list(_scale(data))
    model = build(config.model, "model")
    assert isinstance(model, ResiduePredictor)
    check_same_run(config, directory, ("data", "model", "task", "seed"))
    trainer = {k: v for k, v in config.trainer.items() if k != "threads"}
    options = {k: v for k, v in config.task.items() if k not in ("kind", "epochs")}
    options["epochs"] = config.task.epochs or data.task.epochs
    empty = data.train.graphs[[]] if not len(data.validation) else data.validation.graphs
    train_residues(model, data.train.graphs, empty, directory, **options, **trainer, seed=config.seed)
    return model


def _scale(data: ResidueData) -> tuple[float, float]:
    """Mean and deviation of the target in training."""
    if data.task.kind != "number":
        return 0.0, 1.0
    nodes = data.train.graphs.nodes
    known = nodes["target"][nodes["target_mask"]]
    return float(known.mean()), max(float(known.std()), 1e-6)


def _judge(config: DictConfig, data: ResidueData, model: ResiduePredictor) -> dict[str, Answers]:
    """Answers of the network and of both baselines to the same questions."""
    noise = config.task.noise
    test = asked(data.test.graphs, data.task, TEST_SEED, noise)
    train = asked(data.train.graphs, data.task, config.seed, noise, config.task.negatives)
    network = answer(model, test, centre=model.mean)
    return {
        "network": network,
        "linear": linear_answers(data.task, train, test, network),
        "mean": mean_answers(data.task, train, network),
    }


def _joined(parts: list[dict[str, Answers]], who: str) -> Answers:
    """Answers of all folds, each structure once; numbers are centred on their own fold's mean."""
    shift = np.cumsum([0, *(part[who].owner.max(initial=-1) + 1 for part in parts)])
    columns = [np.concatenate([getattr(part[who], name) for part in parts]) for name in ("predicted", "true")]
    owner = np.concatenate([part[who].owner + by for part, by in zip(parts, shift)])
    centre = float(np.mean([part[who].centre for part in parts]))
    return Answers(*columns, owner, centre)


def _write(
    directory: Path,
    config: DictConfig,
    data: ResidueData,
    parts: list[dict[str, Answers]],
    model: ResiduePredictor,
    start: float,
) -> dict[str, Any]:
    task, answers = data.task, {who: _joined(parts, who) for who in WHO}
    unit: dict[str, str] = {}
    metrics: dict[str, Any] = {"task": task.name, "compared_by": SCORES[task.kind][0].name}
    for who, prefix in zip(WHO, ("test/", "test/linear_", "test/mean_")):
        found = scores(task, answers[who])
        metrics |= {f"{prefix}{name}": value for name, value in found.items()}
        unit |= {f"{prefix}{name}": units(task)[name] for name in found}
    for who in WHO[1:]:
        value, low, high = margin(task, answers["network"], answers[who], seed=config.seed)
        metrics |= {f"test/margin_over_{who}": value, f"test/margin_over_{who}_95": [low, high]}
        unit[f"test/margin_over_{who}"] = units(task)[SCORES[task.kind][0].name]
    owner = answers["network"].owner
    metrics |= {
        "test/structures": len(np.unique(owner)),
        "test/rows": len(owner),
        "train/structures": len(data.train),
        "families": data.families,
        "folds_tested": len(parts),
        "left_out": dict(data.left_out),
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds/train": time.perf_counter() - start,
    }
    unit["seconds/train"] = "s"
    write_json(directory / "metrics.json", metrics | {"units": unit})
    _write_left_out(directory, data)
    return metrics


def _write_left_out(directory: Path, data: ResidueData) -> None:
    if data.left_out:
        write_json(directory / "left_out.json", data.left_out)


def show(task: ResidueTask, metrics: dict[str, Any]) -> None:
    """Print the network beside the baselines, and by how much it is better."""
    table = Table(
        "", *(f"{s.name}{f' [{u}]' if (u := units(task)[s.name]) else ''}" for s in SCORES[task.kind])
    )
    for who, prefix in zip(WHO, ("test/", "test/linear_", "test/mean_")):
        cells = (f"{metrics[prefix + s.name]:.3f}" for s in SCORES[task.kind])
        table.add_row(who, *cells)
    table.title = f"{task.question} ({metrics['test/structures']} structures kept back)"
    Console().print(table)
    first = SCORES[task.kind][0].name
    for who in WHO[1:]:
        low, high = metrics[f"test/margin_over_{who}_95"]
        print(
            f"better than the {who} answer by {metrics[f'test/margin_over_{who}']:.3f} in {first} "
            f"(95 % of draws of structures: {low:.3f} to {high:.3f})"
        )
    left_out = metrics["left_out"]
    if left_out:
        names = ", ".join(list(left_out)[:5]) + (", ..." if len(left_out) > 5 else "")
        print(f"{len(left_out)} files left out ({names}); reasons in left_out.json")
    print(f"{metrics['parameters']} parameters, {metrics['seconds/train']:.0f} s")


def read_metrics(run_dir: Path) -> dict[str, Any]:
    """Return the metrics of a run."""
    return json.loads((run_dir / "metrics.json").read_text())
