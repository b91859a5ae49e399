"""Group-equivariant convolutions: what holds for shifts, held for turns and mirrors too."""

from sciml.nn.groups.basis import oriented_filters
from sciml.nn.groups.convolution import GroupConvolution, LiftingConvolution
from sciml.nn.groups.export import to_plain
from sciml.nn.groups.fields import ArrowReadout, GroupPooling, NormNonlinearity, OnField, OrientedPooling

__all__ = [
    "ArrowReadout",
    "GroupConvolution",
    "GroupPooling",
    "LiftingConvolution",
    "NormNonlinearity",
    "OnField",
    "OrientedPooling",
    "oriented_filters",
    "to_plain",
]
