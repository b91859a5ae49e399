"""Labels to vectors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.symmetry import Symmetry


class LabelEmbedding(nn.Module):
    """Sum of one learned vector for each label: x_i = Σ_f E_f[label_f(i)].

    The same as a linear map of one-hot columns, without the columns.

    Args:
        labels: name of each label field to its number of values.
        channels: of the result.
        place, field: where the labels are and the result goes.
    """

    about = About(
        domain="any graph",
        content="the labels of x_i",
        geometry="none",
        equation=r"x_i = \sum_f E_f[\mathrm{label}_f(i)]",
        cost="nodes · labels · channels",
    )
    symmetry = Symmetry(("S",))

    def __init__(
        self,
        labels: Mapping[str, int],
        channels: int,
        place: Literal["nodes", "edges", "senders"] = "nodes",
        field: str = "x",
    ) -> None:
        super().__init__()
        if not labels:
            raise ValueError("LabelEmbedding needs at least one label field.")
        self.place, self.field, self.channels, self.labels = place, field, channels, tuple(labels)
        self.tables = nn.ParameterDict(
            {name: nn.Parameter(torch.randn(size, channels)) for name, size in labels.items()}
        )
        for table in self.tables.values():
            table.data /= len(labels) ** 0.5  # the sum has variance one

    def forward(self, graph: Graph) -> Graph:
        """Look the vectors up.

        Raises:
            ValueError: see `check`.
        """
        self.check(graph)
        spec = {self.field: Spec(f"{self.channels}x0e")}
        fields = getattr(graph, self.place)
        vectors = reduce(torch.add, (t.index_select(0, fields[name]) for name, t in self.tables.items()))
        return getattr(graph, f"with_{self.place}")(spec, **{self.field: vectors})

    def check(self, graph: Graph) -> None:
        """Hold the labels of a graph against the tables.

        Raises:
            ValueError: a label field that is not there, or counts other classes.
        """
        fields = getattr(graph, self.place) or {}
        for name, table in self.tables.items():
            classes = graph.spec(self.place, name).classes
            if name not in fields or classes not in (None, len(table)):
                found = f"counts {classes} classes" if name in fields else "is not there"
                raise ValueError(
                    f"LabelEmbedding reads {self.place}.{name} with {len(table)} classes, which {found}; "
                    f"{self.place} has {', '.join(fields) or 'no fields'}."
                )

    @property
    def table(self) -> Float[Tensor, "values channels"]:
        """All vectors in the order of the labels, not the dictionary's: the linear map of one-hot columns."""
        return torch.cat([self.tables[name] for name in self.labels])
