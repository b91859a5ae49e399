"""Normal equations of a model's weighted residuals, for Levenberg–Marquardt.

Any model goes through forward-mode differentiation, one column per parameter. A network of radial forces
with fixed masses is linear in one scalar per edge, so its Jacobian is the per-edge gradient of that scalar
followed by the same sum over edges as in the forward pass: tens of times cheaper, and held to the general
path by a test.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap

from sciml.graph import Graph
from sciml.models.interaction_network import InteractionNetwork
from sciml.nn.interaction import PairScalar, RadialForce, directions
from sciml.nn.message_passing import Edges, segment_reduce
from sciml.training.levenberg_marquardt import Linearization


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that training moves, by name, in the order of `Module.parameters`."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def jacobian_by_columns(
    model: nn.Module, graph: Graph, field: str, chunk: int = 32
) -> Float[Tensor, "nodes dim P"]:
    """Jacobian of a node field with respect to all trainable parameters, for any model."""
    params = trainable(model)
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


class RadialJacobian:
    """The same Jacobian for an `InteractionNetwork` of radial forces whose masses are fixed.

    Features, directions and the pairing of opposite edges are computed once per graph.
    """

    def __init__(self, model: InteractionNetwork, graph: Graph) -> None:
        graph = model.hidden(graph) if model.hidden.names else graph
        self.graph, self.scalar = graph, model.force.scalar
        edges = Edges(graph)
        with torch.no_grad():
            features = self.scalar.standardize(self.scalar.features(edges))
            self.directions = directions(edges)
            if model.update == "force_over_mass":
                self.directions = self.directions / edges.receiver("mass")[:, None]
            if self.scalar.symmetric:
                # Action and reaction share one scalar, so opposite edges share one gradient.
                low, high = graph.edge_index.min(0).values, graph.edge_index.max(0).values
                _, self.pair = torch.unique(low * graph.num_nodes + high, return_inverse=True)
                first = torch.empty(int(self.pair.max()) + 1, dtype=torch.long, device=graph.device)
                first[self.pair] = torch.arange(graph.num_edges, device=graph.device)
                self.features = features[first]
            else:
                self.pair = torch.arange(graph.num_edges, device=graph.device)
                self.features = features

    @staticmethod
    def serves(model: nn.Module) -> bool:
        """Whether a model has the form that this path needs."""
        return (
            isinstance(model, InteractionNetwork)
            and isinstance(model.force, RadialForce)
            and isinstance(model.force.scalar, PairScalar)
            and model.update in ("force_over_mass", "force")
            and not any(p.requires_grad for p in model.hidden.parameters())
        )

    def scalar_gradients(self) -> Float[Tensor, "pairs P"]:
        """Gradient of the radial scalar of each pair of particles with respect to all parameters."""
        params = {name: p.detach() for name, p in trainable(self.scalar).items()}
        buffers = dict(self.scalar.named_buffers())

        def value(point: dict[str, Tensor], row: Tensor) -> Tensor:
            return functional_call(_OfFeatures(self.scalar), _prefixed(point | buffers), (row,))

        gradients = vmap(grad(value), in_dims=(None, 0))(params, self.features)
        return torch.cat([gradients[name].reshape(len(self.features), -1) for name in params], dim=1)

    def __call__(self) -> Float[Tensor, "nodes dim P"]:
        """Jacobian of the accelerations."""
        per_pair = self.scalar_gradients()
        columns = [
            segment_reduce(per_pair[self.pair] * axis[:, None], self.graph.receiver, self.graph.num_nodes)
            for axis in self.directions.unbind(-1)
        ]
        return torch.stack(columns, dim=1)


class _OfFeatures(nn.Module):
    """Gives `PairScalar.of_features` the name ``forward``, which `functional_call` asks for."""

    def __init__(self, scalar: nn.Module) -> None:
        super().__init__()
        self.scalar = scalar

    def forward(self, row: Tensor) -> Tensor:
        return self.scalar.of_features(row)  # type: ignore[operator]


def _prefixed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"scalar.{name}": value for name, value in tensors.items()}


class LeastSquares:
    """Weighted least squares of one node field: what Levenberg–Marquardt asks of a model and its data."""

    def __init__(self, model: nn.Module, graph: Graph, field: str, weights: Float[Tensor, "nodes"]) -> None:
        self.model, self.graph, self.field, self.weights = model, graph, field, weights
        self.fast = RadialJacobian(model, graph) if RadialJacobian.serves(model) else None  # type: ignore[arg-type]

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
        jacobian = self.fast() if self.fast else jacobian_by_columns(self.model, self.graph, self.field)
        jacobian = (jacobian * self.weights[:, None, None]).flatten(0, 1)
        residual = self.residual().flatten()
        return Linearization(jacobian.T @ jacobian, jacobian.T @ residual, residual @ residual)
