"""The Graph itself: how it is made, looked at, moved and indexed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils._pytree import tree_map

from sciml.graph.fields import (
    PLACES,
    Fields,
    Place,
    Spec,
    check_counts,
    check_edge_index,
    check_length,
    check_range,
    check_specs,
    default_specs,
    describe,
)
from sciml.graph.layout import Layout, alone

_PARTS = ("edge_index", *PLACES, "node_counts", "edge_counts", "sender_counts", "specs", "layout")
_NUMBERING = {"edge_index", "node_counts", "edge_counts", "sender_counts"}  # what a layout promises


class Graph:
    """A batch of graphs (one graph is a batch of one).

    Build it with `Graph.create`, which checks and sorts; the bare constructor trusts its caller.

    Attributes:
        edge_index: sender and receiver of each edge, numbered through the whole batch, sorted by
            receiver.
        nodes: fields on nodes (the receivers, on a two-sided graph), first axis ``nodes``.
        edges: fields on edges, first axis ``edges``.
        globals: fields on graphs, first axis ``graphs``.
        node_counts, edge_counts: how many nodes and edges each graph has.
        senders: fields on the second node set of a two-sided graph; None where the two are one.
        sender_counts: how many senders each graph has; None where the two node sets are one.
        specs: (place, name) to what the field means.
        layout: the regular arrangement of the nodes, if any; see `sciml.graph.Layout`.
    """

    __slots__ = _PARTS  # frozen by hand: Lightning refuses frozen dataclasses in batches
    edge_index: Int[Tensor, "2 edges"]
    nodes: dict[str, Tensor]
    edges: dict[str, Tensor]
    globals: dict[str, Tensor]
    node_counts: Int[Tensor, "graphs"]
    edge_counts: Int[Tensor, "graphs"]
    senders: dict[str, Tensor] | None
    sender_counts: Int[Tensor, "graphs"] | None
    specs: Mapping[tuple[Place, str], Spec]
    layout: Layout | None

    def __init__(
        self,
        edge_index: Int[Tensor, "2 edges"],
        nodes: dict[str, Tensor],
        edges: dict[str, Tensor],
        globals: dict[str, Tensor],  # noqa: A002 - the field's usual word
        node_counts: Int[Tensor, "graphs"],
        edge_counts: Int[Tensor, "graphs"],
        senders: dict[str, Tensor] | None = None,
        sender_counts: Int[Tensor, "graphs"] | None = None,
        specs: Mapping[tuple[Place, str], Spec] | None = None,
        layout: Layout | None = None,
    ) -> None:
        given = locals() | {"specs": specs or {}}
        for name in _PARTS:
            object.__setattr__(self, name, given[name])

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"A Graph is frozen: use with_nodes, with_edges or with_globals to set {name!r}."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, ({name: getattr(self, name) for name in _PARTS},)

    def replace(self, **changes: Any) -> Graph:
        """Return a graph with these parts exchanged, unchecked; prefer `with_nodes` and its kin.

        The layout is lost where numbers or edges change, unless a new one is given.
        """
        if _NUMBERING & changes.keys():
            changes = {"layout": None} | changes
        return Graph(**{name: getattr(self, name) for name in _PARTS} | changes)

    # ------------------------------------------------------------------ making

    @classmethod
    def create(
        cls,
        edge_index: Int[Tensor, "2 edges"],
        nodes: Mapping[str, Tensor],
        edges: Mapping[str, Tensor] | None = None,
        globals: Mapping[str, Tensor] | None = None,  # noqa: A002 - the field's usual word
        *,
        senders: Mapping[str, Tensor] | None = None,
        specs: Mapping[tuple[Place, str], Spec] | None = None,
        node_counts: Int[Tensor, "graphs"] | None = None,
        sender_counts: Int[Tensor, "graphs"] | None = None,
    ) -> Graph:
        """Check the fields against each other and sort the edges by receiver (stably).

        Args:
            edge_index: senders and receivers, in any order.
            nodes: at least one field; its first axis is the number of nodes.
            edges, globals, senders: further fields; see the class.
            specs: what the fields mean. ``pos`` and ``cell`` have theirs by default.
            node_counts, sender_counts: how the nodes divide into graphs; one graph if None.

        Raises:
            ValueError: lengths that disagree, indices out of range, edges between two graphs, specs of
                fields that are not there.
            TypeError: an edge_index that is not of integers, fields that are not tensors.
        """
        edge_index = check_edge_index(edge_index)
        device = edge_index.device
        num_nodes = check_length("nodes", nodes)
        num_senders = num_nodes if senders is None else check_length("senders", senders)
        node_counts = check_counts("node_counts", node_counts, num_nodes, device)
        num_graphs = len(node_counts)
        if senders is not None:
            sender_counts = check_counts("sender_counts", sender_counts, num_senders, device, num_graphs)
        elif sender_counts is not None:
            raise ValueError("sender_counts without senders: give both, or neither for an ordinary graph.")
        check_length("edges", edges or {}, edge_index.shape[1])
        check_length("globals", globals or {}, num_graphs)
        check_range(edge_index, num_senders, num_nodes)
        if edges and "shift" in edges and "cell" not in (globals or {}):
            raise ValueError("edges.shift counts cells, but globals has no cell (graphs, dim, dim).")

        edges = dict(edges or {})
        if not bool((edge_index[1, 1:] >= edge_index[1, :-1]).all()):  # neighbour lists come sorted
            order = torch.argsort(edge_index[1], stable=True)
            edge_index, edges = edge_index[:, order], {name: value[order] for name, value in edges.items()}
        graphs = torch.arange(num_graphs, device=device)
        graph_of_node = torch.repeat_interleave(graphs, node_counts)
        graph_of_sender = torch.repeat_interleave(
            graphs, node_counts if sender_counts is None else sender_counts
        )
        graph_of_edge = graph_of_node[edge_index[1]]
        crossing = (graph_of_sender[edge_index[0]] != graph_of_edge).nonzero()
        if len(crossing):
            sender, receiver = edge_index[:, crossing[0, 0]].tolist()
            raise ValueError(
                f"Edge {sender} -> {receiver} joins two graphs of the batch; edges stay within one."
            )

        fields: dict[Place, Fields | None] = {
            "nodes": nodes,
            "edges": edges,
            "globals": globals,
            "senders": senders,
        }
        return cls(
            edge_index=edge_index,
            nodes=dict(nodes),
            edges=edges,
            globals=dict(globals or {}),
            node_counts=node_counts,
            edge_counts=torch.bincount(graph_of_edge, minlength=num_graphs),
            senders=None if senders is None else dict(senders),
            sender_counts=sender_counts,
            specs=default_specs(fields) | check_specs(specs or {}, fields),
        )

    def with_nodes(self, _specs: Mapping[str, Spec] | None = None, **values: Tensor) -> Graph:
        """Return a graph with these node fields added or replaced; ``_specs`` says what they mean."""
        return self._with("nodes", _specs, values)

    def with_edges(self, _specs: Mapping[str, Spec] | None = None, **values: Tensor) -> Graph:
        """Return a graph with these edge fields (in this graph's order of edges) added or replaced."""
        return self._with("edges", _specs, values)

    def with_globals(self, _specs: Mapping[str, Spec] | None = None, **values: Tensor) -> Graph:
        """Return a graph with these graph-level fields added or replaced."""
        return self._with("globals", _specs, values)

    def with_senders(self, _specs: Mapping[str, Spec] | None = None, **values: Tensor) -> Graph:
        """Return a two-sided graph with these sender fields added or replaced."""
        return self._with("senders", _specs, values)

    def without(self, place: Place, *names: str) -> Graph:
        """Return a graph that lacks these fields; the last node field cannot go.

        Raises:
            ValueError: a field that is not there, or nothing left to count the nodes by.
        """
        fields = dict(getattr(self, place) or {})
        for name in names:
            if fields.pop(name, None) is None:
                raise ValueError(f"There is no {place}.{name}; {place} has {', '.join(fields) or 'none'}.")
        if place in ("nodes", "senders"):
            check_length(place, fields)
        specs = {key: spec for key, spec in self.specs.items() if key not in {(place, n) for n in names}}
        return self.replace(**{place: fields}, specs=specs)

    def _with(self, place: Place, specs: Mapping[str, Spec] | None, values: Mapping[str, Tensor]) -> Graph:
        if place == "senders" and not self.two_sided:
            raise ValueError("The graph has one node set: use with_nodes, or create it with senders.")
        length = dict(zip(PLACES, (self.num_nodes, self.num_senders, self.num_edges, self.num_graphs)))[place]
        check_length(place, values, length)
        merged = {**(getattr(self, place) or {}), **values}
        known = {key: spec for key, spec in default_specs({place: values}).items() if key not in self.specs}
        new = check_specs({(place, name): spec for name, spec in (specs or {}).items()}, {place: merged})
        return self.replace(**{place: merged}, specs={**self.specs, **known, **new})

    # ---------------------------------------------------------------- looking

    @property
    def num_nodes(self) -> int:
        """Nodes in the whole batch (receivers, on a two-sided graph)."""
        return next(iter(self.nodes.values())).shape[0]

    @property
    def num_senders(self) -> int:
        """Senders in the whole batch; the number of nodes where the two node sets are one."""
        return next(iter(self.senders.values())).shape[0] if self.senders else self.num_nodes

    @property
    def num_edges(self) -> int:
        """Edges in the whole batch."""
        return self.edge_index.shape[1]

    @property
    def num_graphs(self) -> int:
        """Graphs in the batch."""
        return self.node_counts.shape[0]

    @property
    def two_sided(self) -> bool:
        """Whether senders and receivers are two node sets."""
        return self.senders is not None

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return self.edge_index.device

    @property
    def sender(self) -> Int[Tensor, "edges"]:
        """Index of the node that each edge comes from."""
        return self.edge_index[0]

    @property
    def receiver(self) -> Int[Tensor, "edges"]:
        """Index of the node that each edge goes to, ascending."""
        return self.edge_index[1]

    @property
    def row_pointer(self) -> Int[Tensor, "nodes+1"]:
        """Edges ``row_pointer[i]:row_pointer[i + 1]`` are those that node ``i`` receives."""
        nodes = torch.arange(self.num_nodes + 1, device=self.device)
        return torch.searchsorted(self.edge_index[1].contiguous(), nodes)

    @property
    def node_graph(self) -> Int[Tensor, "nodes"]:
        """Which graph each node belongs to."""
        return self._membership(self.node_counts, self.num_nodes)

    @property
    def sender_graph(self) -> Int[Tensor, "senders"]:
        """Which graph each sender belongs to; `node_graph` where the two node sets are one."""
        counts = self.node_counts if self.sender_counts is None else self.sender_counts
        return self._membership(counts, self.num_senders)

    @property
    def edge_graph(self) -> Int[Tensor, "edges"]:
        """Which graph each edge belongs to."""
        return self._membership(self.edge_counts, self.num_edges)

    def _membership(self, counts: Tensor, length: int) -> Tensor:
        graphs = torch.arange(self.num_graphs, device=self.device)
        return torch.repeat_interleave(graphs, counts, output_size=length)  # output_size: no host sync

    def spec(self, place: Place, name: str) -> Spec:
        """Return what a field means; plain numbers if nothing was said."""
        return self.specs.get((place, name), Spec())

    def edge_vectors(self, name: str = "pos") -> Float[Tensor, "edges dim"]:
        """Vectors from sender to receiver, ``pos[receiver] - pos[sender] + shift @ cell``.

        ``shift`` (edges, dim) counts cells and ``cell`` (graphs, dim, dim) holds lattice vectors as
        rows; without a shift the space is open. Differentiable in positions and cell.
        """
        start = self.nodes if self.senders is None else self.senders
        vectors = self.nodes[name].index_select(0, self.receiver) - start[name].index_select(0, self.sender)
        if "shift" in self.edges:
            cell = self.globals["cell"].index_select(0, self.edge_graph)
            vectors = vectors + torch.einsum("ei,eij->ej", self.edges["shift"].to(cell.dtype), cell)
        return vectors

    def __repr__(self) -> str:
        sides = f"{self.num_senders} senders, " if self.two_sided else ""
        lines = [
            f"Graph: {self.num_graphs} graph{'s' * (self.num_graphs != 1)}, {sides}{self.num_nodes} nodes, "
            f"{self.num_edges} edges, on {self.device}"
        ]
        lines += [f"  layout  {self.layout}"] * (self.layout is not None)
        for place in PLACES:
            values = getattr(self, place) or {}
            fields = [describe(name, value, self.spec(place, name)) for name, value in values.items()]
            lines += [f"  {place:8}{'; '.join(fields)}"] * bool(fields)
        return "\n".join(lines)

    # ----------------------------------------------------------------- moving

    def map(self, function: Callable[[Tensor], Tensor]) -> Graph:
        """Return the graph with ``function`` applied to every tensor, indices and counts included."""
        return tree_map(function, self)

    def to(self, *args: Any, **kwargs: Any) -> Graph:
        """Move or convert as `torch.Tensor.to` does; a dtype is applied to floating-point fields only."""
        device, dtype, non_blocking, _ = torch._C._nn._parse_to(*args, **kwargs)

        def move(value: Tensor) -> Tensor:
            return value.to(device, dtype if value.is_floating_point() else None, non_blocking=non_blocking)

        return self.map(move)

    def pin_memory(self) -> Graph:
        """Pin every tensor, for asynchronous copies to a GPU."""
        return self.map(lambda value: value.pin_memory())

    def detach(self) -> Graph:
        """Cut every tensor from the autograd graph."""
        return self.map(lambda value: value.detach())

    # --------------------------------------------------------------- batching

    def __len__(self) -> int:
        return self.num_graphs

    def __getitem__(self, ids: int | slice | Sequence[int] | Tensor) -> Graph:
        """Return graphs of the batch by number, slice, list, or index tensor (repeats allowed)."""
        chosen = self._chosen(ids)
        node, node_offset = _ranges(self.node_counts, chosen)
        edge, _ = _ranges(self.edge_counts, chosen)
        edge_counts = self.edge_counts[chosen]
        sender, sender_offset, senders, sender_counts = node, node_offset, None, None
        if self.senders is not None and self.sender_counts is not None:
            sender, sender_offset = _ranges(self.sender_counts, chosen)
            senders = {name: value[sender] for name, value in self.senders.items()}
            sender_counts = self.sender_counts[chosen]
        offsets = torch.stack([sender_offset, node_offset])  # 2 graphs
        return self.replace(
            edge_index=self.edge_index[:, edge] + torch.repeat_interleave(offsets, edge_counts, dim=1),
            nodes={name: value[node] for name, value in self.nodes.items()},
            edges={name: value[edge] for name, value in self.edges.items()},
            globals={name: value[chosen] for name, value in self.globals.items()},
            node_counts=self.node_counts[chosen],
            edge_counts=edge_counts,
            senders=senders,
            sender_counts=sender_counts,
            layout=alone(self.layout, len(node), len(sender)) if len(chosen) == 1 else self.layout,
        )

    def _chosen(self, ids: int | slice | Sequence[int] | Tensor) -> Int[Tensor, "chosen"]:
        numbers = torch.arange(self.num_graphs, device=self.device)
        if isinstance(ids, str):
            raise TypeError(f"Graphs are chosen by number, not by {ids!r}; fields are in .nodes and its kin.")
        index = ids if isinstance(ids, slice) else torch.as_tensor(ids, device=self.device)
        if isinstance(index, Tensor) and index.numel() == 0:
            index = index.long()  # an empty list is of floats
        try:
            return numbers[index].reshape(-1)
        except IndexError:
            raise IndexError(f"Graph {ids!r} of a batch of {self.num_graphs}.") from None

    def __iter__(self) -> Iterator[Graph]:
        return (self[i] for i in range(self.num_graphs))


# -------------------------------------------------------------------- details


def _ranges(counts: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows of the chosen graphs, and by how much each graph's numbering moves."""
    old = counts.cumsum(0) - counts
    new_counts = counts[chosen]
    new = new_counts.cumsum(0) - new_counts
    offset = new - old[chosen]
    moved = torch.repeat_interleave(offset, new_counts)
    return torch.arange(len(moved), device=counts.device) - moved, offset


def _restore(parts: dict[str, Any]) -> Graph:
    return Graph(**parts)
