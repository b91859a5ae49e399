"""RDKit molecules to arrays of labels.

What RDKit says of atoms and bonds comes out of its binary form, all molecules at once (`decode`), or, of the
few molecules that `decode` does not read, one atom and bond after the other (`asked`). The rest is NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from rdkit import Chem
from rdkit.Chem import rdCIPLabeler, rdqueries

from sciml.builders.molecule.binary import Columns, decode
from sciml.builders.molecule.labels import ATOM, BOND, CHARGE_ZERO

FEW = 8  # molecules that are asked sooner than decoded
OTHER = 5
TYPES = np.full(256, OTHER)  # RDKit's number of a type of bond to its label
for _label_of, _type in enumerate(("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC", "DATIVE")):
    TYPES[int(getattr(Chem.BondType, _type))] = _label_of
_CIP = rdqueries.HasPropQueryAtom("_CIPCode")


@dataclass(frozen=True)
class Arrays:
    """Atoms and bonds of many molecules, one after the other.

    Attributes:
        atoms: labels as in `ATOM`.
        bonds: labels as in `BOND`, each bond once.
        ends: atoms that a bond joins, numbered through all molecules.
        atom_counts, bond_counts: of each molecule.
    """

    atoms: dict[str, Int[np.ndarray, "atoms"]]
    bonds: dict[str, Int[np.ndarray, "bonds"]]
    ends: Int[np.ndarray, "bonds 2"]
    atom_counts: Int[np.ndarray, "molecules"]
    bond_counts: Int[np.ndarray, "molecules"]


def featurize(mols: Sequence[Chem.Mol]) -> Arrays:
    """Label the atoms and bonds of molecules (see `ATOM` and `BOND`)."""
    atom_counts = np.array([mol.GetNumAtoms() for mol in mols], dtype=np.int64)
    bond_counts = np.array([mol.GetNumBonds() for mol in mols], dtype=np.int64)
    atoms, bonds = asked(mols) if len(mols) < FEW else _columns(mols, atom_counts, bond_counts)
    first, start = np.cumsum(atom_counts) - atom_counts, np.cumsum(bond_counts) - bond_counts
    ends = bonds[:, :2] + np.repeat(first, bond_counts)[:, None]
    element, charge, bare, hybridization, aromatic, ring, chiral = atoms.T
    count = lambda of: np.bincount(of, minlength=len(atoms))
    labels = {
        "element": element,
        "degree": _capped("degree", count(ends.ravel()) + bare),
        "charge": _capped("charge", charge + CHARGE_ZERO),
        "hydrogens": _capped("hydrogens", bare + count(ends[element[ends[:, ::-1]] == 1])),
        "hybridization": hybridization,
        "aromatic": aromatic,
        "ring": ring,
        "chirality": np.zeros_like(element),
    }
    _, _, kind, conjugated, bond_ring, stereo = bonds.T
    types = TYPES[kind]
    bond_labels = {"bond": types, "conjugated": conjugated, "ring": bond_ring, "stereo": np.zeros_like(kind)}
    owner = np.repeat(np.arange(len(mols)), atom_counts), np.repeat(np.arange(len(mols)), bond_counts)
    stereo = np.flatnonzero((stereo > 0) & (types == 1))
    for m in set(owner[0][chiral > 0].tolist()) | set(owner[1][stereo].tolist()):
        own = stereo[owner[1][stereo] == m] - start[m]
        _assign_cip(mols[m], own, labels["chirality"][first[m] :], bond_labels["stereo"][start[m] :])
    return Arrays(labels, bond_labels, ends, atom_counts, bond_counts)


def asked(mols: Sequence[Chem.Mol]) -> Columns:
    """Return what RDKit says of each atom and each bond.

    Atoms: element, charge, hydrogens that are no atoms of the graph, hybridization, and whether it is
    aromatic, in a ring, has a chiral tag. Bonds: begin and end (numbered in the molecule), type, and whether
    it is conjugated, in a ring, has stereo. Hybridization and type are RDKit's numbers.
    """
    atoms = [
        (
            a.GetAtomicNum(),
            a.GetFormalCharge(),
            a.GetTotalNumHs(),
            int(a.GetHybridization()),
            a.GetIsAromatic(),
            a.IsInRing(),
            a.GetChiralTag() != Chem.ChiralType.CHI_UNSPECIFIED,
        )
        for mol in mols
        for a in mol.GetAtoms()
    ]
    bonds = [
        (
            b.GetBeginAtomIdx(),
            b.GetEndAtomIdx(),
            int(b.GetBondType()),
            b.GetIsConjugated(),
            b.IsInRing(),
            b.GetStereo() != Chem.BondStereo.STEREONONE,
        )
        for mol in mols
        for b in mol.GetBonds()
    ]
    return np.array(atoms, np.int64).reshape(-1, 7), np.array(bonds, np.int64).reshape(-1, 6)


# -------------------------------------------------------------------- details


def _columns(mols: Sequence[Chem.Mol], atom_counts: np.ndarray, bond_counts: np.ndarray) -> Columns:
    """Decode what can be decoded, and ask the others."""
    read, (atoms, bonds) = decode(mols)
    if read.all():
        return atoms, bonds
    more_atoms, more_bonds = asked([mol for mol, done in zip(mols, read) if not done])

    def merged(decoded: np.ndarray, others: np.ndarray, counts: np.ndarray) -> np.ndarray:
        from_decoded = np.repeat(read, counts)
        result = np.empty((counts.sum(), decoded.shape[1]), dtype=np.int64)
        result[from_decoded], result[~from_decoded] = decoded, others
        return result

    return merged(atoms, more_atoms, atom_counts), merged(bonds, more_bonds, bond_counts)


def _capped(name: str, values: np.ndarray) -> np.ndarray:
    return values.clip(0, len(ATOM[name]) - 1)


def _assign_cip(mol: Chem.Mol, double: np.ndarray, chirality: np.ndarray, stereo: np.ndarray) -> None:
    """Write the CIP labels of a molecule's atoms and double bonds, assigned anew on a copy."""
    mol = Chem.Mol(mol)
    rdCIPLabeler.AssignCIPLabels(mol)
    for atom in mol.GetAtomsMatchingQuery(_CIP):
        chirality[atom.GetIdx()] = _label(ATOM["chirality"], atom.GetProp("_CIPCode"))
    for b in double.tolist():
        bond = mol.GetBondWithIdx(b)
        if bond.HasProp("_CIPCode"):
            stereo[b] = _label(BOND["stereo"], bond.GetProp("_CIPCode"))


def _label(values: tuple[str, ...], code: str) -> int:
    return values.index(code) if code in values else 0
