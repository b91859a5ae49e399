"""Candidate forces in one bank of columns, and the Gram matrices by which every combination is fitted.

For a receiver i the bank holds, integrated as the rows of `Observed` are,

    Σ_j b_gj B_k(r_ij) r̂_ij        pair forces along the line of centres, resolved by senders (bases g),
    Σ_j B_k(r_ij) e_ij              pair forces along other vectors e,
    B_k(|v_i|) v_i, v_i × e, x_i, … forces on single particles,

with B_k splines. A model is a linear map from its parameters into the bank, so its least squares need only
the Gram matrix of each receiver: thousands of models are compared without touching the data again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.interpolate import BSpline

from sciml.distill.motion.rows import Observed
from sciml.physics.differentiate import nearest_image
from sciml.physics.vectors import NODE_INVARIANTS, PAIR_INVARIANTS, VECTORS

FINE, COARSE = 9, 4  # splines of main and of other forces
FINEST = 16  # of main forces without noise
CLEAN = 2.5  # times between knots of paths without noise
ENOUGH = 200  # rows of each particle that fix many splines
RESOLVED = 12  # most particles whose pairs are resolved one by one
HELD_OUT = 0.25
SIMULATIONS = 5  # from which whole simulations are held out, and not late rows of each


@dataclass(frozen=True)
class Splines:
    """Cubic splines in the logarithm of an invariant, its quantiles as knots; or the constant 1."""

    argument: str
    knots: Float[np.ndarray, "knots"] | None

    @classmethod
    def over(cls, argument: str, values: Float[np.ndarray, "*any"], number: int) -> Splines:
        """Place knots between quantiles and even steps of the logarithm."""
        logs = np.log(np.maximum(values.ravel(), 1e-300))
        share = np.linspace(0, 1, number - 2)
        quantiles = np.quantile(logs, np.clip(share, 0.002, 0.998))
        even = np.linspace(quantiles[0], quantiles[-1], number - 2)
        inner = 0.5 * (quantiles + even)
        if inner[-1] - inner[0] < 1e-6:  # an invariant that hardly changes cannot be resolved
            return cls(argument, None)
        return cls(argument, np.r_[[inner[0]] * 3, inner, [inner[-1]] * 3])

    @property
    def number(self) -> int:
        """How many they are."""
        return 1 if self.knots is None else len(self.knots) - 4

    def __call__(self, values: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any number"]:
        """Evaluate all; constant beyond the ends."""
        if self.knots is None:
            return np.ones((*values.shape, 1))
        logs = np.clip(np.log(np.maximum(values.ravel(), 1e-300)), self.knots[0], self.knots[-1])
        found = BSpline.design_matrix(logs, self.knots, 3).toarray()
        return found.reshape(*values.shape, self.number)


@dataclass(frozen=True)
class Block:
    """Columns of one kind of force: for each basis (sender, or one) and spline."""

    name: str
    vectors: tuple[str, ...]
    splines: Splines
    bases: int
    start: int

    @property
    def size(self) -> int:
        """Number of columns."""
        return self.bases * len(self.vectors) * self.splines.number

    def columns(self, base: int = 0) -> np.ndarray:
        """Return the numbers of the columns of one basis."""
        one = len(self.vectors) * self.splines.number
        return self.start + base * one + np.arange(one)


@dataclass(frozen=True, eq=False)
class Bank:
    """Gram matrices of every receiver in every simulation; the last column is what is to be explained.

    Attributes:
        blocks: kinds of forces by name; "pair" is resolved by senders.
        senders: weights of particles in each basis of "pair", [bases, particles]; the receiver itself never
            counts.
        train, held_out: Gram matrices of the two parts.
        rows: number of rows (of one component) in train and held out, [2, simulations, particles].
        whole: both together.
    """

    blocks: dict[str, Block]
    senders: Float[np.ndarray, "bases particles"]
    train: Float[np.ndarray, "simulations particles columns columns"]
    held_out: Float[np.ndarray, "simulations particles columns columns"]
    rows: Float[np.ndarray, "2 simulations particles"]

    @property
    def columns(self) -> int:
        """Number of columns of the bank, without the target."""
        return self.train.shape[-1] - 1

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Least and largest value of each invariant that is resolved, but for outliers."""
        knots = {b.splines.argument: b.splines.knots for b in self.blocks.values()}
        return {
            name: (float(np.exp(k[0])), float(np.exp(k[-1]))) for name, k in knots.items() if k is not None
        }


def pair_geometry(observed: Observed, s: int) -> tuple[np.ndarray, np.ndarray]:
    """Return displacement and relative velocity of all pairs, [time, receiver, sender, dim]."""
    x, v = observed.position[s], observed.velocity[s]
    d, u = x[:, :, None] - x[:, None], v[:, :, None] - v[:, None]
    return nearest_image(d, observed.data.box), u


def fill(observed: Observed, senders: Float[np.ndarray, "bases particles"] | None = None) -> Bank:
    """Compute the bank of a set of trajectories."""
    simulations, _, particles, _ = observed.position.shape
    if senders is None:
        senders = np.eye(particles)
    blocks = _blocks(observed, len(senders))
    total = sum(block.size for block in blocks.values()) + 1
    gram = np.zeros((2, simulations, particles, total, total))
    rows = np.zeros((2, simulations, particles))
    for s in range(simulations):
        held = _held_out(s, simulations, len(observed.targets[s]))
        for i in range(particles):
            columns = _columns(observed, blocks, senders, s, i)
            for part, chosen in enumerate((~held, held)):
                keep = chosen & observed.valid[s][:, i]
                use = columns[keep].reshape(-1, total)
                gram[part, s, i] = use.T @ use
                rows[part, s, i] = len(use)
    return Bank(blocks, senders, gram[0], gram[1], rows)


def held_out_rows(observed: Observed) -> list[np.ndarray]:
    """Return which rows of each simulation are held out."""
    simulations = len(observed.targets)
    return [_held_out(s, simulations, len(t)) for s, t in enumerate(observed.targets)]


def _held_out(s: int, simulations: int, rows: int) -> np.ndarray:
    if simulations >= SIMULATIONS:
        return np.full(rows, s >= round((1 - HELD_OUT) * simulations))
    return np.arange(rows) >= round((1 - HELD_OUT) * rows)


def _blocks(observed: Observed, bases: int) -> dict[str, Block]:
    simulations, _, particles, dim = observed.position.shape
    distances, speeds, heights = [], [], []
    off = ~np.eye(particles, dtype=bool)
    for s in range(simulations):
        distances.append(np.linalg.norm(pair_geometry(observed, s)[0], axis=-1)[:, off])
        speeds.append(np.linalg.norm(observed.velocity[s], axis=-1))
        heights.append(np.linalg.norm(observed.position[s], axis=-1))
    r = np.concatenate(distances) if particles > 1 else np.zeros((0, 0))
    v, x = np.concatenate(speeds), np.concatenate(heights)
    one = Splines("", None)
    kinds: list[tuple[str, Sequence[str], Splines, int]] = []
    if particles > 1:
        resolved = observed.spacing < CLEAN and sum(map(len, observed.targets)) * dim > ENOUGH
        kinds.append(("pair", ("r_hat",), Splines.over("r", r, FINEST if resolved else FINE), bases))
        coarse = Splines.over("r", r, COARSE)
        others = ("w_vec", "w_across") + (("r_turned", "w_turned") if dim == 2 else ("r_cross_w",))
        kinds += [(name, (name,), coarse, 1) for name in others]
    axes = "xyz"[:dim]
    kinds += [
        ("uniform", tuple(f"e_{a}" for a in axes), one, 1),
        ("v_vec", ("v_vec",), one, 1),
        ("drag", ("v_vec",), Splines.over("v_i", v, 5), 1),
        ("magnetic", ("v_turned",) if dim == 2 else tuple(f"v_cross_{a}" for a in axes), one, 1),
    ]
    if observed.data.box is None:
        kinds += [("x_vec", ("x_vec",), one, 1), ("trap", ("x_vec",), Splines.over("x_i", x, 5), 1)]
        kinds += [("x_turned", ("x_turned",), one, 1)] if dim == 2 else []
    found, start = {}, 0
    for name, vectors, splines, number in kinds:
        found[name] = Block(name, tuple(vectors), splines, number, start)
        start += found[name].size
    return found


def _columns(
    observed: Observed, blocks: dict[str, Block], senders: np.ndarray, s: int, i: int
) -> Float[np.ndarray, "rows dim columns"]:
    """Return the bank and the target of one receiver, as rows see them."""
    d, u = (g[:, i] for g in pair_geometry(observed, s))
    x, v = observed.position[s][:, i], observed.velocity[s][:, i]
    others = np.arange(observed.position.shape[2]) != i
    d, u, weights = d[:, others], u[:, others], senders[:, others]
    parts = []
    for block in blocks.values():
        for_pairs = VECTORS[block.vectors[0]].place == "pair"
        geometry = (d, u) if for_pairs else (x, v)
        for_base = []
        for name in block.vectors:
            vector = VECTORS[name].of(*geometry)
            invariant = block.splines.argument
            if for_pairs:
                values = block.splines(PAIR_INVARIANTS[invariant or "r"](d, u))
                use = weights if block.bases > 1 else np.ones((1, weights.shape[1]))
                for_base.append(np.einsum("tjk,tjd,gj->tdgk", values, vector, use, optimize=True))
            else:
                values = block.splines(NODE_INVARIANTS[invariant[:-2] or "v"](x, v))
                for_base.append(np.einsum("tk,td->tdk", values, vector)[:, :, None])
        stacked = np.stack(for_base, axis=3)  # time dim bases vectors splines
        parts.append(stacked.reshape(*stacked.shape[:2], -1))
    table = np.concatenate(parts, axis=-1)
    rows = np.tensordot(observed.operators[s], table, axes=(1, 0)) / observed.sigma[s][:, i, None, None]
    return np.concatenate([rows, observed.targets[s][:, i, :, None]], axis=-1)
