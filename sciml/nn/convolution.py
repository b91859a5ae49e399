"""Convolution and pooling on grids, as message passing with weights by relative offset."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from sciml.graph import Graph, Grid, Spec, window
from sciml.nn.about import About
from sciml.nn.grid import (
    check_channels,
    check_window,
    coarse_shape,
    from_dense,
    pad,
    per_axis,
    to_dense,
    window_graph,
    with_field,
)
from sciml.nn.message_passing import Edges, MessagePassing, segment_reduce
from sciml.symmetry import Shifts, Symmetry


class GridLayer(MessagePassing):
    """A layer whose edges are the same window around every (stride-th) point of a grid.

    Args:
        dim: of the grid, 1 to 3.
        kernel, stride, dilation: along each axis, or one for all.
        field: the node field that is read and replaced.
    """

    def __init__(
        self,
        dim: int,
        kernel: int | Sequence[int],
        stride: int | Sequence[int],
        dilation: int | Sequence[int],
        field: str,
    ) -> None:
        super().__init__()
        if dim not in (1, 2, 3):
            raise ValueError(f"Grids have 1, 2 or 3 axes, not dim={dim}.")
        self.dim, self.field = dim, field
        self.kernel = per_axis(kernel, dim, "kernel")
        self.stride = per_axis(stride, dim, "stride")
        self.dilation = per_axis(dilation, dim, "dilation")
        if min(*self.kernel, *self.stride, *self.dilation) < 1:
            raise ValueError(f"kernel {kernel}, stride {stride} and dilation {dilation} must be at least 1.")
        self.offsets = window(self.kernel, dim, self.dilation)
        self.needs_layout = set(self.stride) != {1}  # which points a stride takes is not in the edges
        self.symmetry = Symmetry((Shifts(math.lcm(*self.stride)),))

    def forward(self, graph: Graph) -> Graph:
        """Apply the layer to every grid of the batch."""
        if self.fused and self._recording is None and isinstance(graph.layout, Grid):
            return self.finish(graph, from_dense(self.dense(graph)))
        edges = window_graph(graph, self.offsets, self.stride, self.field, type(self).__name__)
        return self.finish(graph, super().forward(edges).nodes[self.field])

    def fused_forward(self, graph: Graph) -> Graph | None:
        """Return None: `forward` has decided already."""
        return None

    def dense(self, graph: Graph) -> Float[Tensor, "graphs channels *coarse"]:
        """Return the result by torch's own kernels."""
        raise NotImplementedError(f"{type(self).__name__} must define dense(graph).")

    def spec(self, graph: Graph) -> Spec:
        """Return what the result means."""
        return graph.spec("nodes", self.field)

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes channels"]) -> Graph:
        """Return the aggregated messages; `finish` puts them where they belong."""
        return graph.with_nodes({self.field: Spec()}, **{self.field: aggregated})

    def finish(self, graph: Graph, value: Float[Tensor, "nodes channels"]) -> Graph:
        """Put the result on the grid, the coarser one if there is a stride."""
        return with_field(graph, self.stride, self.field, value, self.spec(graph), type(self).__name__)

    def padded(self, graph: Graph, fill: float = 0.0) -> Float[Tensor, "graphs channels *padded"]:
        """Return the field as an array that goes on beyond the borders by half a window."""
        layout, before, after = self._margins(graph)
        return pad(to_dense(graph.nodes[self.field], layout.shape), before, after, layout.periodic, fill)

    def convolved(
        self, graph: Graph, weight: Float[Tensor, "out in *kernel"], bias: Float[Tensor, "out"] | None
    ) -> Float[Tensor, "graphs out *coarse"]:
        """Return the field convolved by torch's kernel, which pads bounded axes by itself where it can."""
        layout, before, after = self._margins(graph)
        even = [0 if closed or b != a else b for b, a, closed in zip(before, after, layout.periodic)]
        before, after = ([width - e for width, e in zip(widths, even)] for widths in (before, after))
        x = pad(to_dense(graph.nodes[self.field], layout.shape), before, after, layout.periodic)
        if self.dim == 1:  # conv1d has no kernel for channels-last
            x, weight = x[:, :, None], weight[:, :, None]
            return F.conv2d(x, weight, bias, (1, *self.stride), (0, *even), (1, *self.dilation))[:, :, 0]
        convolve = F.conv3d if self.dim == 3 else F.conv2d
        return convolve(x, weight, bias, self.stride, even, self.dilation)

    def _margins(self, graph: Graph) -> tuple[Grid, list[int], list[int]]:
        layout, name = graph.layout, type(self).__name__
        assert isinstance(layout, Grid)
        check_window(layout, self.offsets, name)
        coarse_shape(layout, self.stride, name)
        before = [(k - 1) // 2 * d for k, d in zip(self.kernel, self.dilation)]
        after = [k // 2 * d for k, d in zip(self.kernel, self.dilation)]
        return layout, before, after


class GridConvolution(GridLayer):
    """Convolution: x_i' = Σ_j W(offset_ij) x_j + b, one matrix for each place in the window.

    Content is x_j, geometry the relative offset: what moves with the image, and what stays. Beyond a
    bounded border there are no senders (zero padding). `torch.nn.functional.conv1d` and its kin are the
    fused path, with the same weights.

    Args:
        in_channels, out_channels: of the field.
        kernel, stride, dilation, dim, field: see `GridLayer`.
        bias: add b.
    """

    about = About(
        domain="grids in 1, 2 and 3 dimensions",
        content="x_j",
        geometry="relative offset, one matrix each",
        equation=r"x_i' = \sum_j W(\mathrm{offset}_{ij})\, x_j + b",
        cost="edges · in · out",
        fused="conv1d, conv2d, conv3d",
    )

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | Sequence[int] = 3,
        *,
        dim: int = 2,
        stride: int | Sequence[int] = 1,
        dilation: int | Sequence[int] = 1,
        bias: bool = True,
        field: str = "x",
    ) -> None:
        super().__init__(dim, kernel, stride, dilation, field)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *self.kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")

    def forward(self, graph: Graph) -> Graph:
        """Convolve every grid of the batch.

        Raises:
            ValueError: a field of other channels, a window larger than the grid, a stride that does not
                divide a periodic axis, a graph without layout whose edges are not this window.
        """
        check_channels(graph.nodes[self.field], self.in_channels, type(self).__name__, self.field)
        return super().forward(graph)

    def spec(self, graph: Graph) -> Spec:
        """Return scalars."""
        return Spec(f"{self.out_channels}x0e")

    def message(self, edges: Edges) -> Float[Tensor, "edges out"]:
        """Return W(offset_ij) x_j."""
        x = edges.sender(self.field)
        matrices = self.weight.flatten(2).movedim(2, 0)  # places out in
        return torch.einsum("eoi,ei->eo", matrices[edges["offset"]], x)

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes out"]) -> Graph:
        """Add the bias."""
        return super().update(graph, aggregated if self.bias is None else aggregated + self.bias)

    def dense(self, graph: Graph) -> Float[Tensor, "graphs out *coarse"]:
        """Convolve, channels last in memory."""
        return self.convolved(graph, self.weight, self.bias)


class GridPooling(GridLayer):
    """Maximum or mean over each window: local invariance, and a coarser grid.

    Args:
        kernel, stride, dim, field: see `GridLayer`; the stride is the kernel if None.
        kind: ``max`` or ``mean``. At bounded borders only the points within count.
    """

    about = About(
        domain="grids in 1, 2 and 3 dimensions",
        content="x_j",
        geometry="being in the window",
        equation=r"x_i' = \max_j x_j \ \text{or}\ \operatorname{mean}_j x_j",
        cost="edges · channels",
        fused="max_pool, avg_pool",
    )

    def __init__(
        self,
        kernel: int | Sequence[int] = 2,
        *,
        dim: int = 2,
        stride: int | Sequence[int] | None = None,
        kind: Literal["max", "mean"] = "max",
        field: str = "x",
    ) -> None:
        super().__init__(dim, kernel, kernel if stride is None else stride, 1, field)
        if kind not in ("max", "mean"):
            raise ValueError(f"Unknown pooling {kind!r}; choose max or mean.")
        self.reduction = kind

    def message(self, edges: Edges) -> Float[Tensor, "edges ..."]:
        """Return x_j."""
        return edges.sender(self.field)

    def dense(self, graph: Graph) -> Float[Tensor, "graphs channels *coarse"]:
        """Pool by torch's kernels; further axes of the field count as channels."""
        value = graph.nodes[self.field].flatten(1)
        flat = graph.with_nodes({self.field: Spec()}, **{self.field: value})
        if self.reduction == "max":
            pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[self.dim - 1]
            result = pool(self.padded(flat, -math.inf), self.kernel, self.stride)
        else:
            average = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[self.dim - 1]
            within = flat.with_nodes({self.field: Spec()}, **{self.field: torch.ones_like(value[:, :1])})
            share = average(self.padded(within), self.kernel, self.stride)
            result = average(self.padded(flat), self.kernel, self.stride) / share
        return result

    def finish(self, graph: Graph, value: Float[Tensor, "nodes ..."]) -> Graph:
        """Put the result on the coarser grid, with the axes that the field has."""
        return super().finish(graph, value.reshape(-1, *graph.nodes[self.field].shape[1:]))


class GlobalPooling(nn.Module):
    """Mean, maximum or sum over the nodes of each graph: global invariance.

    Args:
        kind: ``mean``, ``max`` or ``sum``.
        field: node field that is read; the graph-level field of the same name is written.
    """

    about = About(
        domain="any graph",
        content="x_i",
        geometry="none",
        equation=r"x = \operatorname{mean}_i x_i",
        cost="nodes · channels",
    )
    symmetry = Symmetry(("S",))

    def __init__(self, kind: Literal["mean", "max", "sum"] = "mean", field: str = "x") -> None:
        super().__init__()
        self.kind, self.field = kind, field

    def forward(self, graph: Graph) -> Graph:
        """Reduce over nodes."""
        value = segment_reduce(graph.nodes[self.field], graph.node_graph, graph.num_graphs, self.kind)
        return graph.with_globals({self.field: graph.spec("nodes", self.field)}, **{self.field: value})
