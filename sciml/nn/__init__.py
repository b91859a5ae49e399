"""Layers: the message-passing engine and its instances."""

from sciml.nn.about import About
from sciml.nn.chain import ChainConvolution
from sciml.nn.convolution import GlobalPooling, GridConvolution, GridPooling
from sciml.nn.edge_mlp import EdgeMLP
from sciml.nn.edge_readout import EdgeReadout
from sciml.nn.embedding import LabelEmbedding
from sciml.nn.gather import gather_sum
from sciml.nn.groups import (
    ArrowReadout,
    GroupConvolution,
    GroupPooling,
    LiftingConvolution,
    NormNonlinearity,
    OnField,
    OrientedPooling,
)
from sciml.nn.interaction import FormulaScalar, FreeForce, PairScalar, RadialForce
from sciml.nn.message_passing import Edges, MessagePassing, recording, segment_reduce, segment_softmax
from sciml.nn.mlp import mlp
from sciml.nn.normalized_sum import NormalizedSum, turned

__all__ = [
    "About",
    "ArrowReadout",
    "ChainConvolution",
    "EdgeMLP",
    "EdgeReadout",
    "Edges",
    "FormulaScalar",
    "FreeForce",
    "GlobalPooling",
    "GridConvolution",
    "GridPooling",
    "GroupConvolution",
    "GroupPooling",
    "LabelEmbedding",
    "LiftingConvolution",
    "MessagePassing",
    "NormNonlinearity",
    "NormalizedSum",
    "OnField",
    "OrientedPooling",
    "PairScalar",
    "RadialForce",
    "gather_sum",
    "mlp",
    "recording",
    "segment_reduce",
    "segment_softmax",
    "turned",
]
