"""Batches of graphs for Lightning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning as L  # noqa: N812 - Lightning's own idiom
import torch
from torch.utils.data import DataLoader, IterableDataset

from sciml.training.stages import at_epoch


class Batches(IterableDataset):
    """One epoch of batches of a stored batch of graphs, shuffled by (seed, epoch) alone.

    Whatever else has a length, a device, and gives the chosen ones for a tensor of numbers will do.
    """

    def __init__(self, graph: Any, batch_size: int | None, seed: int | None = None) -> None:
        self.graph, self.batch_size, self.seed = graph, batch_size, seed

    def __len__(self) -> int:
        return 1 if self.batch_size is None else -(-len(self.graph) // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        if self.batch_size is None:
            yield self.graph
            return
        order = torch.arange(len(self.graph))
        if self.seed is not None:
            order = torch.randperm(len(self.graph), generator=torch.Generator().manual_seed(self.seed))
        for ids in order.split(self.batch_size):
            yield self.graph[ids.to(self.graph.device)]


class GraphData(L.LightningDataModule):
    """Training and validation graphs; the batch size follows the stage of a staged task.

    Give the trainer ``reload_dataloaders_every_n_epochs=1``: each epoch's order depends on the seed and
    the epoch only, so that a resumed run sees the batches that it would have seen.
    """

    def __init__(
        self,
        train: Any,
        validation: Any,
        *,
        batch_size: int | None = 32,
        seed: int = 0,
        evaluated: int | None = None,
    ) -> None:
        super().__init__()
        self.evaluated = evaluated
        self.train, self.validation, self.batch_size, self.seed = train, validation, batch_size, seed

    def train_dataloader(self) -> DataLoader:
        """Return the batches of the current epoch."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        batch_size = self.batch_size
        stages = getattr(getattr(self.trainer, "lightning_module", None), "stages", None)
        if stages:
            batch_size = stages[at_epoch(stages, epoch)[0]].batch_size
        return DataLoader(
            Batches(self.train, batch_size, seed=self.seed * 1_000_003 + epoch), batch_size=None
        )

    def val_dataloader(self) -> DataLoader:
        """Return all validation graphs, ``evaluated`` at a time (None: as one batch)."""
        return DataLoader(Batches(self.validation, self.evaluated), batch_size=None)
