"""Whole networks, one file each."""

from sciml.models.field_network import FieldNetwork
from sciml.models.graph_transformer import GraphTransformer
from sciml.models.image_network import ImageNetwork
from sciml.models.interaction_network import InteractionNetwork

__all__ = [
    "FieldNetwork",
    "GraphTransformer",
    "ImageNetwork",
    "InteractionNetwork",
]
