"""GCN and SGC: the shortest polynomial filters, with a loop at every node."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.message_passing import Edges, MessagePassing, segment_reduce
from sciml.nn.spectral.laplacians import along, inverse
from sciml.nn.spectral.sparse import sparse_product
from sciml.nn.spectral.undirected import check_signal, check_undirected, edge_weights
from sciml.symmetry import Symmetry


class Propagation(MessagePassing):
    """Steps of Â = (D + 1)^-1/2 (A + 1) (D + 1)^-1/2, whose eigenvalues lie in (-1, 1], then a linear map.

    Â = 1 - L, with L the symmetric Laplacian of the graph that has one more loop at every node.

    Args:
        in_channels, out_channels: of the field.
        steps: how often Â is applied.
        weight: edge field of weights; None if all are one.
        bias: add b.
        field: node field that is read and replaced.
    """

    symmetry = Symmetry(("S",))

    def __init__(
        self, in_channels: int, out_channels: int, steps: int, weight: str | None, bias: bool, field: str
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.steps = in_channels, out_channels, steps
        self.weight, self.field = weight, field
        self.linear = nn.Linear(in_channels, out_channels, bias)

    def message(self, edges: Edges) -> Float[Tensor, "edges channels"]:
        """Return Â_ij x_j."""
        between, _ = self._coefficients(edges.graph, edges.graph.nodes[self.field].dtype)
        return along(between, edges.sender(self.field)) * edges.sender(self.field)

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes channels"]) -> Graph:
        """Add Â_ii x_i."""
        x = graph.nodes[self.field]
        _, own = self._coefficients(graph, x.dtype)
        return graph.with_nodes(None, **{self.field: aggregated + own[:, None] * x})

    def fused_forward(self, graph: Graph) -> Graph | None:
        """Return None: `forward` has decided already."""
        return None

    def forward(self, graph: Graph) -> Graph:
        """Propagate, and map linearly.

        Raises:
            ValueError: a directed graph, negative weights, a field of other channels.
        """
        x = graph.nodes[self.field]
        check_signal(x, self.in_channels, type(self).__name__, self.field)
        check_undirected(graph, self.weight)
        fused = self.fused and self._recording is None
        step = self._matrix(graph) if fused else self._along_edges(graph)
        narrow = fused and self.out_channels < self.in_channels
        if narrow:  # the linear map commutes with Â; the bias does not
            x = x @ self.linear.weight.T
        for _ in range(self.steps):
            x = step(x)
        value = x if narrow else x @ self.linear.weight.T
        if self.linear.bias is not None:
            value = value + self.linear.bias
        return graph.with_nodes({self.field: Spec(f"{self.out_channels}x0e")}, **{self.field: value})

    def _along_edges(self, graph: Graph) -> Callable[[Tensor], Tensor]:
        field = self.field
        return lambda x: MessagePassing.forward(self, graph.with_nodes(None, **{field: x})).nodes[field]

    def _matrix(self, graph: Graph) -> Callable[[Tensor], Tensor]:
        between, own = self._coefficients(graph, graph.nodes[self.field].dtype)
        return lambda x: sparse_product(graph, between, x, symmetric=self.weight is None) + own[:, None] * x

    def _coefficients(self, graph: Graph, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return Â_ij for edges and Â_ii for the loops that come on top."""
        w = edge_weights(graph, self.weight, dtype)
        root = inverse(segment_reduce(w, graph.receiver, graph.num_nodes) + 1, 0.5)
        return root[graph.receiver] * w * root[graph.sender], root**2


class GraphConvolution(Propagation):
    """GCN: x' = Â x W + b.

    A Chebyshev filter of degree 1 whose two coefficients are opposite, x W - (L - 1) x W = (2 - L) x W, after
    the renormalization 2 - L = 1 + D^-1/2 A D^-1/2 → Â that keeps eigenvalues below 1.

    Args:
        in_channels, out_channels: of the field.
        weight, bias, field: see `Propagation`.
    """

    about = About(
        domain="undirected graphs of any size",
        content="x_j",
        geometry="weight of the edge, degrees of its ends",
        equation=r"x_i' = \sum_{j \in N(i) \cup i} \frac{w_{ij}}{\sqrt{(1 + d_i)(1 + d_j)}}\, x_j W + b",
        cost="edges · channels + nodes · in · out",
        fused="sparse matrix product, on the narrower side of W",
        source="Kipf & Welling 2017, arXiv 1609.02907, eq. 2 and 8",
    )

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        weight: str | None = None,
        bias: bool = True,
        field: str = "x",
    ) -> None:
        super().__init__(in_channels, out_channels, 1, weight, bias, field)


class SimplifiedGraphConvolution(Propagation):
    """SGC: x' = Â^K x W + b, a GCN of K layers with nothing between them: the low-pass filter (1 - λ)^K.

    Args:
        in_channels, out_channels: of the field.
        steps: K, at least 0.
        weight, bias, field: see `Propagation`.
    """

    about = About(
        domain="undirected graphs of any size",
        content="x_j, K times over",
        geometry="weight of the edge, degrees of its ends",
        equation=r"x' = \hat A^K x\, W + b",
        cost="K · edges · channels + nodes · in · out",
        fused="sparse matrix products, on the narrower side of W",
        source="Wu et al. 2019, arXiv 1902.07153, eq. 8",
    )

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        steps: int = 2,
        *,
        weight: str | None = None,
        bias: bool = True,
        field: str = "x",
    ) -> None:
        if steps < 0:
            raise ValueError(f"steps={steps} must be at least 0.")
        super().__init__(in_channels, out_channels, steps, weight, bias, field)
