"""Atoms heard at the points of a grid, by solid-harmonic wavelets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.graph import POSITION, Complete, Graph, Grid
from sciml.nn.about import About
from sciml.nn.grid import from_dense
from sciml.nn.message_passing import Edges, MessagePassing, segment_reduce
from sciml.nn.scattering.solid_harmonics import monomials, solid_harmonics, sum_by_degree
from sciml.symmetry import Symmetry

EPSILON = 1e-9  # where moduli of densities, in electrons/Å³, are smooth: √U feels what is far below one


class DensityWavelets(MessagePassing):
    """U_l(u) = (Σ_m |Σ_i q_i (g_σ ⋆ ψ_lm)(u − r_i)|²)^½ at the points of a grid, for each degree l.

    Every point of a grid about the mean position of the atoms hears all atoms. A Gaussian and a
    solid-harmonic wavelet of widths σ and s give (s/τ)^l times the wavelet of width τ = (σ² + s²)^½, so that
    no density is ever put on the grid. Since wavelets are sums of products over the axes, all points are
    matrix products of three small tables.

    Args:
        shape: points of the grid.
        spacing: of its points, in Å.
        width: σ of the atoms, in Å.
        scale: s of the wavelets, in Å.
        lmax: largest degree.
        field: q_i, (atoms, channels) or (atoms,).

    Gives a graph of the grid's points with ``nodes["u"]`` of shape (points, channels × degrees).
    """

    about = About(
        domain="atoms, heard at the points of a grid",
        content="q_j",
        geometry="vector from atom to point, by a solid-harmonic wavelet",
        equation=r"U_l(u) = \Big(\sum_m \big|\sum_j q_j\, (g \star \psi_{lm})(u - r_j)\big|^2\Big)^{1/2}",
        cost="atoms · points · (l+1)³",
        fused="products over the axes, as matrix products",
        source="Eickenberg et al. 2018, arXiv 1805.00571",
    )
    symmetry = Symmetry(("T",))  # and permutations of atoms, which points do not follow
    harmonics: Float[Tensor, "harmonics monomials"]

    def __init__(
        self, shape: Sequence[int], spacing: float, width: float, scale: float, lmax: int, field: str
    ) -> None:
        super().__init__()
        self.shape, self.spacing, self.lmax, self.field = tuple(shape), spacing, lmax, field
        self.tau = math.hypot(width, scale)
        self.exponents = monomials(lmax)
        degree = torch.cat([torch.full((2 * k + 1,), k) for k in range(lmax + 1)])
        gain = (scale / self.tau) ** degree.double() / (math.sqrt(2 * math.pi) * self.tau) ** 3
        self.register_buffer("harmonics", gain[:, None] * solid_harmonics(lmax), persistent=False)

    def axes(self, like: Tensor) -> list[Float[Tensor, "points"]]:
        """Coordinates of the grid's points from its centre, along each axis."""
        return [
            self.spacing * (torch.arange(n, dtype=like.dtype, device=like.device) - n // 2)
            for n in self.shape
        ]

    def forward(self, graph: Graph) -> Graph:
        """Return the grid.

        Raises:
            ValueError: positions that are not in three dimensions.
        """
        check_positions(graph, type(self).__name__)
        fused = self.fused_forward(graph) if self.fused and self._recording is None else None
        return self.edge_form(graph) if fused is None else fused

    def edge_form(self, graph: Graph) -> Graph:
        """Pass messages from atoms to points: the definition."""
        return super().forward(self.heard(graph))

    def heard(self, graph: Graph) -> Graph:
        """Return the two-sided graph in which every point hears every atom of its molecule."""
        points = torch.cartesian_prod(*self.axes(graph.nodes["pos"]))
        number, atoms = len(points), graph.num_nodes
        sender = torch.arange(atoms, device=graph.device).repeat_interleave(number)
        receiver = graph.node_graph.repeat_interleave(number) * number
        receiver = receiver + torch.arange(number, device=graph.device).repeat(atoms)
        order = receiver.argsort(stable=True)
        centre = segment_reduce(graph.nodes["pos"], graph.node_graph, graph.num_graphs, "mean")
        return graph.replace(
            edge_index=torch.stack([sender, receiver])[:, order],
            nodes={"pos": (centre[:, None] + points).flatten(0, 1)},
            edges={},
            globals={},
            node_counts=torch.full_like(graph.node_counts, number),
            edge_counts=graph.node_counts * number,
            senders={"pos": graph.nodes["pos"], self.field: graph.nodes[self.field]},
            sender_counts=graph.node_counts,
            specs={("nodes", "pos"): POSITION, ("senders", "pos"): POSITION},
        )

    def message(self, edges: Edges) -> Float[Tensor, "edges channels harmonics"]:
        """Return q_j (g ⋆ ψ_lm)(u_i − r_j)."""
        v, q = edges.vectors() / self.tau, edges.sender(self.field)
        terms = torch.stack([v[:, 0] ** a * v[:, 1] ** b * v[:, 2] ** c for a, b, c in self.exponents], -1)
        wavelets = terms @ self.harmonics.to(v).T * torch.exp(-v.square().sum(-1, keepdim=True) / 2)
        return q.reshape(len(q), -1)[:, :, None] * wavelets[:, None]

    def update(self, graph: Graph, aggregated: Float[Tensor, "points channels harmonics"]) -> Graph:
        """Take the norm over m."""
        squares = sum_by_degree(aggregated.square(), self.lmax)  # points channels degrees
        return self.grid(graph, (squares + EPSILON**2).sqrt() - EPSILON)

    def grid(self, graph: Graph, u: Float[Tensor, "points channels degrees"]) -> Graph:
        """Return the points as a grid that closes on itself."""
        counts = torch.full_like(graph.node_counts, math.prod(self.shape))
        return Graph(
            graph.edge_index[:, :0],
            {"u": u.flatten(1)},
            {},
            {},
            counts,
            torch.zeros_like(counts),
            layout=Grid(self.shape, (True,) * 3),
        )

    def fused_forward(self, graph: Graph) -> Graph | None:
        """Sum over atoms by matrix products; None for the graph in which points hear atoms one by one."""
        if graph.two_sided:
            return None
        return self.grid(graph, from_dense(self.dense(graph).flatten(1, 2)).unflatten(1, (-1, self.lmax + 1)))

    def dense(self, graph: Graph) -> Float[Tensor, "graphs channels degrees *shape"]:
        """Return U_l as an array."""
        pos, q = graph.nodes["pos"], graph.nodes[self.field]
        centre = segment_reduce(pos, graph.node_graph, graph.num_graphs, "mean")
        v = _padded(graph, pos - centre[graph.node_graph]) / self.tau  # graphs atoms 3
        q = _padded(graph, q.reshape(len(q), -1))  # graphs atoms channels; zero where there is no atom
        tables = []  # for each axis, graphs atoms powers points
        for k, axis in enumerate(self.axes(pos)):
            along = axis / self.tau - v[:, :, k, None]
            powers = torch.stack([along**power for power in range(self.lmax + 1)], dim=2)
            tables.append(powers * torch.exp(-along.square() / 2)[:, :, None])
        u = torch.stack([self._degree(tables, q, degree) for degree in range(self.lmax + 1)], dim=2)
        return ((u + EPSILON**2).sqrt() - EPSILON).unflatten(-1, self.shape)

    def _degree(
        self, tables: list[Tensor], q: Tensor, degree: int
    ) -> Float[Tensor, "graphs channels points"]:
        """Return Σ_m |Σ_i q_i Y_m|² at all points, by one matrix product over atoms and powers of x and y."""
        chosen = [i for i, exponents in enumerate(self.exponents) if sum(exponents) == degree]
        rows = slice(degree**2, (degree + 1) ** 2)
        weights = self.harmonics[rows, chosen].to(q)  # harmonics monomials
        a, b, c = zip(*(self.exponents[i] for i in chosen), strict=True)
        x, y, z = (
            t[:, :, list(k)] for t, k in zip(tables, (a, b, c), strict=True)
        )  # graphs atoms monomials n
        plane = (x[..., :, None] * y[..., None, :]).flatten(3).flatten(1, 2)
        line = torch.einsum("gac,gakz,hk->gakchz", q, z, weights).flatten(3).flatten(1, 2)
        fields = torch.bmm(plane.mT, line).unflatten(2, (q.shape[2], len(weights), -1))
        return fields.square().sum(3).transpose(1, 2).flatten(2)


def check_positions(graph: Graph, layer: str) -> None:
    """Raise ValueError unless positions are (atoms, 3)."""
    shape = tuple(graph.nodes["pos"].shape)
    if len(shape) != 2 or shape[1] != 3:
        raise ValueError(f"{layer} takes positions (atoms, 3), not {shape}.")


def _padded(graph: Graph, value: Float[Tensor, "atoms columns"]) -> Float[Tensor, "graphs most columns"]:
    """Give every molecule as many rows, the last ones zero."""
    most = graph.layout.receivers if isinstance(graph.layout, Complete) else graph.num_nodes
    first = graph.node_counts.cumsum(0) - graph.node_counts
    within = torch.arange(graph.num_nodes, device=graph.device) - first[graph.node_graph]
    rows = value.new_zeros(graph.num_graphs * most, value.shape[1])
    return rows.index_add(0, graph.node_graph * most + within, value).unflatten(0, (-1, most))
