"""The scattering transform as a layer on grids and as a function of arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sciml.graph import Graph, Grid, Spec
from sciml.nn.about import About
from sciml.nn.grid import from_dense, per_axis, to_dense, with_field
from sciml.nn.message_passing import MessagePassing
from sciml.nn.scattering.bank import FilterBank, morlet_1d, morlet_2d, morlet_3d, outer
from sciml.nn.scattering.transform import Cascade, Path, Plan
from sciml.nn.scattering.wavelet import WaveletConvolution
from sciml.symmetry import Shifts, Symmetry
from sciml.symmetry.grid import grid_layout


class Scattering(MessagePassing):
    """A scattering transform: averages of moduli of wavelet transforms.

        S₀ = x ⋆ φ,    S₁(λ) = |x ⋆ ψ_λ| ⋆ φ,    S₂(λ, μ) = ||x ⋆ ψ_λ| ⋆ ψ_μ| ⋆ φ

    It is stable: two signals never get further apart, and a deformation changes it in proportion to its
    gradient. It changes little under shifts that are small beside 2^J, and moves along with shifts by
    2^J on periodic grids. There is nothing to learn in it.

    Use `Scattering1d`, `Scattering2d` or `Scattering3d`. At the borders of a bounded axis the field is
    mirrored (without repeating the border), out to where the average no longer reaches.

    Args:
        banks: makes the wavelets of first and of second order for a periodic grid of a given shape.
        shape: of the grid.
        J: the low-pass averages over about 2^J steps.
        order: 0, 1 or 2.
        periodic: whether the grid closes on itself, along each axis.
        oversampling: sample everything 2^oversampling times as finely as J asks.
        reach: how far the low-pass reaches, in units of 2^J.
        field: (nodes, channels) becomes (nodes, channels × paths), on a grid with every 2^J-th point.

    Attributes:
        paths: what each coefficient is.
    """

    about = About(
        domain="grids in 1, 2 and 3 dimensions",
        content="x_j",
        geometry="relative offset",
        equation=r"S = \big||x \star \psi_\lambda| \star \psi_\mu\big| \star \varphi",
        cost="nodes · wavelets · log nodes",
        fused="FFT, sampling folded into the products",
        source="Bruna & Mallat 2013, arXiv 1203.1513; Andén & Mallat 2014, arXiv 1304.6763",
    )
    needs_layout = True

    def __init__(
        self,
        banks: Callable[[tuple[int, ...]], tuple[FilterBank, FilterBank]],
        shape: Sequence[int],
        J: int,
        order: int,
        periodic: bool | Sequence[bool],
        oversampling: int,
        reach: int,
        field: str,
    ) -> None:
        super().__init__()
        self.shape, self.J, self.field = tuple(shape), J, field
        self.periodic = per_axis(periodic, len(self.shape), "periodic")
        self.padding = [0 if closed else reach * 2**J for closed in self.periodic]
        self.padded = _padded_shape(self.shape, self.periodic, self.padding, J)
        self.plan = Plan(*banks(self.padded), order, oversampling)
        self.step = 2**self.plan.out_level
        self.paths: list[Path] = self.plan.paths()
        self.symmetry = Symmetry((Shifts(self.step),))
        self._cascades: dict[tuple[torch.dtype, torch.device], Cascade] = {}
        for axis, (n, m, before) in enumerate(zip(self.shape, self.padded, self.padding)):
            self.register_buffer(f"mirror{axis}", _mirrored(n, m, before), persistent=False)
        self._build_edge_form()

    # ------------------------------------------------------------ fast path

    def transform(self, x: Float[Tensor, "*batch *shape"]) -> Float[Tensor, "*batch paths *coarse"]:
        """Return the scattering coefficients of arrays.

        Raises:
            ValueError: arrays of another shape than the layer's.
            TypeError: what is no tensor of float32 or float64.
        """
        dim = len(self.shape)
        if not isinstance(x, Tensor) or x.dtype not in (torch.float32, torch.float64):
            found = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise TypeError(f"Arrays must be tensors of float32 or float64, not {found}.")
        if tuple(x.shape[-dim:]) != self.shape:
            raise ValueError(f"Arrays {tuple(x.shape)} do not end with the layer's {self.shape}.")
        batch, coarse = x.shape[:-dim], [-(-n // self.step) for n in self.shape]
        if 0 in batch:  # FFTs want at least one
            return x.new_zeros(*batch, len(self.paths), *coarse) + 0 * x.sum()
        result = self.cropped(self.cascade(x)(self.mirrored(x.reshape(-1, *self.shape))))
        return result.reshape(*batch, len(self.paths), *coarse)

    def cascade(self, like: Tensor) -> Cascade:
        """Return the filters in this precision on this device."""
        key = (like.dtype, like.device)
        if key not in self._cascades:
            self._cascades[key] = Cascade(self.plan, *key)
        return self._cascades[key]

    def mirrored(self, x: Float[Tensor, "rows *shape"]) -> Float[Tensor, "rows *padded"]:
        """Continue bounded axes beyond their borders."""
        for axis, closed in enumerate(self.periodic):
            if not closed:
                x = x.index_select(1 + axis, getattr(self, f"mirror{axis}"))
        return x

    def cropped(self, s: Float[Tensor, "rows paths *padded_coarse"]) -> Float[Tensor, "rows paths *coarse"]:
        """Leave out what belongs to the continuation."""
        for axis, (n, before) in enumerate(zip(self.shape, self.padding), start=2):
            s = s.narrow(axis, before // self.step, -(-n // self.step))
        return s

    def extra_repr(self) -> str:
        """Say the shape, the scale and how many coefficients there are."""
        return f"{self.shape}, J={self.J}, periodic={self.periodic}, {len(self.paths)} paths"

    def __getstate__(self) -> dict[str, object]:
        return super().__getstate__() | {"_cascades": {}}  # made anew where they are needed

    # ------------------------------------------------------------- the layer

    def forward(self, graph: Graph) -> Graph:
        """Transform every grid of the batch.

        Raises:
            ValueError: a graph that is not such a grid, or a field that is not (nodes, channels).
        """
        layout, x = grid_layout(graph, type(self).__name__), graph.nodes[self.field]
        if (layout.shape, layout.periodic) != (self.shape, self.periodic):
            raise ValueError(
                f"{type(self).__name__} is built for a grid {self.shape}, periodic {self.periodic}; this one "
                f"is {layout.shape}, periodic {layout.periodic}."
            )
        if x.ndim != 2 or x.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"{type(self).__name__} takes float32 or float64 (nodes, channels); nodes.{self.field} "
                f"has shape {tuple(x.shape)} and is {x.dtype}."
            )
        fused = self.fused_forward(graph) if self.fused and self._recording is None else None
        return self.edge_form(graph) if fused is None else fused

    def fused_forward(self, graph: Graph) -> Graph:
        """Transform arrays."""
        s = self.transform(to_dense(graph.nodes[self.field], self.shape))  # graphs channels paths *coarse
        return self.finish(graph, from_dense(s.flatten(1, 2)))

    def edge_form(self, graph: Graph) -> Graph:
        """Pass messages, wavelet after wavelet: the definition."""
        content = to_dense(graph.nodes[self.field], self.shape)
        channels = content.shape[1]
        grid = self.padded_graph(graph, self.mirrored(content.flatten(0, 1)).unflatten(0, (-1, channels)))
        averaged = lambda fine, j: self._averages[str(j)](fine).nodes[self.field]
        per_wavelet = lambda value, number: value.unflatten(1, (channels, -1, number))
        orders: list[list[Tensor]] = [[averaged(grid, 0)[..., None]], [], []]
        for octave, wavelets in zip(self.plan.first.octaves, self._first):
            u = wavelets(grid)
            level = self.plan.level(octave.j)
            orders[1].append(per_wavelet(averaged(u, level), 1).flatten(2))
            after = []
            for i in self.plan.after(octave.j):
                v = self._second[f"{level} {i}"](u)
                second = self.plan.second.octaves[i]
                after.append(per_wavelet(averaged(v, self.plan.level(second.j)), len(second.transfer)))
            orders[2] += [torch.cat(after, dim=3).flatten(2)] if after else []
        s = torch.cat([part for order in orders for part in order], dim=2)  # nodes channels paths
        coarse = tuple(n // self.step for n in self.padded)
        kept = self.cropped(to_dense(s.flatten(1), coarse))
        return self.finish(graph, from_dense(kept))

    def padded_graph(self, graph: Graph, values: Float[Tensor, "graphs channels *padded"]) -> Graph:
        """Return the grid with its continuation, which closes on itself."""
        counts = torch.full_like(graph.node_counts, math.prod(self.padded))
        return graph.replace(
            edge_index=graph.edge_index[:, :0],
            nodes={self.field: from_dense(values)},
            edges={},
            globals={},
            node_counts=counts,
            edge_counts=torch.zeros_like(counts),
            specs={},
            layout=Grid(self.padded, (True,) * len(self.padded)),
        )

    def finish(self, graph: Graph, value: Float[Tensor, "nodes channels_paths"]) -> Graph:
        """Put the coefficients on the coarser grid."""
        step = (self.step,) * len(self.shape)
        spec = Spec(f"{value.shape[1]}x0e")
        return with_field(graph, step, self.field, value, spec, type(self).__name__)

    def _build_edge_form(self) -> None:
        plan, self._first = self.plan, nn.ModuleList()
        self._second, self._averages = nn.ModuleDict(), nn.ModuleDict()
        for octave in plan.first.octaves if plan.order else ():
            self._first.append(self._layer(octave.transfer, plan.level(octave.j)))
        for k, i in plan.pairs():
            octave = plan.sampled[k][1].octaves[i]
            self._second[f"{k} {i}"] = self._layer(octave.transfer, plan.level(octave.j) - k)
        for k, (first, _) in plan.sampled.items():
            self._averages[str(k)] = self._layer(outer(first.low)[None], plan.out_level - k, "none")

    def _layer(
        self, transfer: Tensor, level: int, modulus: Literal["each", "none"] = "each"
    ) -> WaveletConvolution:
        return WaveletConvolution(transfer, 2**level, modulus=modulus, field=self.field)


class Scattering1d(Scattering):
    """Scattering of signals: Q wavelets an octave in first order and one in second.

    Andén & Mallat 2014 (arXiv 1304.6763). With Q = 8 or more, harmonics are told apart; with Q = 1, what
    comes suddenly stays sharp.

    Args:
        length: points of the signal.
        J, order, periodic, oversampling, field: see `Scattering`.
        Q: wavelets an octave.
        tight: share out energy such that none is lost between wavelets; otherwise they are Morlet's.
    """

    def __init__(
        self,
        length: int,
        J: int,
        Q: int = 8,
        *,
        order: int = 2,
        periodic: bool = False,
        oversampling: int = 0,
        tight: bool = True,
        field: str = "x",
    ) -> None:
        _check(1, (length,), J, order, oversampling, Q=Q)
        banks = lambda shape: (morlet_1d(shape[0], J, Q, tight), morlet_1d(shape[0], J, 1, tight))
        super().__init__(banks, (length,), J, order, periodic, oversampling, 4, field)


class Scattering2d(Scattering):
    """Scattering of images: J scales and L directions (Bruna & Mallat 2013, arXiv 1203.1513).

    Args:
        shape, J, order, periodic, oversampling, field: see `Scattering`.
        L: directions in half a turn.
        tight: share out energy such that none is lost between wavelets; otherwise they are Morlet's.
    """

    def __init__(
        self,
        shape: Sequence[int],
        J: int,
        L: int = 8,
        *,
        order: int = 2,
        periodic: bool | Sequence[bool] = False,
        oversampling: int = 0,
        tight: bool = True,
        field: str = "x",
    ) -> None:
        _check(2, shape, J, order, oversampling, L=L)
        banks = lambda shape: (morlet_2d(shape, J, L, tight),) * 2
        super().__init__(banks, shape, J, order, periodic, oversampling, 1, field)


class Scattering3d(Scattering):
    """Scattering of volumes: J scales and the 13 directions of a cube's axes and diagonals.

    Args:
        shape, J, order, periodic, oversampling, field: see `Scattering`.
        tight: share out energy such that none is lost between wavelets; otherwise they are Morlet's.
    """

    def __init__(
        self,
        shape: Sequence[int],
        J: int,
        *,
        order: int = 2,
        periodic: bool | Sequence[bool] = False,
        oversampling: int = 0,
        tight: bool = True,
        field: str = "x",
    ) -> None:
        _check(3, shape, J, order, oversampling)
        banks = lambda shape: (morlet_3d(shape, J, tight),) * 2
        super().__init__(banks, shape, J, order, periodic, oversampling, 1, field)


# -------------------------------------------------------------------- details


def _check(
    dim: int, shape: Sequence[int], J: int, order: int, oversampling: int, **at_least_one: int
) -> None:
    if len(shape) != dim:
        raise ValueError(f"Scattering{dim}d is for grids with {dim} axes, not for shape {tuple(shape)}.")
    for name, value in {"J": J, **at_least_one}.items():
        if value < 1:
            raise ValueError(f"{name}={value} must be at least 1.")
    if order not in (0, 1, 2):
        raise ValueError(f"Scattering goes to order 0, 1 or 2, not {order}: little energy is left beyond.")
    if oversampling < 0:
        raise ValueError(f"oversampling={oversampling} must not be negative.")


def _padded_shape(
    shape: tuple[int, ...], periodic: tuple[bool, ...], padding: Sequence[int], J: int
) -> tuple[int, ...]:
    """Return the shape with room for the continuation, a multiple of 2^J that FFTs are fast on."""
    padded = []
    for axis, (n, closed, width) in enumerate(zip(shape, periodic, padding, strict=True)):
        if n < 2**J:
            raise ValueError(
                f"A grid of {n} points along axis {axis} is smaller than the largest wavelet, 2^J = "
                f"{2**J} points: take a smaller J or a finer grid."
            )
        if closed and n % 2**J:
            raise ValueError(
                f"Periodic axis {axis} of {n} points is no multiple of 2^J = {2**J}: its sampled points "
                "would not close. Crop or resample the grid, take a smaller J, or periodic=False."
            )
        blocks = -(-(n + 2 * width) // 2**J)
        while not closed and _rough(blocks):
            blocks += 1
        padded.append(n if closed else blocks * 2**J)
    return tuple(padded)


def _rough(n: int) -> bool:
    """Whether a number has prime factors beyond 5."""
    for factor in (2, 3, 5):
        while n % factor == 0:
            n //= factor
    return n > 1


def _mirrored(n: int, padded: int, before: int) -> Int[Tensor, "padded"]:
    """Return which of n points stands at each point of the continuation: 2 1 | 0 1 2 | 1 0 1 ..."""
    place = (torch.arange(padded) - before).remainder(max(2 * n - 2, 1))
    return torch.where(place < n, place, 2 * n - 2 - place)
