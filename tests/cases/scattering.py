"""Scattering transforms on grids, and of molecules."""

from contract import Case

from cases.examples import FEW, grids
from sciml.nn.scattering import (
    DensityWavelets,
    Scattering1d,
    Scattering2d,
    Scattering3d,
    SolidHarmonicScattering,
    WaveletConvolution,
    morlet_2d,
)

CLOSE = FEW.with_nodes(pos=0.3 * FEW.nodes["pos"])  # a box for them has few points

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
    Case("density wavelets", lambda: DensityWavelets((6, 4, 4), 0.8, 0.6, 0.9, 2, "charge"), CLOSE),
    Case(
        "solid-harmonic scattering",
        lambda: SolidHarmonicScattering(
            7.0, spacing=0.6, J=1, lmax=1, powers=(1.0, 2.0), oversampling=0, reach=2.0
        ),
        CLOSE,
    ),
    Case(
        "solid-harmonic scattering, first order",
        lambda: SolidHarmonicScattering(
            (7.0, 6.8, 7.4), spacing=0.55, J=1, order=1, oversampling=1, reach=2.0
        ),
        CLOSE,
    ),
]
