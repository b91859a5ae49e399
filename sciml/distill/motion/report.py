"""The report of a law of motion: JSON with the keys of every report of a law, and one HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sciml import plotting
from sciml.distill.evaluate import RolloutComparison
from sciml.distill.motion.pipeline import Discovery
from sciml.distill.motion.structure import Channel
from sciml.distill.motion.verdict import VISIBLE
from sciml.distill.motion.worth import rolled_out
from sciml.distill.report.contract import DETERMINED, FORMAT, law_entry, rollout_entry
from sciml.distill.report.page import VERDICTS, environment, mathml, rollout_pictures, span
from sciml.distill.terms import Term
from sciml.physics.vectors import VECTORS
from sciml.plotting.laws import rounded


def motion_report(
    found: Discovery,
    *,
    rollout: RolloutComparison | None = None,
    seed: int | None = None,
    title: str = "",
    seconds: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Return the report as plain data.

    Keys: ``format``, ``title``, ``verdict``, ``reason``, ``law`` (with ``terms``: expression, vector, kinds,
    words, share of the variance, size), ``hidden`` (by property and particle: value, standard_error,
    reference, relative_error, determined), ``evidence``, ``extrapolation`` (see `Outside`), ``tried``
    (formulas by force, with description lengths in nats), ``forces`` (structures that come near, by how many
    nats they are longer), ``front``, ``rollout`` (through the time that was held out), ``data``, ``seconds``,
    ``seed``, ``peak_memory_bytes``, ``versions``, ``caveats``.
    """
    from sciml.training.run import peak_memory_bytes, plain, versions

    law, data = found.law, found.observed.data
    content = {
        "format": FORMAT,
        "title": title or "What moves the particles",
        "verdict": law.verdict,
        "reason": law.reason,
        "law": _law(found),
        "hidden": _hidden(found),
        "reference_particle": _held(found),
        "evidence": asdict(found.evidence) | {"explained": found.evidence.explained},
        "extrapolation": None if found.outside is None else asdict(found.outside),
        "tried": {
            _force(found, key): [
                {"expression": str(e), "length": length, "loss": loss}
                for e, length, loss in sorted(tried, key=lambda t: t[1])
            ]
            for key, tried in found.chosen.tried.items()
        },
        "forces": [
            {"forces": [_channel(c) for c in f.channels], "longer_by": worse}
            for f, worse in found.structures.near[:10]
        ],
        "front": [
            {"force": key.partition(":")[2], "expression": str(c.expression), "complexity": c.complexity,
             "loss": c.loss}
            for key, front in found.chosen.fronts.items() for c in front
        ],
        "rollout": None if rollout is None else rollout_entry(rollout),
        "data": {
            "source": data.source, "particles": list(found.particles), "shape": list(data.shape),
            "fitted_by": found.observed.kind,
            "position_noise": float(np.median(found.observed.path_noise)) * found.natural.length,
            "noise_known": found.observed.noise_known,
        },
        "seconds": {**(seconds or {}), **found.seconds},
        "peak_memory_bytes": peak_memory_bytes(),
        "seed": seed,
        "versions": versions(),
        "caveats": caveats(found),
    }  # fmt: skip
    return plain(content)


def write_motion_report(
    found: Discovery, run_dir: Path, *, seed: int | None = None, title: str = "", config: str = ""
) -> dict[str, Any]:
    """Write report.json, report.html and law.json into a run directory; return the report."""
    from sciml.training.run import write_json, write_text

    empty = not found.fit.model.parts
    rollout = None if empty else rolled_out(found.law, found.properties, found.observed, found.natural)
    content = motion_report(found, rollout=rollout, seed=seed, title=title)
    page = motion_page(found, content, config, rollout)
    write_json(run_dir / "report.json", content)
    write_text(run_dir / "report.html", page)
    found.law.save(run_dir / "law.json")
    return content


def motion_page(
    found: Discovery, content: Mapping[str, Any], config: str = "", rollout: RolloutComparison | None = None
) -> str:
    """Return the page: self-contained, everything from outside escaped."""
    law = found.law
    return (
        environment()
        .get_template("motion.html.jinja")
        .render(
            **content,
            config=config,
            badge=VERDICTS[law.verdict],
            equation=mathml(law.expression, law.target),
            summed=any(t.place == "pair" for t in law.terms),
            span=span(content["rollout"]),
            pictures=_pictures(found) | ({} if rollout is None else rollout_pictures(rollout)),
        )
    )


def caveats(found: Discovery) -> list[str]:
    """Return what a reader must know before believing the law, in sentences."""
    sentences = [
        "Forces that were tried: between pairs along, across and with their relative motion; drag, uniform, "
        "magnetic and central external forces; each with strengths that are equal, given or hidden. Memory, "
        "forces that change with time and forces between more than two particles were not.",
        "Outside the distances and speeds of the data the law is an extrapolation.",
    ]
    if found.natural.changes:
        sentences.append(f"Formulas other than the law are written with {found.natural.words}.")
    if found.free:
        sentences.append(found.free)
    if found.evidence.noise_known:
        sentences.append(
            "Standard errors take the noise for white and independent between particles and times."
        )
    if found.law.verdict == "none":
        sentences.append("The formula is the best of those that were found: do not use it as a law.")
    return sentences


def _law(found: Discovery) -> dict[str, Any]:
    law = found.law
    terms = (law.terms or (Term(law.expression),)) if found.fit.model.parts else ()
    return law_entry(law) | {
        "inertia": law.inertia,
        "kind": law.kind,
        "terms": [
            {"expression": str(t.expression), "vector": t.vector, "place": t.place, "kinds": t.kinds,
             "words": VECTORS[t.vector].words, "share": share.variance, "size": share.size}
            for t, share in zip(terms, found.shares, strict=True)
        ],
        "held_out_error": found.evidence.unexplained,
    }  # fmt: skip


def _held(found: Discovery) -> str | None:
    """Return the particle whose hidden properties are the unit of the others'."""
    for per in found.hidden.values():
        return max(per, key=lambda particle: abs(per[particle].value))
    return None


def _hidden(found: Discovery) -> dict[str, dict[str, Any]]:
    result: dict[str, dict[str, Any]] = {}
    for name, per in found.hidden.items():
        true = found.observed.data.reference.get(name)
        scale = _scale(per, true, found.particles)
        result[name] = {}
        for k, (particle, e) in enumerate(per.items()):
            reference = None if true is None or scale is None else float(true[0][k]) * scale
            result[name][particle] = {
                "value": e.value,
                "standard_error": e.standard_error,
                "reference": reference,
                "relative_error": e.value / reference - 1 if reference else None,
                "determined": bool(DETERMINED * e.standard_error <= abs(e.value)),
            }
    return result


def _scale(per: Mapping[str, Any], true: np.ndarray | None, particles: tuple[str, ...]) -> float | None:
    """Return what brings true values to the scale of the estimates: they agree where these are largest."""
    if true is None:
        return None
    values = np.array([per[p].value for p in particles])
    k = int(np.argmax(np.abs(values)))
    return float(values[k] / true[0][k]) if true[0][k] else None


def _channel(channel: Channel) -> list[str]:
    strength = channel.strength
    return [channel.block, strength.receiver, strength.sender, strength.over]


def _force(found: Discovery, key: str) -> str:
    channels = found.structures.best.channels
    return channels[int(key)].block if int(key) < len(channels) else key


def _pictures(found: Discovery) -> dict[str, Any]:
    from markupsafe import Markup

    shown = {}
    if found.evidence.energy >= VISIBLE or not found.evidence.noise_known:
        ax = plotting.explained_rows(*rows_beside_law(found))
        shown["rows"] = Markup(plotting.svg(ax, "Held-out accelerations, measured against the law."))
    curves = force_curves(found)
    if curves:
        shown["curves"] = Markup(
            plotting.svg(plotting.force_curves(curves), "Forces against their argument, by the law.")
        )
    return shown


def rows_beside_law(found: Discovery, most: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Return measured and predicted held-out accelerations, in units of their rms."""
    from dataclasses import replace

    from sciml.distill.motion.bank import held_out_rows
    from sciml.distill.motion.model import residuals

    held = held_out_rows(found.observed)
    measured = -residuals(replace(found.fit.model, parts=()), found.observed, held, True)
    left = residuals(found.fit.model, found.observed, held, True)
    scale = np.sqrt(np.mean(measured**2)) or 1.0
    step = max(1, len(measured) // most)
    return measured[::step] / scale, (measured + left)[::step] / scale


def force_curves(found: Discovery) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    """Return label, argument, its values in the range of the data, and the scalar, of each varying force."""
    from sciml.distill.expression import evaluate
    from sciml.distill.motion.tables import tables

    bank_tables = tables(found.structures.best, found.bank)
    curves = []
    for p in found.fit.model.parts:
        if not p.argument:
            continue
        table = next(
            (
                t
                for t in bank_tables
                if len(t.argument) and p.vector in found.bank.blocks[t.channel.block].vectors
            ),
            None,
        )
        if table is None:
            continue
        value = evaluate(p.expression, {p.argument: table.argument})
        x = found.natural.size(p.argument)
        y = found.natural.scalar(p.vector) / found.natural.strength(p.strength)
        label = f"{p.vector}: {rounded(p.expression)!s:.60}"
        curves.append((label, p.argument, table.argument * x, value * y))
    return curves
