"""Positional encodings that act on scores: what attention makes of *where* two nodes stand to each other.

Each gives every head a number for every edge, which is added to query · key / √width before the softmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod
from operator import mul

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sciml.nn.attention.fields import check_one_set, distances, read, vectors
from sciml.nn.message_passing import Edges
from sciml.nn.mlp import mlp
from sciml.nn.radial import gaussians

Queries = Float[Tensor, "nodes heads width"]
Scores = Float[Tensor, "edges heads"]


class ScoreBias(nn.Module):
    """What is added to the scores of each edge.

    Attributes:
        heads: of the attention that it serves.
        groups: what it keeps of the symmetries of space (names of `sciml.symmetry.GROUPS`); None where it
            reads no positions. All keep the permutations of nodes.
    """

    groups: tuple[str, ...] | None = None

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, edges: Edges, query: Queries) -> Scores:
        """Return a number for each edge and head; queries are those of the receivers."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(edges, query).")


class LabelBias(ScoreBias):
    """One number for each head and label of an edge: offsets in a window, hops in a molecule, bond types.

    With ``offset``, which grids have, this is relative attention as in Swin (Liu et al. 2021, arXiv
    2103.14030, equation 4); with ``hops``, of `sciml.builders.all_pairs`, Graphormer's spatial encoding
    (Ying et al. 2021, arXiv 2106.05234, equation 6). Keeps what the labels keep.

    Args:
        heads: of the attention.
        labels: how many there are; the Spec of the field says so as ``classes``.
        field: of the edges.
        key_width: width of the heads, to learn a key for each label as well, which is added to the
            sender's (Shaw et al. 2018, arXiv 1803.02155, equation 4); None: numbers only.
    """

    def __init__(
        self, heads: int, labels: int, field: str = "offset", *, key_width: int | None = None
    ) -> None:
        super().__init__(heads)
        self.labels, self.field = labels, field
        self.table = nn.Parameter(0.1 * torch.randn(labels, heads))
        self.keys = None if key_width is None else nn.Parameter(0.1 * torch.randn(labels, key_width))

    def label(self, edges: Edges) -> Int[Tensor, "edges"]:
        """Return the label of each edge.

        Raises:
            ValueError: no such field, one with another number of labels, one that holds no integers.
        """
        label = read(edges.graph, "edges", self.field, type(self).__name__)
        known = edges.graph.spec("edges", self.field).classes
        if label.is_floating_point() or label.ndim != 1 or known not in (None, self.labels):
            raise ValueError(
                f"{type(self).__name__} is for {self.labels} labels; edges.{self.field} has shape "
                f"{tuple(label.shape)}, dtype {label.dtype} and {known or 'unknown'} classes."
            )
        return label

    def forward(self, edges: Edges, query: Queries) -> Scores:
        """Return the number of each edge's label, and the query's product with the label's key."""
        label = self.label(edges)
        score = self.table[label]
        if self.keys is not None:
            products = query @ self.keys.mT / query.shape[-1] ** 0.5  # nodes heads labels
            score = score + products[edges.graph.receiver, :, label]
        return score


class OffsetBias(LabelBias):
    """The same by the offset from receiver to sender in whole steps of ``pos``, clipped along each axis.

    For sequences and for complete graphs on grids; keeps translations. Positions are rounded to whole
    steps, so that no derivative reaches them.

    Args:
        heads: of the attention.
        most: largest offset told apart, along each axis.
        spacing: length of one step, in the unit of ``pos``.
        key_width: see `LabelBias`.
    """

    groups = ("T",)
    radix: Tensor
    bound: Tensor

    def __init__(
        self, heads: int, most: Sequence[int], *, spacing: float = 1.0, key_width: int | None = None
    ) -> None:
        if not most or min(most) < 0 or not spacing > 0:
            raise ValueError(f"most {tuple(most)} must not be negative, and spacing {spacing} positive.")
        sizes = [2 * m + 1 for m in most]
        super().__init__(heads, prod(sizes), "pos", key_width=key_width)
        self.spacing = spacing
        self.register_buffer("bound", torch.tensor(most), persistent=False)
        self.register_buffer("radix", torch.tensor([1, *accumulate(sizes[:-1], mul)]), persistent=False)

    def label(self, edges: Edges) -> Int[Tensor, "edges"]:
        """Return the number of each edge's clipped offset.

        Raises:
            ValueError: no positions, or of another dimension.
        """
        steps = -vectors(edges.graph, type(self).__name__, len(self.bound)).detach() / self.spacing
        steps = steps.round().long()
        return ((torch.clamp(steps, -self.bound, self.bound) + self.bound) * self.radix).sum(-1)


class DistanceBias(ScoreBias):
    """A learned function of the distance, as a sum of Gaussians; keeps E(d).

    Args:
        heads: of the attention.
        extent: distance up to which it can tell distances apart, in the unit of ``pos``.
        count: number of Gaussians.
    """

    groups = ("T", "O")

    def __init__(self, heads: int, extent: float, count: int = 16) -> None:
        super().__init__(heads)
        self.extent, self.count = extent, count
        self.linear = nn.Linear(count, heads, bias=False)

    def forward(self, edges: Edges, query: Queries) -> Scores:
        """Return the function at each edge's distance."""
        distance = distances(vectors(edges.graph, type(self).__name__))
        return self.linear(gaussians(distance, self.count, self.extent))


class QuadraticBias(ScoreBias):
    """A parabola for each head, about an offset of its own: -α |δ - Δ|², δ from receiver to sender.

    The quadratic encoding of Cordonnier et al. 2020 (arXiv 1911.03584, equation 9, and a constant that the
    softmax does not see); with Δ on the points of a window and α large, heads become the places of a
    convolution (`sciml.nn.attention.as_attention`). Keeps translations.

    Args:
        heads: of the attention.
        dim: of space.
        spread: standard deviation of the centres Δ at the start, in the unit of ``pos``.
        sharpness: α at the start, in 1 / unit².
    """

    groups = ("T",)

    def __init__(self, heads: int, dim: int, spread: float = 1.0, sharpness: float = 1.0) -> None:
        super().__init__(heads)
        self.centre = nn.Parameter(spread * torch.randn(heads, dim))
        self.sharpness = nn.Parameter(torch.full((heads,), float(sharpness)))

    def forward(self, edges: Edges, query: Queries) -> Scores:
        """Return -α |δ - Δ|²."""
        offset = -vectors(edges.graph, type(self).__name__, self.centre.shape[1])
        return -self.sharpness * (offset[:, None] - self.centre).square().sum(-1)


class EdgeBias(ScoreBias):
    """A linear map of an edge field, as of bond features; keeps what the field keeps.

    Args:
        heads: of the attention.
        channels: of the field.
        field: of the edges.
    """

    def __init__(self, heads: int, channels: int, field: str = "x") -> None:
        super().__init__(heads)
        self.field = field
        self.linear = nn.Linear(channels, heads)

    def forward(self, edges: Edges, query: Queries) -> Scores:
        """Return the map of each edge's features."""
        width = self.linear.in_features
        return self.linear(read(edges.graph, "edges", self.field, type(self).__name__, width))


class SpectralBias(ScoreBias):
    """The entry of a learned function of the graph Laplacian, Σ_k f(λ_k) v_k(i) v_k(j).

    Signs of eigenvectors cancel, and so does the choice of a basis in a degenerate eigenspace: what is read
    are the projectors on eigenspaces, as in the basis-invariant networks of Lim et al. 2023 (arXiv
    2202.13013). Needs ``nodes["lowest_modes"]`` and ``globals["lowest_eigenvalues"]``, as
    `sciml.nn.with_modes` gives them.

    Args:
        heads: of the attention.
        hidden: widths of the network f.
    """

    def __init__(self, heads: int, hidden: Sequence[int] = (16,)) -> None:
        super().__init__(heads)
        self.function = mlp(1, hidden, heads)

    def forward(self, edges: Edges, query: Queries) -> Scores:
        """Return the entry of each edge."""
        graph = edges.graph
        check_one_set(graph, type(self).__name__)
        mode = read(graph, "nodes", "lowest_modes", type(self).__name__)
        eigenvalue = read(graph, "globals", "lowest_eigenvalues", type(self).__name__)
        gain = self.function(eigenvalue[..., None])  # graphs modes heads
        left = mode[..., None] * gain[graph.node_graph]  # nodes modes heads
        return torch.einsum(
            "ekh,ek->eh", left.index_select(0, graph.receiver), mode.index_select(0, graph.sender)
        )
