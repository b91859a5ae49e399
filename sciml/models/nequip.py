"""NequIP: an energy by tensors of any degree at atoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.builders.atoms import ELEMENTS
from sciml.graph import Graph, Spec
from sciml.models.potential import Potential
from sciml.nn.equivariant import NequIPLayer, harmonics
from sciml.nn.equivariant.convolution import normal_
from sciml.nn.equivariant.harmonics import harmonics_irreps
from sciml.nn.equivariant.paths import features, kinds
from sciml.nn.radial import bessel
from sciml.symmetry import Symmetry


class NequIP(Potential):
    """Batzner et al. 2022, arXiv 2101.03164: features are tensors, mixed by products with harmonics.

    Args:
        channels: of each irrep.
        layers: interaction blocks; the last one gives scalars only.
        lmax: largest degree of features and harmonics, 0 to 3.
        parity: ``both`` parities of each degree, as in the paper; the ``natural`` one of harmonics only, at
            less than half of the cost; or ``none``, where mirror images may differ in energy.
        radial: Bessel functions of the distance.
        hidden: widths of the networks that make weights of them.
        neighbors: how many there are of an atom, typically.
        cutoff, scale, references: of `Potential`. The envelope at the cutoff is that of `Potential`.

    Raises:
        ValueError: an unknown parity, a negative degree.
    """

    order: Tensor

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
    ) -> None:
        super().__init__(cutoff, scale, references)
        self.lmax, self.radial, self.mirror = lmax, radial, parity != "none"
        if not self.mirror:
            self.symmetry = Symmetry(("S", "T", "SO"))
        known = range(ELEMENTS) if self.references is None else sorted(self.references)
        self.register_buffer("order", _positions(list(known)), persistent=False)
        self.embedding = nn.Parameter(torch.randn(len(known), channels))
        wanted = [features(lmax, parity)] * (layers - 1) + [kinds("0e")]
        reached = kinds("0e")
        self.layers = nn.ModuleList()
        for out in wanted:
            layer = NequIPLayer(
                reached, out, lmax, channels, len(known), radial, hidden, neighbors, self.mirror
            )
            self.layers.append(layer)
            reached = layer.out
        self.readout = nn.Parameter(normal_(torch.empty(channels), channels))

    def atomic(self, graph: Graph) -> Float[Tensor, "nodes"]:
        """Return the output of each atom."""
        element = self.order.index_select(0, graph.nodes["number"])
        one_hot = torch.eye(len(self.embedding), dtype=self.embedding.dtype, device=self.embedding.device)
        graph = graph.with_nodes(
            {"x0e": Spec("0e")},
            x0e=self.embedding.index_select(0, element)[:, :, None],
            element=one_hot.index_select(0, element),
        ).with_edges(
            {"harmonics": Spec(harmonics_irreps(self.lmax, self.mirror))},
            harmonics=harmonics(graph.edges["direction"], self.lmax),
            radial=bessel(graph.edges["distance"], self.radial, self.cutoff),
        )
        for layer in self.layers:
            graph = layer(graph)
        return graph.nodes["x0e"][:, :, 0] @ self.readout


def _positions(numbers: list[int]) -> Tensor:
    """Return for each atomic number its place in the list; what is not there lies beyond the list."""
    order = torch.full((ELEMENTS,), len(numbers))
    order[numbers] = torch.arange(len(numbers))
    return order
