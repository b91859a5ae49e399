"""Builders: anything to a Graph."""

from sciml.builders.complete import complete_graph, sequence_graph
from sciml.builders.grid import grid_graph, grid_values
from sciml.builders.particles import particle_graph
from sciml.builders.structure import all_pairs, with_walks

__all__ = [
    "all_pairs",
    "complete_graph",
    "grid_graph",
    "grid_values",
    "particle_graph",
    "sequence_graph",
    "with_walks",
]
