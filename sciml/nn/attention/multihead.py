"""Multi-head attention: message passing whose weights are a softmax of products of queries and keys."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Grid, Place, Spec
from sciml.nn.about import About
from sciml.nn.attention.fields import check_heads, common_groups, read
from sciml.nn.attention.kernel import Padding, attend
from sciml.nn.attention.rotary import Rotary
from sciml.nn.attention.score_encodings import ScoreBias
from sciml.nn.message_passing import Edges, MessagePassing, segment_softmax
from sciml.symmetry import Symmetry


class MultiHeadAttention(MessagePassing):
    """Attention: x_i' = W_o Σ_j softmax_j(q_i · k_j / √width + b_ij) v_j + b, of several heads side by side.

    Content is everything; geometry comes in by the encodings alone. Every node attends to the nodes that it
    has edges from: all, a window, the past, or the other node set of a two-sided graph (cross-attention:
    receivers ask, senders answer). A node without edges gets the bias of the output map.

    Where the graph has the layout `sciml.graph.Complete` the result comes from torch's fused kernel.

    Args:
        channels: of the field at receivers.
        heads: each with a softmax of its own.
        out_channels: of the result; ``channels`` if None.
        sender_channels: of the field at senders of a two-sided graph; ``channels`` if None.
        width: channels of a head; ``channels / heads`` if None.
        biases: positional encodings on scores, see `sciml.nn.attention.score_encodings`.
        rotary: positional encoding on queries and keys, of this width.
        bias: give the four linear maps a constant.
        field: of nodes (and senders) that is read, and of nodes that is replaced.

    Raises:
        ValueError: heads that do not divide the channels, encodings made for another number of heads or
            another width; in use, a field that is not there or has other channels, or no positions.

    Vaswani et al. 2017, arXiv 1706.03762, equations 1 and section 3.2.2.
    """

    about = About(
        domain="any graph: sets, sequences, grids, two sets",
        content="q(x_i), k(x_j), v(x_j)",
        geometry="none, or what the encodings give",
        equation=(
            r"x_i' = W_o \sum_j \operatorname{softmax}_j\!\big("
            r"q_i \cdot k_j / \sqrt{d} + b_{ij}\big)\, v_j"
        ),
        cost="nodes · channels² + edges · channels",
        fused="scaled_dot_product_attention, on complete graphs",
        source="Vaswani et al. 2017, arXiv 1706.03762, eq. 1",
    )

    def __init__(
        self,
        channels: int,
        heads: int = 8,
        *,
        out_channels: int | None = None,
        sender_channels: int | None = None,
        width: int | None = None,
        biases: Sequence[ScoreBias] = (),
        rotary: Rotary | None = None,
        bias: bool = True,
        field: str = "x",
    ) -> None:
        super().__init__()
        self.width = check_heads(channels, heads, "MultiHeadAttention") if width is None else width
        self.channels, self.heads, self.field = channels, heads, field
        self.sender_channels = channels if sender_channels is None else sender_channels
        self.query = nn.Linear(channels, heads * self.width, bias)
        self.key = nn.Linear(self.sender_channels, heads * self.width, bias)
        self.value = nn.Linear(self.sender_channels, heads * self.width, bias)
        self.output = nn.Linear(heads * self.width, out_channels or channels, bias)
        self.biases, self.rotary = nn.ModuleList(biases), rotary
        self._check_encodings(biases)
        self.symmetry = Symmetry(("S", *common_groups([*biases, *([] if rotary is None else [rotary])])))

    def _check_encodings(self, biases: Sequence[ScoreBias]) -> None:
        for encoding in biases:
            if encoding.heads != self.heads:
                raise ValueError(
                    f"{type(encoding).__name__} is for {encoding.heads} heads; there are {self.heads}."
                )
            keys = getattr(encoding, "keys", None)
            if keys is not None and keys.shape[-1] != self.width:
                raise ValueError(
                    f"{type(encoding).__name__} has key_width={keys.shape[-1]}; heads are {self.width} wide."
                )
        if self.rotary is not None and self.rotary.width != self.width:
            raise ValueError(f"Rotary is for heads {self.rotary.width} wide; these are {self.width} wide.")

    # --------------------------------------------------- at nodes

    def queries(self, graph: Graph) -> Float[Tensor, "nodes heads width"]:
        """Return what receivers ask."""
        x = read(graph, "nodes", self.field, "MultiHeadAttention", self.channels)
        query = self.query(x).unflatten(-1, (self.heads, self.width))
        return query if self.rotary is None else self._turned(query, graph, "nodes")

    def keys(self, graph: Graph) -> Float[Tensor, "senders heads width"]:
        """Return what senders answer to."""
        key = self.key(self._sent(graph)).unflatten(-1, (self.heads, self.width))
        return key if self.rotary is None else self._turned(key, graph, sending(graph))

    def values(self, graph: Graph) -> Float[Tensor, "senders heads width"]:
        """Return what senders send."""
        return self.value(self._sent(graph)).unflatten(-1, (self.heads, self.width))

    def _sent(self, graph: Graph) -> Float[Tensor, "senders channels"]:
        return read(graph, sending(graph), self.field, "MultiHeadAttention", self.sender_channels)

    def _turned(self, value: Tensor, graph: Graph, place: Place) -> Tensor:
        assert self.rotary is not None
        pos = read(graph, place, "pos", "Rotary", self.rotary.dim)
        return self.rotary(value, self.rotary.turns(pos))

    # --------------------------------------------------- along edges

    def score(self, edges: Edges) -> Float[Tensor, "edges heads"]:
        """Return q_i · k_j / √width + b_ij."""
        graph = edges.graph
        query = self.queries(graph)
        product = (
            query.index_select(0, graph.receiver) * self.keys(graph).index_select(0, graph.sender)
        ).sum(-1) / self.width**0.5
        bias = self.added(edges, query)
        return product if bias is None else product + bias

    def added(
        self, edges: Edges, query: Float[Tensor, "nodes heads width"]
    ) -> Float[Tensor, "edges heads"] | None:
        """Return b_ij, what the encodings add to scores; None where there are none."""
        parts = [encoding(edges, query) for encoding in self.biases]
        return torch.stack(parts).sum(0) if len(parts) > 1 else (parts[0] if parts else None)

    def normalize(self, score: Tensor, graph: Graph) -> Float[Tensor, "edges heads"]:
        """Return the softmax over the edges of each receiver."""
        return segment_softmax(score, graph.receiver, graph.num_nodes)

    def weights(self, graph: Graph) -> Float[Tensor, "edges heads"]:
        """Return how much each receiver attends to each of its senders: to look at."""
        return self.normalize(self.score(Edges(graph)), graph)

    def message(self, edges: Edges) -> Float[Tensor, "edges heads width"]:
        """Return v_j."""
        return self.values(edges.graph).index_select(0, edges.graph.sender)

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes heads width"]) -> Graph:
        """Join the heads."""
        x = self.output(aggregated.flatten(1))
        return graph.with_nodes({self.field: Spec(f"{x.shape[1]}x0e")}, **{self.field: x})

    def forward(self, graph: Graph) -> Graph:
        """Attend along the edges.

        Raises:
            ValueError: a grid that has no edges yet; see also the class.
        """
        if isinstance(graph.layout, Grid) and not graph.layout.offsets:
            raise ValueError(
                "MultiHeadAttention goes along edges, and this grid has none yet: build it with "
                "grid_graph(..., kernel=...) to attend within a window, or apply sciml.builders.all_pairs to "
                "attend to all."
            )
        return super().forward(graph)

    def fused_forward(self, graph: Graph) -> Graph | None:
        """Return the same by torch's kernel, on complete graphs."""
        padding = Padding.of(graph)
        if padding is None:
            return None
        query = self.queries(graph)
        result = attend(
            padding.receivers_in(query),
            padding.senders_in(self.keys(graph)),
            padding.senders_in(self.values(graph)),
            padding.mask(self.added(Edges(graph), query)),
        )
        return self.update(graph, padding.receivers_out(result))


def sending(graph: Graph) -> Place:
    """Return where the fields of senders are."""
    return "senders" if graph.two_sided else "nodes"
