"""Training of stencils on snapshots, in weak form: least squares, as few moments as held-out snapshots allow.

The rate that the network predicts is integrated against smooth test functions and compared with the data's,
⟨φ, N(u)⟩ = −⟨φ_t, u⟩, so that no time derivative of noisy data is taken. The network is linear in the moments
of its stencils: training is a sequence of Gauss–Newton solutions, from a strong ridge to a weak one, and then
with moments set to zero one by one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from sciml.datasets.fields import FieldSeries
from sciml.distill.fields.weak import TestFunctions
from sciml.models import FieldNetwork
from sciml.nn.grid import pad
from sciml.nn.stencils import StencilSum
from sciml.training.run import AtomicCheckpoints, write_text

log = logging.getLogger(__name__)

RIDGES = tuple(10.0 ** -np.arange(0, 11))  # relative to the diagonal of the normal equations
LOOSE = 0.05  # share by which the held-out error may grow for the sake of fewer moments
WINDOW = 4_000_000  # numbers in one piece of features


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training gave.

    Attributes:
        validation: error of the rates on held-out snapshots, relative (rms), noise and all.
        moments: that are not zero.
    """

    validation: float
    moments: int


def train_stencils(
    model: FieldNetwork,
    data: FieldSeries,
    tests: TestFunctions,
    first_held_out: int,
    run_dir: str | Path | None = None,
) -> Trained:
    """Fit the stencils to the earlier snapshots; the later ones choose the ridge, and moments to leave out.

    Args:
        model: its moments are set.
        data: snapshots; ``periodic`` must be known.
        tests: test functions over time and space.
        first_held_out: number of the first held-out snapshot.
        run_dir: gets ``checkpoints/last.ckpt`` and ``metrics.csv``; nothing is written if None.

    Raises:
        ValueError: the test functions leave no room before or after the first held-out snapshot.
    """
    half = tests.bumps[0].half
    earlier, later = tests.time + half < first_held_out, tests.time - half >= first_held_out
    if not earlier.any() or not later.any():
        raise ValueError(
            f"No test function of {2 * half + 1} snapshots fits on each side of snapshot {first_held_out}: "
            "take narrower ones, or more snapshots."
        )
    order = (1, *(0,) * data.dim)
    target = np.stack(
        [tests.integrate(data.values[..., c], order) for c in range(len(data.channels))], axis=1
    )
    constant = np.ones((tests.number, 1))  # test functions sum to one
    matrix = np.concatenate([*features(model.stencils, data, tests), constant], axis=1)
    split = _Split(matrix[earlier], target[earlier], matrix[later], target[later])
    path = [(split.loss(w), split.error(w), w) for w in map(split.solve, RIDGES)]
    _, least, moments = min(path, key=lambda step: step[1])
    for fewer in split.pruned(moments, least * (1 + LOOSE)):
        path.append((split.loss(fewer), split.error(fewer), fewer))
    moments = path[-1][2]
    validation, number = path[-1][1], int((moments != 0).sum())
    stencils = model.stencils
    with torch.no_grad():
        stencils.moments.copy_(torch.as_tensor(moments[:-1].T.reshape(stencils.moments.shape)))
        stencils.bias.copy_(torch.as_tensor(moments[-1]))
    log.info(
        "stencils trained: %d of %d moments, held-out error %.2g of the rate of change",
        number, moments.size, validation,
    )  # fmt: skip
    if run_dir is not None:
        rows = [f"{i},{loss:.9g},{error:.9g}" for i, (loss, error, _) in enumerate(path)]
        write_text(
            Path(run_dir) / "metrics.csv",
            "\n".join(["epoch,train/loss,validation/relative_error", *rows]) + "\n",
        )
        state = {f"model.{name}": value for name, value in model.state_dict().items()}
        checkpoint = {"state_dict": state, "epoch": len(path)}
        AtomicCheckpoints().save_checkpoint(checkpoint, Path(run_dir) / "checkpoints" / "last.ckpt")
    return Trained(validation, number)


def features(
    stencils: StencilSum, data: FieldSeries, tests: TestFunctions
) -> Iterator[Float[np.ndarray, "rows moments"]]:
    """Yield, monomial by monomial, what each moment of its stencil adds to the integrated rate.

    Integration over time and stencils in space commute, so time goes first.
    """
    values = torch.as_tensor(data.values).flatten(0, -2)
    content = stencils.content(values).T  # monomials, points of space-time
    closed = data.periodic or (False,) * data.dim
    in_time = torch.as_tensor(tests.matrix(0, 0))
    half = [k // 2 for k in stencils.kernel]
    convolve = (F.conv1d, F.conv2d, F.conv3d)[data.dim - 1]
    kernels = stencils.basis.to(values.dtype).unflatten(-1, stencils.kernel)[:, None]
    for one in content:
        smooth = (in_time @ one.reshape(data.times, -1)).reshape(-1, 1, *data.shape)
        found = []
        for piece in smooth.split(max(1, WINDOW // (smooth[0].numel() * len(kernels)))):
            rates = convolve(pad(piece, half, half, closed), kernels)  # times, moments, *shape
            for axis in range(data.dim):
                matrix = torch.as_tensor(tests.matrix(axis + 1, 0))
                rates = torch.tensordot(rates, matrix, dims=([2], [1]))  # the axis goes last: all once round
            found.append(rates.movedim(1, -1).flatten(0, -2))
        yield torch.cat(found).numpy()


class _Split:
    """Least squares on the earlier snapshots, judged by the later ones; columns and rates scaled to one."""

    def __init__(
        self, matrix: np.ndarray, target: np.ndarray, later: np.ndarray, later_target: np.ndarray
    ) -> None:
        scale = np.sqrt((matrix**2).mean(0))
        self.scale = np.where(scale > 0, scale, 1.0)
        self.size = np.sqrt((target**2).mean(0))
        self.hessian, self.right, self.energy = self._normal(matrix, target)
        self.later = self._normal(later, later_target)
        self.values, self.vectors = np.linalg.eigh(self.hessian)

    def _normal(self, matrix: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        G, b = matrix / self.scale, target / self.size
        return G.T @ G / len(G), G.T @ b / len(G), (b**2).mean(0)

    def solve(self, ridge: float) -> Float[np.ndarray, "moments channels"]:
        along = self.vectors.T @ self.right
        return self._unscaled(self.vectors @ (along / (np.maximum(self.values, 0.0) + ridge)[:, None]))

    def loss(self, w: np.ndarray) -> float:
        return float(self._rest(w, self.hessian, self.right, self.energy).sum() / self.energy.sum())

    def error(self, w: np.ndarray) -> float:
        """Held-out error, relative (rms), of all channels together."""
        return float(np.sqrt(self._rest(w, *self.later).sum() / self.later[2].sum()))

    def pruned(self, w: np.ndarray, most: float) -> Iterator[Float[np.ndarray, "moments channels"]]:
        """Set to zero the moment that costs least, channel by channel, while the held-out error allows."""
        w = w.copy()
        for c in range(w.shape[1]):
            allowed = self._rest(w, *self.later)[c] * (most / max(self.error(w), 1e-300)) ** 2
            kept = np.flatnonzero(w[:, c])
            best = w[:, c]
            while len(kept) > 1:
                inverse = np.linalg.inv(self.hessian[np.ix_(kept, kept)] + RIDGES[-1] * np.eye(len(kept)))
                costs = (inverse @ self.right[kept, c]) ** 2 / np.diag(inverse)
                kept = np.delete(kept, int(np.argmin(costs)))
                trial = w.copy()
                trial[:, c] = 0.0
                inner = self.hessian[np.ix_(kept, kept)] + RIDGES[-1] * np.eye(len(kept))
                fitted = np.linalg.solve(inner, self.right[kept, c])
                trial[kept, c] = fitted / self.scale[kept] * self.size[c]
                if self._rest(trial, *self.later)[c] <= allowed:
                    best = trial[:, c]
            w[:, c] = best
            yield w.copy()

    def _rest(
        self, w: np.ndarray, hessian: np.ndarray, right: np.ndarray, energy: np.ndarray
    ) -> Float[np.ndarray, "channels"]:
        v = w * self.scale[:, None] / self.size
        return np.maximum(energy - 2 * (v * right).sum(0) + (v * (hessian @ v)).sum(0), 0.0)

    def _unscaled(self, v: np.ndarray) -> np.ndarray:
        return v / self.scale[:, None] * self.size
