"""Continuous-filter convolution: the layer of SchNet."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.equivariant.paths import kinds, tensor_paths
from sciml.nn.message_passing import Edges
from sciml.nn.pairs import DistanceMessages, Radial
from sciml.nn.pieces import weighted_convolution
from sciml.nn.smooth import ShiftedSoftplus
from sciml.symmetry import Symmetry


class ContinuousFilter(DistanceMessages):
    """One interaction of SchNet: neighbours, filtered by a network on the distance, are added up.

        x_i' = x_i + W₃ σ(W₂ Σ_j (W₁ x_j) ∘ f(r_ij) φ(radial(r_ij)))

    with σ the shifted softplus, φ a network of two layers and f the envelope that ends it at the cutoff
    (Schütt et al. 2017, arXiv 1706.08566, section 4; the envelope is not in the paper, whose energy is
    not smooth where atoms enter the cutoff).

    Args:
        channels: of the node field ``x``.
        radial: functions of distance in the edge field ``radial`` (edges, radial).

    Reads the edge field ``envelope`` (edges,) besides.
    """

    about = About(
        domain="atoms, or any points in space",
        content="x_j",
        geometry="distance r_ij, by radial functions and an envelope",
        equation=r"x_i' = x_i + W_3\, \sigma\big(W_2 \textstyle\sum_j"
        r" (W_1 x_j) \circ f(r_{ij})\, \varphi(r_{ij})\big)",
        cost="edges · channels · (channels + radial) + nodes · channels²",
        fused="gather, product and scatter in one pass",
        source="Schütt et al. 2017, arXiv 1706.08566, section 4",
    )
    symmetry = Symmetry(("S",))

    def __init__(self, channels: int = 128, radial: int = 50) -> None:
        super().__init__()
        self.filter = nn.Sequential(
            nn.Linear(radial, channels), ShiftedSoftplus(), nn.Linear(channels, channels)
        )
        self.before = nn.Linear(channels, channels, bias=False)
        self.after = nn.Sequential(
            nn.Linear(channels, channels), ShiftedSoftplus(), nn.Linear(channels, channels)
        )
        self.channels = channels

    def message(self, edges: Edges) -> Float[Tensor, "edges channels"]:
        """Return the filtered neighbours; the linear map is applied to nodes, before they are gathered."""
        senders = self.before(edges.graph.nodes["x"]).index_select(0, edges.graph.sender)
        return senders * (self.filter(edges["radial"]) * edges["envelope"][:, None])

    def message_inputs(self, edges: Edges) -> dict[str, Tensor]:
        """Return x_j and the radial functions."""
        return {"x_j": edges.sender("x"), "radial": edges["radial"], "envelope": edges["envelope"]}

    def compiled_forward(self, graph: Graph, radial: Radial) -> Graph:
        """Gather, filter and sum in one pass, with the envelope as the harmonics of degree 0."""
        x = self.before(graph.nodes["x"])[:, None]
        scalar = kinds("0e")
        reach, weigh = graph.edges["envelope"][:, None], lambda radial: self.filter(radial.values)
        paths = tensor_paths(scalar, 0, scalar, self.channels)
        (joined,) = weighted_convolution(paths, [x], reach, weigh, radial, graph, self.training)
        return self.update(graph, joined[:, 0])

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes channels"]) -> Graph:
        """Return the graph with x'."""
        x = graph.nodes["x"] + self.after(aggregated)
        return graph.with_nodes({"x": Spec(f"{self.channels}x0e")}, x=x)
