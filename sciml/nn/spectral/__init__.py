"""Spectral layers: functions of a graph's Laplacian, as filters, heat, waves and scattering."""

from sciml.nn.spectral.chebyshev import ChebyshevFilter, ChebyshevFunction
from sciml.nn.spectral.convolution import GraphConvolution, SimplifiedGraphConvolution
from sciml.nn.spectral.expansion import chebyshev_coefficients, chebyshev_error, chebyshev_function
from sciml.nn.spectral.filters import SpectralFilter
from sciml.nn.spectral.kernels import function_of_laplacian, heat_kernel, wave_kernel
from sciml.nn.spectral.krylov import lanczos_function, largest_eigenvalue
from sciml.nn.spectral.laplacians import Laplacian, LaplacianMatrix, laplacian
from sciml.nn.spectral.lowest import with_modes
from sciml.nn.spectral.responses import Heat, NetworkResponse, SplineResponse, Wave, WaveImpulse
from sciml.nn.spectral.scattering import DiffusionScattering, diffusion_wavelets, scattering_features
from sciml.nn.spectral.spectrum import GraphFourier, InverseGraphFourier, with_spectrum
from sciml.nn.spectral.undirected import check_undirected

__all__ = [
    "ChebyshevFilter",
    "ChebyshevFunction",
    "DiffusionScattering",
    "GraphConvolution",
    "GraphFourier",
    "Heat",
    "InverseGraphFourier",
    "Laplacian",
    "LaplacianMatrix",
    "NetworkResponse",
    "SimplifiedGraphConvolution",
    "SpectralFilter",
    "SplineResponse",
    "Wave",
    "WaveImpulse",
    "chebyshev_coefficients",
    "chebyshev_error",
    "chebyshev_function",
    "check_undirected",
    "diffusion_wavelets",
    "function_of_laplacian",
    "heat_kernel",
    "lanczos_function",
    "laplacian",
    "largest_eigenvalue",
    "scattering_features",
    "wave_kernel",
    "with_modes",
    "with_spectrum",
]
