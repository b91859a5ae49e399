"""Training of networks on residue tasks, and their answers on structures that were kept back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sciml.datasets.residue_tasks import ResidueTask
from sciml.datasets.residues import asked
from sciml.graph import Graph
from sciml.models.residue_predictor import ResiduePredictor
from sciml.training.data import Batches, GraphData
from sciml.training.fit import SupervisedTask, fit
from sciml.training.processes import batch_mean
from sciml.training.residue_scores import Answers

EVALUATED = 1  # structures at a time, where nothing is learned: all pairs of a large one are many
TEST_SEED = 12345  # of contacts hidden and noise drawn where models are judged


class ResidueTraining(SupervisedTask):
    """The loss of a residue task: squares for numbers and vectors, cross-entropy for classes and contacts.

    Numbers count in units of their deviation in training, vectors in units of the noise. Contacts that are
    hidden and noise are drawn from the seed and the step, so that a resumed run draws the same.
    """

    extremes = "coordinates that are far from all others"

    def __init__(
        self,
        model: ResiduePredictor,
        steps: int,
        learning_rate: float,
        weight_decay: float,
        *,
        noise: float = 1.0,
        negatives: float = 4.0,
        seed: int = 0,
    ) -> None:
        super().__init__(model, steps, learning_rate, weight_decay, seed)
        self.task, self.deviation = model.task, model.deviation
        self.noise, self.negatives = noise, negatives

    def loss(self, batch: Graph) -> Tensor:
        """Return the mean over residues, or over pairs."""
        return self._loss(batch, self.step_seed)

    def validation_step(self, batch: Graph, batch_idx: int) -> None:
        """Log the same loss; hidden contacts and noise are the same each time."""
        self.log_mean("validation/loss", self._loss(batch, TEST_SEED), len(batch), prog_bar=True)

    def _loss(self, batch: Graph, seed: int) -> Tensor:
        task = self.task
        if task.kind in ("pairs", "vectors"):
            batch = asked(batch.to("cpu"), task, seed, self.noise, self.negatives).to(batch.device)
        found, true = answers_of(self.model(batch), task)
        if task.kind == "classes":
            return batch_mean(nn.functional.cross_entropy(found, true, reduction="none"))
        if task.kind == "pairs":  # of which a peptide has none
            return batch_mean(nn.functional.binary_cross_entropy_with_logits(found, true, reduction="none"))
        scale = self.deviation if task.kind == "number" else self.noise
        return batch_mean(((found - true) / scale).square())


def answers_of(graph: Graph, task: ResidueTask) -> tuple[Tensor, Tensor]:
    """Return what was predicted and what is true, where the truth is known."""
    name = f"predicted_{task.name}"
    if task.kind == "pairs":
        rows = graph.edges["candidate"]
        found = graph.edges[name][rows]
        return found, graph.edges["label"][rows].to(found.dtype)
    mask = graph.nodes["target_mask"]
    return graph.nodes[name][mask], graph.nodes["target"][mask]


def train_residues(
    model: ResiduePredictor,
    train: Graph,
    validation: Graph,
    run_dir: str | Path,
    *,
    epochs: int = 30,
    batch_size: int = 4,
    learning_rate: float = 2e-3,
    weight_decay: float = 1e-2,
    noise: float = 1.0,
    negatives: float = 4.0,
    seed: int = 0,
    **trainer: Any,
) -> None:
    """Train, or go on where an earlier call in the same directory was ended.

    Args:
        model: for the task.
        train, validation: graphs with ``nodes["target"]`` and ``target_mask``; validation may be empty.
        run_dir: gets ``checkpoints/last.ckpt`` and ``metrics.csv``.
        epochs, batch_size, learning_rate, weight_decay: of AdamW; the batch size counts structures.
        noise: standard deviation of each coordinate in Å, for denoising.
        negatives: pairs without contact for each hidden contact.
        seed: of the order of batches, hidden contacts and noise.
        trainer: for `fit`.
    """
    steps = epochs * len(Batches(train, batch_size))
    training = ResidueTraining(
        model, steps, learning_rate, weight_decay, noise=noise, negatives=negatives, seed=seed
    )
    data = GraphData(train, validation, batch_size=batch_size, seed=seed, evaluated=EVALUATED)
    fit(training, data, run_dir, epochs=epochs, validation=validation, **trainer)


@torch.no_grad()
def answer(model: ResiduePredictor, graphs: Graph, *, centre: float = 0.0) -> Answers:
    """Return the answers of a model to what is asked (see `sciml.datasets.residues.asked`)."""
    task = model.task
    found, true, owner = [], [], []
    model.eval()
    for start in range(0, len(graphs), EVALUATED):
        part = graphs[start : start + EVALUATED]
        predicted, truth = answers_of(model(part), task)
        found.append(predicted.log_softmax(-1) if task.kind == "classes" else predicted)
        true.append(truth)
        rows = part.edge_graph[part.edges["candidate"]] if task.kind == "pairs" else None
        owner.append(start + (part.node_graph[part.nodes["target_mask"]] if rows is None else rows))
    columns = [torch.cat(parts).cpu().numpy() for parts in (found, true, owner)]
    return Answers(columns[0].astype(np.float64), columns[1], columns[2], centre)
