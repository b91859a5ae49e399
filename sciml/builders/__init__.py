"""Builders: anything to a Graph."""

import importlib
from typing import TYPE_CHECKING, Any

from sciml.builders.atoms import SkinnedNeighbours, atoms_graph
from sciml.builders.complete import complete_graph, sequence_graph
from sciml.builders.grid import grid_graph, grid_values
from sciml.builders.particles import particle_graph
from sciml.builders.protein_sequence import protein_sequence_graph
from sciml.builders.residue import residue_graph, residue_graphs
from sciml.builders.residue_pairs import residue_pairs
from sciml.builders.structure import all_pairs, with_walks

if TYPE_CHECKING:
    from sciml.builders.complexes import complex_graph
    from sciml.builders.molecule import molecule_graph

# name: package that loads RDKit, which only those who ask for molecules should wait for
_LATER = {"complex_graph": "complexes", "molecule_graph": "molecule"}

__all__ = [
    "SkinnedNeighbours",
    "all_pairs",
    "atoms_graph",
    "complete_graph",
    "complex_graph",
    "grid_graph",
    "grid_values",
    "molecule_graph",
    "particle_graph",
    "protein_sequence_graph",
    "residue_graph",
    "residue_graphs",
    "residue_pairs",
    "sequence_graph",
    "with_walks",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"sciml.builders has no {name!r}; it has {', '.join(__all__)}.")
