"""The symmetric group S(n): the numbering of nodes and the order of edges mean nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Generator, Tensor

from sciml.graph import Graph
from sciml.symmetry.action import Field, Outside, map_fields, same


class Reordering(NamedTuple):
    """An element of S(n): the new row i is the old row ``order[i]``; edges stay sorted by receiver."""

    nodes: Int[Tensor, "nodes"]
    edges: Int[Tensor, "edges"]
    senders: Int[Tensor, "senders"] | None = None


class Permutation:
    """S(n): nodes renumbered within each graph; edges and all fields follow."""

    name: str = "S(n)"
    contains: tuple[str, ...] = ()

    def sample(self, graph: Graph, generator: Generator) -> Reordering:
        """Draw a permutation of nodes (and senders) within graphs, and of edges within receivers."""
        if max(graph.node_counts.tolist(), default=0) < 2:
            raise ValueError("S(n) has nothing to permute: give a graph of two or more nodes.")
        senders = _shuffled(graph.sender_graph, generator) if graph.two_sided else None
        return self._reordering(graph, _shuffled(graph.node_graph, generator), senders, generator)

    def _reordering(
        self, graph: Graph, nodes: Tensor, senders: Tensor | None, generator: Generator
    ) -> Reordering:
        new_receiver = torch.argsort(nodes)[graph.receiver]
        return Reordering(nodes, _shuffled(new_receiver, generator), senders)

    def act(self, element: Reordering, graph: Graph) -> Graph:
        """Renumber: node i of the result is node ``element.nodes[i]`` of the graph."""
        if (len(element.nodes), len(element.edges)) != (graph.num_nodes, graph.num_edges):
            raise ValueError(
                f"The permutation is one of {len(element.nodes)} nodes and {len(element.edges)} edges, but "
                f"the graph has {graph.num_nodes} and {graph.num_edges}."
            )
        number = torch.argsort(element.nodes)
        sender_number = number if element.senders is None else torch.argsort(element.senders)
        sender, receiver = graph.edge_index[:, element.edges]
        orders = {"nodes": element.nodes, "edges": element.edges, "senders": element.senders}
        moved = map_fields(graph, lambda f: f.value if f.place == "globals" else f.value[orders[f.place]])
        return moved.replace(edge_index=torch.stack([sender_number[sender], number[receiver]]))

    def outside(self, graph: Graph, generator: Generator) -> Iterator[Outside]:
        """Tear node fields from their edges; then draw rows together, for layers that ignore edges."""
        order = _shuffled(graph.node_graph, generator)

        def tear(graph: Graph) -> Graph:
            return graph.replace(nodes={name: value[order] for name, value in graph.nodes.items()})

        yield Outside("node fields permuted without their edges", tear(graph), tear)

        def mix(field: Field) -> Tensor:
            if field.place == "globals":
                return field.value
            first = field.value[torch.searchsorted(field.graph_of_row, field.graph_of_row)]
            if not field.value.is_floating_point():
                return first
            share = 0.1 + 0.3 * torch.rand(len(first), generator=generator).to(first)
            return torch.lerp(field.value, first, share.reshape(-1, *(1,) * (first.ndim - 1)))

        mixed = map_fields(graph, mix)
        yield Outside("rows drawn towards the first one", mixed, same)


class EdgeOrder(Permutation):
    """The subgroup of S(n) that renumbers no node: edges of one receiver change places."""

    name: str = "edge order"

    def sample(self, graph: Graph, generator: Generator) -> Reordering:
        """Draw an order of the edges within each receiver."""
        nodes = torch.arange(graph.num_nodes, device=graph.device)
        senders = torch.arange(graph.num_senders, device=graph.device) if graph.two_sided else None
        return self._reordering(graph, nodes, senders, generator)

    def act(self, element: Reordering, graph: Graph) -> Graph:
        """Reorder the edges; a layer's output that has other edges is as it was."""
        ours = len(element.edges) == graph.num_edges and len(element.nodes) == graph.num_nodes
        return super().act(element, graph) if ours and graph.num_edges else graph


def _shuffled(major: Tensor, generator: Generator) -> Tensor:
    """Return an order that sorts by ``major`` and is random among equals."""
    noise = torch.rand(len(major), generator=generator, dtype=torch.float64).to(major.device)
    return torch.argsort(major + noise)
