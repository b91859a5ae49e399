"""The interaction network: hidden properties, pair forces, and how forces move particles."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.models.force_layers import ForceOptions, force_layer, groups_of, own_layer
from sciml.nn.free_force import FreeForce, Regularizer
from sciml.nn.interaction import SYMBOLS, FormulaScalar, PairScalar, RadialForce, Scale
from sciml.nn.mlp import mlp
from sciml.nn.own_terms import FormulaOwnScalar, OwnTerms, own_invariants
from sciml.nn.potential_scalar import PotentialScalar, pair_energy
from sciml.nn.vector_force import VectorForce
from sciml.physics.vectors import VECTORS
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
        message: ``"radial"`` (scalar along the line of centres), ``"potential"`` (the slope of a learned
            potential along it), ``"vectors"`` (scalars of several invariants along several vectors, see
            `VectorForce`) or ``"free"`` (any vector).
        vectors, invariants: of ``"vectors"``; names in `sciml.physics.vectors`.
        third_law: build in that action equals reaction (all but free messages).
        update: ``"force_over_mass"``, ``"force"`` (the sum is the acceleration) or ``"learned"``; ``"auto"``
            divides by the mass where there is one.
        own_force: add learned forces of each particle by itself, along vectors that are named (drag
            ``v_vec``, gravity ``e_y``, a trap ``x_vec``, see `OwnTerms`). True: along its velocity, or any
            vector that depends on it where messages are free. Those of velocities read ``velocity``.
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
        message: Literal["radial", "potential", "vectors", "free"] = "radial",
        vectors: Sequence[str] = ("r_hat", "w_vec"),
        invariants: Sequence[str] = ("r", "w_r", "w_t"),
        third_law: bool = True,
        update: Update = "force_over_mass",
        own_force: bool | Sequence[str] = False,
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
        options = ForceOptions(
            dim, properties, tuple(logarithms), third_law, output, hidden_sizes, activation, vectors,
            invariants, message_size, regularizer, strength,
        )  # fmt: skip
        self.force: RadialForce | VectorForce | FreeForce = force_layer(message, options)
        if update == "force_over_mass" and "mass" not in properties:
            raise ValueError(
                "update='force_over_mass' needs a mass, given or hidden; or choose update='force'."
            )
        if update == "learned":
            self.node_update = mlp(dim + len(properties), hidden_sizes, dim, activation)
        self.own_force = own_layer(own_force, message == "free", dim, properties)
        self.properties = properties

    @property
    def symmetry(self) -> Symmetry:
        """Those of the forces; E(n) where they lie along lines of centres. A learned update forgets turns."""
        groups = groups_of(self.force, self.own_force)
        return Symmetry(groups=tuple(g for g in groups if self.update != "learned" or g in ("S", "T")))

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
        irreps = "1o" if {"O", "SO"} & set(self.symmetry.groups) else None
        return graph.with_nodes({"acceleration": Spec(irreps=irreps)}, acceleration=acceleration)

    def potential_energy(self, graph: Graph) -> Float[Tensor, "graphs"]:
        """Return the energy of all pairs of each graph, zero at the middle of the distances in the data.

        Raises:
            TypeError: messages that are not the slopes of a potential.
        """
        scalar = self.force.scalar if isinstance(self.force, RadialForce) else None
        if not isinstance(scalar, PotentialScalar):
            raise TypeError("only message='potential' has an energy; other messages are forces alone.")
        return pair_energy(self.hidden(graph) if self.hidden.names else graph, scalar.gauged)

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
        twin = self._for_formulas(hidden)
        if twin.own_force is not None:
            twin.own_force.requires_grad_(False)
        twin.force = RadialForce(FormulaScalar(function, constants, self.properties))
        return twin

    def with_terms(
        self,
        terms: Mapping[str, tuple[Callable[..., Tensor], Mapping[str, float]]],
        hidden: Mapping[str, Float[Tensor, "particles"]] | None = None,
    ) -> InteractionNetwork:
        """Return a copy in which formulas along vectors stand where the networks were.

        Args:
            terms: name of a vector (of pairs or nodes, see `VECTORS`) to the scalar that multiplies it: a
                function of the variables of pairs or nodes by name, and its constants. No others remain.
            hidden: values of hidden properties that go with them.
        """
        twin = self._for_formulas(hidden)
        known = self.force.scalars.values() if isinstance(self.force, VectorForce) else ()
        invariants = tuple(dict.fromkeys(["r", *(n for scalar in known for n in scalar.invariants)]))  # type: ignore[union-attr, misc]
        pairs = {k: v for k, v in terms.items() if VECTORS[k].place == "pair"}
        own = {k: v for k, v in terms.items() if k not in pairs}
        scalars = {
            name: FormulaScalar(function, constants, self.properties, invariants)
            for name, (function, constants) in pairs.items()
        }
        alone = {
            name: FormulaOwnScalar(function, constants, self.properties, own_invariants(name))
            for name, (function, constants) in own.items()
        }
        twin.force = VectorForce(self.dim, scalars)
        twin.own_force = OwnTerms(self.dim, alone) if alone else None
        return twin

    def _for_formulas(self, hidden: Mapping[str, Float[Tensor, "particles"]] | None) -> InteractionNetwork:
        twin = copy.deepcopy(self)
        if twin.update == "learned":  # it undid the freedom of messages, which a formula does not have
            twin.update = "force_over_mass" if "mass" in self.properties else "force"
        for name, values in (hidden or {}).items():
            twin.hidden.set(name, values)
        return twin

    def with_law(
        self, law: Any, hidden: Mapping[str, Float[Tensor, "particles"]] | None = None
    ) -> InteractionNetwork:
        """Return a copy in which a law stands where the network was, its constants as parameters.

        Args:
            law: a `sciml.distill.Law`, of one scalar along the line of centres or of terms.
            hidden: values of hidden properties that go with it.

        Raises:
            ValueError: a law of terms for kinds of particles, or of variables that the model does not have.
        """
        known = self._variables() | {f"{n}_i" for term in law.terms for n in own_invariants(term.vector)}
        known |= {str(term.symbol) for term in law.terms}
        unknown = {str(s) for s in law.expression.free_symbols} - known - set(law.constants)
        if unknown:
            raise ValueError(
                f"the law depends on {', '.join(sorted(unknown))}; the model has {', '.join(sorted(known))}"
            )
        if any(term.vector != "r_hat" or term.kinds for term in law.terms):
            scalars = {term.vector: law.scalar(term) for term in law.terms}
            if len(scalars) < len(law.terms) or any(term.kinds for term in law.terms):
                raise ValueError("a law with terms for kinds of particles: use sciml.distill.forces.Forces")
            return self.with_terms({k: (s.parametric, _values(s)) for k, s in scalars.items()}, hidden)
        return self.with_formula(law.parametric, _values(law), hidden)

    def _variables(self) -> set[str]:
        """Names of the variables that a formula in the model's place may have."""
        ends = {f"{SYMBOLS.get(name, name)}_{end}" for name in self.properties for end in "ij"}
        found = {"r", *ends}
        if isinstance(self.force, VectorForce):
            found |= {n for scalar in self.force.scalars.values() for n in scalar.invariants}  # type: ignore[union-attr]
        if isinstance(self.own_force, OwnTerms):
            found |= {f"{n}_i" for scalar in self.own_force.scalars.values() for n in scalar.invariants}  # type: ignore[union-attr]
        return found

    @torch.no_grad()
    def fit_statistics(self, graph: Graph) -> None:
        """Standardize by training data that carries the node field ``acceleration``."""
        graph = self.hidden(graph) if self.hidden.names else graph
        force = graph.nodes["acceleration"]
        if self.update == "force_over_mass":
            force = force * graph.nodes["mass"][:, None]
        if self.own_force is not None:
            self.own_force.fit(graph, force)
        if isinstance(self.force, FreeForce | VectorForce):
            self.force.fit(graph, force)
        elif isinstance(self.force.scalar, PairScalar):
            self.force.scalar.fit(graph, force)


def _values(law: Any) -> dict[str, float]:
    return {name: constant.value for name, constant in law.constants.items()}
