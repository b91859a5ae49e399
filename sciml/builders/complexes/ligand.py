"""The ligand of a structure as an RDKit molecule: found in the file, or given."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from rdkit import Chem
from rdkit.Chem import AllChem, rdDetermineBonds
from rdkit.Geometry import Point3D

from sciml.builders.molecule.featurize import featurize
from sciml.builders.molecule.labels import ATOM, BOND, CHARGE_ZERO
from sciml.builders.molecule.parse import parse_molecules, read_sdf, silent
from sciml.builders.residue import TYPES, Residues
from sciml.builders.residue.chemistry import unpack

LIGAND = TYPES.index("ligand")
STRETCH = 1.3  # bonded atoms are nearer than the sum of covalent radii times this, as RDKit takes it


@dataclass(frozen=True)
class Ligand:
    """A molecule of heavy atoms with coordinates.

    Attributes:
        label: residues that it is made of, or its name.
        mol: RDKit's molecule; its bonds are all single where their orders are not known.
        pos: coordinates in Å.
        rows: its residues in the table of the structure; none where it was given from outside.
        orders: whether orders of bonds, charges and hydrogens are known.
    """

    label: str
    mol: Chem.Mol
    pos: Float[np.ndarray, "atoms 3"]
    rows: Int[np.ndarray, "residues"]
    orders: bool

    def atoms(self) -> dict[str, Int[np.ndarray, "atoms"]]:
        """Return labels of the atoms, as in `sciml.builders.molecule.ATOM`.

        Where orders are not known, all but element, degree and ring are those of a plain neutral atom.
        """
        labels = dict(featurize([self.mol]).atoms)
        if not self.orders:
            for name in set(ATOM) - {"element", "degree", "ring"}:
                labels[name] = np.full_like(labels[name], CHARGE_ZERO if name == "charge" else 0)
        return labels

    def bonds(self) -> tuple[Int[np.ndarray, "bonds 2"], Int[np.ndarray, "bonds"]]:
        """Return the ends of the bonds and their labels in `BONDS`."""
        arrays = featurize([self.mol])
        unknown = BOND["bond"].index("other")
        return arrays.ends, arrays.bonds["bond"] if self.orders else np.full(len(arrays.ends), unknown)


def find_ligand(
    residues: Residues,
    ligand: str | os.PathLike[str] | Chem.Mol | Sequence[str] | None = None,
    template: str | Chem.Mol | None = None,
) -> Ligand:
    """Find the ligand in a structure, or take the one that is given.

    Args:
        residues: of the structure, read with ``ligands="keep"``.
        ligand: None for the only one of the structure; a residue's name ("STR") or label ("A/STR 1"), or
            several labels of residues that are bonded to one molecule; a Mol with coordinates in the frame of
            the structure, or the path of an SDF file that holds it.
        template: SMILES or Mol of the ligand in the structure, which gives the orders of its bonds, charges
            and hydrogens; without one they are not known. Chirality is that of the coordinates.

    Raises:
        ValueError: no ligand, several of which none was chosen, a name that is not there (all that are there
            are listed), a template that is another molecule, a Mol without coordinates.
        FileNotFoundError: no such SDF file.
    """
    if isinstance(ligand, Chem.Mol) or _is_file(ligand):
        if template is not None:
            raise ValueError(
                "A Mol or SDF file has its own bonds; a template is for the structure's ligands."
            )
        mol = ligand if isinstance(ligand, Chem.Mol) else _only(Path(ligand))  # type: ignore[arg-type]
        return _given(mol)
    rows = _chosen(residues, ligand)  # type: ignore[arg-type]
    label = " + ".join(_label(residues, row) for row in rows)
    atoms = np.flatnonzero(np.isin(residues.atom_residue, rows))
    mol = _connected(residues.atom_element[atoms], residues.atom_pos[atoms])
    if template is not None:
        mol = _with_orders(mol, template, label)
    return Ligand(label, mol, residues.atom_pos[atoms], rows, orders=template is not None)


def ligand_labels(residues: Residues) -> list[str]:
    """Return labels of all ligands of a structure, as ``"A/STR 1"``."""
    return [_label(residues, row) for row in np.flatnonzero(residues.type == LIGAND)]


# -------------------------------------------------------------------- details


def _is_file(ligand: object) -> bool:
    return isinstance(ligand, os.PathLike) or (isinstance(ligand, str) and ligand.lower().endswith(".sdf"))


def _label(residues: Residues, row: int | np.integer) -> str:
    insertion = int(residues.insertion[row])
    return (
        f"{unpack(residues.chain_name[row])}/{unpack(residues.name[row])} {residues.number[row]}"
        f"{chr(insertion) if insertion else ''}"
    )


def _listed(residues: Residues) -> str:
    rows = np.flatnonzero(residues.type == LIGAND)
    sizes = Counter(residues.atom_residue.tolist())
    shown = [f"{_label(residues, row)} ({sizes[int(row)]} atoms)" for row in rows[:20]]
    return ", ".join(shown) + (f" and {len(rows) - 20} more" if len(rows) > 20 else "")


def _chosen(residues: Residues, ligand: str | Sequence[str] | None) -> Int[np.ndarray, "residues"]:
    """Return the rows of one ligand."""
    there = np.flatnonzero(residues.type == LIGAND)
    if not len(there):
        raise ValueError(
            f"{residues.source} holds no ligand (waters and single ions are none): give one as an RDKit Mol "
            "or SDF file with coordinates in the frame of the structure, ligand=...; or take residue_graph."
        )
    if ligand is None:
        if len(there) > 1:
            raise ValueError(
                f"{residues.source} holds {len(there)} ligands: {_listed(residues)}. Choose one by its "
                f"label, as ligand={_label(residues, there[0])!r}."
            )
        return there
    wanted = [ligand] if isinstance(ligand, str) else list(ligand)
    rows: list[int] = []
    for name in wanted:
        found = [row for row in there if name in (_label(residues, row), unpack(residues.name[row]))]
        if not found:
            raise ValueError(f"{residues.source} holds no ligand {name!r}; it has {_listed(residues)}.")
        if len(found) > 1:
            labels = ", ".join(_label(residues, row) for row in found)
            raise ValueError(
                f"{residues.source} holds {len(found)} ligands {name!r}: {labels}. Choose one by its label, "
                f"as ligand={_label(residues, found[0])!r}."
            )
        rows += [int(row) for row in found]
    return np.unique(rows)


def _only(path: Path) -> Chem.Mol:
    molecules = read_sdf(path, strict=True)
    if len(molecules) != 1:
        raise ValueError(
            f"{path} holds {len(molecules)} molecules; expected one. Read them with "
            "sciml.builders.molecule.read_sdf and give one of its mols."
        )
    return molecules.mols[0]


def _given(mol: Chem.Mol) -> Ligand:
    name = mol.GetProp("_Name") if mol.HasProp("_Name") and mol.GetProp("_Name") else "given molecule"
    if not mol.GetNumConformers() or not mol.GetConformer().Is3D():
        raise ValueError(
            f"{name} ({Chem.MolToSmiles(mol)}) has no coordinates in space; expected a conformer in the "
            "frame of the structure, as a docking program or an SDF file of the complex gives it."
        )
    mol = Chem.RemoveHs(mol)
    Chem.AssignStereochemistryFrom3D(mol)
    pos = np.array(mol.GetConformer().GetPositions())
    if not np.isfinite(pos).all():
        raise ValueError(f"{name} has coordinates that are not finite.")
    return Ligand(name, mol, pos, np.zeros(0, dtype=np.int64), orders=True)


def _connected(elements: Int[np.ndarray, "atoms"], pos: Float[np.ndarray, "atoms 3"]) -> Chem.Mol:
    """Return a molecule whose bonds are told by distances, all of them single."""
    mol, conformer = Chem.RWMol(), Chem.Conformer(len(elements))
    for number, (element, place) in enumerate(zip(elements.tolist(), pos.tolist())):
        mol.AddAtom(Chem.Atom(element))
        conformer.SetAtomPosition(number, Point3D(*place))
    mol.AddConformer(conformer)
    with silent():
        rdDetermineBonds.DetermineConnectivity(mol, covFactor=STRETCH)
        for atom in mol.GetAtoms():
            atom.SetNoImplicit(False)
        mol.UpdatePropertyCache(strict=False)
        Chem.FastFindRings(mol)
    return mol.GetMol()


def _with_orders(mol: Chem.Mol, template: str | Chem.Mol, label: str) -> Chem.Mol:
    if isinstance(template, str):
        template = parse_molecules([template], strict=True).mols[0]
    template = Chem.RemoveHs(template)
    try:
        with silent():
            result = AllChem.AssignBondOrdersFromTemplate(template, mol)
    except ValueError as error:
        raise ValueError(
            f"The template {Chem.MolToSmiles(template)} ({_formula(template)} without hydrogens) does not "
            f"fit ligand {label} ({_formula(mol)} in the structure): it must be the same molecule, with the "
            "same atoms. Is it another ligand, or are atoms missing in the structure?"
        ) from error
    if template.GetNumAtoms() != mol.GetNumAtoms():
        raise ValueError(
            f"The template {Chem.MolToSmiles(template)} has {template.GetNumAtoms()} heavy atoms, ligand "
            f"{label} in the structure {mol.GetNumAtoms()}: they must be the same molecule. Atoms that are "
            "lost in a bond to the protein (or are not seen) must be left out of the template."
        )
    Chem.AssignStereochemistryFrom3D(result)
    return result


def _formula(mol: Chem.Mol) -> str:
    count = Counter(atom.GetSymbol() for atom in mol.GetAtoms())
    return "".join(f"{symbol}{number if number > 1 else ''}" for symbol, number in sorted(count.items()))
