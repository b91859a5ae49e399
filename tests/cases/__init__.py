"""Every layer and model with an example: what the contract is tried on. A new one costs one line."""

from cases import grids, groups, particles, spectral

CASES = [*particles.CASES, *grids.CASES, *groups.CASES, *spectral.CASES]
