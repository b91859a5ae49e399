"""What scripts/train.py does for properties of structures: from a store on disk to a table of errors."""

from __future__ import annotations

import hashlib
import logging
import time
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console
from rich.table import Table

from sciml.datasets.store import GraphStore
from sciml.datasets.structure_properties import QM9, Source, g2, qm9, structure_store, structures_of
from sciml.models import StructurePredictor
from sciml.models.structure_predictor import READOUTS
from sciml.training.errors import RunError
from sciml.training.pretraining import denoising_errors, pretrain, take_encoder
from sciml.training.processes import leave_to_first
from sciml.training.run import (
    build,
    check_same_run,
    load_run,
    open_run,
    peak_memory_bytes,
    write_json,
)
from sciml.training.structure_property import divided, mean_errors, random_parts, statistics, train_structures

log = logging.getLogger(__name__)
CACHE = Path(__file__).resolve().parents[1] / "data" / "cache"
NAMED = ("qm9", "g2")
DEFAULT = ("U0", "gap", "mu")
SHOWN = {"eV": ("meV", 1000.0), "debye": ("D", 1.0)}  # how errors are shown


def structures(config: DictConfig, run_dir: Path) -> None:
    """Train a predictor into a run directory, or go on there, and write its metrics."""
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    torch.set_default_dtype(torch.float32)
    start = time.perf_counter()
    open_run(run_dir)
    store = load(config)
    data = divided(store, **config.data.split, seed=config.seed)
    targets = _targets(config.data)
    with open_dict(config):  # what only the data know
        config.model.targets, config.model.units = targets, store.info["units"]
        config.model.update(statistics(data, targets))
    torch.manual_seed(config.seed)
    model = build(config.model, "model")
    if config.task.pretrained is not None:
        take_encoder(model, config.task.pretrained)
    check_same_run(config, run_dir, ("data", "model", "task", "seed"))
    options = {k: v for k, v in config.task.items() if k not in ("kind", "pretrained")}
    trainer = {k: v for k, v in config.trainer.items() if k != "threads"}
    before, spent = time.perf_counter(), time.process_time()
    train_structures(model, data, run_dir, **options, **trainer, seed=config.seed)
    seconds = {
        "seconds/train": time.perf_counter() - before,
        "seconds/train_cpu": time.process_time() - spent,
        "seconds/all": time.perf_counter() - start,
    }
    leave_to_first()
    trained = load_run(run_dir)
    assert isinstance(trained, StructurePredictor)
    found = mean_errors(trained, data)
    metrics = _metrics(found, trained) | seconds
    metrics |= {f"{name}/structures": len(getattr(data, name)) for name in ("train", "validation", "test")}
    metrics |= {
        "parameters": sum(p.numel() for p in trained.parameters()),
        "peak_memory_bytes": peak_memory_bytes(),
    }
    units = _units(metrics, trained)
    write_json(run_dir / "metrics.json", metrics | {"units": units})
    show(found, trained, metrics)


def pretraining(config: DictConfig, run_dir: Path) -> None:
    """Train a denoiser without labels into a run directory, or go on there, and write its metrics."""
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    torch.set_default_dtype(torch.float32)
    open_run(run_dir)
    store = load(config)
    parts = random_parts(store, **config.data.split, seed=config.seed)
    torch.manual_seed(config.seed)
    model = build(config.model, "model")
    check_same_run(config, run_dir, ("data", "model", "task", "seed"))
    options = {k: v for k, v in config.task.items() if k != "kind"}
    trainer = {k: v for k, v in config.trainer.items() if k != "threads"}
    before = time.perf_counter()
    pretrain(model, parts[0], parts[1], run_dir, **options, **trainer, seed=config.seed)
    seconds = time.perf_counter() - before
    leave_to_first()
    trained = load_run(run_dir)
    found = {f"test/{k}": v for k, v in denoising_errors(trained, parts[2]).items()}  # type: ignore[arg-type]
    metrics = found | {"train/structures": len(parts[0]), "seconds/train": seconds}
    write_json(run_dir / "metrics.json", metrics | {"units": {"seconds/train": "s"}})
    print(
        f"on {len(parts[2])} structures kept back {found['test/noise_left']:.3f} of the noise is left (mean "
        f"square), and {found['test/elements_found']:.1%} of the hidden elements are found; {seconds:.0f} s"
    )


def load(config: DictConfig) -> GraphStore:
    """Return the store that a configuration describes, written now if it is not there."""
    data = config.data
    source = _source(data, config.task.kind == "pretraining")
    name = f"structures-{hashlib.sha256(f'{source.key} {config.model.cutoff}'.encode()).hexdigest()[:16]}"
    path = Path(data.store) if data.store else CACHE / name
    store = structure_store(
        path, source, config.model.cutoff, progress=lambda n: log.info("%d structures stored", n)
    )
    log.info("%r", store)
    return store


def _source(data: DictConfig, unlabelled: bool) -> Source:
    if data.path is None and data.source not in NAMED:
        raise RunError(f"data.source={data.source}: choose from {', '.join(NAMED)}, or give data.path=FILE.")
    if data.path is None and data.source == "g2":
        return g2()
    path = None if data.path is None else Path(data.path)
    ours = path is None or path.is_dir() or path.suffix == ".npz"
    names = [] if unlabelled and data.targets is None and not ours else list(_targets(data))
    if ours:
        if data.units is not None:
            raise RunError(f"data.units: QM9 has its own ({', '.join(c.unit for c in QM9.values())}).")
        return qm9(names, path)
    assert path is not None
    return structures_of(path, names, data.units)


def _targets(data: DictConfig) -> dict[str, str]:
    """Return the targets and how each is read out; those of QM9 are known."""
    if data.path is None and data.source == "g2":
        return {"enthalpy": "sum"}
    given: Any = OmegaConf.to_container(OmegaConf.create({"targets": data.targets}))["targets"]  # type: ignore[call-overload, index]
    if given is None:
        given = list(DEFAULT)
    if isinstance(given, list) and given and all(name in QM9 for name in given):
        return {name: QM9[name].readout for name in given}
    if not isinstance(given, dict) or not given or not set(given.values()) <= set(READOUTS):
        raise RunError(
            f"data.targets={given}: expected those of QM9 ({', '.join(QM9)}) as [gap, mu], or properties "
            f"of the file and how each is read out, as {{gap: mean}}: {', '.join(READOUTS)}."
        )
    return given


def _metrics(found: dict[str, dict[str, dict[str, float]]], model: StructurePredictor) -> dict[str, Any]:
    metrics = {}
    for who, per in found.items():
        prefix = "test/" if who == "network" else f"baseline/{who}/"
        for name, errors in per.items():
            factor = _shown(model, name)[1]
            metrics |= {f"{prefix}{name}_{key}": factor * value for key, value in errors.items()}
    return metrics


def _units(metrics: dict[str, Any], model: StructurePredictor) -> dict[str, str]:
    units = {key: "s" if "seconds" in key else "" for key in metrics}
    for name in model.targets:
        units |= {k: _shown(model, name)[0] for k in metrics if k.rsplit("/")[-1].rsplit("_", 1)[0] == name}
    return units


def _shown(model: StructurePredictor, name: str) -> tuple[str, float]:
    unit = model.units[model.targets.index(name)]
    return SHOWN.get(unit, (unit, 1.0))


def show(
    found: dict[str, dict[str, dict[str, float]]], model: StructurePredictor, metrics: dict[str, Any]
) -> None:
    """Print mean absolute errors beside what they are compared with."""
    title = f"Mean absolute errors on {metrics['test/structures']} structures"
    table = Table("", *found, title=title)  # a row for each property, so that it fits into any window
    for name in model.targets:
        unit, factor = _shown(model, name)
        table.add_row(rf"{name} \[{unit}]", *(f"{factor * per[name]['mae']:.4g}" for per in found.values()))
    Console().print(table)
    print(
        "composition: a part of each element, added up; mean: of training.\n"
        f"{metrics['parameters']} parameters, {metrics['seconds/train']:.0f} s of training "
        f"({metrics['seconds/train_cpu']:.0f} s of CPU), peak memory "
        f"{metrics['peak_memory_bytes'] / 2**20:.0f} MiB"
    )
