"""What the scripts do for laws of pairs: from frames (discover.py), or a trained potential (distill.py)."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import fail, interrupts
from omegaconf import DictConfig, OmegaConf
from potential import load, read
from rich.console import Console
from rich.text import Text

from sciml.datasets import Frames
from sciml.distill import Front
from sciml.distill.pairs import PairLaw, distill_pairs, write_pair_report
from sciml.distill.report.terminal import STYLE
from sciml.models import Potential
from sciml.training.errors import RunError
from sciml.training.run import (
    check_same_run,
    load_config,
    load_run,
    open_run,
    save_config,
    write_json,
)

log = logging.getLogger(__name__)
NO_LAW = 3  # exit status where no formula is good enough


def pair_law(config: DictConfig, run_dir: Path) -> Path:
    """Find the law of the frames that a configuration names; write it and its report into a run directory."""
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    open_run(run_dir)
    check_same_run(config, run_dir, ("data", "task", "seed"))
    save_config(run_dir, config)
    frames, test = (None if part is None else part.whole() for part in read(config))
    assert frames is not None
    options = {k: v for k, v in config.task.items() if k != "kind"}
    start = time.perf_counter()
    found = _discovered(run_dir, config, frames, test, seed=config.seed, **options)
    write_json(run_dir / "metrics.json", _metrics(found, time.perf_counter() - start))
    return _ended(run_dir, found)


def distill_potential(run_dir: Path, settings: DictConfig) -> Path:
    """Read a law of pairs out of the potential of a run directory; write it and its report there."""
    config = load_config(run_dir)
    model = load_run(run_dir)
    if not isinstance(model, Potential):
        raise RunError(f"{run_dir} holds {type(model).__name__}, which is no potential.")
    data = load(config)
    options = {name: settings.distill[name] for name in ("seconds", "backend")}

    def network(frames: Frames) -> Frames:
        said = model.predict(frames.atoms)
        assert isinstance(said, list)
        return replace(frames, energy=np.array([p.energy for p in said]), forces=[p.forces for p in said])

    found = _discovered(
        run_dir,
        config,
        data.train.whole(),
        data.test.whole(),
        network=network,
        cutoff=model.cutoff,
        seed=settings.seed,
        **options,
    )
    return _ended(run_dir, found)


def _discovered(
    run_dir: Path, config: DictConfig, frames: Frames, held_out: Frames | None, **options: Any
) -> PairLaw:
    fronts: dict[str, Any] = {}
    with interrupts() as pressed:

        def keep(pair: str, front: Front) -> None:
            fronts[pair] = [
                {"expression": str(c.expression), "complexity": c.complexity, "loss": c.loss} for c in front
            ]
            write_json(run_dir / "front.json", {"complete": front.complete and not pressed, "forces": fronts})
            if pressed:
                raise KeyboardInterrupt

        found = distill_pairs(frames, held_out, on_front=keep, **options)
    title = str(config.get("name") or "").replace("_", " ").capitalize()
    write_pair_report(found, run_dir, title=title, config=OmegaConf.to_yaml(config), seed=options["seed"])
    show(found, run_dir / "report.html")
    return found


def _ended(run_dir: Path, found: PairLaw) -> Path:
    """Return the run directory, or end with a status where there is no law."""
    if found.law.verdict == "none":
        print(run_dir, flush=True)
        fail(found.law.reason, status=NO_LAW)
    return run_dir


def _metrics(found: PairLaw, seconds: float) -> dict[str, Any]:
    """Numbers for a table of runs."""
    shares = found.shares
    metrics: dict[str, Any] = {
        "test/force_variance_explained": shares.explained,
        "test/force_variance_explained_by_any_pairs": 1 - shares.splines**2,
        "seconds/total": seconds,
    }
    return metrics | {"units": {name: "s" if "seconds" in name else "" for name in metrics}}


def show(found: PairLaw, page: Path) -> None:
    """Print law and verdict."""
    console = Console()
    for pair, form, values in zip(found.kinds.names, found.fitted.model.forms, found.fitted.model.values):
        if form is not None:
            known = f" ({form.name})" if form.name else ""
            console.print(Text(f"{pair}{known}: f = {form.with_values(np.round(values, 6))}", style="bold"))
    for name, constant in found.law.constants.items():
        console.print(Text(f"  {name} = {constant}"))
    law = found.law
    console.print(Text.assemble((f"verdict: {law.verdict}", STYLE[law.verdict]), f"  {law.reason}"))
    console.print(Text(f"report: {page}", no_wrap=True, overflow="ignore"))
