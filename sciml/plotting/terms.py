"""Pictures of laws of several terms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from sciml.plotting.style import GRID, SERIES, axes, legend, plain


def explained_rows(
    measured: Float[np.ndarray, "rows"], predicted: Float[np.ndarray, "rows"], ax: Axes | None = None
) -> Axes:
    """Draw measured accelerations (or their weak forms) against those of a law, in units of their rms."""
    ax = axes(ax, 4.2, 4.0)
    reach = 1.05 * float(np.quantile(np.abs(np.r_[measured, predicted]), 0.999)) or 1.0
    ax.plot([-reach, reach], [-reach, reach], color=GRID, linewidth=1.5, zorder=1)
    ax.plot(predicted, measured, "o", color=SERIES[0], markersize=2.5, alpha=0.5)
    ax.set_xlim(-reach, reach)
    ax.set_ylim(-reach, reach)
    ax.set_xlabel("by the law")
    ax.set_ylabel("measured, held out")
    return ax


def force_curves(
    curves: Sequence[tuple[str, str, Float[np.ndarray, "points"], Float[np.ndarray, "points"]]],
    ax: Axes | None = None,
) -> Axes:
    """Draw the scalars of a law against their arguments; each curve is (label, argument, values, scalar)."""
    ax = axes(ax, 4.8, 4.0)
    for (label, argument, x, y), color in zip(curves, SERIES, strict=False):
        inside = np.isfinite(y)
        ax.plot(x[inside], y[inside], color=color, label=plain(f"{label} ({argument})"))
    ax.axhline(0.0, color=GRID, linewidth=1.0, zorder=1)
    ax.set_xlabel(plain(", ".join(dict.fromkeys(argument for _, argument, _, _ in curves))))
    ax.set_ylabel("scalar of the force")
    legend(ax, loc="best")
    return ax
