"""Fields on regular grids to graphs: signals, images, volumes, snapshots of a field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.graph import Graph, Grid, Place, Spec, window
from sciml.graph.fields import default_specs

T = TypeVar("T")


def grid_graph(
    values: Float[Tensor, "graphs channels *shape"],
    *,
    kernel: int | Sequence[int] | None = None,
    dilation: int | Sequence[int] = 1,
    periodic: bool | Sequence[bool] = False,
    spacing: float | Sequence[float] | None = None,
    name: str = "x",
    spec: Spec | None = None,
) -> Graph:
    """Build one graph per array: a node per grid point, the channels as a node field.

    Without a kernel the graph has no edges yet: layers on grids bring their own windows, and their fused
    paths need none. With one, each node hears all nodes in the window around it, and ``edges["offset"]``
    says from where in the window (see `sciml.graph.Grid`).

    Args:
        values: one to three spatial axes after graphs and channels.
        kernel: points of the window along each axis.
        dilation: steps between the points of the window.
        periodic: whether the grid closes on itself, along each axis.
        spacing: distance of neighbouring points, along each axis; adds the positions ``pos`` (and the
            ``cell`` and ``shift`` of a grid that is periodic and has edges).
        name, spec: of the node field.

    Raises:
        TypeError: values that are not a floating-point tensor.
        ValueError: a wrong number of axes, a grid without points, values that are not finite (the first
            is named), a window larger than the grid.
    """
    shape = _checked(values)
    dim = len(shape)
    closed = _each("periodic", periodic, dim)
    layout = Grid(shape, closed)
    if kernel is not None:
        sizes, steps = _each("kernel", kernel, dim), _each("dilation", dilation, dim)
        _check_window(shape, sizes, steps)
        layout = layout.with_window(window(sizes, dim, steps))
    edge_index, offset, edge_counts = layout.edges(len(values), values.device)
    nodes = {name: values.flatten(2).mT.flatten(0, 1)}  # (graphs points) channels
    edges = {} if kernel is None else {"offset": offset}
    cells: dict[str, Tensor] = {}
    if spacing is not None:
        step = values.new_tensor(_each("spacing", spacing, dim))
        axes = [torch.arange(n, dtype=values.dtype, device=values.device) for n in shape]
        nodes["pos"] = (torch.cartesian_prod(*axes).reshape(-1, dim) * step).repeat(len(values), 1)
        if edges and any(closed):
            extent = step * values.new_tensor(shape)
            vectors = -values.new_tensor(layout.offsets)[offset] * step  # from sender to receiver
            apart = nodes["pos"][edge_index[1]] - nodes["pos"][edge_index[0]]
            edges["shift"] = ((vectors - apart) / extent).round().long()
            cells["cell"] = torch.diag(extent).repeat(len(values), 1, 1)
    specs: dict[tuple[Place, str], Spec] = {("nodes", name): spec or Spec(f"{values.shape[1]}x0e")}
    if edges:
        specs["edges", "offset"] = Spec(classes=len(layout.offsets))
    return Graph(
        edge_index,
        nodes,
        edges,
        cells,
        node_counts=torch.full_like(edge_counts, layout.num_nodes),
        edge_counts=edge_counts,
        specs=default_specs({"nodes": nodes, "globals": cells}) | specs,
        layout=layout,
    )


def grid_values(graph: Graph, name: str = "x") -> Float[Tensor, "graphs channels *shape"]:
    """Return a node field of a grid as an array, as `grid_graph` took it.

    Raises:
        ValueError: the graph is not a grid, or no longer one (its nodes were renumbered).
    """
    layout = graph.layout if isinstance(graph.layout, Grid) else None
    if layout is None:
        raise ValueError("The graph has no grid layout; build it with sciml.builders.grid_graph.")
    return graph.nodes[name].unflatten(0, (-1, layout.num_nodes)).mT.unflatten(2, layout.shape)


# -------------------------------------------------------------------- details


def _checked(values: Tensor) -> tuple[int, ...]:
    if not isinstance(values, Tensor) or not values.is_floating_point():
        found = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise TypeError(f"Grid values must be a tensor of floats, not {found}: convert with .float().")
    shape = tuple(values.shape[2:])
    if not 1 <= len(shape) <= 3:
        raise ValueError(
            f"Grid values have shape {tuple(values.shape)}; expected (graphs, channels, *shape) with one to "
            "three spatial axes. Add the axes of graphs or channels with values[None]."
        )
    if 0 in shape:
        raise ValueError(f"Grid values of shape {tuple(values.shape)} have no grid points.")
    wrong = (~values.isfinite()).nonzero()
    if len(wrong):
        at = tuple(wrong[0].tolist())
        raise ValueError(
            f"Grid values hold {len(wrong)} that are not finite, the first at {at} (graph, channel, "
            f"*position): {float(values[at])}. Fill or mask them first."
        )
    return shape


def _each(what: str, value: T | Sequence[T], dim: int) -> tuple[T, ...]:
    """Return one value per axis."""
    each = tuple(value) if isinstance(value, Sequence) else (value,) * dim
    if len(each) != dim:
        raise ValueError(f"{what} has {len(each)} values, {each}, for a grid with {dim} axes.")
    return each


def _check_window(shape: tuple[int, ...], kernel: tuple[int, ...], dilation: tuple[int, ...]) -> None:
    for axis, (n, k, d) in enumerate(zip(shape, kernel, dilation)):
        if k < 1 or d < 1:
            raise ValueError(f"kernel {k} and dilation {d} along axis {axis} must be at least 1.")
        if (k - 1) * d + 1 > n:
            raise ValueError(
                f"A window of {(k - 1) * d + 1} points (kernel {k}, dilation {d}) is larger than the grid's "
                f"{n} along axis {axis}: take a smaller kernel or a finer grid."
            )
