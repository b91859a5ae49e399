"""Layers: the message-passing engine and its instances."""

from sciml.nn.about import About
from sciml.nn.convolution import GlobalPooling, GridConvolution, GridPooling
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
    with_spectrum,
)

__all__ = [
    "About",
    "ArrowReadout",
    "ChebyshevFilter",
    "ChebyshevFunction",
    "DiffusionScattering",
    "Edges",
    "FormulaScalar",
    "FreeForce",
    "GlobalPooling",
    "GraphConvolution",
    "GraphFourier",
    "GridConvolution",
    "GridPooling",
    "GroupConvolution",
    "GroupPooling",
    "InverseGraphFourier",
    "Laplacian",
    "LiftingConvolution",
    "MessagePassing",
    "NormNonlinearity",
    "OnField",
    "OrientedPooling",
    "PairScalar",
    "RadialForce",
    "SimplifiedGraphConvolution",
    "SpectralFilter",
    "heat_kernel",
    "lanczos_function",
    "laplacian",
    "mlp",
    "recording",
    "scattering_features",
    "segment_reduce",
    "segment_softmax",
    "wave_kernel",
    "with_spectrum",
]
