"""Evolution equations on periodic grids: Fourier in space, exponential Runge–Kutta in time.

An equation is ``u_t = L u + N(u)``: L acts on each Fourier mode as a small matrix over the channels and is
solved exactly; N is computed in space and stepped by ETDRK4 (Cox & Matthews, J. Comput. Phys. 176, 430
(2002), equations 26-29).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float

log = logging.getLogger(__name__)

Nonlinear = Callable[[Float[np.ndarray, "channels *shape"]], Float[np.ndarray, "channels *shape"]]
CONTOUR = 32  # points of the circle on which the functions of exponential integrators are averaged


@dataclass(frozen=True)
class PeriodicGrid:
    """A periodic grid and its wavenumbers.

    Attributes:
        shape: points along each axis.
        dx: their distance along each axis.
    """

    shape: tuple[int, ...]
    dx: tuple[float, ...]

    @property
    def axes(self) -> tuple[int, ...]:
        """The spatial axes of an array [channels, (sets,) *shape]: the last ones."""
        return tuple(range(-len(self.shape), 0))

    @property
    def points(self) -> list[Float[np.ndarray, "*shape"]]:
        """Coordinates of all points, one array for each axis."""
        return list(np.meshgrid(*(np.arange(n) * d for n, d in zip(self.shape, self.dx)), indexing="ij"))

    @property
    def k(self) -> list[Float[np.ndarray, "*modes"]]:
        """Angular wavenumbers along each axis, shaped to broadcast over the modes of a real transform."""
        last = len(self.shape) - 1
        found = []
        for axis, (n, d) in enumerate(zip(self.shape, self.dx)):
            along = np.fft.rfftfreq(n, d) if axis == last else np.fft.fftfreq(n, d)
            found.append(2 * np.pi * along.reshape([-1 if a == axis else 1 for a in range(last + 1)]))
        return found

    @property
    def resolved(self) -> np.ndarray:
        """Modes that products keep: the lower two thirds along each axis, free of aliasing in a square."""
        keep = np.array(True)
        for k, d in zip(self.k, self.dx):
            keep = keep & (np.abs(k) <= 2 / 3 * np.pi / d)
        return keep

    def transform(self, values: Float[np.ndarray, "channels *shape"]) -> Complex[np.ndarray, "channels *m"]:
        """Return the Fourier modes of every channel."""
        return np.fft.rfftn(values, axes=self.axes)

    def inverse(self, modes: Complex[np.ndarray, "channels *m"]) -> Float[np.ndarray, "channels *shape"]:
        """Return the channels of these modes."""
        return np.fft.irfftn(modes, s=self.shape, axes=self.axes)

    def symbol(self, orders: Sequence[int]) -> Complex[np.ndarray, "*modes"]:
        """Return what a derivative of these orders multiplies each mode with; odd ones end at Nyquist."""
        factor = np.ones(1, dtype=complex)
        for k, d, n, order in zip(self.k, self.dx, self.shape, orders):
            along = (1j * k) ** order
            if order % 2 and n % 2 == 0:
                along = np.where(np.isclose(np.abs(k), np.pi / d), 0.0, along)
            factor = factor * along
        return factor

    def derivative(
        self, values: Float[np.ndarray, "channels *shape"], orders: Sequence[int]
    ) -> Float[np.ndarray, "channels *shape"]:
        """Return the derivative of every channel, of the given order along each axis."""
        return self.inverse(self.symbol(orders) * self.transform(values))


class BlowUpError(ArithmeticError):
    """The solution left all bounds."""


def evolve(
    start: Float[np.ndarray, "channels *shape"],
    grid: PeriodicGrid,
    dt: float,
    times: int,
    linear: Complex[np.ndarray, "channels channels *modes"],
    nonlinear: Nonlinear | None = None,
    *,
    substeps: int | None = None,
    tolerance: float = 1e-6,
    most_substeps: int = 4096,
) -> Float[np.ndarray, "times channels *shape"]:
    """Solve ``u_t = L u + N(u)`` from a start, at times 0, dt, 2 dt, ...

    Args:
        start: the fields at time 0; many sets of fields at once are a further axis after channels, which
            ``linear`` then has before its modes.
        grid: periodic.
        dt: between saved times.
        times: how many are saved.
        linear: L of every mode, from channel (second axis) to channel (first axis).
        nonlinear: N as values in space; None where the equation is linear, which is solved exactly.
        substeps: steps between saved times; None doubles them until the solution settles.
        tolerance: largest change, relative to the largest value, at which it has settled.
        most_substeps: after which doubling ends, with a warning.

    Raises:
        BlowUpError: the solution is not finite with any number of substeps.
    """
    if nonlinear is None:
        return _steps(start, grid, dt, times, linear, None, 1)
    if substeps is not None:
        return _steps(start, grid, dt, times, linear, nonlinear, substeps)
    before, number, change = None, 1, np.inf
    while number <= most_substeps:
        try:
            after = _steps(start, grid, dt, times, linear, nonlinear, number)
        except BlowUpError:
            after = None
        if before is not None and after is not None:
            change = float(np.abs(after - before).max() / max(np.abs(after).max(), 1e-300))
            if change < tolerance:
                return after
        before, number = after, 2 * number
    if before is None:
        raise BlowUpError(f"The solution is not finite with up to {most_substeps} steps per saved time.")
    log.warning("the solution still changes by %.1e with %d steps per saved time", change, number // 2)
    return before


def _steps(
    start: np.ndarray,
    grid: PeriodicGrid,
    dt: float,
    times: int,
    linear: np.ndarray,
    nonlinear: Nonlinear | None,
    substeps: int,
) -> Float[np.ndarray, "times channels *shape"]:
    h = dt / substeps
    whole, half, phi = _functions(linear, h)
    apply = lambda matrix, v: np.einsum("ij...,j...->i...", matrix, v)
    if nonlinear is not None:
        keep = grid.resolved
        rate = lambda v: keep * grid.transform(nonlinear(grid.inverse(v)))
        # Cox & Matthews (2002): Q = h/2 φ1(hL/2), and the weights of the four stages
        q = 0.5 * h * half[1]
        one, two, three = (h * p for p in phi)
        first, middle, last = one - 3 * two + 4 * three, 2 * two - 4 * three, 4 * three - two
    saved = np.empty((times, *start.shape))
    saved[0] = start
    v = grid.transform(start)
    with np.errstate(over="ignore", invalid="ignore"):
        for t in range(1, times):
            for _ in range(substeps):
                if nonlinear is None:
                    v = apply(whole, v)
                    continue
                n0 = rate(v)
                relaxed = apply(half[0], v)
                a = relaxed + apply(q, n0)
                na = rate(a)
                b = relaxed + apply(q, na)
                nb = rate(b)
                c = apply(half[0], a) + apply(q, 2 * nb - n0)
                v = apply(whole, v) + apply(first, n0) + apply(middle, na + nb) + apply(last, rate(c))
            saved[t] = grid.inverse(v)
            if not np.isfinite(saved[t]).all() or np.abs(saved[t]).max() > 1e12:
                raise BlowUpError(f"The solution is not finite at saved time {t} of {times}.")
    return saved


def _functions(linear: np.ndarray, h: float) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray], list]:
    """Return exp(hL), (exp, φ1)(hL/2) and φ1, φ2, φ3 (hL), each [channels, channels, *modes]."""
    channels = len(linear)
    off_diagonal = linear[~np.eye(channels, dtype=bool)]
    if not off_diagonal.any():
        diagonal = np.einsum("ii...->i...", linear)
        spread = lambda f: np.einsum("ij,i...->ij...", np.eye(channels), f)
        e, p1, p2, p3 = map(spread, _scalar_functions(h * diagonal))
        e_half, p1_half, _, _ = map(spread, _scalar_functions(0.5 * h * diagonal))
    else:
        e, p1, p2, p3 = _matrix_functions(h * linear)
        e_half, p1_half, _, _ = _matrix_functions(0.5 * h * linear)
    return e, (e_half, p1_half), [p1, p2, p3]


def _scalar_functions(z: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return exp, φ1, φ2, φ3: means over a circle around z, where their cancellations do no harm.

    Kassam & Trefethen, SIAM J. Sci. Comput. 26, 1214 (2005), section 2.
    """
    sums = [np.zeros_like(z) for _ in range(3)]
    for angle in np.pi * (np.arange(CONTOUR) * 2 + 1) / CONTOUR:
        w = z + np.exp(1j * angle)
        e = np.exp(w)
        sums[0] += (e - 1) / w
        sums[1] += (e - 1 - w) / w**2
        sums[2] += (e - 1 - w - w**2 / 2) / w**3
    return np.exp(z), *(s / CONTOUR for s in sums)


def _matrix_functions(z: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the same of matrices: blocks of the exponential of [[Z, 1, 0, 0], [0, 0, 1, 0], ...].

    Al-Mohy & Higham, SIAM J. Sci. Comput. 33, 488 (2011), theorem 2.1.
    """
    from scipy.linalg import expm

    channels = len(z)
    flat = np.moveaxis(z.reshape(channels, channels, -1), -1, 0)  # modes, channels, channels
    block = np.zeros((len(flat), 4 * channels, 4 * channels), dtype=complex)
    block[:, :channels, :channels] = flat
    for i in range(3):
        block[:, i * channels : (i + 1) * channels, (i + 1) * channels : (i + 2) * channels] = np.eye(
            channels
        )
    whole = expm(block)[:, :channels]
    parts = [whole[:, :, i * channels : (i + 1) * channels] for i in range(4)]
    return tuple(np.moveaxis(part, 0, -1).reshape(z.shape) for part in parts)
