"""Kinds of nodes and edges of a complex, and what its fields mean."""

from __future__ import annotations

from sciml.builders.molecule import ATOM, BOND
from sciml.builders.residue import TYPES
from sciml.graph import Place, Spec

NODE_KINDS = ("residue", "pocket atom", "ligand atom")
EDGE_KINDS = ("covalent", "sequence", "contact", "cross")
"""Bonds; neighbours along a chain; within a cutoff on one side; and between the two sides."""
BONDS = (*BOND["bond"], "none")
"""Labels of bonds; "other" where the file does not tell the order, "none" on edges that are no bonds."""

SPECS: dict[tuple[Place, str], Spec] = {
    ("nodes", "pos"): Spec("1o", "angstrom", moves=True),
    ("nodes", "frame"): Spec("2x1o+1x1e"),
    ("nodes", "kind"): Spec(classes=len(NODE_KINDS)),
    ("nodes", "type"): Spec(classes=len(TYPES)),
    **{("nodes", name): Spec(classes=len(values)) for name, values in ATOM.items()},
    ("edges", "bond"): Spec(classes=len(BONDS)),
    ("edges", "distance"): Spec(unit="angstrom"),
}
