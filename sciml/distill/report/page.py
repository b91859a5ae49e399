"""The page: a report as one HTML file with formulas in MathML and pictures in SVG."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy

from sciml import plotting
from sciml.distill.law import with_error
from sciml.distill.report.contract import Report, chosen_candidate, significant
from sciml.plotting.laws import rounded
from sciml.plotting.style import pretty_unit, superscript

if TYPE_CHECKING:
    from jinja2 import Environment
    from matplotlib.axes import Axes

    from sciml.distill.evaluate import RolloutComparison

log = logging.getLogger(__name__)

TEMPLATE = "page.html.jinja"
ZOOM = 4.0  # a second window on the orbits where the widest is this many times the median one
SIGNS = {
    "<mo>-</mo>": "<mo>−</mo>",
    "<mn>-": "<mn>−",
    "<mo>(</mo>": '<mo form="prefix" stretchy="true">(</mo>',
    "<mo>)</mo>": '<mo form="postfix" stretchy="true">)</mo>',
}
VECTOR = re.compile("<msub><mi>([a-z])</mi><mi>(hat|vec)</mi></msub>")  # as vectors are called
ARROWS = {"hat": "^", "vec": "→"}
VERDICTS = {"law": ("✓", "law"), "ambiguous": ("?", "ambiguous"), "none": ("✕", "no law")}


def render(report: Report) -> str:
    """Return the page. All text from outside is escaped; nothing is loaded and nothing runs."""
    law = report.distillation.law
    return (
        environment()
        .get_template(TEMPLATE)
        .render(
            **report.json,
            config=report.config,
            badge=VERDICTS[law.verdict],
            equation=mathml(law.expression, law.target),
            formulas=[mathml(rounded(c.expression, 5)) for c in report.distillation.front],
            pictures=pictures(report),
            median=_median,
            digits=significant,
            span=span(report.json["rollout"]),
        )
    )


def environment() -> Environment:
    """Return where the templates of pages are, with the filters that they use."""
    from jinja2 import Environment, FileSystemLoader

    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    found.filters |= {"number": number, "measured": measured, "typeset": typeset, "unit": pretty_unit}
    found.filters["symbol"] = lambda name: mathml(sympy.Symbol(name))
    return found


# -------------------------------------------------------------------- numbers


def number(value: float | None, digits: int = 2) -> str:
    """Write a number with so many digits after the first, tens as powers: 2.1×10⁻⁸."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == round(value) and abs(value) < 1e4:
        return typeset(f"{value:.0f}")
    size = math.floor(math.log10(abs(value)))
    return typeset(f"{value:.{max(digits - size, 0)}f}" if -3 <= size <= 4 else f"{value:.{digits}e}")


def measured(value: float | None, error: float | None) -> str:
    """Write a value to the digits that its standard error leaves."""
    return "–" if value is None else typeset(with_error(value, error))


def typeset(text: str) -> str:
    """Replace e-08 in a text by ×10⁻⁸."""
    text = re.sub(r"(?<=[\d)])e([+-]\d+)", lambda m: f"×10{superscript(int(m[1]))}", text)
    return re.sub(r"(?<![\w)])-(?=[\d.])", "−", text)


def _median(values: Mapping[str, float | None]) -> float | None:
    finite = [value for value in values.values() if value is not None]
    return float(np.median(finite)) if finite else None


def span(rollout: Mapping[str, Any] | None) -> str:
    """Write how long a rollout of a report is; "" for none."""
    if rollout is None:
        return ""
    unit = rollout["time_unit"]
    words = {"": "units of time", "year": "years", "day": "days"}.get(unit, unit)
    return f"{rollout['span']:.3g} {words}"


def mathml(expression: sympy.Expr, target: str = "") -> Any:
    """Return a formula as a MathML element, with ``target =`` before it if given."""
    from markupsafe import Markup
    from sympy.printing.mathml import mathml as write

    # SymPy's printer takes exp(-x) for a power and puts it below a line, as 1/e^x.
    expression = expression.replace(sympy.exp, sympy.Function("exp"))
    body = write(expression, printer="presentation")
    if target:
        body = write(sympy.Symbol(target), printer="presentation") + "<mo>=</mo>" + body
    for plain, typeset in SIGNS.items():
        body = body.replace(plain, typeset)
    body = VECTOR.sub(lambda m: f'<mover accent="true"><mi>{m[1]}</mi><mo>{ARROWS[m[2]]}</mo></mover>', body)
    return Markup(f'<math displaystyle="true">{body}</math>')


# ------------------------------------------------------------------- pictures


def pictures(report: Report) -> dict[str, Any]:
    """Return the page's pictures by name; those for which there are no data are missing."""
    found, content = report.distillation, report.json
    names, law = found.particles, found.law
    shown: dict[str, Any] = {
        "front": _svg(
            plotting.front(found.front, chosen_candidate(found)),
            f"Pareto front of {len(found.front)} formulas: loss on the messages against complexity.",
        ),
        "messages": _svg(
            plotting.messages_against_law(found.searched, law, left_out=found.messages, names=names),
            "Size of the messages in the network against the law, logarithmic, with the residual below.",
        ),
        "held_out": _svg(
            plotting.held_out_errors(
                {"network": found.network_error, "law": found.choice.best.held_out_error}, names
            ),
            "Held-out error of the acceleration of each particle, by the network and by the law.",
        ),
        "signal": _svg(
            plotting.signal_matrix(found.messages, names),
            "Matrix of receivers and senders: how many times its standard error each message is.",
        ),
    }
    for name, estimates in found.hidden.items():
        true = {p: e["reference"] for p, e in content["hidden"][name].items() if e["reference"] is not None}
        shown[f"hidden-{name}"] = _svg(
            plotting.hidden_properties(estimates, true, name=name),
            f"Standard error{' and actual error' * bool(true)} of the {name} of each particle, relative.",
        )
    if report.metrics is not None:
        try:
            curve = plotting.training_curve(report.metrics)
            shown["training"] = _svg(curve, "Loss and held-out error by epoch of the training.")
        except (OSError, ValueError) as error:  # a law is worth its page without the curve
            log.warning("The report has no training curve: %s", error)
    if report.rollout is not None:
        shown |= rollout_pictures(report.rollout)
    return shown


def rollout_pictures(comparison: RolloutComparison) -> dict[str, Any]:
    """Return the pictures of a rollout by name: errors in time, and paths."""
    shown = {
        "rollout": _svg(
            plotting.rollout_error(comparison), "Position error of each particle against time, logarithmic."
        ),
        "orbits": _svg(
            plotting.orbits(comparison), "Paths of all particles, true and by the law, projected on a plane."
        ),
    }
    reach = np.abs(comparison.true[..., :2]).max(axis=(0, 2))
    window = 1.1 * float(np.median(reach))
    if reach.max() > ZOOM * window > 0:
        shown["orbits-near"] = _svg(
            plotting.orbits(comparison, within=window), "The same paths nearer to the centre."
        )
    return shown


def _svg(ax: Axes, label: str) -> Any:
    from markupsafe import Markup

    return Markup(plotting.svg(ax, label))
