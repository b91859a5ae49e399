"""How well do predictions agree with measurements, or with labels?"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_average_precision,
    binary_calibration_error,
)


def affinity_metrics(
    predicted: Float[np.ndarray, "pairs"], measured: Float[np.ndarray, "pairs"]
) -> dict[str, float]:
    """Return ``rmse`` and ``mae`` in the unit of the values, ``concordance``, ``spearman`` and ``pearson``.

    A correlation with a constant is not defined: NaN.
    """
    error = predicted - measured
    constant = len(measured) < 2 or np.ptp(predicted) == 0 or np.ptp(measured) == 0
    return {
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.mean(np.abs(error))),
        "concordance": concordance_index(predicted, measured),
        "spearman": float("nan") if constant else float(stats.spearmanr(predicted, measured).statistic),
        "pearson": float("nan") if constant else float(np.corrcoef(predicted, measured)[0, 1]),
    }


def concordance_index(predicted: Float[np.ndarray, "pairs"], measured: Float[np.ndarray, "pairs"]) -> float:
    """Return the share of comparable couples that are put in the right order; ties in predictions count half.

    Couples of equal measurements are not comparable (Harrell et al. 1982; Gönen & Heller 2005). From
    Kendall's τ, in n log n steps: with C concordant and D discordant couples,
    τ_b √((n₀−t_x)(n₀−t_y)) = C − D. NaN where no couple is comparable.
    """
    couples = len(measured) * (len(measured) - 1) / 2
    comparable = couples - _ties(measured)
    if not comparable:
        return float("nan")
    distinct = couples - _ties(predicted)
    if not distinct:
        return 0.5
    tau = stats.kendalltau(predicted, measured).statistic
    return float(0.5 + 0.5 * tau * np.sqrt(distinct * comparable) / comparable)


def link_metrics(score: Float[np.ndarray, "pairs"], label: Float[np.ndarray, "pairs"]) -> dict[str, float]:
    """Return ``auroc`` and average precision ``ap`` (torchmetrics); NaN where all labels are alike."""
    if len(np.unique(label)) < 2:
        return {"auroc": float("nan"), "ap": float("nan")}
    # ranks keep the order of logits that a sigmoid in single precision would round to 1
    rank = torch.from_numpy(stats.rankdata(score) / (len(score) + 1))
    truth = torch.from_numpy(label).long()
    return {
        "auroc": float(binary_auroc(rank, truth)),
        "ap": float(binary_average_precision(rank, truth)),
    }


def label_metrics(
    probability: Float[np.ndarray, "molecules"], label: Float[np.ndarray, "molecules"]
) -> dict[str, float]:
    """Return `link_metrics`, and how far the probabilities can be trusted.

    ``brier`` is the mean squared difference to the labels; ``calibration_error`` the expected one over ten
    bins of equal width (Guo et al. 2017, arXiv 1706.04599, equation 3; torchmetrics).
    """
    found = torch.from_numpy(np.asarray(probability, dtype=float).clip(0, 1))
    return link_metrics(probability, label) | {
        "brier": float(np.mean((probability - label) ** 2)),
        "calibration_error": float(
            binary_calibration_error(found, torch.from_numpy(label).long(), n_bins=10, norm="l1")
        ),
    }


def _ties(values: np.ndarray) -> float:
    _, count = np.unique(values, return_counts=True)
    return float((count * (count - 1.0) / 2).sum())
