"""Every layer and model with an example: what the contract is tried on. A new one costs one line."""

from cases import attention, grids, groups, particles

CASES = [*particles.CASES, *grids.CASES, *groups.CASES, *attention.CASES]
