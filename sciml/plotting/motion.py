"""Pictures of motion in time: orbits, the error of a rollout, and the course of a training."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml.plotting.style import (
    GRID,
    INK,
    MOST_LABELS,
    MUTED,
    SERIES,
    axes,
    label_ends,
    legend,
    logarithmic,
    name_of,
    plain,
    with_unit,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sciml.distill.evaluate import RolloutComparison

STYLES: tuple[Any, ...] = (
    "-",
    (0, (4, 1.5)),
    (0, (1, 1)),
)  # tell lines of one colour apart


def rollout_error(comparison: RolloutComparison, ax: Axes | None = None) -> Axes:
    """Draw how far each particle has strayed from its true place, in time.

    Of many particles, those that end farthest away are named and coloured; the others stay grey.
    """
    ax = axes(ax)
    logarithmic(ax.yaxis)
    comparison = comparison.in_km
    time, unit = comparison.elapsed
    error = np.where(comparison.error > 0, comparison.error, np.nan)  # the start has no logarithm
    last = np.array([_last_finite(column) for column in error.T])
    named = np.argsort(-np.nan_to_num(last))[:MOST_LABELS]
    colors, ends, names = [], [], []
    for particle, column in enumerate(error.T):
        color, style, width = MUTED, STYLES[0], 0.6
        if particle in named:
            rank = sorted(named).index(particle)
            color, style, width = SERIES[rank % len(SERIES)], STYLES[rank // len(SERIES)], 1.3
        ax.plot(time, column, color=color, linestyle=style, linewidth=width)
        if particle in named and np.isfinite(last[particle]):
            colors.append(color)
            ends.append(last[particle])
            names.append(name_of(comparison.names, particle))
    ax.set_xlabel(with_unit("time since the start of the rollout", unit))
    ax.set_ylabel(with_unit("position error", comparison.unit))
    ax.margins(x=0)
    label_ends(ax, ends, names, colors)
    return ax


def _last_finite(column: np.ndarray) -> float:
    finite = column[np.isfinite(column)]
    return float(finite[-1]) if len(finite) else float("nan")


def orbits(
    comparison: RolloutComparison,
    ax: Axes | None = None,
    *,
    plane: tuple[int, int] = (0, 1),
    within: float | None = None,
) -> Axes:
    """Draw the true paths (broad) and those by the law (thin), projected on a plane.

    Args:
        comparison: true and predicted positions.
        ax: where to draw.
        plane: which two coordinates.
        within: half the width of the window about the centre of all; everything if None.
    """
    ax = axes(ax, 4.2, 4.2)
    x, y = plane
    for particle in range(len(comparison.names)):
        true, law = comparison.true[:, particle], comparison.predicted[:, particle]
        color = SERIES[particle % len(SERIES)]
        ax.plot(true[:, x], true[:, y], color=color, linewidth=3.5, alpha=0.3, solid_capstyle="round")
        ax.plot(law[:, x], law[:, y], color=color, linewidth=0.8)
        ax.plot(law[-1, x], law[-1, y], "o", color=color, markersize=3)
    ax.set_aspect("equal", adjustable="box" if within else "datalim")
    if within:
        ax.set_xlim(-within, within)
        ax.set_ylim(-within, within)
    ax.set_xlabel(with_unit("xyz"[x], comparison.unit))
    ax.set_ylabel(with_unit("xyz"[y], comparison.unit))
    ax.plot([], [], color=MUTED, linewidth=3.5, alpha=0.4, label="true")
    ax.plot([], [], color=MUTED, linewidth=0.8, label="by the law")
    legend(ax, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0)
    _label_last(ax, comparison.names, comparison.predicted[-1][:, [x, y]], within)
    return ax


def _label_last(ax: Axes, names: Sequence[str], places: np.ndarray, within: float | None) -> None:
    """Name particles at their last places, from the outside in, where there is room."""
    reach = np.abs(places).max(1)
    width = 2 * (within or np.nanmax(reach, initial=0.0))
    named: list[np.ndarray] = []
    for particle in np.argsort(-reach, kind="stable"):
        place = places[particle]
        if not (reach[particle] < (within or np.inf)) or len(named) == MOST_LABELS:
            continue
        if all(np.abs(place - other).max() > width / 16 for other in named):
            named.append(place)
            label = name_of(names, int(particle))
            ax.annotate(label, tuple(place), xytext=(4, 4), textcoords="offset points", fontsize=8, color=INK)


def training_curve(metrics: str | Path, ax: Axes | None = None) -> Axes:
    """Draw loss and held-out error by epoch from a run's ``metrics.csv``.

    Raises:
        ValueError: the file has no column ``epoch``, or no numbers; it says which columns there are.
    """
    curves = _read_metrics(Path(metrics))
    ax = axes(ax)
    logarithmic(ax.yaxis)
    for (name, points), color in zip(curves.items(), (*SERIES, *[MUTED] * len(curves)), strict=False):
        epoch, value = np.array(points).T
        ax.plot(epoch, value, color=color, linewidth=1.3, marker="o", markersize=2, label=plain(name))
    ax.set_xlabel("epoch")
    ax.grid(color=GRID)
    legend(ax)
    return ax


def _read_metrics(path: Path) -> dict[str, list[tuple[float, float]]]:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        columns = [name for name in reader.fieldnames or () if name not in ("epoch", "step")]
        if "epoch" not in (reader.fieldnames or ()):
            raise ValueError(
                f"{path} has no column 'epoch' (there are: {', '.join(reader.fieldnames or ()) or 'none'}); "
                "expected the metrics.csv of a training run"
            )
        curves: dict[str, list[tuple[float, float]]] = {name: [] for name in columns}
        for line, row in enumerate(reader, start=2):
            for name in columns:
                if row[name]:
                    try:
                        curves[name].append((float(row["epoch"]), float(row[name])))
                    except ValueError as error:
                        raise ValueError(f"{path}, line {line}, column {name}: {error}") from None
    curves = {name: points for name, points in curves.items() if points}
    if not curves:
        raise ValueError(f"{path} holds no numbers yet: the training has not finished an epoch")
    return curves
