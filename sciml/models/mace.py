"""MACE: an energy by products of many neighbours at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph
from sciml.models.tensor_potential import TensorPotential, check_degree
from sciml.nn.equivariant import MACELayer
from sciml.nn.equivariant.convolution import normal_
from sciml.nn.equivariant.paths import features, kinds


class MACE(TensorPotential):
    """Batatia et al. 2022, arXiv 2206.07697: few layers, each of them with interactions of many bodies.

    The energy of an atom is read out after every layer: linearly, and after the last one by a network.

    Args:
        channels: of each irrep.
        layers: two in the paper; the last one gives scalars only.
        lmax: largest degree of the harmonics, 0 to 5.
        degree: largest degree of the features that one layer hands to the next, 0 to 5.
        correlation: factors of the products, 1 to 3; interactions of one body more.
        radial: Bessel functions of the distance.
        hidden: widths of the networks that make weights of them.
        readout: width of the last readout.
        neighbors: how many there are of an atom, typically.
        cutoff, scale, references, repulsion: of `Potential`, whose envelope at the cutoff it has.

    Raises:
        ValueError: a degree that is negative or too large, a correlation that is not 1, 2 or 3.
    """

    def __init__(
        self,
        channels: int = 128,
        layers: int = 2,
        lmax: int = 3,
        degree: int = 1,
        correlation: int = 3,
        radial: int = 8,
        hidden: Sequence[int] = (64, 64, 64),
        readout: int = 16,
        neighbors: float = 12.0,
        cutoff: float = 5.0,
        scale: float = 1.0,
        references: Mapping[str, float] | None = None,
        repulsion: str | None = None,
    ) -> None:
        super().__init__(
            channels, lmax, radial, cutoff=cutoff, scale=scale, references=references, repulsion=repulsion
        )
        check_degree("degree", degree)
        scalars, reached = kinds("0e"), kinds("0e")
        self.layers = nn.ModuleList()
        for out in [features(degree, "natural")] * (layers - 1) + [scalars]:
            elements = len(self.embedding)
            layer = MACELayer(reached, out, lmax, correlation, channels, elements, radial, hidden, neighbors)
            self.layers.append(layer)
            reached = out
        self.readouts = nn.ModuleList(nn.Linear(channels, 1, bias=False) for _ in range(layers - 1))
        last = nn.Linear(channels, readout, bias=False), nn.SiLU(), nn.Linear(readout, 1, bias=False)
        self.readouts.append(nn.Sequential(*last))
        for module in self.readouts.modules():
            if isinstance(module, nn.Linear):
                normal_(module.weight, module.in_features)

    def atomic(self, graph: Graph) -> Float[Tensor, "nodes"]:
        """Return the output of each atom."""
        graph, radial = self.embedded(graph)
        found = []
        for layer, readout in zip(self.layers, self.readouts):
            graph = layer(graph, radial)
            found.append(readout(graph.nodes["x0e"][:, :, 0])[:, 0])
        return torch.stack(found).sum(0)
