"""Structures without labels as a teacher: which way were atoms moved, and which element is hidden?"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sciml.builders.atoms import ELEMENTS
from sciml.graph import Graph, Spec
from sciml.models.atom_encoder import AtomEncoder
from sciml.symmetry import Symmetry

HIDDEN = 0  # the element of an atom whose element is hidden


class Denoiser(nn.Module):
    """An encoder of atoms that tells noise from structure (Zaidi et al. 2022, arXiv 2206.00133).

    Positions x + σ n are given, and the model estimates n: near a minimum of the energy that is a force field
    up to a factor. Of some atoms the element is hidden, and estimated too.

    Args:
        channels, layers, radial, cutoff: of `AtomEncoder`.
        noise: σ in Å.
        hidden: share of the atoms whose element is hidden.

    Input: graphs of `atoms_graph` with this cutoff. Output: the graph with ``nodes["noise"]`` (nodes, 3) and
    ``nodes["elements"]`` (nodes, 119), logarithms of odds.

    Raises:
        ValueError: noise that is not positive, a share that is not between 0 and 1.
    """

    symmetry = Symmetry(("S", "T", "O"))

    def __init__(
        self,
        *,
        channels: int = 64,
        layers: int = 3,
        radial: int = 16,
        cutoff: float = 5.0,
        noise: float = 0.05,
        hidden: float = 0.15,
    ) -> None:
        super().__init__()
        if not (noise > 0 and 0 <= hidden < 1):
            raise ValueError(f"noise={noise}, hidden={hidden}: expected more than 0, and a share below 1.")
        self.noise, self.hidden, self.cutoff = noise, hidden, float(cutoff)
        self.encoder = AtomEncoder(channels, layers, radial, cutoff)
        self.arrow = nn.Linear(channels, 1, bias=False)
        self.element = nn.Linear(channels, ELEMENTS)

    def forward(self, graph: Graph) -> Graph:
        """Return the graph with what is estimated."""
        inner = self.encoder(graph)
        noise = self.arrow(inner.nodes["v"].transpose(1, 2))[..., 0]
        elements = self.element(inner.nodes["x"])
        return graph.with_nodes(
            {"noise": Spec("1o"), "elements": Spec(f"{ELEMENTS}x0e")}, noise=noise, elements=elements
        )

    def spoiled(
        self, graph: Graph, random: torch.Generator | None = None
    ) -> tuple[Graph, Float[Tensor, "nodes 3"], Bool[Tensor, "nodes"]]:
        """Return the graph with noise, the noise in units of σ, and which elements are hidden."""
        pos, number = graph.nodes["pos"], graph.nodes["number"]
        noise = torch.randn(pos.shape, generator=random, dtype=pos.dtype, device=pos.device)
        share = torch.rand(len(number), generator=random, device=pos.device)
        hidden = share < self.hidden
        spoiled = graph.with_nodes(
            None, pos=pos + self.noise * noise, number=torch.where(hidden, HIDDEN, number)
        )
        return spoiled, noise, hidden
