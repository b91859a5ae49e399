"""Convolution with weights that are functions of the distance; in pieces where a system is large."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from sciml.graph import Graph
from sciml.nn.equivariant.paths import Paths
from sciml.nn.equivariant.product import fused_convolution
from sciml.nn.memory import free_memory, kept_bytes
from sciml.nn.pairs import Radial, pieces

# There must be room for so many times what a convolution keeps: for its derivatives, and for other layers.
SPARE = 3
Weigh = Callable[[Radial], Float[Tensor, "rows paths*channels"]]


def weighted_convolution(
    paths: Paths,
    x: Sequence[Float[Tensor, "nodes components channels"]],
    harmonics: Float[Tensor, "edges harmonics"],
    weigh: Weigh,
    radial: Radial,
    graph: Graph,
    training: bool = False,
) -> list[Float[Tensor, "nodes components slots*channels"]]:
    """Return `fused_convolution` with the weights that ``weigh`` gives.

    The weights, and what is between them and the distances, are most of what a network needs memory for.
    Where edges are very many, the receivers are divided into `pieces`. In training, and if memory is scarce
    beside what the first of them keeps for derivatives (`SPARE`), what they compute on their edges is thrown
    away, to be computed once more when derivatives ask for it (Chen et al. 2016, arXiv 1604.06174): the same
    numbers, for half as much time again. Memory then goes with nodes · channels, and a few numbers for each
    edge.
    """
    if len(pieces(graph)) == 2:
        ends = graph.sender, graph.receiver, graph.num_nodes, radial.row
        return fused_convolution(paths, x, harmonics, weigh(radial), *ends)
    parts = list(_parts(graph, radial))
    rows = [part.rows for part in parts]
    edges = harmonics.split([len(part.sender) for part in parts])
    each = list(zip(parts, radial.values.split(rows), radial.envelope.split(rows), edges))
    found, scarce = [], True
    if not training:
        with kept_bytes(*x, radial.values, radial.envelope, harmonics) as kept:
            found = [_convolve(paths, each[0][0], weigh, *each[0][1:], *x)]
        whole = sum(kept.values()) * graph.num_edges / max(len(parts[0].sender), 1)
        scarce = SPARE * whole > free_memory(graph.device)
    again = partial(checkpoint, _convolve, use_reentrant=False, preserve_rng_state=False)
    for part, *own in each[len(found) :]:
        found.append((again if scarce else _convolve)(paths, part, weigh, *own, *x))
    return [torch.cat(blocks) for blocks in zip(*found)]


class _Part(NamedTuple):
    """The edges of some receivers that follow each other.

    Attributes:
        sender, receiver: of each edge; the receivers counted from the first of these.
        receivers: how many.
        row: of the functions of the distance, counted from the first of these; None where rows are edges.
        rows: how many.
    """

    sender: Int[Tensor, "edges"]
    receiver: Int[Tensor, "edges"]
    receivers: int
    row: Int[Tensor, "edges"] | None
    rows: int


def _parts(graph: Graph, radial: Radial) -> Iterator[_Part]:
    pointer, done = graph.row_pointer, 0
    for first, last in pairwise(pieces(graph)):
        begin, end = int(pointer[first]), int(pointer[last])
        row, rows = None, end - begin
        if radial.row is not None:
            row = radial.row[begin:end] - done
            rows = int(row.max()) + 1 if rows else 0
        done += rows
        yield _Part(graph.sender[begin:end], graph.receiver[begin:end] - first, last - first, row, rows)


def _convolve(
    paths: Paths, part: _Part, weigh: Weigh, values: Tensor, envelope: Tensor, harmonics: Tensor, *x: Tensor
) -> list[Tensor]:
    weights = weigh(Radial(values, envelope, part.row))
    return fused_convolution(
        paths, x, harmonics, weights, part.sender, part.receiver, part.receivers, part.row
    )
