"""What goes between group convolutions: pooling over space and group, nonlinearities, normalization."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Grid, Spec
from sciml.nn.about import About
from sciml.nn.convolution import GridPooling
from sciml.nn.groups.convolution import check_centred
from sciml.symmetry import Symmetry, finite_group


class OnField(nn.Module):
    """Apply a module to a node field, row by row: a nonlinearity, a normalization, dropout, a linear map.

    On a field (nodes, channels, elements) of a group, ``OnField(nn.BatchNorm1d(channels))`` has the same
    statistics for all orientations, and a nonlinearity that acts on each number by itself commutes with
    their permutation.

    Args:
        module: keeps the shape of its input (a linear map may change the channels of a scalar field).
        field: read and replaced.
    """

    about = About(
        domain="any graph",
        content="x_i",
        geometry="none",
        equation=r"x_i' = f(x_i)",
        cost="that of f",
    )
    symmetry = Symmetry(("S",))

    def __init__(self, module: nn.Module, field: str = "x") -> None:
        super().__init__()
        self.module, self.field = module, field

    def forward(self, graph: Graph) -> Graph:
        """Apply the module to every node."""
        value, spec = self.module(graph.nodes[self.field]), graph.spec("nodes", self.field)
        if value.shape != graph.nodes[self.field].shape and spec.irreps is not None:
            spec = Spec(f"{value.shape[-1]}x0e")
        return graph.with_nodes({self.field: spec}, **{self.field: value})


class NormNonlinearity(nn.Module):
    """Scale arrows by a function of their length: v' = v σ(|v| + b), equivariant under O(d).

    Worrall et al. 2017 (arXiv 1612.04642). The function is softplus, so that it is smooth where |v| is not.

    Args:
        channels: arrows of the field, whose shape is (nodes, channels, dim).
        field: read and replaced.
    """

    about = About(
        domain="arrows on any graph",
        content="v_i",
        geometry="none",
        equation=r"v_i' = v_i\, \mathrm{softplus}(|v_i| + b)",
        cost="nodes · channels",
        source="Worrall et al. 2017, arXiv 1612.04642",
    )
    symmetry = Symmetry(("S", "O"))

    def __init__(self, channels: int, field: str = "v") -> None:
        super().__init__()
        self.bias, self.field = nn.Parameter(torch.zeros(channels)), field

    def forward(self, graph: Graph) -> Graph:
        """Scale every arrow."""
        v = graph.nodes[self.field]
        length = (v.square().sum(-1) + 1e-12).sqrt()
        value = nn.functional.softplus(length + self.bias)[..., None] * v
        return graph.with_nodes({self.field: graph.spec("nodes", self.field)}, **{self.field: value})


class OrientedPooling(GridPooling):
    """`GridPooling` for fields that turn: refuses grids whose windows do not lie evenly about the centre.

    Args:
        group: of the field, for the messages.
        options: see `GridPooling`.
    """

    about = About(
        domain="square and cubic grids × a finite group",
        content="x_j(g)",
        geometry="being in the window",
        equation=r"x_i'(g) = \max_j x_j(g)",
        cost="edges · |G| · channels",
        fused="max_pool, avg_pool",
    )

    def __init__(self, group: str = "C4", kernel: int = 2, **options: Any) -> None:
        super().__init__(kernel, dim=finite_group(group).dim, **options)
        self.group = group

    def forward(self, graph: Graph) -> Graph:
        """Pool every grid of the batch.

        Raises:
            ValueError: a size that the windows do not divide evenly about the centre.
        """
        if isinstance(graph.layout, Grid):
            check_centred(graph.layout, self.kernel, self.stride, self.dilation, self.group)
        return super().forward(graph)


class GroupPooling(nn.Module):
    """From orientations to scalars: maximum or mean over the group, which no turn changes.

    Args:
        kind: ``max`` or ``mean``.
        field: (nodes, channels, elements) becomes (nodes, channels).
    """

    about = About(
        domain="any graph × a finite group",
        content="x_i(g)",
        geometry="none",
        equation=r"x_i' = \max_g x_i(g)",
        cost="nodes · |G| · channels",
        source="Cohen & Welling 2016, arXiv 1602.07576, sec. 6.3",
    )
    symmetry = Symmetry(("S",))

    def __init__(self, kind: Literal["max", "mean"] = "max", field: str = "x") -> None:
        super().__init__()
        if kind not in ("max", "mean"):
            raise ValueError(f"Unknown pooling {kind!r}; choose max or mean.")
        self.kind, self.field = kind, field

    def forward(self, graph: Graph) -> Graph:
        """Reduce over the last axis.

        Raises:
            ValueError: a field that is not in a regular representation.
        """
        x, spec = graph.nodes[self.field], graph.spec("nodes", self.field)
        if spec.regular is None:
            raise ValueError(
                f"GroupPooling takes a field in a regular representation; nodes.{self.field} is none."
            )
        value = x.amax(-1) if self.kind == "max" else x.mean(-1)
        return graph.with_nodes({self.field: Spec(f"{value.shape[1]}x0e")}, **{self.field: value})


class ArrowReadout(nn.Module):
    """From orientations to arrows: v = Σ_g x(g) g e₁ / |G|, which turns as the image does.

    Args:
        group: of the field.
        field: (nodes, channels, elements) in the regular representation.
        output: the new field (nodes, channels, dim) with irreps ``1o``.
    """

    about = About(
        domain="grids × a finite group",
        content="x_i(g)",
        geometry="the direction of each orientation",
        equation=r"v_i = \sum_g x_i(g)\, g\, e_1 / |G|",
        cost="nodes · |G| · channels",
    )
    symmetry = Symmetry(("S",))
    arrows: Float[Tensor, "elements dim"]

    def __init__(self, group: str = "C4", field: str = "x", output: str = "v") -> None:
        super().__init__()
        matrices = finite_group(group).matrices[:, :, 0] / len(finite_group(group))
        self.register_buffer("arrows", matrices.to(torch.get_default_dtype()), persistent=False)
        self.field, self.output = field, output

    def forward(self, graph: Graph) -> Graph:
        """Sum the orientations as arrows."""
        value = graph.nodes[self.field] @ self.arrows
        return graph.with_nodes({self.output: Spec("1o")}, **{self.output: value})
