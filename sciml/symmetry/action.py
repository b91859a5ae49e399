"""What a group is, and how it reaches the fields of a Graph.

Every graph of a batch gets its own element: the product group G × ... × G acts on a batch, so that a
layer that mixes graphs is found out too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Generator, Tensor

from sciml.graph import PLACES, Graph, Place, Spec


class Outside(NamedTuple):
    """A transformation outside a group, which an honest layer does not take for an element of it.

    Attributes:
        description: what was done, in words.
        changed: the transformed input.
        expected: what the output f(x) would have to become if the layer did not notice; f(changed)
            must differ from expected(f(x)).
    """

    description: str
    changed: Graph
    expected: Callable[[Graph], Graph]


class Group(Protocol):
    """A group G with an action on graphs.

    Attributes:
        name: as it is printed.
        contains: names (keys of `GROUPS`) of groups that this one contains.
    """

    name: str
    contains: tuple[str, ...]

    def sample(self, graph: Graph, generator: Generator) -> Any:
        """Draw an element that fits the graph; ValueError if the graph has nothing to act on."""
        ...

    def act(self, element: Any, graph: Graph) -> Graph:
        """Return g · graph, fields as their Specs say."""
        ...

    def outside(self, graph: Graph, generator: Generator) -> Iterator[Outside]:
        """Yield transformations outside the group, of which a layer must notice at least one."""
        ...


class Field(NamedTuple):
    """A field of a graph, with what it means and which graph each of its rows belongs to."""

    place: Place
    name: str
    value: Tensor
    spec: Spec
    graph_of_row: Tensor

    @property
    def label(self) -> str:
        """Place and name, for messages."""
        return f"{self.place}.{self.name}"


def map_fields(graph: Graph, function: Callable[[Field], Tensor]) -> Graph:
    """Return the graph with every field replaced by the function of it."""
    graph_of_row = {
        "nodes": graph.node_graph,
        "senders": graph.sender_graph,
        "edges": graph.edge_graph,
        "globals": torch.arange(graph.num_graphs, device=graph.device),
    }
    new: dict[str, Any] = {}
    for place in PLACES:
        values = getattr(graph, place)
        if values is not None:
            new[place] = {
                name: function(Field(place, name, value, graph.spec(place, name), graph_of_row[place]))
                for name, value in values.items()
            }
    return graph.replace(**new)


def same(graph: Graph) -> Graph:
    """Return the graph: what an output becomes if nothing happened to the input."""
    return graph


def normal(shape: tuple[int, ...], generator: Generator, device: torch.device) -> Tensor:
    """Draw standard normal numbers, the same on every device."""
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(device)
