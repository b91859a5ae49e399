"""Scattering transforms on grids."""

from contract import Case

from cases.examples import grids
from sciml.nn.scattering import Scattering1d, Scattering2d, Scattering3d, WaveletConvolution, morlet_2d

CASES = [
    Case("scattering, 1D", lambda: Scattering1d(16, 2, 2, periodic=True), grids(16)),
    Case(
        "scattering, 1D, oversampled",
        lambda: Scattering1d(8, 2, 1, periodic=True, oversampling=1),
        grids(8, channels=1),
    ),
    Case("scattering, 2D", lambda: Scattering2d((8, 16), 2, 2, periodic=True), grids(8, 16, channels=1)),
    Case(
        "scattering, 2D, half bounded",
        lambda: Scattering2d((8, 5), 1, 3, periodic=(True, False)),
        grids(8, 5, periodic=(True, False)),
    ),
    Case("scattering, 3D", lambda: Scattering3d((4, 4, 4), 1, periodic=True), grids(4, 4, 4, graphs=1)),
    Case(
        "wavelet convolution",
        lambda: WaveletConvolution(morlet_2d((4, 6), 1, 3).octaves[0].transfer, 2),
        grids(4, 6),
    ),
]
