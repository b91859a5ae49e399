"""How good are predictions for residues? Scores that add up over structures, so that errors can be stated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from sklearn.metrics import average_precision_score, roc_auc_score

from sciml.datasets.residue_tasks import ResidueTask


@dataclass(frozen=True)
class Answers:
    """Predictions beside what is true, a row for each residue or pair.

    Attributes:
        predicted: (rows,) numbers or log odds, (rows, classes) log probabilities, or (rows, 3) vectors.
        true: (rows,) numbers, labels, or 0 and 1; or (rows, 3) vectors.
        owner: number of the structure of each row.
        centre: mean of the target in training, for numbers.
    """

    predicted: Float[np.ndarray, "rows ..."]
    true: np.ndarray
    owner: Int[np.ndarray, "rows"]
    centre: float = 0.0


@dataclass(frozen=True)
class Score:
    """A number for all structures, from two sums over each.

    Attributes:
        name, unit: of the number.
        higher: whether higher is better.
        parts: answers to the two values of each row, to be summed.
        finish: the two sums to the number.
    """

    name: str
    unit: str
    higher: bool
    parts: Callable[[Answers], tuple[np.ndarray, np.ndarray]]
    finish: Callable[[np.ndarray, np.ndarray], np.ndarray] = lambda above, below: above / below

    def sums(self, answers: Answers) -> tuple[np.ndarray, np.ndarray]:
        """Return the two sums for each structure that has rows."""
        above, below = self.parts(answers)
        which = np.unique(answers.owner, return_inverse=True)[1]
        if len(above) < len(which):  # already one value for each structure
            return above, below
        return np.bincount(which, above), np.bincount(which, below)

    def of(self, answers: Answers) -> float:
        """Return the number."""
        above, below = self.sums(answers)
        return float(self.finish(above.sum(), below.sum()))


def _ones(answers: Answers) -> np.ndarray:
    return np.ones(len(answers.owner))


def _squares(a: Answers) -> np.ndarray:
    error = a.predicted - a.true
    return np.square(error) if error.ndim == 1 else np.square(error).sum(1)


def _chosen(a: Answers) -> np.ndarray:
    return (a.predicted.argmax(1) == a.true).astype(float)


def _surprise(a: Answers) -> np.ndarray:
    return -a.predicted[np.arange(len(a.true)), a.true]


def _for_each(measure: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[Answers], tuple]:
    """Return a measure of ranking for each structure that has both answers."""

    def parts(a: Answers) -> tuple[np.ndarray, np.ndarray]:
        values = []
        for number in np.unique(a.owner):
            true, predicted = a.true[a.owner == number], a.predicted[a.owner == number]
            values.append(measure(true, predicted) if 0 < true.sum() < len(true) else np.nan)
        found = np.array(values)
        return np.nan_to_num(found), (~np.isnan(found)).astype(float)

    return parts


def _precision_at_number(true: np.ndarray, predicted: np.ndarray) -> float:
    first = np.argsort(-predicted, kind="stable")[: int(true.sum())]
    return float(true[first].mean())


SCORES: Mapping[str, tuple[Score, ...]] = {
    "number": (
        Score("r2", "", True, lambda a: (_squares(a), np.square(a.true - a.centre)), lambda e, v: 1 - e / v),
        Score("mae", "unit", False, lambda a: (np.abs(a.predicted - a.true), _ones(a))),
    ),
    "classes": (
        Score("accuracy", "", True, lambda a: (_chosen(a), _ones(a))),
        Score("perplexity", "", False, lambda a: (_surprise(a), _ones(a)), lambda s, n: np.exp(s / n)),
    ),
    "pairs": (
        Score("average_precision", "", True, _for_each(average_precision_score)),
        Score("auroc", "", True, _for_each(roc_auc_score)),
        Score("precision_at_number_hidden", "", True, _for_each(_precision_at_number)),
    ),
    "vectors": (
        Score("rmsd", "unit", False, lambda a: (_squares(a), _ones(a)), lambda s, n: np.sqrt(s / n)),
    ),
}
"""Scores of each kind of task; the first is the one that models are compared by."""


def scores(task: ResidueTask, answers: Answers) -> dict[str, float]:
    """Return all scores of a task's kind by name."""
    return {score.name: score.of(answers) for score in SCORES[task.kind]}


def units(task: ResidueTask) -> dict[str, str]:
    """Return the units of the scores by name."""
    return {s.name: task.unit if s.unit == "unit" else s.unit for s in SCORES[task.kind]}


def margin(
    task: ResidueTask, model: Answers, baseline: Answers, draws: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Return by how much a model is better than a baseline in the first score, with a 95 % interval.

    Positive is better. The interval is the bootstrap's over structures, whose residues are not independent:
    structures are drawn with replacement, the same ones for both (Efron & Tibshirani 1993, chapter 13).
    """
    score = SCORES[task.kind][0]
    sums = np.array([score.sums(a) for a in (model, baseline)])  # which, above or below, structure
    count = sums.shape[2]
    chosen = np.random.default_rng(seed).integers(count, size=(draws, count))
    drawn = sums[:, :, chosen].sum(-1)  # which, above or below, draw
    with np.errstate(divide="ignore", invalid="ignore"):
        found = [score.finish(*part) for part in drawn]
        whole = [float(score.finish(*part.sum(-1))) for part in sums]
    sign = 1 if score.higher else -1
    low, high = np.nanpercentile(sign * (found[0] - found[1]), [2.5, 97.5])
    return sign * (whole[0] - whole[1]), float(low), float(high)
