"""Lanczos' method: functions and extreme eigenvalues of a Laplacian from a few products with it.

In the space of x, L x, .. L^{m-1} x, with orthonormal basis V, the Laplacian is a small tridiagonal matrix T,
and f(L) x ≈ ‖x‖ V f(T) e_1. That is exact if x has at most m different eigenvalues in it; otherwise the error
is at most 2 ‖x‖ max |f - p| over the range of the spectrum, for the best polynomial p of degree m - 1 (Saad,
SIAM J. Numer. Anal. 29, 209, 1992; Musco et al., arXiv 1708.07788). Each graph and channel has its own.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.graph import Graph
from sciml.nn.message_passing import segment_reduce
from sciml.nn.spectral.laplacians import Kind, LaplacianMatrix, laplacian
from sciml.nn.spectral.responses import Response
from sciml.nn.spectral.sparse import rows
from sciml.nn.spectral.undirected import dtype_of


def lanczos_function(
    L: LaplacianMatrix, x: Float[Tensor, "nodes ..."], f: Response, steps: int = 40
) -> Float[Tensor, "nodes ..."]:
    """Return f(L) x without knowing where the spectrum ends; f need only be finite on it.

    Takes ``steps`` products with L and memory for ``steps`` copies of x. Adapts to the spectrum: where
    Chebyshev polynomials must be good on all of [0, b], this one is on the eigenvalues that x contains.

    Args:
        L: combinatorial or symmetric.
        x: signals on nodes.
        f: function of the eigenvalue, of any shape, to the same shape.
        steps: dimension of the space.

    Raises:
        ValueError: the random-walk Laplacian, which is not symmetric; steps < 1; an x that requires a
            gradient.
    """
    if torch.is_grad_enabled() and (x.requires_grad or L.off.requires_grad):
        raise ValueError("lanczos_function has no derivatives: detach x, or take chebyshev_function.")
    with torch.no_grad():
        flat = rows(x)
        basis, T, norm = _tridiagonalize(L, flat, steps)
        eigenvalue, vectors = torch.linalg.eigh(T)  # graphs channels steps (steps)
        first = torch.einsum("gcmk,gck,gck->gcm", vectors, f(eigenvalue), vectors[..., 0, :])
        weight = torch.where(norm[..., None] > 0, norm[..., None] * first, 0.0)[L.graph.node_graph]
        result = torch.einsum("nmc,ncm->nc", basis, weight)
    return result.reshape(x.shape)


def largest_eigenvalue(
    graph: Graph, kind: Kind = "symmetric", weight: str | None = None, *, steps: int = 40, seed: int = 0
) -> Float[Tensor, "graphs"]:
    """Estimate the largest eigenvalue of each graph by Lanczos' method from a random vector.

    The estimate is the largest eigenvalue of T plus its residual: on either side of the true one, by up to
    half a per cent after 40 steps, which a Chebyshev filter of some dozens of terms forgives. A bound for
    certain is `LaplacianMatrix.upper_bound`, up to twice as large. Store the estimate for
    `ChebyshevFilter(largest="largest")`::

        graph = graph.with_globals(largest=largest_eigenvalue(graph))

    Args:
        graph, kind, weight: see `laplacian`; the random walk's eigenvalues are the symmetric one's.
        steps: products with L.
        seed: of the random vector.
    """
    with torch.no_grad():
        kind = "symmetric" if kind == "random walk" else kind
        L = laplacian(graph, kind, weight, dtype=torch.float64)
        random = torch.Generator().manual_seed(seed)
        x = torch.randn(graph.num_nodes, 1, generator=random, dtype=torch.float64).to(graph.device)
        _, T, _ = _tridiagonalize(L, x, steps + 1)
        head = T[:, 0, :steps, :steps]
        eigenvalue, vectors = torch.linalg.eigh(head)
        residual = T[:, 0, steps, steps - 1] * vectors[:, -1, -1].abs()
        estimate = torch.minimum(eigenvalue[:, -1] + residual, L.upper_bound())
        return estimate.to(dtype_of(graph, weight))


def _tridiagonalize(
    L: LaplacianMatrix, x: Float[Tensor, "nodes channels"], steps: int
) -> tuple[Tensor, Float[Tensor, "graphs channels steps steps"], Float[Tensor, "graphs channels"]]:
    """Return the orthonormal basis of the space (nodes steps channels), the matrix T and ‖x‖.

    Where the space is exhausted early the remaining vectors are zero, and T goes on as a diagonal inside the
    spectrum that nothing is coupled to.
    """
    if L.kind == "random walk":
        raise ValueError(
            "Lanczos' method needs a symmetric Laplacian. Take kind='symmetric': "
            "f(L_walk) x = D^-1/2 f(L_symmetric) D^1/2 x."
        )
    if steps < 1:
        raise ValueError(f"steps={steps} must be at least 1.")
    basis = x.new_zeros(len(x), steps, x.shape[1])
    norm = _inner(L.graph, x, x).sqrt()
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    scale, now = torch.zeros_like(norm), _divide(L.graph, x, norm)
    for step in range(steps):
        basis[:, step] = now
        w = L @ now
        alpha = _inner(L.graph, now, w)
        diagonal.append(alpha if step == 0 else torch.where(beside[-1] > 0, alpha, diagonal[0]))
        if step == steps - 1:
            break
        for _ in range(2):  # against roundoff, which would bring converged directions back
            w = _without(L.graph, w, basis[:, : step + 1])
        beta = _inner(L.graph, w, w).sqrt()
        scale = torch.maximum(scale, alpha.abs() + beta)
        alive = beta > 100 * torch.finfo(x.dtype).eps * scale
        beside.append(torch.where(alive, beta, 0.0))
        now = _divide(L.graph, w, beside[-1])
    T = torch.diag_embed(torch.stack(diagonal, -1))
    if beside:
        off = torch.diag_embed(torch.stack(beside, -1), offset=1)
        T = T + off + off.mT
    return basis, T, norm


def _inner(graph: Graph, a: Tensor, b: Tensor) -> Tensor:
    """Return the inner products over the nodes of each graph."""
    if graph.num_graphs == 1:
        return torch.einsum("n...,n...->...", a, b)[None]
    return segment_reduce(a * b, graph.node_graph, graph.num_graphs)


def _without(
    graph: Graph, w: Float[Tensor, "nodes channels"], basis: Float[Tensor, "nodes m channels"]
) -> Float[Tensor, "nodes channels"]:
    """Return w without its components in the basis."""
    if graph.num_graphs == 1:
        return w - torch.einsum("nmc,mc->nc", basis, torch.einsum("nmc,nc->mc", basis, w))
    overlap = segment_reduce(basis * w[:, None], graph.node_graph, graph.num_graphs)
    return w - (basis * overlap[graph.node_graph]).sum(1)


def _divide(graph: Graph, w: Tensor, norm: Float[Tensor, "graphs channels"]) -> Tensor:
    """Normalize the part of each graph; what has no norm becomes zero."""
    factor = torch.where(norm > 0, 1 / torch.where(norm > 0, norm, 1.0), 0.0)
    return w * (factor[0] if graph.num_graphs == 1 else factor[graph.node_graph])
