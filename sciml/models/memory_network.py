"""Particles that remember: a hidden number of each evolves along its path, and forces depend on it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sciml.graph import Graph
from sciml.models.interaction_network import HiddenProperties, InteractionNetwork
from sciml.nn.own_terms import FormulaOwnScalar, OwnScalar
from sciml.symmetry import Symmetry

MEMORY = "memory"  # the node field, and the name in laws (with _i and _j)


class MemoryNetwork(nn.Module):
    """Accelerations from pair forces that depend on a memory of each particle, with ds_i/dt = g(s_i, p_i).

    A graph is a whole simulation: the same particles at ``times`` times, edges between those of one time.
    Node fields: ``pos``, ``velocity``, ``time``, the label ``particle`` (any order of nodes is right), the
    given properties. The memory starts at the property ``start``, or at one, and is integrated along the
    observed times by the classical Runge-Kutta method; the interaction network then sees it as a property.
    That it starts at known values fixes what it means: without that, any function of it would do as well.

    Writes ``memory``, ``force`` and ``acceleration`` on the nodes.

    Args:
        dim: dimension of space.
        times: of each simulation.
        given: node fields that forces may depend on besides.
        start: property that the memory starts at; messages then see the memory in its place. None: one.
        reads: what the rate depends on besides the memory itself: given properties, and the invariants
            ``v`` and ``x`` of a node.
        rate_sizes: hidden layers of the rate.
        particles, **options: of `InteractionNetwork`.

    Raises:
        ValueError: fewer than two times.
    """

    def __init__(
        self,
        dim: int = 2,
        *,
        times: int,
        given: Sequence[str] = (),
        start: str | None = None,
        reads: Sequence[str] = (),
        rate_sizes: Sequence[int] = (8,),
        particles: int = 0,
        **options: Any,
    ) -> None:
        super().__init__()
        if times < 2:
            raise ValueError(f"times={times}: a memory needs at least two.")
        self.times, self.start = times, start
        others = [name for name in given if name != start]
        self.interaction = InteractionNetwork(dim, particles=particles, given=[*others, MEMORY], **options)
        invariants = [name for name in reads if name in ("v", "x")]
        properties = [name for name in reads if name not in invariants]
        self.rate: OwnScalar | FormulaOwnScalar = OwnScalar(
            invariants, [MEMORY, *properties], hidden=rate_sizes
        )

    @property
    def symmetry(self) -> Symmetry:
        """That of the interaction network; a rate that reads the place forgets translations."""
        groups = self.interaction.symmetry.groups
        return Symmetry(tuple(g for g in groups if g != "T" or "x" not in self.rate.invariants))

    @property
    def hidden(self) -> HiddenProperties:
        """The hidden properties of the interaction network."""
        return self.interaction.hidden

    @property
    def update(self) -> str:
        """How forces move particles, see `InteractionNetwork`."""
        return self.interaction.update

    def forward(self, graph: Graph) -> Graph:
        """Write memory, force and acceleration on the nodes."""
        return self.interaction(self.remember(graph))

    def remember(self, graph: Graph) -> Graph:
        """Write the memory on the nodes: its start, and what the rate has made of it until then."""
        order = self._order(graph)  # graphs times particles
        fields = {name: value.index_select(0, order.flatten()) for name, value in graph.nodes.items()}
        fields = {name: value.reshape(*order.shape, *value.shape[1:]) for name, value in fields.items()}
        first = fields[self.start][:, 0] if self.start else torch.ones_like(fields["time"][:, 0])
        steps, path = fields["time"].diff(dim=1), [first]
        for k in range(self.times - 1):
            before, after = ({name: value[:, j] for name, value in fields.items()} for j in (k, k + 1))
            path.append(self._step(path[-1], before, after, steps[:, k]))
        memory = torch.stack(path, dim=1).flatten()
        place = torch.empty_like(order.flatten()).scatter_(
            0, order.flatten(), torch.arange(len(memory), device=memory.device)
        )
        return graph.with_nodes({}, **{MEMORY: memory.index_select(0, place)})

    def _order(self, graph: Graph) -> Int[Tensor, "graphs times particles"]:
        """Return the nodes by graph, time and particle."""
        count = graph.num_nodes // max(graph.num_graphs * self.times, 1)
        order = torch.argsort(graph.nodes["time"], stable=True)
        for label in (graph.nodes["particle"], graph.node_graph):  # the last sorts first
            order = order.index_select(0, torch.argsort(label.index_select(0, order), stable=True))
        return order.reshape(graph.num_graphs, count, self.times).transpose(1, 2)

    def _step(
        self, s: Tensor, before: Mapping[str, Tensor], after: Mapping[str, Tensor], h: Tensor
    ) -> Float[Tensor, "graphs particles"]:
        """Return the memory one time later; what the rate reads is taken as linear in between."""
        middle = {k: 0.5 * (v + after[k]) if v.is_floating_point() else v for k, v in before.items()}
        a = self._rate(before, s)
        b = self._rate(middle, s + 0.5 * h * a)
        c = self._rate(middle, s + 0.5 * h * b)
        d = self._rate(after, s + h * c)
        return s + h / 6 * (a + 2 * b + 2 * c + d)

    def _rate(self, fields: Mapping[str, Tensor], s: Tensor) -> Float[Tensor, "graphs particles"]:
        nodes = {name: value.flatten(0, 1) for name, value in fields.items()} | {MEMORY: s.flatten()}
        return self.rate.of_nodes(nodes).reshape(s.shape)

    def with_formulas(
        self,
        force: tuple[Callable[..., Tensor], Mapping[str, float]],
        rate: tuple[Callable[..., Tensor], Mapping[str, float]],
    ) -> MemoryNetwork:
        """Return a copy in which formulas stand where the networks were: function and constants of each."""
        twin = copy.deepcopy(self)
        twin.interaction = self.interaction.with_formula(*force)
        twin.rate = FormulaOwnScalar(*rate, self.rate.properties, self.rate.invariants)
        return twin

    @torch.no_grad()
    def fit_statistics(self, graph: Graph) -> None:
        """Standardize by training data that carries the node field ``acceleration``."""
        start = graph.nodes[self.start] if self.start else torch.ones_like(graph.nodes["time"])
        seen = graph.with_nodes({}, **{MEMORY: start})
        span = (graph.nodes["time"].max() - graph.nodes["time"].min()).clamp(min=1e-30)
        if isinstance(self.rate, OwnScalar):
            self.rate.fit(seen, start.abs().mean() / span)
        self.interaction.fit_statistics(seen)
