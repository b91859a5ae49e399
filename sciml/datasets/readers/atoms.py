"""Trajectories of atoms: extended XYZ, ASE's own and whatever else ASE reads."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from sciml.datasets.trajectories import Trajectories

UNITS = {"position": "angstrom", "time": "fs", "mass": "dalton", "charge": "elementary_charge"}
PROPERTIES = {"mass": "get_masses", "charge": "get_initial_charges"}


def read_ase(
    path: str | Path,
    dt: float | None = None,
    properties: Collection[str] = ("species",),
    file_format: str | None = None,
) -> Trajectories:
    """Read one simulation with `ase.io.read`: positions in Å, times in fs.

    Momenta, where stored, give velocities in Å/fs. Periodic cells must be orthorhombic and constant.

    Args:
        path: the file.
        dt: time between frames in fs; without it every frame must have ``info["time"]``.
        properties: which of "species" (labels), "mass" and "charge" a model may see.
        file_format: ASE's name of the format, if the suffix does not tell it.

    Raises:
        ValueError: if frames disagree in atoms or cell, a cell is skewed, or there are no times.
    """
    import ase.io
    import ase.units

    unknown = set(properties) - {"species", *PROPERTIES}
    if unknown:
        raise ValueError(
            f"unknown property {min(unknown)!r}; expected some of species, {', '.join(PROPERTIES)}"
        )
    try:
        frames: Any = ase.io.read(path, index=":", format=file_format)
    except Exception as error:  # each of ASE's many formats fails in its own way
        raise ValueError(f"{path}: ASE cannot read it: {type(error).__name__}: {error}") from error
    if not frames:
        raise ValueError(f"{path}: no frames")
    symbols = frames[0].get_chemical_symbols()
    for i, frame in enumerate(frames):
        if frame.get_chemical_symbols() != symbols:
            raise ValueError(f"{path}: frame {i} has other atoms, or in another order, than frame 0")
    momenta = all(frame.has("momenta") for frame in frames)
    given = {name: getattr(frames[0], PROPERTIES[name])() for name in properties if name in PROPERTIES}
    if "species" in properties:
        given["species"] = np.array(symbols)
    return Trajectories(
        position=np.stack([frame.positions for frame in frames]),
        time=_times(frames, dt, path),
        velocity=np.stack([frame.get_velocities() for frame in frames]) * ase.units.fs if momenta else None,
        properties=given,
        names=tuple(f"{symbol}{i}" for i, symbol in enumerate(symbols)),
        units={name: unit for name, unit in UNITS.items() if name in ("position", "time", *given)},
        box=_box(frames, path),
        source=str(path),
    )


def _times(frames, dt: float | None, path: str | Path) -> np.ndarray:
    if dt is not None:
        if not dt > 0:
            raise ValueError(f"{path}: dt is {dt}; expected a positive time in fs")
        return np.arange(len(frames)) * float(dt)
    times = [frame.info.get("time", frame.info.get("Time")) for frame in frames]
    if None in times:
        raise ValueError(f"{path}: frame {times.index(None)} has no info['time']; give dt=... in fs")
    return np.array(times, dtype=float)


def _box(frames, path: str | Path) -> np.ndarray | None:
    first = frames[0]
    if not first.pbc.any():
        return None
    for i, frame in enumerate(frames):
        if (frame.pbc != first.pbc).any() or not np.allclose(frame.cell, first.cell, rtol=1e-9):
            raise ValueError(f"{path}: the cell of frame {i} is not that of frame 0; it must be constant")
    periodic = np.array(first.cell)[first.pbc][:, first.pbc]
    skew = periodic - np.diag(np.diag(periodic))
    across = np.array(first.cell)[first.pbc][:, ~first.pbc]
    if np.abs(skew).max() > 1e-9 * np.abs(periodic).max() or np.abs(across).max(initial=0) > 1e-9:
        raise ValueError(
            f"{path}: the cell {np.array(first.cell).tolist()} is skewed; expected an orthorhombic one"
        )
    return np.where(first.pbc, np.diag(first.cell), np.inf)
