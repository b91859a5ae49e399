"""Functions of the distance, once for both directions of a pair of atoms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sciml.graph import Graph
from sciml.nn.equivariant.product import has_fused
from sciml.nn.message_passing import MessagePassing

EDGES = 200_000  # of a piece, about


class Pairs(NamedTuple):
    """Edges and their reverses.

    Attributes:
        first: one edge of each pair.
        number: the pair of each edge.
    """

    first: Int[Tensor, "pairs"]
    number: Int[Tensor, "edges"]


class Radial(NamedTuple):
    """Functions of the distance.

    Attributes:
        values: the basis.
        envelope: what ends them at the cutoff.
        row: of each edge; None where rows are edges.
    """

    values: Float[Tensor, "rows radial"]
    envelope: Float[Tensor, "rows"]
    row: Int[Tensor, "edges"] | None = None


class DistanceMessages(MessagePassing):
    """A layer whose edges are weighted by a network on functions of their length.

    Both directions of a pair have one length, so that the network, which is most of the cost, need be
    evaluated once for both: by ``layer(graph, radial)``, with what `radial_functions` returns. Otherwise the
    layer reads the edge fields ``radial`` (edges, radial) and ``envelope`` (edges,).

    Subclasses define `compiled_forward`.
    """

    def forward(self, graph: Graph, radial: Radial | None = None) -> Graph:
        """Pass messages along all edges once."""
        return super().forward(graph) if radial is None else self.compiled_forward(graph, radial)

    def fused_forward(self, graph: Graph) -> Graph | None:
        """Gather, weigh and sum in one pass, where there is a fused path."""
        values, envelope = graph.edges["radial"], graph.edges["envelope"]
        return self.compiled_forward(graph, Radial(values, envelope)) if has_fused(values) else None

    def compiled_forward(self, graph: Graph, radial: Radial) -> Graph:
        """Return the same by the fused path."""
        raise NotImplementedError(f"{type(self).__name__} must define compiled_forward(graph, radial).")

    @property
    def sees_edges(self) -> bool:
        """Whether the edge form is asked for."""
        return not self.fused or self._recording is not None


def radial_functions(
    graph: Graph,
    basis: Callable[[Float[Tensor, "rows"]], Float[Tensor, "rows radial"]],
    layers: Iterable[nn.Module],
) -> tuple[Graph, Radial | None]:
    """Return what layers take: the graph and functions of the distance, once for each pair of edges.

    Where a layer must see edges, or there are no pairs, the graph has the edge field ``radial`` instead.

    Args:
        graph: with the edge fields ``distance`` and ``envelope``.
        basis: functions of distances.
        layers: that will read them.
    """
    distance, envelope = graph.edges["distance"], graph.edges["envelope"]
    compiled = has_fused(distance) and not any(getattr(layer, "sees_edges", True) for layer in layers)
    found = pairs(graph) if compiled else None
    if found is None:
        return graph.with_edges(None, radial=basis(distance)), None
    first, row = found
    return graph, Radial(basis(distance.index_select(0, first)), envelope.index_select(0, first), row)


def pairs(graph: Graph) -> Pairs | None:
    """Return which edges are each other's reverse; None where one has none, or the edges are not on CPU.

    The reverse of an edge goes from its receiver to its sender, with the opposite ``shift``. Where there are
    several `pieces`, no pair is shared by two, so that those of each follow each other.
    """
    if graph.device.type != "cpu" or graph.two_sided:
        return None
    sender, receiver = (ends.numpy() for ends in (graph.sender, graph.receiver))
    shift = graph.edges["shift"].numpy() if "shift" in graph.edges else np.zeros((len(sender), 0), np.int64)
    along, against = (
        _keys(*ends, graph.num_nodes) for ends in ((receiver, sender, shift), (sender, receiver, -shift))
    )
    reverse = np.empty_like(sender)
    order, turned = np.argsort(along, kind="stable"), np.argsort(against, kind="stable")
    if not np.array_equal(along[order], against[turned]):
        return None
    reverse[order] = turned
    piece = np.searchsorted(pieces(graph), receiver, side="right")
    leads = (np.arange(len(reverse)) <= reverse) | (piece != piece[reverse])
    number = np.cumsum(leads) - 1
    number[~leads] = number[reverse[~leads]]
    return Pairs(torch.from_numpy(np.flatnonzero(leads)), torch.from_numpy(number))


def _keys(
    major: Int[np.ndarray, "edges"],
    minor: Int[np.ndarray, "edges"],
    shift: Int[np.ndarray, "edges 3"],
    nodes: int,
) -> Int[np.ndarray, "edges"]:
    """Return a whole number for each edge that tells it from all others."""
    keys = major * nodes + minor
    reach = int(np.abs(shift).max(initial=0))
    for axis in shift.T:
        keys = keys * (2 * reach + 1) + axis + reach
    return keys


def pieces(graph: Graph) -> list[int]:
    """Return the first receiver of each piece that a convolution is computed in, and the number of nodes.

    One piece is enough where edges are no more than twice `EDGES`.
    """
    if graph.num_edges <= 2 * EDGES:
        return [0, graph.num_nodes]
    steps = torch.arange(EDGES, graph.num_edges, EDGES, device=graph.device)
    return [0, *sorted({*torch.searchsorted(graph.row_pointer, steps).tolist(), graph.num_nodes})]
