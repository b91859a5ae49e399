"""Fields on a regular grid at equal steps of time: the data from which equations are found."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

AXES = "xyz"
MOST_CHANNELS = 8
FEWEST_TIMES = 28
FEWEST_POINTS = 12


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


# -------------------------------------------------------------------- checks


def _floats(values: Any, source: str) -> Float[np.ndarray, "time *shape channels"]:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise ValueError(
            f"{source}: u has dtype {array.dtype}; expected real numbers (real and imaginary parts as two "
            "channels)"
        )
    return array.astype(np.float64, copy=False)


def _check_shape(shape: tuple[int, ...], source: str) -> None:
    if len(shape) not in (3, 4, 5):
        raise ValueError(f"{source}: u has shape {shape}; expected [time, x(, y(, z)), channel]")
    times, *grid, channels = shape
    if channels > MOST_CHANNELS or channels < 1:
        raise ValueError(
            f"{source}: the last axis of u, shape {shape}, counts channels, and {channels} of them were "
            f"found (at most {MOST_CHANNELS}); a single field needs u[..., None], or dx for every axis"
        )
    if times < FEWEST_TIMES:
        raise ValueError(
            f"{source}: {times} snapshots; at least {FEWEST_TIMES} are needed to fit an equation and to "
            "test it on later ones. Record more often or longer (axis 0 of u is time)"
        )
    for axis, n in enumerate(grid):
        if n < FEWEST_POINTS:
            raise ValueError(
                f"{source}: {n} grid points along axis {axis + 1} ({AXES[axis]}) of u, shape {shape}; a "
                f"stencil and test functions need at least {FEWEST_POINTS}: take a finer grid, or average "
                "this axis away"
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
                f"{source}: {name} is {low:g} everywhere and always; a field that does not change tells no "
                "equation. Leave this channel out"
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
                f"{source}: a channel is named {name!r}; expected letters and digits, and not t, x, y, z, E "
                "or pi, so that it can stand in an equation"
            )
    return names


def _units(given: Mapping[str, str], channels: Sequence[str], source: str) -> dict[str, str]:
    known = ("x", "time", *channels)
    for name, unit in given.items():
        if name not in known or not isinstance(unit, str):
            raise ValueError(f"{source}: unit {unit!r} of {name!r}; units are for {', '.join(known)}")
    return {name: given.get(name, "") for name in known}
