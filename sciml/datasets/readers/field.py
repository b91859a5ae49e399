"""Fields in NumPy's .npz: snapshots of a grid, its steps, and what is beside them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sciml.datasets.fields import AXES, FieldSeries
from sciml.datasets.readers.npz import read_arrays

EQUAL = 1e-3  # relative difference at which steps are no longer called equal
SYNONYMS = {"t": "time", "times": "time", "names": "channels", "boundary": "periodic", "unit": "units"}
KEYS = ("u", "dx", "dt", "time", "channels", "units", "periodic", "parameters", "source")
COORDINATES = ("x", "y", "z")


def load_field(
    path: str | Path,
    *,
    dx: Any = None,
    dt: float | None = None,
    channels: Any = None,
    periodic: Any = None,
    units: Mapping[str, str] | None = None,
) -> FieldSeries:
    """Read a field from .npz.

    Args:
        path: holds ``u`` [time, x(, y(, z)), channel] (or one array of any name; with one channel, its axis
            may be missing where ``dx`` says how many axes there are), ``dx`` (one number, or one for each
            axis) or coordinates ``x``, ``y``, ``z``, ``dt`` or ``time``, and optionally ``channels``
            (names), ``periodic`` (for each axis), ``units`` (a JSON object as a string).
        dx, dt, channels, periodic, units: in place of what the file says.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file does not hold what it should; see `FieldSeries`.
    """
    path = Path(path)
    if not path.is_file():
        kind = "a folder, not a file" if path.is_dir() else "not there"
        raise FileNotFoundError(f"{path} is {kind} (working directory {Path.cwd()})")
    if path.suffix.lower() != ".npz":
        raise ValueError(
            f"{path}: fields are read from .npz; write one with np.savez(path, u=u, dx=dx, dt=dt)"
        )
    arrays = {SYNONYMS.get(name, name): value for name, value in read_arrays(path).items()}
    given = {"dx": dx, "dt": dt, "channels": channels, "periodic": periodic, "units": units}
    arrays |= {name: np.asarray(value) for name, value in given.items() if value is not None}
    values = _main_array(arrays, path)
    dim = _dimensions(values, arrays, path)
    if values.ndim == dim + 1:
        values = values[..., None]
    return FieldSeries(
        values=values,
        dx=_dx(arrays, values.shape[1 : dim + 1], path),
        dt=_dt(arrays, len(values), path),
        channels=tuple(str(n) for n in np.atleast_1d(arrays.get("channels", ())).tolist()),
        periodic=None if "periodic" not in arrays else tuple(np.atleast_1d(arrays["periodic"]).tolist()),
        units=_json(arrays.get("units"), path),
        source=str(path),
    )


def write_field(path: str | Path, data: FieldSeries, parameters: Mapping[str, float] | None = None) -> None:
    """Write what `load_field` reads back, whole or not at all.

    Args:
        path: .npz.
        data: the fields.
        parameters: of the equation behind them, for whoever looks; nothing here reads them.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise ValueError(f"{path}: fields are written as .npz, by which they are read back")
    arrays: dict[str, Any] = {"u": data.values, "dx": np.array(data.dx), "dt": data.dt, "source": data.source}
    arrays |= {"channels": np.array(data.channels), "units": json.dumps(dict(data.units))}
    if data.periodic is not None:
        arrays["periodic"] = np.array(data.periodic)
    if parameters:
        arrays["parameters"] = json.dumps(dict(parameters))
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, **arrays)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


# ------------------------------------------------------------------- details


def _main_array(arrays: dict[str, np.ndarray], path: Path) -> np.ndarray:
    if "u" in arrays:
        return arrays["u"]
    large = [name for name, a in arrays.items() if a.ndim >= 2 and a.dtype.kind in "fiu"]
    unknown = [name for name in large if name not in KEYS and name not in COORDINATES]
    if len(unknown) == 1:
        return arrays[unknown[0]]
    found = ", ".join(f"{n} {a.shape}" for n, a in arrays.items()) or "nothing"
    near = difflib.get_close_matches("u", unknown, n=1, cutoff=0.0) if len(unknown) > 1 else []
    advice = (
        f"Name the fields 'u' (is it {near[0]!r}?)"
        if near
        else "Save them with np.savez(path, u=u, dx=dx, dt=dt)"
    )
    raise ValueError(f"{path}: no array 'u' [time, x(, y), channel]; found {found}. {advice}")


def _dimensions(values: np.ndarray, arrays: dict[str, np.ndarray], path: Path) -> int:
    """Number of spatial axes: by dx, coordinates or names where they tell, else the last axis is channels."""
    coordinates = [name for name in COORDINATES if name in arrays]
    if "dx" in arrays and arrays["dx"].size > 1:
        dim = arrays["dx"].size
    elif coordinates:
        dim = len(coordinates)
    else:
        dim = values.ndim - 1 if values.ndim == 2 else values.ndim - 2
    if values.ndim not in (dim + 1, dim + 2) or not 1 <= dim <= 3:
        raise ValueError(
            f"{path}: u has shape {values.shape}, and {dim} steps or coordinates are given; expected "
            f"[time, {', '.join(AXES[: max(dim, 1)])}, channel]"
        )
    return dim


def _dx(arrays: dict[str, np.ndarray], shape: tuple[int, ...], path: Path) -> tuple[float, ...]:
    if "dx" in arrays:
        return tuple(np.atleast_1d(arrays["dx"]).ravel().tolist())
    if all(name in arrays for name in COORDINATES[: len(shape)]):
        return tuple(_spacing(name, arrays[name], n, path) for name, n in zip(COORDINATES, shape))
    raise ValueError(
        f"{path}: no 'dx'{_nearest('dx', arrays)}; add the distance of grid points, or give "
        "'data.options={dx: 0.1}'"
    )


def _dt(arrays: dict[str, np.ndarray], times: int, path: Path) -> float:
    if "dt" in arrays:
        return arrays["dt"].item() if arrays["dt"].size == 1 else arrays["dt"].tolist()
    if "time" in arrays:
        return _spacing("time", arrays["time"], times, path)
    raise ValueError(
        f"{path}: neither 'dt' nor 'time'{_nearest('dt', arrays)}; add the time between snapshots, or give "
        "'data.options={dt: 0.1}'"
    )


def _nearest(wanted: str, arrays: Mapping[str, np.ndarray]) -> str:
    scalars = [n for n, a in arrays.items() if n not in KEYS and a.size <= 3]
    near = difflib.get_close_matches(wanted, scalars, n=1, cutoff=0.4)
    return f" (is it {near[0]!r}?)" if near else f" among {', '.join(arrays)}"


def _spacing(name: str, array: np.ndarray, number: int, path: Path) -> float:
    """Return the step of coordinates or times that must be equally spaced."""
    if array.dtype.kind not in "fiu" or array.shape != (number,):
        raise ValueError(
            f"{path}: {name} has shape {array.shape} and type {array.dtype}; expected {number} numbers"
        )
    steps = np.diff(array.astype(np.float64))
    if not np.isfinite(array).all():
        at = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(f"{path}: {name}[{at}] is {array[at]}; expected finite numbers")
    if (steps <= 0).any():
        at = int(np.flatnonzero(steps <= 0)[0])
        raise ValueError(
            f"{path}: {name} is not sorted: {array[at]} at index {at} is followed by {array[at + 1]}; sort "
            "the snapshots, and leave out those that are there twice"
        )
    apart = np.abs(steps - np.median(steps))
    if (apart > EQUAL * np.median(steps)).any():
        at = int(np.argmax(apart))
        raise ValueError(
            f"{path}: {name} has unequal steps: {steps[at]:g} after index {at}, {np.median(steps):g} "
            "elsewhere; interpolate to equal steps first"
        )
    return float(steps.mean())


def _json(text: np.ndarray | None, path: Path) -> dict[str, str]:
    if text is None:
        return {}
    if text.dtype == object:
        return dict(text.item())
    try:
        return dict(json.loads(str(text[()])))
    except (json.JSONDecodeError, TypeError, ValueError):
        raise ValueError(
            f"{path}: units are {str(text)!r}; expected JSON as a string, such as "
            + '{"x": "m", "time": "s"}'
        ) from None
