"""Layers made of Laplacians."""

import torch
from contract import Case

from cases.examples import networks
from sciml.nn.spectral import (
    ChebyshevFilter,
    ChebyshevFunction,
    DiffusionScattering,
    GraphConvolution,
    GraphFourier,
    Heat,
    InverseGraphFourier,
    Laplacian,
    NetworkResponse,
    SimplifiedGraphConvolution,
    SpectralFilter,
    SplineResponse,
    Wave,
    WaveImpulse,
    with_spectrum,
)

PLAIN, WEIGHTED = networks(5, 3), networks(5, 3, weighted=True)
MODES = with_spectrum(PLAIN, dtype=torch.float64)
NORMALIZED = with_spectrum(WEIGHTED, "symmetric", "weight", modes=4, dtype=torch.float64).without(
    "edges", "weight"
)
COEFFICIENTS = GraphFourier()(MODES).without("nodes", "x")

CASES = [
    Case("Laplacian", lambda: Laplacian(), PLAIN),
    Case("Laplacian, symmetric, weighted", lambda: Laplacian("symmetric", "weight"), WEIGHTED),
    Case("Laplacian, random walk, weighted", lambda: Laplacian("random walk", "weight"), WEIGHTED),
    Case("graph Fourier", GraphFourier, MODES),
    Case("graph Fourier, inverse", InverseGraphFourier, COEFFICIENTS),
    Case("spectral filter, heat", lambda: SpectralFilter(Heat([0.5, 2.0], learn=True)), MODES),
    Case("spectral filter, wave", lambda: SpectralFilter(Wave(1.5, learn=True)), MODES),
    Case("spectral filter, impulse", lambda: SpectralFilter(WaveImpulse(1.5, learn=True)), MODES),
    Case("spectral filter, splines", lambda: SpectralFilter(SplineResponse(2, 3, 5)), NORMALIZED),
    Case("spectral filter, network", lambda: SpectralFilter(NetworkResponse(2, 1, (4,))), NORMALIZED),
    Case("Chebyshev filter", lambda: ChebyshevFilter(2, 3), PLAIN),
    Case(
        "Chebyshev filter, narrowing, weighted",
        lambda: ChebyshevFilter(2, 1, kind="combinatorial", weight="weight"),
        WEIGHTED,
    ),
    Case(
        "Chebyshev function, heat, weighted",
        lambda: ChebyshevFunction(Heat(0.7, learn=True), 8, weight="weight"),
        WEIGHTED,
    ),
    Case("graph convolution", lambda: GraphConvolution(2, 3), PLAIN),
    Case("graph convolution, weighted", lambda: GraphConvolution(2, 1, weight="weight"), WEIGHTED),
    Case("simplified graph convolution", lambda: SimplifiedGraphConvolution(2, 2, 3), PLAIN),
    Case("scattering on graphs", lambda: DiffusionScattering(3), PLAIN),
    Case(
        "scattering on graphs, moments, weighted",
        lambda: DiffusionScattering(3, pooling="moments", moments=(1, 2), weight="weight"),
        WEIGHTED,
    ),
]
