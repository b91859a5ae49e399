"""Training of interatomic potentials on energies and forces, and how they are judged."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from sciml.datasets.frames import Frames
from sciml.graph import Graph
from sciml.models.potential import Potential, Prediction
from sciml.training.data import Batches, GraphData
from sciml.training.fit import SCHEDULES, SupervisedTask, fit
from sciml.training.processes import shared, summed

log = logging.getLogger(__name__)
EVALUATED = 64  # structures at a time, where nothing is learned
MEV = 1000.0
TRAINED = "trained."  # how a checkpoint names the weights that are trained


class Errors(NamedTuple):
    """What a potential says of a batch, minus what is true: in eV, eV/Å, and eV (None: not asked for)."""

    energy: Float[Tensor, "graphs"]
    forces: Float[Tensor, "nodes 3"]
    virial: Float[Tensor, "graphs 3 3"] | None


class PotentialTraining(SupervisedTask):
    """Squared errors of energies and virials per atom and of forces, in units of the typical force, by AdamW.

        L = w_E ⟨(ΔE / n)²⟩ / s² + w_F ⟨|ΔF|² / 3⟩ / s² + w_S ⟨|V Δσ / n|² / 9⟩ / s²

    s is the scale of the potential, n the number of atoms, V the volume and σ the stress. Each mean is over
    the frames (or atoms) for which there is something to compare.

    What is validated and kept is an exponential moving average of the weights; the average that did best on
    the validation frames stands in the checkpoint as the model, and the weights that are trained beside it,
    so that an interrupted run resumes to the same numbers. Training ends early once ``patience``
    validations in a row brought nothing better. The learning rate falls along a half cosine of the steps, or
    of the time that is allowed, if that ends sooner.

    Args:
        model, steps, learning_rate, weight_decay, seed: of `SupervisedTask`.
        energy_weight, forces_weight, stress_weight: w_E, w_F and w_S.
        decay: of the moving average, which is shorter during the first steps; 0 averages nothing.
        clip: largest norm of the gradient.
        schedule: how the learning rate falls: cosine, linear, or constant.
        late_energy_weight, late_from: w_E in the last part of the training, which begins at this share of it:
            forces are learned first, energies last. None changes nothing. What is validated has this w_E from
            the beginning, so that all epochs are compared by one measure.
        patience: validations without improvement; None never ends early.
    """

    model: Potential
    lowest: Tensor
    waited: Tensor
    fused, warm = True, 200
    extremes = "frames with extreme energies or forces, or atoms nearly at one place"

    def __init__(
        self,
        model: Potential,
        steps: int,
        learning_rate: float,
        weight_decay: float,
        *,
        energy_weight: float = 4.0,
        forces_weight: float = 1.0,
        stress_weight: float = 1.0,
        decay: float = 0.99,
        clip: float = 10.0,
        schedule: str = "cosine",
        late_energy_weight: float | None = None,
        late_from: float = 0.75,
        patience: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(model, steps, learning_rate, weight_decay, seed)
        weights = energy_weight, forces_weight, stress_weight
        if min(weights) < 0 or energy_weight + forces_weight == 0:
            raise ValueError(
                f"energy_weight={energy_weight}, forces_weight={forces_weight} and "
                f"stress_weight={stress_weight}: expected 0 or more, and the first two not both 0."
            )
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay}: expected 0 or more and less than 1.")
        if schedule not in SCHEDULES:
            raise ValueError(f"schedule={schedule!r}; choose from {', '.join(SCHEDULES)}.")
        if not 0 <= late_from <= 1 or (late_energy_weight is not None and late_energy_weight < 0):
            raise ValueError(
                f"late_energy_weight={late_energy_weight}, late_from={late_from}: expected 0 or more, from a "
                "share of the training between 0 and 1."
            )
        last = energy_weight if late_energy_weight is None else late_energy_weight
        self.weights, self.last_weights = weights, (last, *weights[1:])
        self.schedule, self.late_from, self.decay = SCHEDULES[schedule], late_from, decay
        self.clip, self.patience = clip, patience
        self.average = copy.deepcopy(model).requires_grad_(False)
        self.best = copy.deepcopy(self.average)
        self.register_buffer("lowest", torch.tensor(torch.inf))
        self.register_buffer("waited", torch.tensor(0))
        self._seen: list[Tensor] = []

    # ------------------------------------------------------------------ losses

    def loss(self, batch: Graph) -> Tensor:
        """Return L of a batch."""
        weights = self.last_weights if self.progress(self.global_step) >= self.late_from else self.weights
        sums, numbers = self._sums(self._errors(self.model, batch), batch)
        return self._weighted(sums / shared(numbers), weights)

    def _sums(self, errors: Errors, batch: Graph) -> tuple[Float[Tensor, "terms"], Float[Tensor, "terms"]]:
        """Return the sums of squares of energies, forces and virials, and over how many each is summed."""
        atoms = batch.node_counts.to(errors.energy.dtype)
        terms = [
            ((errors.energy / atoms).square(), batch.globals["has_energy"]),
            (errors.forces.square().mean(1), batch.nodes["has_forces"]),
        ]
        if errors.virial is not None:
            per_atom = errors.virial / atoms[:, None, None]
            terms.append((per_atom.square().mean((1, 2)), batch.globals["has_stress"]))
        return _summed_where(terms)

    def _weighted(self, means: Float[Tensor, "terms"], weights: tuple[float, ...]) -> Float[Tensor, ""]:
        return (means * means.new_tensor(weights[: len(means)])).sum() / self.model.scale**2

    def _errors(self, model: Potential, batch: Graph) -> Errors:
        stressed = self.weights[2] > 0 and "target_virial" in batch.globals
        energy, forces, virial = model.derivatives(batch, virial=stressed)
        return Errors(
            energy - batch.globals["target_energy"],
            forces - batch.nodes["target_forces"],
            None if virial is None else virial - batch.globals["target_virial"],
        )

    def validation_step(self, batch: Graph, batch_idx: int) -> None:
        """Remember the sums of squares and of errors of the averaged weights."""
        errors = self._errors(self.average, batch)
        shown = (
            (MEV * errors.forces.abs().mean(1), batch.nodes["has_forces"]),
            (MEV * errors.energy.abs(), batch.globals["has_energy"]),
        )
        both = zip(self._sums(errors, batch), _summed_where(shown))
        self._seen.append(torch.stack([torch.cat(parts) for parts in both]).detach())

    def _validated(self) -> Float[Tensor, "terms"] | None:
        """Return loss, error of forces and error of energies of all validation frames, if there are any."""
        if not self._seen:
            return None
        sums, numbers = summed(torch.stack(self._seen).sum(0))
        self._seen.clear()
        means = sums / numbers.clamp(min=1)
        return torch.cat([self._weighted(means[:-2], self.last_weights)[None], means[-2:]])

    # ------------------------------------------------------------------ steps

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Bound the norm of the gradient."""
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)

    @torch.no_grad()
    def on_train_batch_end(self, *_: Any) -> None:
        """Take the step into the moving average."""
        step = self.global_step
        decay = min(self.decay, step / (step + 9))
        average = get_ema_multi_avg_fn(decay)
        average(list(self.average.parameters()), list(self.model.parameters()), step)

    def on_validation_epoch_end(self) -> None:
        """Keep the average if it is the best so far, and end where nothing gets better."""
        found = self._validated()
        assert found is not None
        for name, value in zip(("loss", "force_mae", "energy_mae"), found):
            self.log(f"validation/{name}", value, prog_bar=name != "energy_mae")
        better = self._keep(found[0])
        self.waited.copy_(torch.zeros_like(self.waited) if better else self.waited + 1)
        if self.patience is not None and int(self.waited) >= self.patience:
            log.info("validation has not improved %d times in a row: training ends", self.patience)
            self.trainer.should_stop = True

    @torch.no_grad()
    def on_train_end(self) -> None:
        """Let the last steps count too, where time ended within an epoch."""
        self.validate_again()
        found = self._validated()
        if found is not None:
            self._keep(found[0])

    @torch.no_grad()
    def _keep(self, loss: Tensor) -> bool:
        """Keep the average if this loss is the lowest so far; return whether it is."""
        better = bool(loss < self.lowest)
        if better:
            self.lowest.copy_(loss)
            self.best.load_state_dict(self.average.state_dict())
        return better

    # ------------------------------------------------------------------ checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put what is to be used where `sciml.load_run` looks for the model."""
        state = checkpoint["state_dict"]
        use = self.best if torch.isfinite(self.lowest) else self.average
        renamed = {_renamed(name, "model.", TRAINED): value for name, value in state.items()}
        checkpoint["state_dict"] = renamed | {f"model.{k}": v for k, v in use.state_dict().items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the weights that are trained."""
        state = {k: v for k, v in checkpoint["state_dict"].items() if not k.startswith("model.")}
        checkpoint["state_dict"] = {_renamed(name, TRAINED, "model."): value for name, value in state.items()}

    def result(self) -> Potential:
        """Return the model to use: the best average."""
        return (self.best if torch.isfinite(self.lowest) else self.average).eval()


def _summed_where(terms: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return the sums of values where they are known, and how many are."""
    sums, numbers = [(value * known).sum() for value, known in terms], [known.sum() for _, known in terms]
    return torch.stack(sums), torch.stack(numbers).to(sums[0].dtype)


def _renamed(name: str, before: str, after: str) -> str:
    return after + name.removeprefix(before) if name.startswith(before) else name


def train_potential(
    model: Potential,
    train: Graph,
    validation: Graph,
    run_dir: str | Path,
    *,
    epochs: int = 200,
    batch_size: int = 8,
    batch_edges: int | None = None,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-5,
    seed: int = 0,
    every: int = 1,
    accelerator: str = "cpu",
    devices: int = 1,
    num_nodes: int = 1,
    strategy: str = "auto",
    max_time: str | timedelta | None = None,
    progress: bool | None = None,
    **options: Any,
) -> Potential:
    """Train, or go on where an earlier call in the same directory was ended; return the model to use.

    Args:
        model: with its scale and references.
        train, validation: of `sciml.datasets.potentials.target_graph`; validation may be empty.
        run_dir: gets ``checkpoints/last.ckpt`` and ``metrics.csv``.
        epochs, batch_size, learning_rate, weight_decay: of AdamW.
        batch_edges: edges in a batch, instead of a number of structures: for structures of many sizes.
        seed: of the order of batches.
        every: epochs from one validation to the next.
        accelerator, devices, num_nodes, strategy, max_time, progress: see `fit`.
        options: of `PotentialTraining`.
    """
    if batch_edges is not None and batch_edges < 1:
        raise ValueError(
            f"batch_edges={batch_edges}: expected a number of edges, as {train.num_edges // 10}."
        )
    steps = epochs * len(Batches(train, batch_size, edges=batch_edges))
    task = PotentialTraining(model, steps, learning_rate, weight_decay, seed=seed, **options)
    data = GraphData(
        train, validation, batch_size=batch_size, seed=seed, evaluated=EVALUATED, edges=batch_edges
    )
    fit(
        task, data, run_dir, epochs=epochs, validation=validation, every=every,
        accelerator=accelerator, devices=devices, num_nodes=num_nodes, strategy=strategy, max_time=max_time,
        progress=progress,
    )  # fmt: skip
    return task.result()


# ------------------------------------------------------------------ judgement


UNITS = {
    "energy_mae": "meV",
    "energy_rmse": "meV",
    "energy_mae_per_atom": "meV/atom",
    "force_mae": "meV/Å",
    "force_rmse": "meV/Å",
    "stress_mae": "meV/Å³",
    "stress_rmse": "meV/Å³",
}


def errors(frames: Frames, predicted: list[Prediction]) -> dict[str, float]:
    """Return mean absolute and root mean square errors of energies and of components of forces and stresses.

    Only what the frames have, and was predicted, is compared; errors of what there is none of are missing.

    Args:
        frames: what is true.
        predicted: one prediction for each frame.
    """
    return errors_in_parts([(frames, predicted)])


def errors_in_parts(parts: Iterable[tuple[Frames, list[Prediction]]]) -> dict[str, float]:
    """Return `errors` of frames and predictions that come a part at a time."""
    sums: dict[str, np.ndarray] = {}  # of absolute values, of squares, and how many
    for frames, predicted in parts:
        for name, wrong in _wrong(frames, predicted).items():
            wrong = MEV * wrong
            sums[name] = sums.get(name, 0.0) + np.array([np.abs(wrong).sum(), (wrong**2).sum(), wrong.size])
    found: dict[str, float] = {}
    for name, (absolute, squares, number) in sums.items():
        if name == "energy per atom":
            found["energy_mae_per_atom"] = float(absolute / number)
        else:
            found[f"{name}_mae"] = float(absolute / number)
            found[f"{name}_rmse"] = float(np.sqrt(squares / number))
    return found


def _wrong(frames: Frames, predicted: list[Prediction]) -> dict[str, np.ndarray]:
    """Return what is predicted minus what is true, where there is both."""
    energy = np.array([p.energy for p in predicted]) - frames.energy
    known = np.isfinite(frames.energy)
    atoms = np.array([len(a) for a in frames.atoms])
    forces = [p.forces - f for p, f in zip(predicted, frames.forces) if f is not None]
    stress = [
        p.stress - s for p, s in zip(predicted, frames.stress) if s is not None and p.stress is not None
    ]
    found = {"energy": energy[known], "energy per atom": (energy / atoms)[known]}
    found |= {name: np.concatenate(parts) for name, parts in (("force", forces), ("stress", stress)) if parts}
    return {name: wrong for name, wrong in found.items() if wrong.size}
