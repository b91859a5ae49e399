"""Layers: the message-passing engine and its instances."""

from sciml.nn.about import About
from sciml.nn.attention import (
    AttentionByMessages,
    ConvolutionByAttention,
    DistanceBias,
    EdgeBias,
    EquivariantAttention,
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
from sciml.nn.continuous_filter import ContinuousFilter
from sciml.nn.convolution import GlobalPooling, GridConvolution, GridPooling
from sciml.nn.directed_messages import DirectedMessages
from sciml.nn.edge_mlp import EdgeMLP
from sciml.nn.edge_readout import EdgeReadout
from sciml.nn.egnn import EGNNLayer
from sciml.nn.embedding import LabelEmbedding
from sciml.nn.equivariant import MACELayer, NequIPLayer, SymmetricPowers, TensorConvolution
from sciml.nn.free_force import FreeForce
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
from sciml.nn.interaction import FormulaScalar, PairScalar, RadialForce
from sciml.nn.isomorphism import IsomorphismLayer
from sciml.nn.message_passing import Edges, MessagePassing, recording, segment_reduce, segment_softmax
from sciml.nn.mlp import mlp
from sciml.nn.normalized_sum import NormalizedSum, turned
from sciml.nn.painn import PaiNNLayer
from sciml.nn.residue import (
    GVPConvolution,
    InvariantPointAttention,
    PairBlock,
    PairFromNodes,
    PointAttentionBlock,
    RelationalBlock,
    RelationalConvolution,
    ResidueInputs,
    TriangleAttention,
    TriangleMultiplication,
)
from sciml.nn.scattering import (
    DensityWavelets,
    Scattering1d,
    Scattering2d,
    Scattering3d,
    SolidHarmonicScattering,
    WaveletConvolution,
)
from sciml.nn.spectral import (
    ChebyshevFilter,
    ChebyshevFunction,
    DiffusionScattering,
    GraphConvolution,
    GraphFourier,
    InverseGraphFourier,
    Laplacian,
    SimplifiedGraphConvolution,
    SpectralFilter,
    heat_kernel,
    lanczos_function,
    laplacian,
    scattering_features,
    wave_kernel,
    with_modes,
    with_spectrum,
)
from sciml.nn.stencils import StencilSum
from sciml.nn.zbl import ZBL

__all__ = [
    "ZBL",
    "About",
    "ArrowReadout",
    "AttentionByMessages",
    "ChainConvolution",
    "ChebyshevFilter",
    "ChebyshevFunction",
    "ContinuousFilter",
    "ConvolutionByAttention",
    "DensityWavelets",
    "DiffusionScattering",
    "DirectedMessages",
    "DistanceBias",
    "EGNNLayer",
    "EdgeBias",
    "EdgeMLP",
    "EdgeReadout",
    "Edges",
    "EquivariantAttention",
    "FormulaScalar",
    "FreeForce",
    "GVPConvolution",
    "GlobalPooling",
    "GraphConvolution",
    "GraphFourier",
    "GridConvolution",
    "GridPooling",
    "GroupConvolution",
    "GroupPooling",
    "InvariantPointAttention",
    "InverseGraphFourier",
    "IsomorphismLayer",
    "LabelBias",
    "LabelEmbedding",
    "Laplacian",
    "LaplacianEncoding",
    "LearnedEncoding",
    "LiftingConvolution",
    "MACELayer",
    "MessagePassing",
    "MultiHeadAttention",
    "NequIPLayer",
    "NormNonlinearity",
    "NormalizedSum",
    "OffsetBias",
    "OnField",
    "OrientedPooling",
    "PaiNNLayer",
    "PairBlock",
    "PairFromNodes",
    "PairScalar",
    "PointAttentionBlock",
    "QuadraticBias",
    "RadialForce",
    "RelationalBlock",
    "RelationalConvolution",
    "ResidueInputs",
    "Rotary",
    "Scattering1d",
    "Scattering2d",
    "Scattering3d",
    "SimplifiedGraphConvolution",
    "SinusoidalEncoding",
    "SolidHarmonicScattering",
    "SpectralBias",
    "SpectralFilter",
    "StencilSum",
    "SymmetricPowers",
    "TensorConvolution",
    "TransformerBlock",
    "TriangleAttention",
    "TriangleMultiplication",
    "WalkEncoding",
    "WaveletConvolution",
    "as_attention",
    "gather_sum",
    "heat_kernel",
    "lanczos_function",
    "laplacian",
    "mlp",
    "recording",
    "scattering_features",
    "segment_reduce",
    "segment_softmax",
    "turned",
    "wave_kernel",
    "with_modes",
    "with_spectrum",
]
