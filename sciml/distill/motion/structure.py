"""Which forces act, and how their strength depends on who acts on whom: models over the bank.

A pair force has one radial form times a strength u_i w_j of receiver and sender. Charges, masses, identical
particles and any mixture are cases of it; which of the factors are one, given properties, or unknown is what
is to be found out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int

from sciml.distill.motion.bank import Bank

NO_PROPERTY = ("1", "", "free", "felt", "light")
SMALL = 1e-3  # least strength that is divided by, relative to the largest
STEPS = 20
SETTLED = 1e-7
RIDGE = 1e-9
NUDGE = 1e-5


@dataclass(frozen=True)
class Strength:
    """How strongly particle i feels, and j exerts, a force.

    Attributes:
        receiver, sender: name of a given property, "1", or "free": one unknown per particle. A force on
            single particles may share the unknowns of the pair force: "felt" is its receiver's u, "light" is
            u / w (as the inverse of a mass, where w is the charge or mass that a particle exerts).
        same: the unknowns at both ends are the same.
        over: a given property that divides, as "mass"; "" for none.
        swapped: it acts the other way round as well, with receiver and sender exchanged.
    """

    receiver: str = "1"
    sender: str = "1"
    same: bool = False
    over: str = ""
    swapped: bool = False

    @property
    def hidden(self) -> bool:
        """Whether it has unknowns."""
        return "free" in (self.receiver, self.sender)


@dataclass(frozen=True)
class Channel:
    """One force: a block of the bank and its strength."""

    block: str
    strength: Strength = Strength()


@dataclass(frozen=True, eq=False)
class Fitted:
    """Channels fitted to the bank.

    Attributes:
        channels: what was fitted.
        shapes: coefficients of each channel's splines.
        receiver, sender: strengths of the hidden channel (ones elsewhere), [particles].
        unknowns: number of fitted numbers.
        loss: squared residual on the training rows over their number.
        held_out: the same on rows that were held out.
        inverse: inverse of the normal equations, for errors in units of the residual.
    """

    channels: tuple[Channel, ...]
    shapes: tuple[Float[np.ndarray, "splines"], ...]
    receiver: Float[np.ndarray, "particles"]
    sender: Float[np.ndarray, "particles"]
    unknowns: int
    loss: float
    held_out: float
    inverse: Float[np.ndarray, "unknowns unknowns"] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Fitter:
    """Fits channels to a bank.

    Attributes:
        bank: columns and their Gram matrices.
        properties: given numbers by name, [simulations, particles].
        group: particles of one group share their unknown strengths, [particles].
    """

    bank: Bank
    properties: Mapping[str, Float[np.ndarray, "simulations particles"]]
    group: Int[np.ndarray, "particles"]
    _merged: tuple = field(init=False, repr=False)

    def __post_init__(self) -> None:
        constant = all((p == p[:1]).all() for p in self.properties.values())
        grams = self.bank.train, self.bank.held_out
        merged = tuple(g.sum(0, keepdims=True) for g in grams) if constant else grams
        object.__setattr__(self, "_merged", merged)

    @property
    def rows(self) -> float:
        """Number of training rows."""
        return float(self.bank.rows[0].sum())

    def given(self, name: str) -> Float[np.ndarray, "simulations particles"]:
        """Return a property, one for "1" and "free"."""
        units = self._merged[0].shape[:2]
        return np.ones(units) if name in NO_PROPERTY else self.properties[name][: units[0]]

    def strengths(self, strength: Strength) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return given factors of receiver and sender; their products are summed."""
        over = self.given(strength.over)
        found = [(self.given(strength.receiver) / over, self.given(strength.sender))]
        if strength.swapped:
            found.append((self.given(strength.sender) / over, self.given(strength.receiver)))
        return found

    def basis(
        self, channel: Channel, u: np.ndarray, w: np.ndarray
    ) -> Float[np.ndarray, "simulations particles columns splines"]:
        """Return the map from the splines of a channel into the bank of every receiver."""
        block = self.bank.blocks[channel.block]
        splines = block.size // block.bases
        found = np.zeros((*self._merged[0].shape[:2], self.bank.columns, splines))
        for receiver, sender in self.strengths(channel.strength):
            felt = receiver * self._felt(channel.strength.receiver, u, w)
            acted = sender * w if channel.strength.sender == "free" else sender
            for base in range(block.bases):
                exerted = acted @ self.bank.senders[base] if block.bases > 1 else np.ones(len(sender))
                weight = felt * exerted[:, None]
                found[:, :, block.columns(base), np.arange(splines)] += weight[..., None]
        return found

    def _felt(self, name: str, u: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Return the unknown factor of a receiver: "felt" is u as in the pair force, "light" is u / w."""
        if name == "light":
            return u / np.where(np.abs(w) > SMALL, w, SMALL)
        return u if name in ("free", "felt") else np.ones(len(u))

    def fit(
        self, channels: tuple[Channel, ...], start: tuple[np.ndarray, np.ndarray] | None = None
    ) -> Fitted:
        """Fit splines, and unknown strengths by Levenberg-Marquardt from ``start``."""
        particles = self._merged[0].shape[1]
        u, w = (np.ones(particles), np.ones(particles)) if start is None else start
        hidden = next((c.strength for c in channels if c.strength.hidden), None)
        if hidden is None or start is None or not len(u):
            return self._linear(channels, u, w)
        u = self._tied(u) if hidden.receiver == "free" else np.ones(particles)
        w = self._tied(w) if hidden.sender == "free" else np.ones(particles)
        if hidden.same:
            u = w = np.sign(w) * np.sqrt(np.abs(u * w))
            u = w = w if w.any() else np.ones(particles)
        best = self._linear(channels, u, w)
        damping = 1e-3
        for _ in range(STEPS):
            step = self._step(best, hidden, damping)
            trial = self._linear(channels, *self._moved(best, hidden, step))
            if trial.loss < best.loss:
                done = best.loss - trial.loss < SETTLED * best.loss
                best, damping = trial, damping / 5
                if done:
                    break
            else:
                damping *= 8
                if damping > 1e6:
                    break
        return best

    def _tied(self, values: np.ndarray) -> np.ndarray:
        counts = np.bincount(self.group)
        return (np.bincount(self.group, values) / np.maximum(counts, 1))[self.group]

    def _moved(self, at: Fitted, hidden: Strength, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        groups = int(self.group.max()) + 1
        u, w = at.receiver, at.sender
        if hidden.same:
            u = w = w + step[:groups][self.group]
        else:
            if hidden.receiver == "free":
                u, step = u + step[:groups][self.group], step[groups:]
            if hidden.sender == "free":
                w = w + step[:groups][self.group]
        scale_u = np.abs(u).max() if hidden.receiver == "free" else 1.0
        scale_w = np.abs(w).max() if hidden.sender == "free" else 1.0
        return u / (scale_u or 1.0), w / (scale_w or 1.0)

    def _linear(self, channels: tuple[Channel, ...], u: np.ndarray, w: np.ndarray) -> Fitted:
        """Solve for the splines with all strengths held."""
        gram, held = self._merged
        design = self._design(channels, u, w)
        n = design.shape[-1]
        product = np.einsum("sicp,sicd->sipd", design, gram[:, :, :-1, :], optimize=True)
        normal = np.einsum("sipc,sicq->pq", product[..., :-1], design, optimize=True)
        right = product[..., -1].sum((0, 1))
        energy = float(gram[:, :, -1, -1].sum())
        solution, inverse = _solve(normal, right)
        left = energy - 2 * solution @ right + solution @ normal @ solution
        theta = np.einsum("sicp,p->sic", design, solution)
        outside = held[:, :, -1, -1].sum() - 2 * np.einsum("sic,sic->", theta, held[:, :, :-1, -1])
        outside += np.einsum("sic,sicd,sid->", theta, held[:, :, :-1, :-1], theta, optimize=True)
        sizes = np.cumsum([self._size(c) for c in channels], dtype=int)[:-1]
        free = self._free(channels)
        return Fitted(
            channels, tuple(np.split(solution, sizes)) if channels else (), u, w, n + free,
            max(float(np.nan_to_num(left, nan=np.inf)), 0.0) / max(self.rows, 1.0),
            max(float(outside), 0.0) / max(float(self.bank.rows[1].sum()), 1.0), inverse,
        )  # fmt: skip

    def _design(self, channels: tuple[Channel, ...], u: np.ndarray, w: np.ndarray) -> np.ndarray:
        parts = [self.basis(c, u, w) for c in channels]
        units = self._merged[0].shape[:2]
        return np.concatenate(parts, -1) if parts else np.zeros((*units, self.bank.columns, 0))

    def _size(self, channel: Channel) -> int:
        block = self.bank.blocks[channel.block]
        return block.size // block.bases

    def _free(self, channels: tuple[Channel, ...]) -> int:
        groups = int(self.group.max()) + 1
        hidden = {c.strength for c in channels if c.strength.hidden}
        ends = max(((s.receiver == "free") + (s.sender == "free" and not s.same) for s in hidden), default=0)
        return ends * (groups - 1)

    def _step(self, at: Fitted, hidden: Strength, damping: float) -> np.ndarray:
        """Return the Gauss-Newton step of the strengths, splines following."""
        gram = self._merged[0]
        design = self._design(at.channels, at.receiver, at.sender)
        theta = np.einsum("sicp,p->sic", design, np.concatenate(at.shapes))
        moves = self._moves(at, hidden)
        every = np.concatenate([moves, design], -1)
        product = np.einsum("sicp,sicd->sipd", every, gram[:, :, :-1, :], optimize=True)
        normal = np.einsum("sipc,sicq->pq", product[..., :-1], every, optimize=True)
        slope = product[..., -1].sum((0, 1)) - np.einsum("sipc,sic->p", product[..., :-1], theta)
        scale = np.diag(normal).copy()
        scale[scale <= 0] = 1.0
        if not np.isfinite(normal).all() or not np.isfinite(slope).all():
            return np.zeros(moves.shape[-1])
        return np.linalg.lstsq(normal + damping * np.diag(scale), slope, rcond=1e-12)[0][: moves.shape[-1]]

    def _moves(
        self, at: Fitted, hidden: Strength
    ) -> Float[np.ndarray, "simulations particles columns groups"]:
        """Return how the bank's coefficients move with each unknown strength."""
        groups = int(self.group.max()) + 1
        ends = [e for e in ("receiver", "sender") if getattr(hidden, e) == "free"]
        units = self._merged[0].shape[:2]
        found = {e: np.zeros((*units, self.bank.columns, groups)) for e in ends}
        now = (at.receiver, at.sender)
        for channel, shape in zip(at.channels, at.shapes, strict=True):
            shared = channel.strength.receiver in ("felt", "light")
            for end in ends:
                if getattr(channel.strength, end) != "free" and not shared:
                    continue
                for g in range(groups):
                    member = (self.group == g).astype(float)
                    if shared:
                        ahead = [x + NUDGE * member * (e == end) for e, x in zip(("receiver", "sender"), now)]
                        found[end][..., g] += (
                            (self.basis(channel, *ahead) - self.basis(channel, *now)) @ shape / NUDGE
                        )
                        continue
                    u = member if end == "receiver" else at.receiver
                    w = member if end == "sender" else at.sender
                    found[end][..., g] += self.basis(channel, u, w) @ shape
        return (
            found["receiver"] + found["sender"]
            if hidden.same
            else np.concatenate([found[e] for e in ends], -1)
        )


def _solve(normal: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solve normal equations, scaled, with a trace of ridge for what the data do not fix.

    A column that is nothing everywhere gets the coefficient zero.
    """
    if not len(right):
        return right, np.zeros((0, 0))
    size = np.diag(normal)
    scale = np.where(size > 1e-300, 1 / np.sqrt(np.maximum(size, 1e-300)), 0.0)
    scaled = normal * scale[:, None] * scale + RIDGE * np.eye(len(right))
    inverse = np.linalg.inv(scaled) * scale[:, None] * scale
    return inverse @ right, inverse


def with_channel(channels: tuple[Channel, ...], channel: Channel) -> tuple[Channel, ...]:
    """Return the channels with another one at its place."""
    kept = tuple(c for c in channels if c.block != channel.block)
    return (*kept, replace(channel))
