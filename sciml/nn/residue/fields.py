"""Reading fields, with a message where they are not as a layer takes them."""

from __future__ import annotations

from torch import Tensor

from sciml.graph import Graph, Place


def read(graph: Graph, place: Place, name: str, layer: str, *shape: int) -> Tensor:
    """Return a field whose rows have this shape.

    Raises:
        ValueError: the field is not there, or has another shape.
    """
    value = (getattr(graph, place) or {}).get(name)
    if value is None or tuple(value.shape[1:]) != shape:
        found = "is not there" if value is None else f"has shape {tuple(value.shape)}"
        expected = ", ".join(map(str, (place, *shape)))
        raise ValueError(f"{layer} reads {place}.{name} of shape ({expected}); it {found}.")
    return value
