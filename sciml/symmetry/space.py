"""Groups of space: translations, rotations, reflections, and the images of a periodic cell."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from sciml.graph import Graph
from sciml.symmetry.action import Field, Outside, map_fields, normal, same
from sciml.symmetry.irreps import apply_blockwise, dimension, representation


class Translation:
    """T(d): points x → x + t, with one t for each graph; arrows and numbers stay."""

    name: str = "T(d)"
    contains: tuple[str, ...] = ()

    def sample(self, graph: Graph, generator: Generator) -> Float[Tensor, "graphs dim"]:
        """Draw vectors about as long as the cloud of points is wide."""
        points = _points(graph)
        shape = (graph.num_graphs, points.shape[-1])
        return normal(shape, generator, graph.device) * _spread(points)

    def act(self, element: Float[Tensor, "graphs dim"], graph: Graph) -> Graph:
        """Move the fields whose Spec says that they move."""

        def move(field: Field) -> Tensor:
            if not field.spec.moves:
                return field.value
            shift = element[field.graph_of_row].to(field.value.dtype)  # rows dim
            return field.value + shift.reshape(len(shift), *(1,) * (field.value.ndim - 2), -1)

        return map_fields(graph, move)

    def outside(self, graph: Graph, generator: Generator) -> Iterator[Outside]:
        """Displace every point on its own."""
        size = 0.2 * _spread(_points(graph))

        def displace(field: Field) -> Tensor:
            if not field.spec.moves:
                return field.value
            noise = size * normal(field.value.shape, generator, field.value.device)
            return field.value + noise.to(field.value.dtype)

        yield Outside("each point displaced on its own", map_fields(graph, displace), same)


class Rotation:
    """SO(d), d = 2 or 3: proper rotations, fields as their irreps say.

    Outside lies the mirror image: a layer that declares SO(d) and not O(d) must be chiral.
    """

    name: str = "SO(d)"
    contains: tuple[str, ...] = ()

    def sample(self, graph: Graph, generator: Generator) -> Float[Tensor, "graphs dim dim"]:
        """Draw rotation matrices, uniformly (Haar)."""
        return _orthogonal(graph, generator, determinant=1)

    def act(self, element: Float[Tensor, "graphs dim dim"], graph: Graph) -> Graph:
        """Turn every field: D(R) on its last axis; points turn about the origin."""

        def turn(field: Field) -> Tensor:
            if field.spec.irreps is None:
                return field.value
            matrix = element[field.graph_of_row]
            return apply_blockwise(
                field.value, field.spec.irreps, element.shape[-1], representation(matrix), field.label
            )

        return map_fields(graph, turn)

    def outside(self, graph: Graph, generator: Generator) -> Iterator[Outside]:
        """Reflect."""
        mirror = _orthogonal(graph, generator, determinant=-1)
        yield Outside(
            "mirror image; if that holds too, declare O",
            self.act(mirror, graph),
            lambda output: self.act(mirror, output),
        )


class Orthogonal(Rotation):
    """O(d), d = 2 or 3: rotations and reflections."""

    name: str = "O(d)"
    contains: tuple[str, ...] = ("SO",)

    def sample(self, graph: Graph, generator: Generator) -> Float[Tensor, "graphs dim dim"]:
        """Draw improper rotations: reflections generate all of O(d) (Cartan-Dieudonné)."""
        return _orthogonal(graph, generator, determinant=-1)

    def outside(self, graph: Graph, generator: Generator) -> Iterator[Outside]:
        """Stretch points and arrows along random axes, more in one direction than in another."""
        axes = _orthogonal(graph, generator, determinant=1)
        dim = axes.shape[-1]
        factors = torch.linspace(0.8, 1.3, dim, dtype=axes.dtype, device=axes.device)
        stretch = axes * factors @ axes.mT  # graphs dim dim

        def deform(field: Field) -> Tensor:
            if field.spec.irreps is None:
                return field.value
            matrix = stretch[field.graph_of_row]
            arrows_only = lambda degree, parity: matrix if (degree, parity) == (1, "o") else None
            return apply_blockwise(field.value, field.spec.irreps, dim, arrows_only, field.label)

        yield Outside("anisotropic stretch", map_fields(graph, deform), same)


class PeriodicImages:
    """Lattice translations Z(d), one for each node: x → x + n @ cell, with ``shift`` following.

    The edge vectors ``pos[receiver] - pos[sender] + shift @ cell`` stay as they are.
    """

    name: str = "images"
    contains: tuple[str, ...] = ()

    def sample(self, graph: Graph, generator: Generator) -> Int[Tensor, "nodes dim"]:
        """Draw by how many cells each node moves."""
        if graph.two_sided or "cell" not in graph.globals or "shift" not in graph.edges:
            raise ValueError("Periodic images need one node set, globals.cell and edges.shift.")
        shape = (graph.num_nodes, graph.globals["cell"].shape[-1])
        return torch.randint(-2, 3, shape, generator=generator).to(graph.device)

    def act(self, element: Int[Tensor, "nodes dim"], graph: Graph) -> Graph:
        """Put each node into another cell and tell the edges."""
        shift = graph.edges["shift"]
        hop = (element[graph.receiver] - element[graph.sender]).to(shift.dtype)
        return self._move(element, graph).with_edges(shift=shift - hop)

    def outside(self, graph: Graph, generator: Generator) -> Iterator[Outside]:
        """Move each node by part of a cell."""
        part = 0.2 * normal(self.sample(graph, generator).shape, generator, graph.device)
        yield Outside("each node moved by part of a cell", self._move(part, graph), same)

    def _move(self, cells: Tensor, graph: Graph) -> Graph:
        cell = graph.globals["cell"][graph.node_graph]  # nodes dim dim
        step = torch.einsum("ni,nij->nj", cells.to(cell.dtype), cell)
        moved = {name: x + step for name, x in graph.nodes.items() if graph.spec("nodes", name).moves}
        return graph.with_nodes(None, **moved)


def _points(graph: Graph) -> Tensor:
    for (place, name), spec in graph.specs.items():
        values = getattr(graph, place) or {}
        if spec.moves and name in values:
            return values[name].detach()
    raise ValueError("T(d) has nothing to move: no field of the graph has Spec(moves=True), as pos has.")


def _spread(points: Tensor) -> float:
    spread = float(points.double().flatten(0, -2).std(0).max()) if points.shape[0] > 1 else 0.0
    return spread or 1.0


def _orthogonal(graph: Graph, generator: Generator, determinant: int) -> Float[Tensor, "graphs dim dim"]:
    """Draw one matrix per graph, uniformly among those of the determinant (Mezzadri 2007)."""
    dim = dimension(graph)
    q, r = torch.linalg.qr(normal((graph.num_graphs, dim, dim), generator, graph.device))
    q = q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None, :]
    wrong = torch.linalg.det(q).sign() != determinant
    q[wrong, :, 0] *= -1
    return q
