"""Training of drug–target models, and what they are compared with."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sciml.builders import molecule_graph, protein_sequence_graph
from sciml.builders.molecule import Failure
from sciml.builders.protein_sequence import SequenceError
from sciml.datasets.negatives import NegativeSampler
from sciml.datasets.pair_splits import PairSplit, split_pairs
from sciml.datasets.pairs import Pairs
from sciml.graph import Graph
from sciml.models.drug_target import DrugTarget, PairGraphs
from sciml.training.data import Batches, GraphData
from sciml.training.fit import SupervisedTask, fit
from sciml.training.processes import batch_mean

log = logging.getLogger(__name__)
EVALUATED = 512  # pairs at a time, where nothing is learned
Kind = Literal["auto", "affinity", "link"]


class PairBatch(NamedTuple):
    """Pairs and their values."""

    graphs: PairGraphs
    value: Float[Tensor, "pairs"]

    def to(self, device: torch.device | str, **options: Any) -> PairBatch:
        """Return the batch on another device."""
        return PairBatch(self.graphs.to(device), self.value.to(device))


@dataclass(frozen=True)
class PairSet:
    """Pairs to take batches from: all drugs and targets once, and which of them each pair has."""

    graphs: PairGraphs
    value: Float[Tensor, "pairs"]

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, chosen: Int[Tensor, "chosen"]) -> PairBatch:
        return PairBatch(self.graphs.chosen(chosen), self.value[chosen])

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return self.value.device


@dataclass(frozen=True)
class DrugTargetData:
    """What a drug–target model is trained on and judged by.

    Attributes:
        train, validation, test: the parts.
        pairs: all pairs that could be read.
        split: numbers of the pairs in each part.
        kind: affinity or link.
        left_out: drugs and targets that could not be read, by name of the column.
    """

    train: PairSet
    validation: PairSet
    test: PairSet
    pairs: Pairs
    split: PairSplit
    kind: Literal["affinity", "link"]
    left_out: Mapping[str, list[Failure]]


def drug_target_data(
    pairs: Pairs,
    *,
    kind: Kind = "auto",
    negatives: float = 0.0,
    strict: bool = False,
    seed: int = 0,
    **split: Any,
) -> DrugTargetData:
    """Read SMILES and sequences, leave out what cannot be read, and divide the pairs.

    Args:
        pairs: the left side's text is SMILES, the right side's an amino-acid sequence.
        kind: link where values are labels 0 and 1, affinity where they are numbers; auto looks.
        negatives: so many pairs that are not in the table for each that is, drawn at random and labelled 0:
            where a table has only pairs that bind.
        strict: raise at the first drug or target that cannot be read.
        seed: of negatives and division.
        split: for `split_pairs`.

    Raises:
        ValueError: labels that are all alike, affinities that are all equal, labels that are not 0 and 1;
            drugs or targets that cannot be read, if ``strict`` or if nothing is left.
    """
    pairs, found = _labelled(pairs, kind, negatives, seed)
    texts = (pairs.left_text or pairs.left, pairs.right_text or pairs.right)
    left_out: dict[str, list[Failure]] = {pairs.columns[0]: [], pairs.columns[1]: []}
    drugs = molecule_graph(list(texts[0]), strict=strict, failures=left_out[pairs.columns[0]])
    targets, rows = _sequences(texts[1], strict, left_out[pairs.columns[1]])
    number = [np.full(len(text), -1) for text in texts]
    number[0][drugs.globals["row"].numpy()] = np.arange(len(drugs))
    number[1][rows] = np.arange(len(rows))
    index = np.stack([number[side][pairs.index[side]] for side in (0, 1)])
    readable = np.all(index >= 0, axis=0)
    if not readable.all():
        log.warning("%d of %d pairs left out with them", int((~readable).sum()), len(pairs))
        pairs, index = pairs.take(np.flatnonzero(readable)), index[:, readable]
        _check_values(pairs, found)
    parts = split_pairs(pairs, seed=seed, **split)
    assert pairs.value is not None
    value = torch.as_tensor(pairs.value, dtype=torch.float32)
    both = torch.from_numpy(index)
    make = lambda part: PairSet(
        PairGraphs(drugs, targets, both[:, torch.from_numpy(part)]), value[torch.from_numpy(part)]
    )
    sets = [make(part) for part in (parts.train, parts.validation, parts.test)]
    return DrugTargetData(sets[0], sets[1], sets[2], pairs, parts, found, left_out)


class DrugTargetTask(SupervisedTask):
    """Squared error of affinities in units of their spread, or cross-entropy of links, by AdamW."""

    model: DrugTarget
    extremes = "extreme affinities"

    def loss(self, batch: PairBatch) -> Tensor:
        """Return the loss of a batch."""
        value = self.model(batch.graphs)
        if self.model.kind == "link":
            each = nn.functional.binary_cross_entropy_with_logits(value, batch.value, reduction="none")
            return batch_mean(each)
        return batch_mean(((value - batch.value) / self.model.scale).square())

    def size(self, batch: PairBatch) -> int:
        """Return the number of pairs."""
        return len(batch.value)

    def validation_step(self, batch: PairBatch, batch_idx: int) -> None:
        """Log the loss."""
        self.log_mean("validation/loss", self.loss(batch), self.size(batch), prog_bar=True)


def train_drug_target(
    model: DrugTarget,
    train: PairSet,
    validation: PairSet,
    run_dir: str | Path,
    *,
    epochs: int = 20,
    batch_size: int = 128,
    learning_rate: float = 3e-3,
    weight_decay: float = 1e-2,
    seed: int = 0,
    **trainer: Any,
) -> None:
    """Train, or go on where an earlier call in the same directory was ended.

    Args:
        model, train, validation: validation may be empty.
        run_dir: gets ``checkpoints/last.ckpt`` and ``metrics.csv``.
        epochs, batch_size, learning_rate, weight_decay: of AdamW; batches are of pairs.
        seed: of the order of batches.
        trainer: for `fit`.
    """
    steps = epochs * len(Batches(train, batch_size))
    task = DrugTargetTask(model, steps, learning_rate, weight_decay, seed)
    data = GraphData(train, validation, batch_size=batch_size, seed=seed, evaluated=EVALUATED)
    fit(task, data, run_dir, epochs=epochs, validation=validation, **trainer)


@torch.no_grad()
def predicted(model: DrugTarget, pairs: PairSet) -> Float[np.ndarray, "pairs"]:
    """Return the affinities, or the logarithms of the odds, of all pairs of a set."""
    model.eval()
    device = next(model.parameters()).device
    parts = [model(batch.graphs.to(device)).cpu() for batch in Batches(pairs, EVALUATED)]
    return torch.cat(parts).double().numpy() if parts else np.zeros(0)


# -------------------------------------------------------------------- details


def _labelled(
    pairs: Pairs, kind: Kind, negatives: float, seed: int
) -> tuple[Pairs, Literal["affinity", "link"]]:
    """Return pairs with values, and what the values are."""
    if kind not in ("auto", "affinity", "link"):
        raise ValueError(f"kind={kind!r}; choose auto, affinity or link.")
    if negatives < 0:
        raise ValueError(f"negatives={negatives}: expected 0 or more.")
    positive = pairs.value is None or bool((pairs.value == 1).all())
    if positive and negatives and kind != "affinity":
        return _with_negatives(pairs, negatives, seed), "link"
    if pairs.value is None:
        raise ValueError(
            f"{pairs!r} has no values: name their column (data.value_column=...); or take "
            "data.negatives=1, if these are the pairs that bind and all others may be taken not to."
        )
    found: Literal["affinity", "link"] = (
        "link" if kind == "link" or (kind == "auto" and pairs.binary) else "affinity"
    )
    _check_values(pairs, found)
    return pairs, found


def _check_values(pairs: Pairs, kind: str) -> None:
    assert pairs.value is not None
    name = pairs.columns[2]
    if kind == "link" and not pairs.binary:
        raise ValueError(f"{pairs!r}: kind=link takes labels 0 and 1, and {name} has other values.")
    if not len(pairs) or np.ptp(pairs.value) == 0:
        what = f"all values of {name!r} are {pairs.value[0]:g}" if len(pairs) else "no pair is left"
        hint = " If all others may be taken not to bind: data.negatives=1." if kind == "link" else ""
        raise ValueError(f"{pairs!r}: {what}; there is nothing to tell apart.{hint}")


def _with_negatives(pairs: Pairs, negatives: float, seed: int) -> Pairs:
    """Add pairs that are not in the table, each once, labelled 0."""
    known = torch.from_numpy(pairs.index)
    sampler = NegativeSampler(known, len(pairs.left), len(pairs.right))
    random = torch.Generator().manual_seed(seed)
    number = round(negatives * len(pairs))
    rows = torch.randint(len(pairs), (2 * number,), generator=random)  # drugs as often as they are there
    drawn = torch.stack([known[0, rows], sampler.sample(known[0, rows], random)]).unique(dim=1)
    drawn = drawn[:, torch.randperm(drawn.shape[1], generator=random)[:number]]
    if drawn.shape[1] < number:
        log.warning("%d negatives drawn, not %d: there are few other pairs", drawn.shape[1], number)
    value = np.concatenate([np.ones(len(pairs)), np.zeros(drawn.shape[1])])
    index = np.concatenate([pairs.index, drawn.numpy()], axis=1)
    note = f"{drawn.shape[1]} pairs that are not in the table were drawn and labelled 0."
    return replace(pairs, index=index, value=value, time=None, rows=None, notes=(*pairs.notes, note))


def _sequences(
    texts: tuple[str, ...], strict: bool, failures: list[Failure]
) -> tuple[Graph, Int[np.ndarray, "targets"]]:
    """Return the sequences that can be read, and which of the texts they are."""
    rows = []
    for row, text in enumerate(texts):
        try:
            protein_sequence_graph(text)
            rows.append(row)
        except SequenceError as error:
            reason = str(error).removeprefix("row 0: ")
            if strict:
                raise SequenceError(f"target {row}: {reason}") from None
            failures.append(Failure(row, text[:60], reason))
    if not rows:
        raise SequenceError(f"No target could be read; the first: {failures[0]}")
    if failures:
        log.warning("%d of %d targets left out: %s", len(failures), len(texts), failures[0])
    return protein_sequence_graph([texts[row] for row in rows]), np.array(rows)
