"""Molecules to bond graphs: SMILES, RDKit's Mol objects and SDF files."""

from sciml.builders.molecule.descriptors import DESCRIPTORS, descriptor_names, molecule_descriptors
from sciml.builders.molecule.graph import molecule_graph
from sciml.builders.molecule.labels import ATOM, BOND, one_hot
from sciml.builders.molecule.parse import (
    Failure,
    MoleculeError,
    Molecules,
    parse_molecules,
    read_sdf,
    without_hydrogens,
)

__all__ = [
    "ATOM",
    "BOND",
    "DESCRIPTORS",
    "Failure",
    "MoleculeError",
    "Molecules",
    "descriptor_names",
    "molecule_descriptors",
    "molecule_graph",
    "one_hot",
    "parse_molecules",
    "read_sdf",
    "without_hydrogens",
]
