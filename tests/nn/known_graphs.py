"""Graphs of known spectra, and matrices of graphs, for the tests of spectral layers."""

import torch

from sciml.builders import grid_graph
from sciml.graph import Graph


def from_matrix(W, channels=2, seed=0, weighted=True):
    """A graph whose edge weights are a symmetric matrix, with random signals."""
    W = torch.as_tensor(W, dtype=torch.float64)
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(len(W), channels, generator=random, dtype=torch.float64)
    edges = W.T.nonzero().T  # W[i, j] is the weight from j to i
    fields = {"weight": W[edges[1], edges[0]]} if weighted else None
    return Graph.create(edges, {"x": x}, fields)


def ring(n):
    W = torch.zeros(n, n)
    for i in range(n):
        W[i, (i + 1) % n] = W[(i + 1) % n, i] = 1
    return W


def complete(n):
    return torch.ones(n, n) - torch.eye(n)


def hypercube(d):
    number = torch.arange(2**d)
    steps = number[:, None] ^ number
    return ((steps > 0) & (steps & (steps - 1) == 0)).float()


def star(n):
    W = torch.zeros(n, n)
    W[0, 1:] = W[1:, 0] = 1
    return W


def random_weights(n, density=0.4, seed=0):
    random = torch.Generator().manual_seed(seed)
    W = torch.rand(n, n, generator=random, dtype=torch.float64)
    W = W * (torch.rand(n, n, generator=random) < density)
    return (W + W.T).fill_diagonal_(0)


def disconnected():
    """A triangle, a pair, and a node alone."""
    return torch.block_diag(complete(3), complete(2), torch.zeros(1, 1))


def torus(values):
    """A periodic grid whose edges of weight 1 join nearest neighbours; other edges weigh nothing."""
    graph = grid_graph(values, kernel=3, periodic=True)
    nearest = torch.tensor([float(sum(map(abs, step)) == 1) for step in graph.layout.offsets])
    return graph.with_edges(weight=nearest.to(values.dtype)[graph.edges["offset"]])


def torus_eigenvalues(*shape):
    """2 d - 2 Σ cos(2 π k / n), in the order of `torch.fft.fftn`."""
    axes = torch.meshgrid(*(2 * torch.pi * torch.fft.fftfreq(n).double() for n in shape), indexing="ij")
    return 2 * len(shape) - 2 * sum(k.cos() for k in axes)


def dense(W, kind="combinatorial"):
    """The Laplacian, written as in a textbook."""
    W = torch.as_tensor(W, dtype=torch.float64)
    d = W.sum(1)
    L = torch.diag(d) - W
    root = torch.where(d > 0, d.clamp(min=1e-300) ** -0.5, 0.0)
    if kind == "symmetric":
        return root[:, None] * L * root
    return L if kind == "combinatorial" else root[:, None] ** 2 * L


def function(W, f, kind="combinatorial"):
    """f(L) by a dense eigendecomposition of the symmetric Laplacians."""
    values, vectors = torch.linalg.eigh(dense(W, kind))
    return vectors @ torch.diag(f(values.clamp(min=0))) @ vectors.T


DEGENERATE = {
    "ring": ring(8),
    "complete": complete(6),
    "hypercube": hypercube(3),
    "disconnected": disconnected(),
    "single": torch.zeros(1, 1),
    "no edges": torch.zeros(4, 4),
}
