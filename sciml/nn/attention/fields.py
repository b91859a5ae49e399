"""What attention and its encodings read of a graph, with words for what is missing."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Place

_HOW = {
    "pos": "give it to complete_graph(..., pos=...), or build with sequence_graph, particle_graph or "
    "grid_graph(..., spacing=...)",
    "offset": "build with grid_graph and a kernel",
    "hops": "apply sciml.builders.all_pairs to the graph",
    "walks": "apply sciml.builders.with_walks to the graph",
    "lowest_modes": "apply sciml.nn.with_modes to the graph",
    "mode_sizes": "apply sciml.nn.with_modes to the graph",
    "lowest_eigenvalues": "apply sciml.nn.with_modes to the graph",
}


def read(
    graph: Graph,
    place: Place,
    name: str,
    who: str,
    width: int | None = None,
) -> Tensor:
    """Return a field.

    Raises:
        ValueError: it is not there, or its last axis is not of this width.
    """
    values = getattr(graph, place) or {}
    if name not in values:
        how = _HOW.get(name, f"add it with Graph.with_{place}")
        raise ValueError(f"{who} reads {place}.{name}, but {place} has {', '.join(values) or 'none'}: {how}.")
    value = values[name]
    if width is not None and (value.ndim != 2 or value.shape[1] != width):
        raise ValueError(
            f"{who} reads {place}.{name} of shape ({place}, {width}), but its shape is {tuple(value.shape)}."
        )
    return value


def check_one_set(graph: Graph, who: str) -> None:
    """Raise ValueError where senders and receivers are two node sets."""
    if graph.two_sided:
        raise ValueError(f"{who} is for graphs with one node set; this one has senders and receivers.")


def vectors(graph: Graph, who: str, dim: int | None = None) -> Float[Tensor, "edges dim"]:
    """Return vectors from sender to receiver of each edge.

    Raises:
        ValueError: no positions, or of another dimension.
    """
    read(graph, "nodes", "pos", who, dim)
    if graph.two_sided:
        read(graph, "senders", "pos", who, dim)
    return graph.edge_vectors()


def distances(vector: Float[Tensor, "edges dim"]) -> Float[Tensor, "edges"]:
    """Return lengths whose derivatives of all orders are zero, not NaN, at zero length (as of self-loops)."""
    square = vector.square().sum(-1)
    here = square == 0
    return torch.where(here, 0.0, torch.where(here, 1.0, square).sqrt())


def check_heads(channels: int, heads: int, who: str) -> int:
    """Return channels of each head.

    Raises:
        ValueError: heads do not divide the channels.
    """
    if heads < 1 or channels < 1 or channels % heads:
        raise ValueError(
            f"{who}: {heads} heads do not divide {channels} channels; take a number that does, as "
            f"{_divisors(channels)}, or say how wide each head is."
        )
    return channels // heads


def common_groups(encodings: Iterable[nn.Module]) -> tuple[str, ...]:
    """Return the symmetries of space that all encodings keep; none where none reads positions."""
    kept = [encoding.groups for encoding in encodings if encoding.groups is not None]
    return tuple(name for name in (kept[0] if kept else ()) if all(name in groups for groups in kept))  # type: ignore[operator,union-attr]


def _divisors(channels: int) -> str:
    return ", ".join(str(n) for n in range(1, max(channels, 1) + 1) if channels % n == 0) or "1"
