"""What a law leaves over for chosen particles, row by row, and the candidate terms on the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from sciml.datasets.trajectories import Trajectories
from sciml.distill.residual.known import Known
from sciml.distill.residual.library import INVARIANTS, SPEED, Geometry, Monomial, library

STRETCHES = 10  # of time, within which residuals may be correlated
HELD_OUT = 1 / 3  # share of the time, at the end, that formulas are judged by
FEWEST_FRAMES = 30
REACTION = 1e-5  # pull on the sender, relative to its own on a receiver, that counts
UNSURE = 10.0  # standard errors by which the law's constants may be off for want of what is looked for


@dataclass(frozen=True)
class Look:
    """Where to look for what is left over.

    Attributes:
        receivers: names of the particles whose accelerations are looked at.
        senders: names of the particles that may cause it. With one sender, accelerations are taken relative
            to it, so that what acts on both alike falls out; "others": every other particle; None: the term
            depends on the particle alone (drag, a field).
        axis: direction in space that a sender may have, as that of its rotation; None if there is none.
        velocity: whether it may depend on velocities. Of one orbit, angular momentum and energy tie speed to
            distance, so that the two are hardly told apart there.
        everywhere: whether a sender acts so on every particle, and each reacts on it, or on the receivers
            only. The first says more, and so rules out more.
    """

    receivers: tuple[str, ...]
    senders: tuple[str, ...] | str | None = "others"
    axis: tuple[float, ...] | None = None
    velocity: bool = True
    everywhere: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "receivers", tuple(self.receivers))
        if self.senders is not None and not isinstance(self.senders, str):
            object.__setattr__(self, "senders", tuple(self.senders))
        elif self.senders not in (None, "others"):
            object.__setattr__(self, "senders", (self.senders,))
        if self.axis is not None:
            axis = np.asarray(self.axis, dtype=np.float64)
            size = float(np.linalg.norm(axis))
            if axis.ndim != 1 or not np.isfinite(size) or size == 0 or self.senders is None:
                raise ValueError(
                    f"axis {self.axis}: expected the components of a direction, with senders whose it is"
                )
            object.__setattr__(self, "axis", tuple((axis / size).tolist()))

    @property
    def single(self) -> str | None:
        """The sender, if there is one only."""
        return self.senders[0] if isinstance(self.senders, tuple) and len(self.senders) == 1 else None

    def __str__(self) -> str:
        seen = f" relative to {self.single}" if self.single else ""
        return f"{', '.join(self.receivers)}{seen}"


@dataclass(frozen=True, eq=False)
class Rows:
    """Weighted equations: target = base · changes of constants + candidate terms + noise of size one.

    Attributes:
        target: data minus the law, over the noise.
        base: derivatives by the law's constants and hidden properties, over the noise.
        parameters: their names.
        receiver: number of the particle of each row, within the look.
        frame: number of the frame of each row.
        blocks: geometries of each receiver, with the weight and factor of each; see `columns`.
        noise: rms error of a component of the acceleration per receiver, in the data's units.
        size: rms acceleration per receiver, in the same units.
    """

    target: Float[np.ndarray, "rows"]
    base: Float[np.ndarray, "rows parameters"]
    parameters: tuple[str, ...]
    receiver: Int[np.ndarray, "rows"]
    frame: Int[np.ndarray, "rows"]
    blocks: tuple[tuple[tuple[Geometry, np.ndarray], ...], ...]
    noise: Float[np.ndarray, "receivers"]
    size: Float[np.ndarray, "receivers"]

    def columns(self, terms: Sequence[Monomial]) -> Float[np.ndarray, "rows terms"]:
        """Return the rows of terms with coefficient one."""
        with np.errstate(all="ignore"):
            found = [
                np.concatenate(
                    [sum(t.evaluate(seen) * factor[:, None] for seen, factor in block).ravel() / noise
                     for block, noise in zip(self.blocks, self.noise, strict=True)]
                )
                for t in terms
            ]  # fmt: skip
        return np.stack(found, axis=1) if found else np.zeros((len(self.target), 0))

    @cached_property
    def late(self) -> np.ndarray:
        """Which rows are of the last part of the time."""
        return self.frame >= (1 - HELD_OUT) * (self.frame.max() + 1)

    @cached_property
    def groups(self) -> Int[np.ndarray, "rows"]:
        """Receiver and stretch of time."""
        stretch = self.frame * STRETCHES // (int(self.frame.max()) + 1)
        return self.receiver * STRETCHES + stretch

    def library(self) -> dict:
        """Return the candidate terms by class (`sciml.distill.residual.library`)."""
        return library(self.blocks[0][0][0])

    def rms(self, residual: Float[np.ndarray, "rows"]) -> Float[np.ndarray, "receivers"]:
        """Root mean square of a residual over the noise, by receiver."""
        count = np.bincount(self.receiver)
        return np.sqrt(np.bincount(self.receiver, residual**2) / count)


def equations_of(data: Trajectories, known: Known, look: Look, frames: int = 1500) -> Rows:
    """Set up the equations of a look.

    Args:
        data: with velocities and accelerations; its stated errors are the noise. Where none are stated, the
            noise is what neighbouring frames do not share, which is too large rather than too small.
        known: the law that is subtracted.
        look: particles to look at.
        frames: at most so many, spread evenly.

    Raises:
        ValueError: names that are not in the data, missing velocities, a box, too few frames.
    """
    data = data.with_accelerations()
    receivers, senders = _numbers(data, look)
    simulations, dim = data.shape[0], data.shape[3]
    if look.axis is not None and len(look.axis) != dim:
        raise ValueError(f"axis {look.axis} has {len(look.axis)} components; the data have {dim} dimensions")
    x, v, a = chosen_frames(data, frames)
    if len(x) < FEWEST_FRAMES:
        raise ValueError(f"{data.source}: {len(x)} frames; expected at least {FEWEST_FRAMES}")
    single = None if look.single is None else data.names.index(look.single)
    touched = sorted({*receivers, *(s for found in senders for s in found)})
    left = a - known.acceleration(x, v)
    seen = lambda field, i: field[:, i] - (field[:, single] if single is not None else 0.0)
    noise, size = _noise(data, left, receivers, single, simulations), []
    names = known.parameters()
    slopes = known.columns(x, v, names)
    matter = np.isin(names, known.parameters(touched))
    for k, i in enumerate(receivers):
        spread = np.sqrt((seen(slopes, i) ** 2).mean((0, 1))) / noise[k]
        matter |= UNSURE * spread * [known.errors.get(name, 0.0) for name in names] > 1.0
    names, slopes = tuple(np.array(names)[matter].tolist()), slopes[..., matter]
    blocks, target, base = [], [], []
    for k, i in enumerate(receivers):
        target.append(seen(left, i).ravel() / noise[k])
        base.append(seen(slopes, i).reshape(-1, len(names)) / noise[k])
        size.append(np.sqrt(np.mean(seen(a, i) ** 2)))
        blocks.append(tuple(_geometries(known, look, x, v, i, senders[k], single is not None)))
    each = len(x) * dim
    return Rows(
        target=np.concatenate(target),
        base=np.concatenate(base),
        parameters=names,
        receiver=np.repeat(np.arange(len(receivers)), each),
        frame=np.tile(np.repeat(np.arange(len(x)) // simulations, dim), len(receivers)),
        blocks=tuple(blocks),
        noise=noise,
        size=np.array(size),
    )


def chosen_frames(
    data: Trajectories, most: int
) -> tuple[
    Float[np.ndarray, "frames particles dim"],
    Float[np.ndarray, "frames particles dim"],
    Float[np.ndarray, "frames particles dim"],
]:
    """Return positions, velocities and accelerations of frames spread evenly, all simulations at each time.

    Raises:
        ValueError: no velocities.
    """
    if data.velocity is None:
        raise ValueError(f"{data.source} has no velocities; what is left over may depend on them")
    chosen = np.unique(np.linspace(0, data.shape[1] - 1, min(most, data.shape[1])).astype(int))
    fields = (data.position, data.velocity, data.with_accelerations().acceleration)
    flat = [np.swapaxes(f[:, chosen], 0, 1).reshape(-1, *data.shape[2:]) for f in fields]  # type: ignore[index]
    return flat[0], flat[1], flat[2]


def _numbers(data: Trajectories, look: Look) -> tuple[list[int], list[list[int]]]:
    """Return receivers, and the senders of each, as numbers."""
    named = look.senders if isinstance(look.senders, tuple) else ()
    if not look.receivers:
        raise ValueError(f"no receivers to look at; there are {', '.join(data.names)}")
    for name in (*look.receivers, *named):
        if name not in data.names:
            raise ValueError(f"{data.source} has no particle {name!r}; it has {', '.join(data.names)}")
    if data.box is not None:
        raise ValueError("what is left over is looked at in open space; these data have a periodic box")
    if look.single in look.receivers:
        raise ValueError(f"{look.single} is the only sender and cannot be its own receiver")
    receivers = [data.names.index(name) for name in look.receivers]
    if look.senders is None:
        return receivers, [[] for _ in receivers]
    others = [data.names.index(n) for n in named] if named else range(len(data.names))
    return receivers, [[j for j in others if j != i] for i in receivers]


def _noise(
    data: Trajectories, left: np.ndarray, receivers: list[int], single: int | None, simulations: int
) -> Float[np.ndarray, "receivers"]:
    if data.acceleration_error is not None:
        error = np.sqrt((data.acceleration_error**2).mean(0))
        found = [np.hypot(error[i], 0.0 if single is None else error[single]) for i in receivers]
    else:
        frames = left.reshape(-1, simulations, *left.shape[1:])
        seen = [frames[:, :, i] - (frames[:, :, single] if single is not None else 0.0) for i in receivers]
        found = [np.sqrt(np.mean(np.diff(s, axis=0) ** 2) / 2) for s in seen]
    size = np.abs(left).max(initial=0.0)
    return np.maximum(found, np.finfo(float).eps * max(size, np.finfo(float).tiny))


def _geometries(
    known: Known, look: Look, x: np.ndarray, v: np.ndarray, i: int, senders: list[int], relative: bool
) -> Iterator[tuple[Geometry, np.ndarray]]:
    """Yield how each sender is seen, and the factor of its terms."""

    def seen(k: int, j: int, pull: np.ndarray) -> Geometry:
        return _still(_pair(x[:, k] - x[:, j], v[:, k] - v[:, j], pull, look.axis), look)

    if look.senders is None:
        yield _still(_alone(x[:, i], v[:, i]), look), np.ones(len(x))
    elif not relative:
        for j in senders:
            yield seen(i, j, known.pull(x, v, i, j)), np.ones(len(x))
    else:
        # The sender itself moves by the reactions of all: seen from it, these are accelerations of others.
        (j,) = senders
        own = known.pull(x, v, i, j)
        some = {known.names.index(name) for name in look.receivers}
        for k in range(x.shape[1]):
            if k == j or not (look.everywhere or k in some):
                continue
            pull, back = (own if k == i else known.pull(x, v, k, j)), known.pull(x, v, j, k)
            with np.errstate(all="ignore"):
                factor = np.nan_to_num(back / pull, nan=0.0, posinf=0.0, neginf=0.0)
            if k == i:
                yield seen(i, j, pull), 1.0 + factor
            elif np.abs(back).max() > REACTION * np.abs(own).max():
                yield seen(k, j, pull), factor


def _still(geometry: Geometry, look: Look) -> Geometry:
    """Leave out what depends on velocities, if so asked."""
    if look.velocity:
        return geometry
    return Geometry(
        {name: value for name, value in geometry.invariants.items() if INVARIANTS[name] != SPEED},
        {name: value for name, value in geometry.vectors.items() if value[1] != SPEED},
    )


def _pair(d: np.ndarray, u: np.ndarray, pull: np.ndarray, axis: Any) -> Geometry:
    r = np.linalg.norm(d, axis=1)
    n = d / r[:, None]
    invariants = {"g": pull, "r": r, "w": np.linalg.norm(u, axis=1), "w_r": (n * u).sum(1)}
    vectors = {"r_hat": (n, (0, 0)), "w_vec": (u, (1, -1))}
    if axis is not None:
        invariants["n_axis"] = n @ np.asarray(axis)
        vectors["axis"] = (np.broadcast_to(np.asarray(axis), n.shape), (0, 0))
    return Geometry(invariants, vectors)


def _alone(x: np.ndarray, v: np.ndarray) -> Geometry:
    dim = x.shape[1]
    vectors = {"v_vec": (v, (1, -1)), "x_vec": (x, (1, 0))}
    vectors |= {f"e_{'xyz'[k]}": (np.broadcast_to(np.eye(dim)[k], x.shape), (0, 0)) for k in range(dim)}
    return Geometry({"v": np.linalg.norm(v, axis=1), "x": np.linalg.norm(x, axis=1)}, vectors)  # type: ignore[arg-type]
