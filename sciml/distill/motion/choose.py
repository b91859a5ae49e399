"""Choose the forces that the data demand: moves between models of the bank, judged by description length."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

import numpy as np
from jaxtyping import Float

from sciml.distill.front import EFFECTIVE_ROWS
from sciml.distill.motion.bank import Splines
from sciml.distill.motion.structure import Channel, Fitted, Fitter, Strength
from sciml.physics.vectors import VECTORS

log = logging.getLogger(__name__)

KIND = 3.0  # nats that one more kind of force must earn, beside its numbers
UNEQUAL = 3.0  # nats for a force to which no reaction corresponds
FLOORS = (1e-3, 1e-6)  # share of the squared accelerations below which residuals are those of splines
BELOW = 0.9  # of the noise, where it is known: residuals below are chance
MOVES = 12
PAIR_BLOCKS = tuple(name for name, vector in VECTORS.items() if vector.place == "pair")
POWERS = (-3.0, -2.0, -1.0, 0.0, 1.0)  # of the distance, to guess strengths by
STARTS = 2
NEAR = 12.0  # nats within which another structure is tried as well


@dataclass(frozen=True, eq=False)
class Structures:
    """The structure of least description length, and others that come near.

    Attributes:
        best: the best.
        near: others, best first, and by how many nats they are longer.
        everything: all forces at once, the most that this kind of model explains.
        nothing: no force.
    """

    best: Fitted
    near: tuple[tuple[Fitted, float], ...]
    everything: Fitted
    nothing: Fitted


class Chooser:
    """Goes from model to model, one force added, left out or exchanged at a time.

    Args:
        fitter: the bank with properties.
        noise_known: whether a mean squared residual of one is noise.
        labels: names of indicator properties of the kinds of particles.
        mass: name of a given property that divides forces, "" if none.
    """

    def __init__(
        self, fitter: Fitter, noise_known: bool, labels: tuple[str, ...] = (), mass: str = ""
    ) -> None:
        self.fitter, self.labels, self.mass = fitter, labels, mass
        self.numbers = tuple(n for n in fitter.properties if n not in labels)
        self.rows = min(fitter.rows, EFFECTIVE_ROWS)
        self.nothing = fitter.fit(())
        self.noise_known = noise_known
        self.floor = 0.0
        self._known: dict[frozenset[Channel], Fitted | None] = {}
        self.warm: tuple[np.ndarray, np.ndarray] | None = None
        self.starts: list[tuple[np.ndarray, np.ndarray]] = []
        if "pair" in fitter.bank.blocks:
            plain = [b for b in fitter.bank.blocks if b not in ("pair", "drag", "trap")]
            self.starts = starts(fitter, [b for b in plain if not b.startswith(("w_", "r_"))])

    def length(self, found: Fitted) -> float:
        """Return the description length of a fitted structure in nats."""
        unequal = sum(_unequal(c.strength) for c in found.channels if c.block == "pair")
        numbers = found.unknowns / 2 * np.log(max(self.rows, 2.0))
        code = KIND * len(found.channels) + UNEQUAL * unequal
        return float(self.rows / 2 * np.log(max(found.loss, self.floor)) + numbers + code)

    def fitted(self, channels: tuple[Channel, ...]) -> tuple[float, Fitted]:
        """Return description length and fit, kept."""
        channels = _shared_alike(channels)
        key = frozenset(channels)
        if key not in self._known:
            if sum(f.strength.hidden for f in channels) > 1 or 3 * self._count(channels) > self.fitter.rows:
                self._known[key] = None
            else:
                hidden = any(c.strength.hidden for c in channels)
                starts = ([self.warm] if self.warm else self.starts) if hidden else [None]
                self._known[key] = min((self.fitter.fit(channels, s) for s in starts), key=lambda f: f.loss)
        found = self._known[key]
        return (np.inf, self.nothing) if found is None else (self.length(found), found)

    def _count(self, channels: tuple[Channel, ...]) -> int:
        blocks = self.fitter.bank.blocks
        return sum(blocks[c.block].size // blocks[c.block].bases for c in channels)

    def choose(self, floor: float = FLOORS[-1]) -> Structures:
        """Descend from nothing and from everything; keep the better end.

        Args:
            floor: share of the squared accelerations below which residuals are taken for errors of splines,
                which no further force shall mend.
        """
        self.floor = max(floor * self.nothing.loss, BELOW if self.noise_known else 0.0)
        everything = self._everything()
        ends = [self._descend(()), self._descend(everything.channels)]
        length, best = min(ends, key=lambda end: end[0])
        fits = [f for f in self._known.values() if f is not None]
        ranked = sorted(((self.length(f), f) for f in fits), key=lambda known: known[0])
        near = tuple((f, n - length) for n, f in ranked if f is not best and n - length < NEAR)
        return Structures(best, near, everything, self.nothing)

    def _everything(self) -> Fitted:
        pairs = max(self._pairs(), key=lambda s: -self.fitted((Channel("pair", s),))[0], default=None)
        channels = [Channel("pair", pairs)] if pairs is not None else []
        channels += [
            Channel(b, self._plain()) for b in self.fitter.bank.blocks if b not in ("pair", "v_vec", "x_vec")
        ]
        return self.fitted(tuple(channels))[1]

    def _plain(self) -> Strength:
        return Strength(over=self.mass)

    def _descend(self, channels: tuple[Channel, ...]) -> tuple[float, Fitted]:
        self.warm = None
        length, best = self.fitted(channels)
        for _ in range(MOVES):
            self.warm = (
                (best.receiver, best.sender) if any(c.strength.hidden for c in best.channels) else None
            )
            trials = [self.fitted(other) for other in self._moves(best.channels)]
            lower, found = min(trials, key=lambda t: t[0])
            if lower >= length - 1e-6:
                break
            length, best = lower, found
            log.debug("%.1f nats: %s", length, [(c.block, c.strength) for c in best.channels])
        return length, best

    def _moves(self, channels: tuple[Channel, ...]) -> Iterator[tuple[Channel, ...]]:
        for k in range(len(channels)):
            yield channels[:k] + channels[k + 1 :]
        others = tuple(c for c in channels if c.block != "pair")
        pairs = tuple(c for c in channels if c.block == "pair")
        for strength in self._pairs():
            yield (*others, Channel("pair", strength))
            if not strength.hidden and all(c.strength != strength for c in pairs):
                yield (*channels, Channel("pair", strength))
        if len(self.labels) > 1:
            yield (*others, *(Channel("pair", s) for s in self._between()))
        for block in self.fitter.bank.blocks:
            if block == "pair":
                continue
            rest = tuple(c for c in channels if c.block != block and not _same_vector(c.block, block))
            single = block not in PAIR_BLOCKS
            for strength in self._singles(pairs if single else ()):
                yield (*rest, Channel(block, strength))

    def _between(self) -> list[Strength]:
        return [
            Strength(a, b, swapped=a != b, over=self.mass)
            for a, b in combinations_with_replacement(self.labels, 2)
        ]

    def _singles(self, pairs: tuple[Channel, ...] = ()) -> Iterator[Strength]:
        for end in {s for c in pairs for s in _shared(c.strength)}:
            yield Strength(receiver=end)
        overs = ["", self.mass] if self.mass else [""]
        for name in ("1", *(n for n in self.numbers), *self.labels):
            for over in overs:
                if not (name == over == self.mass):
                    yield Strength(receiver=name, over=over)

    def _pairs(self) -> Iterator[Strength]:
        if "pair" not in self.fitter.bank.blocks:
            return
        overs = ["", self.mass] if self.mass else [""]
        names = ["1", *self.numbers]
        for over in overs:
            for receiver in names:
                for sender in names:
                    if not (over and receiver == over):
                        yield Strength(receiver, sender, over=over)
            if self.starts:
                yield Strength("free", "free", same=True, over=over)
                if len(np.unique(self.fitter.group)) > 1:
                    yield Strength("1", "free", over=over)
                    yield Strength("free", "1", over=over)
                    yield Strength("free", "free", over=over)


def _shared(s: Strength) -> tuple[str, ...]:
    """Which unknowns of a pair force single particles may share."""
    if s.over or not s.hidden:
        return ()
    if s.same:
        return ("felt",)
    return tuple(n for n, use in (("felt", s.receiver == "free"), ("light", s.sender == "free")) if use)


def _shared_alike(channels: tuple[Channel, ...]) -> tuple[Channel, ...]:
    """Return the same channels, shared unknowns named in one way where several names mean the same."""
    hidden = next((c.strength for c in channels if c.strength.hidden), Strength())
    receiver, sender = hidden.receiver == "free", hidden.sender == "free"
    names = {"felt": "felt" if receiver else "1", "light": "light" if sender else "felt" if receiver else "1"}
    if hidden.same:
        names["light"] = "1"
    return tuple(
        replace(c, strength=replace(c.strength, receiver=names.get(c.strength.receiver, c.strength.receiver)))
        for c in channels
    )


def _same_vector(one: str, other: str) -> bool:
    return {one, other} in ({"v_vec", "drag"}, {"x_vec", "trap"})


def _unequal(s: Strength) -> bool:
    """Whether action differs from reaction whatever the masses."""
    if s.hidden:
        return bool(s.over) and s.receiver != s.sender
    if s.over:
        return s.receiver != s.sender
    return not (s.receiver == s.sender or (s.receiver == "1" and s.sender == "mass"))


def starts(fitter: Fitter, others: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return first strengths of receivers and senders, [particles] each, most likely first.

    Simple radial forms r^p stand in for the unknown one, so that each pair's strength is one number; these
    are found by least squares for every receiver, and the nearest product u_i w_j is taken.
    """
    bank = fitter.bank
    pair = bank.blocks["pair"]
    particles = bank.train.shape[1]
    if pair.bases != particles:
        return []
    gram = bank.train.sum(0)
    nodes = np.concatenate([bank.blocks[b].columns() for b in others])
    found = []
    for power in POWERS:
        shape = _power(pair.splines, power)
        into = np.zeros((bank.columns, particles + len(nodes)))
        for j in range(particles):
            into[pair.columns(j), j] = shape
        into[nodes, particles + np.arange(len(nodes))] = 1.0
        left = 0.0
        strength, precision = np.zeros((particles, particles)), np.zeros((particles, particles))
        for i in range(particles):
            normal = into.T @ gram[i][:-1, :-1] @ into
            right = into.T @ gram[i][:-1, -1]
            scale = 1 / np.sqrt(np.maximum(np.diag(normal), 1e-300))
            inverse = np.linalg.inv(normal * scale[:, None] * scale + 1e-6 * np.eye(len(right)))
            inverse = inverse * scale[:, None] * scale
            solution = inverse @ right
            left += float(gram[i][-1, -1] - solution @ right)
            strength[i] = solution[:particles]
            precision[i] = 1 / np.maximum(np.diag(inverse)[:particles], 1e-300)
        found.append((left, *_product(strength, precision)))
    found.sort(key=lambda f: f[0])
    return [(u, w) for _, u, w in found[:STARTS]] + [(np.ones(particles), np.ones(particles))]


def _power(splines: Splines, power: float) -> Float[np.ndarray, "splines"]:
    """Return coefficients by which splines imitate a power of their argument."""
    if splines.knots is None:
        return np.ones(1)
    logs = np.linspace(splines.knots[0], splines.knots[-1], 200)
    values = np.exp(power * (logs - logs.mean()))
    return np.linalg.lstsq(splines(np.exp(logs)) / values[:, None], np.ones(200), rcond=None)[0]


def _product(strength: Float[np.ndarray, "n n"], weight: Float[np.ndarray, "n n"], rounds: int = 300):
    """Return u, w with u_i w_j nearest to the strengths of i ≠ j, each by its own precision."""
    weight = weight * ~np.eye(len(strength), dtype=bool)
    best, least = (np.ones(len(strength)),) * 2, np.inf
    for first in (np.ones(len(strength)), *np.where(np.eye(len(strength), dtype=bool), 0.0, strength)):
        b = first
        for _ in range(rounds):
            a = (weight * strength) @ b / np.maximum(weight @ b**2, 1e-300)
            b = (weight * strength).T @ a / np.maximum(weight.T @ a**2, 1e-300)
        left = float((weight * (strength - np.outer(a, b)) ** 2).sum())
        if left < least:
            best, least = (a, b), left
    a, b = (x / max(np.abs(x).max(), 1e-300) for x in best)
    if not np.isfinite([a, b]).all() or not a.any() or not b.any():
        return np.ones(len(a)), np.ones(len(b))
    return a * np.sign(a[np.argmax(np.abs(a))]), b * np.sign(b[np.argmax(np.abs(b))])


def plainer(found: Fitted) -> tuple[Channel, ...]:
    """Return the channels in a fixed order: pairs first, then by name."""
    return tuple(sorted((replace(c) for c in found.channels), key=lambda c: (c.block != "pair", c.block)))
