"""Pictures of what pairs of atoms do to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from sciml.plotting.style import GRID, INK, MUTED, SERIES, axes, legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REACH = 12.0  # median sizes of the force that are shown; the wall of close contacts is far higher


def pair_curve(
    distance: Float[np.ndarray, "points"],
    force: Float[np.ndarray, "points"],
    error: Float[np.ndarray, "points"],
    pairs: Float[np.ndarray, "points"],
    law: Float[np.ndarray, "points"],
    ax: Axes | None = None,
    *,
    name: str = "",
) -> Axes:
    """Draw a pair force as splines have it, the formula, and how many pairs were at each distance.

    Args:
        distance: in Å.
        force, error: of the splines, with standard errors, in eV/Å.
        pairs: numbers of pairs at about these distances.
        law: the formula at the distances.
        ax: where to draw.
        name: of the pair.
    """
    ax = axes(ax, 4.6, 3.4)
    sure = error < np.abs(force).max()
    size = np.median(np.abs(force[sure])) if sure.any() else 1.0
    shown = np.abs(law[np.isfinite(law)])
    high = min(REACH * size, 1.1 * max(shown.max(initial=size), np.abs(force[sure]).max(initial=size)))
    below = min(force[sure].min(initial=0.0), law[np.isfinite(law)].min(initial=0.0))
    low = max(1.3 * below, -high) if below < 0 else -0.05 * high
    ax.fill_between(
        distance, low, low + 0.22 * (high - low) * pairs / pairs.max(), color=MUTED, alpha=0.25, linewidth=0,
        label="pairs at this distance",
    )  # fmt: skip
    ax.axhline(0.0, color=GRID, linewidth=1.0, zorder=1)
    ax.errorbar(
        distance[sure], force[sure], error[sure], fmt="o", color=SERIES[0], markersize=3.5, linewidth=0.8,
        label="splines",
    )  # fmt: skip
    ax.plot(distance, law, color=SERIES[1], linewidth=1.6, label="formula")
    ax.set_ylim(low, high)
    ax.set_xlabel("distance [Å]")
    ax.set_ylabel("force, positive apart [eV/Å]")
    if name:
        ax.set_title(name, loc="left", color=INK)
    legend(ax, loc="upper right")
    return ax
