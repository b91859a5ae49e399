"""Builders: anything to a Graph."""

from sciml.builders.grid import grid_graph, grid_values
from sciml.builders.particles import particle_graph

__all__ = ["grid_graph", "grid_values", "particle_graph"]
