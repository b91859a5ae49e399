"""Scalars and vectors at atoms that mix along edges: the layer of PaiNN."""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.equivariant.paths import Path, Paths, coupling_entries, kinds
from sciml.nn.message_passing import Edges, segment_reduce
from sciml.nn.pairs import DistanceMessages, Radial
from sciml.nn.pieces import weighted_convolution
from sciml.symmetry import Symmetry

LEAST = 1e-8  # under the root of |V|², whose slope is infinite at zero


class PaiNNLayer(DistanceMessages):
    """One message block and one update block of PaiNN (Schütt et al. 2021, arXiv 2102.03150).

    Message, equations 7 and 8, with W_ij = f(r_ij) (W radial(r_ij) + b) and φ = MLP(x_j):

        x_i ← x_i + Σ_j φ_s ∘ W_s
        v_i ← v_i + Σ_j (φ_v ∘ W_v) v_j + (φ_r ∘ W_r) r̂_ij

    Update, equations 9 and 10, with a = MLP(x_i, |V v_i|):

        x_i ← x_i + a_ss + a_sv ∘ ⟨U v_i, V v_i⟩          v_i ← v_i + a_vv ∘ U v_i

    The fast path is that of `TensorConvolution`: gather, product and scatter in one pass over the edges.
    Where that is not to be had, scalars and the three components of vectors, channels last, are added up in
    two pieces, so that neither is copied.

    Args:
        channels: of the node fields ``x`` (nodes, channels) and ``v`` (nodes, channels, 3); without ``v``,
            as at the start of a network, it is zero, and costs nothing.
        radial: functions of distance in the edge field ``radial`` (edges, radial).

    Reads the edge fields ``envelope`` (edges,) and ``direction`` (edges, 3) besides.
    """

    about = About(
        domain="atoms, or any points in space",
        content="scalars x_j and vectors v_j",
        geometry="distance r_ij, by radial functions and an envelope, and direction r̂_ij",
        equation=r"v_i' = v_i + \textstyle\sum_j \varphi_v(x_j) W_v(r_{ij})\, v_j"
        r" + \varphi_r(x_j) W_r(r_{ij})\, \hat r_{ij}",
        cost="edges · channels · (3 radial + 12) + nodes · channels²",
        fused="gather, products and scatter in one pass",
        source="Schütt et al. 2021, arXiv 2102.03150, equations 7 to 10",
    )
    symmetry = Symmetry(("S", "O"))

    def __init__(self, channels: int = 128, radial: int = 20) -> None:
        super().__init__()
        self.channels = channels
        self.content = nn.Sequential(
            nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, 3 * channels)
        )
        self.filter = nn.Linear(radial, 3 * channels)
        self.mix = nn.Linear(channels, 2 * channels, bias=False)  # U and V, on channels of vectors
        self.gate = nn.Sequential(
            nn.Linear(2 * channels, channels), nn.SiLU(), nn.Linear(channels, 3 * channels)
        )

    # ------------------------------------------------------------------ messages

    def weights(self, graph: Graph) -> tuple[Tensor, Tensor, Tensor]:
        """Return φ ∘ W for scalars, for vectors and for directions, each (edges, channels)."""
        content = self.content(graph.nodes["x"]).index_select(0, graph.sender)
        filters = self.filter(graph.edges["radial"]) * graph.edges["envelope"][:, None]
        scalar, vector, radial = (content * filters).split(self.channels, dim=1)
        return scalar, vector, radial

    def message(self, edges: Edges) -> Float[Tensor, "edges channels 4"]:
        """Return the scalar and the three components of the vector that each edge carries."""
        scalar, vector, radial = self.weights(edges.graph)
        arrows = radial[..., None] * edges["direction"][:, None, :]
        if "v" in edges.graph.nodes:
            arrows = arrows + vector[..., None] * edges.sender("v")
        return torch.cat([scalar[..., None], arrows], dim=-1)

    def message_inputs(self, edges: Edges) -> dict[str, Tensor]:
        """Return x_j, the radial functions and the direction."""
        return {"x_j": edges.sender("x"), "radial": edges["radial"], "direction": edges["direction"]}

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes channels 4"]) -> Graph:
        """Add the messages, then mix scalars and vectors within each atom."""
        arrows = aggregated[..., 1:] + graph.nodes["v"] if "v" in graph.nodes else aggregated[..., 1:]
        return self.mixed(graph, graph.nodes["x"] + aggregated[..., 0], arrows.transpose(1, 2))

    # ------------------------------------------------------------------ fast path

    def fused_forward(self, graph: Graph) -> Graph:
        """Take the compiled path where there is one; else sum scalars and vectors apart, channels last."""
        compiled = super().fused_forward(graph)
        if compiled is not None:
            return compiled
        scalar, vector, radial = self.weights(graph)
        total = lambda values: segment_reduce(values, graph.receiver, graph.num_nodes)
        carried = radial[:, None] * graph.edges["direction"][:, :, None]  # edges 3 channels
        if "v" in graph.nodes:
            before = graph.nodes["v"].transpose(1, 2)
            arrows = before + total(carried + vector[:, None] * before.index_select(0, graph.sender))
        else:
            arrows = total(carried)
        return self.mixed(graph, graph.nodes["x"] + total(scalar), arrows)

    def compiled_forward(self, graph: Graph, radial: Radial) -> Graph:
        """Take φ_s, φ_v v_j and φ_r, formed at nodes, as tensors that are convolved with 1, 1 and r̂_ij.

        The envelope stands with these, so that of the size edges × channels there is the filter alone.
        """
        content = self.content(graph.nodes["x"]).split(self.channels, dim=1)
        scalar, vector, arrow = (part[:, None] for part in content)
        weight: Tensor = self.filter.weight
        bias: Tensor = self.filter.bias
        if "v" in graph.nodes:
            before = graph.nodes["v"].transpose(1, 2)
            features = [scalar, vector * before, arrow]
        else:
            before, features = None, [scalar, arrow]
            weight, bias = (torch.cat([t[: self.channels], t[2 * self.channels :]]) for t in (weight, bias))
        reach = graph.edges["envelope"][:, None]
        harmonics = torch.cat([reach, reach * graph.edges["direction"]], dim=1)
        weigh = lambda radial: functional.linear(radial.values, weight, bias)
        products = _products(self.channels, before is not None)
        scalars, arrows = weighted_convolution(
            products, features, harmonics, weigh, radial, graph, self.training
        )
        if before is not None:
            arrows = before + arrows.unflatten(2, (2, self.channels)).sum(2)
        return self.mixed(graph, graph.nodes["x"] + scalars[:, 0], arrows)

    # ------------------------------------------------------------------ update

    def mixed(
        self, graph: Graph, x: Float[Tensor, "nodes channels"], arrows: Float[Tensor, "nodes 3 channels"]
    ) -> Graph:
        """Return the graph with equations 9 and 10 applied to x and v."""
        left, right = self.mix(arrows).split(self.channels, dim=2)
        norm = (right.square().sum(1) + LEAST).sqrt()
        plain, product, gate = self.gate(torch.cat([x, norm], dim=1)).split(self.channels, dim=1)
        x = x + plain + product * (left * right).sum(1)
        arrows = arrows + gate[:, None] * left
        specs = {"x": Spec(f"{self.channels}x0e"), "v": Spec("1o")}
        return graph.with_nodes(specs, x=x, v=arrows.transpose(1, 2))


@cache
def _products(channels: int, with_vectors: bool) -> Paths:
    """Return the products of the message: of φ_s with 1, of φ_v v_j with 1, of φ_r with r̂_ij."""
    scalar, arrow = kinds("0e+1o")
    wanted = [(scalar, 0, 0), (arrow, 0, 1), (scalar, 1, 1)]  # irrep, degree, number of the result
    if not with_vectors:
        del wanted[1]
    paths = tuple(
        Path(n, degree, out, int(with_vectors and n == 2), coupling_entries(kind.degree, degree, out))
        for n, (kind, degree, out) in enumerate(wanted)
    )
    return Paths(tuple(kind for kind, *_ in wanted), 1, (scalar, arrow), paths, channels)
