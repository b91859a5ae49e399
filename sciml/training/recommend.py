"""Training of collaborative filters on pairs that were chosen, and their ranking of what was not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sciml.datasets.negatives import NegativeSampler
from sciml.datasets.pair_splits import split_pairs
from sciml.datasets.pairs import Pairs
from sciml.graph import Graph
from sciml.models.collaborative_filter import CollaborativeFilter, preference_graph
from sciml.training.data import Batches, GraphData
from sciml.training.fit import SupervisedTask, fit
from sciml.training.ranking import ranking_metrics, recall_curve

log = logging.getLogger(__name__)
CHUNK = 1024  # users ranked at a time: memory goes with users · items of a chunk
Scores = Callable[[Int[Tensor, "users"]], Float[Tensor, "users items"]]


@dataclass(frozen=True)
class PairTable:
    """Pairs of numbers to take batches from."""

    pairs: Int[Tensor, "2 pairs"]

    def __len__(self) -> int:
        return self.pairs.shape[1]

    def __getitem__(self, chosen: Int[Tensor, "chosen"]) -> Int[Tensor, "2 chosen"]:
        return self.pairs[:, chosen]

    @property
    def device(self) -> torch.device:
        """Where the tensor lives."""
        return self.pairs.device


@dataclass(frozen=True)
class PreferenceData:
    """What a recommender is trained on and judged by.

    Attributes:
        train, validation, test: pairs of numbers of users and items.
        users, items: their names.
        unranked: pairs for validation and test whose user or item is in no training pair; left out, since
            nothing is known of them.
    """

    train: PairTable
    validation: PairTable
    test: PairTable
    users: tuple[str, ...]
    items: tuple[str, ...]
    unranked: int

    @property
    def graph(self) -> Graph:
        """The graph of the training pairs."""
        return preference_graph(len(self.users), len(self.items), self.train.pairs)


def preference_data(
    pairs: Pairs, *, threshold: float | None = None, seed: int = 0, **split: Any
) -> PreferenceData:
    """Divide pairs that were chosen.

    Args:
        pairs: users left, items right.
        threshold: only pairs of at least this value count as chosen, where there are values.
        seed: of the division.
        split: for `split_pairs`, by random or time.

    Raises:
        ValueError: a cold start, which names alone cannot have; a threshold without values, or above all of
            them.
    """
    if split.get("by", "random") not in ("random", "time"):
        raise ValueError(
            f"split by {split['by']!r}: a model of names knows nothing of a new one; divide by random or "
            "time (experiment=drug_target reads what stands behind the names)."
        )
    if threshold is not None:
        if pairs.value is None:
            raise ValueError(f"{pairs!r} has no values to hold against threshold={threshold}.")
        chosen = np.flatnonzero(pairs.value >= threshold)
        if not len(chosen):
            raise ValueError(
                f"{pairs!r}: no value reaches threshold={threshold}; the largest is {pairs.value.max():g}."
            )
        log.info("%d of %d pairs reach %g", len(chosen), len(pairs), threshold)
        pairs = pairs.take(chosen)
    parts = split_pairs(pairs, seed=seed, **split)
    index = torch.from_numpy(pairs.index)
    train, *others = (index[:, torch.from_numpy(p)] for p in (parts.train, parts.validation, parts.test))
    known = [torch.isin(torch.arange(len(n)), train[i]) for i, n in enumerate((pairs.left, pairs.right))]
    ranked = [part[:, known[0][part[0]] & known[1][part[1]]] for part in others]
    unranked = sum(part.shape[1] for part in others) - sum(part.shape[1] for part in ranked)
    if unranked:
        log.warning("%d pairs to judge by left out: their user or item is in no training pair", unranked)
    if not ranked[1].shape[1]:
        raise ValueError(f"{pairs!r}: no test pair has a user and an item that training knows; divide anew.")
    tables = [PairTable(part.contiguous()) for part in (train, *ranked)]
    return PreferenceData(tables[0], tables[1], tables[2], pairs.left, pairs.right, unranked)


class RecommendTask(SupervisedTask):
    """Bayesian personalized ranking: a known pair shall score higher than one that is not known.

    Loss −log σ(s⁺ − s⁻) + λ |x⁰|² / 2 of the embeddings in the batch (Rendle et al. 2009, arXiv 1205.2618;
    He et al. 2020, equation 15). Negatives follow from the seed and the step.
    """

    model: CollaborativeFilter
    undivided = "each step runs over the graph of all pairs, so that dividing a batch saves nothing"

    def __init__(
        self,
        model: CollaborativeFilter,
        data: PreferenceData,
        steps: int,
        learning_rate: float,
        *,
        penalty: float,
        popularity: float,
        seed: int,
    ) -> None:
        super().__init__(model, steps, learning_rate, 0.0, seed)
        self.data, self.penalty = data, penalty
        self.graph = data.graph
        sizes = len(data.users), len(data.items)
        self.sampler = NegativeSampler(data.train.pairs, *sizes, power=popularity)

    def size(self, batch: Tensor) -> int:
        """Return the number of pairs."""
        return batch.shape[1]

    def loss(self, batch: Int[Tensor, "2 pairs"]) -> Tensor:
        """Return the loss of known pairs against one other each."""
        user, item = batch
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        other = self.sampler.sample(user.cpu(), random).to(user.device)
        self.graph = self.graph.to(user.device)
        result = self.model(self.graph)
        users, items = result.senders["z"], result.nodes["z"]
        mine = users.index_select(0, user)
        better = mine * (items.index_select(0, item) - items.index_select(0, other))
        free = [(self.model.users, user), (self.model.items, item), (self.model.items, other)]
        size = sum(table.index_select(0, row).square().sum() for table, row in free) / (2 * len(user))
        return nn.functional.softplus(-better.sum(1)).mean() + self.penalty * size

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """Log recall@20 of the pairs kept for it."""
        graph = self.graph.to(self.model.users.device)
        found = judge(scores_of(self.model, graph), batch.cpu(), self.data.train.pairs, self.data)
        self.log("validation/recall@20", found["recall@20"], prog_bar=True, batch_size=batch.shape[1])


def train_recommender(
    model: CollaborativeFilter,
    data: PreferenceData,
    run_dir: str | Path,
    *,
    epochs: int = 100,
    batch_size: int = 2048,
    learning_rate: float = 1e-2,
    penalty: float = 1e-4,
    popularity: float = 0.0,
    seed: int = 0,
    every: int = 10,
    **trainer: Any,
) -> None:
    """Train, or go on where an earlier call in the same directory was ended.

    Args:
        model: of the data's numbers of users and items; afterwards it knows their names.
        data: see `preference_data`.
        run_dir: gets ``checkpoints/last.ckpt`` and ``metrics.csv``.
        epochs, batch_size, learning_rate: of Adam; batches are of known pairs.
        penalty: λ, on the squares of embeddings.
        popularity: power with which popular items are drawn as negatives; 0 is uniform.
        seed: of the order of batches and of negatives.
        every: epochs from one validation to the next.
        trainer: for `fit`.

    Raises:
        ValueError: a user who has all items, so that there is no negative.
    """
    model.remember(data.users, data.items, data.train.pairs.numpy())
    steps = epochs * len(Batches(data.train, batch_size))
    task = RecommendTask(model, data, steps, learning_rate, penalty=penalty, popularity=popularity, seed=seed)
    whole = max(len(data.validation), 1)
    batches = GraphData(data.train, data.validation, batch_size=batch_size, seed=seed, evaluated=whole)
    fit(
        task, batches, run_dir, epochs=epochs, validation=data.validation, every=min(every, epochs), **trainer
    )


# ---------------------------------------------------------------------- judging


@torch.no_grad()
def scores_of(model: CollaborativeFilter, graph: Graph) -> Scores:
    """Return the function from users to the scores of all items."""
    result = model(graph)
    users, items = result.senders["z"].detach().cpu(), result.nodes["z"].detach().cpu()
    return lambda chosen: users[chosen] @ items.T


def popularity_of(data: PreferenceData) -> Scores:
    """Return the function that scores each item by its number of users in training."""
    count = torch.bincount(data.train.pairs[1], minlength=len(data.items)).float()
    return lambda chosen: count.expand(len(chosen), -1)


def judge(
    scores: Scores,
    pairs: Int[Tensor, "2 pairs"],
    known: Int[Tensor, "2 known"],
    data: PreferenceData,
    k: Sequence[int] = (20,),
) -> dict[str, float]:
    """Rank the items that each user is not known to have, and return the means of `ranking_metrics`.

    Args:
        scores: by whom.
        pairs: to be found.
        known: left out of the ranking.
        data: for the numbers of users and items.
        k: lengths of the lists.
    """
    total: dict[str, float] = {}
    users = pairs[0].unique()
    for chosen in users.split(CHUNK):
        found = ranking_metrics(*_ranked(scores, chosen, pairs, known, data), k)
        for name, value in found.items():
            total[name] = total.get(name, 0.0) + value * len(chosen) / len(users)
    return total


def curve(
    scores: Scores, pairs: Tensor, known: Tensor, data: PreferenceData, most: int = 2000
) -> Float[Tensor, "items"]:
    """Return recall@k for all k, over the first ``most`` users."""
    users = pairs[0].unique()[:most]
    return recall_curve(*_ranked(scores, users, pairs, known, data))


def _ranked(
    scores: Scores, users: Tensor, pairs: Tensor, known: Tensor, data: PreferenceData
) -> tuple[Float[Tensor, "users items"], Tensor]:
    """Return scores of these users, minus infinity where a pair is known, and which pairs are to be found."""
    row = torch.full((len(data.users),), -1).index_put((users,), torch.arange(len(users)))

    def cells(table: Tensor) -> tuple[Tensor, Tensor]:
        inside = row[table[0]] >= 0
        return row[table[0, inside]], table[1, inside]

    value = scores(users).double().index_put(cells(known), torch.tensor(-torch.inf, dtype=torch.float64))
    relevant = torch.zeros(value.shape, dtype=torch.bool).index_put(cells(pairs), torch.tensor(True))
    return value, relevant
