"""The report on equations of fields: report.json for programs, one HTML page for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sciml.distill.fields.pipeline import Equation, FieldDiscovery
from sciml.distill.fields.stencils import LearnedStencils
from sciml.distill.fields.terms import text

FORMAT = 1


@dataclass(frozen=True, eq=False)
class FieldReport:
    """What was found, as data and as a page.

    Attributes:
        json: the content of ``report.json``.
        discovery, stencils, config: what the pictures and last lines of the page are made of.
    """

    json: dict[str, Any]
    discovery: FieldDiscovery = field(repr=False)
    stencils: LearnedStencils | None = field(default=None, repr=False)
    config: str = field(default="", repr=False)

    @cached_property
    def html(self) -> str:
        """One page that needs no network, no script and no other file."""
        from sciml.distill.fields.page import render

        return render(self)

    def write(self, run_dir: str | Path) -> Path:
        """Write ``report.json`` and ``report.html``, each whole or not at all; return the page's path."""
        from sciml.training.run import write_json, write_text

        run_dir, page = Path(run_dir), self.html
        write_json(run_dir / "report.json", self.json)
        write_text(run_dir / "report.html", page)
        return run_dir / "report.html"


def report(
    found: FieldDiscovery,
    *,
    stencils: LearnedStencils | None = None,
    seconds: Mapping[str, float] | None = None,
    seed: int | None = None,
    title: str = "",
    config: str = "",
) -> FieldReport:
    """Gather what was found.

    Args:
        found: equations and all that led to them.
        stencils: of the network, weighed.
        seconds: of stages before.
        seed: of the run.
        title: of the page.
        config: the run's configuration as text.

    Returns:
        A report whose ``json`` holds ``format``, ``kind`` ("field"), ``title``, ``verdict`` with ``reason``,
        ``equations`` (by channel: expression, latex, constants, verdict, evidence, rivals, tried),
        ``rollout``, ``stencils``, ``data``, ``caveats``, ``seconds``, ``peak_memory_bytes``, ``seed`` and
        ``versions``.
    """
    from sciml.training.run import peak_memory_bytes, plain, versions

    content = {
        "format": FORMAT,
        "kind": "field",
        "title": title or "What the fields say",
        "verdict": found.verdict,
        "reason": found.reason,
        "equations": {e.channel: _equation(found, e) for e in found.equations},
        "rollout": _rollout(found),
        "stencils": None if stencils is None else _stencils(stencils),
        "data": _data(found),
        "caveats": caveats(found),
        "seconds": {**(seconds or {}), **found.seconds},
        "peak_memory_bytes": peak_memory_bytes(),
        "seed": seed,
        "versions": versions(),
    }
    return FieldReport(plain(content), found, stencils, config)


def _equation(found: FieldDiscovery, equation: Equation) -> dict[str, Any]:
    law, names, terms = equation.law, found.data.channels, found.problem.terms
    written = lambda fit: {
        "terms": [text(terms[j], names) for j in fit.support],
        "coefficients": fit.coefficients,
        "left_over": float(np.sqrt(max(fit.left_over, 0.0))),
    }
    return {
        "target": law.target,
        "target_unit": law.target_unit,
        "expression": str(law.expression),
        "latex": law.latex,
        "variables": law.variables,
        "constants": {name: constant._asdict() for name, constant in law.constants.items()},
        "verdict": law.verdict,
        "reason": law.reason,
        "terms": [text(t, names) for t in equation.terms],
        "evidence": {k: v for k, v in vars(equation.evidence).items() if k not in ("verdict", "reason")},
        "rivals": [written(r) for r in equation.choice.rivals],
        "tried": [written(t) for t in equation.choice.tried],
    }


def _rollout(found: FieldDiscovery) -> dict[str, Any] | None:
    rollout = found.rollout
    if rollout is None:
        return None
    return {
        "span": float(rollout.time[-1]) if len(rollout.time) else 0.0,
        "snapshots": len(rollout.time),
        "error": {name: rollout.error[:, c] for c, name in enumerate(found.data.channels)},
        "persistence": {name: rollout.persistence[:, c] for c, name in enumerate(found.data.channels)},
        "note": rollout.note,
    }


def _stencils(stencils: LearnedStencils) -> dict[str, Any]:
    return {
        "validation": stencils.validation,
        "products": [text(stencils.term(m, 0), stencils.channels) for m in range(len(stencils.monomials))],
        "orders": stencils.orders,
        "moments": dict(zip(stencils.channels, stencils.moments)),
        "bias": dict(zip(stencils.channels, stencils.bias)),
        "share": None if stencils.share is None else dict(zip(stencils.channels, stencils.share)),
        "weights": dict(zip(stencils.channels, stencils.weights)),
        "proposed": {
            name: [text(t, stencils.channels) for t in stencils.proposed(c)]
            for c, name in enumerate(stencils.channels)
        }
        if stencils.share is not None
        else None,
    }


def _data(found: FieldDiscovery) -> dict[str, Any]:
    data, known = found.data, found.character
    return {
        "source": data.source,
        "snapshots": data.times,
        "shape": list(data.shape),
        "channels": list(data.channels),
        "dx": list(data.dx),
        "dt": data.dt,
        "periodic": list(known.periodic),
        "noise": dict(zip(data.channels, known.noise)),
        "half_widths": list(found.problem.halves),
        "candidates": len(found.problem.terms),
    }


def caveats(found: FieldDiscovery) -> list[str]:
    """Return what a reader must know before believing the equations, in sentences."""
    sentences = [
        "Only terms of the library were tried: polynomials of the fields and their derivatives with "
        "constant coefficients. Anything else (forcing, memory, coefficients that vary) shows as an "
        "unexplained rest.",
        "Standard errors take the noise for white, without correlation in space and time, and the grid for "
        "fine enough. Noise that was smoothed before makes them too small.",
    ]
    if found.character.noise.max() < 1e-4:
        sentences.append(
            "The data are nearly free of noise: standard errors say what the fit leaves over, and not how "
            "exact the method is that made the data."
        )
    for equation in found.equations:
        terms = equation.terms
        if len(terms) == 1 and terms[0].degree == 1 and terms[0].order == 1 and not terms[0].orders[0]:
            sentences.append(
                f"{equation.channel} moves without changing its shape. A single travelling wave does so "
                "under many equations: data with several waves would tell them apart."
            )
    for name, offset in zip(found.data.channels, found.offsets):
        if offset:
            sentences.append(
                f"{name} changes little in relation to its size; the equation is in powers of {name} − "
                f"{offset:g}, which {name} stands for in lists of terms and in pictures."
            )
    if not all(found.character.periodic):
        sentences.append(
            "The rollout takes the values on a rim of three points at open ends from the data, so its error "
            "says little close to the rim."
        )
    return sentences
