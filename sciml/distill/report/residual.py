"""The report on what a law leaves over: residual.json for programs, residual.html for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy

from sciml import plotting
from sciml.distill.report.page import VERDICTS, environment, mathml
from sciml.distill.residual.compose import constant_unit
from sciml.distill.residual.finding import Finding
from sciml.distill.residual.library import Monomial
from sciml.distill.residual.scale import scale
from sciml.distill.residual.stage import LookedAgain
from sciml.plotting.residuals import before_and_after

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sciml.distill.evaluate import RolloutComparison

FORMAT = 1


@dataclass(frozen=True, eq=False)
class ResidualReport:
    """What was found in the rest, as data and as a page.

    Attributes:
        json: the content of ``residual.json``.
        found, rollouts, config: what pictures and last lines of the page are made of.
    """

    json: dict[str, Any]
    found: LookedAgain = field(repr=False)
    rollouts: Mapping[str, RolloutComparison] = field(default_factory=dict, repr=False)
    config: str = field(default="", repr=False)

    @cached_property
    def html(self) -> str:
        """One page that needs no network, no script and no other file."""
        findings = self.found.findings
        return (
            environment()
            .get_template("residual.html.jinja")
            .render(
                **self.json,
                config=self.config,
                badges=VERDICTS,
                formulas=[_formula(f) for f in findings],
                terms=[[_written(t) for t in f.terms] for f in findings],
                fronts=[[" + ".join(_plain(t) for t in c.terms) for c in f.front] for f in findings],
                pictures=_pictures(self.found, self.rollouts),
            )
        )

    def write(self, run_dir: str | Path) -> Path:
        """Write ``residual.json`` and ``residual.html``, each whole or not at all; return the page's path."""
        from sciml.training.run import write_json, write_text

        run_dir, page = Path(run_dir), self.html
        write_json(run_dir / "residual.json", self.json)
        write_text(run_dir / "residual.html", page)
        return run_dir / "residual.html"


def residual_report(
    found: LookedAgain,
    *,
    rollouts: Mapping[str, RolloutComparison] | None = None,
    length: str = "",
    time: str = "",
    title: str = "",
    config: str = "",
) -> ResidualReport:
    """Gather what was found in what a law leaves over.

    Args:
        found: by `sciml.distill.residual.look_again`.
        rollouts: "before" and "after", the two laws running alone beside the truth.
        length, time: units of the data.
        title: of the page.
        config: the run's configuration as text.

    Returns:
        A report whose ``json`` holds ``format``, ``kind`` ("residual"), ``title``, ``law``, ``looks`` (each
        with verdict, reason, terms, constant, ratio, scale, particles, front, rivals), ``particles`` (left
        over before and after, relative to the acceleration, and the noise), ``rollout`` and ``seconds``.
    """
    from sciml.training.run import plain, versions

    law = found.known.law
    content = {
        "format": FORMAT,
        "kind": "residual",
        "title": title or "What the law leaves over",
        "law": {
            "expression": str(law.expression),
            "target": law.target,
            "constants": {name: constant._asdict() for name, constant in law.constants.items()},
        },
        "looks": [_look(f, length, time) for f in found.findings],
        "particles": _particles(found),
        "rollout": _rollout(rollouts or {}),
        "seconds": found.seconds,
        "versions": versions(),
    }
    return ResidualReport(plain(content), found, rollouts or {}, config)


def _look(found: Finding, length: str, time: str) -> dict[str, Any]:
    shared = found.constant
    sized = None if shared is None else scale(shared, found.dimension or (0, 0), length, time)
    return {
        "look": str(found.look),
        "axis": found.look.axis,
        "velocity": found.look.velocity,
        "verdict": found.verdict,
        "reason": found.reason,
        "terms": [
            {
                "expression": str(term.scalar),
                "vector": term.vector,
                "coefficient": e.value,
                "standard_error": e.standard_error,
                "unit": constant_unit(term.dimension, length, time),
                "in_constants": None if shared is None else e.value / shared.value,
                "in_constants_error": None if shared is None else e.standard_error / abs(shared.value),
                "whole": None if found.ratio is None else found.ratio[k],
            }
            for k, (term, e) in enumerate(zip(found.terms, found.coefficients, strict=True))
        ],
        "constant": None
        if shared is None
        else {**vars(shared), "unit": constant_unit(found.dimension or (0, 0), length, time)},
        "scale": None if sized is None else sized._asdict(),
        "particles": {
            name: {"noise": n, "before": b, "refitted": r, "after": a}
            for name, n, b, r, a in zip(
                found.look.receivers, found.noise / found.size, found.before, found.refitted, found.after,
                strict=True,
            )
        },
        "front": [
            {"terms": str(c), "complexity": c.complexity, "left": c.left, "held_out": c.held_out,
             "chosen": c.terms == found.terms}
            for c in found.front
        ],
        "rivals": [{"terms": str(c), "held_out": c.held_out} for c in found.rivals],
    }  # fmt: skip


def _particles(found: LookedAgain) -> dict[str, dict[str, float | None]]:
    before, after = found.before, found.after
    noise = [None] * len(before.names) if before.noise is None else (before.noise / before.size).tolist()
    return {
        name: {"before": b, "after": a, "noise": n}
        for name, b, a, n in zip(
            before.names, before.rms / before.size, after.rms / after.size, noise, strict=True
        )
    }


def _rollout(rollouts: Mapping[str, RolloutComparison]) -> dict[str, Any] | None:
    if set(rollouts) != {"before", "after"}:
        return None
    seen = {name: comparison.in_km for name, comparison in rollouts.items()}
    time, unit = seen["after"].elapsed
    return {
        "unit": seen["after"].unit,
        "span": float(time[-1]),
        "time_unit": unit,
        "notes": {name: comparison.note for name, comparison in seen.items() if comparison.note},
        "particles": {
            particle: {
                name: {"largest": float(c.error[:, k].max()), "final": float(c.error[-1, k])}
                for name, c in seen.items()
            }
            for k, particle in enumerate(seen["after"].names)
        },
    }


def _plain(term: Monomial) -> str:
    return f"{term.scalar}·{term.vector}" if term.powers else term.vector


def _written(term: Monomial) -> Any:
    return mathml(term.scalar * _symbol(term.vector))


def _symbol(vector: str) -> sympy.Symbol:
    return sympy.Symbol({"r_hat": "r̂", "axis": "â"}.get(vector, vector.removesuffix("_vec") + "⃗"))


def _formula(found: Finding) -> Any:
    if not found.terms:
        return ""
    numbers: list[Any] = [sympy.Symbol(f"k_{i}") for i in range(len(found.terms))]
    if found.ratio is not None:
        numbers = list(map(sympy.Integer, found.ratio))
    total = sympy.Add(*(n * t.scalar * _symbol(t.vector) for n, t in zip(numbers, found.terms, strict=True)))
    if found.ratio is not None:
        total = sympy.Mul(sympy.Symbol("k"), total, evaluate=False)
    return mathml(total, "Δa⃗")


def _pictures(found: LookedAgain, rollouts: Mapping[str, RolloutComparison]) -> dict[str, Any]:
    before, after = found.before, found.after
    noise = None if before.noise is None else before.noise / before.size
    shown = {
        "rest": _svg(
            before_and_after(
                before.names, before.rms / before.size, after.rms / after.size, noise,
                label="left over, relative to the acceleration",
                words=("the law alone", "with what was found", "noise"),
            ),
            "What each of the two laws leaves over for each particle, and the noise of the data.",
        )
    }  # fmt: skip
    if set(rollouts) == {"before", "after"}:
        seen = {name: comparison.in_km for name, comparison in rollouts.items()}
        for name, comparison in seen.items():
            shown[f"rollout-{name}"] = _svg(
                plotting.rollout_error(comparison), f"Position error against time, by the law {name}."
            )
        unit = f" [{seen['after'].unit}]" if seen["after"].unit else ""
        shown["largest"] = _svg(
            before_and_after(
                seen["after"].names,
                np.maximum(seen["before"].error.max(0), 1e-300),
                np.maximum(seen["after"].error.max(0), 1e-300),
                label=f"largest position error of the rollout{unit}",
                words=("the law alone", "with what was found", ""),
            ),
            "Largest position error of each particle in the rollouts by the two laws.",
        )
    return shown


def _svg(ax: Axes, label: str) -> Any:
    from markupsafe import Markup

    return Markup(plotting.svg(ax, label))
