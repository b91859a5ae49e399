"""Wavelet scattering: features that are stable to deformations, with nothing to learn."""

from sciml.nn.scattering.bank import FilterBank, morlet_1d, morlet_2d, morlet_3d
from sciml.nn.scattering.layer import Scattering, Scattering1d, Scattering2d, Scattering3d
from sciml.nn.scattering.modulus import smooth_modulus
from sciml.nn.scattering.transform import Path
from sciml.nn.scattering.wavelet import WaveletConvolution

__all__ = [
    "FilterBank",
    "Path",
    "Scattering",
    "Scattering1d",
    "Scattering2d",
    "Scattering3d",
    "WaveletConvolution",
    "morlet_1d",
    "morlet_2d",
    "morlet_3d",
    "smooth_modulus",
]
