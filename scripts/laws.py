"""What scripts/discover.py does for trajectories of unknown particles: the law as a sum of forces."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import torch
from common import fail, interrupts
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.text import Text
from train import load_trajectories_of

from sciml.distill import Front
from sciml.distill.law import Law
from sciml.distill.motion import Discovery, discover, write_motion_report
from sciml.distill.report.terminal import STYLE
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
    fronts: dict[str, Any] = {}
    with interrupts() as pressed:

        def keep(force: str, front: Front) -> None:
            fronts[force] = [
                {"expression": str(c.expression), "complexity": c.complexity, "loss": c.loss} for c in front
            ]
            complete = front.complete and not pressed
            write_json(run_dir / "front.json", {"complete": complete, "forces": fronts})
            if pressed:
                raise KeyboardInterrupt

        found = discover(
            trajectories, seconds=config.distill.seconds, seed=config.seed, backend=config.distill.backend,
            on_front=keep,
        )  # fmt: skip
    title = str(config.get("name", "")).replace("_", " ").capitalize()
    write_motion_report(found, run_dir, seed=config.seed, title=title, config=OmegaConf.to_yaml(config))
    seconds = {"seconds/total": time.perf_counter() - start}
    write_json(run_dir / "metrics.json", {**seconds, "units": dict.fromkeys(seconds, "s")})
    show(found, run_dir / "report.html")
    if found.law.verdict == "none":
        print(run_dir, flush=True)
        fail(found.law.reason, status=NO_LAW)
    return run_dir


def show(found: Discovery, page: Path) -> None:
    """Print law, verdict and hidden properties."""
    console = Console()
    law: Law = found.law
    first, *rest = str(law).splitlines()
    console.print(Text(first, style="bold"))
    for line in rest:
        if not line.startswith("  verdict"):
            console.print(Text(line))
    console.print(Text.assemble((f"verdict: {law.verdict}", STYLE[law.verdict]), f"  {law.reason}"))
    for name, per in found.hidden.items():
        values = ", ".join(
            f"{particle} {e.value:.5g} ± {e.standard_error:.1g}" for particle, e in per.items()
        )
        console.print(Text(f"{name}: {values}"))
    console.print(Text(f"report: {page}", no_wrap=True, overflow="ignore"))
