"""Two more inclusions, as layers: graph convolution and attention are sums of messages.

Both are written with the plainest engine there is, messages and their sum, and nothing that is learned in
between; tests hold them equal to the matrix product and to `MultiHeadAttention`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.attention.fields import check_one_set, read
from sciml.nn.attention.multihead import MultiHeadAttention
from sciml.nn.message_passing import Edges, MessagePassing
from sciml.symmetry import Symmetry


class GraphConvolutionByMessages(MessagePassing):
    """Graph convolution ⊂ message passing: D^-½ (A + I) D^-½ X W is a sum of messages W x_j / √(d_i d_j).

    The degree d counts the edges that a node receives, and itself.

    Args:
        in_channels, out_channels: of the field.
        field: of nodes, which is read and replaced.

    Kipf & Welling 2017, arXiv 1609.02907, equation 8.
    """

    about = About(
        domain="any graph with one node set",
        content="x_j",
        geometry="degrees of both ends",
        equation=r"x_i' = W x_i / d_i + \sum_j W x_j / \sqrt{d_i d_j}",
        cost="nodes · in · out + edges · out",
        source="Kipf & Welling 2017, arXiv 1609.02907, eq. 8",
    )
    symmetry = Symmetry(("S",))

    def __init__(self, in_channels: int, out_channels: int, field: str = "x") -> None:
        super().__init__()
        self.field = field
        self.linear = nn.Linear(in_channels, out_channels, bias=False)

    def content(self, graph: Graph) -> Float[Tensor, "nodes out"]:
        """Return W x / √d at nodes."""
        check_one_set(graph, type(self).__name__)
        x = read(graph, "nodes", self.field, type(self).__name__, self.linear.in_features)
        return self.linear(x) * self.scale(graph, x)

    def scale(self, graph: Graph, like: Tensor) -> Float[Tensor, "nodes 1"]:
        """Return 1 / √d."""
        received = like.new_zeros(graph.num_nodes).index_add(
            0, graph.receiver, like.new_ones(graph.num_edges)
        )
        return (1 + received).rsqrt()[:, None]

    def message(self, edges: Edges) -> Float[Tensor, "edges out"]:
        """Return W x_j / √d_j."""
        return self.content(edges.graph).index_select(0, edges.graph.sender)

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes out"]) -> Graph:
        """Add the node's own term, and divide by √d_i."""
        own = self.content(graph)
        x = (own + aggregated) * self.scale(graph, own)
        return graph.with_nodes({self.field: Spec(f"{x.shape[1]}x0e")}, **{self.field: x})


class AttentionByMessages(MessagePassing):
    """Attention ⊂ message passing: a sum of messages (e^s v_j, e^s), and the ratio of its parts at the node.

    So message passing over all pairs contains attention exactly, without a softmax in the engine. e^s is
    taken as it is: scores beyond 700 (88 in float32) overflow, which `MultiHeadAttention` avoids.

    Args:
        attention: whose weights are used.
    """

    about = About(
        domain="any graph: sets, sequences, grids, two sets",
        content="q(x_i), k(x_j), v(x_j)",
        geometry="none, or what the encodings give",
        equation=r"x_i' = W_o \frac{\sum_j e^{s_{ij}} v_j}{\sum_j e^{s_{ij}}}",
        cost="nodes · channels² + edges · channels",
    )

    def __init__(self, attention: MultiHeadAttention) -> None:
        super().__init__()
        self.attention = attention
        self.symmetry = attention.symmetry

    def message(self, edges: Edges) -> Float[Tensor, "edges heads width+1"]:
        """Return e^s v_j, and e^s beside it."""
        value = self.attention.message(edges)
        weight = self.attention.score(edges).exp()[..., None]
        return torch.cat([weight * value, weight], dim=-1)

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes heads width+1"]) -> Graph:
        """Divide one sum by the other; where there were no edges both are zero."""
        total = aggregated[..., -1:]
        value = aggregated[..., :-1] / torch.where(total == 0, torch.ones_like(total), total)
        return self.attention.update(graph, value)
