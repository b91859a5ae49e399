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
from sciml.nn.convolution import GlobalPooling, GridConvolution, GridPooling
from sciml.nn.edge_mlp import EdgeMLP
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

__all__ = [
    "About",
    "ArrowReadout",
    "AttentionByMessages",
    "ConvolutionByAttention",
    "DistanceBias",
    "EdgeBias",
