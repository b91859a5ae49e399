"""Forces on each particle by itself along known vectors: drag, a magnetic field, gravity, a trap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph
from sciml.nn.interaction import SYMBOLS
from sciml.nn.mlp import mlp
from sciml.nn.vector_force import check_vectors, symmetry_along
from sciml.physics.vectors import NODE_INVARIANTS, VECTORS, dimension


class OwnScalar(nn.Module):
    """A learned scalar g(invariants, p) of a particle by itself; begins at zero.

    Args:
        invariants: of `NODE_INVARIANTS`: the speed ``v``, the distance from the origin ``x``.
        properties: node fields that it depends on besides.
        hidden, activation: of the network.
    """

    center: Tensor
    spread: Tensor
    size: Tensor

    def __init__(
        self,
        invariants: Sequence[str],
        properties: Sequence[str] = (),
        *,
        hidden: Sequence[int] = (16,),
        activation: str = "tanh",
    ) -> None:
        super().__init__()
        self.invariants, self.properties = tuple(invariants), tuple(properties)
        columns = len(self.invariants) + len(self.properties)
        self.network = mlp(max(columns, 1), hidden, 1, activation)
        with torch.no_grad():
            self.network[-1].weight.mul_(1e-2)  # type: ignore[operator, union-attr]
            self.network[-1].bias.zero_()  # type: ignore[operator, union-attr]
        self.register_buffer("center", torch.zeros(max(columns, 1)))
        self.register_buffer("spread", torch.ones(max(columns, 1)))
        self.register_buffer("size", torch.ones(()))

    def columns(self, nodes: Mapping[str, Tensor]) -> Float[Tensor, "nodes columns"]:
        """Return the inputs, one column of zeros if there are none."""
        values = list(node_variables(nodes, self.properties, self.invariants).values())
        return torch.stack(values or [torch.zeros_like(nodes["pos"][:, 0])], dim=-1)

    def of_nodes(self, nodes: Mapping[str, Tensor]) -> Float[Tensor, "nodes"]:
        """Return g for fields of nodes by name."""
        return self.size * self.network((self.columns(nodes) - self.center) / self.spread)[:, 0]

    def forward(self, graph: Graph) -> Float[Tensor, "nodes"]:
        """Return g on every particle."""
        return self.of_nodes(graph.nodes)

    @torch.no_grad()
    def fit(self, graph: Graph, size: Float[Tensor, ""]) -> None:
        """Take the statistics of the inputs from data, and the size of the output."""
        columns = self.columns(graph.nodes)
        spread = columns.std(0, correction=0)
        self.center.copy_(columns.mean(0))
        self.spread.copy_(
            torch.where(spread > 1e-9 * (1 + self.center.abs()), spread, torch.ones_like(spread))
        )
        self.size.copy_(size)


class FormulaOwnScalar(nn.Module):
    """A formula in place of `OwnScalar`, its constants as parameters, see `FormulaScalar`."""

    def __init__(
        self,
        function: Callable[..., Tensor],
        constants: Mapping[str, float],
        properties: Sequence[str],
        invariants: Sequence[str],
    ) -> None:
        super().__init__()
        self.function = function
        self.properties, self.invariants = tuple(properties), tuple(invariants)
        self.constants = nn.ParameterDict(
            {k: nn.Parameter(torch.tensor(v, dtype=torch.float64)) for k, v in constants.items()}
        )

    def of_nodes(self, nodes: Mapping[str, Tensor]) -> Float[Tensor, "nodes"]:
        """Return g for fields of nodes by name."""
        variables = node_variables(nodes, self.properties, self.invariants)
        return self.function(**variables, **dict(self.constants)).expand(len(nodes["pos"]))

    def forward(self, graph: Graph) -> Float[Tensor, "nodes"]:
        """Return g on every particle."""
        return self.of_nodes(graph.nodes)


class OwnTerms(nn.Module):
    """A force on a particle by itself along known vectors: F_i = Σ_k g_k(v or x, p_i) · b_k.

    The vectors are those of `sciml.physics.vectors.VECTORS` that nodes have: ``v_vec`` (drag), ``v_turned``
    and ``v_cross_z`` (a magnetic field), ``e_y`` (gravity), ``x_vec`` (a trap) and others. A scalar depends
    on the speed where its vector is made of the velocity, on the distance from the origin where it is made of
    the place, and on the properties.

    Args:
        dim: dimension of space.
        scalars: name of a vector to the scalar that multiplies it.

    Raises:
        ValueError: a vector that is unknown or does not exist in ``dim`` dimensions.
    """

    def __init__(self, dim: int, scalars: Mapping[str, OwnScalar | FormulaOwnScalar]) -> None:
        super().__init__()
        check_vectors(list(scalars), "node", dim)
        self.dim = dim
        self.scalars = nn.ModuleDict(dict(scalars))
        self.symmetry = symmetry_along(list(scalars), dim)

    @classmethod
    def learned(cls, dim: int, vectors: Sequence[str], properties: Sequence[str] = ()) -> OwnTerms:
        """Return learned forces along these vectors."""
        check_vectors(vectors, "node", dim)
        return cls(dim, {name: OwnScalar(own_invariants(name), properties) for name in vectors})

    def terms(self, graph: Graph) -> dict[str, tuple[Float[Tensor, "nodes"], Float[Tensor, "nodes dim"]]]:
        """Return scalar and vector of every term."""
        x, v = graph.nodes["pos"], _velocity(graph.nodes, [dimension(name) for name in self.scalars])
        return {name: (scalar(graph), VECTORS[name].of(x, v)) for name, scalar in self.scalars.items()}

    def forward(self, graph: Graph) -> Float[Tensor, "nodes dim"]:
        """Return the force on each particle."""
        total = torch.zeros_like(graph.nodes["pos"])
        for scalar, vector in self.terms(graph).values():
            total = total + scalar[:, None] * vector
        return total

    @torch.no_grad()
    def fit(self, graph: Graph, force: Float[Tensor, "nodes dim"]) -> None:
        """Take the statistics of the inputs from data, and a force of the usual size along each vector."""
        for name, (_, vector) in self.terms(graph).items():
            size = force.norm(dim=-1).median() / vector.square().sum(-1).mean().sqrt().clamp(min=1e-30)
            self.scalars[name].fit(graph, size.clamp(min=1e-30))  # type: ignore[operator]


def own_invariants(vector: str) -> tuple[str, ...]:
    """Return the invariants that the scalar of a node's vector depends on."""
    return {"speed": ("v",), "length": ("x",)}.get(dimension(vector), ())


def node_variables(
    nodes: Mapping[str, Tensor], properties: Sequence[str], invariants: Sequence[str]
) -> dict[str, Float[Tensor, "nodes"]]:
    """Return what a node's own forces depend on, named as in laws: v_i, x_i, m_i, q_i, ..."""
    x = nodes["pos"]
    v = _velocity(nodes, ["speed"] if "v" in invariants else [])
    found = {f"{name}_i": NODE_INVARIANTS[name](x, v) for name in invariants}
    return found | {f"{SYMBOLS.get(name, name)}_i": nodes[name] for name in properties}


def _velocity(nodes: Mapping[str, Tensor], kinds: Sequence[str]) -> Float[Tensor, "nodes dim"]:
    if "speed" not in kinds:
        return torch.zeros_like(nodes["pos"])
    if "velocity" not in nodes:
        raise ValueError("A force of each particle's own velocity needs the node field 'velocity'.")
    return nodes["velocity"]
