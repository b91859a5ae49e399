"""Every layer and model with an example: what the contract is tried on. A new one costs one line."""

from cases import attention, general, grids, groups, particles, residue, residue_tasks, twosided

CASES = [
    *particles.CASES,
    *general.CASES,
    *grids.CASES,
    *groups.CASES,
    *attention.CASES,
    *twosided.CASES,
    *residue.CASES,
    *residue_tasks.CASES,
]
