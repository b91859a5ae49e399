"""Regular arrangements of nodes and edges, which let a layer take a dense path instead of the edges.

A layout is a promise about every graph of a batch: its numbering of nodes and, where it tells of edges,
these edges and no others. Whoever builds the graph gives it; it is lost as soon as nodes are renumbered or
edges change, and layers then run along the edges, as on any graph.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import prod

import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True)
class Grid:
    """Nodes on a rectangular grid in 1, 2 or 3 dimensions, numbered row by row (last axis fastest).

    The receiver at grid position p hears the sender at ``stride * p + offset`` for every offset of the
    window, as a convolution does; the label of that edge, ``edges["offset"]``, is the offset's place in
    `offsets`. Beyond the border, a periodic axis goes on at its other end and a bounded one has no sender.

    Attributes:
        shape: receivers along each axis.
        periodic: for each axis, whether it closes on itself.
        offsets: steps along each axis from a receiver to its senders; empty where there are no edges.
        stride: how many sender steps one receiver step is; other than 1 only on two-sided graphs.
        sender_shape: senders along each axis; None where the two node sets are one.
    """

    shape: tuple[int, ...]
    periodic: tuple[bool, ...]
    offsets: tuple[tuple[int, ...], ...] = ()
    stride: tuple[int, ...] = ()
    sender_shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "stride", self.stride or (1,) * self.dim)

    @property
    def dim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def num_nodes(self) -> int:
        """Receivers in each graph."""
        return prod(self.shape)

    def with_window(self, offsets: tuple[tuple[int, ...], ...]) -> Grid:
        """Return the same grid of nodes with other edges among them."""
        return replace(self, offsets=offsets, stride=(), sender_shape=None)

    def edges(
        self, num_graphs: int, device: torch.device | str = "cpu"
    ) -> tuple[Int[Tensor, "2 edges"], Int[Tensor, "edges"], Int[Tensor, "graphs"]]:
        """Return edge_index (sorted by receiver), the label of each edge's offset, and edges per graph."""
        edge_index, label = _edges(self, str(device))
        senders, number = prod(self.sender_shape or self.shape), edge_index.shape[1]
        graphs = torch.arange(num_graphs, device=device)
        first = torch.stack([graphs * senders, graphs * self.num_nodes])  # 2 graphs
        edge_index = (edge_index[:, None] + first[:, :, None]).reshape(2, -1)
        return edge_index, label.repeat(num_graphs), torch.full_like(graphs, number)


@dataclass(frozen=True)
class Complete:
    """Every node of a graph hears every sender of the same graph (itself too, where the sets are one).

    Edges stand in the order of their receivers, and those of one receiver in the order of their senders,
    so that values on edges are tables, receivers by senders, one after the other.

    Attributes:
        receivers, senders: bounds that no graph of the batch exceeds; in graphs that stand alone, numbers.
    """

    receivers: int
    senders: int

    def edges(
        self, receivers: Int[Tensor, "graphs"], senders: Int[Tensor, "graphs"]
    ) -> tuple[Int[Tensor, "2 edges"], Int[Tensor, "graphs"]]:
        """Return edge_index and edges per graph, for graphs of these sizes."""
        number = receivers * senders
        graph = torch.repeat_interleave(torch.arange(len(number), device=number.device), number)
        place = torch.arange(len(graph), device=number.device) - (number.cumsum(0) - number)[graph]
        width = senders[graph]  # each edge's place in the table of its graph
        sender = (senders.cumsum(0) - senders)[graph] + place % width
        receiver = (receivers.cumsum(0) - receivers)[graph] + place // width
        return torch.stack([sender, receiver]), number


@dataclass(frozen=True)
class Chain:
    """The nodes of each graph in a row, in order, as many as there are: sequences of differing lengths.

    Attributes:
        offsets: steps along the row from a receiver to its senders, as in `Grid`; there is nobody beyond the
            ends. Empty where there are no edges.
    """

    offsets: tuple[int, ...] = ()

    def edges(
        self, node_counts: Int[Tensor, "graphs"]
    ) -> tuple[Int[Tensor, "2 edges"], Int[Tensor, "edges"], Int[Tensor, "graphs"]]:
        """Return edge_index (sorted by receiver), the label of each edge's offset, and edges per graph.

        How many edges there are depends on the lengths: this asks the device for them.
        """
        end = node_counts.cumsum(0)
        last = torch.repeat_interleave(end, node_counts)[:, None]
        first = torch.repeat_interleave(end - node_counts, node_counts)[:, None]
        receiver = torch.arange(len(first), device=node_counts.device)[:, None]
        sender = receiver + torch.tensor(self.offsets, dtype=torch.long, device=node_counts.device)
        inside = (sender >= first) & (sender < last)
        node, label = inside.nonzero().T
        graph = torch.repeat_interleave(torch.arange(len(end), device=end.device), node_counts)
        counts = torch.zeros_like(node_counts).index_add(0, graph, inside.sum(1))
        return torch.stack([sender[inside], node]), label, counts


Layout = Grid | Complete | Chain


def window(
    kernel: int | tuple[int, ...], dim: int, dilation: int | tuple[int, ...] = 1
) -> tuple[tuple[int, ...], ...]:
    """Return the offsets of a convolution's window, row by row: -1, 0, 1 for 3, and 0, 1 for 2."""
    kernel = (kernel,) * dim if isinstance(kernel, int) else kernel
    dilation = (dilation,) * dim if isinstance(dilation, int) else dilation
    axes = [[(i - (k - 1) // 2) * d for i in range(k)] for k, d in zip(kernel, dilation, strict=True)]
    return tuple(product(*axes))


def common(layouts: list[Layout | None]) -> Layout | None:
    """Return the layout of a batch of graphs with these layouts; None where they do not fit together."""
    first = layouts[0]
    if all(isinstance(layout, Complete) for layout in layouts):
        return Complete(max(c.receivers for c in layouts), max(c.senders for c in layouts))  # type: ignore[union-attr]
    return first if all(layout == first for layout in layouts) else None


def alone(layout: Layout | None, receivers: int, senders: int) -> Layout | None:
    """Return the layout of one graph of a batch, whose sizes are these."""
    return Complete(receivers, senders) if isinstance(layout, Complete) else layout


@lru_cache(maxsize=64)
def _edges(grid: Grid, device: str) -> tuple[Int[Tensor, "2 edges"], Int[Tensor, "edges"]]:
    """Return senders and receivers, and the labels of their offsets, of one grid."""
    senders = grid.sender_shape or grid.shape
    if not grid.offsets:
        empty = torch.zeros(2, 0, dtype=torch.long, device=device)
        return empty, empty[0]
    position = torch.cartesian_prod(*(torch.arange(n) for n in grid.shape)).reshape(-1, grid.dim)
    target = position[:, None] * torch.tensor(grid.stride) + torch.tensor(grid.offsets)  # nodes offsets dim
    size, closed = torch.tensor(senders), torch.tensor(grid.periodic)
    inside = (closed | ((target >= 0) & (target < size))).all(-1)
    steps = torch.tensor([prod(senders[axis + 1 :]) for axis in range(grid.dim)])
    sender = (target.remainder(size) * steps).sum(-1)
    receiver, label = inside.nonzero().T
    return torch.stack([sender[inside], receiver]).to(device), label.to(device)
