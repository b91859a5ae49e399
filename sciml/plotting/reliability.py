"""A picture of how far probabilities can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from scipy.stats import binomtest

from sciml.plotting.style import INK, MUTED, SERIES, axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def reliability_diagram(
    probability: Float[np.ndarray, "molecules"],
    label: Float[np.ndarray, "molecules"],
    ax: Axes | None = None,
    *,
    name: str = "label",
    bins: int = 10,
    counted: str = "molecules",
) -> Axes:
    """Draw, for bins of the predicted probability, the share of ones against the mean prediction.

    Points on the diagonal are probabilities that come true. Bars are 95 % intervals of the share (Wilson
    1927), areas of points go with numbers. The expected calibration error is the mean distance from the
    diagonal, each bin counted as often as it has molecules (Guo et al. 2017, arXiv 1706.04599, equation 3).

    Args:
        probability: of the label 1.
        label: 0 or 1; NaN is not known, and left out.
        ax: where to draw.
        name: of the label.
        bins: of equal width.
        counted: what is counted, in the plural.

    Raises:
        ValueError: arrays of differing lengths, values outside of 0 to 1, other labels, or nothing known.
    """
    probability, label = np.asarray(probability, dtype=float), np.asarray(label, dtype=float)
    if probability.shape != label.shape or probability.ndim != 1:
        raise ValueError(f"{probability.shape} probabilities and {label.shape} labels; expected one of each.")
    known = np.isfinite(label)
    probability, label = probability[known], label[known]
    inside = (probability >= 0) & (probability <= 1)
    if not len(label) or not np.isin(label, (0, 1)).all() or not inside.all():
        raise ValueError("Expected at least one label, 0 or 1, and probabilities between 0 and 1.")
    place = np.minimum((probability * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    filled = count > 0
    mean, share = (np.bincount(place, x, bins)[filled] / count[filled] for x in (probability, label))
    error = float(np.average(np.abs(mean - share), weights=count[filled]))
    bounds = [binomtest(round(s * n), n).proportion_ci(method="wilson") for s, n in zip(share, count[filled])]
    ax = axes(ax, 4.2, 4.0)
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, zorder=1)
    ax.vlines(mean, [b.low for b in bounds], [b.high for b in bounds], color=SERIES[0], linewidth=1.2)
    ax.scatter(mean, share, s=12 + 160 * count[filled] / count.max(), color=SERIES[0], zorder=3, linewidths=0)
    ax.text(
        0.97,
        0.03,
        f"calibration error {error:.3f}\n{len(label)} {counted}, {label.mean():.0%} with 1",
        transform=ax.transAxes,
        ha="right",
        va="bottom",
        fontsize=9,
        color=INK,
    )
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.set_xlabel(f"predicted probability of {plain(name)}")
    ax.set_ylabel("share that has it")
    return ax
