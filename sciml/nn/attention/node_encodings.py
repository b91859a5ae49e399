"""Positional encodings at nodes: *where* a node stands, written into *what* is at it.

Each adds to the node field ``x``, of as many channels, before the first attention; all keep the permutations
of nodes, since they go by fields and not by the numbering.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.attention.fields import read
from sciml.nn.attention.rotary import frequencies
from sciml.nn.mlp import mlp
from sciml.symmetry import Symmetry


class NodeEncoding(nn.Module):
    """Adds a code of each node's place to its field; on a two-sided graph, to that of the receivers.

    Args:
        channels: of the field.
        field: of nodes, which is read and replaced.

    Attributes:
        groups: what it keeps of the symmetries of space; None where it reads no positions.
    """

    about: About
    groups: tuple[str, ...] | None = None
    symmetry = Symmetry(("S",))

    def __init__(self, channels: int, field: str = "x") -> None:
        super().__init__()
        self.channels, self.field = channels, field

    def code(self, graph: Graph) -> Float[Tensor, "nodes channels"]:
        """Return the code of each node's place."""
        raise NotImplementedError(f"{type(self).__name__} must define code(graph).")

    def forward(self, graph: Graph) -> Graph:
        """Add the code.

        Raises:
            ValueError: the field, or what the code is made from, is not there or of another width.
        """
        x = read(graph, "nodes", self.field, type(self).__name__, self.channels) + self.code(graph)
        return graph.with_nodes({self.field: Spec(f"{self.channels}x0e")}, **{self.field: x})


class SinusoidalEncoding(NodeEncoding):
    """Sines and cosines of the position, at frequencies in a geometric series; no parameters.

    In several dimensions each axis has its share of the channels. Keeps no symmetry of space: what depends
    on differences of positions only has to be learned.

    Args:
        channels: of the field; a multiple of 2 · dim.
        dim: of ``pos``.
        base, unit: see `Rotary`.
        field: see `NodeEncoding`.
    """

    about = About(
        domain="sequences, grids, points in space",
        content="x_i",
        geometry="position",
        equation=r"x_i' = x_i + (\sin \omega_k p_i, \cos \omega_k p_i)_k",
        cost="nodes · channels",
        source="Vaswani et al. 2017, arXiv 1706.03762, section 3.5",
    )
    groups = ()
    omega: Tensor

    def __init__(
        self, channels: int, dim: int = 1, base: float = 10_000.0, unit: float = 1.0, field: str = "x"
    ) -> None:
        super().__init__(channels, field)
        if dim < 1 or channels % (2 * dim):
            raise ValueError(
                f"SinusoidalEncoding in {dim} dimensions needs a multiple of {2 * dim} channels, not "
                f"{channels}."
            )
        self.dim = dim
        omega = (frequencies(channels // (2 * dim), base) / unit).float()
        self.register_buffer("omega", omega, persistent=False)

    def code(self, graph: Graph) -> Float[Tensor, "nodes channels"]:
        """Return sines, then cosines."""
        pos = read(graph, "nodes", "pos", type(self).__name__, self.dim)
        angle = (pos[:, :, None] * self.omega.to(pos.dtype)).flatten(1)
        return torch.cat([angle.sin(), angle.cos()], dim=-1)


class LearnedEncoding(NodeEncoding):
    """One learned vector for each index along each axis, summed over the axes.

    Args:
        channels: of the field.
        lengths: number of places along each axis of ``pos``, which counts from 0.
        spacing: of neighbouring places, in the unit of ``pos``.
        field: see `NodeEncoding`.
    """

    about = About(
        domain="sequences and grids of bounded size",
        content="x_i",
        geometry="index along each axis",
        equation=r"x_i' = x_i + \sum_a e^a_{p_i^a}",
        cost="nodes · channels",
        source="Gehring et al. 2017, arXiv 1705.03122, section 3.1",
    )
    groups = ()

    def __init__(
        self, channels: int, lengths: Sequence[int], *, spacing: float = 1.0, field: str = "x"
    ) -> None:
        super().__init__(channels, field)
        if not lengths or min(lengths) < 1 or not spacing > 0:
            raise ValueError(f"lengths {tuple(lengths)} must be at least 1, and spacing {spacing} positive.")
        self.spacing = spacing
        self.tables = nn.ParameterList(nn.Parameter(0.1 * torch.randn(n, channels)) for n in lengths)

    def code(self, graph: Graph) -> Float[Tensor, "nodes channels"]:
        """Return the sum of the vectors of each node's indices."""
        pos = read(graph, "nodes", "pos", type(self).__name__, len(self.tables))
        index = (pos.detach() / self.spacing).round().long()
        try:
            parts = [F.embedding(i, table) for i, table in zip(index.unbind(-1), self.tables)]
        except IndexError:
            lengths = [len(table) for table in self.tables]
            raise ValueError(
                f"LearnedEncoding has vectors for {lengths} places (from 0), but positions go from "
                f"{index.amin(0).tolist()} to {index.amax(0).tolist()}: give it larger lengths."
            ) from None
        return torch.stack(parts).sum(0)


class WalkEncoding(NodeEncoding):
    """A linear map of the probabilities that a random walk is back after 1, 2, ... steps.

    Tells a node its surroundings (rings, ends, hubs) and keeps every symmetry of the graph. Needs
    ``nodes["walks"]`` (`sciml.builders.with_walks`).

    Args:
        channels: of the field.
        steps: of the walks.
        field: see `NodeEncoding`.
    """

    about = About(
        domain="any graph",
        content="x_i",
        geometry="return probabilities of random walks",
        equation=r"x_i' = x_i + W \big((D^{-1}A)^t_{ii}\big)_{t=1,2,\dots}",
        cost="nodes · steps · channels",
        source="Dwivedi et al. 2022, arXiv 2110.07875 (random-walk encoding)",
    )

    def __init__(self, channels: int, steps: int = 16, field: str = "x") -> None:
        super().__init__(channels, field)
        self.linear = nn.Linear(steps, channels)

    def code(self, graph: Graph) -> Float[Tensor, "nodes channels"]:
        """Return the map of each node's probabilities."""
        walks = read(graph, "nodes", "walks", type(self).__name__, self.linear.in_features)
        return self.linear(walks)


class LaplacianEncoding(NodeEncoding):
    """Eigenvectors of the graph Laplacian, without their arbitrary signs: Σ_k φ(v_k, λ_k) + φ(-v_k, λ_k).

    φ acts node by node, so that it is told sizes |v_k(i)| but not whether two nodes swing together; that is
    in v_k(i) v_k(j), which `SpectralBias` gives to scores. By default it reads ``mode_sizes``
    (`sciml.nn.with_modes`), which in a degenerate eigenspace are the same for every choice of basis;
    with ``modes="lowest_modes"`` it reads eigenvectors as they come, and then a degenerate graph gets a code
    that depends on the basis that the eigensolver happened to find.

    Args:
        channels: of the field.
        hidden: widths of the network φ.
        modes: the node field that holds v.
        field: see `NodeEncoding`.
    """

    about = About(
        domain="any undirected graph",
        content="x_i",
        geometry="lowest eigenvectors of the Laplacian, up to sign and basis",
        equation=r"x_i' = x_i + \sum_k \phi(v_{ki}, \lambda_k) + \phi(-v_{ki}, \lambda_k)",
        cost="nodes · modes · network",
        source="Lim et al. 2023, arXiv 2202.13013 (SignNet)",
    )

    def __init__(
        self, channels: int, hidden: Sequence[int] = (16,), *, modes: str = "mode_sizes", field: str = "x"
    ) -> None:
        super().__init__(channels, field)
        self.modes = modes
        self.network = mlp(2, hidden, channels)

    def code(self, graph: Graph) -> Float[Tensor, "nodes channels"]:
        """Return the sum over modes."""
        v = read(graph, "nodes", self.modes, type(self).__name__)
        eigenvalue = read(graph, "globals", "lowest_eigenvalues", type(self).__name__, v.shape[-1])
        eigenvalue = eigenvalue[graph.node_graph]  # nodes modes
        both = [self.network(torch.stack([sign * v, eigenvalue], dim=-1)) for sign in (1, -1)]
        return (both[0] + both[1]).sum(1)
