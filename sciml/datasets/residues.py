"""Residue tasks on a folder of structures: graphs with targets, split by families of sequences."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sciml.datasets.residue_tasks import ResidueTask, task_named
from sciml.datasets.structures import Structures, assign_folds, read_structures
from sciml.graph import Graph, Spec

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ResidueData:
    """Structures for one task in three parts, no chain of one part a relative of a chain of another.

    Attributes:
        task: what is asked.
        train, validation, test: with ``graphs.nodes["target"]`` and ``target_mask``.
        left_out: files that could not be read, or in which nothing is known of the target, and why.
        families: number of families in all parts.
    """

    task: ResidueTask
    train: Structures
    validation: Structures
    test: Structures
    left_out: Mapping[str, str]
    families: int


def residue_data(
    task: str = "exposure",
    path: str | Path | None = None,
    *,
    folds: int = 5,
    fold: int = 0,
    validation: bool = False,
    identity: float = 0.3,
    strict: bool = False,
    cache: str | Path | None = None,
    seed: int = 0,
) -> ResidueData:
    """Read structures, divide their families into folds, and keep one fold for the test.

    Args:
        task: name of one of `TASKS`.
        path: folder of PDB or mmCIF files; the structures that come with sciml if None.
        folds: number of folds.
        fold: the one that is kept for the test, from 0.
        validation: keep the next fold for validation.
        identity: sequence identity from which on two chains are relatives.
        strict: fail where a file cannot be read.
        cache: folder in which built graphs are kept.
        seed: of the order in which families are dealt out.

    Raises:
        FileNotFoundError, ValueError: no structures, none of use, too few families, no such fold or task.
    """
    wanted = task_named(task)
    if not 0 <= fold < folds:
        raise ValueError(f"fold is {fold}; with {folds} folds it is 0 to {folds - 1}.")
    structures = read_structures(path, identity=identity, strict=strict, cache=cache, **wanted.shows.options)
    structures, left_out = with_targets(structures, wanted)
    numbers = assign_folds(structures.family, np.ones(len(structures)), folds, seed)
    held = [(fold + 1) % folds] if validation else []
    if validation and folds < 3:
        raise ValueError("Validation takes a fold of its own: at least 3 folds (data.folds=3).")
    parts = [~np.isin(numbers, [fold, *held]), np.isin(numbers, held), numbers == fold]
    train, valid, test = (structures[np.flatnonzero(part)] for part in parts)
    return ResidueData(wanted, train, valid, test, left_out, len(np.unique(structures.family)))


def with_targets(structures: Structures, task: ResidueTask) -> tuple[Structures, dict[str, str]]:
    """Put the target on the nodes; leave structures out that have none, and say so.

    Raises:
        ValueError: none has a target.
    """
    graphs = structures.graphs
    target, mask = task.target(graphs)
    spec = {"target": Spec(classes=len(task.classes) or None, unit=task.unit)}
    graphs = graphs.with_nodes(spec, target=target, target_mask=mask)
    known = torch.zeros(len(graphs), dtype=torch.long).index_add(0, graphs.node_graph, mask.long())
    kept = np.flatnonzero((known > 0).numpy())
    reason = f"nothing is known of the target of {task.name} in it"
    left_out = dict(structures.failed)
    left_out |= {structures.names[i]: reason for i in np.flatnonzero((known == 0).numpy())}
    if not len(kept):
        raise ValueError(
            f"None of {len(structures)} structures can be used for {task.name}: {reason} "
            "(as B-factors that are all alike, or a backbone that is not there). Choose another data.task."
        )
    if len(kept) < len(structures):
        log.warning("%d structures left out: %s", len(structures) - len(kept), reason)
    all_of = Structures(graphs, structures.names, structures.sequences, structures.family, left_out)
    return all_of[kept], left_out


def asked(graph: Graph, task: ResidueTask, seed: int, noise: float, negatives: float | None = None) -> Graph:
    """Return what is asked of these structures, where that is drawn anew each time: contacts and noise.

    Args:
        graph: of one of the parts.
        task: of the data.
        seed: of the draw.
        noise: standard deviation of each coordinate in Å, for denoising.
        negatives: pairs without contact for each hidden contact, for contacts; all if None.
    """
    from sciml.datasets.contact_maps import hide_contacts, shaken

    if task.kind == "pairs":
        return hide_contacts(graph, 0.5, seed, negatives)
    if task.kind == "vectors":
        return shaken(graph, noise, seed)
    return graph
