"""Attention: softmax-weighted messages, what tells them where nodes stand, and what they contain."""

from sciml.nn.attention.as_convolution import ConvolutionByAttention, as_attention
from sciml.nn.attention.block import TransformerBlock
from sciml.nn.attention.equivariant import EquivariantAttention
from sciml.nn.attention.inclusions import AttentionByMessages
from sciml.nn.attention.multihead import MultiHeadAttention
from sciml.nn.attention.node_encodings import (
    LaplacianEncoding,
    LearnedEncoding,
    NodeEncoding,
    SinusoidalEncoding,
    WalkEncoding,
)
from sciml.nn.attention.rotary import Rotary
from sciml.nn.attention.score_encodings import (
    DistanceBias,
    EdgeBias,
    LabelBias,
    OffsetBias,
    QuadraticBias,
    ScoreBias,
    SpectralBias,
)

__all__ = [
    "AttentionByMessages",
    "ConvolutionByAttention",
    "DistanceBias",
    "EdgeBias",
    "EquivariantAttention",
    "LabelBias",
    "LaplacianEncoding",
    "LearnedEncoding",
    "MultiHeadAttention",
    "NodeEncoding",
    "OffsetBias",
    "QuadraticBias",
    "Rotary",
    "ScoreBias",
    "SinusoidalEncoding",
    "SpectralBias",
    "TransformerBlock",
    "WalkEncoding",
    "as_attention",
]
