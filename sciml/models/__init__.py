"""Whole networks, one file each."""

from sciml.models.complex_network import ComplexNetwork
from sciml.models.graph_transformer import GraphTransformer
from sciml.models.image_network import ImageNetwork
from sciml.models.interaction_network import InteractionNetwork
from sciml.models.residue_network import ResidueNetwork

__all__ = ["ComplexNetwork", "GraphTransformer", "ImageNetwork", "InteractionNetwork", "ResidueNetwork"]
