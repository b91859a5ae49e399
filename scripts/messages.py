"""What scripts/distill.py and discover.py do for a network of trajectories: the law out of its messages."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch
from common import fail, interrupts
from dynamics import load_data
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from torch.nn import Module

from sciml.distill import Front, distill, follow, report
from sciml.distill.evaluate import RolloutComparison
from sciml.distill.live import LiveFront
from sciml.distill.pipeline import Distillation
from sciml.distill.reduce import NothingLearnedError
from sciml.distill.report import summary
from sciml.training.dynamics import DynamicsData
from sciml.training.errors import RunError
from sciml.training.run import load_config, load_run, open_run, peak_memory_bytes, write_json

log = logging.getLogger(__name__)
NO_LAW = 3  # exit status where no formula is good enough


def distill_run(run_dir: Path, settings: DictConfig, seed: int, data: DynamicsData | None = None) -> Path:
    """Distill the model of a run directory and write the law and its report there."""
    config = load_config(run_dir)
    if config.get("task", {}).get("road") == "terms":
        raise RunError(f"{run_dir} has no network to distill; its law is in law.json.")
    model = load_run(run_dir)
    open_run(run_dir)
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    data = data or load_data(config)
    options: dict[str, Any] = OmegaConf.to_container(settings, resolve=True)  # type: ignore[assignment]
    follow_law = options.pop("rollout")
    try:
        found = search_and_fit(run_dir, model, data, seed, options)
    except NothingLearnedError as error:
        write_json(run_dir / "report.json", nothing_learned(str(error), seed, training_seconds(run_dir)))
        print(run_dir, flush=True)
        fail(str(error), status=NO_LAW)
    page = report(
        found,
        data=data,
        rollout=rolled_out(found, data) if follow_law else None,
        seconds=training_seconds(run_dir),
        seed=seed,
        title=str(config.get("name", "")).replace("_", " ").capitalize(),
        config=OmegaConf.to_yaml(config),
        metrics=run_dir / "metrics.csv",
    )
    found.law.save(run_dir / "law.json")
    Console().print(summary(page, page.write(run_dir)))
    if found.law.verdict == "none":
        print(run_dir, flush=True)
        fail(found.law.reason, status=NO_LAW)
    return run_dir


def search_and_fit(
    run_dir: Path, model: Module, data: DynamicsData, seed: int, options: dict[str, Any]
) -> Distillation:
    """Distill, with the front so far in front.json; Ctrl-C keeps it and ends."""
    with interrupts() as pressed, LiveFront() as live:

        def keep(front: Front) -> None:
            write_json(run_dir / "front.json", front_as_json(front, complete=front.complete and not pressed))
            live(front)
            if pressed:  # the search itself returned what it had; the user wants to stop here
                raise KeyboardInterrupt

        return distill(
            model,
            data.train,
            data.held_out,
            fit=data.fit,
            particles=data.names,
            units=data.past.units,
            noise=data.noise,
            seed=seed,
            on_front=keep,
            **options,
        )


def nothing_learned(reason: str, seed: int, seconds: dict[str, float]) -> dict[str, Any]:
    """Return the report where there was nothing to search: the verdict, and empty hands."""
    empty = {"law": None, "front": [], "hidden": {}, "rollout": None}
    return {
        "format": 1, "verdict": "none", "reason": reason, **empty,
        "seconds": seconds, "peak_memory_bytes": peak_memory_bytes(), "seed": seed,
    }  # fmt: skip


def rolled_out(found: Distillation, data: DynamicsData) -> RolloutComparison | None:
    """Follow the law through the time that was kept back; None, said in the log, where that cannot be."""
    try:
        return follow(found, data.future)
    except (ValueError, KeyError) as error:
        log.warning("no rollout: %s", error)
        return None


def training_seconds(run_dir: Path) -> dict[str, float]:
    """Return how long the network took, as metrics.json says."""
    file = run_dir / "metrics.json"
    metrics = json.loads(file.read_text()) if file.is_file() else {}
    return {name.split("/")[1]: value for name, value in metrics.items() if name.startswith("seconds/")}


def front_as_json(front: Front, complete: bool) -> dict[str, Any]:
    """Return a front as plain data."""
    formulas = [{"expression": str(c.expression), "complexity": c.complexity, "loss": c.loss} for c in front]
    return {"complete": complete, "front": formulas, "messages": list(front.messages)}
