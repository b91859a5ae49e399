"""Layers that are equivariant under finite groups."""

from contract import Case
from torch import nn

from cases.examples import arrows, grids, oriented
from sciml.nn.groups import (
    ArrowReadout,
    GroupConvolution,
    GroupPooling,
    LiftingConvolution,
    NormNonlinearity,
    OnField,
    OrientedPooling,
)

CASES = [
    Case("lifting, p4", lambda: LiftingConvolution(2, 2, "C4"), grids(4, 4, kernel=3)),
    Case("lifting, C8", lambda: LiftingConvolution(2, 1, "C8", 5), grids(5, 5, kernel=5, graphs=1)),
    Case("group convolution, p4", lambda: GroupConvolution(2, 3), oriented("C4", 4, 4, kernel=3)),
    Case(
        "group convolution, p4m",
        lambda: GroupConvolution(1, 1, "D4"),
        oriented("D4", 3, 3, channels=1, kernel=3),
    ),
    Case(
        "group convolution, D6",
        lambda: GroupConvolution(1, 1, "D6"),
        oriented("D6", 3, 3, channels=1, kernel=3),
    ),
    Case(
        "group convolution, octahedral",
        lambda: GroupConvolution(1, 1, "Oct", bias=False),
        oriented("Oct", 3, 3, 3, channels=1, kernel=3, graphs=1),
    ),
    Case("group convolution, stride", lambda: GroupConvolution(2, 1, stride=2), oriented("C4", 4, 4)),
    Case("oriented pooling", OrientedPooling, oriented("C4", 4, 4)),
    Case("group pooling", GroupPooling, oriented("C4", 3, 3, kernel=3)),
    Case("arrow readout", ArrowReadout, oriented("C4", 3, 3, kernel=3)),
    Case("on a field", lambda: OnField(nn.Tanh()), oriented("C4", 3, 3, kernel=3)),
    Case("norm nonlinearity", lambda: NormNonlinearity(2), arrows()),
]
