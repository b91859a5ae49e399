"""Spectral filters without eigenvectors: polynomials of the Laplacian, a step along edges for each power."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.spectral.expansion import chebyshev_coefficients, chebyshev_terms, rescaled
from sciml.nn.spectral.laplacians import Kind, LaplacianLayer, along, laplacian
from sciml.nn.spectral.responses import Response
from sciml.nn.spectral.undirected import check_signal


class PolynomialLayer(LaplacianLayer):
    """A polynomial of the rescaled Laplacian L̂ = 2 L/b - 1; degree K reaches K steps along edges.

    Args:
        degree: K, at least 0.
        kind, weight, field: see `LaplacianLayer`.
        largest: b, that no eigenvalue may exceed: a number for all graphs, the name of a graph-level field
            (as `largest_eigenvalue` gives it), or None for `LaplacianMatrix.upper_bound` of each graph.
    """

    def __init__(
        self, degree: int, kind: Kind, weight: str | None, largest: float | str | None, field: str
    ) -> None:
        super().__init__(kind, weight, field)
        if degree < 0 or (isinstance(largest, int | float) and not largest > 0):
            raise ValueError(f"degree {degree} must be at least 0 and largest {largest} positive.")
        self.degree, self.largest = degree, largest

    def fused_forward(self, graph: Graph) -> Graph | None:
        """Return None: `forward` has decided already."""
        return None

    def operator(self, graph: Graph) -> tuple[Callable[[Tensor], Tensor], Float[Tensor, "graphs"]]:
        """Return x ↦ L̂ x, and b."""
        x = graph.nodes[self.field]
        L = laplacian(graph, self.kind, self.weight, dtype=x.dtype)
        if isinstance(self.largest, str):
            largest = self._stored(graph, self.largest).to(x.dtype)
        elif self.largest is None:
            largest = L.upper_bound()
        else:
            largest = torch.full((graph.num_graphs,), self.largest, dtype=x.dtype, device=x.device)
        return rescaled(self.product(graph, L), largest, graph.node_graph), largest

    def _stored(self, graph: Graph, name: str) -> Float[Tensor, "graphs"]:
        value = graph.globals.get(name)
        if value is None or value.ndim != 1:
            found = "no such field" if value is None else f"shape {tuple(value.shape)}"
            raise ValueError(
                f"{type(self).__name__} reads largest eigenvalues from globals.{name}, which has {found}; "
                f"store them with graph.with_globals({name}=largest_eigenvalue(graph, ...))."
            )
        return value


class ChebyshevFilter(PolynomialLayer):
    """ChebNet: x' = Σ_k T_k(L̂) x W_k + b, k = 0 .. degree.

    Args:
        in_channels, out_channels: of the field.
        degree: K, how many steps along edges the filter reaches.
        kind: of the Laplacian; eigenvalues of the symmetric one lie in [0, 2] on every graph, so that a
            learned filter means the same on all.
        weight, largest, field: see `PolynomialLayer`.
        bias: add b.

    The fused path multiplies by sparse matrices, on the narrower of the two sides (Clenshaw's recurrence
    where ``out_channels`` are fewer).
    """

    about = About(
        domain="undirected graphs of any size",
        content="differences of x_i and x_j, K times over",
        geometry="weights of edges, degrees of their ends",
        equation=r"x' = \sum_{k=0}^{K} T_k(2 L / b - 1)\, x\, W_k + b",
        cost="K · (edges · channels + nodes · in · out)",
        fused="sparse matrix products; Clenshaw's recurrence where it is narrower",
        source="Defferrard et al. 2016, arXiv 1606.09375, eq. 4",
    )

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        degree: int = 3,
        *,
        kind: Kind = "symmetric",
        weight: str | None = None,
        largest: float | str | None = None,
        bias: bool = True,
        field: str = "x",
    ) -> None:
        super().__init__(degree, kind, weight, largest, field)
        self.in_channels, self.out_channels = in_channels, out_channels
        scale = math.sqrt(2 / (in_channels * (degree + 1)))
        self.matrices = nn.Parameter(scale * torch.randn(degree + 1, in_channels, out_channels))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, graph: Graph) -> Graph:
        """Filter every graph of the batch.

        Raises:
            ValueError: a directed graph, negative weights, a field of other channels.
        """
        x = graph.nodes[self.field]
        check_signal(x, self.in_channels, type(self).__name__, self.field)
        multiply, _ = self.operator(graph)
        narrow = self.fused and self._recording is None and self.out_channels < self.in_channels
        value = self._clenshaw(multiply, x) if narrow else self._upward(multiply, x)
        if self.bias is not None:
            value = value + self.bias
        return graph.with_nodes({self.field: Spec(f"{self.out_channels}x0e")}, **{self.field: value})

    def _upward(self, multiply: Callable[[Tensor], Tensor], x: Tensor) -> Float[Tensor, "nodes out"]:
        terms = torch.cat(list(chebyshev_terms(multiply, x, self.degree + 1)), dim=1)
        return terms @ self.matrices.flatten(0, 1)

    def _clenshaw(self, multiply: Callable[[Tensor], Tensor], x: Tensor) -> Float[Tensor, "nodes out"]:
        """From the highest term down: b_k = x W_k + 2 L̂ b_{k+1} - b_{k+2}, on the output's channels."""
        content = (x @ self.matrices.movedim(0, 1).flatten(1)).split(self.out_channels, dim=1)
        if self.degree == 0:
            return content[0]
        above, now = torch.zeros_like(content[0]), content[-1]
        for k in range(self.degree - 1, 0, -1):
            above, now = now, content[k] + 2 * multiply(now) - above
        return content[0] + multiply(now) - above


class ChebyshevFunction(PolynomialLayer):
    """x' = f(L) x for a given function, on graphs of any size: Σ_k c_k T_k(L̂) x, with f's own coefficients.

    Args:
        response: f: eigenvalues to gains of the same shape, one for all channels; `Heat`, `Wave`, or any
            other function. What it learns is learned.
        degree: K; `chebyshev_error` says what a degree leaves out.
        kind, weight, largest, field: see `PolynomialLayer`.
        jackson: see `chebyshev_coefficients`.

    `SpectralFilter` is the exact form, and does not differentiate by weights; this one does. With numbers to
    reach rather than a degree to take, see `chebyshev_function` and `heat_kernel`.
    """

    about = About(
        domain="undirected graphs of any size",
        content="differences of x_i and x_j, K times over",
        geometry="weights of edges, degrees of their ends",
        equation=r"x' = \sum_{k=0}^{K} c_k[f]\, T_k(2 L / b - 1)\, x",
        cost="K · edges · channels",
        fused="sparse matrix products",
        source="Hammond et al. 2011, arXiv 0912.3848, section 6",
    )

    def __init__(
        self,
        response: Response,
        degree: int = 20,
        *,
        kind: Kind = "combinatorial",
        weight: str | None = None,
        largest: float | str | None = None,
        jackson: bool = False,
        field: str = "x",
    ) -> None:
        super().__init__(degree, kind, weight, largest, field)
        self.response, self.jackson = response, jackson

    def forward(self, graph: Graph) -> Graph:
        """Filter every graph of the batch.

        Raises:
            ValueError: a directed graph, negative weights, a response with gains for each channel.
        """
        x, of_node = graph.nodes[self.field], graph.node_graph
        multiply, largest = self.operator(graph)
        c = chebyshev_coefficients(self.response, self.degree, largest, jackson=self.jackson)
        value = torch.zeros_like(x)
        for k, term in enumerate(chebyshev_terms(multiply, x, self.degree + 1)):
            value = value + along(c[:, k][of_node], x) * term
        return graph.with_nodes(None, **{self.field: value})
