"""NequIP: an energy by tensors of any degree at atoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph
from sciml.models.tensor_potential import TensorPotential
from sciml.nn.equivariant import NequIPLayer
from sciml.nn.equivariant.convolution import normal_
from sciml.nn.equivariant.paths import features, kinds
from sciml.symmetry import Symmetry


class NequIP(TensorPotential):
    """Batzner et al. 2022, arXiv 2101.03164: features are tensors, mixed by products with harmonics.

    Args:
        channels: of each irrep.
        layers: interaction blocks; the last one gives scalars only.
        lmax: largest degree of features and harmonics, 0 to 5.
        parity: ``both`` parities of each degree, as in the paper; the ``natural`` one of harmonics only, at
            less than half of the cost; or ``none``, where mirror images may differ in energy.
        radial: Bessel functions of the distance.
        hidden: widths of the networks that make weights of them.
        neighbors: how many there are of an atom, typically.
        cutoff, scale, references, repulsion: of `Potential`, whose envelope at the cutoff it has.

    Raises:
        ValueError: an unknown parity, a degree that is negative or too large.
    """

    def __init__(
        self,
        channels: int = 64,
        layers: int = 5,
        lmax: int = 2,
        parity: str = "both",
        radial: int = 8,
        hidden: Sequence[int] = (64, 64),
        neighbors: float = 12.0,
        cutoff: float = 4.0,
        scale: float = 1.0,
        references: Mapping[str, float] | None = None,
        repulsion: str | None = None,
    ) -> None:
        super().__init__(
            channels, lmax, radial, cutoff=cutoff, scale=scale, references=references, repulsion=repulsion
        )
        self.mirror = parity != "none"
        if not self.mirror:
            self.symmetry = Symmetry(("S", "T", "SO"))
        wanted = [features(lmax, parity)] * (layers - 1) + [kinds("0e")]
        reached = kinds("0e")
        self.layers = nn.ModuleList()
        for out in wanted:
            elements = len(self.embedding)
            layer = NequIPLayer(
                reached, out, lmax, channels, elements, radial, hidden, neighbors, self.mirror
            )
            self.layers.append(layer)
            reached = layer.out
        self.readout = nn.Parameter(normal_(torch.empty(channels), channels))

    def atomic(self, graph: Graph) -> Float[Tensor, "nodes"]:
        """Return the output of each atom."""
        graph, radial = self.embedded(graph)
        for layer in self.layers:
            graph = layer(graph, radial)
        return graph.nodes["x0e"][:, :, 0] @ self.readout
