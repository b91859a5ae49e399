"""Groups of grids: shifts by whole steps, and the turns and mirrors that map a grid to itself.

Values move to other grid points; the points themselves, their numbering and their edges stay. They act on
graphs with a `Grid` layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from sciml.graph import Graph, Grid
from sciml.symmetry.action import Field, Outside, map_fields
from sciml.symmetry.finite import FiniteGroup, finite_group
from sciml.symmetry.irreps import apply_blockwise, parse, representation


class Shifts:
    """Translations of a periodic grid by whole steps: the value at p goes to p + t.

    Args:
        step: only multiples of so many steps, as a layer with a stride needs it.
    """

    contains: tuple[str, ...] = ()

    def __init__(self, step: int = 1) -> None:
        self.step = step
        self.name = "shifts" if step == 1 else f"shifts by {step}"

    def sample(self, graph: Graph, generator: Generator) -> Float[Tensor, "graphs dim"]:
        """Draw shifts, as fractions of the grid: those of a coarser grid are the same."""
        layout = grid_layout(graph, self.name)
        shape, closed = _sender_shape(layout), torch.tensor(layout.periodic)
        if not closed.any():
            raise ValueError("A grid without a periodic axis has no shifts: build it with periodic=True.")
        for axis, n in enumerate(shape):
            if layout.periodic[axis] and (n % self.step or n == self.step):
                raise ValueError(
                    f"{self.name}: the periodic axis {axis} has {n} points, no multiple of {self.step}."
                )
        most = torch.tensor([max(n // self.step, 1) for n in shape])
        draw = torch.rand(graph.num_graphs, len(shape), generator=generator, dtype=torch.float64)
        steps = 1 + (draw * (most - 1)).floor()  # at least one
        return (steps * self.step * closed / torch.tensor(shape)).to(graph.device)

    def act(self, element: Float[Tensor, "graphs dim"], graph: Graph) -> Graph:
        """Roll the values of every node field."""

        def source(shape: tuple[int, ...]) -> Int[Tensor, "graphs points"]:
            size = torch.tensor(shape, device=element.device)
            steps = (element * size).round().long()  # graphs dim
            return _number((_points(shape, element.device) - steps[:, None]).remainder(size), shape)

        return _move_values(graph, source, self.name)

    def outside(self, graph: Graph, generator: Generator) -> Iterator[Outside]:
        """Exchange two points."""
        yield _two_exchanged(graph, self.name)


class GridTurns:
    """A finite group that maps a square or cubic grid to itself about its centre.

    Fields with irreps turn as well; in a field with ``Spec.regular`` the last axis, which counts elements
    of a group, is permuted by multiplication from the left.
    """

    def __init__(self, group: str, contains: tuple[str, ...] = ()) -> None:
        self.name, self.contains = group, contains

    @property
    def group(self) -> FiniteGroup:
        """The group itself."""
        return finite_group(self.name)

    def sample(self, graph: Graph, generator: Generator) -> Float[Tensor, "graphs dim dim"]:
        """Draw one matrix per graph, never the identity."""
        layout, group = grid_layout(graph, self.name), self.group
        if layout.dim != group.dim:
            raise ValueError(f"{self.name} acts in {group.dim} dimensions; the grid has {layout.dim}.")
        number = torch.randint(1, len(group), (graph.num_graphs,), generator=generator)
        return group.matrices[number].to(graph.device)

    def act(self, element: Float[Tensor, "graphs dim dim"], graph: Graph, lenient: bool = False) -> Graph:
        """Move the values, and turn them.

        Args:
            element: matrices.
            graph: with a grid layout.
            lenient: leave the last axis of a regular field of a group without this element.
        """

        def source(shape: tuple[int, ...]) -> Int[Tensor, "graphs points"]:
            centre = (torch.tensor(shape, dtype=torch.float64, device=element.device) - 1) / 2
            from_centre = _points(shape, element.device) - centre  # points dim
            back = torch.einsum("gji,pj->gpi", element, from_centre)  # inverse = transpose
            if bool((back.abs() > centre + 0.1).any()):
                raise ValueError(f"{self.name} does not map a grid of shape {shape} to itself.")
            return _number((back + centre).round().long(), shape)

        def turn(field: Field) -> Tensor:
            if field.spec.moves or field.place == "edges":
                return field.value
            matrix, value = element[field.graph_of_row], field.value
            if field.spec.regular is not None:
                group = finite_group(field.spec.regular)
                if lenient and not group.has(matrix):
                    return value
                order = group.product.to(value.device)[group.inverse[group.index(matrix)]]  # rows elements
                order = order.reshape(len(order), *(1,) * (value.ndim - 2), -1).expand_as(value)
                return value.gather(-1, order)
            irreps = field.spec.irreps
            if irreps is None or all((i.degree, i.parity) == (0, "e") for i in parse(irreps)):
                return value
            return apply_blockwise(value, irreps, matrix.shape[-1], representation(matrix), field.label)

        return map_fields(_move_values(graph, source, self.name), turn)

    def outside(self, graph: Graph, generator: Generator) -> Iterator[Outside]:
        """Take an element of the next larger group, or exchange two points."""
        larger = {"C2": "C4", "C4": "D4", "Oct": "Oh"}.get(self.name)
        if larger is not None:
            group = finite_group(larger)
            own = {tuple(m.flatten().round().tolist()) for m in self.group.matrices}
            foreign = [m for m in group.matrices if tuple(m.flatten().round().tolist()) not in own]
            number = torch.randint(len(foreign), (graph.num_graphs,), generator=generator)
            element, other = torch.stack(foreign)[number].to(graph.device), GridTurns(larger)
            what = f"an element of {larger}; if that holds too, declare {larger}"
            mirror = lambda graph: other.act(element, graph, lenient=True)
            yield Outside(what, mirror(graph), mirror)
        else:
            yield _two_exchanged(graph, self.name)


def grid_layout(graph: Graph, who: str) -> Grid:
    """Return the grid that the graph is laid out on.

    Raises:
        ValueError: there is none.
    """
    layout = graph.layout if isinstance(graph.layout, Grid) else None
    if layout is None:
        raise ValueError(f"{who} needs a graph with a grid layout; build it with sciml.builders.grid_graph.")
    return layout


# -------------------------------------------------------------------- details


def _sender_shape(layout: Grid) -> tuple[int, ...]:
    return layout.sender_shape or layout.shape


def _points(shape: tuple[int, ...], device: torch.device) -> Int[Tensor, "points dim"]:
    axes = [torch.arange(n, device=device) for n in shape]
    return torch.cartesian_prod(*axes).reshape(-1, len(shape))


def _number(points: Int[Tensor, "... dim"], shape: tuple[int, ...]) -> Int[Tensor, "..."]:
    steps = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return (points * torch.tensor(steps, device=points.device)).sum(-1)


Source = Callable[[tuple[int, ...]], Tensor]  # shape of a grid -> graphs points, where each value comes from


def _move_values(graph: Graph, source: Source, who: str) -> Graph:
    """Give each grid point the values of its source, on nodes and senders."""
    layout = grid_layout(graph, who)
    shapes = {"nodes": layout.shape, "senders": _sender_shape(layout)}

    def move(field: Field) -> Tensor:
        if field.place not in shapes or field.spec.moves:
            return field.value
        shape = shapes[field.place]
        first = torch.arange(graph.num_graphs, device=graph.device)[:, None] * prod(shape)
        return field.value[(source(shape) + first).flatten()]

    return map_fields(graph, move)


def _two_exchanged(graph: Graph, who: str) -> Outside:
    """Exchange the values of the first two grid points."""

    def source(shape: tuple[int, ...]) -> Int[Tensor, "graphs points"]:
        number = torch.arange(prod(shape), device=graph.device)
        return torch.cat([number[:2].flip(0), number[2:]]).expand(graph.num_graphs, -1)

    exchange = lambda output: _move_values(output, source, who)
    return Outside("the first two points exchanged; if that holds too, declare S", exchange(graph), exchange)
