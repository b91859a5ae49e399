"""Pictures of what a law leaves over, before and after something was found in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from sciml.plotting.style import GRID, INK, SERIES, axes, legend, logarithmic, name_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def before_and_after(
    names: Sequence[str],
    before: Float[np.ndarray, "particles"],
    after: Float[np.ndarray, "particles"],
    floor: Float[np.ndarray, "particles"] | None = None,
    *,
    label: str = "left over",
    words: tuple[str, str, str] = ("before", "after", "noise"),
    ax: Axes | None = None,
) -> Axes:
    """Draw one line for each particle from a number before to the number after, on a logarithmic axis.

    Args:
        names: of the particles, from above to below.
        before, after: positive numbers.
        floor: below which nothing can be seen, as the noise of the data.
        label: of the axis.
        words: for the legend: before, after, floor.
        ax: where to draw.
    """
    ax = axes(ax, 5.2, 0.8 + 0.26 * len(names))
    logarithmic(ax.xaxis)
    places = np.arange(len(names))[::-1]
    ax.hlines(places, np.minimum(before, after), np.maximum(before, after), color=GRID, linewidth=3, zorder=1)
    ax.plot(before, places, "o", color=SERIES[1], markersize=5, label=words[0])
    ax.plot(after, places, "o", color=SERIES[0], markersize=5, label=words[1])
    if floor is not None:
        ax.plot(floor, places, "|", color=INK, markersize=9, label=words[2])
    ax.set_yticks(places, [name_of(names, k) for k in range(len(names))])
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(label)
    legend(ax, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, borderaxespad=0)
    return ax
