"""Amino-acid sequences to graphs: residues in a row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sciml.graph import Chain, Graph, Place, Spec, window

RESIDUES = "ACDEFGHIKLMNPQRSTVWYX"  # X is any
# Letters of the IUPAC code that mean one of two, or a rare residue: the nearest common one, or any.
ALIKE = {"B": "X", "Z": "X", "J": "X", "U": "C", "O": "K"}
_LABEL = np.full(128, -1)
_LABEL[[ord(c) for c in RESIDUES]] = range(len(RESIDUES))
_LABEL[[ord(c) for c in ALIKE]] = [RESIDUES.index(c) for c in ALIKE.values()]
_LABEL[ord("a") : ord("z") + 1] = _LABEL[ord("A") : ord("Z") + 1]


class SequenceError(ValueError):
    """Text that is no amino-acid sequence."""


def protein_sequence_graph(
    sequences: str | Sequence[str], *, kernel: int | None = None, dilation: int = 1
) -> Graph:
    """Build one graph per sequence: a node for each residue, in order.

    ``nodes["residue"]`` counts `RESIDUES`, with X for what is not known. Selenocysteine (U) counts as
    cysteine, pyrrolysine (O) as lysine; B, Z and J, each one of two, as X. Small letters are read as
    capitals, and blanks and line ends within a sequence are left out.

    Without a kernel the graph has no edges: layers on chains bring their own windows (see
    `sciml.graph.Chain`). With one, each residue hears those in the window around it, ``dilation`` apart, and
    ``edges["offset"]`` says from where.

    Raises:
        SequenceError: an empty sequence, or a letter that is no residue (row and place are named).
        ValueError: a kernel or dilation that is not positive.
    """
    sequences = [sequences] if isinstance(sequences, str) else list(sequences)
    if not sequences:
        raise SequenceError("No sequences were given.")
    labels = [_labels(row, text) for row, text in enumerate(sequences)]
    counts = torch.tensor([len(label) for label in labels])
    residue = torch.from_numpy(np.concatenate(labels))
    specs: dict[tuple[Place, str], Spec] = {("nodes", "residue"): Spec(classes=len(RESIDUES))}
    if kernel is None:
        layout, edges = Chain(), {}
        edge_index, edge_counts = torch.zeros(2, 0, dtype=torch.long), torch.zeros_like(counts)
    else:
        if kernel < 1 or dilation < 1:
            raise ValueError(f"kernel={kernel} and dilation={dilation}: expected 1 or more.")
        layout = Chain(tuple(step for (step,) in window(kernel, 1, dilation)))
        edge_index, offset, edge_counts = layout.edges(counts)
        edges, specs["edges", "offset"] = {"offset": offset}, Spec(classes=kernel)
    return Graph(
        edge_index,
        {"residue": residue},
        edges,
        {},
        node_counts=counts,
        edge_counts=edge_counts,
        specs=specs,
        layout=layout,
    )


def _labels(row: int, text: str) -> np.ndarray:
    if not isinstance(text, str):
        raise SequenceError(f"row {row}: expected a sequence of letters, not {type(text).__name__}.")
    clean = "".join(text.split())
    if not clean:
        raise SequenceError(f"row {row}: the sequence is empty.")
    codes = np.frombuffer(clean.encode("utf-32-le"), dtype=np.uint32)
    labels = np.where(codes < len(_LABEL), _LABEL[codes.clip(max=len(_LABEL) - 1)], -1)
    wrong = np.flatnonzero(labels < 0)
    if len(wrong):
        place = int(wrong[0])
        raise SequenceError(
            f"row {row}: {clean[place]!r} at place {place + 1} of the sequence is no amino acid; expected "
            f"the letters {RESIDUES} or {', '.join(ALIKE)} ({len(wrong)} such in this sequence)."
        )
    return labels.astype(np.int64)
