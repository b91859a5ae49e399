"""Convolution with tensor products: features times harmonics of the direction, weighted by the distance."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.equivariant.paths import Kind, Paths, kinds, tensor_paths
from sciml.nn.equivariant.product import edge_products
from sciml.nn.message_passing import Edges
from sciml.nn.pairs import DistanceMessages, Radial
from sciml.nn.pieces import weighted_convolution
from sciml.symmetry import Symmetry

SILU = 1.6791767  # makes ⟨silu(x)²⟩ = 1 for normal x


def field(kind: Kind) -> str:
    """Return the name of the node field of an irrep: ``x1o``, (nodes, channels, 2l + 1)."""
    return f"x{kind}"


def normal_(weight: Tensor, fan_in: float, gain: float = 1.0) -> Tensor:
    """Draw weights that keep the size of what they act on."""
    return nn.init.normal_(weight, std=gain / fan_in**0.5)


def radial_network(radial: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Return a network without constants, so that it is zero where all functions of the distance are."""
    layers: list[nn.Module] = []
    for number, (inputs, width) in enumerate(zip((radial, *hidden), (*hidden, outputs))):
        layers += [nn.SiLU()] if number else []
        layers.append(nn.Linear(inputs, width, bias=False))
        normal_(layers[-1].weight, inputs, SILU if number else 1.0)  # type: ignore[arg-type]
    return nn.Sequential(*layers)


class TensorConvolution(DistanceMessages):
    """z_i^p = Σ_j w_p(r_ij) · (x_j ⊗ Y(r̂_ij))^p for each product p of an irrep and harmonics of a degree.

    The convolution of tensor field networks (Thomas et al. 2018, arXiv 1802.08219) and NequIP (Batzner et al.
    2022, arXiv 2101.03164, equation 6): weighted, channel by channel (e3nn's ``uvu``).

    Reads one node field for each irrep, as ``x1o`` (nodes, channels, 3), kept in memory with the channels
    last; and the edge fields ``harmonics`` (edges, (lmax + 1)²), ``radial`` (edges, radial) and ``envelope``
    (edges,). Gives fields of the same names, the results of the paths into one irrep side by side:
    (nodes, slots · channels, 2l + 1). The fast path (`sciml.nn.equivariant.kernel`) needs llvmlite.

    Args:
        irreps: of the features, as ``"0e+1o"``, each with as many channels.
        out: irreps to give; those that no product gives are left out.
        lmax: of the harmonics.
        channels: of each irrep.
        radial: functions of the distance.
        hidden: widths of the network that makes weights of them.
        parity: False where all irreps, those of harmonics too, are called even: what is read off
            directions then differs between mirror images.
    """

    about = About(
        domain="atoms, or any points in space",
        content="tensors x_j of any degree",
        geometry="spherical harmonics of the direction, weighted by a network on the distance",
        equation=r"z_i^{p} = \textstyle\sum_j w_p(r_{ij})\, \big(x_j \otimes Y(\hat r_{ij})\big)^{p}",
        cost="edges · channels · (couplings + hidden · paths)",
        fused="gather, sparse product and scatter in one pass",
        source="Thomas et al. 2018, arXiv 1802.08219; Batzner et al. 2022, arXiv 2101.03164, equation 6",
    )
    symmetry = Symmetry(("S", "O"))

    def __init__(
        self,
        irreps: str | Sequence[Kind] = "0e+1o",
        out: str | Sequence[Kind] = "0e+1o",
        lmax: int = 1,
        channels: int = 64,
        radial: int = 8,
        hidden: Sequence[int] = (64, 64),
        parity: bool = True,
    ) -> None:
        super().__init__()
        self.paths: Paths = tensor_paths(kinds(irreps), lmax, kinds(out), channels, parity)
        self.weigh = radial_network(radial, hidden, len(self.paths.paths) * channels)

    def features(self, graph: Graph) -> list[Float[Tensor, "nodes components channels"]]:
        """Return what is convolved."""
        return [graph.nodes[field(kind)].transpose(1, 2) for kind in self.paths.left]

    def weights(self, radial: Radial) -> Float[Tensor, "rows paths*channels"]:
        """Return w_p(r_ij)."""
        return self.weigh(radial.values * radial.envelope[:, None])

    def message(self, edges: Edges) -> Float[Tensor, "edges values"]:
        """Return the products on each edge."""
        graph = edges.graph
        senders = [x.index_select(0, graph.sender) for x in self.features(graph)]
        weights = self.weights(Radial(edges["radial"], edges["envelope"]))
        products = edge_products(self.paths, senders, edges["harmonics"], weights)
        return torch.cat([product.flatten(1) for product in products], dim=1)

    def message_inputs(self, edges: Edges) -> dict[str, Tensor]:
        """Return x_j, the radial functions and the harmonics."""
        fields = {f"{field(kind)}_j": edges.sender(field(kind)) for kind in self.paths.left}
        return fields | {name: edges[name] for name in ("radial", "envelope", "harmonics")}

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes values"]) -> Graph:
        """Divide the sums among irreps."""
        paths = self.paths
        shapes = [(kind.size, paths.slots(o) * paths.channels) for o, kind in enumerate(paths.out)]
        blocks = aggregated.split([a * b for a, b in shapes], dim=1)
        return self.combine(graph, [block.unflatten(1, shape) for block, shape in zip(blocks, shapes)])

    def compiled_forward(self, graph: Graph, radial: Radial) -> Graph:
        """Do without anything of the size edges × channels but the weights."""
        x = self.features(graph)
        harmonics = graph.edges["harmonics"]
        found = weighted_convolution(self.paths, x, harmonics, self.weights, radial, graph, self.training)
        return self.combine(graph, found)

    def combine(
        self, graph: Graph, blocks: Sequence[Float[Tensor, "nodes components slots*channels"]]
    ) -> Graph:
        """Return the graph with the sums as its fields."""
        return with_features(graph, self.paths.left, dict(zip(self.paths.out, blocks)))


def with_features(
    graph: Graph, before: Sequence[Kind], values: dict[Kind, Float[Tensor, "nodes components channels"]]
) -> Graph:
    """Return the graph with these fields in place of those of before."""
    gone = [field(kind) for kind in before if kind not in values]
    specs = {field(kind): Spec(str(kind)) for kind in values}
    graph = graph.with_nodes(specs, **{field(kind): x.transpose(1, 2) for kind, x in values.items()})
    return graph.without("nodes", *gone) if gone else graph
