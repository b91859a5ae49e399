"""Training of stencils on snapshots, in weak form: least squares with a ridge that held-out snapshots choose.

The rate that the network predicts is integrated against smooth test functions and compared with the data's,
⟨φ, N(u)⟩ = −⟨φ_t, u⟩, so that no time derivative of noisy data is taken. The network is linear in the moments
of its stencils, and training is a sequence of Gauss–Newton solutions, from a strong ridge to a weak one.
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
WINDOW = 4_000_000  # numbers in one piece of features


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training gave.

    Attributes:
        validation: error of the rates on held-out snapshots, relative (rms), noise and all.
        ridge: that was chosen.
    """

    validation: float
    ridge: float


def train_stencils(
    model: FieldNetwork,
    data: FieldSeries,
    tests: TestFunctions,
    first_held_out: int,
    run_dir: str | Path | None = None,
) -> Trained:
    """Fit the stencils to the earlier snapshots; the later ones choose the ridge.

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
    matrix = np.concatenate(list(features(model.stencils, data, tests)), axis=1)
    path = list(_path(matrix[earlier], target[earlier], matrix[later], target[later]))
    _, validation, ridge, moments = min(path, key=lambda step: step[1])
    stencils = model.stencils
    with torch.no_grad():
        stencils.moments.copy_(torch.as_tensor(moments.T.reshape(stencils.moments.shape)))
    log.info("stencils trained: held-out error %.2g of the rate of change, ridge %.0e", validation, ridge)
    if run_dir is not None:
        rows = [f"{i},{loss:.9g},{error:.9g}" for i, (loss, error, _, _) in enumerate(path)]
        write_text(
            Path(run_dir) / "metrics.csv",
            "\n".join(["epoch,train/loss,validation/relative_error", *rows]) + "\n",
        )
        state = {f"model.{name}": value for name, value in model.state_dict().items()}
        checkpoint = {"state_dict": state, "epoch": len(path)}
        AtomicCheckpoints().save_checkpoint(checkpoint, Path(run_dir) / "checkpoints" / "last.ckpt")
    return Trained(validation, ridge)


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


def _path(
    matrix: np.ndarray, target: np.ndarray, later: np.ndarray, later_target: np.ndarray
) -> Iterator[tuple[float, float, float, Float[np.ndarray, "moments channels"]]]:
    """Yield loss, held-out error, ridge and solution, for weaker and weaker ridges."""
    scale = np.sqrt((matrix**2).mean(0))
    scale = np.where(scale > 0, scale, 1.0)
    size = np.sqrt((target**2).mean(0))
    hessian = (matrix / scale).T @ (matrix / scale) / len(matrix)
    right = (matrix / scale).T @ (target / size) / len(matrix)
    values, vectors = np.linalg.eigh(hessian)
    along = vectors.T @ right
    for ridge in RIDGES:
        w = (vectors @ (along / (np.maximum(values, 0.0) + ridge)[:, None])) / scale[:, None] * size
        errors = [
            np.sqrt(((m @ w - t) ** 2).sum() / (t**2).sum())
            for m, t in ((matrix, target), (later, later_target))
        ]
        yield float(errors[0] ** 2), float(errors[1]), float(ridge), w
