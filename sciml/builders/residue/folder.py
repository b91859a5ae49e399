"""Whole folders of structures, in parallel processes; one bad file does not stop the rest."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from sciml.builders.residue.build import Settings, arrays, read_residues, to_graph
from sciml.builders.residue.rules import Report
from sciml.builders.residue.surface import prepare
from sciml.builders.workers import in_processes
from sciml.graph import Graph

log = logging.getLogger(__name__)

SUFFIXES = tuple(s + z for s in (".pdb", ".ent", ".cif", ".mmcif") for z in ("", ".gz"))


class Failure(NamedTuple):
    """A file that became no graph, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class ResidueGraphs:
    """What a folder became.

    Attributes:
        graphs: one for each model of each file that could be read, files in the order of their names.
        paths: the file of each graph.
        reports: what was left out of each graph, and why.
        failures: files that could not be read.
    """

    graphs: list[Graph]
    paths: list[str]
    reports: list[Report]
    failures: list[Failure]

    def __len__(self) -> int:
        return len(self.graphs)

    def __str__(self) -> str:
        lines = [f"{len(self.graphs)} graphs, {len(self.failures)} files that could not be read"]
        left_out = sum((r.left_out_residues for r in self.reports), start=type(Report("").noted)())
        noted = sum((r.noted for r in self.reports), start=type(Report("").noted)())
        lines += [f"  left out: {reason} ({n} residues)" for reason, n in sorted(left_out.items())]
        lines += [f"  noted: {n} {kind}" for kind, n in sorted(noted.items())]
        lines += [f"  failed: {failure.path}: {failure.reason}" for failure in self.failures[:10]]
        more = len(self.failures) - 10
        return "\n".join(lines + [f"  failed: {more} more"] * (more > 0))


def residue_graphs(
    source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    contact: str = "cb",
    cutoff: float | None = 8.0,
    *,
    workers: int | None = None,
    strict: bool = False,
    failures: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> ResidueGraphs:
    """Build the graphs of all structures of a folder (with those inside it), or of these files.

    Args:
        source: a folder, searched for ``.pdb .ent .cif .mmcif`` and the same with ``.gz``; or paths.
        contact, cutoff, dtype, options: as `residue_graph` takes them.
        workers: processes; as many as the machine has cores by default, none besides this one for 1.
        strict: raise at the end if any file failed.
        failures: CSV file to write the failures to (path, reason); written, if empty, too.
        progress: whether to show a bar; by default on a terminal, from the third second on.

    Raises:
        FileNotFoundError: there is no such folder, or no structure in it.
        ValueError: wrong options; with ``strict``, files that could not be read (named in the message).
    """
    settings = Settings.of(contact, cutoff, **options)
    paths = find_structures(source)
    found: dict[str, list[tuple[dict, Report]]] = {}
    failed: list[Failure] = []
    prepare()
    results = in_processes(
        partial(_work, settings=settings), paths,
        workers=workers, progress=progress, name="structures",
        died=lambda path: "the process that read it died",
    )  # fmt: skip
    for path, result in zip(paths, results):
        if isinstance(result, str):
            failed.append(Failure(path, result))
            log.warning("%s: %s", path, result)
        else:
            found[path] = result
    failed.sort()
    if failures is not None:
        _write(failed, Path(failures))
    if failed and strict:
        listed = "\n".join(f"  {f.path}: {f.reason}" for f in failed[:20])
        raise ValueError(f"{len(failed)} of {len(paths)} files could not be read:\n{listed}")
    rows = [(path, *parts) for path in paths for parts in found.get(path, [])]
    return ResidueGraphs(
        graphs=[to_graph(fields, dtype) for _, fields, _ in rows],
        paths=[path for path, _, _ in rows],
        reports=[report for _, _, report in rows],
        failures=failed,
    )


def find_structures(source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str]:
    """List the structure files in a folder and those inside it, by name; or return the given paths."""
    if not isinstance(source, str | os.PathLike):
        return [os.fspath(path) for path in source]
    folder = Path(source)
    if folder.is_file():
        return [os.fspath(folder)]
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    paths = sorted(os.fspath(p) for p in folder.rglob("*") if p.name.lower().endswith(SUFFIXES))
    if not paths:
        raise FileNotFoundError(f"{folder} holds no structures: no file ends in {', '.join(SUFFIXES)}.")
    return paths


# -------------------------------------------------------------------- details


def _work(path: str, settings: Settings) -> list[tuple[dict, Report]] | str:
    """Build one file in a worker: arrays for each model, since they travel well; or the reason why not."""
    try:
        tables = read_residues(path, settings.rules)
        return [(arrays(table, settings), table.report) for table in tables]
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _write(failed: Sequence[Failure], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(Failure._fields)
        writer.writerows(failed)
