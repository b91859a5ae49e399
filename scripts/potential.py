"""What the scripts do for potentials: train on frames, judge on frames kept back, predict for a file."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, open_dict
from rich.console import Console
from rich.table import Table

from sciml.datasets import Frames, PotentialData, potential_data, read_frames
from sciml.datasets.frame_store import StoredFrames, is_store, store_frames
from sciml.datasets.frames import shipped_ethanol
from sciml.datasets.potentials import AnyFrames
from sciml.datasets.store import GraphStore
from sciml.models import Potential, PotentialEnsemble
from sciml.training.errors import RunError
from sciml.training.potential import UNITS, errors_in_parts, train_potential
from sciml.training.potential_baselines import PairPotential, constant, disagreement
from sciml.training.potential_ensemble import UNITS as UNCERTAINTY_UNITS
from sciml.training.potential_ensemble import judge_uncertainty, train_ensemble
from sciml.training.pretraining import take_encoder
from sciml.training.processes import leave_to_first
from sciml.training.run import build, check_same_run, load_run, open_run, write_json

log = logging.getLogger(__name__)
ENSEMBLE = "sciml.models.PotentialEnsemble"
ALL_UNITS = UNITS | UNCERTAINTY_UNITS
WHO = {"network": "test/", "pairs": "test/pairs_", "constant": "test/constant_"}
FILE = ("energy_unit", "energy_key", "forces_key", "stress_key", "file_format")  # options of read_frames


def potential(config: DictConfig, run_dir: Path) -> None:
    """Train a potential into a run directory, or go on there, and write its metrics."""
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    torch.set_default_dtype(torch.float32)
    start = time.perf_counter()
    open_run(run_dir)
    data = load(config)
    torch.manual_seed(config.seed)
    with open_dict(config):  # what only the data know
        config.model.references = dict(data.references)
        config.model.scale = data.scale
        if config.task.members > 1:
            members = [config.model] * config.task.members
            config.model = {"_target_": ENSEMBLE, "members": members, "coverage": config.task.coverage}
    model = build(config.model, "model")
    doubt = disagreement(data.train, model.cutoff, data.references)
    if doubt is not None:
        log.warning("%s: %s", data.train.source, doubt)
    if config.task.pretrained is not None:
        for member in model.members if isinstance(model, PotentialEnsemble) else [model]:
            take_encoder(member, config.task.pretrained)
    check_same_run(config, run_dir, ("data", "model", "task", "seed"))
    trainer = {k: v for k, v in config.trainer.items() if k != "threads"}
    apart = ("kind", "members", "coverage", "pretrained")
    options = {k: v for k, v in config.task.items() if k not in apart}
    graphs = data.graphs(model.cutoff, _folder(config, run_dir))
    log.info("%d parameters, %d edges in training", _parameters(model), graphs[0].num_edges)
    if isinstance(model, PotentialEnsemble):
        calibration = data.validation.whole() if data.validation else None
        train_ensemble(model, *graphs, calibration, run_dir, **options, **trainer, seed=config.seed)
    else:
        train_potential(model, *graphs, run_dir, **options, **trainer, seed=config.seed)
    trained = time.perf_counter() - start
    leave_to_first()
    found = judge(config, data, load_run(run_dir))  # type: ignore[arg-type]
    metrics = _metrics(found, data, model, trained)
    write_json(run_dir / "metrics.json", metrics)
    show(found, data, metrics)


def _folder(config: DictConfig, run_dir: Path) -> Path | None:
    """Return where graphs are kept: beside frames that are in a store, too; None is memory."""
    if config.data.store is not None:
        return Path(config.data.store)
    return None if config.data.path is None or _store_at(config.data.path) is None else run_dir / "graphs"


def _store_at(path: str | Path) -> Path | None:
    """Return the store of frames that a path names: itself, or what ``data.store`` was."""
    return next((folder for folder in (Path(path), Path(path) / "frames") if is_store(folder)), None)


def load(config: DictConfig) -> PotentialData:
    """Return the frames that a configuration describes, divided."""
    frames, test = read(config)
    data = potential_data(frames, test, **config.data.split, seed=config.seed)
    for name in ("train", "validation", "test"):
        log.info("%s: %r", name, getattr(data, name))
    return data


def read(config: DictConfig) -> tuple[AnyFrames, AnyFrames | None]:
    """Return the frames of a configuration, and those kept back in a file of their own."""
    data = config.data
    frames = _frames(data.path or shipped_ethanol(), data, "frames")
    return frames, _frames(data.test_path, data, "test_frames") if data.test_path else None


def _frames(path: str | Path, data: DictConfig, name: str) -> AnyFrames:
    """Return frames of a file, in memory or in a store; or of a store.

    Raises:
        RunError: a unit for frames in a store, which are in eV.
    """
    options = {option: data[option] for option in FILE}
    if (folder := _store_at(path)) is not None:
        if data.energy_unit is not None:
            raise RunError(
                f"data.energy_unit={data.energy_unit}: frames in a store ({folder}) are in eV. Write the "
                "store from the file again, with its unit."
            )
        return StoredFrames(GraphStore(folder))
    if data.store is None:
        return read_frames(path, **options)
    said = lambda number: log.info("%s: %d frames are in the store", path, number)
    return store_frames(Path(data.store) / name, path, progress=said, **options)


def judge(config: DictConfig, data: PotentialData, model: Potential) -> dict[str, dict[str, float]]:
    """Return the errors on the test frames of the network and of what it is compared with."""
    weights = config.task.energy_weight, config.task.forces_weight
    pairs = PairPotential(model.cutoff, data.references, *weights).fit(data.train)
    uncertainty = {}
    if isinstance(model, PotentialEnsemble):
        test = data.test.whole()
        uncertainty = judge_uncertainty(test, model.predict(test.atoms))  # type: ignore[arg-type]
    who: dict[str, Callable[[Frames], Any]] = {
        "network": lambda part: model.predict(part.atoms),
        "pairs": pairs.predict,
        "constant": lambda part: constant(part, data.references),
    }
    found = {
        name: errors_in_parts((part, predict(part)) for part in data.test.parts())
        for name, predict in who.items()
    }
    return found | {"network": found["network"] | uncertainty}


def _metrics(
    found: dict[str, dict[str, float]], data: PotentialData, model: Potential, seconds: float
) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    unit: dict[str, str] = {"seconds/train": "s"}
    for who, prefix in WHO.items():
        metrics |= {f"{prefix}{name}": value for name, value in found[who].items()}
        unit |= {f"{prefix}{name}": ALL_UNITS[name] for name in found[who]}
    return metrics | {
        "train/frames": len(data.train),
        "validation/frames": len(data.validation) if data.validation else 0,
        "test/frames": len(data.test),
        "parameters": _parameters(model),
        "seconds/train": seconds,
        "units": unit,
    }


def show(found: dict[str, dict[str, float]], data: PotentialData, metrics: dict[str, Any]) -> None:
    """Print the network beside what it is compared with."""
    table = Table("", *WHO)  # a row for each error, so that it fits into any window
    for name, unit in UNITS.items():
        if name in found["network"]:
            errors = (f"{found[who][name]:.3g}" if name in found[who] else "–" for who in WHO)
            table.add_row(rf"{name.replace('_', ' ')} \[{unit}]", *errors)
    table.title = f"Errors on {len(data.test)} frames kept back ({data.test.source})"
    Console().print(table)
    print(
        "pairs: a sum over pairs of atoms, fitted to the same frames; constant: energies of the elements.\n"
        f"{metrics['parameters']} parameters, {metrics['seconds/train']:.0f} s"
    )
    for name, unit in (("energy", "meV"), ("force", "meV/Å")):
        if f"{name}_coverage" in found["network"]:
            half, share = (found["network"][f"{name}_{what}"] for what in ("half_width", "coverage"))
            print(f"{name}: ±{half:.3g} {unit} (on average) holds {share:.0%} of the test values")


def _parameters(model: Potential) -> int:
    return sum(p.numel() for p in model.parameters())


def predict_frames(run: Path, source: Path, target: Path, options: DictConfig) -> None:
    """Write the structures of a file with predicted energies, forces and stresses, as ASE's calculators do.

    Of an ensemble, ``energy_std`` and ``energy_half_width`` stand in ``info``, ``forces_std`` and
    ``forces_half_width`` (of each atom) in ``arrays``.

    Raises:
        RunError: options that there are not, a run of something else, a file that cannot be read.
    """
    import ase.io
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.stress import full_3x3_to_voigt_6_stress

    if options:
        raise RunError(
            f"Unknown options {', '.join(map(str, options))}: a potential's predict.py takes none."
        )
    model = load_run(run)
    if not isinstance(model, Potential):
        raise RunError(f"{run} holds {type(model).__name__}, which is no potential.")
    try:
        structures: Any = ase.io.read(source, index=":")
    except FileNotFoundError:
        raise RunError(f"There is no file {source}.") from None
    except Exception as error:  # each of ASE's many formats fails in its own way
        raise RunError(f"{source}: ASE cannot read it: {type(error).__name__}: {error}") from error
    try:
        predicted = model.predict(structures)
    except ValueError as error:
        raise RunError(f"{source}: {error}") from None
    for atoms, found in zip(structures, predicted):  # type: ignore[arg-type]
        stress = {} if found.stress is None else {"stress": full_3x3_to_voigt_6_stress(found.stress)}
        atoms.calc = SinglePointCalculator(atoms, energy=found.energy, forces=found.forces, **stress)
        if found.forces_std is not None:
            atoms.info |= {"energy_std": found.energy_std, "energy_half_width": found.energy_half_width}
            atoms.arrays |= {"forces_std": found.forces_std, "forces_half_width": found.forces_half_width}
    partial = target.with_name(f".partial-{target.name}")  # the suffixes tell ASE the format
    ase.io.write(partial, structures)
    partial.replace(target)
