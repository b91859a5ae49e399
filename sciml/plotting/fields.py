"""Pictures of fields: in space and time, beside what equations make of them, and the stencils behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from sciml.plotting.style import (
    INK,
    MUTED,
    SERIES,
    axes,
    legend,
    logarithmic,
    new_figure,
    plain,
    tidy,
    with_unit,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sciml.distill.fields import FieldDiscovery, LearnedStencils
    from sciml.distill.fields.fit import Fit
    from sciml.distill.fields.rollout import FieldRollout
    from sciml.distill.law import Law

MOST_STENCILS = 6
COLORS = "RdBu_r"
FLOOR = 1e-6  # rests below are those of the arithmetic


def field_beside_rollout(
    rollout: FieldRollout, channel: int, dx: Sequence[float], name: str, unit: str = ""
) -> Axes:
    """Draw held-out data, the equations' rollout, and their difference.

    One-dimensional fields are drawn over space and time, others at the last snapshot reached, along their
    first two axes.

    Args:
        rollout: to draw.
        channel: which field.
        dx: steps of the grid.
        name, unit: of the field.
    """
    true, predicted = rollout.true[..., channel], rollout.predicted[..., channel]
    flat = true.ndim == 2
    if not flat:
        true, predicted = (a[-1].reshape(*a.shape[1:3], -1)[..., 0] for a in (true, predicted))
    extent = (
        (0.0, dx[0] * true.shape[1], rollout.time[0], rollout.time[-1] + 1e-12)
        if flat
        else (0.0, dx[0] * true.shape[0], 0.0, dx[1] * true.shape[1])
    )
    images = [true, predicted, predicted - true] if flat else [true.T, predicted.T, (predicted - true).T]
    figure = new_figure(7.2, 2.7)
    parts = figure.subplots(1, 3, sharex=True, sharey=True)
    low, high = np.percentile(true, [0.5, 99.5])
    middle, reach = 0.5 * (low + high), max(0.5 * (high - low), 1e-12)
    for ax, image, title in zip(parts, images, ("data", "equations alone", "difference")):
        tidy(ax)
        centre = 0.0 if title == "difference" else middle
        shown = ax.imshow(
            image, origin="lower", aspect="auto" if flat else "equal", extent=extent, cmap=COLORS,
            vmin=centre - reach, vmax=centre + reach, interpolation="nearest",
        )  # fmt: skip
        ax.grid(visible=False)
        ax.set_title(title, color=INK, fontsize=10)
        ax.set_xlabel("x")
    parts[0].set_ylabel("time since the start" if flat else "y")
    bar = figure.colorbar(shown, ax=list(parts), shrink=0.85)
    bar.set_label(with_unit(f"{plain(name)} (difference about 0)", unit), color=INK, fontsize=9)
    bar.ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=8)
    bar.outline.set_visible(False)
    return parts[0]


def rollout_errors(rollout: FieldRollout, names: Sequence[str], ax: Axes | None = None) -> Axes:
    """Draw the error of each field over time, and that of the guess that nothing changes (dashed)."""
    ax = axes(ax)
    logarithmic(ax.yaxis)
    shown = lambda values: np.where(values > 0, values, np.nan)
    for c, name in enumerate(names):
        color = SERIES[c % len(SERIES)]
        ax.plot(rollout.time, shown(rollout.error[:, c]), "o-", color=color, markersize=3, label=plain(name))
        label = "nothing changes" if c == 0 else None
        ax.plot(rollout.time, shown(rollout.persistence[:, c]), "--", color=color, linewidth=1, label=label)
    ax.set_xlabel("time since the start")
    ax.set_ylabel("error beyond the noise / spread")
    legend(ax, loc="best")
    return ax


def coefficients(laws: Mapping[str, Law], ax: Axes | None = None) -> Axes:
    """Draw the relative standard error of every constant of some laws.

    Args:
        laws: by name of the field.
        ax: where to draw.
    """
    from sciml.plotting.style import pretty_formula

    rows = []
    for law in laws.values():
        for symbol, constant in law.constants.items():
            factor = law.expression.coeff(symbol)
            label = pretty_formula(factor if factor != 1 else "1")
            rows.append((f"{law.target}: {label}", constant.value, constant.standard_error or 0.0))
    ax = axes(ax, 5.2, 0.9 + 0.3 * max(len(rows), 3))
    place = np.arange(len(rows))
    value = np.array([v for _, v, _ in rows], dtype=float)
    error = np.array([e for _, _, e in rows], dtype=float)
    ax.axvline(0.0, color=MUTED, linewidth=0.8)
    ax.errorbar(
        value, place, xerr=2 * error, fmt="o", color=SERIES[0], markersize=4, capsize=3, linewidth=1.2
    )
    for y, (_, v, e) in enumerate(rows):
        share = f"± {e / abs(v):.1%}" if v else ""
        ax.annotate(
            share, (v, y), xytext=(0, 6), textcoords="offset points", fontsize=7, color=INK, ha="center"
        )
    ax.set_yticks(place, [plain(label, 40) for label, _, _ in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.margins(x=0.12)
    ax.set_xlabel("coefficient, bars of two standard errors")
    return ax


def stencils(found: LearnedStencils, channel: int) -> Axes:
    """Draw the stencils that make most of the rate of a field, each with its largest moments.

    Args:
        found: weighed stencils.
        channel: whose rate they make.
    """
    from sciml.distill.fields.terms import text

    assert found.share is not None
    share = found.share[channel]
    largest = np.argsort(-share.max(-1))[:MOST_STENCILS]
    order = [int(m) for m in largest if share[m].max() > 0] or [0]
    figure = new_figure(7.2, 2.2 * -(-len(order) // 3))
    parts = np.atleast_1d(figure.subplots(-(-len(order) // 3), min(len(order), 3), squeeze=False)).ravel()
    for ax, m in zip(parts, order):
        tidy(ax)
        weight = found.weights[channel, m]
        weight = weight.reshape(*weight.shape[:2], -1).sum(-1) if weight.ndim > 1 else weight
        if weight.ndim == 1:
            offset = np.arange(len(weight)) - len(weight) // 2
            ax.bar(offset, weight, color=SERIES[0], width=0.6)
            ax.axhline(0.0, color=MUTED, linewidth=0.8)
            ax.set_xticks(offset)
        else:
            reach = np.abs(weight).max() or 1.0
            half = [s // 2 + 0.5 for s in weight.shape]
            ax.imshow(weight.T, origin="lower", cmap=COLORS, vmin=-reach, vmax=reach,
                      extent=(-half[0], half[0], -half[1], half[1]))  # fmt: skip
            ax.grid(visible=False)
        best = np.argsort(-share[m])[:2]
        lines = [
            f"{found.moments[channel, m, a]:.3g} {text(found.term(m, a), found.channels)} ({share[m, a]:.0%})"
            for a in best
            if share[m, a] > 0.005
        ]
        none = (0,) * len(found.orders[0])
        name = text(found.term(m, found.orders.index(none)), found.channels)
        ax.set_title("\n".join([f"on {name}", *map(plain, lines)]), color=INK, fontsize=8)
    for ax in parts[len(order) :]:
        ax.set_visible(False)
    return parts[0]


def residuals(found: FieldDiscovery, ax: Axes | None = None) -> Axes:
    """Draw what equations of each number of terms leave unexplained; the chosen ones are ringed.

    What is less than noise lets see is drawn at that.
    """
    ax = axes(ax)
    logarithmic(ax.yaxis)
    for c, equation in enumerate(found.equations):
        color = SERIES[c % len(SERIES)]
        tried = equation.choice.tried
        size = [len(f.support) for f in tried]
        rest: Float[np.ndarray, "tried"] = np.sqrt([_seen(f) for f in tried])
        ax.plot(size, rest, "o-", color=color, markersize=4, label=plain(equation.channel))
        if equation.choice.best is not None:
            best = equation.choice.best
            ax.plot([len(best.support)], [np.sqrt(_seen(best))], "o", markersize=11,
                    markerfacecolor="none", markeredgecolor=SERIES[1], markeredgewidth=2)  # fmt: skip
    ax.set_xlabel("terms of the equation")
    ax.set_ylabel("rate of change left over (rms)")
    legend(ax, loc="best")
    return ax


def _seen(fit: Fit) -> float:
    """Return the squared rest of a fit, or what noise could hide if that is more."""
    return max(fit.left_over, fit.chance, FLOOR**2)
