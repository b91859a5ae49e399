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
from sciml.nn.scattering import (
    DensityWavelets,
    Scattering1d,
    Scattering2d,
    Scattering3d,
    SolidHarmonicScattering,
    WaveletConvolution,
)

__all__ = [
    "About",
    "ArrowReadout",
    "DensityWavelets",
    "Edges",
    "FormulaScalar",
    "FreeForce",
    "GlobalPooling",
    "GridConvolution",
    "GridPooling",
    "GroupConvolution",
    "GroupPooling",
    "LiftingConvolution",
    "MessagePassing",
    "NormNonlinearity",
    "OnField",
    "OrientedPooling",
    "PairScalar",
    "RadialForce",
    "Scattering1d",
    "Scattering2d",
    "Scattering3d",
    "SolidHarmonicScattering",
    "WaveletConvolution",
    "mlp",
    "recording",
    "segment_reduce",
    "segment_softmax",
]
