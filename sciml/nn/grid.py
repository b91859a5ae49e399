"""What layers on grids share: their windows as edges, coarser grids, and dense views without copies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sciml.graph import Graph, Grid, Spec
from sciml.symmetry.grid import grid_layout

T = TypeVar("T")


def per_axis(value: T | Sequence[T], dim: int, what: str) -> tuple[T, ...]:
    """Return one value per axis.

    Raises:
        ValueError: another number of values.
    """
    values = tuple(value) if isinstance(value, Sequence) else (value,) * dim
    if len(values) != dim:
        raise ValueError(f"{what} {values} has {len(values)} values for {dim} axes.")
    return values


def check_channels(value: Tensor, channels: int, layer: str, field: str) -> None:
    """Raise ValueError unless the field has so many channels."""
    if value.ndim < 2 or value.shape[1] != channels:
        raise ValueError(
            f"{layer} takes {channels} channels; nodes.{field} has shape {tuple(value.shape)}, expected "
            f"(nodes, {channels})."
        )


def window_graph(
    graph: Graph, offsets: tuple[tuple[int, ...], ...], stride: tuple[int, ...], field: str, layer: str
) -> Graph:
    """Return the graph whose edges are the layer's windows, with the labels ``edges["offset"]``.

    A graph that has these edges already, or no layout, keeps its own. With a stride the result is
    two-sided: the fine grid sends, the coarse one receives.

    Raises:
        ValueError: no layout and no such edges, a window larger than the grid, a stride that does not
            divide a periodic axis.
    """
    own = graph.spec("edges", "offset").classes
    if not isinstance(graph.layout, Grid):
        if set(stride) != {1}:
            grid_layout(graph, f"{layer} with stride {stride}")
        if own != len(offsets):
            raise ValueError(
                f"{layer} has a window of {len(offsets)} points; the graph has no grid layout, and its edges "
                + (f"have {own} offsets." if own else "have no field `offset`.")
                + " Build it with sciml.builders.grid_graph and the layer's kernel."
            )
        return graph
    if graph.layout.offsets == offsets and set(stride) == {1}:
        return graph
    fine = graph.layout
    check_window(fine, offsets, layer)
    coarse = Grid(coarse_shape(fine, stride, layer), fine.periodic, offsets, stride, fine.shape)
    edge_index, label, edge_counts = coarse.edges(graph.num_graphs, graph.device)
    content = {field: graph.nodes[field]}
    number = torch.full_like(edge_counts, coarse.num_nodes)
    return graph.replace(
        edge_index=edge_index,
        nodes={field: graph.nodes[field].new_zeros(graph.num_graphs * coarse.num_nodes, 1)},
        senders=content,
        edges={"offset": label},
        node_counts=number,
        sender_counts=graph.node_counts,
        edge_counts=edge_counts,
        specs={("edges", "offset"): Spec(classes=len(offsets))},
        layout=coarse,
    )


def with_field(
    graph: Graph,
    stride: tuple[int, ...],
    field: str,
    value: Float[Tensor, "nodes ..."],
    spec: Spec,
    layer: str,
) -> Graph:
    """Return the graph with the layer's result, on the coarser grid if there is a stride.

    A coarser graph has no edges and keeps ``pos`` and the fields of graphs.
    """
    if set(stride) == {1}:
        return graph.with_nodes({field: spec}, **{field: value})
    fine = grid_layout(graph, layer)
    coarse = Grid(coarse_shape(fine, stride, layer), fine.periodic)
    nodes = {field: value}
    if "pos" in graph.nodes:
        pos = graph.nodes["pos"].unflatten(0, (-1, *fine.shape))
        nodes["pos"] = pos[(slice(None), *(slice(None, None, s) for s in stride))].flatten(0, fine.dim)
    counts = torch.full_like(graph.node_counts, coarse.num_nodes)
    specs = {key: s for key, s in graph.specs.items() if key[0] == "globals" or key == ("nodes", "pos")}
    return graph.replace(
        edge_index=graph.edge_index[:, :0],
        nodes=nodes,
        edges={},
        node_counts=counts,
        edge_counts=torch.zeros_like(counts),
        specs=specs | {("nodes", field): spec},
        layout=coarse,
    )


def coarse_shape(grid: Grid, stride: tuple[int, ...], layer: str) -> tuple[int, ...]:
    """Return how many steps of the stride begin on each axis.

    Raises:
        ValueError: the stride does not divide a periodic axis.
    """
    for axis, (n, s) in enumerate(zip(grid.shape, stride, strict=True)):
        if grid.periodic[axis] and n % s:
            raise ValueError(
                f"{layer}: stride {s} does not divide the {n} points of periodic axis {axis}: the windows "
                "would not close. Crop or resample the grid, or take periodic=False."
            )
    return tuple(-(-n // s) for n, s in zip(grid.shape, stride))


def check_window(grid: Grid, offsets: tuple[tuple[int, ...], ...], layer: str) -> None:
    """Raise ValueError where the window is larger than the grid, or of another dimension."""
    if len(offsets[0]) != grid.dim:
        raise ValueError(f"{layer} is for {len(offsets[0])} dimensions; the grid has {grid.dim}.")
    for axis, n in enumerate(grid.shape):
        steps = [o[axis] for o in offsets]
        extent = max(steps) - min(steps) + 1
        if extent > n:
            raise ValueError(
                f"{layer}: the window spans {extent} points along axis {axis}, where the grid has {n}: take "
                "a smaller kernel or dilation, or a finer grid."
            )


def to_dense(
    value: Float[Tensor, "nodes channels"], shape: tuple[int, ...]
) -> Float[Tensor, "graphs channels *shape"]:
    """View node values as an array, channels last in memory, as the nodes have them: no copy."""
    return value.unflatten(0, (-1, *shape)).movedim(-1, 1)


def from_dense(value: Float[Tensor, "graphs channels *shape"]) -> Float[Tensor, "nodes channels"]:
    """View an array as node values; no copy where channels are last in memory."""
    return value.movedim(1, -1).flatten(0, -2)


def pad(
    value: Float[Tensor, "graphs channels *shape"],
    before: Sequence[int],
    after: Sequence[int],
    periodic: Sequence[bool],
    fill: float = 0.0,
) -> Float[Tensor, "graphs channels *padded"]:
    """Continue an array beyond its borders, periodic axes by themselves and the others by ``fill``."""
    margins = list(zip(before, after, periodic, strict=True))
    around = tuple((b, a) if closed else (0, 0) for b, a, closed in margins)
    if any(map(any, around)):
        shape = tuple(value.shape[2:])
        index = _wrapped(shape, around, str(value.device))
        rows = torch.arange(len(value), device=value.device)[:, None] * prod(shape) + index
        padded = tuple(n + b + a for n, (b, a) in zip(shape, around))
        # Whole rows are copied once, forward and back: faster than joining slices along each axis.
        value = to_dense(from_dense(value).index_select(0, rows.flatten()), padded)
    flat = [width for b, a, closed in reversed(margins) for width in ((0, 0) if closed else (b, a))]
    return torch.nn.functional.pad(value, flat, value=fill) if any(flat) else value


@lru_cache(maxsize=64)
def _wrapped(
    shape: tuple[int, ...], around: tuple[tuple[int, int], ...], device: str
) -> Int[Tensor, "padded"]:
    """Return which point of a periodic grid stands at each point of the padded one."""
    index = torch.zeros(1, dtype=torch.long)
    for n, (before, after) in zip(shape, around):
        index = (index[:, None] * n + torch.arange(-before, n + after).remainder(n)).flatten()
    return index.to(device)
