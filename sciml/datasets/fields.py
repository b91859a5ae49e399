"""Fields on a regular grid at equal steps of time: the data from which equations are found."""

from __future__ import annotations

import copy
import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from sciml.datasets.readers.npz import read_arrays

AXES = "xyz"
MOST_CHANNELS = 8
FEWEST_TIMES = 28
FEWEST_POINTS = 12
EQUAL = 1e-3  # relative difference at which steps are no longer called equal
SYNONYMS = {"t": "time", "times": "time", "names": "channels", "boundary": "periodic", "unit": "units"}
KEYS = ("u", "dx", "dt", "time", "channels", "units", "periodic", "parameters", "source")
COORDINATES = ("x", "y", "z")


@dataclass(frozen=True, eq=False)
class FieldSeries:
    """Snapshots of one or more fields on a regular grid.

    Attributes:
        values: [time, x(, y(, z)), channel]; what is not float64 is converted.
        dx: distance of grid points along each axis.
        dt: time between snapshots.
        channels: names of the fields, by which they appear in equations.
        periodic: for each axis whether it closes on itself; None where that is to be read from the data.
        units: of ``x`` (every axis), ``time`` and the channels, in pint's notation; "" if unknown.
        source: where the data come from.

    Raises:
        ValueError: naming the source, what was found, what was expected and what to do.
    """

    values: Float[np.ndarray, "time *shape channels"]
    dx: tuple[float, ...]
    dt: float
    channels: tuple[str, ...] = ()
    periodic: tuple[bool, ...] | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    source: str = "field"

    def __post_init__(self) -> None:
        values = _floats(self.values, self.source)
        dim = values.ndim - 2
        _check_shape(values.shape, self.source)
        _check_finite(values, self.source)
        set_ = lambda name, value: object.__setattr__(self, name, value)
        set_("values", values)
        set_("dx", tuple(_steps("dx", self.dx, dim, self.source)))
        set_("dt", _steps("dt", self.dt, 1, self.source)[0])
        set_("channels", _names(self.channels, values.shape[-1], self.source))
        _check_changes(values, self.channels, self.source)
        set_("units", _units(self.units, self.channels, self.source))
        if self.periodic is not None:
            closed = np.atleast_1d(np.asarray(self.periodic))
            if closed.size not in (1, dim) or closed.dtype.kind not in "bi":
                raise ValueError(
                    f"{self.source}: periodic is {self.periodic!r}; expected true or false for each of the "
                    f"{dim} spatial axes"
                )
            set_("periodic", tuple(bool(c) for c in np.broadcast_to(closed.ravel(), (dim,))))

    @property
    def shape(self) -> tuple[int, ...]:
        """Grid points along each spatial axis."""
        return self.values.shape[1:-1]

    @property
    def dim(self) -> int:
        """Number of spatial axes."""
        return len(self.shape)

    @property
    def times(self) -> int:
        """Number of snapshots."""
        return len(self.values)

    def between(self, first: int, last: int | None = None) -> FieldSeries:
        """Return the snapshots first, ..., last - 1."""
        part = copy.copy(self)  # what held of all snapshots holds of some; but some may be few
        object.__setattr__(part, "values", self.values[first:last])
        return part

    def __repr__(self) -> str:
        grid = " × ".join(map(str, self.shape))
        names = ", ".join(self.channels)
        span = f"{self.dt * (self.times - 1):g} {self.units['time']}".rstrip()
        return f"FieldSeries({self.times} snapshots of {names} on {grid} points over {span}; {self.source})"


def load_field(path: str | Path, **given: Any) -> FieldSeries:
    """Read a field from .npz.

    Args:
        path: holds ``u`` [time, x(, y(, z)), channel] (or one array of any name; with one channel, its axis
            may be missing where ``dx`` says how many axes there are), ``dx`` (one number, or one for each
            axis) or coordinates ``x``, ``y``, ``z``, ``dt`` or ``time``, and optionally ``channels``
            (names), ``periodic`` (for each axis), ``units`` (a JSON object as a string).
        given: ``dx``, ``dt``, ``channels``, ``periodic``, ``units``, in place of what the file says.

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


# ---------------------------------------------------------------------- file


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
        f"{path}: no 'dx'{_nearest('dx', arrays)}; add the distance of grid points, or give data.options.dx"
    )


def _dt(arrays: dict[str, np.ndarray], times: int, path: Path) -> float:
    if "dt" in arrays:
        return arrays["dt"].item() if arrays["dt"].size == 1 else arrays["dt"].tolist()
    if "time" in arrays:
        return _spacing("time", arrays["time"], times, path)
    raise ValueError(
        f"{path}: neither 'dt' nor 'time'{_nearest('dt', arrays)}; add the time between snapshots, or give data.options.dt"
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
            f"{path}: {name} is not sorted: {array[at]} at index {at} is followed by {array[at + 1]}; sort the "
            "snapshots, and leave out those that are there twice"
        )
    apart = np.abs(steps - np.median(steps))
    if (apart > EQUAL * np.median(steps)).any():
        at = int(np.argmax(apart))
        raise ValueError(
            f"{path}: {name} has unequal steps: {steps[at]:g} after index {at}, {np.median(steps):g} elsewhere; "
            "interpolate to equal steps first"
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


# -------------------------------------------------------------------- checks


def _floats(values: Any, source: str) -> Float[np.ndarray, "time *shape channels"]:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise ValueError(
            f"{source}: u has dtype {array.dtype}; expected real numbers (channels for real and imaginary parts)"
        )
    return array.astype(np.float64, copy=False)


def _check_shape(shape: tuple[int, ...], source: str) -> None:
    if len(shape) not in (3, 4, 5):
        raise ValueError(f"{source}: u has shape {shape}; expected [time, x(, y(, z)), channel]")
    times, *grid, channels = shape
    if channels > MOST_CHANNELS or channels < 1:
        raise ValueError(
            f"{source}: the last axis of u, shape {shape}, counts channels, and {channels} of them were found "
            f"(at most {MOST_CHANNELS}); a single field needs u[..., None], or dx for every spatial axis"
        )
    if times < FEWEST_TIMES:
        raise ValueError(
            f"{source}: {times} snapshots; at least {FEWEST_TIMES} are needed to fit an equation and to test it on "
            "later ones. Record more often or longer (axis 0 of u is time)"
        )
    for axis, n in enumerate(grid):
        if n < FEWEST_POINTS:
            raise ValueError(
                f"{source}: {n} grid points along axis {axis + 1} ({AXES[axis]}) of u, shape {shape}; a stencil "
                f"and test functions need at least {FEWEST_POINTS}: take a finer grid, or average this axis away"
            )


def _check_finite(values: np.ndarray, source: str) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{source}: u{list(at)} (time, {', '.join(AXES[: values.ndim - 2])}, channel) is {values[at]}; "
            f"{bad.sum()} of {bad.size} values are not finite. Crop or fill them first"
        )


def _check_changes(values: np.ndarray, names: Sequence[str], source: str) -> None:
    for name, low, high in zip(
        names, values.min(axis=tuple(range(values.ndim - 1))), values.max(axis=tuple(range(values.ndim - 1)))
    ):
        if high - low <= 1e-13 * max(abs(high), abs(low)):
            raise ValueError(
                f"{source}: {name} is {low:g} everywhere and always; a field that does not change tells no equation. "
                "Leave this channel out"
            )


def _steps(name: str, value: Any, dim: int, source: str) -> list[float]:
    array = np.atleast_1d(np.asarray(value))
    if (
        array.dtype.kind not in "fiu"
        or array.size not in (1, dim)
        or not (np.isfinite(array).all() and (array > 0).all())
    ):
        wanted = "one positive number" + (f", or {dim}, one for each axis" if dim > 1 else "")
        raise ValueError(f"{source}: {name} is {np.asarray(value).tolist()!r}; expected {wanted}")
    return [float(v) for v in np.broadcast_to(array.ravel(), (dim,))]


def _names(given: Sequence[str], channels: int, source: str) -> tuple[str, ...]:
    given = (given,) if isinstance(given, str) else tuple(given)
    names = given or ("uvwpqrsz"[:channels] if channels > 1 else "u")
    names = tuple(str(n) for n in names)
    if len(names) != channels or len(set(names)) != channels:
        raise ValueError(f"{source}: channels are named {names}; expected {channels} different names")
    for name in names:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", name) or name in ("t", "x", "y", "z", "E", "pi"):
            raise ValueError(
                f"{source}: a channel is named {name!r}; expected letters and digits, and not t, x, y, z, E or pi, so "
                "that it can stand in an equation"
            )
    return names


def _units(given: Mapping[str, str], channels: Sequence[str], source: str) -> dict[str, str]:
    known = ("x", "time", *channels)
    for name, unit in given.items():
        if name not in known or not isinstance(unit, str):
            raise ValueError(f"{source}: unit {unit!r} of {name!r}; units are for {', '.join(known)}")
    return {name: given.get(name, "") for name in known}
