"""Structures to properties: sums over atoms, means over them, and lengths of dipoles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.builders.atoms import ELEMENTS, as_structures, atoms_graph
from sciml.graph import Graph, Spec
from sciml.models.atom_encoder import AtomEncoder
from sciml.nn.message_passing import segment_reduce
from sciml.symmetry import Symmetry

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms

PREDICTED = 64  # structures at a time
LEAST = 1e-12  # under the root of a length, whose slope is infinite at zero


class Readout(nn.Module):
    """One number for each structure, out of the scalars and vectors of its atoms."""

    symmetry = Symmetry(("S", "T", "O"))

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scalar = nn.Sequential(
            nn.Linear(channels, channels // 2), nn.SiLU(), nn.Linear(channels // 2, 1)
        )

    def forward(self, graph: Graph) -> Float[Tensor, "graphs"]:
        """Return the numbers."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(graph).")


class SumReadout(Readout):
    """y = Σ_i ε_i, for what grows with the structure, as an energy does."""

    def forward(self, graph: Graph) -> Float[Tensor, "graphs"]:
        """Return the sums."""
        return segment_reduce(self.scalar(graph.nodes["x"])[:, 0], graph.node_graph, graph.num_graphs)


class MeanReadout(Readout):
    """y = 1/n Σ_i ε_i, for what does not grow, as a gap."""

    def forward(self, graph: Graph) -> Float[Tensor, "graphs"]:
        """Return the means."""
        values = self.scalar(graph.nodes["x"])[:, 0]
        total = segment_reduce(values, graph.node_graph, graph.num_graphs)
        return total / graph.node_counts.to(total.dtype)


class DipoleReadout(Readout):
    """y = |Σ_i μ_i + (q_i − q̄) r_i|, the length of a dipole (Schütt et al. 2021, arXiv 2102.03150).

    The mean charge is taken away, so that the dipole does not depend on where the origin is. Not for
    periodic structures, which have no such dipole.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.vector = nn.Linear(channels, 1, bias=False)

    def forward(self, graph: Graph) -> Float[Tensor, "graphs"]:
        """Return the lengths."""
        total = lambda values: segment_reduce(values, graph.node_graph, graph.num_graphs)
        counts = graph.node_counts.to(graph.nodes["x"].dtype)
        charge = self.scalar(graph.nodes["x"])[:, 0]
        charge = charge - (total(charge) / counts).index_select(0, graph.node_graph)
        local = self.vector(graph.nodes["v"].transpose(1, 2))[..., 0]
        dipole = total(local + charge[:, None] * graph.nodes["pos"])
        return (dipole.square().sum(1) + LEAST).sqrt()


READOUTS: dict[str, Callable[[int], Readout]] = {
    "sum": SumReadout,
    "mean": MeanReadout,
    "dipole": DipoleReadout,
}


class StructurePredictor(nn.Module):
    """Properties of structures: an encoder of atoms, and a readout for each property.

    Args:
        targets: names of the properties, each with its kind of readout: sum, mean or dipole.
        channels, layers, radial, cutoff: of `AtomEncoder`.
        offset: of each property, added to what is read out.
        scale: of each property; what is read out is in this unit.
        references: for properties that are sums, the part of each element (chemical symbols), added up.
        units: of each property, for tables.

    Input: graphs of `atoms_graph` with this cutoff. Output: ``globals["predicted"]`` (graphs, targets) in
    units of the scale, *without offset and references*, which would take the digits in single precision;
    `answer` and `predict` give the properties.

    Raises:
        ValueError: no target, an unknown readout, offsets or scales for another number of targets.
    """

    symmetry = Symmetry(("S", "T", "O"))
    constants: Tensor
    parts: Tensor
    seen: Tensor

    def __init__(
        self,
        targets: Mapping[str, str],
        *,
        channels: int = 64,
        layers: int = 3,
        radial: int = 16,
        cutoff: float = 5.0,
        offset: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        references: Mapping[str, Mapping[str, float]] | None = None,
        units: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        kinds = list(targets.values())
        number = len(kinds)
        offset, scale = list(offset or [0.0] * number), list(scale or [1.0] * number)
        if not kinds or {len(offset), len(scale)} != {number} or not set(kinds) <= set(READOUTS):
            raise ValueError(
                f"targets {dict(targets)}, {len(offset)} offsets, {len(scale)} scales: expected one of "
                f"{', '.join(READOUTS)} for each target, and one offset and scale."
            )
        self.targets, self.kinds, self.cutoff = list(targets), kinds, float(cutoff)
        self.units = list(units or [""] * number)
        self.encoder = AtomEncoder(channels, layers, radial, cutoff)
        self.readouts = nn.ModuleList(READOUTS[kind](channels) for kind in kinds)
        table, seen = _table(self.targets, references or {})
        self.register_buffer(
            "constants", torch.tensor([offset, scale], dtype=torch.float64), persistent=False
        )
        self.register_buffer("parts", table, persistent=False)
        self.register_buffer("seen", seen, persistent=False)

    def _apply(self, function: Callable, recurse: bool = True) -> nn.Module:
        """Move as usual, but keep references and scales in double precision."""
        exact = {name: getattr(self, name) for name in ("constants", "parts")}
        super()._apply(function, recurse)
        for name, value in exact.items():
            moved = getattr(self, name)
            setattr(self, name, value.to(moved.device) if moved.device.type != "meta" else moved)
        return self

    def forward(self, graph: Graph) -> Graph:
        """Return the graph with ``predicted``."""
        inner = self.encoder(graph)
        predicted = torch.stack([readout(inner) for readout in self.readouts], dim=1)
        return graph.with_globals({"predicted": Spec(f"{len(self.targets)}x0e")}, predicted=predicted)

    def standardized(self, graph: Graph) -> Float[Tensor, "graphs targets"]:
        """Return what ``predicted`` should be for ``globals["y"]``."""
        y = graph.globals["y"].double() - self._known(graph)
        return (y / self.constants[1]).to(self.encoder.embedding.dtype)

    @torch.no_grad()
    def answer(self, graph: Graph) -> Float[Tensor, "graphs targets"]:
        """Return the properties in their units, in double precision."""
        predicted = self(graph).globals["predicted"].double()
        return predicted * self.constants[1] + self._known(graph)

    def _known(self, graph: Graph) -> Float[Tensor, "graphs targets"]:
        parts = self.parts.index_select(0, graph.nodes["number"])
        return self.constants[0] + segment_reduce(parts, graph.node_graph, graph.num_graphs)

    def predict(self, atoms: Atoms | Sequence[Atoms]) -> pd.DataFrame:
        """Return a row for each structure with its formula and its properties.

        Raises:
            TypeError, ValueError: as `atoms_graph`; an element that training had not.
        """
        import pandas as pd

        structures = as_structures(atoms)
        for structure in structures:
            self._check_elements(structure)
        found = []
        for start in range(0, len(structures), PREDICTED):
            graph = atoms_graph(structures[start : start + PREDICTED], self.cutoff)
            like = self.encoder.embedding
            found.append(self.answer(graph.to(like.device, like.dtype)).cpu().numpy())
        table = pd.DataFrame(np.concatenate(found), columns=self.targets)
        table.insert(0, "formula", [structure.get_chemical_formula() for structure in structures])
        return table

    def _check_elements(self, atoms: Atoms) -> None:
        wrong = [i for i, z in enumerate(atoms.numbers.tolist()) if self.seen.any() and not self.seen[z]]
        if wrong:
            raise ValueError(
                f"Atom {wrong[0]} of {atoms.get_chemical_formula()} is {atoms.symbols[wrong[0]]}, an element "
                "that no structure in training had."
            )


def _table(
    targets: Sequence[str], references: Mapping[str, Mapping[str, float]]
) -> tuple[Float[Tensor, "elements targets"], Tensor]:
    from ase.data import atomic_numbers

    table = torch.zeros(ELEMENTS, len(targets), dtype=torch.float64)
    seen = torch.zeros(ELEMENTS, dtype=torch.bool)
    for target, per in references.items():
        for symbol, value in per.items():
            if target not in targets or symbol not in atomic_numbers:
                raise ValueError(f"references of {target!r} for {symbol!r}: no such target or element.")
            table[atomic_numbers[symbol], targets.index(target)] = value
            seen[atomic_numbers[symbol]] = True
    return table, seen
