"""The layer of MACE: a convolution, and products of its results among themselves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph
from sciml.nn.about import About
from sciml.nn.equivariant.convolution import TensorConvolution, field, normal_, with_features
from sciml.nn.equivariant.paths import Kind, features, kinds
from sciml.nn.equivariant.self_connection import SelfConnection
from sciml.nn.equivariant.symmetric_powers import SymmetricPowers


class MACELayer(TensorConvolution):
    """Convolution, polynomials of its result, and self-connection by element.

        A_i = W₂ Σ_j w(r_ij) · (W₁ x_j ⊗ Y(r̂_ij))
        x_i' = W₃ B(A_i, element of i) + W(element of i) x_i        B: `SymmetricPowers`

    A product of ν factors A_i is a sum over ν neighbours at a time: an interaction of ν + 1 bodies, at the
    cost of pairs (Batatia et al. 2022, arXiv 2206.07697, equations 8 to 12).

    Args:
        irreps: of the features that come in.
        out: of those that are given.
        lmax: of the harmonics, and of A_i.
        correlation: largest number of factors, 1 to 3.
        channels, radial, hidden: of `TensorConvolution`.
        elements, neighbors: of `NequIPLayer`; here sums are divided by ``neighbors`` itself.
    """

    about = About(
        domain="atoms, or any points in space",
        content="tensors x_j of any degree",
        geometry="spherical harmonics of the direction, weighted by a network on the distance",
        equation=r"x_i' = W_3 \textstyle\sum_{\nu} w^{\nu}_{Z_i} \cdot A_i^{\otimes \nu} + W_{Z_i} x_i, \quad"
        r" A_i = W_2 \sum_j w(r_{ij})\, (W_1 x_j \otimes Y(\hat r_{ij}))",
        cost="edges · channels · (couplings + hidden · paths) + nodes · channels · monomials · tensors",
        fused="gather, sparse product and scatter in one pass",
        source="Batatia et al. 2022, arXiv 2206.07697, equations 8 to 12",
    )

    def __init__(
        self,
        irreps: str | Sequence[Kind] = "0e+1o",
        out: str | Sequence[Kind] = "0e+1o",
        lmax: int = 3,
        correlation: int = 3,
        channels: int = 64,
        elements: int = 4,
        radial: int = 8,
        hidden: Sequence[int] = (64, 64, 64),
        neighbors: float = 12.0,
    ) -> None:
        super().__init__(irreps, features(lmax, "natural"), lmax, channels, radial, hidden)
        inner, self.out = self.paths.out, kinds(out)
        square = lambda: normal_(torch.empty(channels, channels), channels)
        self.before = nn.ParameterList(square() for _ in self.paths.left)
        self.after = nn.ParameterList(
            normal_(torch.empty(n * channels, channels), n * channels * neighbors**2)
            for n in map(self.paths.slots, range(len(inner)))
        )
        self.powers = SymmetricPowers(inner, self.out, correlation, channels, elements)
        self.mix = nn.ParameterList(square() for _ in self.out)
        widths = {kind: channels for kind in self.out if kind in self.paths.left}
        self.own = SelfConnection(channels, elements, widths)

    def features(self, graph: Graph) -> list[Float[Tensor, "nodes components channels"]]:
        """Return W₁ x."""
        return [x @ weight for x, weight in zip(super().features(graph), self.before)]

    def combine(
        self, graph: Graph, blocks: Sequence[Float[Tensor, "nodes components slots*channels"]]
    ) -> Graph:
        """Return the graph with the new features."""
        element = graph.nodes["element"]
        atoms = torch.cat([block @ weight for block, weight in zip(blocks, self.after)], dim=1)
        found: dict[Kind, Tensor] = {}
        for kind, tensor, weight in zip(self.out, self.powers(atoms, element), self.mix):
            found[kind] = tensor @ weight
            if kind in self.paths.left:
                x = graph.nodes[field(kind)].transpose(1, 2)  # nodes components channels
                found[kind] = found[kind] + self.own(kind, x, element)
        return with_features(graph, self.paths.left, found)
