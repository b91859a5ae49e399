"""Solid-harmonic scattering: invariants of molecules from the density that stands for them.

    ρ(u) = Σ_i q_i g_σ(u − r_i),    U_jl(u) = (Σ_m |ρ ⋆ ψ_jlm|²)^½,    V_jj'l(u) = (Σ_m |U_jl ⋆ ψ_j'lm|²)^½

The coefficients are ∫ U^q du and ∫ V^q du for j < j' and several powers q (Eickenberg et al. 2018, arXiv
1805.00571).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.grid import per_axis
from sciml.nn.message_passing import MessagePassing, segment_reduce
from sciml.nn.scattering.density import EPSILON, DensityWavelets, check_positions
from sciml.nn.scattering.fourier import Folded
from sciml.nn.scattering.modulus import smooth_norm
from sciml.nn.scattering.solid_harmonics import wavelet_transfer
from sciml.nn.scattering.wavelet import WaveletConvolution
from sciml.symmetry import Symmetry


@dataclass(frozen=True)
class HarmonicPath:
    """What a coefficient of a channel is: ∫ U_jl^q with one octave, ∫ V_jj'l^q with two."""

    octaves: tuple[int, ...]
    degree: int
    power: float


class SolidHarmonicScattering(MessagePassing):
    """Invariants of molecules under translations, permutations and, up to the grid, rotations and mirrors.

    Wavelets have the scales s_j = width · 2^j for j = 0 ... J. What has the scale j is sampled at every
    2^max(j − oversampling, 0)-th point of the grid. The box closes on itself for the second order. It must
    leave a margin about the atoms (`margin`; `solid_harmonic_features` sees to that), otherwise the
    coefficients of the molecule are NaN.

    Integrals are sums over the grid, and that is what limits the invariance under rotations. With spacing =
    width, a turn changes half of the coefficients by less than 1e-4 of their value, nine in ten by less than
    0.5 %, and none by more than a few per cent; with half of it, by ten times less. In first order and for
    even q the error falls exponentially with the spacing; where U has zeros, with a power of it.

    Args:
        box: edges of the box about the mean of the positions, in Å; rounded up to whole steps.
        width: σ of the atoms' Gaussians, in Å.
        spacing: of the grid, in Å; width if None.
        J: largest scale.
        lmax: largest degree.
        powers: q of the integrals. Small ones weigh the far field: q = ½ needs a margin √2 times as wide.
        order: 1 or 2.
        oversampling: see above.
        reach: of the margin, in widths of the widest wavelet.
        field: q_i, (atoms, channels) or (atoms,).

    Gives ``globals["x"]`` of shape (graphs, channels × paths).

    Attributes:
        paths: what the coefficients of a channel are.
    """

    about = About(
        domain="molecules",
        content="q_j",
        geometry="vectors between atoms, by solid-harmonic wavelets of several scales",
        equation=r"S_{jl}^q = \int \Big(\sum_m |\rho \star \psi_{jlm}|^2\Big)^{q/2} du",
        cost="points · scales² · (l+1)² · log points",
        fused="products over the axes, then FFT with sampling folded in",
        source="Eickenberg et al. 2018, arXiv 1805.00571",
    )
    symmetry = Symmetry(("S", "T"))

    def __init__(
        self,
        box: float | Sequence[float],
        *,
        width: float = 0.4,
        spacing: float | None = None,
        J: int = 2,
        lmax: int = 3,
        powers: Sequence[float] = (1.0, 2.0, 3.0),
        order: int = 2,
        oversampling: int = 1,
        reach: float = 4.0,
        field: str = "charge",
    ) -> None:
        super().__init__()
        self.spacing, self.field = width if spacing is None else spacing, field
        self.lmax, self.powers, self.order = lmax, tuple(powers), order
        _check(width, self.spacing, J, lmax, self.powers, order, oversampling)
        self.scales = [width * 2**j for j in range(J + 1)]
        self.levels = [max(j - oversampling, 0) for j in range(J + 1)]
        self.margin = margin(width, J, self.powers, reach)
        self.shape = grid_shape(per_axis(box, 3, "box"), self.spacing, self.levels[-1], self.margin)
        self.first = nn.ModuleList(
            DensityWavelets(self._shape(k), self.spacing * 2**k, width, s, lmax, field)
            for s, k in zip(self.scales, self.levels)
        )
        self.pairs = [(j, i) for j in range(J + 1) for i in range(j + 1, J + 1)] if order == 2 else []
        self.second = nn.ModuleDict(
            {f"{j} {i} {degree}": self._wavelets(j, i, degree) for j, i, degree in self._triples()}
        )
        self.paths = [
            HarmonicPath(octaves, degree, power)
            for octaves in [*((j,) for j in range(J + 1)), *self.pairs]
            for degree in range(lmax + 1)
            for power in self.powers
        ]
        self._folded: dict[tuple[torch.dtype, torch.device], dict[tuple[int, int, int], Folded]] = {}

    def _shape(self, level: int) -> tuple[int, ...]:
        return tuple(n // 2**level for n in self.shape)

    def _triples(self) -> list[tuple[int, int, int]]:
        return [(j, i, degree) for j, i in self.pairs for degree in range(self.lmax + 1)]

    def _wavelets(self, j: int, i: int, degree: int) -> WaveletConvolution:
        level = self.levels[j]
        transfer = wavelet_transfer(degree, self.scales[i], self._shape(level), self.spacing * 2**level)
        layer = WaveletConvolution(
            transfer, 2 ** (self.levels[i] - level), modulus="joint", epsilon=EPSILON, field="u"
        )
        layer.needs_layout = False  # of the graphs that this layer is given
        return layer

    def __getstate__(self) -> dict[str, object]:
        return super().__getstate__() | {"_folded": {}}  # made anew where it is needed

    # ------------------------------------------------------------- the layer

    def forward(self, graph: Graph) -> Graph:
        """Return the graph with one row of coefficients for each molecule.

        Raises:
            ValueError: positions that are not in three dimensions, charges that are not numbers of atoms.
        """
        check_positions(graph, type(self).__name__)
        q = graph.nodes[self.field]
        if q.ndim > 2 or not q.is_floating_point():
            raise ValueError(
                f"{type(self).__name__} takes floats (atoms, channels); nodes.{self.field} has shape "
                f"{tuple(q.shape)} and is {q.dtype}."
            )
        if self.fused and self._recording is None:
            return self.fused_forward(graph)
        return self.finish(graph, self.edge_form(graph))

    def edge_form(self, graph: Graph) -> Float[Tensor, "graphs channels paths"]:
        """Pass messages from atoms to points, and from points to points: the definition."""
        degrees = self.lmax + 1
        first: list[Tensor] = []
        second: list[Tensor] = []
        for j, layer in enumerate(self.first):
            assert isinstance(layer, DensityWavelets)
            grid = layer.edge_form(graph)
            u = grid.nodes["u"].unflatten(1, (-1, degrees))
            first.append(self.integrals(_per_graph(u, graph.num_graphs), self.levels[j]))
            for i in (i for k, i in self.pairs if k == j):
                v = [
                    self.second[f"{j} {i} {degree}"](grid.with_nodes(None, u=u[..., degree])).nodes["u"]
                    for degree in range(degrees)
                ]
                per_graph = _per_graph(torch.stack(v, -1), graph.num_graphs)
                second.append(self.integrals(per_graph, self.levels[i]))
        return torch.cat([*first, *second], dim=-1)

    def fused_forward(self, graph: Graph) -> Graph:
        """Sum over atoms by matrix products, over points by FFT."""
        folded = self.folded(graph.nodes["pos"])
        first: list[Tensor] = []
        second: list[Tensor] = []
        for j, layer in enumerate(self.first):
            assert isinstance(layer, DensityWavelets)
            u = layer.dense(graph)  # graphs channels degrees *shape
            first.append(self.integrals(u.flatten(3), self.levels[j]))
            later = [i for k, i in self.pairs if k == j]
            spectrum = torch.fft.fftn(u.flatten(0, 1), dim=(-3, -2, -1)) if later else u
            for i in later:
                v = [
                    smooth_norm(torch.fft.ifftn(folded[j, i, k](spectrum[:, k]), dim=(-3, -2, -1)), EPSILON)
                    for k in range(self.lmax + 1)
                ]
                per_graph = torch.stack(v, 1).unflatten(0, u.shape[:2])
                second.append(self.integrals(per_graph.flatten(3), self.levels[i]))
        return self.finish(graph, torch.cat([*first, *second], dim=-1))

    def folded(self, like: Tensor) -> dict[tuple[int, int, int], Folded]:
        """Return the wavelets of second order in this precision on this device."""
        key = (like.dtype, like.device)
        if key not in self._folded:
            self._folded[key] = {
                (j, i, degree): Folded.of(layer.transfer, layer.step[0]).to(*key)
                for (j, i, degree), layer in zip(self._triples(), self.second.values(), strict=True)
                if isinstance(layer, WaveletConvolution)
            }
        return self._folded[key]

    def integrals(
        self, u: Float[Tensor, "graphs channels degrees points"], level: int
    ) -> Float[Tensor, "graphs channels degrees_powers"]:
        """Return Σ_points u^q times the volume of a point, smooth at u = 0."""
        volume = (self.spacing * 2**level) ** 3
        none = [u.shape[-1] * EPSILON**q for q in self.powers]  # what is summed where there is nothing
        sums = [volume * (((u + EPSILON) ** q).sum(-1) - rest) for q, rest in zip(self.powers, none)]
        return torch.stack(sums, dim=-1).flatten(-2)

    def finish(self, graph: Graph, s: Float[Tensor, "graphs channels paths"]) -> Graph:
        """Set the coefficients; molecules that the box does not hold get NaN."""
        pos = graph.nodes["pos"]
        centre = segment_reduce(pos, graph.node_graph, graph.num_graphs, "mean")
        half = pos.new_tensor(self.shape) * self.spacing / 2 - self.margin
        beyond = ((pos - centre[graph.node_graph]).abs().detach() - half).amax(1)
        outside = segment_reduce(beyond, graph.node_graph, graph.num_graphs, "max") > 0
        s = torch.where(outside[:, None], math.nan, s.flatten(1))
        return graph.with_globals({"x": Spec(f"{s.shape[1]}x0e")}, x=s)


def margin(width: float, J: int, powers: Sequence[float], reach: float = 4.0) -> float:
    """Return how far beyond the atoms a box must go, in Å: U^q is √q times as narrow as U."""
    return reach * math.hypot(width, width * 2**J) / math.sqrt(min(1.0, *powers))


def grid_shape(box: tuple[float, ...], spacing: float, level: int, margin: float) -> tuple[int, ...]:
    """Return the points of a box along each axis: even, and so on the coarser grids.

    Raises:
        ValueError: a box that leaves no room for atoms.
    """
    if min(box) < 2 * margin:
        raise ValueError(
            f"A box of {min(box):.3g} Å is too small: {margin:.3g} Å are needed on either side of the atoms "
            "for the widest wavelet. Take a larger box, or a smaller width or J."
        )
    block = 2 ** (level + 1)
    return tuple(block * math.ceil(edge / spacing / block) for edge in box)


# -------------------------------------------------------------------- details


def _per_graph(
    value: Float[Tensor, "points channels degrees"], graphs: int
) -> Float[Tensor, "graphs channels degrees points"]:
    return value.unflatten(0, (graphs, -1)).movedim(1, -1)


def _check(
    width: float, spacing: float, J: int, lmax: int, powers: tuple[float, ...], order: int, oversampling: int
) -> None:
    if not (width > 0 and spacing > 0):
        raise ValueError(f"width {width} and spacing {spacing} must be positive lengths in Å.")
    if spacing > 1.5 * width:
        raise ValueError(
            f"A spacing of {spacing} Å does not resolve atoms of width {width} Å: take 1.5 widths at most."
        )
    if min(J, lmax, oversampling) < 0:
        raise ValueError(f"J={J}, lmax={lmax} and oversampling={oversampling} must not be negative.")
    if order not in (1, 2):
        raise ValueError(f"order={order}; solid-harmonic scattering has orders 1 and 2.")
    if not powers or min(powers) <= 0:
        raise ValueError(f"powers {powers} must be positive, at least one.")
