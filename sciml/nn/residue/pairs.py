"""The pair representation: what is known of two residues, made consistent over triangles of three."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.message_passing import Edges, MessagePassing, segment_softmax
from sciml.nn.residue.fields import read
from sciml.nn.residue.triangles import Corner, Tables, check_corner, triangles
from sciml.symmetry import Symmetry


class TriangleLayer(MessagePassing):
    """A layer that passes messages between the edges of a graph, along its triangles.

    The engine runs on the graph of triangles, whose nodes are the pairs; subclasses fill its slots. Which
    triangles there are is asked of the device, but for complete graphs (`sciml.graph.Complete`), where dense
    tables give the same without asking.
    """

    symmetry = Symmetry(("S",))

    def __init__(self, channels: int, corner: Corner, gated: int) -> None:
        super().__init__()
        check_corner(corner)
        self.channels, self.corner = channels, corner
        self.norm = nn.LayerNorm(channels)
        self.gate = nn.Linear(channels, gated)

    def forward(self, graph: Graph) -> Graph:
        """Replace ``e`` by the update, which is not yet added to it.

        Raises:
            ValueError: no field ``e`` of these channels, two node sets, two edges from one node to another.
        """
        e = self.norm(read(graph, "edges", "e", type(self).__name__, self.channels))
        tables = Tables.of(graph) if self.fused and self._recording is None else None
        if tables is not None:
            new = self.dense(tables, e)
        else:
            new = super().forward(triangles(graph, self.corner, e=e)).nodes["e"]
        return graph.with_edges({"e": Spec(f"{self.channels}x0e")}, e=new)

    def dense(self, tables: Tables, e: Float[Tensor, "edges channels"]) -> Float[Tensor, "edges channels"]:
        """Return the same by dense tables."""
        raise NotImplementedError(f"{type(self).__name__} must define dense(tables, e).")

    def fused_forward(self, graph: Graph) -> Graph | None:
        """Return None: `forward` has decided already."""
        return None


class TriangleMultiplication(TriangleLayer):
    """e_ij' = g_ij ⊙ W norm( Σ_k a_ik ⊙ b_jk ): two sides of a triangle tell of the third.

    a, b and g are gated linear maps of e; with ``incoming`` the sum is over a_ki ⊙ b_kj. A pair (i, j) is the
    edge from j to i, and k runs over all nodes that have both edges. Jumper et al. 2021 (AlphaFold 2),
    supplement, algorithms 11 and 12.

    Args:
        channels: of the edge field ``e``, read and replaced.
        hidden: channels of a and b; ``channels`` if None.
        corner: "outgoing" (algorithm 11) or "incoming" (12).
    """

    about = About(
        domain="pairs of residues",
        content="e_ik and e_jk",
        geometry="which pairs form a triangle",
        equation=r"e_{ij}' = g_{ij} \odot W\, \mathrm{norm}\Big(\sum_k a_{ik} \odot b_{jk}\Big)",
        cost="triangles · hidden + edges · channels · hidden",
        fused="matrix products, on complete graphs",
        source="Jumper et al. 2021, doi 10.1038/s41586-021-03819-2, supplement, algorithms 11 and 12",
    )

    def __init__(self, channels: int = 32, hidden: int | None = None, corner: Corner = "outgoing") -> None:
        super().__init__(channels, corner, gated=channels)
        hidden = hidden or channels
        self.sides, self.side_gates = nn.Linear(channels, 2 * hidden), nn.Linear(channels, 2 * hidden)
        self.inner_norm, self.output = nn.LayerNorm(hidden), nn.Linear(hidden, channels)

    def _sides(self, e: Tensor) -> tuple[Tensor, ...]:
        return (torch.sigmoid(self.side_gates(e)) * self.sides(e)).chunk(2, dim=-1)

    def message(self, edges: Edges) -> Float[Tensor, "triangles hidden"]:
        """Return a_ik ⊙ b_jk."""
        a, b = self._sides(edges.graph.nodes["e"])
        return a.index_select(0, edges.graph.sender) * b.index_select(0, edges["other"])

    def update(self, graph: Graph, aggregated: Float[Tensor, "pairs hidden"]) -> Graph:
        """Normalize the sums and gate them."""
        return graph.with_nodes(None, e=self._finish(graph.nodes["e"], aggregated))

    def _finish(self, e: Tensor, summed: Tensor) -> Tensor:
        return torch.sigmoid(self.gate(e)) * self.output(self.inner_norm(summed))

    def dense(self, tables: Tables, e: Float[Tensor, "edges channels"]) -> Float[Tensor, "edges channels"]:
        """Return the same by products of tables."""
        a, b = (tables.table(side) for side in self._sides(e))
        form = "gikc,gjkc->gijc" if self.corner == "outgoing" else "gkic,gkjc->gijc"
        return self._finish(e, tables.rows(torch.einsum(form, a, b)))


class TriangleAttention(TriangleLayer):
    """e_ij' = W ( g_ij ⊙ Σ_k softmax_k( q_ij · k_ik / √c + b_jk ) v_ik ): the pairs of one row attend.

    With ``incoming`` the pairs of one column do: k_kj, v_kj and b_ki. A pair (i, j) is the edge from j to i,
    and k runs over all nodes that have both edges. Jumper et al. 2021 (AlphaFold 2), supplement,
    algorithms 13 and 14.

    Args:
        channels: of the edge field ``e``, read and replaced.
        heads, width: attention heads, and channels of each.
        corner: "outgoing" (around the starting node, algorithm 13) or "incoming" (ending node, 14).
    """

    about = About(
        domain="pairs of residues",
        content="q(e_ij), k(e_ik), v(e_ik), b(e_jk)",
        geometry="which pairs form a triangle",
        equation=(
            r"e_{ij}' = W \Big( g_{ij} \odot \sum_k \operatorname{softmax}_k"
            r"\big(q_{ij} \cdot k_{ik}/\sqrt c + b_{jk}\big)\, v_{ik} \Big)"
        ),
        cost="triangles · heads · width + edges · channels · heads · width",
        fused="matrix products, on complete graphs",
        source="Jumper et al. 2021, doi 10.1038/s41586-021-03819-2, supplement, algorithms 13 and 14",
    )

    def __init__(
        self, channels: int = 32, heads: int = 4, width: int = 8, corner: Corner = "outgoing"
    ) -> None:
        super().__init__(channels, corner, gated=heads * width)
        self.heads, self.width = heads, width
        self.inner = nn.Linear(channels, 3 * heads * width, bias=False)
        self.bias = nn.Linear(channels, heads, bias=False)
        self.output = nn.Linear(heads * width, channels)

    def _projected(self, e: Tensor) -> tuple[Tensor, ...]:
        """Return queries, keys and values (edges, heads, width)."""
        return self.inner(e).unflatten(-1, (3, self.heads, self.width)).unbind(-3)

    def _ends(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Return the pair that is heard and that of the bias: (i, k) and (j, k), or (k, j) and (k, i)."""
        ends = graph.sender, graph.edges["other"]
        return ends if self.corner == "outgoing" else ends[::-1]

    def score(self, edges: Edges) -> Float[Tensor, "triangles heads"]:
        """Return q_ij · k_ik / √c + b_jk."""
        graph = edges.graph
        query, key, _ = self._projected(graph.nodes["e"])
        side, other = self._ends(graph)
        product = (query.index_select(0, graph.receiver) * key.index_select(0, side)).sum(-1)
        return product / self.width**0.5 + self.bias(graph.nodes["e"]).index_select(0, other)

    def normalize(self, score: Tensor, graph: Graph) -> Float[Tensor, "triangles heads"]:
        """Return the softmax over the triangles of each pair."""
        return segment_softmax(score, graph.receiver, graph.num_nodes)

    def message(self, edges: Edges) -> Float[Tensor, "triangles heads width"]:
        """Return v_ik."""
        return self._projected(edges.graph.nodes["e"])[2].index_select(0, self._ends(edges.graph)[0])

    def update(self, graph: Graph, aggregated: Float[Tensor, "pairs heads width"]) -> Graph:
        """Gate the sums and join the heads."""
        return graph.with_nodes(None, e=self._finish(graph.nodes["e"], aggregated.flatten(1)))

    def _finish(self, e: Tensor, heard: Tensor) -> Tensor:
        return self.output(torch.sigmoid(self.gate(e)) * heard)

    def dense(self, tables: Tables, e: Float[Tensor, "edges channels"]) -> Float[Tensor, "edges channels"]:
        """Return the same by products of tables."""
        turn = (lambda t: t) if self.corner == "outgoing" else (lambda t: t.transpose(1, 2))
        query, key, value = (turn(tables.table(part)).transpose(2, 3) for part in self._projected(e))
        bias = turn(tables.table(self.bias(e))).permute(0, 3, 1, 2)  # graphs heads j k
        bias = tables.hide_padding(bias)[:, None]
        weight = (query @ key.mT / self.width**0.5 + bias).softmax(-1)  # graphs i heads j k
        heard = turn((weight @ value).transpose(2, 3))  # graphs i j heads width
        return self._finish(e, tables.rows(heard).flatten(1))


class PairFromNodes(nn.Module):
    """e_ij' = e_ij + W (a(x_i) ⊙ b(x_j)): what two residues are, told to their pair.

    An outer product in small, as in Lin et al. 2022 (ESMFold, doi 10.1101/2022.07.20.500902).

    Args:
        channels, edge_channels: of ``x`` and ``e``.
    """

    about = About(
        domain="any graph",
        content="x_i and x_j",
        geometry="none",
        equation=r"e_{ij}' = e_{ij} + W\,(a(x_i) \odot b(x_j))",
        cost="nodes · channels · edge_channels + edges · edge_channels²",
        source="Lin et al. 2022, doi 10.1101/2022.07.20.500902",
    )
    symmetry = Symmetry(("S",))

    def __init__(self, channels: int = 64, edge_channels: int = 32) -> None:
        super().__init__()
        self.channels, self.edge_channels = channels, edge_channels
        self.norm = nn.LayerNorm(channels)
        self.receiver, self.sender = nn.Linear(channels, edge_channels), nn.Linear(channels, edge_channels)
        self.output = nn.Linear(edge_channels, edge_channels)

    def forward(self, graph: Graph) -> Graph:
        """Add to ``e``."""
        x = self.norm(read(graph, "nodes", "x", "PairFromNodes", self.channels))
        a, b = self.receiver(x).index_select(0, graph.receiver), self.sender(x).index_select(0, graph.sender)
        e = read(graph, "edges", "e", "PairFromNodes", self.edge_channels) + self.output(a * b)
        return graph.with_edges({"e": Spec(f"{self.edge_channels}x0e")}, e=e)


class PairBlock(nn.Module):
    """Pairs from nodes, two triangle multiplications and two attentions, a feed-forward part: all added.

    The pair stack of Jumper et al. 2021 (AlphaFold 2), supplement, algorithm 6, in small. On
    complete graphs (`sciml.builders.residue_pairs`) it costs nodes³, on contact graphs nodes times the square
    of the neighbours.

    Args:
        channels, edge_channels: of ``x``, read, and ``e``, read and replaced.
        hidden: channels of the triangle multiplications.
        heads, width: of the triangle attentions.
        dropout: rate, of what is added.
    """

    about = About(
        domain="pairs of residues",
        content="x_i, x_j, e_ij, and the other sides of triangles",
        geometry="which pairs form a triangle",
        equation=r"e_{ij} \leftarrow e_{ij} + \mathrm{update}_{ij}(e), \text{ five times}",
        cost="4 · triangles · hidden + edges · channels²",
        source="Jumper et al. 2021, doi 10.1038/s41586-021-03819-2, supplement, algorithm 6",
    )
    symmetry = Symmetry(("S",))

    def __init__(
        self,
        channels: int = 64,
        edge_channels: int = 32,
        *,
        hidden: int = 16,
        heads: int = 4,
        width: int = 8,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        corners: tuple[Corner, ...] = ("outgoing", "incoming")
        self.from_nodes = PairFromNodes(channels, edge_channels)
        self.updates = nn.ModuleList(
            [TriangleMultiplication(edge_channels, hidden, corner) for corner in corners]
            + [TriangleAttention(edge_channels, heads, width, corner) for corner in corners]
        )
        self.transition = nn.Sequential(
            nn.LayerNorm(edge_channels),
            nn.Linear(edge_channels, 2 * edge_channels),
            nn.SiLU(),
            nn.Linear(2 * edge_channels, edge_channels),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, graph: Graph) -> Graph:
        """Add all updates to ``e``."""
        graph = self.from_nodes(graph)
        for update in self.updates:
            e = graph.edges["e"] + self.dropout(update(graph).edges["e"])
            graph = graph.with_edges(None, e=e)
        e = graph.edges["e"]
        return graph.with_edges(None, e=e + self.dropout(self.transition(e)))
