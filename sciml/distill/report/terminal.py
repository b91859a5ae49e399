"""The report in a terminal: the law, the hidden properties beside their references, and where to read on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml.distill.law import with_error
from sciml.distill.report.contract import Report, significant
from sciml.plotting.style import pretty_unit

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

MOST = 30  # rows of a table
STYLE = {"law": "bold green", "ambiguous": "bold yellow", "none": "bold red"}


def summary(report: Report | Mapping[str, Any], page: str | Path | None = None) -> RenderableType:
    """Return a renderable for `rich`.

    Args:
        report: a report, or the content of a ``report.json``.
        page: where ``report.html`` was written.
    """
    from rich.console import Group
    from rich.text import Text

    content = report.json if isinstance(report, Report) else report
    law, verdict = content["law"], content["verdict"]
    formula, unit = f"{law['target']} = {law['expression']}", pretty_unit(law["target_unit"])
    lines: list[RenderableType] = [Text.assemble((formula, "bold"), f"   {unit}")]
    for name, constant in law["constants"].items():
        value = with_error(constant["value"], constant["standard_error"])
        lines.append(Text(f"  {name} = {value} {pretty_unit(constant['unit'])}".rstrip()))
    for name, exponent in law["exponents"].items():
        value = with_error(exponent["value"], exponent["standard_error"])
        lines.append(Text(f"  exponent of {name}: {value}, taken as {exponent['snapped']:g}"))
    lines.append(Text.assemble((f"verdict: {verdict}", STYLE[verdict]), f"  {content['reason']}"))
    lines += [_table(content, name) for name in content["hidden"]]
    if page is not None:
        lines.append(Text(f"report: {page}", no_wrap=True, overflow="ignore"))
    return Group(*lines)


def _table(content: Mapping[str, Any], name: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    entries, held = content["hidden"][name], content["reference_particle"]
    compared = any(entry["reference"] is not None for entry in entries.values())
    table = Table(title=f"{name}, relative to {held}", title_justify="left")
    table.add_column("particle", overflow="ellipsis", no_wrap=True)
    for heading in ("value", "standard error", *(("reference", "error") if compared else ())):
        table.add_column(heading, justify="right", min_width=len(heading) if heading != "value" else 14)
    for particle, entry in list(entries.items())[:MOST]:
        cells = [particle, *_estimate(entry, particle == held), *(_comparison(entry) if compared else ())]
        table.add_row(*map(Text, cells))
    if len(entries) > MOST:
        table.caption = f"and {len(entries) - MOST} more, in the report"
    return table


def _estimate(entry: Mapping[str, Any], held: bool) -> tuple[str, str]:
    value, error = entry["value"], entry["standard_error"]
    shown = f"{value:.{significant(entry) + 1}g}" if entry["determined"] else "not determined"
    relative = "" if error is None or not value else f"{error / abs(value):.1e}"
    return shown, "held" if held else relative


def _comparison(entry: Mapping[str, Any]) -> tuple[str, str]:
    true, apart = entry["reference"], entry["relative_error"]
    if true is None:
        return "", ""
    return f"{true:.{significant(entry) + 1}g}", f"{apart:+.1e}" if apart else ""
