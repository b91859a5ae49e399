"""A network on grids whose stencils, once learned, are read as a partial differential equation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from sciml.graph import Graph
from sciml.nn.stencils import StencilSum


class FieldNetwork(nn.Module):
    """Rates of change of fields by learned stencils on products of the fields.

    One `StencilSum`: every rate is a sum of convolutions, each of one monomial of the fields, which together
    can express any equation ``u_t = Σ ∂^α f(u)`` with polynomials f (Burgers, Gray–Scott, Korteweg–de Vries,
    ...) up to the accuracy of the window, and nothing else.

    Args:
        channels: fields; from the data.
        dim: spatial axes; from the data.
        kernel: points of the window along each axis.
        degree: of the monomials.

    Returns graphs with ``nodes["rate"]`` of shape (nodes, channels), in units of the fields per time.
    """

    def __init__(self, channels: int, dim: int, kernel: int | Sequence[int] = 5, degree: int = 3) -> None:
        super().__init__()
        self.stencils = StencilSum(channels, kernel, dim=dim, degree=degree)
        self.stencils.to(torch.float64)
        self.symmetry = self.stencils.symmetry

    def forward(self, graph: Graph) -> Graph:
        """Predict rates of change from ``nodes["x"]``."""
        return self.stencils(graph)
