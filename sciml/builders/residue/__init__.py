"""Protein and nucleic-acid structures to residue graphs.

    file ─► `read_residues` ─► `Residues` (what becomes a node, and a report of what does not) ─► Graph

`residue_graph` does all of it; `residue_graphs` does it for a folder.
"""

from sciml.builders.residue.build import read_residues, residue_graph
from sciml.builders.residue.chemistry import AMINO, LETTERS, SECONDARY, TORSIONS, TYPES
from sciml.builders.residue.contacts import CONTACTS, KINDS
from sciml.builders.residue.folder import Failure, ResidueGraphs, find_structures, residue_graphs
from sciml.builders.residue.labels import residue_labels, sequences
from sciml.builders.residue.rules import Report, Rules
from sciml.builders.residue.table import Residues

__all__ = [
    "AMINO",
    "CONTACTS",
    "KINDS",
    "LETTERS",
    "SECONDARY",
    "TORSIONS",
    "TYPES",
    "Failure",
    "Report",
    "ResidueGraphs",
    "Residues",
    "Rules",
    "find_structures",
    "read_residues",
    "residue_graph",
    "residue_graphs",
    "residue_labels",
    "sequences",
]
