"""Users' own trajectories: one reader for each kind of file, chosen by its suffix."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

from sciml.datasets.readers.npz import read_npz, write_npz
from sciml.datasets.trajectories import Trajectories

READERS = {
    ".npz": "sciml.datasets.readers.npz:read_npz",
    ".csv": "sciml.datasets.readers.table:read_csv",
    ".tsv": "sciml.datasets.readers.table:read_csv",
    ".extxyz": "sciml.datasets.readers.atoms:read_ase",
    ".xyz": "sciml.datasets.readers.atoms:read_ase",
    ".traj": "sciml.datasets.readers.atoms:read_ase",
}

__all__ = ["READERS", "load_trajectories", "read_npz", "write_npz"]


def load_trajectories(path: str | Path, **options) -> Trajectories:
    """Read trajectories from a file; its suffix chooses the reader.

    Args:
        path: ``.npz`` (`read_npz`), ``.csv`` or ``.tsv`` (`table.read_csv`), ``.extxyz``, ``.xyz``
            or ``.traj`` (`atoms.read_ase`).
        **options: passed on to the reader.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the suffix is unknown or the content does not hold (see `Trajectories`).
        TypeError: if the reader has no such option.
    """
    path = Path(path)
    if path.suffix.lower() not in READERS:
        raise ValueError(f"{path}: no reader for suffix {path.suffix!r}; known are {', '.join(READERS)}")
    if not path.is_file():
        kind = "a folder, not a file" if path.is_dir() else "not there"
        raise FileNotFoundError(f"{path} is {kind} (working directory {Path.cwd()})")
    module, name = READERS[path.suffix.lower()].split(":")
    reader = getattr(importlib.import_module(module), name)
    known = list(inspect.signature(reader).parameters)[1:]
    for option in options:
        if option not in known:
            raise TypeError(f"{name} has no option {option!r}; it takes {', '.join(known)}")
    return reader(path, **options)
