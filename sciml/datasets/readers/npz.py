"""Trajectories in NumPy's .npz: named arrays, no pickles."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sciml.datasets.trajectories import Trajectories

SYNONYMS = {
    "positions": "position",
    "pos": "position",
    "velocities": "velocity",
    "vel": "velocity",
    "accelerations": "acceleration",
    "acc": "acceleration",
    "times": "time",
    "t": "time",
}
FIELDS = (
    "position",
    "time",
    "velocity",
    "acceleration",
    "names",
    "units",
    "box",
    "acceleration_error",
    "source",
)
REFERENCE = "reference."  # prefix of true values of hidden properties


def read_npz(path: str | Path, dt: float | None = None, ignore: Collection[str] = ()) -> Trajectories:
    """Read ``position`` [simulations, time, particles, dim] or [time, particles, dim], and what is beside it.

    Known arrays are ``velocity``, ``acceleration`` (shaped as position), ``time`` ([time] or
    [simulations, time]) or a single number ``dt``, ``names``, ``units`` (a JSON object as a string),
    ``box``, ``acceleration_error`` and ``reference.<property>`` (true values, for reports only).
    Every other array is a given property per particle.

    Args:
        path: the file.
        dt: time step, if the file has neither ``time`` nor ``dt``.
        ignore: arrays to leave out.

    Raises:
        ValueError: if the file is no .npz, needs pickle, lacks an array or holds what cannot be.
    """
    arrays = _arrays(Path(path), ignore)
    if "position" not in arrays:
        raise ValueError(
            f"{path}: no array 'position'; found {', '.join(sorted(arrays)) or 'nothing'}. "
            "Save it with np.savez(path, position=..., time=...)"
        )
    fields: dict[str, Any] = {name: arrays.pop(name) for name in FIELDS if name in arrays}
    step = arrays.pop("dt", dt)
    if "time" not in fields:
        if step is None:
            raise ValueError(f"{path}: neither 'time' nor 'dt'; add one, or give dt=... when loading")
        fields["time"] = _steps(step, fields["position"], path)
    hidden = [name for name in arrays if name.startswith(REFERENCE)]
    fields["reference"] = {name.removeprefix(REFERENCE): arrays.pop(name) for name in hidden}
    fields["units"] = _units(fields.get("units"), path)
    fields["names"] = tuple(np.atleast_1d(fields.get("names", ())).tolist())
    return Trajectories(**fields | {"properties": arrays, "source": str(path)})


def write_npz(path: str | Path, trajectories: Trajectories) -> None:
    """Write what `read_npz` reads back, whole or not at all."""
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise ValueError(f"{path}: trajectories are written as .npz, by which they are read back")
    arrays = {name: getattr(trajectories, name) for name in FIELDS if name not in ("names", "units")}
    arrays |= {"names": np.array(trajectories.names), "units": np.array(json.dumps(dict(trajectories.units)))}
    arrays |= dict(trajectories.properties)
    arrays |= {REFERENCE + name: values for name, values in trajectories.reference.items()}
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, **{name: array for name, array in arrays.items() if array is not None})
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _arrays(path: Path, ignore: Collection[str]) -> dict[str, np.ndarray]:
    """Read the arrays, by their first names."""
    arrays: dict[str, np.ndarray] = {}
    for name, array in read_arrays(path, ignore).items():
        known = SYNONYMS.get(name, name)
        if known in arrays:
            raise ValueError(f"{path}: two arrays stand for {known!r}; leave one out with ignore=[...]")
        arrays[known] = array
    return arrays


def read_arrays(path: Path, ignore: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Read all arrays of a file by their names, without pickles.

    Raises:
        ValueError: it is no .npz, damaged, or holds Python objects.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: not a whole .npz file; write one with np.savez")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: _array(file, name, path) for name in file.files if name not in ignore}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise ValueError(f"{path}: a damaged .npz file ({error})") from error


def _array(file: Mapping[str, np.ndarray], name: str, path: Path) -> np.ndarray:
    try:
        return file[name]
    except ValueError as error:
        if "pickle" in str(error).lower():
            raise ValueError(
                f"{path}: array {name!r} holds Python objects, which only pickle could read, and pickle runs "
                "code from the file. Save plain numbers or strings (units as json.dumps(units))"
            ) from error
        raise ValueError(f"{path}: array {name!r} cannot be read ({error})") from error


def _units(text: np.ndarray | None, path: str | Path) -> dict[str, str]:
    if text is None:
        return {}
    try:
        units = json.loads(str(text[()]))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: units are {str(text)!r}; expected JSON, field to unit") from error
    if not isinstance(units, dict) or not all(isinstance(unit, str) for unit in units.values()):
        raise ValueError(
            f"{path}: units are {units!r}; expected an object of field to unit, such as " + '{"time": "s"}'
        )
    return units


def _steps(dt: float | np.ndarray, position: np.ndarray, path: str | Path) -> np.ndarray:
    if np.size(dt) != 1 or np.asarray(dt).dtype.kind not in "fiu" or not float(np.squeeze(dt)) > 0:
        raise ValueError(f"{path}: dt is {np.asarray(dt).tolist()}; expected one positive number")
    return np.arange(position.shape[-3] if position.ndim >= 3 else 0) * float(np.squeeze(dt))
