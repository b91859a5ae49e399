"""What scripts/train.py, distill.py and discover.py do for fields on grids."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import torch
from common import fail
from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console
from rich.text import Text

from sciml.datasets import FieldSeries, load_field
from sciml.distill.fields import FieldDiscovery, discover, learn_stencils, prepared, read_stencils, report
from sciml.distill.report.terminal import STYLE
from sciml.training.errors import RunError
from sciml.training.run import build, check_same_run, load_config, load_run, open_run, write_json

log = logging.getLogger(__name__)
NO_LAW = 3  # exit status where no equation is good enough


def read(config: DictConfig) -> FieldSeries:
    """Return the snapshots that a configuration names."""
    if OmegaConf.is_missing(config.data, "path"):
        raise RunError("data.path is missing: data.path=FILE.npz with u [time, x(, y), channel], dx and dt.")
    try:
        options = OmegaConf.to_container(config.data.options, resolve=True) if config.data.options else {}
        data = load_field(config.data.path, **options)
    except TypeError as error:
        raise RunError(f"data.options: {error}") from error
    log.info("%r", data)
    return data


def train_field(config: DictConfig, run_dir: Path) -> None:
    """Learn stencils into a run directory."""
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    start = time.perf_counter()
    data, tests, split = prepared(read(config), config.data.held_out)
    with open_dict(config):  # what only the data know
        config.model.channels, config.model.dim = len(data.channels), data.dim
    torch.manual_seed(config.seed)
    model = build(config.model, "model")
    open_run(run_dir)
    check_same_run(config, run_dir, ("data", "model", "task", "seed"))
    found = learn_stencils(model, data, tests, split, run_dir)
    metrics = {"validation/relative_error": found.validation, "seconds/train": time.perf_counter() - start}
    units = {name: "s" if "seconds" in name else "" for name in metrics}
    write_json(run_dir / "metrics.json", metrics | {"units": units})


def distill_field(run_dir: Path) -> Path:
    """Read the stencils of a run, find the equations, and write laws and report into its directory."""
    config = load_config(run_dir)
    model = load_run(run_dir)
    data, tests, _ = prepared(read(config), config.data.held_out)
    metrics = json.loads((run_dir / "metrics.json").read_text())
    stencils = read_stencils(model, data).weighed(data, tests, metrics["validation/relative_error"])
    proposed = [stencils.proposed(c) for c in range(len(data.channels))]
    found = discover(data, held_out=config.data.held_out, proposed=proposed, **config.distill)
    page = report(
        found,
        stencils=stencils,
        seconds={"train": metrics["seconds/train"]},
        seed=config.seed,
        title=str(config.get("name", "")).replace("_", " ").capitalize(),
        config=OmegaConf.to_yaml(config),
    )
    for equation in found.equations:
        name = "law.json" if len(found.equations) == 1 else f"law_{equation.channel}.json"
        equation.law.save(run_dir / name)
    show(found, page.write(run_dir))
    if found.verdict == "none":
        print(run_dir, flush=True)
        fail(found.reason.replace("\n", " "), status=NO_LAW)
    return run_dir


def show(found: FieldDiscovery, page: Path) -> None:
    """Print the equations."""
    console = Console()
    for equation in found.equations:
        law = equation.law
        console.print(Text(f"{law.target} = {law.expression}   {law.target_unit}", style="bold"))
        for name, constant in law.constants.items():
            console.print(Text(f"  {name} = {constant}"))
        console.print(Text.assemble((f"verdict: {law.verdict}", STYLE[law.verdict]), f"  {law.reason}"))
    console.print(Text(f"report: {page}", no_wrap=True, overflow="ignore"))
