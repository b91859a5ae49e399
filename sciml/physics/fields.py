"""Simulated fields on periodic grids: partial differential equations to try things on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

import numpy as np
from jaxtyping import Float

from sciml.physics.spectral import PeriodicGrid, evolve

Start = Callable[[np.random.Generator, PeriodicGrid], Float[np.ndarray, "channels *shape"]]
MODES = 4  # random starts have waves of up to so many periods in the box


@dataclass(frozen=True)
class FieldSystem:
    """An equation ``u_t = L u + N(u)``.

    Attributes:
        channels: names of the fields, in each number of dimensions that there is.
        linear: (to, from, grid, parameters) of every channel pair to a symbol, those that are not zero.
        nonlinear: (fields, grid, parameters) to N; None where there is none.
        start: draws an initial state.
        parameters: by name, with their defaults.
        points, length, times, dt: defaults of the grid along one axis and of the saved times.
    """

    channels: Mapping[int, tuple[str, ...]]
    linear: Callable[[PeriodicGrid, Mapping[str, float]], Mapping[tuple[int, int], np.ndarray]]
    start: Start
    parameters: Mapping[str, float]
    nonlinear: Callable[[np.ndarray, PeriodicGrid, Mapping[str, float]], np.ndarray] | None = None
    points: Mapping[int, int] = field(default_factory=lambda: {1: 128, 2: 64})
    length: float = 2 * np.pi
    times: int = 101
    dt: float = 0.02


@dataclass(frozen=True, eq=False)
class SimulatedField:
    """Fields on a periodic grid at equal steps of time.

    Attributes:
        values: saved fields, channels last.
        dx, dt: steps in space (for each axis) and time.
        channels: names of the fields.
        parameters: of the equation.
    """

    values: Float[np.ndarray, "time *shape channels"]
    dx: tuple[float, ...]
    dt: float
    channels: tuple[str, ...]
    parameters: dict[str, float]


def simulate_field(
    system: str = "heat",
    *,
    dim: int = 1,
    points: int | Sequence[int] | None = None,
    length: float | Sequence[float] | None = None,
    times: int | None = None,
    dt: float | None = None,
    parameters: Mapping[str, float] | None = None,
    start: Float[np.ndarray, "channels *shape"] | None = None,
    seed: int = 0,
    tolerance: float = 1e-7,
) -> SimulatedField:
    """Solve one of `FIELDS` from a random start.

    Args:
        system: name.
        dim: number of spatial axes.
        points, length: of the grid along each axis, or one for all.
        times, dt: saved times and their distance.
        parameters: of the equation, in place of the defaults.
        start: initial fields in place of random ones.
        seed: of the start.
        tolerance: relative accuracy of the steps in time.

    Raises:
        ValueError: an unknown system, dimension or parameter, or impossible numbers.
    """
    if system not in FIELDS:
        near = get_close_matches(system, FIELDS, n=1) or list(FIELDS)
        raise ValueError(f"unknown field system {system!r}; did you mean {' or '.join(near)}?")
    found = FIELDS[system]
    if dim not in found.channels:
        raise ValueError(
            f"{system} is there in {' and '.join(map(str, found.channels))} dimensions, not {dim}"
        )
    unknown = set(parameters or {}) - set(found.parameters)
    if unknown:
        raise ValueError(
            f"{system} has no {min(unknown)!r}; its parameters are {', '.join(found.parameters)}"
        )
    values = dict(found.parameters) | dict(parameters or {})
    times, dt = times or found.times, found.dt if dt is None else dt
    shape, sizes = _each(points or found.points[dim], dim), _each(length or found.length, dim)
    if min(*shape, times) < 2 or min(*sizes, dt) <= 0:
        raise ValueError(
            f"points={shape}, length={sizes}, times={times}, dt={dt}: expected at least 2, positive"
        )
    grid = PeriodicGrid(tuple(map(int, shape)), tuple(s / n for s, n in zip(sizes, shape)))
    channels = found.channels[dim]
    if start is None:
        start = found.start(np.random.default_rng(seed), grid)
    if start.shape != (len(channels), *grid.shape):
        raise ValueError(f"start has shape {start.shape}; expected {(len(channels), *grid.shape)}")
    modes = np.broadcast_shapes(*(k.shape for k in grid.k))
    linear = np.zeros((len(channels), len(channels), *modes), dtype=complex)
    for pair, symbol in found.linear(grid, values).items():
        linear[pair] = symbol
    rate = found.nonlinear
    nonlinear = None if rate is None else lambda u: rate(u, grid, values)
    solution = evolve(start, grid, dt, times, linear, nonlinear, tolerance=tolerance)
    return SimulatedField(np.moveaxis(solution, 1, -1), grid.dx, float(dt), channels, values)


def random_waves(channels: int, amplitude: float = 1.0, mean: float = 0.0, modes: int = MODES) -> Start:
    """Return a start of random waves of up to ``modes`` periods along each axis, the long ones strongest."""

    def start(rng: np.random.Generator, grid: PeriodicGrid) -> Float[np.ndarray, "channels *shape"]:
        fields = []
        for _ in range(channels):
            spectrum = np.zeros(np.broadcast_shapes(*(k.shape for k in grid.k)), dtype=complex)
            number = [k * n * d / (2 * np.pi) for k, n, d in zip(grid.k, grid.shape, grid.dx)]
            size = np.sqrt(sum(n**2 for n in number))
            low = (size > 0.5) & (size < modes + 0.5)
            draw = rng.normal(size=(2, low.sum()))
            spectrum[low] = (draw[0] + 1j * draw[1]) / size[low]
            waves = grid.inverse(spectrum[None])[0]
            fields.append(mean + amplitude * waves / waves.std())
        return np.stack(fields)

    return start


def spots(rng: np.random.Generator, grid: PeriodicGrid) -> Float[np.ndarray, "2 *shape"]:
    """Return the start of a reaction: u = 1 and v = 0 but for a few soft spots."""
    u, v = np.ones(grid.shape), np.zeros(grid.shape)
    sizes = [n * d for n, d in zip(grid.shape, grid.dx)]
    for _ in range(4 * len(sizes)):
        centre = [rng.uniform(0, s) for s in sizes]
        apart = [(x - c + s / 2) % s - s / 2 for x, c, s in zip(grid.points, centre, sizes)]
        width = rng.uniform(0.04, 0.08) * min(sizes)
        spot = np.exp(-sum(a**2 for a in apart) / (2 * width**2))
        u, v = u - 0.5 * spot * u, v + 0.25 * spot * (1 - v)
    return np.stack([u, v])


# ------------------------------------------------------------------- equations


def _each(value: float | Sequence[float], dim: int) -> tuple[float, ...]:
    each = tuple(value) if isinstance(value, Sequence) else (value,) * dim
    if len(each) != dim:
        raise ValueError(f"{each} has {len(each)} values for {dim} axes")
    return each


def _laplacian(grid: PeriodicGrid) -> np.ndarray:
    return -np.asarray(sum(k**2 for k in grid.k))


def _along(grid: PeriodicGrid, axis: int) -> list[int]:
    return [int(a == axis) for a in range(len(grid.shape))]


def _advected(u: np.ndarray, grid: PeriodicGrid, p: Mapping[str, float]) -> np.ndarray:
    """−(u·∇)u, each channel one component of the velocity."""
    parts = (u[axis] * grid.derivative(u, _along(grid, axis)) for axis in range(len(grid.shape)))
    return -np.asarray(sum(parts))


def _transported(u: np.ndarray, grid: PeriodicGrid, factor: float) -> np.ndarray:
    """−factor · u u_x."""
    return -0.5 * factor * grid.derivative(u**2, _along(grid, 0))


def _gray_scott(u: np.ndarray, grid: PeriodicGrid, p: Mapping[str, float]) -> np.ndarray:
    reaction = u[0] * u[1] ** 2
    return np.stack([p["F"] - reaction, reaction])


FIELDS = {
    "heat": FieldSystem(
        {1: ("u",), 2: ("u",)},
        lambda g, p: {(0, 0): p["D"] * _laplacian(g)},
        random_waves(1),
        {"D": 0.1},
    ),
    "wave": FieldSystem(
        {1: ("u", "v"), 2: ("u", "v")},
        lambda g, p: {(0, 1): np.ones(1), (1, 0): p["c"] ** 2 * _laplacian(g)},
        random_waves(2),
        {"c": 1.0},
        dt=0.05,
    ),
    "advection_diffusion": FieldSystem(
        {1: ("u",), 2: ("u",)},
        lambda g, p: {(0, 0): p["D"] * _laplacian(g) - p["c"] * g.symbol(_along(g, 0))},
        random_waves(1),
        {"D": 0.05, "c": 1.0},
    ),
    "burgers": FieldSystem(
        {1: ("u",), 2: ("u", "v")},
        lambda g, p: {(i, i): p["nu"] * _laplacian(g) for i in range(len(g.shape))},
        lambda rng, g: random_waves(len(g.shape), modes=5 - len(g.shape))(rng, g),
        {"nu": 0.1},
        _advected,
        points={1: 128, 2: 96},
    ),
    "kdv": FieldSystem(
        {1: ("u",)},
        lambda g, p: {(0, 0): -p["delta"] * g.symbol((3,))},
        random_waves(1, modes=2),
        {"delta": 0.05},
        lambda u, g, p: _transported(u, g, 1.0),
    ),
    "kuramoto_sivashinsky": FieldSystem(
        {1: ("u",)},
        lambda g, p: {(0, 0): -_laplacian(g) - _laplacian(g) ** 2},
        random_waves(1),
        {},
        lambda u, g, p: _transported(u, g, 1.0),
        points={1: 256},
        length=64.0,
        times=201,
        dt=0.4,
    ),
    "fisher": FieldSystem(
        {1: ("u",), 2: ("u",)},
        lambda g, p: {(0, 0): p["D"] * _laplacian(g) + p["r"]},
        random_waves(1, 0.15, 0.4),
        {"D": 0.05, "r": 1.0},
        lambda u, g, p: -p["r"] * u**2,
        dt=0.05,
    ),
    "gray_scott": FieldSystem(
        {1: ("u", "v"), 2: ("u", "v")},
        lambda g, p: {
            (0, 0): p["Du"] * _laplacian(g) - p["F"],
            (1, 1): p["Dv"] * _laplacian(g) - p["F"] - p["k"],
        },
        spots,
        {"Du": 0.16, "Dv": 0.08, "F": 0.04, "k": 0.06},
        _gray_scott,
        length=80.0,
        dt=4.0,
    ),
}
