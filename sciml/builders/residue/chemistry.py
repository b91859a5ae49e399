"""Tables: residue types, atoms with a name of their own, torsions, radii, reference surfaces."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

AMINO = (
    *("ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE"),
    *("LEU", "LYS", "MET", "PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL"),
)
NUCLEIC = ("A", "C", "G", "U", "DA", "DC", "DG", "DT")
TYPES = (*AMINO, "UNK", *NUCLEIC, "N", "ligand", "ion", "water")
"""Residue types by number: 20 amino acids, an unknown one, 8 nucleotides, an unknown one, others."""
LETTERS = "ARNDCQEGHILKMFPSTWYVX" + "acguacgtn" + "???"
"""One letter for each of `TYPES`; nucleotides are small."""
TYPE = {name: number for number, name in enumerate(TYPES)}
UNKNOWN_AMINO, UNKNOWN_NUCLEIC = TYPE["UNK"], TYPE["N"]
AMINO_KIND, NUCLEIC_KIND, OTHER_KIND = 0, 1, 2
LIGAND, ION, WATER = TYPE["ligand"], TYPE["ion"], TYPE["water"]

SECONDARY = ("-", "H", "B", "E", "G", "I", "T", "S", "?")
"""DSSP's letters by number: loop, α-helix, bridge, strand, 3₁₀-helix, π-helix, turn, bend; not assigned."""

TORSIONS = ("phi", "psi", "omega", "chi1", "chi2", "chi3", "chi4")

# Atoms that the features ask for by name; other atoms count for contacts, surfaces and centroids only.
SLOTS = (
    *("N", "CA", "C", "O", "CB", "CG", "CG1", "OG", "OG1", "SG", "CD", "CD1"),
    *("SD", "OD1", "ND1", "NE", "OE1", "CE", "NZ", "CZ"),
    *("P", "O3'", "C1'", "C3'", "C4'", "C2", "C4"),
)
SLOT = {name: number for number, name in enumerate(SLOTS)}
ALIASES = {"SE": "SD", "O3*": "O3'", "C1*": "C1'", "C3*": "C3'", "C4*": "C4'"}  # selenium; old names

# Atoms after N, CA, CB: χ1 turns N CA CB x, χ2 turns CA CB x y, and so on (IUPAC-IUB 1970).
_SIDE_CHAINS = {
    **{"ARG": "CG CD NE CZ", "ASN": "CG OD1", "ASP": "CG OD1", "CYS": "SG", "GLN": "CG CD OE1"},
    **{"GLU": "CG CD OE1", "HIS": "CG ND1", "ILE": "CG1 CD1", "LEU": "CG CD1", "LYS": "CG CD CE NZ"},
    **{"MET": "CG SD CE", "PHE": "CG CD1", "PRO": "CG CD", "SER": "OG", "THR": "OG1"},
    **{"TRP": "CG CD1", "TYR": "CG CD1", "VAL": "CG1"},
}

# Theoretical maximal accessible surfaces in Å², in the order of AMINO: Tien et al. 2013 (PLoS ONE 8, e80635),
# table 1.
_TIEN = (129, 274, 195, 193, 167, 225, 223, 104, 224, 197, 201, 236, 224, 240, 159, 155, 172, 285, 263, 174)
MAX_SURFACE = np.full(len(TYPES), np.nan)
MAX_SURFACE[: len(_TIEN)] = _TIEN

PROBE = 1.4  # Å, a water
# Radii of united atoms in Å, as DSSP takes them (Kabsch & Sander 1983): by name in amino acids, where all
# side-chain atoms have one, and by element elsewhere.
BACKBONE_RADII = {"N": 1.65, "CA": 1.87, "C": 1.76, "O": 1.40}
SIDE_CHAIN_RADIUS = 1.80
ELEMENT_RADII = {6: 1.80, 7: 1.65, 8: 1.40, 15: 1.90, 16: 1.85}
OTHER_RADIUS = 1.80


def pack(name: str) -> int:
    """Return a name of at most 8 ASCII characters as an integer; `unpack` gives it back."""
    return int.from_bytes(name.encode("ascii").ljust(8, b"\0")[:8], "little")


def unpack(code: int) -> str:
    """Return the name that `pack` made an integer of."""
    return int(code).to_bytes(8, "little").rstrip(b"\0").decode("ascii", "replace")


def _torsion_slots() -> Int[np.ndarray, "types 4 4"]:
    table = np.full((len(TYPES), 4, 4), -1)
    for name, side_chain in _SIDE_CHAINS.items():
        atoms = [SLOT[a] for a in ("N", "CA", "CB", *side_chain.split())]
        for chi in range(len(atoms) - 3):
            table[TYPE[name], chi] = atoms[chi : chi + 4]
    return table


CHI_SLOTS = _torsion_slots()
"""Slots of the four atoms of χ1 to χ4 for each type; -1 where a type has no such angle."""
