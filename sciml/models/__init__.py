"""Whole networks, one file each."""

from sciml.models.interaction_network import InteractionNetwork

__all__ = ["InteractionNetwork"]
