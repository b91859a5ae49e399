"""Convolution along sequences of any length."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from sciml.graph import Chain, Graph, Spec, window
from sciml.nn.about import About
from sciml.nn.grid import check_channels
from sciml.nn.message_passing import Edges, MessagePassing
from sciml.symmetry import Symmetry


class ChainConvolution(MessagePassing):
    """Convolution along a row of nodes: x_i' = Σ_o W_o x_{i+o} + b, with nobody beyond the ends.

    As `GridConvolution` in one dimension, for graphs of differing lengths in one batch (proteins, nucleic
    acids). The fast path lays all rows of the batch in one line, with gaps as wide as the window reaches,
    and runs torch's kernel once: no row is padded to the longest.

    Args:
        in_channels, out_channels: of the field.
        kernel: points of the window, odd.
        dilation: steps between them.
        bias: add b.
        field: the node field that is read and replaced.

    Raises:
        ValueError: a kernel that is even or not positive.
    """

    about = About(
        domain="rows of nodes, as sequences",
        content="x_j",
        geometry="steps along the row, one matrix each",
        equation=r"x_i' = \sum_{o=-r}^{r} W_o\, x_{i+o} + b",
        cost="nodes · kernel · in · out",
        fused="one convolution of all rows in a line",
    )
    symmetry = Symmetry(("S",))

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 5,
        *,
        dilation: int = 1,
        bias: bool = True,
        field: str = "x",
    ) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0 or dilation < 1:
            raise ValueError(f"kernel={kernel} must be odd and dilation={dilation} at least 1.")
        self.in_channels, self.out_channels, self.dilation, self.field = (
            in_channels,
            out_channels,
            dilation,
            field,
        )
        self.offsets = tuple(step for (step,) in window(kernel, 1, dilation))
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, graph: Graph) -> Graph:
        """Convolve every row of the batch.

        Raises:
            ValueError: a field of other channels; a graph that is no chain and whose edges are not this
                window.
        """
        check_channels(graph.nodes[self.field], self.in_channels, type(self).__name__, self.field)
        if not (isinstance(graph.layout, Chain) and self.fused and self._recording is None):
            windows = self._with_window(graph)
        else:
            windows = graph  # the fast path needs no edges
        result = super().forward(windows).nodes[self.field]
        return graph.with_nodes({self.field: Spec(f"{self.out_channels}x0e")}, **{self.field: result})

    def message(self, edges: Edges) -> Float[Tensor, "edges out"]:
        """Return W_o x_j, with the products for all offsets made at the nodes."""
        graph, kernel = edges.graph, len(self.offsets)
        products = torch.einsum("ni,oik->nko", graph.nodes[self.field], self.weight)  # nodes kernel out
        return products.flatten(0, 1).index_select(0, graph.sender * kernel + edges["offset"])

    def message_inputs(self, edges: Edges) -> dict[str, Tensor]:
        """Return x_j and the number of the offset."""
        return {"x_j": edges.sender(self.field), "offset": edges["offset"]}

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes out"]) -> Graph:
        """Add the bias."""
        value = aggregated if self.bias is None else aggregated + self.bias
        return graph.with_nodes({self.field: Spec(f"{self.out_channels}x0e")}, **{self.field: value})

    def fused_forward(self, graph: Graph) -> Graph | None:
        """Convolve all rows in one line with gaps; None where the nodes are not known to be in rows."""
        if not isinstance(graph.layout, Chain):
            return None
        x, gap = graph.nodes[self.field], self.offsets[-1]
        place = torch.arange(len(x), device=x.device) + gap * graph.node_graph
        line = x.new_zeros(len(x) + gap * graph.num_graphs, self.in_channels).index_copy(0, place, x)
        image = line.T[None, :, None]  # channels last in memory, as torch's kernel likes it
        weight = self.weight[:, :, None]
        result = F.conv2d(image, weight, padding=(0, gap), dilation=(1, self.dilation))[0, :, 0].T
        return self.update(graph, result.index_select(0, place))

    def _with_window(self, graph: Graph) -> Graph:
        """Return the graph whose edges are this layer's window."""
        layout = graph.layout
        if isinstance(layout, Chain) and layout.offsets != self.offsets:
            window_of = Chain(self.offsets)
            edge_index, offset, edge_counts = window_of.edges(graph.node_counts)
            return graph.replace(
                edge_index=edge_index, edges={"offset": offset}, edge_counts=edge_counts, layout=window_of
            )
        classes = graph.spec("edges", "offset").classes
        if "offset" not in graph.edges or classes not in (None, len(self.offsets)):
            raise ValueError(
                f"{type(self).__name__} has a window of {len(self.offsets)} residues; the graph is no chain, "
                + (f"and its edges have {classes} offsets." if classes else "and its edges have no `offset`.")
                + " Build it with sciml.builders.protein_sequence_graph."
            )
        return graph
