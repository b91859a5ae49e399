"""A folder of structures to residue graphs, with what could not be read, and the families of the rest."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from sciml.builders import residue
from sciml.builders.residue import find_structures, residue_graphs, sequences
from sciml.datasets.homology import families
from sciml.graph import Graph, batch

log = logging.getLogger(__name__)

_FORMAT = 1  # of the cache


@dataclass(frozen=True)
class Structures:
    """Residue graphs of the files of a folder.

    Attributes:
        graphs: a batch, one graph for each file that could be read.
        names: of these files.
        sequences: of the chains of each, by name.
        family: number of the family of each; see `sciml.datasets.homology.families`.
        failed: files that could not be read, and why.
    """

    graphs: Graph
    names: tuple[str, ...]
    sequences: tuple[dict[str, str], ...]
    family: Int[np.ndarray, "structures"]
    failed: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, chosen: Sequence[int] | Int[np.ndarray, "chosen"]) -> Structures:
        """Return the chosen structures, by number."""
        numbers = [int(i) for i in chosen]
        names = tuple(self.names[i] for i in numbers)
        chains = tuple(self.sequences[i] for i in numbers)
        return Structures(self.graphs[numbers], names, chains, self.family[numbers], self.failed)


def read_structures(
    path: str | Path | None = None,
    *,
    identity: float = 0.3,
    strict: bool = False,
    cache: str | Path | None = None,
    **options: Any,
) -> Structures:
    """Read all PDB and mmCIF files of a folder, packed or not, folders within included.

    A file that cannot be read is left out, logged and listed in ``failed``.

    Args:
        path: a folder, or one file; the structures that come with sciml if None.
        identity: sequence identity from which on two chains are relatives.
        strict: fail at the first file that cannot be read.
        cache: a folder where graphs are kept, to be read instead of built while no file has changed.
        options: of `sciml.builders.residue_graph`.

    Raises:
        FileNotFoundError: no such folder, or none of structures.
        ValueError: none could be read, or with ``strict`` one could not.
    """
    folder = shipped() if path is None else Path(path).expanduser()
    files = [Path(file) for file in find_structures(folder)]
    root = folder if folder.is_dir() else folder.parent
    names = [file.relative_to(root).as_posix() for file in files]
    kept = None if cache is None else Path(cache).expanduser() / f"residues-{_key(files, names, options)}.pt"
    built = None if kept is None or not kept.is_file() else _load(kept)
    if built is None:
        built = _build(files, names, options)
        if kept is not None and built[0]:
            _save(kept, built)
    graphs, failed = built
    if failed and strict:
        name, reason = next(iter(failed.items()))
        raise ValueError(f"{len(failed)} of {len(files)} files cannot be read, {name} first: {reason}")
    if not graphs:
        first = next(iter(failed.values()))
        raise ValueError(f"None of the {len(files)} files of {folder} could be read; the first: {first}")
    if failed:
        log.warning("%d of %d files of %s left out: %s", len(failed), len(files), folder, ", ".join(failed))
    found = tuple(_chains(graph) for graph in graphs.values())
    family = families([list(chains.values()) for chains in found], identity)
    return Structures(batch(list(graphs.values())), tuple(graphs), found, family, failed)


def shipped() -> Path:
    """Return the folder of the structures that come with sciml.

    Raises:
        FileNotFoundError: sciml was installed without its repository's data.
    """
    folder = Path(__file__).resolve().parents[2] / "data" / "structures"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"The structures that come with sciml are not there (looked in {folder}): they are part of its "
            "repository, not of the installed package. Give a folder of PDB or mmCIF files: data.path=FOLDER."
        )
    return folder


def assign_folds(
    family: Int[np.ndarray, "structures"],
    weight: Sequence[float] | np.ndarray,
    folds: int,
    seed: int = 0,
) -> Int[np.ndarray, "structures"]:
    """Deal families out to folds, whole, so that the folds weigh about the same.

    The largest family goes first, each to the fold that is lightest so far; equal ones in an order drawn by
    the seed.

    Args:
        family: number of the family of each structure.
        weight: of each structure, as its residues.
        folds: number of folds, at least 2.
        seed: of the order.

    Raises:
        ValueError: fewer than two folds, or fewer families than folds.
    """
    names, which = np.unique(family, return_inverse=True)
    if folds < 2 or folds > len(names):
        raise ValueError(
            f"{folds} folds of {len(names)} families: expected at least 2 folds and a family for each. "
            "Add structures that are no relatives of these, or take fewer folds (data.folds)."
        )
    heavy = np.bincount(which, np.asarray(weight, dtype=float))
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-heavy[order], kind="stable")]
    total, fold = np.zeros(folds), np.zeros(len(names), dtype=np.int64)
    for number in order:
        fold[number] = total.argmin()
        total[fold[number]] += heavy[number]
    return fold[which]


# -------------------------------------------------------------------- details

Built = tuple[dict[str, Graph], dict[str, str]]


def _build(files: Sequence[Path], names: Sequence[str], options: Mapping[str, Any]) -> Built:
    found = residue_graphs(files, **options)
    log.info("%s", found)
    name_of = {str(file): name for file, name in zip(files, names)}
    graphs = {name_of[path]: graph for path, graph in zip(found.paths, found.graphs)}
    return graphs, {name_of[failure.path]: failure.reason for failure in found.failures}


def _chains(graph: Graph) -> dict[str, str]:
    return sequences(graph)[0]


def _key(files: Sequence[Path], names: Sequence[str], options: Mapping[str, Any]) -> str:
    """Name of what is built: of these files, as they are now, by this code, under these options."""
    stamps = [(name, (stat := file.stat()).st_size, stat.st_mtime_ns) for file, name in zip(files, names)]
    text = repr((_FORMAT, _builder(), stamps, sorted(options.items())))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


@functools.cache
def _builder() -> str:
    """Fingerprint of the code that builds graphs: another version may build others."""
    sources = sorted(Path(residue.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


def _save(path: Path, built: Built) -> None:
    """Write tensors and plain data, atomically; a cache that cannot be written is none, and no error."""
    graphs, failed = built
    parts = {"edge_index": 0, "nodes": 0, "edges": 0, "globals": 0}
    content = {
        "graphs": {name: {part: getattr(graph, part) for part in parts} for name, graph in graphs.items()},
        "failed": failed,
    }
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, partial)
        os.replace(partial, path)
    except OSError as error:
        log.warning("graphs are not kept for next time: %s", error)


def _load(path: Path) -> Built | None:
    """Read what `_save` wrote; None where it is damaged."""
    from sciml.builders.residue.build import SPECS

    try:
        content = torch.load(path, weights_only=True)
        graphs = {name: Graph.create(specs=SPECS, **parts) for name, parts in content["graphs"].items()}
    except Exception as error:  # torch raises many types for a damaged file, and all mean: build anew
        log.warning("%s cannot be read (%s): the graphs are built anew", path, type(error).__name__)
        return None
    return graphs, content["failed"]
