"""Pair forces that are slopes of a learned potential: energy is kept, whatever the network has learned."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import jvp

from sciml.graph import Graph
from sciml.nn.interaction import PairScalar
from sciml.nn.message_passing import Edges, segment_reduce


class PotentialScalar(PairScalar):
    """The slope f = -∂V/∂r of a learned potential V(r, p_i, p_j), in place of `PairScalar`.

    V is the network that `PairScalar` would use for the force (its scales ``output`` and arguments are the
    same). The slope is taken forwards, so that it can be differentiated again, as training does, and under
    ``torch.no_grad``. V is known up to a constant for each kind of pair, which no motion shows: `gauged` is
    zero at the middle of the distances that the statistics were taken from.
    """

    def of_features(self, x: Float[Tensor, "... columns"]) -> Float[Tensor, "..."]:
        """Return f = -∂V/∂r for standardized features."""
        first, rest = x[..., :1], x[..., 1:]

        def energy(first: Tensor) -> Tensor:
            return self.potential_of_features(torch.cat([first, rest], dim=-1))

        slope = jvp(energy, (first,), (torch.ones_like(first),))[1]
        distance = first[..., 0] * self.spread[0] + self.center[0]
        if "r" in self.logarithmic:
            distance, slope = distance.exp(), slope / distance.exp()
        return -slope / self.spread[0]

    def potential_of_features(self, x: Float[Tensor, "... columns"]) -> Float[Tensor, "..."]:
        """Return V for standardized features, up to a function of the properties."""
        return super().of_features(x)

    def gauged(self, edges: Edges) -> Float[Tensor, "edges"]:
        """Return V on every edge less its value at the middle distance."""
        x = self.standardize(self.features(edges))
        middle = torch.cat([torch.zeros_like(x[:, :1]), x[:, 1:]], dim=-1)
        return self.potential_of_features(x) - self.potential_of_features(middle)

    @torch.no_grad()
    def fit(self, graph: Graph, force: Float[Tensor, "nodes dim"]) -> None:
        """Take the statistics of the inputs, and an energy of the size of force times distance."""
        edges = Edges(graph)
        distance = edges.vectors().norm(dim=-1)
        nearest = torch.full_like(force[:, 0], torch.inf)
        nearest = nearest.scatter_reduce(0, graph.receiver, distance, "amin")
        reach = torch.where(nearest.isfinite(), nearest, torch.ones_like(nearest))
        super().fit(graph, force * reach[:, None])


def pair_energy(
    graph: Graph, potential: Callable[[Edges], Float[Tensor, "edges"]]
) -> Float[Tensor, "graphs"]:
    """Return the sum of a potential over all pairs of each graph, both directions of an edge counted once."""
    edges = Edges(graph)
    return 0.5 * segment_reduce(potential(edges), graph.edge_graph, graph.num_graphs)
