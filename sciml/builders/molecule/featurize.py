"""RDKit molecules to arrays: one pass over atoms and bonds, the rest in NumPy.

Calls from Python into RDKit cost more than what they ask for, most of all those that return an enum (bond
types, hybridization, stereo). So each atom and bond is asked as little as possible: degrees are counted from
bonds, hybridization comes from one query for each molecule, and enums are asked for only where a cheaper
answer leaves them open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from jaxtyping import Float, Int
from rdkit import Chem
from rdkit.Chem import rdCIPLabeler, rdqueries

from sciml.builders.molecule.labels import ATOM, BOND, CHARGE_ZERO

# Elements that form no dative bonds in RDKit's eyes; where there are others, bond types are asked for.
ORGANIC = frozenset((1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 34, 35, 53))
ORDERS = {1.0: 0, 2.0: 1, 3.0: 2, 1.5: 3}  # bond order to label
TYPES = {
    Chem.BondType.SINGLE: 0,
    Chem.BondType.DOUBLE: 1,
    Chem.BondType.TRIPLE: 2,
    Chem.BondType.AROMATIC: 3,
    Chem.BondType.DATIVE: 4,
}
OTHER = 5
_SP2, _SP3 = Chem.MolFromSmarts("[^2]"), Chem.MolFromSmarts("[^3]")
_CHIRAL, _CIP = rdqueries.HasChiralTagQueryAtom(), rdqueries.HasPropQueryAtom("_CIPCode")


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
    atoms = _columns([_atoms(mol) for mol in mols], 5)
    bonds = _columns([_bonds(mol) for mol in mols], 5)
    atom_counts = np.array([mol.GetNumAtoms() for mol in mols], dtype=np.int64)
    bond_counts = np.array([mol.GetNumBonds() for mol in mols], dtype=np.int64)
    first = np.cumsum(atom_counts) - atom_counts
    ends = bonds[:, :2].astype(np.int64) + np.repeat(first, bond_counts)[:, None]
    element, charge, hydrogens, aromatic, ring = atoms.T.astype(np.int64)
    drawn = np.bincount(ends.ravel(), minlength=len(atoms))  # neighbours that are atoms of the graph
    hydrogen_atoms = element[ends[:, ::-1]] == 1  # at the other end
    bare = hydrogens - np.bincount(ends[hydrogen_atoms], minlength=len(atoms))
    labels = {
        "element": element,
        "degree": _capped("degree", drawn + bare),
        "charge": _capped("charge", charge + CHARGE_ZERO),
        "hydrogens": _capped("hydrogens", hydrogens),
        "hybridization": _hybridization(mols, first, len(atoms)),
        "aromatic": aromatic,
        "ring": ring,
    }
    order, conjugated, bond_ring = bonds[:, 2:].T
    types = np.full(len(bonds), OTHER)
    for value, label in ORDERS.items():
        types[order == value] = label
    _ask_types(mols, element, first, bond_counts, types)
    bond_labels = {"bond": types, "conjugated": conjugated.astype(int), "ring": bond_ring.astype(int)}
    labels["chirality"], bond_labels["stereo"] = _stereo(mols, first, bond_counts, types)
    return Arrays(labels, bond_labels, ends, atom_counts, bond_counts)


# -------------------------------------------------------------------- details


def _atoms(mol: Chem.Mol) -> list[tuple[int, ...]]:
    return [
        (a.GetAtomicNum(), a.GetFormalCharge(), a.GetTotalNumHs(True), a.GetIsAromatic(), a.IsInRing())
        for a in mol.GetAtoms()
    ]


def _bonds(mol: Chem.Mol) -> list[tuple[float, ...]]:
    return [
        (
            b.GetBeginAtomIdx(),
            b.GetEndAtomIdx(),
            b.GetBondTypeAsDouble(),
            b.GetIsConjugated(),
            b.IsInRing(),
        )
        for b in mol.GetBonds()
    ]


def _columns(rows: list[list[tuple]], width: int) -> Float[np.ndarray, "rows width"]:
    flat = chain.from_iterable(chain.from_iterable(rows))
    return np.fromiter(flat, dtype=np.float64).reshape(-1, width)


def _capped(name: str, values: np.ndarray) -> np.ndarray:
    return values.clip(0, len(ATOM[name]) - 1)


def _hybridization(mols: Sequence[Chem.Mol], first: np.ndarray, total: int) -> Int[np.ndarray, "atoms"]:
    """Return RDKit's numbers (none, s, sp, sp2, ...), asking atoms only where it is not sp2 or sp3."""
    label = np.full(total, -1)
    for query, value in ((_SP2, 3), (_SP3, 4)):
        found = [mol.GetSubstructMatches(query, uniquify=False, maxMatches=1 << 30) for mol in mols]
        index = np.fromiter(chain.from_iterable(chain.from_iterable(found)), dtype=np.int64)
        label[index + np.repeat(first, [len(f) for f in found])] = value
    molecule = np.searchsorted(first, np.flatnonzero(label < 0), side="right") - 1
    for i, m in zip(np.flatnonzero(label < 0).tolist(), molecule.tolist()):
        label[i] = int(mols[m].GetAtomWithIdx(i - int(first[m])).GetHybridization())
    return label


def _ask_types(
    mols: Sequence[Chem.Mol],
    element: np.ndarray,
    first: np.ndarray,
    bond_counts: np.ndarray,
    types: Int[np.ndarray, "bonds"],
) -> None:
    """Ask for the types of bonds that their order does not tell: of metals, and of unusual orders."""
    start = np.cumsum(bond_counts) - bond_counts
    owner = np.repeat(np.arange(len(mols)), [mol.GetNumAtoms() for mol in mols])
    unusual = set(owner[~np.isin(element, list(ORGANIC))].tolist())
    unusual |= set(np.repeat(np.arange(len(mols)), bond_counts)[types == OTHER].tolist())
    for m in unusual:
        found = [TYPES.get(b.GetBondType(), OTHER) for b in mols[m].GetBonds()]
        types[start[m] : start[m] + bond_counts[m]] = found


def _stereo(
    mols: Sequence[Chem.Mol], first: np.ndarray, bond_counts: np.ndarray, types: np.ndarray
) -> tuple[Int[np.ndarray, "atoms"], Int[np.ndarray, "bonds"]]:
    """Return CIP labels of atoms and double bonds, assigned anew where a molecule has any stereo."""
    atoms = np.zeros(sum(mol.GetNumAtoms() for mol in mols), dtype=np.int64)
    bonds = np.zeros(len(types), dtype=np.int64)
    start = np.cumsum(bond_counts) - bond_counts
    double: dict[int, list[int]] = {}
    owner = np.repeat(np.arange(len(mols)), bond_counts)
    for b in np.flatnonzero(types == 1).tolist():
        double.setdefault(int(owner[b]), []).append(b - int(start[owner[b]]))
    none = Chem.BondStereo.STEREONONE
    for m, mol in enumerate(mols):
        chiral = len(mol.GetAtomsMatchingQuery(_CHIRAL)) > 0
        bonded = [b for b in double.get(m, ()) if mol.GetBondWithIdx(b).GetStereo() != none]
        if not chiral and not bonded:
            continue
        mol = Chem.Mol(mol)
        rdCIPLabeler.AssignCIPLabels(mol)
        for atom in mol.GetAtomsMatchingQuery(_CIP):
            atoms[first[m] + atom.GetIdx()] = _label(ATOM["chirality"], atom.GetProp("_CIPCode"))
        for b in bonded:
            bond = mol.GetBondWithIdx(b)
            if bond.HasProp("_CIPCode"):
                bonds[start[m] + b] = _label(BOND["stereo"], bond.GetProp("_CIPCode"))
    return atoms, bonds


def _label(values: tuple[str, ...], code: str) -> int:
    return values.index(code) if code in values else 0
