"""What scripts/train.py does for molecules: from SMILES to properties, judged beside baselines."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, open_dict
from rich.console import Console
from rich.table import Table

from sciml.builders.molecule import read_sdf
from sciml.datasets import MoleculeTable, freesolv, read_molecule_table, split_molecules
from sciml.datasets.molecule_table import find_smiles_column, with_test
from sciml.datasets.tables import read_table
from sciml.models import PropertyPredictor
from sciml.models.descriptor_process import MOST
from sciml.training.agreement import affinity_metrics, label_metrics
from sciml.training.errors import RunError
from sciml.training.processes import leave_to_first
from sciml.training.property import PropertyData, predicted, property_data, train_property
from sciml.training.property_baselines import property_baselines
from sciml.training.run import build, check_same_run, load_run, open_run, write_json, write_text

log = logging.getLogger(__name__)
NAMED = {"freesolv": freesolv}
BY_PATH = {  # sets that no package has, and the file
    "esol": "delaney-processed.csv of MoleculeNet",
    "lipophilicity": "Lipophilicity.csv of MoleculeNet",
}
APART = ("kind", "members", "coverage", "process", "class_weights")  # options that the model has
IN_UNIT = ("mae", "rmse")  # what has the unit of the values
DRAWN = 24  # labels in one picture, at most
SHOWN = {
    "regression": ("mae", "rmse", "pearson"),
    "classification": ("auroc", "ap", "brier", "calibration_error"),
}


def property_(config: DictConfig, run_dir: Path) -> dict[str, Any]:
    """Train a predictor into a run directory, or go on there, and write and return its metrics."""
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    torch.set_default_dtype(torch.float32)
    start = time.perf_counter()
    open_run(run_dir)
    data = load(config)
    write_left_out(run_dir, data.table)
    model = make_model(config, data)
    check_same_run(config, run_dir, ("data", "model", "task", "seed"))
    trainer = {k: v for k, v in config.trainer.items() if k != "threads"}
    options = {k: v for k, v in config.task.items() if k not in APART}
    before = time.perf_counter()
    train_property(model, data, run_dir, **options, **trainer, seed=config.seed)
    seconds = time.perf_counter() - before
    leave_to_first()
    found = judge(model, data, run_dir, config.seed)
    metrics, units = flat(found, data, config.data.unit)
    extra = {
        **{f"{part}/molecules": len(getattr(data, part)) for part in ("train", "validation", "test")},
        "test/shared_with_training": len(data.split.shared),
        "left_out": len(data.table.left_out),
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds/train": seconds,
        "seconds/all": time.perf_counter() - start,
    }
    units |= {k: "s" if "seconds" in k else "" for k in extra}
    metrics = metrics | extra | {"notes": list(data.table.notes), "units": units}
    write_json(run_dir / "metrics.json", metrics)
    show(found, data, metrics, config.data.unit)
    return metrics


def load(config: DictConfig) -> PropertyData:
    """Return the molecules that a configuration describes."""
    data = config.data
    options = {
        "smiles_column": data.smiles_column,
        "target_columns": None if data.target_columns is None else _names(data.target_columns),
        "split_column": data.split_column,
        "strict": data.strict,
    }
    if data.path is not None:
        table = read_molecule_table(data.path, **options)
        if data.test_path is not None:
            options |= {"target_columns": list(table.targets), "split_column": None}
            table = with_test(table, read_molecule_table(data.test_path, **options))
    elif data.source in NAMED:
        table = NAMED[data.source]()
    elif data.source in BY_PATH:
        raise RunError(
            f"No package has {data.source}: give its file as data.path=FILE, {BY_PATH[data.source]}."
        )
    else:
        raise RunError(
            "data.path is missing: data.path=FILE, a table with columns of SMILES and of numbers, or .sdf."
        )
    division = dict(data.split) | ({"by": "column"} if data.test_path is not None else {})
    split = split_molecules(table, seed=config.seed, **division)
    if len(split.shared):
        rows = ", ".join(str(table.rows[i]) for i in split.shared[:5])
        log.warning(
            "%d molecules of the test are in training or validation too (rows %s%s); errors are too small",
            *(len(split.shared), rows, ", ..." if len(split.shared) > 5 else ""),
        )
    log.info("%r, divided by %s", table, "file" if data.test_path is not None else data.split.by)
    wanted = {"rdkit": data.descriptors, "solvation": data.solvation, "fragments": data.fragments}
    groups = [group for group, read in wanted.items() if read]
    return property_data(table, split, kind=data.kind, descriptors=groups)


def make_model(config: DictConfig, data: PropertyData) -> PropertyPredictor:
    """Build the model, with what only the data know filled in."""
    mean, scale = data.statistics
    with open_dict(config):
        config.model.descriptors = data.groups
        config.model.targets, config.model.kind = list(data.table.targets), data.kind
        config.model.members, config.model.coverage = config.task.members, config.task.coverage
        if config.task.class_weights is not None:
            config.model.class_weights = data.class_weights(config.task.class_weights)
        if data.kind == "regression":
            config.model.mean, config.model.scale = mean, scale
        if config.task.process and data.groups:
            config.model.points = min(len(data.train), MOST)
    torch.manual_seed(config.seed)
    model = build(config.model, "model")
    assert isinstance(model, PropertyPredictor)
    return model


def judge(
    model: PropertyPredictor, data: PropertyData, run_dir: Path, seed: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Return metrics by predictor and property on the test molecules; write the predictions."""
    true = data.table.values[data.split.test]
    half = model.half_width.double().cpu().numpy()
    guesses = {"test": predicted(model, data.test)} | {
        f"baseline/{name}": guess for name, guess in property_baselines(data, seed=seed).items()
    }
    measure = affinity_metrics if data.kind == "regression" else label_metrics
    found: dict[str, dict[str, dict[str, float]]] = {}
    for who, guess in guesses.items():
        found[who] = {}
        for i, name in enumerate(data.table.targets):
            known = np.isfinite(true[:, i])
            if not known.any():
                log.warning("no test molecule has a value of %r", name)
                continue
            found[who][name] = measure(guess[known, i], true[known, i])
            if who == "test" and data.kind == "regression":
                inside = np.abs(guess[known, i] - true[known, i]) <= half[i]
                share = float(inside.mean()) if np.isfinite(half[i]) else np.nan  # all is no interval
                found[who][name] |= {"coverage": share, "half_width": float(half[i])}
    write_predictions(run_dir / "predictions.csv", data, guesses["test"], half)
    if data.kind == "classification":
        draw_reliability(run_dir / "reliability.png", data, guesses["test"])
    return found


def draw_reliability(path: Path, data: PropertyData, probability: np.ndarray) -> None:
    """Draw how often the test molecules have each label, against how probable it was said to be."""
    from matplotlib.figure import Figure

    from sciml.plotting import reliability_diagram

    true, names = data.table.values[data.split.test], data.table.targets
    known = [i for i in range(len(names)) if np.isfinite(true[:, i]).any()][:DRAWN]
    if not known:
        return
    columns = min(len(known), 4)
    rows = -(-len(known) // columns)
    figure = Figure(figsize=(4.2 * columns, 4.2 * rows), layout="constrained")
    for place, i in enumerate(known, 1):
        reliability_diagram(
            probability[:, i], true[:, i], figure.add_subplot(rows, columns, place), name=names[i]
        )
    figure.savefig(path, dpi=110)


def flat(
    found: dict[str, dict[str, dict[str, float]]], data: PropertyData, unit: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return metrics as WHO/PROPERTY_METRIC, and the coverage of all properties, with units."""
    metrics, units = {}, {}
    for who, each in found.items():
        for name, values in each.items():
            for metric, value in values.items():
                key = f"{who}/{name}_{metric}"
                metrics[key] = value
                units[key] = unit if metric in (*IN_UNIT, "half_width") else ""
    if data.kind == "regression":
        shares = [v["coverage"] for v in found["test"].values()]
        metrics["test/coverage"] = float(np.nanmean(shares)) if np.isfinite(shares).any() else np.nan
        units["test/coverage"] = ""
    return metrics, units


def write_predictions(path: Path, data: PropertyData, values: np.ndarray, half: np.ndarray) -> None:
    """Write the test molecules with what was measured and what is predicted."""
    import pandas as pd

    rows, table = data.split.test, data.table
    columns: dict[str, Any] = {"row": table.rows[rows], "smiles": [table.smiles[i] for i in rows]}
    for i, name in enumerate(table.targets):
        columns |= {f"{name}_measured": table.values[rows, i], f"{name}_predicted": values[:, i]}
        if data.kind == "regression":
            columns |= {f"{name}_lower": values[:, i] - half[i], f"{name}_upper": values[:, i] + half[i]}
    write_text(path, pd.DataFrame(columns).to_csv(index=False, float_format="%.6g"))


def write_left_out(run_dir: Path, table: MoleculeTable) -> None:
    """Write the rows that were left out, if there are any."""
    if table.left_out:
        rows = [{"row": f.row, "text": f.text, "reason": f.reason} for f in table.left_out]
        write_json(run_dir / "left_out.json", {"source": table.source, "left_out": rows})


def show(found: dict, data: PropertyData, metrics: dict[str, Any], unit: str) -> None:
    """Print the network beside the baselines, and what a reader must know of the numbers."""
    heads = [f"{m} ({unit})" if unit and m in IN_UNIT else m.replace("_", " ") for m in SHOWN[data.kind]]
    title = f"{len(data.test)} test molecules, {len(data.train)} in training"
    table = Table("property", "", *heads, title=title)
    for name in data.table.targets:
        for who, each in found.items():
            label = "network" if who == "test" else who.removeprefix("baseline/")
            cells = (each[name][m] for m in SHOWN[data.kind]) if name in each else ()
            table.add_row(name, label, *("–" if np.isnan(c) else f"{c:.4g}" for c in cells))
    Console().print(table)
    if data.kind == "regression":
        for name, values in found["test"].items():
            if np.isfinite(values["half_width"]):
                print(f"{name} ±{values['half_width']:.3g} holds {values['coverage']:.0%} of the test values")
            else:
                print(f"{name}: no interval, {len(data.validation)} molecules for validation are too few")
    if data.table.left_out:
        print(f"{len(data.table.left_out)} rows left out; reasons in left_out.json")
    print(f"{metrics['parameters']} parameters, {metrics['seconds/train']:.0f} s of training")


def _names(given: Any) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def predict_properties(run: Path, source: Path, target: Path, options: DictConfig) -> None:
    """Write a table of molecules with their predicted properties beside all columns of the input.

    Args:
        run: a run of this task.
        source: a table with SMILES, or an SDF.
        target: the table that is written.
        options: ``smiles_column`` as in training.
    """
    import pandas as pd

    unknown = set(options) - {"smiles_column"}
    if unknown:
        raise RunError(
            f"Unknown options {', '.join(sorted(map(str, unknown)))}; there is smiles_column=NAME."
        )
    model = load_run(run)
    assert isinstance(model, PropertyPredictor)
    if source.suffix.lower() == ".sdf":
        table, found = pd.DataFrame(), model.predict(read_sdf(source))
    else:
        table = read_table(source)
        column = find_smiles_column(table, options.get("smiles_column"), source)
        found = model.predict(list(table[column])).drop(columns="smiles")
        table = table.reset_index(drop=True)
    taken = [name for name in found.columns if name in table.columns]
    found = found.rename(columns={name: f"predicted_{name}" for name in taken})
    write_text(target, pd.concat([table, found], axis=1).to_csv(index=False, float_format="%.6g"))
    failed = int(found["note" if "note" not in taken else "predicted_note"].ne("").sum())
    if failed:
        note = "predicted_note" if "note" in taken else "note"
        log.warning("%d of %d molecules without prediction; the column %s says why", failed, len(found), note)
