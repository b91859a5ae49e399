"""What all pictures share: colours that the colour-blind can tell apart, axes, labels, and SVG for pages."""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#1f2328", "#6b7280", "#e3e6ea"
# after Okabe & Ito, Color Universal Design (2008)
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f6bb3", "#8c6d31")
COLORS = {"ink": INK, "muted": MUTED, "grid": GRID} | {f"series-{i}": c for i, c in enumerate(SERIES)}
MOST_LABELS = 12
LONGEST = 14

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def superscript(number: int) -> str:
    """Write an exponent: ⁻¹²."""
    return str(number).translate(_SUPERSCRIPT)


def pretty_unit(unit: str) -> str:
    """Write a unit for people: ``AU**3/day**2`` as AU³/day²."""
    powers = re.sub(r"\*\*(-?\d+)(?![\d.])", lambda m: superscript(int(m[1])), unit)
    return powers.replace("**", "^").replace("*", " ")


def pretty_formula(expression: object) -> str:
    """Write a formula in one line of text: ``c0*m_i*m_j/r**2`` as c0·m_i·m_j/r²."""
    powers = re.sub(r"\*\*(\d+)(?![\d.])", lambda m: superscript(int(m[1])), str(expression))
    return powers.replace("**", "^").replace("*", "·").replace("-", "−")


def with_unit(name: str, unit: str) -> str:
    """Write an axis label, with the unit in brackets where there is one."""
    return f"{name} [{pretty_unit(unit)}]" if unit else name


def plain(text: str, longest: int = 60) -> str:
    """Return text in which Matplotlib sees no formula, its middle left out where it is long."""
    if len(text) > longest:
        text = f"{text[: longest // 2]}…{text[-(longest // 2) + 1 :]}"
    return text.replace("$", r"\$")


def name_of(names: Sequence[str], particle: int) -> str:
    """Write the name of a particle as a label: at most `LONGEST` characters, its number if it has none."""
    return plain(names[particle], LONGEST) if particle < len(names) else str(particle)


@cache
def _picture() -> type[Figure]:
    from matplotlib.figure import Figure

    class Picture(Figure):
        """A figure that notebooks show without pyplot."""

        def _repr_png_(self) -> bytes:
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=144)
            return buffer.getvalue()

    return Picture


def new_figure(width: float = 5.2, height: float = 3.4) -> Figure:
    """Return an empty figure (inches) that belongs to no window."""
    return _picture()(figsize=(width, height), layout="constrained", facecolor="none")


def axes(ax: Axes | None, width: float = 5.2, height: float = 3.4) -> Axes:
    """Return ``ax``, or the axes of a new figure."""
    return tidy(new_figure(width, height).subplots()) if ax is None else ax


def tidy(ax: Axes) -> Axes:
    """Give axes the look of the house: little ink that is not data."""
    ax.set_facecolor("none")
    ax.set_axisbelow(True)
    ax.grid(color=GRID, linewidth=0.8)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=9)
    for label in (ax.xaxis.label, ax.yaxis.label, ax.title):
        label.set(color=INK, fontsize=10)
    return ax


def logarithmic(axis: Any) -> None:
    """Make an x or y axis logarithmic, with ticks 10⁻³, 10⁻²."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis._set_axes_scale("log")
    axis.set_major_locator(LogLocator(numticks=8))
    axis.set_major_formatter(FuncFormatter(power_of_ten))
    axis.set_minor_formatter(NullFormatter())


def power_of_ten(value: float, _position: int | None = None) -> str:
    """Write a tick of a logarithmic axis."""
    return f"10{superscript(round(math.log10(value)))}" if value > 0 else ""


def legend(ax: Axes, **options: Any) -> None:
    """Add a legend without a box, in the colours of the page."""
    box = ax.legend(frameon=False, fontsize=8, labelcolor=INK, handletextpad=0.4, **options)
    box.get_title().set(color=MUTED, fontsize=8)


def label_ends(ax: Axes, heights: Sequence[float], names: Sequence[str], colors: Sequence[str]) -> None:
    """Write names at the right edge beside the ends of lines, moved apart where they would overlap."""
    from matplotlib.transforms import blended_transform_factory

    to_axes = ax.transData + ax.transAxes.inverted()
    ends = np.array([to_axes.transform((1.0, height))[1] for height in heights])
    blended = blended_transform_factory(ax.transAxes, ax.transAxes)
    for y, name, color in zip(moved_apart(ends, 0.062), names, colors, strict=True):
        ax.text(1.02, y, name, transform=blended, color=color, fontsize=8, va="center")


def moved_apart(positions: Float[np.ndarray, "labels"], gap: float) -> Float[np.ndarray, "labels"]:
    """Return positions at least ``gap`` apart, in the same order, near to the old."""
    order = np.argsort(positions, kind="stable")
    moved = np.clip(positions[order], 0.0, 1.0)
    for k in range(1, len(moved)):
        moved[k] = max(moved[k], moved[k - 1] + gap)
    overflow = moved[-1] - 1.0 if len(moved) else 0.0
    if overflow > 0:
        moved[-1] = 1.0
        for k in range(len(moved) - 2, -1, -1):
            moved[k] = min(moved[k], moved[k + 1] - gap)
    result = np.empty_like(moved)
    result[order] = moved
    return result


def svg(ax: Axes, label: str) -> str:
    """Return the figure of ``ax`` as an SVG element: text stays text, colours are the page's to change.

    Args:
        ax: as the pictures return them.
        label: what it shows, for those who cannot see it.

    Colours of `COLORS` become CSS variables of their names (``var(--ink, #1f2328)``), so that one picture
    serves light and dark pages. Identifiers are made unique to the picture.
    """
    from html import escape

    from matplotlib import rc_context

    figure, buffer = cast("Figure", ax.figure), io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "sciml"}):
        figure.savefig(buffer, format="svg", facecolor="none", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    prefix = "p" + hashlib.sha256(f"{label}{text}".encode()).hexdigest()[:8]
    text = re.sub(r' (d|x|y)="([^"]*)"', _shortened, text)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", text)
    text = re.sub(r"(font(?:-family)?: [^;\"]*?)'DejaVu Sans'[^;\"]*", r"\1var(--sans, sans-serif)", text)
    styles: dict[str, str] = {}  # of points, which are many and alike

    def by_class(point: re.Match) -> str:
        return f'{point[1]}class="{styles.setdefault(point[2], f"{prefix}-{len(styles)}")}"'

    text = re.sub(r'(<use [^>]*?)style="([^"]*)"', by_class, text)
    rules = "".join(f".{name}{{{style}}}" for style, name in styles.items())
    text = text.replace(">", f"><style>{rules}</style>", 1)
    for name, color in COLORS.items():
        text = text.replace(color, f"var(--{name}, {color})")
    width, height = figure.get_size_inches() * 72
    head = (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {width:g} {height:g}" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return head + text[text.index(">") + 1 :]


def _shortened(attribute: re.Match) -> str:
    """Cut coordinates to hundredths of a point: nobody sees more, and pages stay small."""
    numbers = re.sub(r"(\.\d\d)\d+", r"\1", attribute[2])
    return f' {attribute[1]}="{numbers}"'
