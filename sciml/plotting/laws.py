"""Pictures of a law: where it came from, how well it holds, and what it weighs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import sympy

from sciml.plotting.style import (
    GRID,
    INK,
    LONGEST,
    MUTED,
    SERIES,
    axes,
    legend,
    logarithmic,
    name_of,
    new_figure,
    plain,
    power_of_ten,
    pretty_formula,
    tidy,
    with_unit,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sciml.distill.front import Candidate, Front
    from sciml.distill.law import Law
    from sciml.distill.record import MessageTable
    from sciml.distill.refit import Estimate

WIDEST = 10.0  # relative errors above this are all the same
FLOOR = 1e-24  # losses below are rounding errors, and a logarithm needs something
MOST_PAIRS = 8
MARGIN = 1e4  # how far below the weakest learned message the others are shown


def rounded(expression: sympy.Expr, digits: int = 4) -> sympy.Expr:
    """Return a formula with its decimal numbers cut to a few digits, to be read and not computed with."""
    return expression.xreplace({x: sympy.Float(x, digits) for x in expression.atoms(sympy.Float)})


def front(front: Front, chosen: Candidate | None = None, ax: Axes | None = None) -> Axes:
    """Draw the Pareto front of a search: what is left unexplained against the length of the formula.

    Args:
        front: what the search found.
        chosen: the candidate to mark; the front's knee if None.
        ax: where to draw.
    """
    from matplotlib.ticker import MaxNLocator

    ax = axes(ax)
    logarithmic(ax.yaxis)
    size = [c.complexity for c in front]
    loss = [max(c.loss, FLOOR) for c in front]
    ax.plot(size, loss, color=SERIES[0], linewidth=1, drawstyle="steps-post", alpha=0.5)
    ax.plot(size, loss, "o", color=SERIES[0], markersize=5, label="found")
    if len(front):
        best = chosen or front.best()
        ax.plot(
            [best.complexity],
            [max(best.loss, FLOOR)],
            "o",
            markersize=12,
            markerfacecolor="none",
            markeredgecolor=SERIES[1],
            markeredgewidth=2,
            label=plain(pretty_formula(rounded(best.expression))),
        )
        ax.margins(0.08, 0.12)
        legend(ax, loc="upper right")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("complexity (nodes of the formula)")
    ax.set_ylabel("loss on the messages (relative)")
    return ax


def messages_against_law(
    messages: MessageTable,
    law: Law,
    ax: Axes | None = None,
    *,
    left_out: MessageTable | None = None,
    names: Sequence[str] = (),
    most: int = 800,
) -> Axes:
    """Draw the size of each message over that of the law at the same inputs, coloured by pair.

    A new figure has the relative residual below; a given ``ax`` gets the upper picture only.

    Args:
        messages: reduced messages that the search saw.
        law: has the messages' variables.
        ax: where to draw.
        left_out: all messages; drawn in grey underneath.
        names: names of the particles.
        most: number of points drawn, spread evenly over the pairs.
    """
    residual = None
    if ax is None:
        ax, residual = new_figure(5.2, 4.8).subplots(2, 1, sharex=True, height_ratios=(3, 1))
        tidy(ax), tidy(residual)
        logarithmic(residual.yaxis)
        residual.set_ylabel("relative residual")
    logarithmic(ax.xaxis)
    logarithmic(ax.yaxis)
    if left_out is not None:
        size, value = _sizes(_thinned(left_out, most // 2), law)
        ax.plot(size, value, ".", color=MUTED, markersize=2, alpha=0.5, label="not learned", zorder=1)
    for table, color, label in _by_pair(_thinned(messages, most), names):
        size, value = _sizes(table, law)
        ax.plot(size, value, "o", color=color, markersize=2.5, alpha=0.7, label=label)
        if residual is not None:
            apart = np.abs(value / size - 1)
            residual.plot(size, np.where(apart > 0, apart, np.nan), "o", color=color, markersize=2, alpha=0.6)
    known, _ = _sizes(messages, law)
    if np.isfinite(known).any():
        ends = np.array([np.nanmin(known) / MARGIN, np.nanmax(known) * 10])
        ax.plot(ends, ends, color=INK, linewidth=0.8, zorder=1.5)
        ax.set_xlim(*ends)
        ax.set_ylim(*ends)
    bottom = residual or ax
    bottom.set_xlabel(with_unit(f"|{law.target}| by the law", law.target_unit))
    ax.set_ylabel(with_unit(f"|{law.target}| in the network", law.target_unit))
    legend(ax, loc="upper left", bbox_to_anchor=(1.0, 1.02), markerscale=2)
    return ax


def _sizes(table: MessageTable, law: Law) -> tuple[np.ndarray, np.ndarray]:
    """Return |law| and |message|; NaN where a logarithm has nothing to show."""
    size = np.broadcast_to(np.abs(law.numpy(**table.variables)), len(table))
    value = np.abs(table.y)
    return np.where(size > 0, size, np.nan), np.where(value > 0, value, np.nan)


def _thinned(table: MessageTable, most: int) -> MessageTable:
    """Return at most ``most`` rows, the same share of each pair."""
    order = np.lexsort((table.frame, table.receiver, table.sender))
    return table.rows(order[np.linspace(0, len(table) - 1, min(most, len(table))).astype(int)])


def _by_pair(table: MessageTable, names: Sequence[str]):
    """Yield the rows of each pair with a colour and a name; the weakest of many pairs together."""
    low, high = np.minimum(table.sender, table.receiver), np.maximum(table.sender, table.receiver)
    count = int(high.max(initial=0)) + 1
    pairs, index = np.unique(low * count + high, return_inverse=True)
    strength = np.bincount(index, np.abs(table.y), len(pairs)) / np.bincount(index, minlength=len(pairs))
    order = np.argsort(-strength)
    shown = order if len(order) <= MOST_PAIRS else order[: MOST_PAIRS - 1]
    rest = ~np.isin(index, shown)
    if rest.any():
        yield table.rows(rest), INK, f"{len(order) - len(shown)} other pairs"
    for rank, pair in enumerate(shown):
        i, j = divmod(int(pairs[pair]), count)
        yield table.rows(index == pair), SERIES[rank], f"{name_of(names, i)} – {name_of(names, j)}"


def hidden_properties(
    estimates: Mapping[str, Estimate],
    reference: Mapping[str, float] | None = None,
    ax: Axes | None = None,
    *,
    name: str = "mass",
    most: int = 40,
) -> Axes:
    """Draw, relative to the value, the standard error of each particle's property and its actual error.

    Args:
        estimates: by particle; those without a standard error (the reference particle) are left out.
        reference: true values on the same scale, where known.
        ax: where to draw.
        name: of the property.
        most: particles shown: where there are more, those with the largest errors.
    """
    shown = {p: e for p, e in estimates.items() if e.standard_error > 0 and np.isfinite(e.standard_error)}
    relative = np.array([e.standard_error / max(abs(e.value), 1e-300) for e in shown.values()])
    worst = np.sort(np.argsort(-relative, kind="stable")[:most])
    shown, relative = {p: shown[p] for p in np.array([*shown], object)[worst]}, relative[worst]
    ax = axes(ax, 5.2, 0.9 + 0.26 * max(len(shown), 4))
    logarithmic(ax.xaxis)
    place = np.arange(len(shown))
    actual = [abs(e.value / reference[p] - 1) if reference and reference.get(p) else np.nan
              for p, e in shown.items()]  # fmt: skip
    smallest = np.nanmin([*relative, *[a for a in actual if a > 0], 1.0]) / 5
    width = np.minimum(relative, WIDEST) - smallest
    ax.barh(place, width, left=smallest, height=0.55, color=SERIES[5], alpha=0.55, label="± standard error")
    if np.isfinite(actual).any():
        ax.plot(np.maximum(actual, smallest), place, "o", color=SERIES[1], markersize=5, label="actual error")
    for y, error in zip(place, relative, strict=True):
        if error * 3 > 1:  # as in the report: less than three standard errors from zero
            ax.annotate("not determined", (smallest, y), xytext=(4, 0), textcoords="offset points",
                        fontsize=8, color=INK, va="center")  # fmt: skip
    ax.set_yticks(place, [plain(p, LONGEST) for p in shown])
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set_xlabel(f"error of {plain(name)}, relative")
    legend(ax, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return ax


def held_out_errors(
    errors: Mapping[str, np.ndarray], names: Sequence[str], ax: Axes | None = None, *, most: int = 30
) -> Axes:
    """Draw the held-out error of each particle's acceleration, for several models side by side.

    Args:
        errors: label of the model ("network", "law") to relative error per particle.
        names: names of the particles.
        ax: where to draw.
        most: particles shown: where there are more, those with the largest errors.
    """
    table = np.stack([np.asarray(e, dtype=float) for e in errors.values()])
    chosen = np.arange(table.shape[1])
    if len(chosen) > most:
        chosen = np.sort(np.argsort(-np.nan_to_num(table.max(0)))[:most])
    ax = axes(ax, 5.2, 0.9 + 0.26 * max(len(chosen), 4))
    logarithmic(ax.xaxis)
    table = np.where(table > 0, table, np.nan)[:, chosen]
    place = np.arange(len(chosen))
    ax.hlines(place, np.nanmin(table, 0), np.nanmax(table, 0), color=GRID, linewidth=3, zorder=1)
    for row, label, color in zip(table, errors, SERIES, strict=False):
        ax.plot(row, place, "o", color=color, markersize=6, label=plain(label))
    ax.set_yticks(place, [name_of(names, int(i)) for i in chosen])
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("held-out error of the acceleration, relative")
    legend(ax, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(errors))
    return ax


def signal_matrix(
    messages: MessageTable,
    names: Sequence[str] = (),
    ax: Axes | None = None,
    *,
    relative_error: float = 0.1,
) -> Axes:
    """Draw how well each pair's message is known: its size over its standard error.

    Cells below ``1 / relative_error`` are pale: the network never learned these forces, and the search did
    not see them.

    Raises:
        ValueError: the messages have no errors yet.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FuncFormatter

    if messages.error is None:
        raise ValueError("The messages have no errors yet: call sciml.distill.reduce.estimate_errors first.")
    signal = _signal(messages)
    count, threshold = len(signal), 1.0 / relative_error
    ax = axes(ax, 5.2, 4.4)
    finite = signal[np.isfinite(signal)]
    norm = LogNorm(threshold, max(10 * threshold, finite.max(initial=0.0)))
    mesh = ax.pcolormesh(
        np.where(signal >= threshold, signal, np.nan), cmap="viridis", norm=norm, rasterized=count > 30
    )
    weak_i, weak_j = np.nonzero(signal < threshold)
    ax.plot(weak_j + 0.5, weak_i + 0.5, "o", color=MUTED, markersize=max(0.5, 12 / count), alpha=0.4)
    bar = ax.figure.colorbar(mesh, ax=ax, shrink=0.8, format=FuncFormatter(power_of_ten))
    bar.set_label("message over its standard error", color=INK, fontsize=9)
    bar.ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=9, which="both")
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)
    step = max(1, count // 20)
    ticks = np.arange(0, count, step)
    labels = [name_of(names, int(i)) for i in ticks]
    ax.set_xticks(ticks + 0.5, labels, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(ticks + 0.5, labels)
    ax.invert_yaxis()
    ax.set_aspect("equal")
    ax.grid(visible=False)
    ax.set_xlabel("sender")
    ax.set_ylabel("receiver")
    return ax


def _signal(messages: MessageTable) -> np.ndarray:
    """Return [receiver, sender] root mean square message over its standard error; NaN where no edge is."""
    assert messages.error is not None
    count = int(max(messages.receiver.max(initial=0), messages.sender.max(initial=0))) + 1
    cell = messages.receiver * count + messages.sender
    total = np.bincount(cell, messages.y**2, count**2)
    noise = np.bincount(cell, messages.error**2, count**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt(total / noise).reshape(count, count)
