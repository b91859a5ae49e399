"""Training of classifiers: one label for each graph."""

from __future__ import annotations

import logging
import math
import sys
from pathlib import Path
from typing import Any

import lightning as L  # noqa: N812 - Lightning's own idiom
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from sciml.graph import Graph
from sciml.training.data import Batches, GraphData
from sciml.training.run import AtomicCheckpoints, load_checkpoint, quiet_lightning
from sciml.training.task import NonFiniteLossError

log = logging.getLogger(__name__)
EVALUATED = 256  # graphs at a time, where nothing is learned


class ClassificationTask(L.LightningModule):
    """Cross-entropy of ``globals["logits"]`` against ``globals["label"]``, by AdamW.

    The learning rate rises over the first tenth of the steps and falls to zero along a half cosine. It and
    the order of batches follow from the epoch and the step, so that an interrupted run resumes to the same
    numbers.
    """

    def __init__(
        self, model: nn.Module, classes: int, steps: int, learning_rate: float, weight_decay: float
    ) -> None:
        super().__init__()
        self.model, self.steps = model, steps
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.accuracy = MulticlassAccuracy(classes, average="micro")

    def configure_optimizers(self) -> Any:
        """Return AdamW and the schedule of its learning rate."""
        optimizer = torch.optim.AdamW(
            self.model.parameters(), self.learning_rate, weight_decay=self.weight_decay
        )
        warm = max(self.steps // 10, 1)
        rate = lambda step: min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * min(step / self.steps, 1))))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: Graph, batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        loss = nn.functional.cross_entropy(self.model(batch).globals["logits"], batch.globals["label"])
        if not torch.isfinite(loss):
            raise NonFiniteLossError(
                f"The loss became {float(loss)} in epoch {self.current_epoch}, step {self.global_step}. "
                "Lower the learning rate (task.learning_rate), or look for extreme pixels."
            )
        self.log("train/loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=batch.num_graphs)
        return loss

    def validation_step(self, batch: Graph, batch_idx: int) -> None:
        """Log the accuracy."""
        self.accuracy(self.model(batch).globals["logits"], batch.globals["label"])
        self.log("validation/accuracy", self.accuracy, prog_bar=True, batch_size=batch.num_graphs)

    def transfer_batch_to_device(self, batch: Graph, device: torch.device, dataloader_idx: int) -> Graph:
        """Move a batch; Lightning knows tensors and containers, not graphs."""
        return batch.to(device, non_blocking=True)


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
    accelerator: str = "cpu",
    devices: int = 1,
    max_time: str | None = None,
    progress: bool | None = None,
) -> None:
    """Train, or go on where an earlier call in the same directory was ended.

    Args:
        model: gives ``globals["logits"]``.
        train, validation: graphs with ``globals["label"]``; validation may be empty.
        run_dir: gets ``checkpoints/last.ckpt`` and ``metrics.csv``.
        classes: number of labels.
        epochs, batch_size, learning_rate, weight_decay: of AdamW.
        seed: of the order of batches.
        accelerator, devices, max_time: Lightning's.
        progress: show a progress bar; by default where the output is a terminal.
    """
    run_dir = Path(run_dir)
    checkpoint = run_dir / "checkpoints" / "last.ckpt"
    steps = epochs * -(-len(train) // batch_size)
    with quiet_lightning():
        trainer = L.Trainer(
            max_epochs=epochs,
            max_time=max_time,
            accelerator=accelerator,
            devices=devices,
            logger=CSVLogger(run_dir, name="", version=""),
            callbacks=[ModelCheckpoint(checkpoint.parent, filename="last", enable_version_counter=False)],
            plugins=[AtomicCheckpoints()],
            reload_dataloaders_every_n_epochs=1,
            num_sanity_val_steps=0,
            limit_val_batches=None if len(validation) else 0,
            log_every_n_steps=1,
            enable_progress_bar=sys.stderr.isatty() if progress is None else progress,
            enable_model_summary=False,
        )
        resume = checkpoint if checkpoint.is_file() else None
        if resume is not None:
            log.info("going on after epoch %s of %s", load_checkpoint(checkpoint).get("epoch", 0), epochs)
        task = ClassificationTask(model, classes, steps, learning_rate, weight_decay)
        data = GraphData(train, validation, batch_size=batch_size, seed=seed)
        trainer.fit(task, data, ckpt_path=resume, weights_only=True)
        if trainer.interrupted:
            raise KeyboardInterrupt
        trainer.save_checkpoint(checkpoint)


@torch.no_grad()
def confusion(model: nn.Module, graphs: Graph, classes: int) -> Tensor:
    """Count graphs by true label (rows) and most probable label (columns)."""
    table = torch.zeros(classes, classes, dtype=torch.long)
    model.eval()
    for batch in Batches(graphs, EVALUATED):
        found = model(batch).globals["logits"].argmax(-1).cpu()
        table.index_put_((batch.globals["label"].cpu(), found), torch.ones_like(found), accumulate=True)
    return table
