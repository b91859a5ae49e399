"""What potentials with tensors at atoms share: elements, harmonics and functions of the distance."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sciml.builders.atoms import ELEMENTS
from sciml.graph import Graph, Spec
from sciml.models.potential import Potential
from sciml.nn.equivariant import harmonics
from sciml.nn.equivariant.harmonics import harmonics_irreps
from sciml.nn.pairs import Radial, radial_functions
from sciml.nn.radial import bessel

LARGEST = 5  # degree; its products take LLVM half a minute


def check_degree(name: str, degree: int) -> None:
    """Raise ValueError where a degree is negative, or so large that its products would take for ever."""
    if not 0 <= degree <= LARGEST:
        raise ValueError(
            f"{name}={degree}; expected 0 to {LARGEST}. Published potentials have 3 at most: the number of "
            "products grows with the third power, and that of their terms faster."
        )


class TensorPotential(Potential):
    """A potential whose layers mix tensors by harmonics of directions and Bessel functions of distances.

    Subclasses define `layers` and `atomic`, which starts from `embedded`.

    Args:
        channels: of scalars at the start, which depend on the element.
        lmax: largest degree of the harmonics, 0 to 5.
        radial: Bessel functions of the distance.
        cutoff, scale, references, repulsion: of `Potential`. Without references all elements are known, each
            with weights of its own.

    Raises:
        ValueError: a degree that is negative or larger than 5.
    """

    order: Tensor
    layers: nn.ModuleList

    def __init__(
        self,
        channels: int,
        lmax: int,
        radial: int,
        *,
        cutoff: float,
        scale: float,
        references: Mapping[str, float] | None,
        repulsion: str | None,
    ) -> None:
        super().__init__(cutoff, scale, references, repulsion)
        check_degree("lmax", lmax)
        self.lmax, self.radial, self.mirror = lmax, radial, True
        known = list(range(ELEMENTS)) if self.references is None else sorted(self.references)
        order = torch.full((ELEMENTS,), len(known))  # what is not known lies beyond the embedding
        order[known] = torch.arange(len(known))
        self.register_buffer("order", order, persistent=False)
        self.embedding = nn.Parameter(torch.randn(len(known), channels))

    def embedded(self, graph: Graph) -> tuple[Graph, Radial | None]:
        """Return the graph with what the layers read, and functions of the distance."""
        element = self.order.index_select(0, graph.nodes["number"])
        one_hot = torch.eye(len(self.embedding), dtype=self.embedding.dtype, device=self.embedding.device)
        graph = graph.with_nodes(
            {"x0e": Spec("0e")},
            x0e=self.embedding.index_select(0, element)[:, :, None],
            element=one_hot.index_select(0, element),
        ).with_edges(
            {"harmonics": Spec(harmonics_irreps(self.lmax, self.mirror))},
            harmonics=harmonics(graph.edges["direction"], self.lmax),
        )
        basis = lambda distance: bessel(distance, self.radial, self.cutoff)
        return radial_functions(graph, basis, self.layers)
