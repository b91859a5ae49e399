"""Every layer and model with an example: what the contract is tried on. A new one costs one line."""

from cases import fields, grids, groups, particles

CASES = [*particles.CASES, *grids.CASES, *fields.CASES, *groups.CASES]
