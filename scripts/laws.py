"""What scripts/discover.py does for trajectories of unknown particles: the law as a sum of forces."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from common import fail, interrupts
from dynamics import load_trajectories_of
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.text import Text

from sciml.datasets.trajectories import Trajectories
from sciml.distill import Front
from sciml.distill.law import Law, with_error
from sciml.distill.live import LiveFront
from sciml.distill.motion import Discovery, discover, write_motion_report
from sciml.distill.report.terminal import STYLE
from sciml.training.errors import RunError
from sciml.training.run import check_same_run, open_run, save_config, write_json

log = logging.getLogger(__name__)
NO_LAW = 3  # exit status where no law is good enough


def laws(config: DictConfig, run_dir: Path) -> Path:
    """Find the law and write it and its report into a run directory."""
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    start = time.perf_counter()
    trajectories = load_trajectories_of(config)
    open_run(run_dir)
    check_same_run(config, run_dir, ("data", "task", "seed"))
    save_config(run_dir, config)
    found = search_and_fit(config, trajectories, run_dir)
    title = str(config.get("name", "")).replace("_", " ").capitalize()
    content = write_motion_report(
        found, run_dir, seed=config.seed, title=title, config=OmegaConf.to_yaml(config)
    )
    seconds = {"seconds/total": time.perf_counter() - start}
    write_json(run_dir / "metrics.json", {**seconds, "units": dict.fromkeys(seconds, "s")})
    show(found, content, run_dir / "report.html")
    if found.law.verdict == "none":
        print(run_dir, flush=True)
        fail(found.law.reason, status=NO_LAW)
    return run_dir


def search_and_fit(config: DictConfig, trajectories: Trajectories, run_dir: Path) -> Discovery:
    """Find the law, with the fronts of its forces so far in front.json; Ctrl-C keeps them and ends."""
    fronts: dict[str, Any] = {}
    with interrupts() as pressed, LiveFront() as live:

        def keep(force: str, front: Front) -> None:
            fronts[force] = [
                {"expression": str(c.expression), "complexity": c.complexity, "loss": c.loss} for c in front
            ]
            complete = front.complete and not pressed
            write_json(run_dir / "front.json", {"complete": complete, "forces": fronts})
            live(front, f"the force {force}")
            if pressed:
                raise KeyboardInterrupt

        return discover(
            trajectories, seconds=config.distill.seconds, seed=config.seed, backend=config.distill.backend,
            on_front=keep,
        )  # fmt: skip


def refuse_networks(overrides: Sequence[str]) -> None:
    """Say so where somebody chose a network or its training, of which this road has none.

    Raises:
        RunError: naming the first such override.
    """
    for override in overrides:
        if override.startswith(("model", "task=", "task.stages", "data.split")):
            raise RunError(
                f"{override}: this experiment trains no network. Take experiment=messages for that, "
                "or leave it out."
            )


def show(found: Discovery, content: Mapping[str, Any], page: Path) -> None:
    """Print law, verdict, hidden properties, and what the law is worth."""
    console = Console()
    law: Law = found.law
    first, *rest = str(law).splitlines()
    console.print(Text(first, style="bold"))
    for line in rest:
        if not line.startswith("  verdict"):
            console.print(Text(line))
    console.print(Text.assemble((f"verdict: {law.verdict}", STYLE[law.verdict]), f"  {law.reason}"))
    if law.verdict != "none":
        for line in worth(content):
            console.print(Text(line))
    for name, per in found.hidden.items():
        values = ", ".join(
            f"{particle} {with_error(e.value, e.standard_error)}" for particle, e in per.items()
        )
        console.print(Text(f"{name}: {values}"))
    console.print(Text(f"report: {page}", no_wrap=True, overflow="ignore"))


def worth(content: Mapping[str, Any]) -> Iterator[str]:
    """Say in lines what was left unexplained within and beyond the fit, and what each term explains."""
    evidence, beyond = content["law"]["held_out_error"], content["extrapolation"]
    line = f"left over (rms, beyond noise): {evidence:.2g} on held-out rows"
    if beyond is not None:
        line += (
            f", {beyond['left']:.2g} at extreme distances and speeds with constants fitted elsewhere "
            f"({beyond['inside']:.2g} there)"
        )
    yield line
    if len(content["law"]["terms"]) > 1:
        shares = (f"{t['vector']} {t['share']:.3g}" for t in content["law"]["terms"])
        yield f"share of the variance: {', '.join(shares)}"
    rollout = content["rollout"]
    if rollout is not None and rollout["span"]:
        worst = max(entry["final_error"] for entry in rollout["particles"].values())
        unit, time_unit = (f" {rollout[key]}" if rollout[key] else "" for key in ("unit", "time_unit"))
        alone = f"running alone for {rollout['span']:.3g}{time_unit}"
        yield f"{alone}, the worst particle ends {worst:.2g}{unit} off"
