"""Graphs on which attention acts: all pairs within a set, between two sets, and along sequences."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sciml.graph import Complete, Graph, Place, Spec
from sciml.graph.fields import default_specs

Rows = Tensor | Sequence[Tensor]  # (graphs, rows, channels), or one (rows, channels) for each graph


def complete_graph(
    values: Rows,
    senders: Rows | None = None,
    *,
    pos: Rows | None = None,
    sender_pos: Rows | None = None,
    name: str = "x",
    spec: Spec | None = None,
) -> Graph:
    """Build graphs in which every node hears all nodes, itself too; or, with ``senders``, all of those.

    The graphs have the layout `sciml.graph.Complete`, which lets attention take its fused path.

    Args:
        values: what is at the nodes: a tensor (graphs, nodes, channels), or a sequence of tensors
            (nodes, channels), one for each graph, whose numbers of nodes may differ.
        senders: the same for a second set of nodes, which sends while the first receives
            (cross-attention); its channels may differ.
        pos, sender_pos: where the nodes stand, (..., dim), in any unit.
        name, spec: of the node field.

    Raises:
        TypeError: values that are not floating-point tensors.
        ValueError: wrong or different shapes, different numbers of graphs, values that are not finite (the
            first is named), positions of one node set but not of the other.
    """
    if senders is None and sender_pos is not None:
        raise ValueError("sender_pos without senders: give both, or pos alone for one set of nodes.")
    if senders is not None and (pos is None) != (sender_pos is None):
        raise ValueError("Positions of both node sets or of neither: give both pos and sender_pos.")
    nodes, counts = _node_set({name: values} | ({} if pos is None else {"pos": pos}))
    sending, sender_counts = None, counts
    if senders is not None:
        sending, sender_counts = _node_set(
            {name: senders} | ({} if sender_pos is None else {"pos": sender_pos})
        )
        if len(sender_counts) != len(counts):
            raise ValueError(f"values tell of {len(counts)} graphs, senders of {len(sender_counts)}.")
    layout = Complete(max(counts.tolist(), default=0), max(sender_counts.tolist(), default=0))
    edge_index, edge_counts = layout.edges(counts, sender_counts)
    specs: dict[tuple[Place, str], Spec] = {("nodes", name): spec or Spec(f"{nodes[name].shape[1]}x0e")}
    if sending is not None:
        specs["senders", name] = spec or Spec(f"{sending[name].shape[1]}x0e")
    return Graph(
        edge_index,
        nodes,
        {},
        {},
        node_counts=counts,
        edge_counts=edge_counts,
        senders=sending,
        sender_counts=None if sending is None else sender_counts,
        specs=default_specs({"nodes": nodes, "senders": sending}) | specs,
        layout=layout,
    )


def sequence_graph(
    values: Rows,
    *,
    causal: bool = False,
    reach: int | None = None,
    name: str = "x",
    spec: Spec | None = None,
) -> Graph:
    """Build one graph per sequence, with the index as position: ``pos`` is (nodes, 1), 0, 1, 2, ...

    Without options every place hears all places, on the layout `sciml.graph.Complete`. (Windows in
    sequences of one length are also `grid_graph(values.mT, kernel=..., spacing=1.0)`.)

    Args:
        values: (sequences, places, channels), or a sequence of tensors (places, channels).
        causal: hear only oneself and what came before.
        reach: hear only places at most so many steps away.
        name, spec: of the node field.

    Raises:
        TypeError, ValueError: as `complete_graph`; a negative reach.
    """
    if reach is not None and reach < 0:
        raise ValueError(f"reach {reach} must be 0 or more: the number of steps to the farthest place heard.")
    rows = _listed(name, values)
    index = [torch.arange(len(row), device=row.device, dtype=row.dtype)[:, None] for row in rows]
    if not causal and reach is None:
        return complete_graph(rows, pos=index, name=name, spec=spec)
    nodes, counts = _node_set({name: rows, "pos": index})
    far = max(counts.tolist()) if reach is None else reach
    steps = torch.arange(-far, 1 if causal else far + 1, device=counts.device)
    place = torch.cat([torch.arange(len(row), device=row.device) for row in rows])
    graph_of_node = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    heard = place[:, None] + steps  # places, steps
    receiver, step = ((heard >= 0) & (heard < counts[graph_of_node][:, None])).nonzero().T
    specs: dict[tuple[Place, str], Spec] = {("nodes", name): spec or Spec(f"{nodes[name].shape[1]}x0e")}
    return Graph(
        torch.stack([receiver + steps[step], receiver]),
        nodes,
        {},
        {},
        node_counts=counts,
        edge_counts=torch.bincount(graph_of_node[receiver], minlength=len(counts)),
        specs=default_specs({"nodes": nodes}) | specs,
    )


# -------------------------------------------------------------------- details


def _node_set(fields: dict[str, Rows]) -> tuple[dict[str, Tensor], Int[Tensor, "graphs"]]:
    """Return fields joined over the graphs, and how many nodes each graph has."""
    listed = {name: _listed(name, rows) for name, rows in fields.items()}
    (first, rows), *others = listed.items()
    counts = [len(row) for row in rows]
    for name, other in others:
        if [len(row) for row in other] != counts:
            raise ValueError(
                f"{name} has {[len(row) for row in other]} rows in its graphs, {first} has {counts}."
            )
    joined = {name: torch.cat(rows) for name, rows in listed.items()}
    return joined, torch.tensor(counts, dtype=torch.long, device=joined[first].device)


def _listed(name: str, rows: Rows) -> list[Float[Tensor, "rows channels"]]:
    """Return one table of finite numbers for each graph."""
    if isinstance(rows, Tensor) and rows.ndim != 3:
        raise ValueError(
            f"{name} has shape {tuple(rows.shape)}; expected (graphs, nodes, channels). Add the axis of "
            "graphs with values[None], or give a list with one tensor (nodes, channels) for each graph."
        )
    tables = list(rows)
    if not tables:
        raise ValueError(f"{name} holds no graph: their channels would be unknown.")
    for number, table in enumerate(tables):
        if not isinstance(table, Tensor) or not table.is_floating_point():
            found = table.dtype if isinstance(table, Tensor) else type(table).__name__
            raise TypeError(f"{name} of graph {number} must be a tensor of floats, not {found}: convert it.")
        if table.ndim != 2 or table.shape[1] != tables[0].shape[-1]:
            raise ValueError(
                f"{name} of graph {number} has shape {tuple(table.shape)}; expected (nodes, channels), with "
                "the same channels in every graph."
            )
        wrong = (~table.isfinite()).nonzero()
        if len(wrong):
            node, channel = wrong[0].tolist()
            raise ValueError(
                f"{name} of graph {number} holds {len(wrong)} values that are not finite, the first at node "
                f"{node}, channel {channel}: {float(table[node, channel])}. Fill them, or leave the node out."
            )
    return tables
