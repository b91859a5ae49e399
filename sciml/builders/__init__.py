"""Builders: anything to a Graph."""

from sciml.builders.complete import complete_graph, sequence_graph
from sciml.builders.grid import grid_graph, grid_values
from sciml.builders.particles import particle_graph
from sciml.builders.residue import residue_graph, residue_graphs
from sciml.builders.residue_pairs import residue_pairs
from sciml.builders.structure import all_pairs, with_modes, with_walks

__all__ = [
    "all_pairs",
    "complete_graph",
    "grid_graph",
    "grid_values",
    "particle_graph",
    "residue_graph",
    "residue_graphs",
    "residue_pairs",
    "sequence_graph",
    "with_modes",
    "with_walks",
]
