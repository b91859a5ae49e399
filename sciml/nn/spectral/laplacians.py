"""Graph Laplacians: as a layer along edges, and as a sparse matrix.

Three of them, all of the form (L x)_i = l_i Σ_j w_ij (r_i x_i - r_j x_j):

- ``combinatorial``, L = D - A: the flow of heat, or springs along edges; conserves the sum of x.
- ``symmetric``, L = D^-1/2 (D - A) D^-1/2: eigenvalues between 0 and 2 whatever the degrees.
- ``random walk``, L = D^-1 (D - A): x_i minus the mean of its neighbours; similar to the symmetric one.

The degree D sums the weights of a node's edges. A loop i→i drops out of the combinatorial one and counts in
the degree of the others, as a walker that stays. Where the degree is zero, L x is zero (Chung 1997, section
1.2), so that the multiplicity of the eigenvalue 0 is the number of connected components in all three.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.graph import Graph
from sciml.nn.about import About
from sciml.nn.message_passing import Edges, MessagePassing, segment_reduce
from sciml.nn.spectral.sparse import csr_matrix, sparse_product
from sciml.nn.spectral.undirected import check_undirected, dtype_of, edge_weights
from sciml.symmetry import Symmetry

Kind = Literal["combinatorial", "symmetric", "random walk"]


@dataclass(frozen=True, eq=False)
class LaplacianMatrix:
    """The Laplacian of a batch of graphs: ``L @ x`` for signals x on nodes, ``(nodes, ...)``.

    Attributes:
        graph: whose edges hold the entries.
        kind: which Laplacian.
        degree: sum of the weights that a node receives.
        diagonal: l_i r_i degree_i.
        off: -l_i w_ij r_j for each edge.
        symmetric: whether ``off`` is so to the last bit, as it is without weights.
    """

    graph: Graph
    kind: Kind
    degree: Float[Tensor, "nodes"]
    diagonal: Float[Tensor, "nodes"]
    off: Float[Tensor, "edges"]
    symmetric: bool = False

    def __matmul__(self, x: Float[Tensor, "nodes ..."]) -> Float[Tensor, "nodes ..."]:
        return along(self.diagonal, x) * x + sparse_product(self.graph, self.off, x, symmetric=self.symmetric)

    def to_csr(self) -> Tensor:
        """Return the off-diagonal and diagonal entries as one sparse CSR tensor, ``(nodes, nodes)``."""
        own = torch.arange(self.graph.num_nodes, device=self.graph.device)
        place = torch.cat([self.graph.edge_index.flip(0), own.expand(2, -1)], dim=1)
        n = self.graph.num_nodes
        values = torch.cat([self.off, self.diagonal])
        matrix = torch.sparse_coo_tensor(place, values, (n, n), check_invariants=False).coalesce()
        row, column = matrix.indices()
        pointer = torch.searchsorted(row.contiguous(), torch.arange(n + 1, device=row.device))
        return csr_matrix(pointer, column, matrix.values())

    def to_dense(self) -> Float[Tensor, "nodes nodes"]:
        """Return the matrix with all its zeros: for small graphs, and for tests."""
        place = (self.graph.receiver, self.graph.sender)
        return torch.diag(self.diagonal).index_put(place, self.off, accumulate=True)

    def upper_bound(self) -> Float[Tensor, "graphs"]:
        """Return a number for each graph that no eigenvalue exceeds; zero where there are no edges.

        It is 2 for the normalized kinds. For D - A it is max_i (d_i + Σ_j w_ij d_j / d_i) (Merris, Linear
        Algebra Appl. 285, 33, 1998), the largest row sum of D^-1 (D + A) D.
        """
        graph, degree = self.graph, self.degree
        if self.kind != "combinatorial":
            rows = (degree > 0).to(degree.dtype) * 2
        else:
            weighted = sparse_product(graph, -self.off, degree)  # off is -w here
            rows = degree + weighted * inverse(degree)
        return segment_reduce(rows, graph.node_graph, graph.num_graphs, "max")


def laplacian(
    graph: Graph,
    kind: Kind = "combinatorial",
    weight: str | None = None,
    *,
    dtype: torch.dtype | None = None,
) -> LaplacianMatrix:
    """Return the Laplacian of an undirected graph, or of each graph of a batch.

    Args:
        graph: every edge in both directions, with one weight.
        kind: see the module; differentiable in the weights.
        weight: edge field of weights (at least zero); None if all are one.
        dtype: of the entries; that of the weights, or of the first field of floats on nodes, if None.

    Raises:
        ValueError: a directed graph (a pair of nodes is named), negative weights, an unknown kind.
    """
    check_kind(kind)
    check_undirected(graph, weight)
    w = edge_weights(graph, weight, dtype or dtype_of(graph, weight))
    degree = segment_reduce(w, graph.receiver, graph.num_nodes)
    left, right = scales(degree, kind)
    off = -left[graph.receiver] * w * right[graph.sender]
    symmetric = weight is None and kind != "random walk"
    return LaplacianMatrix(graph, kind, degree, left * degree * right, off, symmetric)


class LaplacianLayer(MessagePassing):
    """What layers made of Laplacians share: the edge form of L x, and a choice of paths.

    Args:
        kind: which Laplacian.
        weight: edge field of weights; None if all are one.
        field: node field that is read and replaced.
    """

    symmetry = Symmetry(("S",))

    def __init__(self, kind: Kind = "combinatorial", weight: str | None = None, field: str = "x") -> None:
        super().__init__()
        self.kind, self.weight, self.field = check_kind(kind), weight, field

    def message(self, edges: Edges) -> Float[Tensor, "edges ..."]:
        """Return w_ij (r_i x_i - r_j x_j)."""
        graph, x = edges.graph, edges.graph.nodes[self.field]
        w, (_, right) = self._scales(graph, x.dtype)
        scaled = along(right, x) * x
        return along(w, x) * (scaled.index_select(0, graph.receiver) - scaled.index_select(0, graph.sender))

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes ..."]) -> Graph:
        """Multiply by l_i."""
        _, (left, _) = self._scales(graph, aggregated.dtype)
        value = along(left, aggregated) * aggregated
        return graph.with_nodes({self.field: graph.spec("nodes", self.field)}, **{self.field: value})

    def product(self, graph: Graph, L: LaplacianMatrix | None = None) -> Callable[[Tensor], Tensor]:
        """Return x ↦ L x: the sparse matrix, or the engine along edges where it is wanted or recorded."""
        if self.fused and self._recording is None:
            L = L or laplacian(graph, self.kind, self.weight, dtype=graph.nodes[self.field].dtype)
            return L.__matmul__
        check_undirected(graph, self.weight)

        def along_edges(x: Tensor) -> Tensor:
            return MessagePassing.forward(self, graph.with_nodes(None, **{self.field: x})).nodes[self.field]

        return along_edges

    def _scales(self, graph: Graph, dtype: torch.dtype) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        w = edge_weights(graph, self.weight, dtype)
        return w, scales(segment_reduce(w, graph.receiver, graph.num_nodes), self.kind)


class Laplacian(LaplacianLayer):
    """x_i' = l_i Σ_j w_ij (r_i x_i - r_j x_j), the Laplacian of a node field of any shape.

    Args:
        kind: ``combinatorial`` (l = r = 1), ``symmetric`` (l = r = d^-1/2) or ``random walk`` (l = 1/d,
            r = 1).
        weight, field: see `LaplacianLayer`.

    The fused path is a sparse matrix product.
    """

    about = About(
        domain="undirected graphs",
        content="difference of x_i and x_j",
        geometry="weight of the edge, degrees of its ends",
        equation=r"x_i' = l_i \sum_j w_{ij} (r_i x_i - r_j x_j)",
        cost="edges · channels",
        fused="sparse matrix product (CSR)",
        source="Chung, Spectral Graph Theory, 1997, section 1.2",
    )

    def forward(self, graph: Graph) -> Graph:
        """Apply the Laplacian to every graph of the batch.

        Raises:
            ValueError: a directed graph, negative weights.
        """
        check_undirected(graph, self.weight)
        return super().forward(graph)

    def fused_forward(self, graph: Graph) -> Graph:
        """Multiply by the matrix."""
        value = self.product(graph)(graph.nodes[self.field])
        return graph.with_nodes({self.field: graph.spec("nodes", self.field)}, **{self.field: value})


# -------------------------------------------------------------------- details


def check_kind(kind: str) -> Kind:
    """Return the kind of Laplacian, or raise ValueError."""
    if kind not in get_args(Kind):
        raise ValueError(f"Unknown Laplacian {kind!r}; choose {', '.join(get_args(Kind))}.")
    return kind  # type: ignore[return-value]


def inverse(degree: Float[Tensor, "nodes"], power: float = 1.0) -> Float[Tensor, "nodes"]:
    """Return degree^-power, zero where the degree is zero; its derivative is zero there too."""
    positive = degree > 0
    return torch.where(positive, torch.where(positive, degree, 1.0) ** -power, 0.0)


def scales(degree: Float[Tensor, "nodes"], kind: Kind) -> tuple[Tensor, Tensor]:
    """Return l and r of the kind."""
    if kind == "symmetric":
        root = inverse(degree, 0.5)
        return root, root
    one = torch.ones_like(degree)
    return (one if kind == "combinatorial" else inverse(degree)), one


def along(values: Float[Tensor, "rows"], x: Float[Tensor, "rows ..."]) -> Float[Tensor, "rows ..."]:
    """View numbers, one for each row, so that they multiply rows of x."""
    return values.reshape(-1, *(1,) * (x.ndim - 1))
