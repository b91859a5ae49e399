"""What scripts/discover.py does for residue contacts: energies, hidden properties, a report."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from common import fail
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from sciml.builders.residue import AMINO
from sciml.datasets import read_structures
from sciml.distill.contacts import ContactLaw, TooFewContactsError, count_contacts, distill_contacts
from sciml.distill.report.contacts import write_contact_report
from sciml.training.run import check_same_run, open_run, write_json

log = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[1]
NO_LAW = 3  # exit status where the data say nothing


def contacts(config: DictConfig, run_dir: Path) -> Path:
    """Infer the law and write its report into a run directory."""
    start = time.perf_counter()
    open_run(run_dir)
    check_same_run(config, run_dir, ("data", "task", "seed"))
    options: dict[str, Any] = OmegaConf.to_container(config.data, resolve=True)  # type: ignore[assignment]
    cache = options.pop("cache")
    fewest = options.pop("fewest")
    structures = read_structures(
        **options, sequence=0, nucleic="drop", cache=(ROOT / cache) if cache else None
    )
    settings = {k: v for k, v in config.task.items() if k != "kind"}
    try:
        counts = count_contacts(structures.graphs, structures.family, fewest)
        found = distill_contacts(counts, **settings, seed=config.seed)
    except TooFewContactsError as error:
        return _nothing(run_dir, str(error), structures.failed)
    title = "Which residues attract"
    report = write_contact_report(found, run_dir, structures.failed, title, OmegaConf.to_yaml(config))
    seconds = time.perf_counter() - start
    write_json(run_dir / "metrics.json", _metrics(found, seconds))
    show(found, report, seconds)
    if found.law.verdict == "none":
        print(run_dir, flush=True)
        fail(found.law.reason, status=NO_LAW)
    return run_dir


def _nothing(run_dir: Path, reason: str, left_out: Any) -> Path:
    empty = {"law": None, "hidden": {}, "comparisons": [], "trials": []}
    write_json(
        run_dir / "report.json",
        {"format": 1, "verdict": "none", "reason": reason, **empty, "left_out": dict(left_out)},
    )
    print(run_dir, flush=True)
    fail(reason, status=NO_LAW)
    return run_dir


def _metrics(found: ContactLaw, seconds: float) -> dict[str, Any]:
    """Numbers for a table of runs."""
    chosen = next(trial for trial in found.trials if trial.chosen)
    nothing = next(trial for trial in found.trials if not trial.form.hidden)
    metrics = {
        "test/deviance_per_contact": chosen.mean,
        "test/deviance_per_contact_without_types": nothing.mean,
        "test/deviance_per_contact_floor": found.floor,
        "contacts": found.contacts,
        "structures": found.structures,
        "families": found.families,
        "seconds": seconds,
    }
    return metrics | {"units": {"seconds": "s"} | {k: "" for k in metrics if k != "seconds"}}


def show(found: ContactLaw, report: dict[str, Any], seconds: float) -> None:
    """Print the law, the hidden properties and the comparisons."""
    print(f"{report['law']}   [kT]\n{found.law.reason}")
    for freedom in report["free"]:
        print(f"not fixed by the data: {freedom}")
    for name, values in found.fitted.hidden.items():
        errors = found.errors.get(name)
        ranked = sorted(range(len(AMINO)), key=lambda k: -values[k])
        cells = (f"{AMINO[k].capitalize()} {values[k]:.2f}" + _plus_minus(errors, k) for k in ranked)
        print(f"{name}: {', '.join(cells)}")
    table = Table("inferred", "published", "measure", "numbers", "ρ", "95 %")
    for one in found.comparisons:
        cells = (one.measure, str(one.number), f"{one.rho:.2f}", f"{one.low:.2f} to {one.high:.2f}")
        table.add_row(one.what, one.reference, *cells)
    Console().print(table)
    print(f"{found.contacts} contacts, {found.structures} structures, {seconds:.0f} s")


def _plus_minus(errors: Any, k: int) -> str:
    return "" if errors is None else f" ± {errors[k]:.2f}"
