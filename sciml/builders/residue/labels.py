"""Names and sequences back out of a residue graph."""

from __future__ import annotations

from itertools import pairwise

from sciml.builders.residue.chemistry import LETTERS, UNKNOWN_NUCLEIC, unpack
from sciml.graph import Graph


def residue_labels(graph: Graph) -> list[str]:
    """Name of each node, as ``"A/GLY 42"`` or ``"H/TYR 52A"`` (chain, residue, number, insertion code)."""
    fields = (graph.nodes[name].tolist() for name in ("chain_name", "name", "number", "insertion"))
    return [
        f"{unpack(chain)}/{unpack(name)} {number}{chr(insertion) if insertion else ''}"
        for chain, name, number, insertion in zip(*fields)
    ]


def sequences(graph: Graph, gaps: bool = False) -> list[dict[str, str]]:
    """One-letter sequences by chain name, a dict for each graph of the batch; nucleotides in small letters.

    Args:
        graph: as `residue_graph` gives it.
        gaps: write a "-" for each place that has no residue, as far as the numbering tells.
    """
    result: list[dict[str, str]] = []
    for part in graph:
        chains: dict[str, str] = {}
        columns = [part.nodes[name].tolist() for name in ("chain_name", "type", "place")]
        rows = [row for row in zip(*columns) if row[1] <= UNKNOWN_NUCLEIC]
        for before, (chain, type_, place) in pairwise([(None, 0, 0), *rows]):
            name = unpack(chain)
            missing = place - before[2] - 1 if gaps and before[0] == chain else 0
            chains[name] = chains.get(name, "") + "-" * missing + LETTERS[type_]
        result.append(chains)
    return result
