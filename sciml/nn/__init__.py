"""Layers: the message-passing engine and its instances."""

from sciml.nn.about import About
from sciml.nn.attention import (
    AttentionByMessages,
    ConvolutionByAttention,
    DistanceBias,
    EdgeBias,
    EquivariantAttention,
    GraphConvolutionByMessages,
    LabelBias,
    LaplacianEncoding,
    LearnedEncoding,
    MultiHeadAttention,
    OffsetBias,
    QuadraticBias,
    Rotary,
    SinusoidalEncoding,
    SpectralBias,
    TransformerBlock,
    WalkEncoding,
    as_attention,
)
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
    "AttentionByMessages",
    "ChainConvolution",
    "ConvolutionByAttention",
    "DistanceBias",
    "EdgeBias",
    "EdgeMLP",
    "EdgeReadout",
    "Edges",
    "EquivariantAttention",
    "FormulaScalar",
    "FreeForce",
    "GlobalPooling",
    "GraphConvolutionByMessages",
    "GridConvolution",
    "GridPooling",
    "GroupConvolution",
    "GroupPooling",
    "LabelBias",
    "LabelEmbedding",
    "LaplacianEncoding",
    "LearnedEncoding",
    "LiftingConvolution",
    "MessagePassing",
    "MultiHeadAttention",
    "NormNonlinearity",
    "NormalizedSum",
    "OffsetBias",
    "OnField",
    "OrientedPooling",
    "PairScalar",
    "QuadraticBias",
    "RadialForce",
    "Rotary",
    "SinusoidalEncoding",
    "SpectralBias",
    "TransformerBlock",
    "WalkEncoding",
    "as_attention",
    "gather_sum",
    "mlp",
    "recording",
    "segment_reduce",
    "segment_softmax",
    "turned",
]
