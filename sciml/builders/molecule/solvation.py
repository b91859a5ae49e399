"""What water sees of a molecule: its surface, charges and dipole, and the energy of polarizing a continuum.

One conformer stands for all: the first of ETKDG, as it comes. It is embedded from canonical SMILES, so that
the numbering of the atoms does not matter. Charges are those of MMFF94 (Halgren 1996,
J. Comput. Chem. 17, 490), the energy is that of generalized Born theory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from rdkit import Chem
from rdkit.Chem import rdForceFieldHelpers, rdFreeSASA

from sciml.builders.molecule.conformers import embed
from sciml.builders.molecule.parse import Molecules, silent

COULOMB = 332.06  # kcal/mol Å for two elementary charges
DEBYE = 4.8032  # in an elementary charge times Å
WATER = 78.4  # relative permittivity
OFFSET = 0.09  # Å by which a sphere is smaller for the Born radius than for the surface
NEAR = 1e-3  # Å, for ions of a salt that ETKDG puts onto each other
SMOOTH = (1.0, 0.8, 4.85)  # of the tangent that bounds Born radii: OBC II of Onufriev et al.
LARGEST, ATTEMPTS = 100, 200  # heavy atoms and attempts to find a conformer: peptides would take minutes
CHARGED = 0.2  # charge from which an atom counts as polar
# Radii (Å), close to Bondi's; and by what factor spheres are smaller where they take room from others.
RADIUS = {1: 1.2, 6: 1.7, 7: 1.55, 8: 1.52, 9: 1.5, 15: 1.8, 16: 1.8, 17: 1.75, 35: 1.85, 53: 1.98}
TAKEN = {1: 0.85, 6: 0.72, 7: 0.79, 8: 0.85, 9: 0.88, 15: 0.86, 16: 0.96}
OTHER_RADIUS, OTHER_TAKEN = 1.9, 0.8
SURFACES = {
    1: "hydrogen",
    6: "carbon",
    7: "nitrogen",
    8: "oxygen",
    9: "fluorine",
    16: "sulfur",
    17: "chlorine",
    35: "bromine",
}
NAMES = (
    *("polarization", "born", "polarization_of_nitrogen_and_oxygen", "dipole", "charges"),
    *("surface", "polar_surface", "donor_surface", "charged_surface", "absolutely_charged_surface"),
    *(f"surface_of_{name}" for name in SURFACES.values()),
)


def solvation_descriptors(mols: Sequence[Chem.Mol]) -> Float[np.ndarray, "molecules descriptors"]:
    """Return energies (kcal/mol), the dipole (Debye), the sum of |charges| and surfaces (Å²), as in `NAMES`.

    NaN where there is no conformer, or more than `LARGEST` heavy atoms; of what depends on charges also where
    MMFF94 does not know an atom.
    """
    with silent():
        rows = [_row(mol) for mol in mols]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(NAMES))


def polarization(
    charge: Float[np.ndarray, "atoms"], pos: Float[np.ndarray, "atoms 3"], born: Float[np.ndarray, "atoms"]
) -> Float[np.ndarray, "atoms atoms"]:
    """Return the energy (kcal/mol) that charges in vacuum gain in water, as a sum over pairs of atoms.

    Generalized Born theory (Still et al. 1990, doi 10.1021/ja00172a038, equation 4):
    E_ij = −½ C (1 − 1/ε) q_i q_j / f_ij with f² = r² + R_i R_j exp(−r² / 4 R_i R_j).

    Args:
        charge: in elementary charges.
        pos: in Å.
        born: radii R, of `born_radii`.
    """
    squares = ((pos[:, None] - pos[None]) ** 2).sum(-1)
    both = born[:, None] * born[None]
    length = np.sqrt(squares + both * np.exp(-squares / (4 * both)))
    return -0.5 * COULOMB * (1 - 1 / WATER) * charge[:, None] * charge[None] / length


def born_radii(
    pos: Float[np.ndarray, "atoms 3"], radius: Float[np.ndarray, "atoms"], taken: Float[np.ndarray, "atoms"]
) -> Float[np.ndarray, "atoms"]:
    """Return the Born radius of each atom (Å): the larger, the deeper it is buried.

    From the integral over the spheres of the others (`buried`) as Onufriev et al. 2004 (doi
    10.1002/prot.20033, equation 6) continue it to atoms that nothing of the water reaches.

    Args:
        pos: in Å.
        radius: of the spheres, in Å.
        taken: by what factor the spheres of others are smaller, since they overlap.
    """
    own = radius - OFFSET
    share = own * buried(pos, own, taken * own)
    a, b, c = SMOOTH
    return 1 / (1 / own - np.tanh(a * share - b * share**2 + c * share**3) / radius)


def buried(
    pos: Float[np.ndarray, "atoms 3"], own: Float[np.ndarray, "atoms"], other: Float[np.ndarray, "atoms"]
) -> Float[np.ndarray, "atoms"]:
    """Return (1/4π) ∫ dV / r⁴ over the spheres of all other atoms, as far as they are outside an atom's own.

    Hawkins, Cramer and Truhlar 1996 (doi 10.1021/jp961710n, equation 13). Overlaps of the others count twice.
    """
    d = np.sqrt(((pos[:, None] - pos[None]) ** 2).sum(-1)).clip(NEAR)
    np.fill_diagonal(d, np.inf)
    r, s = own[:, None], other[None]
    upper = np.maximum(d + s, r)  # all of the other within the own: the integral is empty
    lower = np.minimum(np.maximum(np.abs(d - s), r), upper)
    with np.errstate(invalid="ignore"):
        shell = 1 / lower - 1 / upper + 0.5 * np.log(lower / upper) / d
        shell += 0.25 * (d - s**2 / d) * (1 / upper**2 - 1 / lower**2)
        shell += np.where(r < s - d, 2 * (1 / r - 1 / lower), 0.0)  # the own within the other
    np.fill_diagonal(shell, 0.0)
    return 0.5 * shell.sum(1)


# -------------------------------------------------------------------- details


def _row(mol: Chem.Mol) -> list[float]:
    unknown = [np.nan] * len(NAMES)
    if mol.GetNumHeavyAtoms() > LARGEST:
        return unknown
    canonical = Chem.MolFromSmiles(Chem.MolToSmiles(mol))
    if canonical is None:
        return unknown
    found = embed(Molecules((Chem.AddHs(canonical),), (0,)), 1, attempts=ATTEMPTS).mols
    return _described(found[0]) if found else unknown


def _described(mol: Chem.Mol) -> list[float]:
    """Return the descriptors of a molecule with hydrogens and a conformer."""
    element = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()])
    pos = mol.GetConformer().GetPositions()
    radius = np.array([RADIUS.get(z, OTHER_RADIUS) for z in element.tolist()])
    taken = np.array([TAKEN.get(z, OTHER_TAKEN) for z in element.tolist()])
    rdFreeSASA.CalcSASA(mol, radius.tolist())
    surface = np.array([float(atom.GetProp("SASA")) for atom in mol.GetAtoms()])
    charge = _charges(mol)
    energy = polarization(charge, pos, born_radii(pos, radius, taken))
    polar = np.abs(charge) > CHARGED
    unknown = np.nan if np.isnan(charge).any() else 1.0
    return [
        energy.sum(),
        energy.trace(),
        energy[np.isin(element, (7, 8))].sum() * unknown,
        float(np.linalg.norm(charge @ (pos - pos.mean(0)))) * DEBYE,
        np.abs(charge).sum(),
        surface.sum(),
        surface[polar].sum() * unknown,
        surface[polar & (element == 1)].sum() * unknown,
        surface @ charge,
        surface @ np.abs(charge),
        *(surface[element == z].sum() for z in SURFACES),
    ]


def _charges(mol: Chem.Mol) -> Float[np.ndarray, "atoms"]:
    """Return charges of MMFF94; NaN, of all atoms, where one has no type there."""
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol)
    if properties is None:
        return np.full(mol.GetNumAtoms(), np.nan)
    return np.array([properties.GetMMFFPartialCharge(i) for i in range(mol.GetNumAtoms())])
