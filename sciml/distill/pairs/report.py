"""The report of a law of pairs: JSON with the keys of every report of a law, and one HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sciml import plotting
from sciml.distill.pairs.pipeline import PairLaw
from sciml.distill.report.contract import FORMAT, law_entry
from sciml.distill.report.page import VERDICTS, environment, mathml
from sciml.plotting.laws import rounded


def pair_report(found: PairLaw, *, title: str = "", seed: int | None = None) -> dict[str, Any]:
    """Return the report as plain data.

    Keys: ``format``, ``title``, ``verdict``, ``reason``, ``law`` (with ``terms``: expression, kinds, form),
    ``shares`` (root mean squares of what is left over that of the forces), ``explained`` (shares of the
    variance), ``curves`` (by pair of elements: distance, force, error, pairs, law), ``tried``, ``front``,
    ``cutoff``, ``elements``, ``data``, ``seconds``, ``seed``, ``peak_memory_bytes``, ``versions``,
    ``caveats``.
    """
    from sciml.training.run import peak_memory_bytes, plain, versions

    law = found.law
    shares = asdict(found.shares)
    return plain({
        "format": FORMAT,
        "title": title or "What pairs of atoms do to each other",
        "verdict": law.verdict,
        "reason": law.reason,
        "law": law_entry(law) | {
            "inertia": law.inertia, "kind": law.kind, "held_out_error": found.shares.law,
            "terms": _terms(found),
        },
        "shares": shares,
        "explained": {k: None if v is None else 1 - v**2 for k, v in shares.items()},
        "curves": curves(found),
        "tried": [
            {"formula": t.name, "nodes": t.size, "held_out_error": t.error, "chosen": t is found.best}
            for t in found.tried
        ],
        "front": [
            {"force": name, "expression": str(c.expression), "complexity": c.complexity, "loss": c.loss}
            for name, front in found.fronts.items() for c in front
        ],
        "hidden": {},
        "rollout": None,
        "cutoff": found.cutoff,
        "elements": found.law.provenance["elements"],
        "data": {
            "source": law.provenance["source"], "frames": found.frames, "held_out": found.held_out,
            "curves_of": "the network" if found.taught else "the frames",
        },
        "seconds": found.seconds,
        "peak_memory_bytes": peak_memory_bytes(),
        "seed": seed,
        "versions": versions(),
        "caveats": caveats(found),
    })  # fmt: skip


def _terms(found: PairLaw) -> list[dict[str, Any]]:
    names = [n for n, form in zip(found.kinds.names, found.fitted.model.forms) if form is not None]
    forms = found.law.provenance["forms"]
    return [
        {"expression": str(term.expression), "kinds": term.kinds, "form": forms[name]}
        for name, term in zip(names, found.law.terms)
    ]


def curves(found: PairLaw) -> dict[str, dict[str, Any]]:
    """Return what pairs of each kind do, by splines and by the law."""
    model = found.fitted.model
    return {
        name: asdict(curve) | {"law": form(curve.distance, values)}
        for name, curve, form, values in zip(found.kinds.names, found.curves, model.forms, model.values)
        if curve is not None and form is not None
    }


def caveats(found: PairLaw) -> list[str]:
    """Return what a reader must know before believing the law, in sentences."""
    sentences = [
        "Only forces along the line of two atoms, of their distance and elements, were tried.",
        f"There is no force beyond {found.cutoff:.4g} Å, and the energy of a pair is zero there.",
        "Outside the distances of the frames the law is an extrapolation.",
        "Standard errors take what is left of forces and energies for independent.",
    ]
    if found.shares.energies is None:
        sentences.append("Energies were not compared: the frames have none, or too few.")
    if missing := [name for name, curve in zip(found.kinds.names, found.curves) if curve is None]:
        sentences.append(f"Too few pairs for a force: {', '.join(missing)}.")
    if found.law.verdict == "none":
        sentences.append("The formula is the best of those that were found: do not use it as a law.")
    return sentences


def pair_page(found: PairLaw, content: Mapping[str, Any], config: str = "") -> str:
    """Return the page: self-contained, everything from outside escaped."""
    from markupsafe import Markup

    pictures = {
        name: Markup(plotting.svg(plotting.pair_curve(**_arrays(c), name=name), f"Force of {name} pairs."))
        for name, c in content["curves"].items()
    }
    law = found.law
    return (
        environment()
        .get_template("pairs.html.jinja")
        .render(
            **content,
            config=config,
            badge=VERDICTS[law.verdict],
            equations=[mathml(rounded(t.expression, 4), "f") for t in law.terms],
            pictures=pictures,
        )
    )


def _arrays(curve: Mapping[str, Any]) -> dict[str, Any]:
    import numpy as np

    return {name: np.array(values, dtype=float) for name, values in curve.items()}


def write_pair_report(
    found: PairLaw, run_dir: Path, *, title: str = "", config: str = "", seed: int | None = None
) -> dict[str, Any]:
    """Write report.json, report.html and law.json into a run directory; return the report."""
    from sciml.training.run import write_json, write_text

    content = pair_report(found, title=title, seed=seed)
    page = pair_page(found, content, config)
    write_json(run_dir / "report.json", content)
    write_text(run_dir / "report.html", page)
    found.law.save(run_dir / "law.json")
    return content
