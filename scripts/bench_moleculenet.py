"""Errors on ESOL, FreeSolv and Lipophilicity over random and scaffold splits, one row for each split.

    python scripts/bench_moleculenet.py FOLDER output=rows.csv                    all of it
    python scripts/bench_moleculenet.py FOLDER output=rows.csv sets=[freesolv] by=[random] seeds=[0,1]

FOLDER holds MoleculeNet's SAMPL.csv, delaney-processed.csv and Lipophilicity.csv. Rows are appended as they
come, and what is in the file already is not run again. Settings are those of conf/experiment/NAME.yaml;
others are ``model.NAME=VALUE`` and ``task.NAME=VALUE``. The seconds are the processor's, in training. With
test=false only the error on validation is measured, for the choice of settings; baselines=false leaves out
the mean, ridge regression and forest.
"""

from __future__ import annotations

import csv
import logging
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from common import CONF, fail, keep_memory
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from sciml.datasets import read_molecule_table, split_molecules
from sciml.models import PropertyPredictor
from sciml.models.descriptor_process import MOST
from sciml.training.property import each_alone, predicted, property_data, property_graphs, train_property
from sciml.training.property_baselines import property_baselines

SETS = {  # name: file, column of the measured values
    "freesolv": ("SAMPL.csv", "expt"),
    "esol": ("delaney-processed.csv", "measured log solubility in mols per litre"),
    "lipophilicity": ("Lipophilicity.csv", "exp"),
}
DEFAULTS = {
    "output": "moleculenet.csv",
    "sets": list(SETS),
    "by": ["random", "scaffold"],
    "seeds": [0, 1, 2, 3, 4],
    "test": True,
    "baselines": True,
    "label": "default",
    "model": {},
    "task": {},
}
APART = ("kind", "members", "coverage", "process", "class_weights")  # options that are no option of training
HEADER = ("label", "set", "by", "seed", "who", "rmse", "coverage", "seconds")


def main() -> None:
    paths = [a for a in sys.argv[1:] if "=" not in a]
    if len(paths) != 1 or not Path(paths[0]).is_dir():
        fail(
            f"Expected one folder, found {paths or 'none'}. {str(__doc__).splitlines()[2].strip()}", status=2
        )
    options = OmegaConf.merge(
        OmegaConf.create(DEFAULTS), OmegaConf.from_dotlist([a for a in sys.argv[1:] if "=" in a])
    )
    output = Path(options.output)
    keep_memory()
    torch.set_num_threads(1)
    for name in options.sets:
        file, column = SETS[name]
        table = read_molecule_table(Path(paths[0]) / file, smiles_column="smiles", target_columns=[column])
        graphs = None
        for by in options.by:
            for seed in options.seeds:
                if (options.label, name, by, str(seed)) in done(output):
                    continue
                graphs = property_graphs(table) if graphs is None else graphs
                data = property_data(table, split_molecules(table, by, seed=seed), graphs=graphs)
                append(
                    output, [(options.label, name, by, seed, *row) for row in run(name, data, seed, options)]
                )
    show(output)


def run(name: str, data, seed: int, options) -> list[tuple]:
    """Train on one split; return who, error, coverage of the intervals and seconds."""
    model_options = OmegaConf.merge(OmegaConf.load(CONF / "model" / "property.yaml"), options.model)
    of_set = OmegaConf.load(CONF / "experiment" / f"{name}.yaml").get("task", {})
    task = OmegaConf.merge(OmegaConf.load(CONF / "task" / "property.yaml"), of_set, options.task)
    mean, scale = data.statistics
    torch.manual_seed(seed)
    model = PropertyPredictor(
        data.table.targets,
        **{name: model_options[name] for name in ("encoder", "channels", "steps", "dropout", "pool")},
        descriptors=data.groups,
        members=task.members,
        points=min(len(data.train), MOST) if task.process else 0,
        mean=mean,
        scale=scale,
        coverage=task.coverage,
    )
    training = {k: v for k, v in task.items() if k not in APART}
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        train_property(model, data, folder, **training, seed=seed, progress=False)
    seconds = time.process_time() - start
    part = data.test if options.test else data.validation
    true = part.globals["y"].double().numpy()
    error = predicted(model, part) - true
    coverage = float((np.abs(error) <= model.half_width.numpy()).mean())
    rows = [("network", rmse(error), coverage, seconds)]
    if model.process is not None:  # its two parts alone
        for name, guess in zip(("networks alone", "process alone"), each_alone(model, part)):
            rows.append((name, rmse(guess - true), float("nan"), 0.0))
    if options.test and options.baselines:
        guesses = property_baselines(data, seed=seed)
        rows += [(name, rmse(guess - true), float("nan"), 0.0) for name, guess in guesses.items()]
    return rows


def rmse(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(error**2)))


def done(output: Path) -> set[tuple[str, ...]]:
    """Return which splits are in the file."""
    if not output.is_file():
        return set()
    with output.open(newline="") as file:
        return {(r["label"], r["set"], r["by"], r["seed"]) for r in csv.DictReader(file)}


def append(output: Path, rows: list[tuple]) -> None:
    new = not output.is_file()
    with output.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([HEADER, *rows] if new else rows)


def show(output: Path) -> None:
    """Print means and standard deviations over the splits."""
    import pandas as pd

    rows = pd.read_csv(output)
    table = Table("", "set", "split", "who", "splits", "RMSE", "coverage", "CPU s at most")
    for key, group in rows.groupby(["label", "set", "by", "who"], sort=False):
        spread = group["rmse"].std() if len(group) > 1 else float("nan")
        error = f"{group['rmse'].mean():.3f} ± {spread:.3f}"
        cover = "" if group["coverage"].isna().all() else f"{group['coverage'].mean():.2f}"
        table.add_row(*key, str(len(group)), error, cover, f"{group['seconds'].max():.0f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    main()
