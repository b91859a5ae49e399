"""The solar system as trajectories of eleven point masses, out of JPL's ephemerides."""

from __future__ import annotations

import numpy as np

from sciml.datasets.trajectories import Trajectories
from sciml.physics.ephemerides import julian_date, load_ephemeris


def solar_system(
    ephemeris: str = "de421",
    start: float | str = 1990,
    stop: float | str = 2020,
    *,
    step: float | None = None,
    epochs: int | None = None,
    seed: int = 0,
) -> Trajectories:
    """Return positions, velocities and accelerations of Sun, planets, Pluto and Moon.

    Units are AU and days, the frame is the ICRF at the solar system's barycentre, times are Julian
    dates (TDB). Masses are not among the properties: JPL's values are in ``reference`` ("mass",
    relative to the Sun), for comparison only.

    Args:
        ephemeris: "de421" or "de440" (see `sciml.physics.ephemerides`).
        start, stop: years or ISO dates.
        step: days between epochs; two if neither ``step`` nor ``epochs`` is given.
        epochs: number of epochs drawn at random instead, uniformly, and sorted.
        seed: of the draw.

    Raises:
        ValueError: if an epoch lies outside the ephemeris, the span is empty, or both ``step`` and
            ``epochs`` are given.
        ModuleNotFoundError: if the ephemeris is not installed.
    """
    source = load_ephemeris(ephemeris)
    first, last = julian_date(start), julian_date(stop)
    if not first < last:
        raise ValueError(f"the span from {start} to {stop} is empty; expected start before stop")
    jd = _epochs(first, last, step, epochs, seed)
    position, velocity, acceleration = source.states(jd)
    return Trajectories(
        position=position[None],
        time=jd,
        velocity=velocity[None],
        acceleration=acceleration[None],
        names=source.names,
        units={"position": "AU", "time": "day"},
        acceleration_error=source.acceleration_error(first, last),
        reference={"mass": source.gm / source.gm[source.names.index("sun")]},
        source=f"{ephemeris}, {start} to {stop}",
    )


def _epochs(first: float, last: float, step: float | None, epochs: int | None, seed: int) -> np.ndarray:
    if step is not None and epochs is not None:
        raise ValueError(f"both step={step} and epochs={epochs} are given; expected one of them")
    if epochs is not None:
        if epochs < 1:
            raise ValueError(f"epochs is {epochs}; expected at least 1")
        return np.sort(np.random.default_rng(seed).uniform(first, last, epochs))
    step = 2.0 if step is None else step
    if not step > 0:
        raise ValueError(f"step is {step} days; expected a positive number")
    return np.arange(first, last, step)
