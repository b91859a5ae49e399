"""What scripts/train.py does for labelled images: train, then judge on images that were kept back."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import torch
from omegaconf import DictConfig, open_dict
from rich.console import Console
from rich.table import Table

from sciml.datasets.images import image_data
from sciml.models import ImageNetwork
from sciml.training.classification import confusion, train_classifier
from sciml.training.run import build, check_same_run, open_run, write_json

log = logging.getLogger(__name__)


def classify(config: DictConfig, run_dir: Path) -> None:
    """Train a classifier into a run directory, or go on there, and write its metrics."""
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    start = time.perf_counter()
    data = image_data(**config.data, seed=config.seed)
    classes = len(data.classes)
    log.info("%d images to learn from, %d kept back, %d classes", len(data.train), len(data.test), classes)
    torch.manual_seed(config.seed)
    torch.set_default_dtype(torch.float32)
    with open_dict(config):  # what only the data know
        config.model.classes, config.model.channels = classes, data.channels
    model = build(config.model, "model")
    assert isinstance(model, ImageNetwork)
    open_run(run_dir)
    check_same_run(config, run_dir, ("data", "model", "task", "seed"))
    trainer = {k: v for k, v in config.trainer.items() if k != "threads"}
    options = {k: v for k, v in config.task.items() if k != "kind"}
    options |= trainer | {"classes": classes, "seed": config.seed}
    train_classifier(model, data.train, data.validation, run_dir, **options)
    table = confusion(model, data.test, classes)
    accuracy = float(table.diagonal().sum() / table.sum())
    metrics = {
        "test/accuracy": accuracy,
        "test/error": 1 - accuracy,
        "test/images": int(table.sum()),
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds/train": time.perf_counter() - start,
    }
    units = {k: "s" if "seconds" in k else "" for k in metrics}
    write_json(
        run_dir / "metrics.json",
        metrics | {"classes": data.classes, "test/confusion": table.tolist(), "units": units},
    )
    show(table, data.classes)
    print(
        f"test error {1 - accuracy:.2%} of {int(table.sum())} images, {metrics['parameters']} parameters, "
        f"{metrics['seconds/train']:.0f} s"
    )


def show(counts: torch.Tensor, classes: tuple[str, ...]) -> None:
    """Print images by true (rows) and found label (columns)."""
    table = Table("true \\ found", *classes, title="images kept back")
    for name, row in zip(classes, counts.tolist()):
        table.add_row(name, *(str(n) if n else "·" for n in row))
    Console().print(table)
