"""The interaction network: hidden properties, pair forces, and how forces move particles."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.free_force import FreeForce, OwnForce, Regularizer
from sciml.nn.interaction import SYMBOLS, FormulaScalar, PairScalar, RadialForce, Scale
from sciml.nn.mlp import mlp
from sciml.symmetry import Symmetry

Update = Literal["auto", "force_over_mass", "force", "learned"]


class HiddenProperties(nn.Module):
    """One unknown number per particle and property, by the node label ``particle``.

    Positive properties (masses) are held as logarithms. ``trainable=False`` keeps them where they were
    put: a network that is still flexible would trade them against the law.
    """

    def __init__(
        self,
        particles: int,
        names: Sequence[str],
        *,
        positive: Sequence[str] = ("mass",),
        trainable: bool = False,
    ) -> None:
        super().__init__()
        self.names = tuple(names)
        self.positive = frozenset(positive)
        self.raw = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(particles), requires_grad=trainable) for name in self.names}
        )

        for name in self.names:
            self.register_buffer(f"{name}_error", torch.zeros(particles))

    @torch.no_grad()
    def set(
        self, name: str, values: Float[Tensor, "particles"], error: Float[Tensor, "particles"] | None = None
    ) -> None:
        """Give a property its values and their standard errors (zero if None).

        Raises:
            ValueError: wrong length, or a positive property that is not positive.
        """
        if values.shape != self.raw[name].shape:
            raise ValueError(
                f"{name} needs {tuple(self.raw[name].shape)} values, one per particle, "
                f"not {tuple(values.shape)}."
            )
        if name in self.positive and not (values > 0).all():
            where = int((~(values > 0)).nonzero()[0])
            raise ValueError(f"{name} of particle {where} is {float(values[where]):g}; it must be positive.")
        self.raw[name].copy_(values.log() if name in self.positive else values)
        getattr(self, f"{name}_error").copy_(torch.zeros_like(values) if error is None else error)

    def relative_error(self, name: str) -> Float[Tensor, "particles"]:
        """Return the standard error of a property over its value, as far as it was stated."""
        return getattr(self, f"{name}_error") / self.values(name).detach().abs().clamp(min=1e-300)

    def values(self, name: str) -> Float[Tensor, "particles"]:
        """Return a property of all particles."""
        return self.raw[name].exp() if name in self.positive else self.raw[name]

    def forward(self, graph: Graph) -> Graph:
        """Write each property on the nodes."""
        return graph.with_nodes(
            {}, **{name: self.values(name)[graph.nodes["particle"]] for name in self.names}
        )


class InteractionNetwork(nn.Module):
    """Accelerations of particles from learned pair forces.

    Reads ``pos`` (nodes, dim), the given properties, and the label ``particle`` where properties are
    hidden; writes ``force`` and ``acceleration`` (nodes, dim).

    Args:
        dim: dimension of space, 2 or 3.
        particles: number of particles; needed for hidden properties.
        given: names of node fields that messages may depend on.
        hidden: names of properties that are unknown.
        message: ``"radial"`` (scalar along the line of centres) or ``"free"`` (any vector).
        third_law: build in that action equals reaction (radial messages).
        update: ``"force_over_mass"``, ``"force"`` (the sum is the acceleration) or ``"learned"``; ``"auto"``
            divides by the mass where there is one.
        own_force: add a learned force of each particle's own velocity and properties (drag); along the
            velocity where messages are radial. Reads ``velocity``.
        message_size: channels of a free message; as many as dimensions if None.
        regularizer, strength: what keeps free messages few, see `FreeForce`.
        output: scale on which radial forces are learned, see `PairScalar`.
        logarithmic: properties that the network sees as logarithms (positive ones).
        train_hidden: let hidden properties move with the network.
    """

    def __init__(
        self,
        dim: int = 3,
        *,
        particles: int = 0,
        given: Sequence[str] = (),
        hidden: Sequence[str] = (),
        message: Literal["radial", "free"] = "radial",
        third_law: bool = True,
        update: Update = "force_over_mass",
        own_force: bool = False,
        message_size: int | None = None,
        regularizer: Regularizer = "none",
        strength: float = 1e-3,
        output: Scale = "log",
        logarithmic: Sequence[str] = ("mass",),
        hidden_sizes: Sequence[int] = (16, 16),
        activation: str = "tanh",
        train_hidden: bool = False,
    ) -> None:
        super().__init__()
        properties = (*given, *hidden)
        if update == "auto":
            update = "force_over_mass" if "mass" in properties else "force"
        self.dim, self.update = dim, update
        logarithms = [name for name in logarithmic if name in properties]
        self.hidden = HiddenProperties(particles, hidden, trainable=train_hidden)
        self.force: RadialForce | FreeForce
        if message == "radial":
            scalar = PairScalar(
                properties,
                symmetric=third_law,
                output=output,
                logarithmic=logarithms,
                hidden=hidden_sizes,
                activation=activation,
            )
            self.force = RadialForce(scalar)
        elif message == "free":
            self.force = FreeForce(
                dim,
                properties,
                channels=message_size,
                regularizer=regularizer,
                strength=strength,
                logarithmic=logarithms,
                hidden=hidden_sizes,
                activation=activation,
            )
        else:
            raise ValueError(f"message must be 'radial' or 'free', not {message!r}.")
        if update == "force_over_mass" and "mass" not in properties:
            raise ValueError(
                "update='force_over_mass' needs a mass, given or hidden; or choose update='force'."
            )
        if update == "learned":
            self.node_update = mlp(dim + len(properties), hidden_sizes, dim, activation)
        self.own_force = OwnForce(dim, properties, equivariant=message == "radial") if own_force else None
        self.properties = properties

    @property
    def symmetry(self) -> Symmetry:
        """E(n) where forces lie along lines of centres and nothing after them forgets it."""
        equivariant = isinstance(self.force, RadialForce) and self.update != "learned"
        return Symmetry(groups=("S", "T", "O") if equivariant else ("S", "T"))

    def forward(self, graph: Graph) -> Graph:
        """Write ``force`` and ``acceleration`` on the nodes."""
        graph = self.force(self.hidden(graph) if self.hidden.names else graph)
        force = graph.nodes["force"]
        if self.own_force is not None:
            force = force + self.own_force(graph)
        if self.update == "force_over_mass":
            acceleration = force / graph.nodes["mass"][:, None]
        elif self.update == "force":
            acceleration = force
        else:
            columns = [force, *(graph.nodes[name][:, None] for name in self.properties)]
            acceleration = self.node_update(torch.cat(columns, dim=-1))
        irreps = "1o" if "O" in self.symmetry.groups else None
        return graph.with_nodes({"acceleration": Spec(irreps=irreps)}, acceleration=acceleration)

    def penalty(self) -> Tensor | float:
        """Return what training adds to the loss: that of the last free messages, see `FreeForce`."""
        return self.force.penalty() if isinstance(self.force, FreeForce) else 0.0

    def advance(self, graph: Graph, progress: float) -> None:
        """Do what training does to a model as it goes on: prune free messages, see `FreeForce`."""
        if isinstance(self.force, FreeForce):
            self.force.advance(self.hidden(graph) if self.hidden.names else graph, progress)

    def with_formula(
        self,
        function: Callable[..., Tensor],
        constants: Mapping[str, float],
        hidden: Mapping[str, Float[Tensor, "particles"]] | None = None,
    ) -> InteractionNetwork:
        """Return a copy in which a formula stands where the network was (see `FormulaScalar`).

        A force of each particle's own stays as it was learned.
        """
        twin = copy.deepcopy(self)
        if twin.update == "learned":  # it undid the freedom of messages, which a formula does not have
            twin.update = "force_over_mass" if "mass" in self.properties else "force"
        if twin.own_force is not None:
            twin.own_force.requires_grad_(False)
        twin.force = RadialForce(FormulaScalar(function, constants, self.properties))
        for name, values in (hidden or {}).items():
            twin.hidden.set(name, values)
        return twin

    def with_law(
        self, law: Any, hidden: Mapping[str, Float[Tensor, "particles"]] | None = None
    ) -> InteractionNetwork:
        """Return a copy in which a law stands where the network was, its constants as parameters.

        Args:
            law: a `sciml.distill.Law` of one scalar along the line of centres.
            hidden: values of hidden properties that go with it.

        Raises:
            ValueError: a law of vectors, or one of variables that the model does not have.
        """
        function = law.parametric
        ends = {f"{SYMBOLS.get(name, name)}_{end}" for name in self.properties for end in "ij"}
        unknown = {str(s) for s in law.expression.free_symbols} - {"r", *ends, *law.constants}
        if unknown:
            known = ", ".join(sorted({"r", *ends}))
            raise ValueError(f"the law depends on {', '.join(sorted(unknown))}; the model has {known}")
        constants = {name: constant.value for name, constant in law.constants.items()}
        return self.with_formula(function, constants, hidden)

    @torch.no_grad()
    def fit_statistics(self, graph: Graph) -> None:
        """Standardize by training data that carries the node field ``acceleration``."""
        graph = self.hidden(graph) if self.hidden.names else graph
        force = graph.nodes["acceleration"]
        if self.update == "force_over_mass":
            force = force * graph.nodes["mass"][:, None]
        if self.own_force is not None:
            self.own_force.fit(graph, force)
        if isinstance(self.force, FreeForce):
            self.force.fit(graph, force)
        elif isinstance(self.force.scalar, PairScalar):
            self.force.scalar.fit(graph, force)
