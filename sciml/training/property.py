"""Training of networks on molecules with measured properties: data, loss, best weights, intervals."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.builders.molecule import (
    DESCRIPTORS,
    Molecules,
    descriptor_names,
    molecule_descriptors,
    molecule_graph,
)
from sciml.datasets.molecule_splits import MoleculeSplit
from sciml.datasets.molecule_table import MoleculeTable
from sciml.graph import Graph
from sciml.models.property_predictor import PropertyPredictor
from sciml.training.conformal import conformal_half_width
from sciml.training.data import Batches, GraphData
from sciml.training.fit import SupervisedTask, fit
from sciml.training.processes import first, shared, summed
from sciml.training.run import AtomicCheckpoints, load_checkpoint

log = logging.getLogger(__name__)
EVALUATED = 256  # molecules at a time, where nothing is learned
Kind = Literal["regression", "classification"]


@dataclass(frozen=True)
class PropertyData:
    """Molecules as graphs, divided; ``globals["y"]`` has their properties, NaN where nothing was measured.

    Attributes:
        train, validation, test: graphs.
        table: all molecules that could be read.
        split: which of them each part has.
        kind: regression or classification.
        groups: how many descriptors each group of `DESCRIPTORS` has that the graphs have.
    """

    train: Graph
    validation: Graph
    test: Graph
    table: MoleculeTable
    split: MoleculeSplit
    kind: Kind
    groups: dict[str, int] = field(default_factory=dict)

    @property
    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each property in training."""
        values = self.table.values[self.split.train]
        mean, scale = np.nanmean(values, 0), np.nanstd(values, 0)
        return mean.tolist(), np.where(scale > 0, scale, 1.0).tolist()

    def class_weights(self, chosen: str | Sequence[float]) -> list[list[float]]:
        """Return how much labels 0 and 1 of each property count, scaled so that their mean in training is 1.

        Args:
            chosen: "balanced", by which both labels count as much in all; or two numbers, for each 0 and 1.

        Raises:
            ValueError: numbers instead of labels, or something else chosen.
        """
        if self.kind != "classification":
            raise ValueError(f"class_weights={chosen}: {self.table!r} has numbers, not labels 0 and 1.")
        ones = np.nanmean(self.table.values[self.split.train], 0)
        numbers = [0.0] if isinstance(chosen, str) else list(chosen)
        if chosen != "balanced" and (len(numbers) != 2 or min(numbers) <= 0):
            raise ValueError(f"class_weights={chosen}: choose balanced, or two numbers above 0, as [1, 5].")
        pairs = [(1 / (1 - p), 1 / p) if chosen == "balanced" else numbers for p in ones.tolist()]
        mean = [(1 - p) * zero + p * one for p, (zero, one) in zip(ones.tolist(), pairs)]
        return [[float(w / m) for w in pair] for pair, m in zip(pairs, mean)]


def property_data(
    table: MoleculeTable,
    split: MoleculeSplit,
    *,
    kind: Kind | Literal["auto"] = "auto",
    descriptors: bool | Sequence[str] = True,
    graphs: Graph | None = None,
) -> PropertyData:
    """Divide molecules, as graphs.

    Args:
        table, split: of `read_molecule_table` and `split_molecules`.
        kind: auto is classification where all values are 0 and 1.
        descriptors: groups of `sciml.builders.molecule.DESCRIPTORS` that are read too, as
            ``globals["descriptors"]``; true is all of them.
        graphs: what `property_graphs` returned for this table and these descriptors, where it is divided more
            than once.

    Raises:
        ValueError: another kind, labels that are not 0 and 1, a property without two different values in
            training.
    """
    kind = _kind(table, kind)
    for name, column in zip(table.targets, table.values[split.train].T):
        known = column[np.isfinite(column)]
        if kind == "regression" and np.isin(known, (0, 1)).all():
            log.warning("%r has labels 0 and 1, and is learned as a number beside others", name)
        if not len(known) or np.ptp(known) == 0:
            what = f"only the value {known[0]:g}" if len(known) else "no value"
            raise ValueError(f"{table!r}: {name!r} has {what} in training; there is nothing to learn.")
    graphs = property_graphs(table, descriptors) if graphs is None else graphs
    parts = [graphs[torch.from_numpy(rows)] for rows in (split.train, split.validation, split.test)]
    groups = {group: len(descriptor_names([group])) for group in _groups(descriptors)}
    return PropertyData(parts[0], parts[1], parts[2], table, split, kind, groups)


def property_graphs(table: MoleculeTable, descriptors: bool | Sequence[str] = True) -> Graph:
    """Return all molecules of a table as graphs with their properties, and with descriptors if wanted."""
    graphs = molecule_graph(Molecules(table.mols, tuple(range(len(table)))))
    fields = {"y": torch.from_numpy(table.values).float()}
    groups = _groups(descriptors)
    if groups:
        fields["descriptors"] = torch.from_numpy(molecule_descriptors(table.mols, groups)).float()
    return graphs.with_globals(None, **fields)


class PropertyTask(SupervisedTask):
    """Squared errors of standardized properties, or weighted cross-entropy of labels, over what was measured.

    The members of the ensemble are trained side by side and know nothing of each other; of each, the weights
    with the lowest validation loss are kept. A checkpoint's ``state_dict`` holds these best weights;
    ``current`` holds those that training goes on with.
    """

    model: PropertyPredictor
    fused = True

    def __init__(
        self,
        model: PropertyPredictor,
        steps: int,
        learning_rate: float,
        weight_decay: float,
        seed: int = 0,
        patience: int | None = None,
    ) -> None:
        super().__init__(model, steps, learning_rate, weight_decay, seed)
        self.patience, self.waited = patience, 0
        self.lowest = [float("inf")] * len(model.members)
        self.best: list[dict[str, Tensor] | None] = [None] * len(model.members)
        self._sums: list[tuple[Tensor, Tensor]] = []

    def losses(self, batch: Graph) -> tuple[Float[Tensor, "members"], Float[Tensor, ""]]:
        """Return each member's summed loss, and over how many values it is summed."""
        predicted, y = self.model(batch).globals["predicted"], batch.globals["y"]
        known = y.isfinite()
        true = torch.where(known, y, 0.0)[:, None].expand_as(predicted)
        if self.model.kind == "classification":
            weight = torch.where(true > 0.5, self.model.class_weights[:, 1], self.model.class_weights[:, 0])
            each = nn.functional.binary_cross_entropy_with_logits(predicted, true, weight, reduction="none")
        else:
            each = (predicted - self.model.standardized(true)).square()
        return (each * known[:, None]).sum((0, 2)), known.sum()

    def loss(self, batch: Graph) -> Tensor:
        """Return the sum over members of the mean loss: each learns as if alone."""
        total, count = self.losses(batch)
        return total.sum() / shared(count)

    # ------------------------------------------------------- the best weights

    def validation_step(self, batch: Graph, batch_idx: int) -> None:
        """Remember the losses."""
        self._sums.append(self.losses(batch))

    def on_validation_epoch_end(self) -> None:
        """Keep the weights of each member that has never been better; stop where none has been for long."""
        losses = self._validated()
        self.log("validation/loss", float(np.mean(losses)), prog_bar=True)
        self.waited = 0 if self._keep(losses) else self.waited + 1
        self._stop_if_waited()

    def on_train_end(self) -> None:
        """Let the last steps count too, where time ended within an epoch."""
        self._sums.clear()
        self.validate_again()
        self._keep(self._validated())

    def _validated(self) -> list[float]:
        """Return the loss of each member on all validation molecules."""
        each = torch.stack([torch.cat([losses, count[None].to(losses)]) for losses, count in self._sums])
        self._sums.clear()
        *totals, count = summed(each.sum(0)).tolist()
        return [total / max(count, 1) for total in totals]

    def _keep(self, losses: Sequence[float]) -> bool:
        """Keep the weights of the members that have never been better; return whether there are any."""
        better = [i for i, loss in enumerate(losses) if loss < self.lowest[i]]
        for i in better:
            self.lowest[i] = losses[i]
            self.best[i] = {k: v.clone() for k, v in self.model.members[i].state_dict().items()}
        return bool(better)

    def on_train_start(self) -> None:
        """Do not go on where an earlier call had stopped."""
        self._stop_if_waited()

    def _stop_if_waited(self) -> None:
        if self.patience is not None and self.waited >= self.patience:
            self.trainer.should_stop = True

    def use_best(self) -> None:
        """Give the model its best weights."""
        for member, best in zip(self.model.members, self.best):
            if best is not None:
                member.load_state_dict(best)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the best weights where `load_run` looks."""
        checkpoint["current"] = dict(checkpoint["state_dict"])
        checkpoint["best"] = {"lowest": self.lowest, "waited": self.waited, "members": self.best}
        for i, best in enumerate(self.best):
            for name, value in (best or {}).items():
                checkpoint["state_dict"][f"model.members.{i}.{name}"] = value

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the current weights."""
        checkpoint["state_dict"] = checkpoint["current"]
        best = checkpoint["best"]
        self.lowest, self.waited, self.best = best["lowest"], best["waited"], best["members"]


def train_property(
    model: PropertyPredictor,
    data: PropertyData,
    run_dir: str | Path,
    *,
    epochs: int = 60,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-4,
    patience: int | None = None,
    seed: int = 0,
    **trainer: Any,
) -> None:
    """Train, or go on where an earlier call in the same directory was ended; then measure the intervals.

    Afterwards the model has, of each member, the weights with the lowest validation loss; its process, with
    the share of `best_shares` or, of labels, `likeliest_shares`; and, of numbers, the half-widths of
    `conformal_half_width`: all on validation molecules.

    Args:
        model, data: what learns, and from what.
        run_dir: gets ``checkpoints/last.ckpt`` and ``metrics.csv``.
        epochs, batch_size, learning_rate, weight_decay: of AdamW.
        patience: epochs without a better validation loss of any member after which training ends.
        seed: of the order of batches.
        trainer: for `fit`.
    """
    model.learn_scales(data.train)
    steps = epochs * len(Batches(data.train, batch_size))
    task = PropertyTask(model, steps, learning_rate, weight_decay, seed, patience)
    batches = GraphData(data.train, data.validation, batch_size=batch_size, seed=seed, evaluated=EVALUATED)
    fit(task, batches, run_dir, epochs=epochs, validation=data.validation, **trainer)
    task.use_best()
    true = data.validation.globals["y"].double().numpy()
    if model.process is not None:
        model.fit_process(data.train)
        networks, process = each_alone(model, data.validation)
        best = best_shares if model.kind == "regression" else likeliest_shares
        model.share.copy_(torch.from_numpy(best(networks, process, true)))
    if model.kind == "regression":
        half = conformal_half_width(np.abs(predicted(model, data.validation) - true), model.coverage)
        model.half_width.copy_(torch.from_numpy(half))
    path = Path(run_dir) / "checkpoints" / "last.ckpt"
    checkpoint = load_checkpoint(path)
    known = dict(model.state_dict())
    later = (name for name in known if name.startswith(("half_width", "share", "process.")))
    checkpoint["state_dict"] |= {f"model.{name}": known[name].cpu().clone() for name in later}
    if first():
        AtomicCheckpoints().save_checkpoint(checkpoint, path)


@torch.no_grad()
def predicted(model: PropertyPredictor, graphs: Graph) -> Float[np.ndarray, "graphs targets"]:
    """Return the predictions of a model, in the units of training, or probabilities."""
    model.eval()
    device = model.half_width.device
    parts = [model.answer(batch.to(device)).cpu() for batch in Batches(graphs, EVALUATED)]
    return torch.cat(parts).double().numpy()


def each_alone(model: PropertyPredictor, graphs: Graph) -> list[Float[np.ndarray, "graphs targets"]]:
    """Return the predictions of a model's networks alone, and of its process alone."""
    shares, found = model.share.clone(), []
    for share in (0.0, 1.0):
        model.share.fill_(share)
        found.append(predicted(model, graphs))
    model.share.copy_(shares)
    return found


def best_shares(
    networks: Float[np.ndarray, "molecules targets"],
    process: Float[np.ndarray, "molecules targets"],
    true: Float[np.ndarray, "molecules targets"],
) -> Float[np.ndarray, "targets"]:
    """Return the share of the process, 0 to 1, with which squared errors are smallest; NaN is not known."""
    left, apart = np.where(np.isfinite(true), [true - networks, process - networks], 0.0)
    along, length = (left * apart).sum(0), (apart**2).sum(0)
    return np.divide(along, length, out=np.zeros_like(along), where=length > 0).clip(0, 1)


def likeliest_shares(
    networks: Float[np.ndarray, "molecules targets"],
    process: Float[np.ndarray, "molecules targets"],
    true: Float[np.ndarray, "molecules targets"],
) -> Float[np.ndarray, "targets"]:
    """Return the share of the process, in hundredths, with which labels are most likely; NaN is not known.

    Args:
        networks, process: probabilities of 1.
        true: labels 0 and 1.
    """
    shares = np.linspace(0, 1, 101)
    mixed = (1 - shares[:, None, None]) * networks + shares[:, None, None] * process
    chance = np.where(true > 0.5, mixed, 1 - mixed).clip(1e-9)
    return shares[np.where(np.isfinite(true), np.log(chance), 0.0).sum(1).argmax(0)]


# -------------------------------------------------------------------- details


def _groups(descriptors: bool | Sequence[str]) -> list[str]:
    return (list(DESCRIPTORS) if descriptors else []) if isinstance(descriptors, bool) else list(descriptors)


def _kind(table: MoleculeTable, kind: str) -> Kind:
    known = table.values[np.isfinite(table.values)]
    labels = bool(np.isin(known, (0, 1)).all())
    if kind not in ("auto", "regression", "classification"):
        raise ValueError(f"kind={kind!r}; choose auto, regression or classification.")
    if kind == "classification" and not labels:
        raise ValueError(f"{table!r}: classification takes labels 0 and 1, and there are other values.")
    return "classification" if kind == "classification" or (kind == "auto" and labels) else "regression"
