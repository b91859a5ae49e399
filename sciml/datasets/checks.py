"""What must hold of trajectories: a check returns the clean array or raises ValueError, saying where."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

AXES = "xyz"


def position(array: np.ndarray, source: str) -> Float[np.ndarray, "simulations time particles dim"]:
    """Check the shape; one simulation may come without the first axis."""
    array = _floats("position", array, source)
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or array.shape[-1] not in (2, 3):
        raise ValueError(
            f"{source}: position has shape {array.shape}; expected [simulations, time, particles, dim] "
            "or [time, particles, dim] with dim 2 or 3"
        )
    simulations, times, particles, _ = array.shape
    if simulations == 0 or times == 0:
        raise ValueError(f"{source}: position is empty, shape {array.shape}")
    if particles < 2:
        raise ValueError(
            f"{source}: {particles} particle; forces between particles need at least two "
            "(axis 2 of position counts the particles)"
        )
    return array


def vectors(
    name: str, array: np.ndarray, shape: tuple[int, ...], source: str
) -> Float[np.ndarray, "s t n d"]:
    """Check that a field of vectors has the shape of position."""
    array = _floats(name, array, source)
    if array.ndim == 3:
        array = array[None]
    if array.shape != shape:
        raise ValueError(f"{source}: {name} has shape {array.shape}, position {shape}; they must agree")
    return array


def finite(name: str, array: Float[np.ndarray, "s t n d"], names: Sequence[str], source: str) -> None:
    """Refuse NaN and infinity, naming the first."""
    bad = ~np.isfinite(array)
    if bad.any():
        s, t, n, d = np.argwhere(bad)[0]
        raise ValueError(
            f"{source}: {name} is {array[s, t, n, d]} at simulation {s}, time index {t}, particle "
            f"{names[n]!r}, component {AXES[d]}; {bad.sum()} of {bad.size} values are not finite. "
            "Leave those times out or fill the gaps first"
        )


def time(
    array: np.ndarray, simulations: int, times: int, source: str
) -> Float[np.ndarray, "simulations time"]:
    """Check that times are finite and strictly increasing; one row serves all simulations."""
    array = _floats("time", array, source)
    if array.shape not in ((times,), (1, times), (simulations, times)):
        raise ValueError(
            f"{source}: time has shape {array.shape}, position has {simulations} simulations and {times} "
            f"times; expected ({times},) or ({simulations}, {times})"
        )
    array = np.array(np.broadcast_to(array, (simulations, times)))
    if not np.isfinite(array).all():
        s, t = np.argwhere(~np.isfinite(array))[0]
        raise ValueError(f"{source}: time is {array[s, t]} at simulation {s}, time index {t}")
    if (np.diff(array) <= 0).any():
        s, t = np.argwhere(np.diff(array) <= 0)[0]
        kind = "twice the same" if array[s, t] == array[s, t + 1] else "not sorted"
        raise ValueError(
            f"{source}: time is {kind} at simulation {s}, time index {t + 1}: {array[s, t]} is followed by "
            f"{array[s, t + 1]}; expected strictly increasing times"
        )
    return array


def names(given: Sequence[str], particles: int, source: str) -> tuple[str, ...]:
    """Check that there is one name for each particle, each used once."""
    if len(given) == 0:
        return tuple(f"p{i}" for i in range(particles))
    found = tuple(str(name) for name in given)
    if len(found) != particles:
        raise ValueError(f"{source}: {len(found)} names {found} for {particles} particles")
    twice = [name for name in found if found.count(name) > 1] if len(set(found)) < particles else []
    if twice:
        raise ValueError(f"{source}: the name {twice[0]!r} is given to {twice.count(twice[0])} particles")
    return found


def per_particle(
    name: str, values: np.ndarray, simulations: int, names: Sequence[str], source: str
) -> np.ndarray:
    """Check a property: numbers become float64 [simulations, particles], strings stay labels."""
    array = np.asarray(values)
    array = array.astype(str) if array.dtype.kind in "US" else _floats(name, array, source)
    if array.shape not in ((len(names),), (1, len(names)), (simulations, len(names))):
        raise ValueError(
            f"{source}: {name} has shape {array.shape}, neither a known field nor a property of the "
            f"particles, ({len(names)},) or ({simulations}, {len(names)}): reshape it or leave it out"
        )
    array = np.array(np.broadcast_to(array, (simulations, len(names))))
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        s, n = np.argwhere(~np.isfinite(array))[0]
        raise ValueError(f"{source}: {name} is {array[s, n]} at simulation {s}, particle {names[n]!r}")
    return array


def units(given: Mapping[str, str], known: Collection[str], source: str) -> dict[str, str]:
    """Check that every unit is of a field, and derive those of velocity and acceleration."""
    for name, unit in given.items():
        if name not in known or not isinstance(unit, str):
            raise ValueError(
                f"{source}: unit {unit!r} of {name!r}; the fields are {', '.join(sorted(known))}"
            )
    units = {"position": "", "time": "", **given}
    derived = f"{units['position']}/{units['time']}" if units["position"] and units["time"] else ""
    units.setdefault("velocity", derived)
    units.setdefault("acceleration", derived and derived + "**2")
    return units


def box(edges: np.ndarray | None, dim: int, source: str) -> Float[np.ndarray, dim] | None:
    """Check the edges of a periodic box; a single number is a square or cubic one."""
    if edges is None:
        return None
    array = _floats("box", edges, source)
    if array.shape not in ((), (1,), (dim,)):
        raise ValueError(
            f"{source}: box has shape {array.shape}; expected {dim} edge lengths of an orthorhombic box"
        )
    if not (array > 0).all():
        raise ValueError(f"{source}: box edges are {array}; expected positive lengths (inf where open)")
    return np.array(np.broadcast_to(array, (dim,)))


def apart(
    position: Float[np.ndarray, "s t n d"],
    box: Float[np.ndarray, d] | None,
    time: Float[np.ndarray, "s t"],
    names: Sequence[str],
    source: str,
) -> None:
    """Refuse two particles at one place at one time (in a periodic box: up to its images)."""
    for s, frames in enumerate(position):
        places = frames if box is None else _in_box(frames, box)
        for t in np.flatnonzero(_repeated(places[..., 0])):  # the same place has the same x: cheap to see
            _, first, counts = np.unique(places[t], axis=0, return_index=True, return_counts=True)
            if (counts > 1).any():
                i, j = np.flatnonzero((places[t] == places[t, first[counts > 1][0]]).all(axis=1))[:2]
                raise ValueError(
                    f"{source}: particles {names[i]!r} and {names[j]!r} are at the same place "
                    f"{frames[t, i].tolist()} at simulation {s}, time index {t} (time {time[s, t]:g}); "
                    "the force between them has no direction"
                )


def _in_box(frames: Float[np.ndarray, "t n d"], box: Float[np.ndarray, d]) -> Float[np.ndarray, "t n d"]:
    """Positions as fractions of the periodic edges, rounded so that images coincide."""
    periodic = np.isfinite(box)
    fractions = np.round(np.mod(frames / np.where(periodic, box, 1.0), 1.0), 12) % 1.0
    return np.where(periodic, fractions, frames)


def enough_times(times: int, fewest: int, source: str) -> None:
    """Refuse trajectories from which accelerations can neither be read nor estimated."""
    if times < fewest:
        raise ValueError(
            f"{source}: {times} time points and no accelerations; estimating them takes at least {fewest}"
        )


def _repeated(values: Float[np.ndarray, "frames particles"]) -> Bool[np.ndarray, frames]:
    return (np.diff(np.sort(values, axis=-1), axis=-1) == 0).any(axis=-1)


def _floats(name: str, array: np.ndarray, source: str) -> np.ndarray:
    try:
        found = np.asarray(array)
    except ValueError as error:  # nested lists of different lengths
        raise ValueError(f"{source}: {name} is not an array ({error})") from error
    if found.dtype.kind not in "fiub":
        raise ValueError(f"{source}: {name} has dtype {found.dtype}; expected an array of real numbers")
    return found.astype(np.float64, copy=False)
