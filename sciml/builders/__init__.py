"""Builders: anything to a Graph."""
