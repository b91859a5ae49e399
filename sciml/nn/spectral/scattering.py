"""Scattering on graphs: cascades of diffusion wavelets and moduli, a description of signals without learning.

With the lazy diffusion T = (1 + D^-1/2 A D^-1/2)/2 = 1 - L/2, whose eigenvalues lie in [0, 1], the wavelets

    ψ_0 = 1 - T,   ψ_j = T^(2^(j-1)) - T^(2^j)  for j = 1 .. J-1,   and the low-pass  φ = T^(2^(J-1))

are differences of what is left after so many steps. They sum to one, and their squares to at most one: no
energy is gained, and at least the (J+1)-th part is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.message_passing import segment_reduce
from sciml.nn.spectral.laplacians import LaplacianLayer, laplacian
from sciml.nn.spectral.undirected import check_signal

Pooling = Literal["stationary", "moments"]


class DiffusionScattering(LaplacianLayer):
    """S x = pool of x, of |ψ_j x| and of |ψ_k |ψ_j x||, j < k: one row of features for each graph.

    The features do not depend on the numbering of nodes, change by O(ε) if weights of edges do, and are not
    learned; they are differentiable in x and in the weights.

    Args:
        scales: J, number of wavelets; the widest reaches 2^(J-1) steps along edges.
        order: most wavelets in a row, 0 to 2.
        pooling: ``stationary``: the sum of v_i y_i with v_i ∝ √degree_i of unit norm, to which diffusion
            tends (1 on isolated nodes); then Σ (S x)² ≤ ‖x‖². ``moments``: means of |y|^q over the nodes.
        moments: the q.
        weight, field: see `LaplacianLayer`; the field is ``(nodes, channels)``.
        output: graph-level field that is written, ``(graphs, channels, features)``; features are those of
            `paths`, one after the other, each with all its moments.
    """

    about = About(
        domain="undirected graphs",
        content="x_j, then moduli of wavelet coefficients",
        geometry="diffusion over 1, 2, 4, .. steps",
        equation=r"S x = \operatorname{pool}(x,\ |\psi_j x|,\ |\psi_k |\psi_j x||),\ "
        r"\psi_j = T^{2^{j-1}} - T^{2^j}",
        cost="2^(J-1) · edges · channels · (1 + J) for order 2",
        fused="sparse matrix products",
        source="Gama et al. 2019, arXiv 1806.08829; moments of Gao et al. 2019, arXiv 1810.03068",
    )

    def __init__(
        self,
        scales: int = 4,
        order: int = 2,
        *,
        pooling: Pooling = "stationary",
        moments: Sequence[int] = (1, 2, 3, 4),
        weight: str | None = None,
        field: str = "x",
        output: str = "scattering",
    ) -> None:
        super().__init__("symmetric", weight, field)
        if scales < 1 or order not in (0, 1, 2):
            raise ValueError(f"scales={scales} must be at least 1 and order={order} one of 0, 1, 2.")
        if pooling not in get_args(Pooling):
            raise ValueError(f"Unknown pooling {pooling!r}; choose {' or '.join(get_args(Pooling))}.")
        if pooling == "moments" and (not moments or min(moments) < 1):
            raise ValueError(f"moments {tuple(moments)} must be powers of at least 1.")
        self.scales, self.order, self.output = scales, order, output
        self.pooling, self.moments = pooling, tuple(moments)

    @property
    def paths(self) -> list[tuple[int, ...]]:
        """The scales of each coefficient: (), (0,), (1,), .. (0, 1), (0, 2), (1, 2), .."""
        single = [(j,) for j in range(self.scales)]
        double = [(j, k) for j in range(self.scales) for k in range(j + 1, self.scales)]
        return [(), *(single if self.order > 0 else []), *(double if self.order > 1 else [])]

    def fused_forward(self, graph: Graph) -> Graph | None:
        """Return None: `forward` has decided already."""
        return None

    def forward(self, graph: Graph) -> Graph:
        """Describe every graph of the batch.

        Raises:
            ValueError: a directed graph, negative weights, a field that is not (nodes, channels).
        """
        x = graph.nodes[self.field]
        check_signal(x, None, type(self).__name__, self.field)
        y = torch.stack(self.moduli(graph, x), dim=-1)  # nodes channels paths
        features = self.pool(graph, y)
        spec = Spec(f"{features.shape[-1]}x0e")
        return graph.with_globals({self.output: spec}, **{self.output: features})

    def moduli(
        self, graph: Graph, x: Float[Tensor, "nodes channels"]
    ) -> list[Float[Tensor, "nodes channels"]]:
        """Return x, |ψ_j x| and |ψ_k |ψ_j x|| in the order of `paths`."""
        diffuse = _diffusion(self.product(graph))
        found = [x]
        if self.order > 0:
            first = [w.abs() for w in _wavelets(diffuse, x, self.scales)[:-1]]
            found += first
        if self.order > 1 and self.scales > 1:
            together = torch.cat(first[:-1], dim=1)  # the last has no wider one to follow
            second = [w.abs().split(x.shape[1], dim=1) for w in _wavelets(diffuse, together, self.scales)]
            found += [second[k][j] for j in range(self.scales) for k in range(j + 1, self.scales)]
        return found

    def pool(
        self, graph: Graph, y: Float[Tensor, "nodes channels paths"]
    ) -> Float[Tensor, "graphs channels features"]:
        """Return one number for each graph, channel, path and moment."""
        of_node, graphs = graph.node_graph, graph.num_graphs
        if self.pooling == "moments":
            powers = torch.stack([y.abs() ** q for q in self.moments], dim=-1)
            return segment_reduce(powers.flatten(2), of_node, graphs, "mean")
        degree = laplacian(graph, "symmetric", self.weight, dtype=y.dtype).degree
        total = torch.where(degree > 0, degree, 1.0)  # any vector that diffusion leaves alone
        norm = segment_reduce(total, of_node, graphs)
        v = (total / norm[of_node]).sqrt()
        return segment_reduce(v[:, None, None] * y, of_node, graphs)


def diffusion_wavelets(
    graph: Graph, scales: int = 4, *, weight: str | None = None, field: str = "x"
) -> Float[Tensor, "nodes ... scales+1"]:
    """Return ψ_0 x, .. ψ_{J-1} x and the low-pass φ x of a node field, along a new last axis.

    They sum to x, and the sum of their squares is between ‖x‖²/(J+1) and ‖x‖².

    Raises:
        ValueError: a directed graph, negative weights, scales < 1.
    """
    if scales < 1:
        raise ValueError(f"scales={scales} must be at least 1.")
    x = graph.nodes[field]
    L = laplacian(graph, "symmetric", weight, dtype=x.dtype)
    return torch.stack(_wavelets(_diffusion(L.__matmul__), x, scales), dim=-1)


def scattering_features(
    graph: Graph, scales: int = 4, order: int = 2, **options: Any
) -> Float[Tensor, "graphs features"]:
    """Return the coefficients of `DiffusionScattering` as one row for each graph, for any classifier.

    Args:
        graph: a batch of graphs.
        scales, order, options: of `DiffusionScattering`.
    """
    layer = DiffusionScattering(scales, order, **options)
    return layer(graph).globals[layer.output].flatten(1)


# -------------------------------------------------------------------- details


def _diffusion(product: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return x ↦ T x = x - L x / 2."""
    return lambda x: x - product(x) / 2


def _wavelets(diffuse: Callable[[Tensor], Tensor], x: Tensor, scales: int) -> list[Tensor]:
    """Return ψ_j x for every scale, then φ x."""
    found, before, now = [], x, diffuse(x)
    for scale in range(scales):
        found.append(before - now)
        if scale < scales - 1:
            before = now
            for _ in range(2**scale):  # from T^(2^scale) to T^(2^(scale + 1))
                now = diffuse(now)
    return [*found, now]
