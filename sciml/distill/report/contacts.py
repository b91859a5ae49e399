"""The report of a law from contacts: JSON for programs, one HTML page for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sciml import plotting
from sciml.builders.residue.chemistry import AMINO, LETTERS
from sciml.distill.contacts.counts import FIRST, SECOND, SEPARATIONS
from sciml.distill.contacts.pipeline import ContactLaw
from sciml.distill.report.page import VERDICTS, environment, mathml
from sciml.plotting.laws import rounded

FORMAT = 1


def contact_report(found: ContactLaw, left_out: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the report as plain data.

    Keys: ``format``, ``verdict``, ``reason``, ``law`` (text), ``types``, ``energies`` and ``errors`` (20
    lists of 20, kT), ``hidden`` (by property and type: value and standard_error), ``trials``,
    ``comparisons``, ``floor``, ``contacts``, ``structures``, ``families``, ``separation``, ``touched``
    (contacts of each type), ``free``, ``left_out``, ``units``.
    """
    errors = found.errors
    hidden = {
        name: {
            type_: {"value": float(value), "standard_error": _at(errors.get(name), k)}
            for k, (type_, value) in enumerate(zip(AMINO, values))
        }
        for name, values in found.fitted.hidden.items()
    }
    touched = np.bincount(FIRST, found.energies.observed, 20) + np.bincount(
        SECOND, found.energies.observed, 20
    )
    return {
        "format": FORMAT,
        "verdict": found.law.verdict,
        "reason": found.law.reason,
        "law": f"e = {found.law.sympy}",
        "types": list(AMINO),
        "energies": found.energies.energy.tolist(),
        "errors": found.energies.error.tolist(),
        "hidden": hidden,
        "trials": [
            {
                "expression": str(t.form.expression),
                "complexity": t.complexity,
                "deviance": t.mean,
                "spread": float(t.deviance.std(ddof=1)),
                "chosen": t.chosen,
            }
            for t in found.trials
        ],
        "comparisons": [asdict(one) for one in found.comparisons],
        "floor": found.floor,
        "contacts": found.contacts,
        "structures": found.structures,
        "families": found.families,
        "separation": SEPARATIONS[0],
        "touched": {type_: round(float(n)) for type_, n in zip(AMINO, np.asarray(touched))},
        "free": list(found.law.provenance["free"]) if found.law.verdict != "none" else [],
        "left_out": dict(left_out or {}),
        "units": {"energies": "kT", "errors": "kT", "hidden": "kT**0.5 in a product, kT in a sum"},
    }


def contact_page(
    found: ContactLaw, report: Mapping[str, Any], title: str = "Contacts", config: str = ""
) -> str:
    """Return the page: self-contained, everything from outside escaped."""
    return (
        environment()
        .get_template("contacts.html.jinja")
        .render(
            **report,
            title=title,
            config=config,
            badge=VERDICTS[found.law.verdict],
            equation=mathml(rounded(found.law.expression), found.law.target),
            formulas=[mathml(rounded(t.form.expression, 3)) for t in found.trials],
            pictures=_pictures(found),
        )
    )


def write_contact_report(
    found: ContactLaw, run_dir: Path, left_out: Mapping[str, str], title: str, config: str
) -> dict[str, Any]:
    """Write report.json, report.html and law.json into a run directory; return the report."""
    from sciml.training.run import write_json, write_text

    report = contact_report(found, left_out)
    write_json(run_dir / "report.json", report)
    write_text(run_dir / "report.html", contact_page(found, report, title, config))
    found.law.save(run_dir / "law.json")
    return report


# -------------------------------------------------------------------- details


def _at(values: np.ndarray | None, index: int) -> float | None:
    return None if values is None else float(values[index])


def _pictures(found: ContactLaw) -> dict[str, Any]:
    from markupsafe import Markup

    letters = list(LETTERS[:20])
    hidden, errors = found.fitted.hidden, found.errors
    order = np.argsort(-next(iter(hidden.values()))) if hidden else None
    axes = {"energies": plotting.pair_energies(found.energies.energy, letters, order)}
    names = list(hidden)
    if names:
        second = names[1] if len(names) > 1 else None
        y = hidden[second] if second else -found.energies.energy.mean(axis=1)
        axes["hidden"] = plotting.labelled_points(
            hidden[names[0]],
            y,
            letters,
            f"hidden {names[0]}",
            f"hidden {second}" if second else "minus the mean energy with all types [kT]",
            errors.get(names[0]),
            errors.get(second) if second else None,
        )
    text = {"energies": "map of pair energies", "hidden": "hidden properties of residue types"}
    return {name: Markup(plotting.svg(ax, text[name])) for name, ax in axes.items()}
