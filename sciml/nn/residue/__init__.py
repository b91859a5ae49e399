"""Layers for residues: vectors, frames, pairs and kinds of edges."""

from sciml.nn.residue.gvp import GVPConvolution
from sciml.nn.residue.inputs import READS, ResidueInputs
from sciml.nn.residue.pairs import PairBlock, PairFromNodes, TriangleAttention, TriangleMultiplication
from sciml.nn.residue.perceptron import GeometricVectorPerceptron
from sciml.nn.residue.point_attention import InvariantPointAttention, PointAttentionBlock
from sciml.nn.residue.relational import RelationalBlock, RelationalConvolution
from sciml.nn.residue.typed import TypedEmbedding, TypedLinear

__all__ = [
    "READS",
    "GVPConvolution",
    "GeometricVectorPerceptron",
    "InvariantPointAttention",
    "PairBlock",
    "PairFromNodes",
    "PointAttentionBlock",
    "RelationalBlock",
    "RelationalConvolution",
    "ResidueInputs",
    "TriangleAttention",
    "TriangleMultiplication",
    "TypedEmbedding",
    "TypedLinear",
]
