"""Builders: anything to a Graph."""

from typing import TYPE_CHECKING, Any

from sciml.builders.complete import complete_graph, sequence_graph
from sciml.builders.grid import grid_graph, grid_values
from sciml.builders.particles import particle_graph
from sciml.builders.residue import residue_graph, residue_graphs
from sciml.builders.residue_pairs import residue_pairs
from sciml.builders.structure import all_pairs, with_walks

if TYPE_CHECKING:
    from sciml.builders.complexes import complex_graph

__all__ = [
    "all_pairs",
    "complete_graph",
    "complex_graph",
    "grid_graph",
    "grid_values",
    "particle_graph",
    "residue_graph",
    "residue_graphs",
    "residue_pairs",
    "sequence_graph",
    "with_walks",
]


def __getattr__(name: str) -> Any:
    if name == "complex_graph":  # RDKit is loaded by those who ask for molecules
        from sciml.builders.complexes import complex_graph

        return complex_graph
    raise AttributeError(f"sciml.builders has no {name!r}; it has {', '.join(__all__)}.")
