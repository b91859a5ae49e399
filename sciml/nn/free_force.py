"""Messages that are any vector, and what keeps them few: after Cranmer et al. 2020 (arXiv 2006.11287)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.interaction import directions, pair_variables
from sciml.nn.message_passing import Edges, MessagePassing
from sciml.nn.mlp import mlp
from sciml.symmetry import Symmetry

Regularizer = Literal["none", "l1", "kl", "prune"]
QUIET = 1e-2  # part of the typical message below which a message counts as none
SWING = 2.0  # how far the network itself moves the logarithm of a message's scale
FIRST_SPREAD = 0.03  # of the noise on messages, relative to their size
PRUNED_BY = 0.6  # of the training: from then on, only the channels that stay


class FreeForce(MessagePassing):
    """Messages that are any vector of the displacement and the properties (Cranmer et al.'s models).

    ``message = exp(s) · u``: a network gives the vector u (``channels`` numbers) and the scale s, to which
    logarithms of distance and properties also contribute directly, so that any number of decades is in
    reach. What the network itself adds to s stays within ± 2: a scale that has sunk for one kind of pair, as
    charges that repel, has no gradient left by which these could be learned. Not equivariant under rotations.
    Sums are read out linearly, so that messages equal forces up to a linear map, which
    `sciml.distill.reduce` fixes. Writes the node field ``force`` (``dim`` numbers).

    What concentrates a hundred channels into the few that a force needs:

    - ``none``: nothing but weight decay (standard), or as few channels as dimensions (bottleneck).
    - ``l1``: the sum of the channels' sizes over that of the force read out, averaged over edges: the L1
      norm, in which a hundred close encounters do not outweigh all else. Rows of the read-out have length
      one, lest it take up any factor.
    - ``kl``: messages are random, u + σ ε with a learned σ for each channel, and their divergence from
      unit Gaussians is penalized; channels that carry nothing become noise, and are read out by nothing.
    - ``prune``: channels of least variance are taken away bit by bit while the network learns, down to
      ``dim`` (as SymTorch does).

    Args:
        dim: dimension of space.
        properties: node fields that messages depend on.
        channels: of a message; as many as dimensions if None.
        regularizer: see above.
        strength: factor on the penalty of ``l1`` and ``kl``.
        logarithmic: properties that the network sees as logarithms (positive ones).
        hidden, activation: of the network.
    """

    about = About(
        domain="particles",
        content="properties p_i, p_j",
        geometry="vector from sender to receiver",
        equation=r"F_i = W \sum_j f(r_{ij}\text{ as a vector}, p_i, p_j)",
        cost="edges · network",
        source="Cranmer et al. 2020, arXiv 2006.11287",
    )
    symmetry = Symmetry(groups=("S", "T"))
    length: Tensor
    center: Tensor
    spread: Tensor
    offset: Tensor
    mask: Tensor

    def __init__(
        self,
        dim: int,
        properties: Sequence[str] = (),
        *,
        channels: int | None = None,
        regularizer: Regularizer = "none",
        strength: float = 1.0,
        logarithmic: Sequence[str] = (),
        hidden: Sequence[int] = (64, 64),
        activation: str = "silu",
    ) -> None:
        super().__init__()
        if regularizer not in ("none", "l1", "kl", "prune"):
            raise ValueError(f"regularizer must be 'none', 'l1', 'kl' or 'prune', not {regularizer!r}.")
        self.dim, self.properties, self.regularizer, self.strength = (
            dim,
            tuple(properties),
            regularizer,
            strength,
        )
        self.channels = channels or dim
        if self.channels < dim:
            raise ValueError(f"{self.channels} channels cannot carry a force in {dim} dimensions.")
        self.logarithmic = frozenset(logarithmic)
        columns = 1 + 2 * len(self.properties)
        self.network = mlp(2 * dim + columns, hidden, self.channels + 1, activation)
        self.powers = nn.Linear(columns, 1, bias=False)
        self.readout = nn.Parameter(torch.empty(dim, self.channels))
        with torch.no_grad():
            # Channels begin silent: what no gradient asks for stays so.
            self.network[-1].weight.mul_(1e-2)  # type: ignore[operator, union-attr]
            self.network[-1].bias.zero_()  # type: ignore[operator, union-attr]
            self.powers.weight.zero_()
            nn.init.orthogonal_(self.readout)
        self.register_buffer("length", torch.ones(()))
        self.register_buffer("center", torch.zeros(columns))
        self.register_buffer("spread", torch.ones(columns))
        self.register_buffer("offset", torch.zeros(()))
        self.register_buffer("mask", torch.ones(self.channels))
        if regularizer == "kl":
            self.log_spread = nn.Parameter(torch.full((self.channels,), math.log(FIRST_SPREAD)))
        self._penalty: Tensor | None = None

    def columns(self, edges: Edges) -> Float[Tensor, "edges columns"]:
        """Return log r and the properties at both ends, logarithms where declared."""
        values = [edges.vectors().norm(dim=-1).clamp(min=1e-30).log()]
        for end in (edges.receiver, edges.sender):
            values += [end(name).log() if name in self.logarithmic else end(name) for name in self.properties]
        return torch.stack(values, dim=-1)

    def message(self, edges: Edges) -> Float[Tensor, "edges channels"]:
        """Return the message of each edge."""
        columns = (self.columns(edges) - self.center) / self.spread
        geometry = [directions(edges), edges.vectors() / self.length]
        found = self.network(torch.cat([*geometry, columns], dim=-1))
        u = found[:, :-1] * self.mask
        swing = SWING * (found[:, -1:] / SWING).tanh()
        scale = (self.offset + swing + self.powers(columns)).clamp(max=80.0).exp()
        if self.training and self.regularizer in ("l1", "kl"):
            self._penalty = self._of_sizes(u) if self.regularizer == "l1" else self._of_noise(u)
        if self.training and self.regularizer == "kl":
            u = u + self.log_spread.exp() * torch.randn_like(u)
        return scale * u

    def read(self, messages: Float[Tensor, "rows channels"]) -> Float[Tensor, "rows dim"]:
        """Return the force in messages or in their sums."""
        return messages @ self.directions_read().T

    def directions_read(self) -> Float[Tensor, "dim channels"]:
        """Return the read-out: for each component of the force, a direction among the channels."""
        return nn.functional.normalize(self.readout, dim=1)

    def _of_sizes(self, u: Float[Tensor, "edges channels"]) -> Float[Tensor, ""]:
        square = self.read(u).square().sum(-1)
        length = (square + QUIET**2 * square.detach().mean() + 1e-30).sqrt()
        return (u.abs().sum(-1) / length).mean()

    def _of_noise(self, u: Float[Tensor, "edges channels"]) -> Float[Tensor, ""]:
        variance = (2 * self.log_spread).exp()
        return 0.5 * (u.square().mean(0) + variance - 1 - 2 * self.log_spread).mean()

    def penalty(self) -> Tensor | float:
        """Return the penalty of the last messages in training, zero where there is none."""
        return 0.0 if self._penalty is None else self.strength * self._penalty

    @torch.no_grad()
    def advance(self, graph: Graph, progress: float) -> None:
        """Take away channels as the training goes on (``progress`` from 0 to 1): those of least variance."""
        if self.regularizer != "prune":
            return
        part = 0.5 * (1 + math.cos(math.pi * min(progress / PRUNED_BY, 1.0)))
        keep = self.dim + round((self.channels - self.dim) * part)
        if keep >= int(self.mask.sum()):
            return
        variance = self.message(Edges(graph)).var(dim=0)
        self.mask.zero_()
        self.mask[variance.argsort(descending=True)[:keep]] = 1.0

    def message_inputs(self, edges: Edges) -> dict[str, Tensor]:
        """Return distance, direction and the properties at both ends."""
        return pair_variables(edges, self.properties) | {"direction": directions(edges)}

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes channels"]) -> Graph:
        """Write the force that is read out of the sum of the messages at each node."""
        return graph.with_nodes({"force": Spec()}, force=self.read(aggregated))

    @torch.no_grad()
    def fit(self, graph: Graph, force: Float[Tensor, "nodes dim"]) -> None:
        """Take the scales of lengths, properties and messages from data.

        Args:
            graph: training data.
            force: total force on each node, as far as it is known.
        """
        columns = self.columns(Edges(graph))
        self.length.copy_(graph.edge_vectors().norm(dim=-1).mean())
        self.center.copy_(columns.mean(0))
        spread = columns.std(0, correction=0)
        self.spread.copy_(torch.where(spread > 1e-9, spread, torch.ones_like(spread)))
        size = force.norm(dim=-1)
        self.offset.copy_(size[size > 0].log().mean())


class OwnForce(nn.Module):
    """Any force on a particle by itself, of its velocity and properties (for known vectors, see `OwnTerms`).

    Begins at zero.
    """

    symmetry = Symmetry(groups=("S", "T"))

    size: Tensor
    speed: Tensor

    def __init__(
        self,
        dim: int,
        properties: Sequence[str] = (),
        *,
        hidden: Sequence[int] = (16,),
        activation: str = "tanh",
    ) -> None:
        super().__init__()
        self.properties = tuple(properties)
        self.network = mlp(dim + 1 + len(self.properties), hidden, dim, activation)
        with torch.no_grad():
            self.network[-1].weight.mul_(1e-2)  # type: ignore[operator, union-attr]
            self.network[-1].bias.zero_()  # type: ignore[operator, union-attr]
        self.register_buffer("speed", torch.ones(()))
        self.register_buffer("size", torch.ones(()))

    def forward(self, graph: Graph) -> Float[Tensor, "nodes dim"]:
        """Return the force on each particle."""
        if "velocity" not in graph.nodes:
            raise ValueError("A force of each particle's own velocity needs the node field 'velocity'.")
        v = graph.nodes["velocity"] / self.speed
        columns = [v, v.square().sum(-1, keepdim=True)]
        columns += [graph.nodes[name][:, None] for name in self.properties]
        return self.size * self.network(torch.cat(columns, dim=-1))

    @torch.no_grad()
    def fit(self, graph: Graph, force: Float[Tensor, "nodes dim"]) -> None:
        """Take the scales of velocities and forces from data."""
        self.speed.copy_(graph.nodes["velocity"].square().sum(-1).mean().sqrt().clamp(min=1e-30))
        self.size.copy_(force.norm(dim=-1).median().clamp(min=1e-30))
