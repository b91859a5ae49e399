"""Normal equations of a model's weighted residuals, for Levenberg–Marquardt.

Any model goes through forward-mode differentiation, one column per parameter. A network of scalars
along known vectors with fixed masses is linear in these, so its Jacobian is the per-edge gradient of each
scalar followed by the same sum over edges as in the forward pass: tens of times cheaper, and held to the
general path by a test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap

from sciml.graph import Graph
from sciml.models.interaction_network import InteractionNetwork
from sciml.models.memory_network import MemoryNetwork
from sciml.nn.interaction import SYMBOLS, FormulaScalar, PairScalar, RadialForce, directions, pair_variables
from sciml.nn.message_passing import Edges, segment_reduce
from sciml.nn.vector_force import VectorForce, pair_vectors
from sciml.training.levenberg_marquardt import Linearization


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that training moves, by name, in the order of `Module.parameters`."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def jacobian_by_columns(
    model: nn.Module, graph: Graph, field: str, chunk: int = 32, part: str = ""
) -> Float[Tensor, "nodes dim P"]:
    """Jacobian of a node field with respect to the trainable parameters, for any model.

    ``part``: only of those whose names begin so.
    """
    params = {name: p for name, p in trainable(model).items() if name.startswith(part)}
    shapes = {name: p.shape for name, p in params.items()}
    values = {name: p.detach() for name, p in params.items()}
    size = sum(p.numel() for p in values.values())

    def output(point: dict[str, Tensor]) -> Tensor:
        return functional_call(model, point, (graph,)).nodes[field]

    def column(direction: Float[Tensor, "P"]) -> Tensor:
        tangent, start = {}, 0
        for name, shape in shapes.items():
            tangent[name] = direction[start : start + shape.numel()].reshape(shape)
            start += shape.numel()
        return jvp(output, (values,), (tangent,))[1]

    first = next(iter(values.values()))
    basis = torch.eye(size, dtype=first.dtype, device=first.device)
    return vmap(column, out_dims=-1, chunk_size=chunk)(basis)


class PairJacobian:
    """The same Jacobian for an `InteractionNetwork` of scalars along known vectors, whose masses are fixed.

    Features, vectors and the pairing of opposite edges are computed once per graph.
    """

    def __init__(self, model: InteractionNetwork, graph: Graph) -> None:
        self.model = model
        self.graph = model.hidden(graph) if model.hidden.names else graph
        edges = Edges(self.graph)
        with torch.no_grad():
            self.blocks = [
                _Block(scalar, vectors / edges.receiver("mass")[:, None] if self._divides else vectors, edges)
                for scalar, vectors in _scalars(model, edges)
            ]

    @property
    def _divides(self) -> bool:
        return self.model.update == "force_over_mass"

    @staticmethod
    def serves(model: nn.Module) -> bool:
        """Whether a model has the form that this path needs."""
        if not isinstance(model, InteractionNetwork) or model.update not in ("force_over_mass", "force"):
            return False
        force = model.force
        scalars = (
            list(force.scalars.values())
            if isinstance(force, VectorForce)
            else [getattr(force, "scalar", None)]
        )
        fixed = not any(p.requires_grad for p in model.hidden.parameters())
        return fixed and all(isinstance(scalar, PairScalar) for scalar in scalars)

    def __call__(self) -> Float[Tensor, "nodes dim P"]:
        """Jacobian of the accelerations."""
        columns = [block() for block in self.blocks]
        if self.model.own_force is not None:
            # Forces of a particle's own add to those of its pairs, and come last among the parameters.
            own = jacobian_by_columns(_OwnForce(self.model.own_force), self.graph, "force")
            columns.append(own / self.graph.nodes["mass"][:, None, None] if self._divides else own)
        return torch.cat(columns, dim=-1)


class _Block:
    """The columns of one scalar: its gradient on every pair, along its vector, summed at the receivers."""

    def __init__(self, scalar: PairScalar, vectors: Float[Tensor, "edges dim"], edges: Edges) -> None:
        self.scalar, self.vectors, self.graph = scalar, vectors, edges.graph
        graph, features = edges.graph, scalar.standardize(scalar.features(edges))
        self.pair = torch.arange(graph.num_edges, device=graph.device)
        self.features = features
        if scalar.symmetric:
            # Action and reaction share one scalar, so opposite edges share one gradient.
            low, high = graph.edge_index.min(0).values, graph.edge_index.max(0).values
            _, self.pair = torch.unique(low * graph.num_nodes + high, return_inverse=True)
            first = torch.empty(int(self.pair.max()) + 1, dtype=torch.long, device=graph.device)
            first[self.pair] = torch.arange(graph.num_edges, device=graph.device)
            self.features = features[first]

    def gradients(self) -> Float[Tensor, "pairs P"]:
        """Gradient of the scalar of each pair of particles with respect to its parameters."""
        params = {name: p.detach() for name, p in trainable(self.scalar).items()}
        buffers = dict(self.scalar.named_buffers())

        def value(point: dict[str, Tensor], row: Tensor) -> Tensor:
            return functional_call(_OfFeatures(self.scalar), _prefixed(point | buffers), (row,))

        gradients = vmap(grad(value), in_dims=(None, 0))(params, self.features)
        return torch.cat([gradients[name].reshape(len(self.features), -1) for name in params], dim=1)

    def __call__(self) -> Float[Tensor, "nodes dim P"]:
        per_pair, graph = self.gradients(), self.graph
        columns = [
            segment_reduce(per_pair[self.pair] * axis[:, None], graph.receiver, graph.num_nodes)
            for axis in self.vectors.unbind(-1)
        ]
        return torch.stack(columns, dim=1)


def _scalars(model: InteractionNetwork, edges: Edges) -> Iterator[tuple[PairScalar, Tensor]]:
    """Yield the learned scalars of the pair forces, in the order of their parameters, and their vectors."""
    if isinstance(model.force, VectorForce):
        vectors = pair_vectors(edges, list(model.force.scalars))
        for name, scalar in model.force.scalars.items():
            yield scalar, vectors[name]  # type: ignore[misc]
    elif isinstance(model.force, RadialForce) and isinstance(model.force.scalar, PairScalar):
        yield model.force.scalar, directions(edges)


class _OwnForce(nn.Module):
    """Writes a force of each particle's own on the nodes, as models write theirs."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, graph: Graph) -> Graph:
        return graph.with_nodes({}, force=self.layer(graph))


class MemoryJacobian:
    """The same Jacobian for a `MemoryNetwork`: that of its pair forces, and by columns that of its rate."""

    def __init__(self, model: MemoryNetwork, graph: Graph) -> None:
        self.model, self.graph = model, graph

    @staticmethod
    def serves(model: nn.Module) -> bool:
        """Whether a model has the form that this path needs."""
        return isinstance(model, MemoryNetwork) and PairJacobian.serves(model.interaction)

    def __call__(self) -> Float[Tensor, "nodes dim P"]:
        """Jacobian of the accelerations."""
        with torch.no_grad():
            seen = self.model.remember(self.graph)
        rate = jacobian_by_columns(self.model, self.graph, "acceleration", part="rate.")
        return torch.cat([PairJacobian(self.model.interaction, seen)(), rate], dim=-1)


class FormulaJacobian:
    """The same Jacobian where a formula stands for the network, masses and constants moving together.

    A formula acts on every edge by itself, so one backward pass gives its derivatives by every constant
    and by the properties at both ends of every edge.
    """

    def __init__(self, model: InteractionNetwork, graph: Graph) -> None:
        if not isinstance(model.force.scalar, FormulaScalar):
            raise TypeError(f"expected a formula for the force, not {type(model.force.scalar).__name__}")
        self.model, self.graph, self.scalar = model, graph, model.force.scalar
        edges = Edges(graph)
        self.direction, self.distance = directions(edges), edges.vectors().norm(dim=-1)

    @staticmethod
    def serves(model: nn.Module) -> bool:
        """Whether a model has the form that this path needs."""
        return (
            isinstance(model, InteractionNetwork)
            and isinstance(model.force, RadialForce)
            and isinstance(model.force.scalar, FormulaScalar)
            and model.update in ("force_over_mass", "force")
            and (model.own_force is None or not model.hidden.names)
        )

    @torch.enable_grad()
    def __call__(self) -> Float[Tensor, "nodes dim P"]:
        """Jacobian of the accelerations."""
        model, scalar = self.model, self.scalar
        graph = model.hidden(self.graph) if model.hidden.names else self.graph
        variables = {
            name: value.detach().requires_grad_()
            for name, value in pair_variables(Edges(graph), scalar.properties).items()
        }
        constants = {
            name: value.detach().expand(graph.num_edges).clone().requires_grad_()
            for name, value in scalar.constants.items()
        }
        force = scalar.function(**variables, **constants).expand(graph.num_edges)
        inputs = variables | constants
        slopes = torch.autograd.grad(
            force.sum(), list(inputs.values()), allow_unused=True, materialize_grads=True
        )
        slope = dict(zip(inputs, slopes))
        push = self.direction
        if model.update == "force_over_mass":
            push = push / graph.nodes["mass"][graph.receiver][:, None]
        columns = []
        for name, parameter in trainable(model).items():
            key = name.rsplit(".", 1)[-1]
            if name.startswith("hidden."):
                columns.append(
                    self._hidden_columns(graph, key, slope, push, force.detach(), parameter.numel())
                )
            else:
                column = segment_reduce(slope[key][:, None] * push, graph.receiver, graph.num_nodes)
                columns.append(column[..., None])
        return torch.cat(columns, dim=-1)

    def _hidden_columns(
        self, graph: Graph, name: str, slope: dict[str, Tensor], push: Tensor, force: Tensor, particles: int
    ) -> Float[Tensor, "nodes dim particles"]:
        """Derivatives by a hidden property: through both ends of every force, and through the inertia."""
        symbol, label = SYMBOLS.get(name, name), graph.nodes["particle"]
        positive = name in self.model.hidden.positive
        at_receiver, at_sender = slope[f"{symbol}_i"], slope[f"{symbol}_j"]
        value = graph.nodes[name]
        if positive:  # held as a logarithm
            at_receiver, at_sender = at_receiver * value[graph.receiver], at_sender * value[graph.sender]
        if name == "mass" and self.model.update == "force_over_mass":
            at_receiver = at_receiver - (force if positive else force / value[graph.receiver])
        out = push.new_zeros((graph.num_nodes * particles, push.shape[1]))
        out.index_add_(0, graph.receiver * particles + label[graph.receiver], at_receiver[:, None] * push)
        out.index_add_(0, graph.receiver * particles + label[graph.sender], at_sender[:, None] * push)
        return out.reshape(graph.num_nodes, particles, -1).transpose(1, 2)


class _OfFeatures(nn.Module):
    """Gives `PairScalar.of_features` the name ``forward``, which `functional_call` asks for."""

    def __init__(self, scalar: nn.Module) -> None:
        super().__init__()
        self.scalar = scalar

    def forward(self, row: Tensor) -> Tensor:
        return self.scalar.of_features(row)  # type: ignore[operator]


def _prefixed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"scalar.{name}": value for name, value in tensors.items()}


def field_jacobian(model: nn.Module, graph: Graph, field: str) -> Callable[[], Float[Tensor, "nodes dim P"]]:
    """Return the cheapest way to the Jacobian of a node field at the model's current parameters."""
    if field == "acceleration":
        for path in (PairJacobian, MemoryJacobian, FormulaJacobian):
            if path.serves(model):
                return path(model, graph)  # type: ignore[arg-type]
    return lambda: jacobian_by_columns(model, graph, field)


class LeastSquares:
    """Weighted least squares of one node field: what Levenberg–Marquardt asks of a model and its data."""

    def __init__(self, model: nn.Module, graph: Graph, field: str, weights: Float[Tensor, "nodes"]) -> None:
        self.model, self.graph, self.field, self.weights = model, graph, field, weights
        self.jacobian = field_jacobian(model, graph, field)

    @torch.no_grad()
    def residual(self) -> Float[Tensor, "nodes dim"]:
        """Weighted difference of prediction and data."""
        error = self.model(self.graph).nodes[self.field] - self.graph.nodes[self.field]
        return error * self.weights[:, None]

    def cost(self) -> Float[Tensor, ""]:
        """Sum of squares."""
        return self.residual().square().sum()

    @torch.no_grad()
    def linearize(self) -> Linearization:
        """Normal equations at the current parameters."""
        jacobian = (self.jacobian() * self.weights[:, None, None]).flatten(0, 1)
        residual = self.residual().flatten()
        return Linearization(jacobian.T @ jacobian, jacobian.T @ residual, residual @ residual)
