"""Three-dimensional conformers by RDKit's ETKDG."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from sciml.builders.molecule.parse import Failure, Molecules, silent

STEPS = 500  # of the force field, at most


def embed(
    molecules: Molecules, number: int, *, seed: int = 0, optimize: bool = False, attempts: int = 0
) -> Molecules:
    """Give each molecule conformers by ETKDG version 3 (Wang et al. 2020, doi 10.1021/acs.jcim.0c00025).

    Hydrogens are needed to place the others well: they are added for the embedding, and taken away again
    where the molecule had none drawn.

    Args:
        molecules: are left as they are; the result holds copies.
        number: of conformers for each molecule; fewer where ETKDG finds no more.
        seed: of the coordinates; each molecule's do not depend on the others.
        optimize: relax them with MMFF94, where it has parameters for all atoms.
        attempts: how often ETKDG tries, from its own start and then again from random coordinates; 0 is ten
            times the number of atoms, which can take minutes for a cage or a peptide.

    Returns:
        Molecules with conformers; those for which there is none are among the failures.

    Raises:
        ValueError: a number that is not positive.
    """
    if number < 1:
        raise ValueError(f"conformers={number}: expected 1 or more.")
    mols, rows, failures = [], [], list(molecules.failures)
    for mol, row in zip(molecules.mols, molecules.rows):
        with silent():
            found = _embedded(mol, number, seed, optimize, attempts)
        if found.GetNumConformers():
            mols.append(found)
            rows.append(row)
        else:
            failures.append(Failure(row, Chem.MolToSmiles(mol), "ETKDG finds no conformer"))
    return Molecules(tuple(mols), tuple(rows), tuple(sorted(failures, key=lambda f: f.row)))


def positions(mol: Chem.Mol) -> Float[np.ndarray, "conformers atoms 3"]:
    """Return the coordinates (Å) of all conformers."""
    return np.stack([conformer.GetPositions() for conformer in mol.GetConformers()])


def _embedded(mol: Chem.Mol, number: int, seed: int, optimize: bool, attempts: int) -> Chem.Mol:
    parameters: Any = rdDistGeom.ETKDGv3()
    parameters.randomSeed = seed
    parameters.maxIterations = attempts
    full = Chem.AddHs(mol)
    rdDistGeom.EmbedMultipleConfs(full, number, parameters)
    if not full.GetNumConformers():  # cages and large rings start better from random coordinates
        parameters.useRandomCoords = True
        rdDistGeom.EmbedMultipleConfs(full, number, parameters)
    if optimize and full.GetNumConformers() and rdForceFieldHelpers.MMFFHasAllMoleculeParams(full):
        rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(full, maxIters=STEPS)
    # The drawn atoms come first, in their order: cut the rest off instead of guessing which to remove.
    result = Chem.Mol(mol)
    result.RemoveAllConformers()
    for conformer in full.GetConformers():
        cut = Chem.Conformer(mol.GetNumAtoms())
        cut.SetPositions(np.ascontiguousarray(conformer.GetPositions()[: mol.GetNumAtoms()]))
        result.AddConformer(cut, assignId=True)
    return result
