"""The page on equations of fields: MathML and SVG in one HTML file."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from sciml.plotting import fields as pictures_of
from sciml.plotting.style import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sciml.distill.fields.report import FieldReport

log = logging.getLogger(__name__)
TEMPLATE = "field.html.jinja"
FITTED = {"weak form": "in weak form", "trajectory": "by whole trajectories"}


def render(report: FieldReport) -> str:
    """Return the page. All text from outside is escaped; nothing is loaded and nothing runs."""
    from sciml.distill.report.page import VERDICTS, environment, mathml

    equations = {e.channel: mathml(e.law.expression, e.law.target) for e in report.discovery.equations}
    return (
        environment()
        .get_template(TEMPLATE)
        .render(
            **report.json,
            config=report.config,
            badge=VERDICTS[report.discovery.verdict],
            badges=VERDICTS,
            written=equations,
            fitted_by=FITTED[report.discovery.equations[0].law.provenance["fitted by"]],
            pictures=pictures(report),
        )
    )


def pictures(report: FieldReport) -> dict[str, Any]:
    """Return the page's pictures by name; those for which there are no data are missing."""
    found, names = report.discovery, report.discovery.data.channels
    shown: dict[str, Any] = {
        "residuals": _svg(pictures_of.residuals(found), "What equations of each number of terms leave over.")
    }
    laws = {e.channel: e.law for e in found.equations if e.law.constants}
    if laws:
        shown["coefficients"] = _svg(pictures_of.coefficients(laws), "Coefficients with two standard errors.")
    if found.rollout is not None and len(found.rollout.time) > 1:
        shown["errors"] = _svg(
            pictures_of.rollout_errors(found.rollout, names), "Error of the rollout over time, logarithmic."
        )
        for c, name in enumerate(names):
            ax = pictures_of.field_beside_rollout(
                found.rollout, c, found.data.dx, name, found.data.units[name]
            )
            shown[f"field-{name}"] = _svg(ax, f"{name}: held-out data, rollout and their difference.")
    if report.stencils is not None:
        for c, name in enumerate(names):
            ax = pictures_of.stencils(report.stencils, c)
            shown[f"stencils-{name}"] = _svg(ax, f"Stencils that make most of the rate of change of {name}.")
    return shown


def _svg(ax: Axes, label: str) -> Any:
    from markupsafe import Markup

    return Markup(svg(ax, label))
