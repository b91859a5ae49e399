"""Convolutions that are equivariant to turning (and mirroring), not to shifting only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Grid, Spec
from sciml.nn.about import About
from sciml.nn.convolution import GridLayer
from sciml.nn.groups.basis import Basis, oriented_filters
from sciml.nn.message_passing import Edges
from sciml.symmetry import Group, Shifts, Symmetry, finite_group
from sciml.symmetry.finite import FiniteGroup


class _OrientedConvolution(GridLayer):
    """A convolution whose kernel is turned by every element of a finite group.

    Args:
        in_channels, out_channels: of the field, not counting the group's axis.
        group: a name that `sciml.symmetry.finite_group` knows: CN or DN in the plane (C4 is p4, D4 is p4m),
            Oct or Oh in space.
        kernel: odd, the same along every axis.
        stride, dilation, field: see `GridLayer`.
        bias: add one number for each channel, the same for all orientations.
        basis: of the filters; see `oriented_filters`. Pixels are exact for the groups of the grid;
            otherwise harmonics, exact under the quarter turns of the group, and under the others up to
            what sampling on a grid allows.

    Raises:
        ValueError: an unknown group, an even kernel, a basis that the group does not have.
    """

    filters: Float[Tensor, "elements places functions"]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        group: str = "C4",
        kernel: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        bias: bool = True,
        basis: Basis = "auto",
        field: str = "x",
    ) -> None:
        self.group: FiniteGroup = finite_group(group)
        super().__init__(self.group.dim, kernel, stride, dilation, field)
        self.in_channels, self.out_channels = in_channels, out_channels
        filters = oriented_filters(self.group, kernel, basis)
        self.register_buffer("filters", filters.to(torch.get_default_dtype()), persistent=False)
        shape = (out_channels, in_channels, self._in_orientations, filters.shape[-1])
        self.weight = nn.Parameter(torch.randn(shape) * math.sqrt(2.0 / math.prod(shape[1:])))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        turns = turns_of_grid(self.group) if not self.needs_layout else ()
        self.symmetry = Symmetry((Shifts(math.lcm(*self.stride)), *turns))

    @property
    def _in_orientations(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must say how many orientations its input has.")

    def kernels(self) -> Float[Tensor, "out elements in orientations places"]:
        """Return the matrix of every place in the window, for every orientation of the result."""
        raise NotImplementedError(f"{type(self).__name__} must define kernels().")

    def forward(self, graph: Graph) -> Graph:
        """Convolve every grid of the batch.

        Raises:
            ValueError: a field of other channels or of another group, a window larger than the grid, a
                grid whose strided windows do not lie evenly about its centre.
        """
        self._check(graph)
        return super().forward(graph)

    def _check(self, graph: Graph) -> None:
        if isinstance(graph.layout, Grid):
            check_centred(graph.layout, self.kernel, self.stride, self.dilation, self.group.name)

    def spec(self, graph: Graph) -> Spec:
        """Return a field in the regular representation."""
        return Spec(regular=self.group.name)

    def message(self, edges: Edges) -> Float[Tensor, "edges out elements"]:
        """Return K(offset_ij) x_j."""
        x = edges.sender(self.field).reshape(-1, self.in_channels, self._in_orientations)
        matrices = self.kernels().movedim(-1, 0)  # places out elements in orientations
        return torch.einsum("eogih,eih->eog", matrices[edges["offset"]], x)

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes out elements"]) -> Graph:
        """Add the bias."""
        return super().update(graph, aggregated if self.bias is None else aggregated + self.bias[:, None])

    def plain_weight(self) -> tuple[Float[Tensor, "channels channels_in *kernel"], Tensor | None]:
        """Return weight and bias of the ordinary convolution that this one is, channels out elements."""
        weight = self.kernels().flatten(2, 3).flatten(0, 1).unflatten(-1, self.kernel)
        bias = None if self.bias is None else self.bias.repeat_interleave(len(self.group))
        return weight, bias

    def dense(self, graph: Graph) -> Float[Tensor, "graphs channels *coarse"]:
        """Convolve with all orientations at once."""
        flat = graph.with_nodes({self.field: Spec()}, **{self.field: graph.nodes[self.field].flatten(1)})
        return self.convolved(flat, *self.plain_weight())

    def finish(self, graph: Graph, value: Float[Tensor, "nodes ..."]) -> Graph:
        """Give the result its axis of orientations."""
        return super().finish(graph, value.reshape(-1, self.out_channels, len(self.group)))


class LiftingConvolution(_OrientedConvolution):
    """From scalars to orientations: x'_i(g) = Σ_j W(g⁻¹ offset_ij) x_j + b (Cohen & Welling 2016, eq. 10).

    Takes (nodes, in) and gives (nodes, out, elements) with ``Spec(regular=group)``.
    """

    about = About(
        domain="square and cubic grids",
        content="x_j",
        geometry="offset, seen from each orientation",
        equation=r"x_i'(g) = \sum_j W(g^{-1}\mathrm{offset}_{ij})\, x_j + b",
        cost="edges · |G| · in · out",
        fused="conv2d, conv3d with turned kernels",
        source="Cohen & Welling 2016, arXiv 1602.07576, eq. 10",
    )

    @property
    def _in_orientations(self) -> int:
        return 1

    def _check(self, graph: Graph) -> None:
        value, spec = graph.nodes[self.field], graph.spec("nodes", self.field)
        if value.ndim != 2 or value.shape[1] != self.in_channels or spec.regular:
            raise ValueError(
                f"LiftingConvolution takes (nodes, {self.in_channels}) scalars; nodes.{self.field} has shape "
                f"{tuple(value.shape)}" + (f", regular {spec.regular}" if spec.regular else "") + "."
            )
        super()._check(graph)

    def kernels(self) -> Float[Tensor, "out elements in 1 places"]:
        """Return the kernel in every orientation."""
        return torch.einsum("oihb,gpb->ogihp", self.weight, self.filters)


class GroupConvolution(_OrientedConvolution):
    """Convolution on the group: x'_i(g) = Σ_j Σ_h W(g⁻¹ offset_ij, g⁻¹ h) x_j(h) + b.

    Cohen & Welling 2016 (arXiv 1602.07576), eq. 11. Takes and gives fields (nodes, channels, elements) in
    the regular representation.
    """

    about = About(
        domain="square and cubic grids × a finite group",
        content="x_j(h)",
        geometry="offset and orientation, seen from each orientation",
        equation=r"x_i'(g) = \sum_j \sum_h W(g^{-1}\mathrm{offset}_{ij}, g^{-1}h)\, x_j(h) + b",
        cost="edges · |G|² · in · out",
        fused="conv2d, conv3d with turned kernels",
        source="Cohen & Welling 2016, arXiv 1602.07576, eq. 11",
    )
    relative: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, group: str = "C4", kernel: int = 3, **options: Any
    ) -> None:
        super().__init__(in_channels, out_channels, group, kernel, **options)
        relative = self.group.product[self.group.inverse]  # g h -> number of g⁻¹ h
        self.register_buffer("relative", relative, persistent=False)

    @property
    def _in_orientations(self) -> int:
        return len(self.group)

    def _check(self, graph: Graph) -> None:
        value, spec = graph.nodes[self.field], graph.spec("nodes", self.field)
        expected = (self.in_channels, len(self.group))
        if tuple(value.shape[1:]) != expected or spec.regular != self.group.name:
            found = f"regular {spec.regular}" if spec.regular else "scalars"
            raise ValueError(
                f"GroupConvolution takes (nodes, {expected[0]}, {expected[1]}), regular {self.group.name}; "
                f"nodes.{self.field} has shape {tuple(value.shape)}, {found}. Lift scalars first, by a "
                "LiftingConvolution of the same group."
            )
        super()._check(graph)

    def kernels(self) -> Float[Tensor, "out elements in elements places"]:
        """Return the kernel in every orientation; its orientations change places as it turns."""
        weight = self.weight[:, :, self.relative]  # out in g h functions
        return torch.einsum("oighb,gpb->ogihp", weight, self.filters)


def turns_of_grid(group: FiniteGroup) -> tuple[Group | str, ...]:
    """Return the largest group of the grid within a group, under which layers are exactly equivariant."""
    if group.on_grid:
        return (group.name,) if len(group) > 1 and group.name in ("C2", "C4", "D4", "Oct", "Oh") else ()
    family, order = group.name[0], int(group.name[1:])
    if order % 4 == 0:
        return (f"{family}4",)
    return ("C2",) if order % 2 == 0 else ()


def check_centred(
    layout: Grid, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], group: str
) -> None:
    """Raise ValueError where the windows taken by a stride do not lie evenly about the grid's centre.

    A turn would then give other windows. Periodic axes have no border and need no centre.
    """
    for axis, n in enumerate(layout.shape):
        k, s, d = kernel[axis], stride[axis], dilation[axis]
        first, last = -((k - 1) // 2) * d, (-(-n // s) - 1) * s + k // 2 * d
        if not layout.periodic[axis] and first + last != n - 1:
            size = f"{s} m + 1 (odd)" if k % 2 else f"a multiple of {s}"
            raise ValueError(
                f"{group}: with kernel {k} and stride {s}, axis {axis} of {n} points has windows that do not "
                f"lie evenly about its centre, so that a turn moves them. Pad or crop it to {size} points."
            )
    if len(set(layout.shape)) > 1 and group not in ("C1", "C2", "D1", "D2"):
        raise ValueError(
            f"{group} turns a grid into itself only if it is square; this one is {layout.shape}."
        )
