"""Batches of graphs for Lightning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import lightning as L  # noqa: N812 - Lightning's own idiom
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from sciml.training.stages import at_epoch


class Batches(IterableDataset):
    """One epoch of batches of a stored batch of graphs, shuffled by (seed, epoch) alone.

    Whatever else has a length, a device, and gives the chosen ones for a tensor of numbers will do.

    Args:
        graph: the stored batch.
        batch_size: graphs in a batch; None takes all.
        seed: of the order; None keeps it.
        edges: where given, a batch has about so many edges instead: as many as that, and at most one graph
            more. So batches of graphs of very different sizes take about the same time and memory.
        part: number of this process, and of all processes among which each batch is divided: of its graphs
            in order, each takes every so manieth. A part may be empty.

    Raises:
        ValueError: batches of no graph or no edge.
    """

    def __init__(
        self,
        graph: Any,
        batch_size: int | None,
        seed: int | None = None,
        edges: int | None = None,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        if any(size is not None and size < 1 for size in (batch_size, edges)):
            raise ValueError(f"batch_size={batch_size} and edges={edges} of a batch: expected 1 or more.")
        self.graph, self.batch_size, self.seed, self.edges, self.part = graph, batch_size, seed, edges, part

    def __len__(self) -> int:
        if self.edges is not None:
            return max(-(-int(self.graph.num_edges) // self.edges), 1)
        return 1 if self.batch_size is None else -(-len(self.graph) // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        if self.batch_size is None and self.part == (0, 1):
            yield self.graph
            return
        order = torch.arange(len(self.graph))
        if self.seed is not None:
            order = torch.randperm(len(self.graph), generator=torch.Generator().manual_seed(self.seed))
        first, step = self.part
        for ids in self._parts(order):
            yield self.graph[ids[first::step].to(self.graph.device)]

    def _parts(self, order: Tensor) -> Iterable[Tensor]:
        """Divide the order into batches; where edges count, a graph belongs where its first edge falls.

        One without edges behind all others belongs to the last.
        """
        if self.batch_size is None:
            return (order,)
        if self.edges is None:
            return order.split(self.batch_size)
        counts = self.graph.edge_counts.cpu()[order]
        place = ((counts.cumsum(0) - counts) // self.edges).clamp(max=len(self) - 1)
        return order.split(torch.unique_consecutive(place, return_counts=True)[1].tolist())


class GraphData(L.LightningDataModule):
    """Training and validation graphs; the batch size follows the stage of a staged task.

    Give the trainer ``reload_dataloaders_every_n_epochs=1``: each epoch's order depends on the seed and
    the epoch only, so that a resumed run sees the batches that it would have seen. Where several processes
    train, each sees its part of these same batches, and of the validation.
    """

    def __init__(
        self,
        train: Any,
        validation: Any,
        *,
        batch_size: int | None = 32,
        seed: int = 0,
        evaluated: int | None = None,
        edges: int | None = None,
    ) -> None:
        super().__init__()
        self.evaluated, self.edges = evaluated, edges
        self.train, self.validation, self.batch_size, self.seed = train, validation, batch_size, seed

    @property
    def part(self) -> tuple[int, int]:
        """The number of this process, and of all."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def train_dataloader(self) -> DataLoader:
        """Return the batches of the current epoch."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        batch_size = self.batch_size
        stages = getattr(getattr(self.trainer, "lightning_module", None), "stages", None)
        if stages:
            batch_size = stages[at_epoch(stages, epoch)[0]].batch_size
        order = self.seed * 1_000_003 + epoch
        return DataLoader(Batches(self.train, batch_size, order, self.edges, self.part), batch_size=None)

    def val_dataloader(self) -> DataLoader:
        """Return all validation graphs, ``evaluated`` at a time (None: as one batch)."""
        return DataLoader(self.validation_batches(), batch_size=None)

    def validation_batches(self) -> Batches:
        """Return what `val_dataloader` loads."""
        return Batches(self.validation, self.evaluated, part=self.part)
