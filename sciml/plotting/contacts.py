"""Pictures of residue contacts: pair energies, and the hidden properties behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from sciml.plotting.style import INK, MUTED, SERIES, axes, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLD, HOT = "#2166ac", "#b2182b"  # of attraction and repulsion, told apart by the colour-blind too


def pair_energies(
    energy: Float[np.ndarray, "types types"],
    names: Sequence[str],
    order: Sequence[int] | np.ndarray | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw energies of pairs of residue types as a map: blue attracts, red repels, white is the average pair.

    Args:
        energy: symmetric, in kT.
        names: of the types, in the order of the rows.
        order: in which types are drawn; by their mean energy, lowest first, if None.
        ax: where to draw.
    """
    from matplotlib.colors import LinearSegmentedColormap

    ax = tidy(new_figure(5.4, 4.6).subplots()) if ax is None else ax
    rows = np.argsort(energy.mean(axis=1)) if order is None else np.asarray(order)
    largest = float(np.abs(energy).max()) or 1.0
    colors = LinearSegmentedColormap.from_list("attraction", [COLD, "#ffffff", HOT])
    shown = ax.imshow(energy[np.ix_(rows, rows)], cmap=colors, vmin=-largest, vmax=largest)
    labels = [names[int(i)] for i in rows]
    ax.set_xticks(range(len(rows)), labels, rotation=90)
    ax.set_yticks(range(len(rows)), labels)
    ax.tick_params(labelsize=7, length=0)
    ax.grid(visible=False)
    bar = ax.figure.colorbar(shown, ax=ax, shrink=0.85)
    bar.set_label("contact energy [kT]", color=INK, fontsize=9)
    bar.ax.tick_params(labelsize=8, colors=MUTED, labelcolor=INK)
    bar.outline.set_visible(False)
    return ax


def labelled_points(
    x: Float[np.ndarray, "points"],
    y: Float[np.ndarray, "points"],
    labels: Sequence[str],
    x_label: str,
    y_label: str,
    x_error: Float[np.ndarray, "points"] | None = None,
    y_error: Float[np.ndarray, "points"] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a point with its name, and bars of one standard error, for each of a few things.

    Args:
        x, y: where the points are.
        labels: a letter or a short name for each.
        x_label, y_label: of the axes.
        x_error, y_error: standard errors, if known.
        ax: where to draw.
    """
    ax = axes(ax, 5.2, 3.8)
    ax.errorbar(
        x, y, xerr=x_error, yerr=y_error, fmt="o", markersize=4, color=SERIES[0], ecolor=MUTED,
        elinewidth=0.8, zorder=2,
    )  # fmt: skip
    for a, b, label in zip(x, y, labels):
        ax.annotate(label, (a, b), (4, 4), textcoords="offset points", fontsize=8, color=INK, zorder=3)
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    ax.margins(0.08)
    return tidy(ax)
