"""Outputs by name, as several models have them: at nodes, graphs and edges."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Place, Spec

Sizes = Mapping[Place, Mapping[str, int]]


class Heads(nn.Module):
    """Small networks that write ``predicted_NAME``, one each for the names given for a place.

    Args:
        sizes: for each place the names of outputs and their sizes: a number of classes (scores before a
            softmax, (rows, classes)), or 1 for a number, (rows,).
        widths: channels that the networks of a place read.
        hidden: channels inside.
        dropout: rate, in training.

    Raises:
        ValueError: no output at all, a size that is not a positive integer.
    """

    def __init__(self, sizes: Sizes, widths: Mapping[Place, int], hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        for wanted in sizes.values():
            for name, size in wanted.items():
                if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                    raise ValueError(f"Head {name!r} has size {size!r}; expected a number of classes, or 1.")
        head = lambda width, size: nn.Sequential(
            nn.Linear(width, hidden), nn.SiLU(), nn.Dropout(dropout), nn.Linear(hidden, size)
        )
        self.places = nn.ModuleDict(
            {
                place: nn.ModuleDict(
                    {f"predicted_{name}": head(widths[place], size) for name, size in wanted.items()}
                )
                for place, wanted in sizes.items()
                if wanted
            }
        )

    def __contains__(self, place: Place) -> bool:
        return place in self.places

    def __len__(self) -> int:
        return len(self.places)

    def forward(self, graph: Graph, rows: Mapping[Place, Float[Tensor, "rows width"]]) -> Graph:
        """Return the graph with all outputs; ``rows`` are what the networks of each place read."""
        for place, heads in self.places.items():
            assert isinstance(heads, nn.ModuleDict)
            found = {name: _squeezed(head(rows[place])) for name, head in heads.items()}  # type: ignore[index]
            specs = {name: Spec("0e" if v.ndim == 1 else f"{v.shape[1]}x0e") for name, v in found.items()}
            graph = getattr(graph, f"with_{place}")(specs, **found)
        return graph


def _squeezed(value: Float[Tensor, "rows size"]) -> Float[Tensor, "rows ..."]:
    return value[:, 0] if value.shape[1] == 1 else value
