"""Convolution with wavelets, and its modulus, as message passing on a periodic grid."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from sciml.graph import Graph, Spec, window
from sciml.nn.about import About
from sciml.nn.grid import window_graph, with_field
from sciml.nn.message_passing import Edges, MessagePassing
from sciml.nn.scattering.modulus import EPSILON, smooth_modulus, smooth_norm
from sciml.symmetry import Shifts, Symmetry
from sciml.symmetry.grid import grid_layout


class WaveletConvolution(MessagePassing):
    """x_i' = |Σ_j ψ(i − j) x_j| for each wavelet ψ, at every ``step``-th point.

    Every point hears all points of its grid, which closes on itself. This is what a scattering transform is
    made of, written as its definition; `Scattering1d` and `Scattering2d` compute the same in frequency.

    Args:
        transfer: ψ̂ of each wavelet, see `sciml.nn.scattering.bank`.
        step: of the result's points.
        modulus: ``each``; or ``joint``, the norm over all wavelets; or ``none``, where filters are
            real, as low-passes are.
        epsilon: below which the modulus is smooth.
        field: (nodes, channels) becomes (nodes, channels × wavelets), or (nodes, channels) where joint.
    """

    about = About(
        domain="periodic grids in 1, 2 and 3 dimensions",
        content="x_j",
        geometry="relative offset, one complex number for each wavelet",
        equation=r"x_i' = \Big|\sum_j \psi(\mathrm{offset}_{ij})\, x_j\Big|",
        cost="nodes² · channels · wavelets",
        source="Bruna & Mallat 2013, arXiv 1203.1513",
    )
    needs_layout = True

    def __init__(
        self,
        transfer: Float[Tensor, "wavelets *shape"],
        step: int = 1,
        *,
        modulus: Literal["each", "joint", "none"] = "each",
        epsilon: float = EPSILON,
        field: str = "x",
    ) -> None:
        super().__init__()
        self.transfer, self.modulus, self.epsilon, self.field = transfer, modulus, epsilon, field
        self.shape = tuple(transfer.shape[1:])
        self.step = (step,) * len(self.shape)
        self.symmetry = Symmetry((Shifts(step),))

    @cached_property
    def offsets(self) -> tuple[tuple[int, ...], ...]:
        """The whole grid, as a window."""
        return window(self.shape, len(self.shape))

    def weights(self, like: Float[Tensor, "..."]) -> Shaped[Tensor, "places wavelets"]:
        """Return ψ(−offset) for every offset: its sender stands there, seen from the receiver."""
        space = torch.fft.ifftn(self.transfer, dim=tuple(range(1, self.transfer.ndim)))
        place = -torch.tensor(self.offsets).T  # dim places
        values = space[(slice(None), *place)].T
        if self.modulus == "none":
            return values.real.to(like)
        return values.to(like.device, like.dtype.to_complex())

    def forward(self, graph: Graph) -> Graph:
        """Convolve every grid of the batch.

        Raises:
            ValueError: a graph that is no periodic grid of the wavelets' shape.
        """
        layout = grid_layout(graph, type(self).__name__)
        if layout.shape != self.shape or not all(layout.periodic):
            raise ValueError(
                f"{type(self).__name__} has wavelets for a periodic grid {self.shape}; this one is "
                f"{layout.shape}, periodic {layout.periodic}."
            )
        edges = window_graph(graph, self.offsets, self.step, self.field, type(self).__name__)
        value = super().forward(edges).nodes[self.field]
        spec = Spec(f"{value.shape[1]}x0e")
        return with_field(graph, self.step, self.field, value, spec, type(self).__name__)

    def message(self, edges: Edges) -> Shaped[Tensor, "edges channels wavelets"]:
        """Return ψ(offset_ij) x_j."""
        x = edges.sender(self.field)
        return x[:, :, None] * self.weights(x)[edges["offset"]][:, None]

    def update(self, graph: Graph, aggregated: Shaped[Tensor, "nodes channels wavelets"]) -> Graph:
        """Take the modulus."""
        if self.modulus == "joint":
            value = smooth_norm(aggregated.flatten(0, 1), self.epsilon).unflatten(0, aggregated.shape[:2])
        else:
            each = self.modulus == "each"
            value = (smooth_modulus(aggregated, self.epsilon) if each else aggregated).flatten(1)
        return graph.with_nodes({self.field: Spec()}, **{self.field: value})
