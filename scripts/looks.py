"""What scripts/residual.py and discover.py do with what the law of a run leaves over."""

from __future__ import annotations

import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from dynamics import load_data
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sciml.datasets.trajectories import Trajectories
from sciml.distill.law import with_error
from sciml.distill.live import LiveFront
from sciml.distill.report.residual import ResidualReport, residual_report
from sciml.distill.report.terminal import STYLE
from sciml.distill.residual import Known, Look, look_again, run_alone, with_units
from sciml.plotting.style import pretty_unit
from sciml.training.dynamics import DynamicsData
from sciml.training.errors import RunError
from sciml.training.run import load_config, write_json

log = logging.getLogger(__name__)


def look_at_rest(run_dir: Path, config: DictConfig, data: DynamicsData | None = None) -> Path:
    """Look at what the law of a run directory leaves over; write a report and the extended law there."""
    looks = [_look(look) for look in OmegaConf.to_container(config.residual.looks, resolve=True)]  # type: ignore[union-attr]
    if not looks:
        raise RunError(
            "residual.looks is empty: 'residual.looks=[{receivers: [mercury, venus], senders: [sun]}]'."
        )
    data = data or load_data(config)
    known = with_units(Known.load(run_dir, data.past), data.past)
    with LiveFront() as live:
        found = look_again(known, data.past, looks, frames=config.residual.frames, on_front=live)
    page = residual_report(
        found,
        rollouts=_rollouts(found.first, found.known, data.future, config.residual.rollout_frames),
        length=data.past.units.get("position", ""),
        time=data.past.units.get("time", ""),
        title=str(config.get("name", "")).replace("_", " ").capitalize() + ": what the law leaves over",
        config=OmegaConf.to_yaml(config.residual),
    )
    found.known.law.save(run_dir / "law_extended.json")
    write_json(run_dir / "properties.json", {k: v.tolist() for k, v in found.known.properties.items()})
    show(page, page.write(run_dir))
    return run_dir


def _look(settings: Any) -> Look:
    try:
        return Look(**settings)
    except TypeError as error:
        known = ", ".join(field.name for field in fields(Look))
        raise RunError(f"residual.looks has {settings}: expected {known} ({error}).") from None


def _rollouts(first: Known, known: Known, future: Trajectories, frames: int) -> dict[str, Any]:
    """Let both laws run alone through the time that was kept back; none where that cannot be."""
    chosen = np.unique(np.linspace(0, future.shape[1] - 1, min(frames, future.shape[1])).astype(int))
    try:
        truth = future.select(times=chosen)
        return {"before": run_alone(first, truth), "after": run_alone(known, truth)}
    except ValueError as error:
        log.warning("no rollout: %s", error)
        return {}


def show(report: ResidualReport, page: Path) -> None:
    """Print what was found."""
    console = Console()
    for look in report.json["looks"]:
        verdict = look["verdict"]
        console.print(
            Text.assemble("\nleft over for ", (look["look"], "bold"), ": ", (verdict, STYLE[verdict]))
        )
        console.print(Text(look["reason"]))
        if look["terms"]:
            console.print(_terms(look))
        if size := look["scale"]:
            value = with_error(size["value"], size["standard_error"])
            console.print(Text(f"k amounts to a {size['kind']} of {value} {size['unit']}"))
    if report.json["rollout"]:
        console.print(_errors(report.json["rollout"]))
    console.print(Text(f"report: {page}", no_wrap=True, overflow="ignore"))


def _terms(look: dict[str, Any]) -> Table:
    table = Table("term", "coefficient", "unit", "in k", "taken as")
    for term in look["terms"]:
        shared = term["in_constants"] is not None
        table.add_row(
            f"{term['expression']} · {term['vector']}",
            with_error(term["coefficient"], term["standard_error"]),
            pretty_unit(term["unit"]),
            with_error(term["in_constants"], term["in_constants_error"]) if shared else "",
            str(term["whole"]) if shared else "",
        )
    return table


def _errors(rollout: dict[str, Any]) -> Table:
    table = Table(
        "particle", "law alone", "with what was found",
        title=f"largest error, {rollout['span']:.3g} {rollout['time_unit']}s of rollout [{rollout['unit']}]",
        title_justify="left",
    )  # fmt: skip
    for name, entry in rollout["particles"].items():
        table.add_row(name, *(f"{entry[key]['largest']:.3g}" for key in ("before", "after")))
    return table


def look_again_at(config: DictConfig) -> Path:
    """Look again at the law of a run."""
    settings = load_config(config.run)
    if config.looks is not None:
        settings.residual = {**(settings.get("residual") or {}), "looks": config.looks}
    return look_at_rest(Path(config.run), settings)
