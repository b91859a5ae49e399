"""Attention among points in space that turns with them: E(3)-equivariant, on e3nn's irreps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.attention.fields import check_one_set, distances, read, vectors
from sciml.nn.message_passing import Edges, MessagePassing, segment_reduce
from sciml.nn.mlp import mlp
from sciml.nn.radial import envelope, gaussians
from sciml.symmetry import Symmetry

if TYPE_CHECKING:
    from e3nn import o3


class EquivariantAttention(MessagePassing):
    """Attention with invariant scores and messages by tensor products with spherical harmonics.

        k_ij, v_ij = (x_j ⊗ Y(r̂_ij)) with weights by a network of r_ij;   s_ij = q(x_i) · k_ij / √dim
        x_i' = W_o Σ_j α_ij v_ij + W_x x_i,     α_ij = u(r_ij) e^{s_ij} / (1 + Σ_k u(r_ik) e^{s_ik})

    Features are steerable: scalars, arrows and higher irreps, by heads. The envelope u ends smoothly at the
    cutoff; the 1 stands for a silent neighbour, so that a node whose last neighbour leaves is left
    smoothly too. Neighbours farther than the cutoff, and coincident ones' directions, count nothing.

    Args:
        irreps_in: of the node field, in e3nn's notation, as ``"8x0e+4x1o"``.
        irreps_out: of the result; ``irreps_in`` if None.
        heads: the copies of every irrep of ``irreps_hidden`` are dealt out to them.
        irreps_hidden: of queries, keys and values; ``irreps_in`` if None.
        cutoff: in the unit of ``pos``.
        degree: highest degree of the spherical harmonics.
        reflections: True: O(3), parities are kept. False: SO(3), paths of either parity are taken, which
            lets the layer tell left from right.
        basis: number of Gaussians that distances are expanded in.
        hidden: widths of the radial networks.
        field: of nodes, which is read and replaced.

    Raises:
        ValueError: heads that do not divide the copies of an irrep, no path to an irrep; in use, a field
            that is not there or has other irreps or channels, or no positions.

    Fuchs et al. 2020 (SE(3)-Transformer), arXiv 2006.10503, equations 10 and 11; Liao & Smidt 2023
    (Equiformer), arXiv 2206.11990. The envelope and the silent neighbour are ours.
    """

    about = About(
        domain="points in space",
        content="q(x_i); x_j, as irreps of O(3) or SO(3)",
        geometry="spherical harmonics of the direction, a network of the distance",
        equation=(
            r"x_i' = \sum_j \frac{u_{ij} e^{q_i \cdot k_{ij}}}{1 + \sum_k u_{ik} e^{q_i \cdot k_{ik}}}\, "
            r"v_{ij}, \quad k, v = x_j \otimes_{w(r_{ij})} Y(\hat r_{ij})"
        ),
        cost="edges · paths · channels",
        source="Fuchs et al. 2020, arXiv 2006.10503, eq. 10 and 11",
    )

    def __init__(
        self,
        irreps_in: str,
        irreps_out: str | None = None,
        heads: int = 2,
        *,
        irreps_hidden: str | None = None,
        cutoff: float,
        degree: int = 2,
        reflections: bool = True,
        basis: int = 8,
        hidden: Sequence[int] = (16,),
        field: str = "x",
    ) -> None:
        from e3nn import o3  # slow to import

        super().__init__()
        if not cutoff > 0:
            raise ValueError(f"cutoff {cutoff} must be a positive distance.")
        self.cutoff, self.basis, self.field, self.heads = float(cutoff), basis, field, heads
        self.irreps_in = o3.Irreps(irreps_in)
        self.irreps_out = o3.Irreps(irreps_out or irreps_in)
        hidden_irreps = o3.Irreps(irreps_hidden or irreps_in)
        _check_copies(hidden_irreps, heads)
        # Without reflections every irrep counts as even: e3nn then forbids no path.
        as_seen = (lambda irreps: irreps) if reflections else _all_even
        inner, between, outer = as_seen(self.irreps_in), as_seen(hidden_irreps), as_seen(self.irreps_out)
        harmonics = o3.Irreps.spherical_harmonics(degree, p=-1 if reflections else 1)
        self.between, self.degrees = between, list(range(degree + 1))
        self.query = o3.Linear(inner, between)
        self.key = _EdgeProduct(inner, harmonics, between, basis, hidden)
        self.value = _EdgeProduct(inner, harmonics, between, basis, hidden)
        self.output = o3.Linear(between, outer)
        self.straight = o3.Linear(inner, outer)
        self.symmetry = Symmetry(("S", "T", "O" if reflections else "SO"))

    def content(self, graph: Graph) -> Float[Tensor, "nodes irreps"]:
        """Return the field, checked."""
        who = "EquivariantAttention"
        check_one_set(graph, who)
        x = read(graph, "nodes", self.field, who, self.irreps_in.dim)
        found = graph.spec("nodes", self.field).irreps
        if found is not None and not _same(found, self.irreps_in):
            raise ValueError(f"{who} reads irreps {self.irreps_in}; nodes.{self.field} has {found}.")
        return x

    def geometry(self, graph: Graph) -> tuple[Tensor, Tensor, Tensor]:
        """Return spherical harmonics, radial basis and envelope of each edge."""
        from e3nn import o3

        vector = vectors(graph, "EquivariantAttention", 3)
        distance = distances(vector)
        harmonics = o3.spherical_harmonics(self.degrees, vector, normalize=True, normalization="component")
        return harmonics, gaussians(distance, self.basis, self.cutoff), envelope(distance, self.cutoff)

    def score(self, edges: Edges) -> Float[Tensor, "edges heads"]:
        """Return q_i · k_ij / √dim, head by head: invariant, since irreps are orthogonal."""
        graph = edges.graph
        x = self.content(graph)
        harmonics, radial, _ = self.geometry(graph)
        key = _by_head(self.key(x.index_select(0, graph.sender), harmonics, radial), self.between, self.heads)
        query = _by_head(self.query(x), self.between, self.heads).index_select(0, graph.receiver)
        return (query * key).sum(-1) / key.shape[-1] ** 0.5

    def normalize(self, score: Tensor, graph: Graph) -> Float[Tensor, "edges heads"]:
        """Return α: a softmax with an envelope on each edge, and one silent neighbour of score 0."""
        u = envelope(distances(vectors(graph, "EquivariantAttention", 3)), self.cutoff)[:, None]
        peak = segment_reduce(score.detach(), graph.receiver, graph.num_nodes, "max").clamp(min=0)
        weight = u * torch.exp(score - peak.index_select(0, graph.receiver))
        total = torch.exp(-peak) + segment_reduce(weight, graph.receiver, graph.num_nodes)
        return weight / total.index_select(0, graph.receiver)

    def message(self, edges: Edges) -> Float[Tensor, "edges heads components"]:
        """Return v_ij."""
        graph = edges.graph
        x = self.content(graph)
        harmonics, radial, _ = self.geometry(graph)
        value = self.value(x.index_select(0, graph.sender), harmonics, radial)
        return _by_head(value, self.between, self.heads)

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes heads components"]) -> Graph:
        """Join the heads, and add what is at the node itself."""
        x = self.output(_joined(aggregated, self.between)) + self.straight(self.content(graph))
        return graph.with_nodes({self.field: Spec(str(self.irreps_out))}, **{self.field: x})


class _EdgeProduct(nn.Module):
    """x ⊗ Y with weights by distance, then a linear map to the irreps that are wanted."""

    def __init__(
        self, content: o3.Irreps, harmonics: o3.Irreps, out: o3.Irreps, basis: int, hidden: Sequence[int]
    ) -> None:
        from e3nn import o3

        super().__init__()
        wanted = {irrep for _, irrep in out}
        paths = [
            (i, j, copies, irrep)
            for i, (copies, left) in enumerate(content)
            for j, (_, right) in enumerate(harmonics)
            for irrep in left * right
            if irrep in wanted
        ]
        missing = wanted - {path[3] for path in paths}
        if missing:
            raise ValueError(
                f"No product of {content} with spherical harmonics {harmonics} gives "
                f"{', '.join(map(str, sorted(missing)))}: take a higher degree, or leave it out."
            )
        middle = o3.Irreps([(copies, irrep) for _, _, copies, irrep in paths])
        instructions = [(i, j, k, "uvu", True) for k, (i, j, _, _) in enumerate(paths)]
        self.product = o3.TensorProduct(
            content, harmonics, middle, instructions, shared_weights=False, internal_weights=False
        )
        self.weights = mlp(basis, hidden, self.product.weight_numel)
        self.linear = o3.Linear(middle.simplify(), out)

    def forward(self, x: Tensor, harmonics: Tensor, radial: Tensor) -> Float[Tensor, "edges irreps"]:
        return self.linear(self.product(x, harmonics, self.weights(radial)))


def _all_even(irreps: o3.Irreps) -> o3.Irreps:
    return type(irreps)([(copies, (irrep.l, 1)) for copies, irrep in irreps])


def _same(irreps: str, expected: o3.Irreps) -> bool:
    return type(expected)(irreps).simplify() == expected.simplify()


def _check_copies(irreps: o3.Irreps, heads: int) -> None:
    for copies, irrep in irreps:
        if heads < 1 or copies % heads:
            raise ValueError(
                f"EquivariantAttention: {heads} heads do not divide the {copies} copies of {irrep} in "
                f"{irreps}."
            )


def _by_head(value: Float[Tensor, "rows irreps"], irreps: o3.Irreps, heads: int) -> Tensor:
    """Return (rows, heads, components): every head gets its share of the copies of each irrep."""
    return torch.cat([block.unflatten(-1, (heads, -1)) for block in _blocks(value, irreps)], dim=-1)


def _joined(value: Float[Tensor, "rows heads components"], irreps: o3.Irreps) -> Tensor:
    """Undo `_by_head`."""
    sizes = [copies * irrep.dim // value.shape[1] for copies, irrep in irreps]
    return torch.cat([block.flatten(1) for block in value.split(sizes, dim=-1)], dim=-1)


def _blocks(value: Tensor, irreps: o3.Irreps) -> tuple[Tensor, ...]:
    return value.split([copies * irrep.dim for copies, irrep in irreps], dim=-1)
