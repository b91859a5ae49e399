"""The content of a report: ``report.json``, whose keys stay what they are, and which the page shows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml.distill.report.caveats import caveats

if TYPE_CHECKING:
    from sciml.distill.evaluate import RolloutComparison
    from sciml.distill.front import Candidate
    from sciml.distill.law import Law
    from sciml.distill.pipeline import Distillation
    from sciml.training.dynamics import DynamicsData

FORMAT = 1
DETERMINED = 3.0  # standard errors that a value must differ from zero to be called determined

Reference = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, eq=False)
class Report:
    """What was found, as data and as a page.

    Attributes:
        json: the content of ``report.json`` (see `report`).
        distillation, rollout, metrics, config: what the page's pictures and last lines are made of.
    """

    json: dict[str, Any]
    distillation: Distillation = field(repr=False)
    rollout: RolloutComparison | None = field(default=None, repr=False)
    metrics: Path | None = None
    config: str = field(default="", repr=False)

    @cached_property
    def html(self) -> str:
        """One page that needs no network, no script and no other file."""
        from sciml.distill.report.page import render

        return render(self)

    def write(self, run_dir: str | Path) -> Path:
        """Write ``report.json`` and ``report.html``, each whole or not at all; return the page's path."""
        from sciml.training.run import write_json, write_text

        run_dir = Path(run_dir)
        page = self.html  # made first: if a picture fails, nothing is half-written
        write_json(run_dir / "report.json", self.json)
        write_text(run_dir / "report.html", page)
        return run_dir / "report.html"

    def _repr_html_(self) -> str:
        from html import escape

        return (
            f'<iframe srcdoc="{escape(self.html)}" style="width:100%;height:80vh;border:0" '
            'title="report" sandbox></iframe>'
        )


def report(
    distillation: Distillation,
    *,
    data: DynamicsData | None = None,
    rollout: RolloutComparison | None = None,
    reference: Reference | None = None,
    seconds: Mapping[str, float] | None = None,
    seed: int | None = None,
    title: str = "",
    config: str = "",
    metrics: str | Path | None = None,
) -> Report:
    """Gather what a distillation found.

    Args:
        distillation: law, front, messages and hidden properties.
        data: what it was learned from; gives source, noise and reference values.
        rollout: the law running alone beside the truth.
        reference: true values of hidden properties by property and particle, on any scale; taken from
            ``data`` if None.
        seconds: of stages before the distillation.
        seed: of the run.
        title: of the page.
        config: the run's configuration as text.
        metrics: ``metrics.csv`` of the training.

    Returns:
        A report whose ``json`` holds ``format``, ``title``, ``verdict`` with ``reason``, ``law``, ``front``,
        ``hidden`` (errors relative to the reference, signed; ``determined`` is false where a value is
        less than three standard errors from zero), ``reference_particle``, ``rollout``, ``network``,
        ``data``, ``caveats``, ``seconds``, ``peak_memory_bytes``, ``seed`` and ``versions``. Numbers that
        are not finite are null.
    """
    from sciml.training.run import peak_memory_bytes, plain, versions

    law = distillation.law
    reference = _reference(data) if reference is None else reference
    content = {
        "format": FORMAT,
        "title": title or "What the motion says",
        "verdict": law.verdict,
        "reason": law.reason,
        "law": _law(distillation),
        "front": _front(distillation),
        "hidden": _hidden(distillation, reference),
        "reference_particle": distillation.reference if distillation.hidden else None,
        "rollout": None if rollout is None else rollout_entry(rollout),
        "network": {"held_out_error": _by_particle(distillation, distillation.network_error)},
        "data": _data(distillation, data),
        "seconds": {**(seconds or {}), **distillation.seconds},
        "peak_memory_bytes": peak_memory_bytes(),
        "seed": seed,
        "versions": versions(),
    }
    content = plain(content)
    content["caveats"] = caveats(content)
    return Report(content, distillation, rollout, None if metrics is None else Path(metrics), config)


def law_entry(law: Law) -> dict[str, Any]:
    """Return what every report says of a law: formula, units, constants and exponents."""
    return {
        "expression": str(law.expression),
        "latex": law.latex,
        "target": law.target,
        "target_unit": law.target_unit,
        "variables": law.variables,
        "constants": {name: constant._asdict() for name, constant in law.constants.items()},
        "exponents": {name: exponent._asdict() for name, exponent in law.exponents.items()},
    }


def _law(found: Distillation) -> dict[str, Any]:
    error = _by_particle(found, found.choice.best.held_out_error)
    return law_entry(found.law) | {"held_out_error": error}


def _front(found: Distillation) -> list[dict[str, Any]]:
    fitted = {fit.template: float(np.median(fit.held_out_error)) for fit in found.choice.tried}
    chosen = chosen_candidate(found)
    return [
        {
            "expression": str(candidate.expression),
            "complexity": candidate.complexity,
            "loss": candidate.loss,
            "engine": candidate.engine,
            "held_out_error": fitted.get(_template(candidate)),
            "chosen": candidate is chosen,
        }
        for candidate in found.front
    ]


def chosen_candidate(found: Distillation) -> Candidate | None:
    """Return the candidate of the front that became the law; None if the law is not from this front."""
    from sciml.distill.refit import release_exponents

    best = found.choice.best.template
    same = [c for c in found.front if _template(c) == best]
    # with its exponents released, one power law is like another: it came from the best of them
    form = release_exponents(best)[0]
    released = [c for c in found.front if release_exponents(_template(c))[0] == form]
    return next(iter(same or released[::-1]), None)


def _template(candidate: Candidate):
    from sciml.distill.expression import parameters
    from sciml.distill.select import free_coefficients

    return parameters(free_coefficients(candidate.expression))[0]


def _hidden(found: Distillation, reference: Reference) -> dict[str, dict[str, Any]]:
    return {
        name: {
            particle: _estimate(estimate, _on_our_scale(found, reference, name).get(particle))
            for particle, estimate in estimates.items()
        }
        for name, estimates in found.hidden.items()
    }


def _estimate(estimate, true: float | None) -> dict[str, Any]:
    value, error = estimate.value, estimate.standard_error
    return {
        "value": value,
        "standard_error": error,
        "reference": true,
        "relative_error": value / true - 1 if true else None,
        "determined": bool(DETERMINED * error <= abs(value)),
    }


def _on_our_scale(found: Distillation, reference: Reference, name: str) -> dict[str, float]:
    """Return true values on the scale of the estimates: both agree on the reference particle."""
    true = {particle: float(value) for particle, value in reference.get(name, {}).items()}
    unit = true.get(found.reference)
    if not unit:
        return {}
    return {
        particle: value * found.hidden[name][found.reference].value / unit for particle, value in true.items()
    }


def _reference(data: DynamicsData | None) -> Reference:
    """Return the true values that the data carry, where particles of all simulations share them."""
    if data is None:
        return {}
    return {
        name: dict(zip(data.names, values[0].ravel().tolist(), strict=True))
        for name, values in data.past.reference.items()
        if (values == values[0]).all()
    }


def rollout_entry(comparison: RolloutComparison) -> dict[str, Any]:
    """Return what every report says of a rollout: units, span, errors by particle, drifts."""
    comparison = comparison.in_km
    time, time_unit = comparison.elapsed
    error = comparison.error
    return {
        "unit": comparison.unit,
        "time_unit": time_unit,
        "span": float(time[-1]) if len(time) else 0.0,
        "particles": {
            name: {"rms_error": float(np.sqrt((column**2).mean())), "final_error": float(column[-1])}
            for name, column in zip(comparison.names, error.T, strict=True)
        },
        "energy_drift": comparison.energy_drift,
        "momentum_drift": comparison.momentum_drift,
        "note": comparison.note,
    }


def _data(found: Distillation, data: DynamicsData | None) -> dict[str, Any]:
    content: dict[str, Any] = {
        "particles": list(found.particles),
        "messages": len(found.messages),
        "messages_searched": len(found.searched),
        "pairs": _pairs(found.messages),
        "pairs_searched": _pairs(found.searched),
    }
    if data is not None:
        frames = {part: getattr(data, part).num_graphs for part in ("train", "fit", "held_out")}
        content |= {"source": data.past.source, "frames": frames, "noise": data.noise}
    return content


def _pairs(table) -> int:
    pairs = np.sort(np.stack([table.sender, table.receiver]), axis=0)
    return len(np.unique(pairs, axis=1).T)


def significant(entry: Mapping[str, Any]) -> int:
    """Return how many digits after the first a hidden property deserves: one more than it is known to."""
    if not entry["value"] or not entry["standard_error"]:
        return 8
    return min(max(math.ceil(-math.log10(entry["standard_error"] / abs(entry["value"]))), 1), 10)


def _by_particle(found: Distillation, values: np.ndarray) -> dict[str, float]:
    return dict(zip(found.particles, map(float, values), strict=True))
