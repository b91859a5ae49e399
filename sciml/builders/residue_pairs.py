"""All pairs of residues, as the pair representation takes them."""

from __future__ import annotations

import torch

from sciml.builders.residue import TYPES
from sciml.graph import Complete, Graph, Place, Spec

_POLYMERS = TYPES.index("ligand")  # types below are residues of a chain


def residue_pairs(graph: Graph) -> Graph:
    """Return a residue graph in which every residue hears all residues of its graph, itself too.

    Edges are those of a table, receivers as rows (layout `sciml.graph.Complete`). They hold ``kind`` (all
    False where the graph had no edge), ``same_chain`` and ``separation`` as `residue_graph` gives them; its
    other edge fields are left out, since they are known only for edges. Nodes stay as they are.

    The number of edges is the square of that of residues: for single domains, not for ribosomes.

    Args:
        graph: as `residue_graph` gives it.

    Raises:
        ValueError: two node sets, or a graph without ``chain``, ``place``, ``type`` or ``kind``.
    """
    missing = [f"nodes.{name}" for name in ("chain", "place", "type") if name not in graph.nodes]
    missing += [] if "kind" in graph.edges else ["edges.kind"]
    if missing or graph.two_sided:
        found = "has two node sets" if graph.two_sided else f"lacks {', '.join(missing)}"
        raise ValueError(f"residue_pairs takes what sciml.builders.residue_graph gives; this graph {found}.")
    counts = graph.node_counts
    layout = Complete(*(max(counts.tolist(), default=0),) * 2)
    edge_index, edge_counts = layout.edges(counts, counts)
    sender, receiver = edge_index
    chain, place = graph.nodes["chain"], graph.nodes["place"]
    same_chain = chain[sender] == chain[receiver]
    polymer = graph.nodes["type"] < _POLYMERS
    counted = same_chain & polymer[sender] & polymer[receiver]

    old, first = graph.edge_graph, counts.cumsum(0) - counts
    row, column = graph.receiver - first[old], graph.sender - first[old]
    at = (edge_counts.cumsum(0) - edge_counts)[old] + row * counts[old] + column
    kind = torch.zeros(len(sender), graph.edges["kind"].shape[1], dtype=torch.bool, device=graph.device)
    kind[at] = graph.edges["kind"].bool()
    edges = {
        "kind": kind,
        "same_chain": same_chain,
        "separation": torch.where(counted, place[receiver] - place[sender], 0),
    }
    specs: dict[tuple[Place, str], Spec] = {
        key: spec for key, spec in graph.specs.items() if key[0] != "edges" or key[1] in edges
    }
    return graph.replace(
        edge_index=edge_index, edges=edges, edge_counts=edge_counts, specs=specs, layout=layout
    )
