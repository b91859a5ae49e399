"""Training of classifiers: one label for each graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from sciml.graph import Graph
from sciml.training.data import Batches, GraphData
from sciml.training.fit import SupervisedTask, fit

EVALUATED = 256  # graphs at a time, where nothing is learned


class ClassificationTask(SupervisedTask):
    """Cross-entropy of ``globals["logits"]`` against ``globals["label"]``, by AdamW."""

    extremes = "extreme pixels"
    undivided = "networks of images are normalized by all images of a batch, which no process would have"

    def __init__(
        self, model: nn.Module, classes: int, steps: int, learning_rate: float, weight_decay: float
    ) -> None:
        super().__init__(model, steps, learning_rate, weight_decay)
        self.accuracy = MulticlassAccuracy(classes, average="micro")

    def loss(self, batch: Graph) -> Tensor:
        """Return the cross-entropy."""
        return nn.functional.cross_entropy(self.model(batch).globals["logits"], batch.globals["label"])

    def validation_step(self, batch: Graph, batch_idx: int) -> None:
        """Log the accuracy."""
        self.accuracy(self.model(batch).globals["logits"], batch.globals["label"])
        self.log("validation/accuracy", self.accuracy, prog_bar=True, batch_size=batch.num_graphs)


def train_classifier(
    model: nn.Module,
    train: Graph,
    validation: Graph,
    run_dir: str | Path,
    *,
    classes: int,
    epochs: int = 30,
    batch_size: int = 64,
    learning_rate: float = 5e-3,
    weight_decay: float = 1e-2,
    seed: int = 0,
    **trainer: Any,
) -> None:
    """Train, or go on where an earlier call in the same directory was ended.

    Args:
        model: gives ``globals["logits"]``.
        train, validation: graphs with ``globals["label"]``; validation may be empty.
        run_dir: gets ``checkpoints/last.ckpt`` and ``metrics.csv``.
        classes: number of labels.
        epochs, batch_size, learning_rate, weight_decay: of AdamW.
        seed: of the order of batches.
        trainer: for `fit`.
    """
    steps = epochs * len(Batches(train, batch_size))
    task = ClassificationTask(model, classes, steps, learning_rate, weight_decay)
    data = GraphData(train, validation, batch_size=batch_size, seed=seed)
    fit(task, data, run_dir, epochs=epochs, validation=validation, **trainer)


@torch.no_grad()
def confusion(model: nn.Module, graphs: Graph, classes: int) -> Tensor:
    """Count graphs by true label (rows) and most probable label (columns)."""
    table = torch.zeros(classes, classes, dtype=torch.long)
    model.eval()
    for batch in Batches(graphs, EVALUATED):
        found = model(batch).globals["logits"].argmax(-1).cpu()
        table.index_put_((batch.globals["label"].cpu(), found), torch.ones_like(found), accumulate=True)
    return table
