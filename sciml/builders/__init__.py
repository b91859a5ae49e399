"""Builders: anything to a Graph."""

from sciml.builders.particles import particle_graph

__all__ = ["particle_graph"]
