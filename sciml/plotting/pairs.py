"""Pictures of predictions for pairs: affinities against measurements, and how much a ranking finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from sciml.plotting.style import INK, MUTED, SERIES, axes, label_ends, plain, pretty_unit, with_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW = 400  # points up to which they are drawn large


def predicted_against_measured(
    measured: Float[np.ndarray, "pairs"],
    predicted: Float[np.ndarray, "pairs"],
    ax: Axes | None = None,
    *,
    name: str = "affinity",
    unit: str = "",
    counted: str = "pairs",
) -> Axes:
    """Draw a point for each pair, the line where both agree, and the root mean square error.

    Args:
        measured, predicted: in the same unit.
        ax: where to draw; both axes get one range.
        name, unit: of the values.
        counted: what a point stands for, as "molecules".

    Raises:
        ValueError: arrays of differing lengths, or without any finite pair.
    """
    measured, predicted = np.asarray(measured, dtype=float), np.asarray(predicted, dtype=float)
    if measured.shape != predicted.shape or measured.ndim != 1:
        raise ValueError(
            f"measured has shape {measured.shape} and predicted {predicted.shape}; expected one number each "
            "for every pair."
        )
    finite = np.isfinite(measured) & np.isfinite(predicted)
    if not finite.any():
        raise ValueError("No pair has both a finite measurement and a finite prediction.")
    measured, predicted = measured[finite], predicted[finite]
    ax = axes(ax, 4.2, 4.0)
    low, high = min(measured.min(), predicted.min()), max(measured.max(), predicted.max())
    margin = 0.05 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    ax.plot(limits, limits, color=MUTED, linewidth=1, zorder=1)
    size, alpha = (4.0, 0.7) if len(measured) <= FEW else (2.0, 0.35)
    ax.plot(measured, predicted, "o", color=SERIES[0], markersize=size, alpha=alpha, markeredgewidth=0)
    error = float(np.sqrt(np.mean((predicted - measured) ** 2)))
    ax.text(
        0.04,
        0.96,
        f"rmse {error:.3g} {pretty_unit(unit)}".rstrip() + f"\n{len(measured)} {counted}",
        transform=ax.transAxes,
        va="top",
        fontsize=9,
        color=INK,
    )
    ax.set(xlim=limits, ylim=limits, aspect="equal")
    ax.set_xlabel(with_unit(f"measured {plain(name)}", unit))
    ax.set_ylabel(with_unit(f"predicted {plain(name)}", unit))
    return ax


def ranking_curve(recall: Mapping[str, Sequence[float]], ax: Axes | None = None, *, most: int = 50) -> Axes:
    """Draw which share of what a user chose is among the first k, for each ranking by name.

    Args:
        recall: recall@1, recall@2, … of each, as `sciml.training.recommend.curve` gives them.
        ax: where to draw.
        most: largest k.

    Raises:
        ValueError: nothing to draw.
    """
    if not recall or not all(len(line) for line in recall.values()):
        raise ValueError("ranking_curve needs at least one line of one value or more.")
    ax = axes(ax)
    ends = []
    for line, color in zip(recall.values(), SERIES):
        shown = np.asarray(line, dtype=float)[:most]
        ax.plot(np.arange(1, len(shown) + 1), shown, color=color, linewidth=1.6)
        ends.append(float(shown[-1]))
    ax.set_xlim(1, max(2, min(most, max(map(len, recall.values())))))
    ax.set_ylim(0, 1.05 * max(max(ends), 1e-3))
    ax.set_xlabel("length k of the list")
    ax.set_ylabel("recall@k")
    names = [plain(name, 14) for name in recall]
    label_ends(ax, ends, names, SERIES[: len(ends)])
    return ax
