"""Run directories: what is written, atomically, and how a model comes back from one.

A run directory holds ``config.yaml`` (resolved), ``versions.json``, ``metrics.csv``, ``metrics.json`` and
``checkpoints/last.ckpt``. Files appear whole or not at all. Opening somebody else's run runs none of their
code: checkpoints load with ``weights_only=True``, and a configuration may name classes of ``sciml`` and
``torch.optim`` only.
"""

from __future__ import annotations

import csv
import importlib
import json
import logging
import os
import platform
import resource
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.plugins.io import TorchCheckpointIO
from omegaconf import DictConfig, OmegaConf
from torch import nn

from sciml.training.errors import RunError

ALLOWED = ("sciml", "torch.optim")
PACKAGES = ("sciml", "torch", "lightning", "e3nn", "numpy", "scipy", "sympy", "hydra-core")


# --------------------------------------------------------------------- writing


def open_run(path: str | Path) -> Path:
    """Create a run directory (or take an existing one up again) and check that it can be written.

    Raises:
        RunError: the folder cannot be created or written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise RunError(
            f"Cannot write to the run directory {path}: {error.strerror}. Choose another with run_dir=..."
        ) from error
    return path


def write_text(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all."""
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, atomically; numbers that are not finite become null."""
    write_text(path, json.dumps(plain(content), indent=2, ensure_ascii=False) + "\n")


def plain(value: Any) -> Any:
    """Return a copy that JSON can hold: arrays as lists, numbers that are not finite as null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    return value


def save_config(path: Path, config: DictConfig) -> None:
    """Write the resolved configuration and the versions of what it ran with."""
    write_text(path / "config.yaml", OmegaConf.to_yaml(config, resolve=True))
    write_json(path / "versions.json", versions())


def check_same_run(config: DictConfig, path: Path, keys: Sequence[str]) -> None:
    """Save the configuration of a new run, or refuse to go on in a directory that holds another one.

    Args:
        config: of the run that begins.
        path: the run directory.
        keys: what must be as it was, as ``seed`` or ``model.widths``.

    Raises:
        RunError: it is not; the keys are named.
    """
    if not (path / "config.yaml").is_file():
        save_config(path, config)
        return
    resolved = OmegaConf.create(OmegaConf.to_container(config, resolve=True))
    before = load_config(path)
    changed = [key for key in keys if OmegaConf.select(before, key) != OmegaConf.select(resolved, key)]
    if changed:
        raise RunError(
            f"{path} holds a run with another {' and '.join(changed)}; choose another run_dir, "
            "or the same settings."
        )


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a result."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def peak_memory_bytes() -> int:
    """Return the largest resident set of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's hints on hardware and loaders, which are none of a user's concern here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.ERROR)
        yield


class AtomicCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoint files, appearing whole or not at all and read without executing them."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Save next to the target, then rename."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
        torch.save(checkpoint, partial)
        os.replace(partial, path)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Load tensors and plain data only."""
        return load_checkpoint(Path(path))


class MetricsTable(CSVLogger):
    """Lightning's ``metrics.csv``, to which a run that is taken up again adds: Lightning's own begins anew.

    Args:
        path: the run directory.
        done: steps that were done before, as the checkpoint says; rows of later ones are of a time that is
            run through again, and go.
    """

    def __init__(self, path: str | Path, done: int = 0) -> None:
        super().__init__(str(path), name="", version="")
        self.done = done

    @property
    def experiment(self) -> Any:
        """The writer."""
        file = Path(self.log_dir) / "metrics.csv"
        new = self._experiment is None and self.done > 0 and file.is_file()
        before = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines())) if new else []
        writer = super().experiment
        kept = [row for row in before if int(row["step"]) < self.done]
        if kept and isinstance(writer, ExperimentWriter):  # of the first process; the others have none
            writer.metrics_keys, writer.metrics = list(kept[0]), kept  # type: ignore[assignment]
            writer.save()
        return writer


# --------------------------------------------------------------------- reading


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint as tensors and plain data.

    Raises:
        RunError: missing, cut short, or holding more than tensors and plain data.
    """
    if not path.is_file():
        raise RunError(
            f"There is no checkpoint {path}: the run has not got that far. Start it again with run_dir=..."
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (
        Exception
    ) as error:  # torch raises many types for a damaged file, and all mean the same to the user
        raise RunError(
            f"The checkpoint {path} ({path.stat().st_size} bytes) cannot be read: it is cut short, "
            f"damaged, or not written by sciml. Delete it and run again. ({type(error).__name__})"
        ) from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise RunError(f"{path} is no checkpoint of a training run: it has no state_dict.")
    return content


def load_config(path: str | Path) -> DictConfig:
    """Read the configuration of a run.

    Raises:
        RunError: no directory, no configuration, or one that cannot be parsed.
    """
    file = Path(path) / "config.yaml"
    if not file.is_file():
        raise RunError(f"{path} is no run directory: it has no config.yaml. Train first (scripts/train.py).")
    try:
        config = OmegaConf.load(file)
    except Exception as error:  # YAML errors come in many types
        raise RunError(f"{file} cannot be parsed: {error}") from error
    if not isinstance(config, DictConfig):
        raise RunError(f"{file} must hold a mapping, not a list.")
    return config


def load_run(path: str | Path) -> nn.Module:
    """Return the trained model of a run directory, in evaluation mode.

    Args:
        path: a run directory, as the scripts print it in their last line.

    Raises:
        RunError: no such run, no or a damaged checkpoint, or a configuration that names foreign code.
    """
    config = load_config(path)
    if "model" not in config:
        raise RunError(f"{path}/config.yaml names no model.")
    checkpoint = load_checkpoint(Path(path) / "checkpoints" / "last.ckpt")
    model = build(config.model, f"{path}/config.yaml: model")
    if not isinstance(model, nn.Module):
        raise RunError(f"{path}/config.yaml: model._target_ is {config.model._target_}, which is no network.")
    weights = {
        k.removeprefix("model."): v for k, v in checkpoint["state_dict"].items() if k.startswith("model.")
    }
    model = model.to(next((v.dtype for v in weights.values() if v.is_floating_point()), torch.float32))
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise RunError(f"The checkpoint in {path} does not fit its config.yaml: {error}") from error
    return model.eval()


def build(config: Mapping[str, Any], where: str, **arguments: Any) -> Any:
    """Call the class or function that ``_target_`` names, with the rest of the mapping as arguments.

    What in a list of arguments has a ``_target_`` itself, as the members of an ensemble, is built first.

    Raises:
        RunError: ``_target_`` lies outside sciml and torch.optim, does not exist, or refuses the arguments.
    """
    content = OmegaConf.to_container(config, resolve=True) if isinstance(config, DictConfig) else dict(config)
    if not isinstance(content, dict) or "_target_" not in content:
        raise RunError(f"{where} needs a _target_.")
    name = str(content.pop("_target_"))
    function = _locate(name, where)
    given = {str(k): v for k, v in content.items()}
    given = {k: _build_list(v, f"{where}.{k}") if isinstance(v, list) else v for k, v in given.items()}
    try:
        return function(**given, **arguments)
    except TypeError as error:
        raise RunError(f"{where}: {name} does not take these arguments: {error}") from error


def _build_list(values: list[Any], where: str) -> list[Any]:
    described = lambda value: isinstance(value, Mapping) and "_target_" in value
    return [build(v, f"{where}[{i}]") if described(v) else v for i, v in enumerate(values)]


def _locate(name: str, where: str) -> Any:
    module, _, attribute = name.rpartition(".")
    found = None
    if any(module == root or module.startswith(root + ".") for root in ALLOWED):
        try:
            found = getattr(importlib.import_module(module), attribute, None)
        except ModuleNotFoundError:
            found = None
        # A module of ours also holds names that it imported from elsewhere: those are not ours to call.
        home = getattr(found, "__module__", "") or ""
        if callable(found) and any(home == root or home.startswith(root + ".") for root in ALLOWED):
            return found
    raise RunError(
        f"{where}: _target_ {name!r} is not a class or function of {' or '.join(ALLOWED)}; "
        "nothing else may be named."
    )
