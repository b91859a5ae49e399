"""The lowest modes of each graph, the same number for all: what encodings of nodes are made of."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.graph import Graph, Spec
from sciml.nn.spectral.spectrum import EIGENVALUES, MODES, with_spectrum
from sciml.nn.spectral.undirected import dtype_of

DEGENERATE = 1e-8  # eigenvalues of order one closer than this are one; rounding parts them by some 1e-15


@torch.no_grad()
def with_modes(graph: Graph, count: int = 8) -> Graph:
    """Add the lowest eigenvectors of the normalized Laplacian I - D^-½ A D^-½ of each graph.

    Adds ``globals["lowest_eigenvalues"]`` (graphs, count), in [0, 2], and two node fields (nodes, count):

    - ``lowest_modes``: the eigenvectors v. Their signs mean nothing, and in a degenerate eigenspace (as that
      of eigenvalue 0 in a disconnected graph) no basis means anything: use them only through sums over the
      eigenspace, as `sciml.nn.SpectralBias` does. An eigenspace that ``count`` cuts is zero.
    - ``mode_sizes``: what every choice of basis leaves alone, |v| at each node; in an eigenspace of m
      dimensions the norm of the node's row of it, over √m.

    Graphs of fewer nodes have zeros for the rest, so that all graphs can be batched. Computed once, on a
    dense matrix of each graph.

    Raises:
        ValueError: two node sets, no modes, edges that do not go both ways, a graph too large for a dense
            matrix.
    """
    if graph.two_sided:
        raise ValueError("with_modes is for graphs with one node set; this one has senders and receivers.")
    if count < 1:
        raise ValueError(f"count {count} must be at least 1.")
    full = with_spectrum(graph, "symmetric", dtype=torch.float64)
    basis = full.nodes[MODES].split(graph.node_counts.tolist())
    parts = [_lowest(v[: len(u)], u[:, : len(u)], count) for v, u in zip(full.globals[EIGENVALUES], basis)]
    values, modes, sizes = zip(*parts) if parts else ([full.nodes[MODES].new_zeros(0, count)],) * 3
    dtype = dtype_of(graph)
    lowest = torch.stack(values) if parts else values[0]
    return graph.with_globals(lowest_eigenvalues=lowest.to(dtype)).with_nodes(
        {"lowest_modes": Spec(), "mode_sizes": Spec()},
        lowest_modes=torch.cat(modes).to(dtype),
        mode_sizes=torch.cat(sizes).to(dtype),
    )


def _lowest(
    value: Float[Tensor, "n"], vector: Float[Tensor, "n n"], count: int
) -> tuple[Float[Tensor, "count"], Float[Tensor, "n count"], Float[Tensor, "n count"]]:
    """Return eigenvalues, eigenvectors, and sizes of their rows, eigenspace by eigenspace."""
    n = len(value)
    values, vectors, sizes = value.new_zeros(count), value.new_zeros(n, count), value.new_zeros(n, count)
    starts = [0, *((value.diff() > DEGENERATE).nonzero()[:, 0] + 1).tolist()] if n else []
    for start, end in zip(starts, [*starts[1:], n]):
        within = slice(start, min(end, count))
        values[within] = value[start:end].mean()  # equal numbers for what is one
        sizes[:, within] = (vector[:, start:end].norm(dim=1) / (end - start) ** 0.5)[:, None]
        if end <= count:
            vectors[:, within] = vector[:, start:end]
    return values, vectors, sizes
