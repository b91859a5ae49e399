"""The interaction block of NequIP."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from sciml.graph import Graph
from sciml.nn.about import About
from sciml.nn.equivariant.convolution import SILU, TensorConvolution, field, normal_, with_features
from sciml.nn.equivariant.paths import Kind, kinds
from sciml.nn.equivariant.self_connection import SelfConnection

TANH = 1.5925374  # makes ⟨tanh(x)²⟩ = 1 for normal x


class NequIPLayer(TensorConvolution):
    """Convolution between linear maps, self-connection by element, and a gate.

        z_i = W₂ Σ_j w(r_ij) · (W₁ x_j ⊗ Y(r̂_ij)) + W(element of i) x_i

    after which scalars pass through silu (0e) or tanh (0o), and every other tensor is multiplied by silu of a
    scalar of its own (Batzner et al. 2022, arXiv 2101.03164, figure 1 and equations 5 to 8).

    Args:
        irreps, out, lmax, channels, radial, hidden, parity: of `TensorConvolution`.
        elements: how many are known; the node field ``element`` (nodes, elements) is 1 for the atom's own.
        neighbors: how many there are of an atom, typically; sums are divided by the root of it.

    The irreps that it gives are in ``out``.
    """

    about = About(
        domain="atoms, or any points in space",
        content="tensors x_j of any degree",
        geometry="spherical harmonics of the direction, weighted by a network on the distance",
        equation=r"x_i' = \mathrm{gate}\big(W_2 \textstyle\sum_j w(r_{ij})\,"
        r" (W_1 x_j \otimes Y(\hat r_{ij})) + W_{Z_i} x_i\big)",
        cost="edges · channels · (couplings + hidden · paths) + nodes · channels² · (paths + elements)",
        fused="gather, sparse product and scatter in one pass",
        source="Batzner et al. 2022, arXiv 2101.03164, figure 1",
    )

    def __init__(
        self,
        irreps: str | Sequence[Kind] = "0e+1o",
        out: str | Sequence[Kind] = "0e+1o",
        lmax: int = 1,
        channels: int = 64,
        elements: int = 4,
        radial: int = 8,
        hidden: Sequence[int] = (64, 64),
        neighbors: float = 12.0,
        parity: bool = True,
    ) -> None:
        super().__init__(irreps, out, lmax, channels, radial, hidden, parity)
        self.channels = channels
        self.out = self.paths.out
        gated = sum(kind.degree > 0 for kind in self.out)
        self.before = nn.ParameterList(
            normal_(torch.empty(channels, channels), channels) for _ in self.paths.left
        )
        widths = [channels * (1 + gated * (kind == kinds("0e")[0])) for kind in self.out]
        inputs = [self.paths.slots(o) * channels for o in range(len(self.out))]
        self.after = nn.ParameterList(
            normal_(torch.empty(n, width), n * neighbors) for n, width in zip(inputs, widths)
        )
        own = {kind: width for kind, width in zip(self.out, widths) if kind in self.paths.left}
        self.own = SelfConnection(channels, elements, own)

    def features(self, graph: Graph) -> list[Float[Tensor, "nodes components channels"]]:
        """Return W₁ x."""
        return [x @ weight for x, weight in zip(super().features(graph), self.before)]

    def combine(
        self, graph: Graph, blocks: Sequence[Float[Tensor, "nodes components slots*channels"]]
    ) -> Graph:
        """Return the graph with the new features."""
        mixed: dict[Kind, Tensor] = {}
        for kind, block, weight in zip(self.out, blocks, self.after):
            mixed[kind] = block @ weight
            if kind in self.paths.left:
                x = graph.nodes[field(kind)].transpose(1, 2)  # nodes components channels
                mixed[kind] = mixed[kind] + self.own(kind, x, graph.nodes["element"])
        return with_features(graph, self.paths.left, self.gated(mixed))

    def gated(self, mixed: dict[Kind, Tensor]) -> dict[Kind, Tensor]:
        """Return the features after the gate."""
        even = kinds("0e")[0]
        scalars, *gates = (SILU * F.silu(mixed[even])).split(self.channels, dim=2)
        given = iter(gates)
        found = {}
        for kind, x in mixed.items():
            if kind.degree:
                found[kind] = x * next(given)
            else:
                found[kind] = scalars if kind == even else TANH * torch.tanh(x)
        return found
