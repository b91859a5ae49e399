"""Pair interactions whose messages become laws: a scalar along the line of centres.

Interaction networks after Battaglia et al. 2016 (arXiv 1612.00222); messages read as forces after Cranmer
et al. 2020 (arXiv 2006.11287). The radial form is equivariant by construction, so that one invariant
scalar is all that is left for a symbolic search to find.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.message_passing import Edges, MessagePassing
from sciml.nn.mlp import mlp
from sciml.physics.vectors import PAIR_INVARIANTS
from sciml.symmetry import Symmetry

Scale = Literal["log", "linear", "signed"]


class PairScalar(nn.Module):
    """A scalar f(r, p_i, p_j) of the distance and of the properties at both ends of an edge.

    Given ``invariants``, of those of `PAIR_INVARIANTS` instead of the distance alone.

    Inputs and output are standardized by statistics of the data (`fit`), so that one set of
    hyperparameters serves solar systems and springs.

    - ``output="log"``: ``f = tanh(s) · exp(offset + gain · u)``, one sign for all pairs and any number of
      decades; the network ``u`` sees logarithms.
    - ``output="linear"``: ``f = scale · u``, of either sign.
    - ``output="signed"``: ``f = u · exp(offset + gain · s)``, of either sign and any number of decades, with
      two networks u and s; s is also linear in the features, so that powers go on beyond the data.

    With ``symmetric``, ``u(i, j) = ½ (g(i, j) + g(j, i))``: action equals reaction exactly.
    """

    center: Tensor
    spread: Tensor
    offset: Tensor
    gain: Tensor
    sign: nn.Parameter

    def __init__(
        self,
        properties: Sequence[str],
        *,
        invariants: Sequence[str] = ("r",),
        symmetric: bool = True,
        output: Scale = "log",
        logarithmic: Sequence[str] = (),
        hidden: Sequence[int] = (16, 16),
        activation: str = "tanh",
    ) -> None:
        super().__init__()
        if output not in ("log", "linear", "signed"):
            raise ValueError(f"output must be 'log', 'linear' or 'signed', not {output!r}.")
        unknown = [name for name in invariants if name not in PAIR_INVARIANTS]
        if unknown:
            raise ValueError(f"unknown invariant {unknown[0]!r}; there are {', '.join(PAIR_INVARIANTS)}.")
        self.properties, self.invariants = tuple(properties), tuple(invariants)
        self.symmetric = symmetric
        self.output = output
        self.logarithmic = frozenset(logarithmic) | (set() if output == "linear" else {"r"})
        inputs = len(self.invariants) + 2 * len(self.properties)
        self.network = mlp(inputs, hidden, 2 if output == "signed" else 1, activation)
        columns = len(self.invariants) + len(self.properties)
        self.register_buffer("center", torch.zeros(columns))
        self.register_buffer("spread", torch.ones(columns))
        self.register_buffer("offset", torch.zeros(()))
        self.register_buffer("gain", torch.ones(()))
        if output == "log":
            self.sign = nn.Parameter(torch.tensor(0.5))
        if output == "signed":
            self.powers = nn.Linear(inputs, 1, bias=False)
            nn.init.zeros_(self.powers.weight)

    def features(self, edges: Edges) -> Float[Tensor, "edges columns"]:
        """Return the invariants, the receiver's properties and the sender's, logarithms where declared."""
        columns = [self._column(k, v) for k, v in pair_invariants(edges, self.invariants).items()]
        columns += [self._column(name, edges.receiver(name)) for name in self.properties]
        columns += [self._column(name, edges.sender(name)) for name in self.properties]
        return torch.stack(columns, dim=-1)

    def _column(self, name: str, value: Tensor) -> Tensor:
        return value.log() if name in self.logarithmic else value

    def standardize(self, x: Float[Tensor, "edges columns"]) -> Float[Tensor, "edges columns"]:
        """Shift and scale the features to order one; both ends of an edge alike."""
        n, k = len(self.invariants), len(self.properties)
        order = [*range(n), *range(n, n + k), *range(n, n + k)]
        return (x - self.center[order]) / self.spread[order]

    def of_features(self, x: Float[Tensor, "... columns"]) -> Float[Tensor, "..."]:
        """Return f for standardized features, one row or many."""
        found = self._outputs(x)
        if self.symmetric:
            n, k = len(self.invariants), len(self.properties)
            swapped = torch.cat([x[..., :n], x[..., n + k :], x[..., n : n + k]], dim=-1)
            found = 0.5 * (found + self._outputs(swapped))
        if self.output == "log":
            return torch.tanh(self.sign) * torch.exp(self.offset + self.gain * found[..., 0])
        if self.output == "signed":
            return found[..., 0] * torch.exp(self.offset + self.gain * found[..., 1])
        return self.gain * found[..., 0]

    def _outputs(self, x: Float[Tensor, "... columns"]) -> Float[Tensor, "... outputs"]:
        found = self.network(x)
        if self.output != "signed":
            return found
        return torch.cat([found[..., :1], found[..., 1:] + self.powers(x)], dim=-1)

    def forward(self, edges: Edges) -> Float[Tensor, "edges"]:
        """Return f on every edge."""
        return self.of_features(self.standardize(self.features(edges)))

    @torch.no_grad()
    def fit(self, graph: Graph, force: Float[Tensor, "nodes dim"]) -> None:
        """Take the statistics of the inputs from a graph, and size and sign of the output from ``force``.

        Args:
            graph: training data.
            force: total force on each node, as far as it is known.
        """
        edges = Edges(graph)
        magnitude = force.norm(dim=-1)
        x = self.features(edges)
        n, k = len(self.invariants), len(self.properties)
        both_ends = list(x[:, :n].unbind(1)) + [torch.cat([x[:, n + i], x[:, n + k + i]]) for i in range(k)]
        self.center.copy_(torch.stack([0.5 * (c.max() + c.min()) for c in both_ends]))
        self.spread.copy_(torch.stack([_half_range(c) for c in both_ends]))
        if self.output != "linear":
            log = magnitude[magnitude > 0].log()
            self.offset.copy_(log.mean())
            self.gain.copy_(2.0 * _spread(log).clamp(min=1.0))
        if self.output == "log":
            # A sign cannot change by descent through a force of zero: start on the side of the data.
            along = (force[graph.receiver] * directions(edges)).sum(-1) / magnitude[graph.receiver].clamp(
                min=1e-300
            )
            self.sign.copy_(torch.where(along.mean() < 0, -0.5, 0.5))
        if self.output == "linear":
            self.gain.copy_(magnitude.square().mean().sqrt().clamp(min=1e-30))


def _spread(column: Float[Tensor, "rows"]) -> Tensor:
    """Return the standard deviation, or one where a column does not vary."""
    spread = column.std(correction=0)
    return torch.where(spread > 1e-9 * (1 + column.abs().mean()), spread, torch.ones_like(spread))


def _half_range(column: Float[Tensor, "rows"]) -> Tensor:
    """Return half the range of a column, or one where it does not vary."""
    half = 0.5 * (column.max() - column.min())
    return torch.where(half > 1e-9 * (1 + column.abs().max()), half, torch.ones_like(half))


class FormulaScalar(nn.Module):
    """A formula in place of `PairScalar`: f(r, p_i, p_j) with its constants as parameters.

    Args:
        function: takes the pair variables (see `pair_variables`) and the constants by name.
        constants: starting values.
        properties: names of the node fields that the formula may use.
        invariants: names of the invariants that it may use.
    """

    def __init__(
        self,
        function: Callable[..., Tensor],
        constants: Mapping[str, float],
        properties: Sequence[str],
        invariants: Sequence[str] = ("r",),
    ) -> None:
        super().__init__()
        self.function = function
        self.properties, self.invariants = tuple(properties), tuple(invariants)
        self.constants = nn.ParameterDict(
            {
                name: nn.Parameter(torch.tensor(value, dtype=torch.float64))
                for name, value in constants.items()
            }
        )

    def forward(self, edges: Edges) -> Float[Tensor, "edges"]:
        """Return f on every edge."""
        variables = pair_variables(edges, self.properties, self.invariants)
        value = self.function(**variables, **dict(self.constants))
        return value.expand(edges.graph.num_edges)


class RadialForce(MessagePassing):
    """Forces along the lines of centres: message_ij = f(r_ij, p_i, p_j) · r̂_ij.

    ``r̂`` points from sender to receiver, so that ``f > 0`` repels. Writes the node field ``force``.
    """

    about = About(
        domain="particles",
        content="properties p_i, p_j",
        geometry="distance, and the line of centres",
        equation=r"F_i = \sum_j f(r_{ij}, p_i, p_j)\, \hat r_{ij}",
        cost="edges · network",
        source="Battaglia et al. 2016, arXiv 1612.00222",
    )
    symmetry = Symmetry(groups=("S", "T", "O"), output=Spec(irreps="1o"))
    scalar: PairScalar | FormulaScalar

    def __init__(self, scalar: PairScalar | FormulaScalar, unit: str = "") -> None:
        super().__init__()
        self.scalar = scalar
        self.unit = unit

    def message(self, edges: Edges) -> Float[Tensor, "edges dim"]:
        """Return the force that each sender exerts on its receiver."""
        return self.scalar(edges)[:, None] * directions(edges)

    def message_inputs(self, edges: Edges) -> dict[str, Tensor]:
        """Return distance, direction and the properties at both ends."""
        return pair_variables(edges, self.scalar.properties) | {"direction": directions(edges)}

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes dim"]) -> Graph:
        """Write the total force on each node."""
        return graph.with_nodes({"force": Spec(irreps="1o", unit=self.unit)}, force=aggregated)


SYMBOLS = {"mass": "m", "charge": "q"}


def pair_invariants(edges: Edges, names: Sequence[str]) -> dict[str, Float[Tensor, "edges"]]:
    """Return invariants of each pair (`PAIR_INVARIANTS`); all but the distance need ``velocity``."""
    d = edges.vectors()
    u = relative_velocity(edges) if set(names) - {"r"} else torch.zeros_like(d)
    return {name: d.norm(dim=-1) if name == "r" else PAIR_INVARIANTS[name](d, u) for name in names}


def relative_velocity(edges: Edges) -> Float[Tensor, "edges dim"]:
    """Return the velocity of each receiver seen from its sender.

    Raises:
        ValueError: no node field ``velocity``.
    """
    if "velocity" not in edges.graph.nodes:
        raise ValueError("Forces that depend on velocities need the node field 'velocity'.")
    return edges.receiver("velocity") - edges.sender("velocity")


def pair_variables(
    edges: Edges, properties: Sequence[str], invariants: Sequence[str] = ("r",)
) -> dict[str, Float[Tensor, "edges"]]:
    """Return the invariants of each pair as they are named in laws: r, m_i (receiver), m_j (sender), ...

    Properties go by the symbols of physics where they have one (`SYMBOLS`), otherwise by their names.
    """
    variables = pair_invariants(edges, invariants)
    for name in properties:
        symbol = SYMBOLS.get(name, name)
        variables[f"{symbol}_i"], variables[f"{symbol}_j"] = edges.receiver(name), edges.sender(name)
    return variables


def directions(edges: Edges) -> Float[Tensor, "edges dim"]:
    """Unit vectors from sender to receiver; zero, not NaN, where the two coincide."""
    vectors = edges.vectors()
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(vectors.dtype).tiny)
