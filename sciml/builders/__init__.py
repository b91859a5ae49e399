"""Builders: anything to a Graph."""

from sciml.builders.grid import grid_graph, grid_values
from sciml.builders.particles import particle_graph
from sciml.builders.residue import residue_graph, residue_graphs

__all__ = ["grid_graph", "grid_values", "particle_graph", "residue_graph", "residue_graphs"]
