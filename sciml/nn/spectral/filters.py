"""Spectral filters: functions of the eigenvalue, and so of the Laplacian itself."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.spectral.responses import Response
from sciml.nn.spectral.sparse import rows
from sciml.nn.spectral.spectrum import EIGENVALUES, ModeLayer, basis_of


class SpectralFilter(ModeLayer):
    """x' = f(L) x = Σ_k U_k f(λ_k) U_kᵀ x, exact, on a graph that has its spectrum (`with_spectrum`).

    Being a function of the eigenvalue, the filter is a function of L: it does not see the signs of modes nor
    the choice of a basis where eigenvalues coincide. Nodes send to modes, and modes to nodes.

    Args:
        response: f: eigenvalues ``(graphs, K)`` to gains of the same shape, gains for each channel
            ``(graphs, K, channels)``, or matrices ``(graphs, K, in, out)``: a function, or a module as
            `Heat`, `SplineResponse`, `NetworkResponse`.
        field: node field that is read and replaced.

    It is differentiable in x and in what the response learns; weights of edges have entered through the
    stored basis, without derivatives: where they are learned take `ChebyshevFilter` or `ChebyshevFunction`.
    """

    about = About(
        domain="small undirected graphs",
        content="x_j",
        geometry="eigenvalues and modes of the Laplacian",
        equation=r"x' = \sum_k U_k f(\lambda_k) U_k^\top x",
        cost="nodes · modes · channels + modes · in · out",
        fused="dense matrix products",
        source="Bruna et al. 2014, arXiv 1312.6203; Defferrard et al. 2016, arXiv 1606.09375, eq. 2",
    )

    def __init__(self, response: Response, field: str = "x") -> None:
        super().__init__()
        self.response, self.field = response, field

    def forward(self, graph: Graph) -> Graph:
        """Filter every graph of the batch.

        Raises:
            ValueError: a graph without its spectrum, a response that does not fit the field.
        """
        x = graph.nodes[self.field]
        modes = basis_of(graph).shape[1]
        gain = self.response(graph.globals[EIGENVALUES][:, :modes])
        spectrum = self.analyse(graph, rows(x))
        spec = graph.spec("nodes", self.field)
        if gain.ndim == 2:
            value = self.synthesize(graph, gain[..., None] * spectrum).reshape(x.shape)
        else:
            value = self.synthesize(graph, _by_channel(gain, spectrum, x, type(self).__name__))
            spec = Spec(f"{value.shape[1]}x0e")
        return graph.with_nodes({self.field: spec}, **{self.field: value})


def _by_channel(
    gain: Tensor, spectrum: Float[Tensor, "graphs K channels"], x: Tensor, layer: str
) -> Float[Tensor, "graphs K out"]:
    """Multiply by gains for each channel, or by matrices."""
    channels = x.shape[1] if x.ndim == 2 else None
    if gain.ndim not in (3, 4) or gain.shape[2] != channels:
        raise ValueError(
            f"{layer}: a response of shape {tuple(gain.shape)} does not fit a field of shape {tuple(x.shape)}"
            f"; expected (graphs, K), (graphs, K, {channels}) or (graphs, K, {channels}, out)."
        )
    return gain * spectrum if gain.ndim == 3 else torch.einsum("gkio,gki->gko", gain, spectrum)
