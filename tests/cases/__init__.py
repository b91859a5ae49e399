"""Every layer and model with an example: what the contract is tried on. A new one costs one line."""

from cases import (
    atoms,
    attention,
    fields,
    general,
    grids,
    groups,
    molecules,
    particles,
    residue,
    residue_tasks,
    scattering,
    spectral,
    twosided,
)

CASES = [
    *atoms.CASES,
    *attention.CASES,
    *fields.CASES,
    *general.CASES,
    *grids.CASES,
    *groups.CASES,
    *molecules.CASES,
    *particles.CASES,
    *residue.CASES,
    *residue_tasks.CASES,
    *scattering.CASES,
    *spectral.CASES,
    *twosided.CASES,
]
