"""A ligand in its pocket as one graph: atoms of the ligand, residues or atoms of what surrounds it."""

from sciml.builders.complexes.build import complex_graph
from sciml.builders.complexes.labels import BONDS, EDGE_KINDS, NODE_KINDS
from sciml.builders.complexes.ligand import Ligand, find_ligand, ligand_labels

__all__ = [
    "BONDS",
    "EDGE_KINDS",
    "NODE_KINDS",
    "Ligand",
    "complex_graph",
    "find_ligand",
    "ligand_labels",
]
