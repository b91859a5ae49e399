"""Layers on grids."""

from contract import Case

from cases.examples import grids
from sciml.nn.convolution import GlobalPooling, GridConvolution, GridPooling

CASES = [
    Case("convolution", lambda: GridConvolution(2, 3), grids(4, 5, kernel=3)),
    Case(
        "convolution, 1D", lambda: GridConvolution(2, 3, 2, dim=1, dilation=2), grids(6, kernel=2, dilation=2)
    ),
    Case(
        "convolution, 3D", lambda: GridConvolution(2, 2, (3, 1, 2), dim=3), grids(3, 4, 3, kernel=(3, 1, 2))
    ),
    Case(
        "convolution, half bounded",
        lambda: GridConvolution(2, 3),
        grids(4, 5, kernel=3, periodic=(True, False)),
    ),
    Case("convolution, stride", lambda: GridConvolution(2, 3, 3, stride=2), grids(4, 6)),
    Case("maximum pooling", GridPooling, grids(4, 6)),
    Case("mean pooling, 1D", lambda: GridPooling(3, dim=1, stride=2, kind="mean"), grids(8)),
    Case("global pooling", GlobalPooling, grids(3, 3, kernel=3)),
]
