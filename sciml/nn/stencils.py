"""Stencils learned on grids, whose moments say which derivatives they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations_with_replacement, product

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from sciml.graph import Graph, Grid, Spec, window
from sciml.nn.about import About
from sciml.nn.grid import check_channels, check_window, from_dense, pad, per_axis, to_dense, window_graph
from sciml.nn.message_passing import Edges, MessagePassing
from sciml.symmetry import Shifts, Symmetry

Powers = tuple[int, ...]


class StencilSum(MessagePassing):
    """A sum of stencils on products of channels: x_i' = b + Σ_j Σ_m W_m(offset_ij) f_m(x_j), f_m a monomial.

    A convolution whose content is nonlinear. By Taylor's theorem the stencil W on the monomial f acts as
    Σ_α a_α ∂^α f with the moments a_α = Σ_o W(o) (o dx)^α / α!, so what the layer has learned can be read as
    a partial differential equation. The parameters are the moments themselves, up to the order that the
    window holds, in units in which the grid step is one (Long et al., PDE-Net 2.0, arXiv 1812.04426,
    section 2.1); beyond a bounded border there are no senders.

    Args:
        channels: of the field.
        dim, kernel: of the grid, and points of the window along each axis (odd).
        degree: largest degree of a monomial.
        field, output: node fields that are read and written.
    """

    about = About(
        domain="grids in 1, 2 and 3 dimensions",
        content="monomials of x_j",
        geometry="relative offset, one matrix each, given by its moments",
        equation=r"x_i' = b + \sum_j \sum_m W_m(\mathrm{offset}_{ij})\, f_m(x_j)",
        cost="edges · monomials · channels",
        fused="conv1d, conv2d, conv3d",
        source="Long et al. (2019), arXiv 1812.04426, section 2",
    )
    symmetry = Symmetry((Shifts(),))
    basis: Tensor

    def __init__(
        self,
        channels: int,
        kernel: int | Sequence[int] = 5,
        *,
        dim: int = 1,
        degree: int = 3,
        field: str = "x",
        output: str = "rate",
    ) -> None:
        super().__init__()
        self.channels, self.dim, self.field, self.output = channels, dim, field, output
        self.kernel = per_axis(kernel, dim, "kernel")
        if min(self.kernel) < 1 or any(k % 2 == 0 for k in self.kernel):
            raise ValueError(f"kernel {self.kernel} must be odd along each axis: stencils have a centre.")
        if degree < 1 or channels < 1:
            raise ValueError(f"channels={channels} and degree={degree} must be at least 1.")
        self.offsets = window(self.kernel, dim)
        self.monomials = monomials(channels, degree)
        self.orders = tuple(product(*(range(k) for k in self.kernel)))
        self.moments = nn.Parameter(torch.zeros(channels, len(self.monomials), len(self.orders)))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("basis", stencil_basis(self.kernel))  # orders offsets

    @property
    def weight(self) -> Float[Tensor, "out monomials offsets"]:
        """The stencils: for each result and monomial a weight at each offset."""
        return self.moments @ self.basis

    def content(self, x: Float[Tensor, "nodes channels"]) -> Float[Tensor, "nodes monomials"]:
        """Return the monomials of the channels."""
        found: dict[Powers, Tensor] = {}
        for chosen in self.monomials:
            last = x[:, chosen[-1]]
            found[chosen] = found[chosen[:-1]] * last if len(chosen) > 1 else last
        return torch.stack(list(found.values()), dim=1)

    def forward(self, graph: Graph) -> Graph:
        """Apply the stencils to every grid of the batch; where there are no edges, by their windows."""
        check_channels(graph.nodes[self.field], self.channels, type(self).__name__, self.field)
        if self.fused and self._recording is None and isinstance(graph.layout, Grid):
            return self.finish(graph, from_dense(self.dense(graph)))
        edges = window_graph(graph, self.offsets, (1,) * self.dim, self.field, type(self).__name__)
        return self.finish(graph, super().forward(edges).nodes[self.output])

    def fused_forward(self, graph: Graph) -> Graph | None:
        """Return None: `forward` has decided already."""
        return None

    def message(self, edges: Edges) -> Float[Tensor, "edges out"]:
        """Return Σ_m W_m(offset) f_m(x_j)."""
        weight = self.weight.movedim(-1, 0)[edges["offset"]]  # edges out monomials
        return torch.einsum("eom,em->eo", weight, self.content(edges.sender(self.field)))

    def message_inputs(self, edges: Edges) -> dict[str, Tensor]:
        """Return the place in the window, and the channels of the sender."""
        value = edges.sender(self.field)
        return {"offset": edges["offset"]} | {f"x{c}": value[:, c] for c in range(self.channels)}

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes out"]) -> Graph:
        """Add b, and write the sum."""
        return graph.with_nodes({self.output: Spec()}, **{self.output: aggregated + self.bias})

    def finish(self, graph: Graph, value: Float[Tensor, "nodes out"]) -> Graph:
        """Put the result on the graph that came in."""
        return graph.with_nodes({self.output: graph.spec("nodes", self.field)}, **{self.output: value})

    def dense(self, graph: Graph) -> Float[Tensor, "graphs out *shape"]:
        """Return the result by torch's own convolution."""
        layout = graph.layout
        assert isinstance(layout, Grid)
        check_window(layout, self.offsets, type(self).__name__)
        half = [k // 2 for k in self.kernel]
        value = pad(
            to_dense(self.content(graph.nodes[self.field]), layout.shape), half, half, layout.periodic
        )
        convolve = (F.conv1d, F.conv2d, F.conv3d)[self.dim - 1]
        return convolve(value, self.weight.unflatten(-1, self.kernel), self.bias)


def monomials(channels: int, degree: int) -> tuple[Powers, ...]:
    """Return the products of up to ``degree`` channels, each as its channels in rising order."""
    return tuple(
        chosen
        for number in range(1, degree + 1)
        for chosen in combinations_with_replacement(range(channels), number)
    )


def stencil_basis(kernel: Sequence[int]) -> Float[Tensor, "orders offsets"]:
    """Return, for each derivative that a window can hold, the stencil that has this moment alone.

    Σ_o basis[α](o) o^β / β! = 1 where α = β, 0 for the other orders: the finite difference for ∂^α of
    highest accuracy, at a grid step of one.
    """
    axes = []
    for k in kernel:
        points = torch.arange(k, dtype=torch.float64) - k // 2
        powers = torch.stack([points**n / math.factorial(n) for n in range(k)])  # moment of each order
        axes.append(torch.linalg.inv(powers).T)  # orders, points
    basis = axes[0]
    for axis in axes[1:]:
        basis = torch.einsum("ap,bq->abpq", basis, axis).flatten(2).flatten(0, 1)
    return basis.to(torch.get_default_dtype())


def moments_of(weight: Float[Tensor, "... offsets"], kernel: Sequence[int]) -> Float[Tensor, "... orders"]:
    """Return Σ_o W(o) o^α / α! of stencils, for each order that the window can hold (a grid step of one)."""
    offsets = torch.tensor(window(tuple(kernel), len(kernel)), dtype=weight.dtype, device=weight.device)
    orders = torch.tensor(list(product(*(range(k) for k in kernel))), device=weight.device)
    powers = offsets[None] ** orders[:, None]  # orders offsets dim
    factorial = torch.exp(torch.lgamma(orders.to(weight.dtype) + 1)).prod(-1)
    return torch.einsum("...o,ao->...a", weight, powers.prod(-1)) / factorial
