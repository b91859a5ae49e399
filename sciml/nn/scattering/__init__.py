"""Wavelet scattering: features that are stable to deformations, with nothing to learn."""

from sciml.nn.scattering.bank import FilterBank, morlet_1d, morlet_2d, morlet_3d
from sciml.nn.scattering.density import DensityWavelets
from sciml.nn.scattering.features import solid_harmonic_features
from sciml.nn.scattering.layer import Scattering, Scattering1d, Scattering2d, Scattering3d
from sciml.nn.scattering.modulus import smooth_modulus, smooth_norm
from sciml.nn.scattering.molecules import HarmonicPath, SolidHarmonicScattering
from sciml.nn.scattering.transform import Path
from sciml.nn.scattering.wavelet import WaveletConvolution

__all__ = [
    "DensityWavelets",
    "FilterBank",
    "HarmonicPath",
    "Path",
    "Scattering",
    "Scattering1d",
    "Scattering2d",
    "Scattering3d",
    "SolidHarmonicScattering",
    "WaveletConvolution",
    "morlet_1d",
    "morlet_2d",
    "morlet_3d",
    "smooth_modulus",
    "smooth_norm",
    "solid_harmonic_features",
]
