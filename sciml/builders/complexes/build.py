"""Structures with a ligand to typed graphs."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Int
from rdkit import Chem
from scipy.spatial import cKDTree

from sciml.builders.complexes.labels import EDGE_KINDS, SPECS
from sciml.builders.complexes.ligand import Ligand, find_ligand
from sciml.builders.complexes.sides import (
    ATOM_CONTACT,
    COVALENT,
    CROSS,
    NO_BOND,
    UNKNOWN_BOND,
    Side,
    atom_side,
    ligand_side,
    residue_side,
)
from sciml.builders.residue import Residues, read_residues
from sciml.builders.residue.rules import check_choice
from sciml.graph import Graph

if TYPE_CHECKING:
    import gemmi

log = logging.getLogger(__name__)

LEVELS = ("residues", "atoms")


def complex_graph(
    source: str | os.PathLike[str] | gemmi.Structure | Residues,
    ligand: str | os.PathLike[str] | Chem.Mol | Sequence[str] | None = None,
    *,
    template: str | Chem.Mol | None = None,
    level: Literal["residues", "atoms"] = "residues",
    pocket: float = 8.0,
    cross: float = 5.0,
    cutoff: float | None = None,
    contact: str = "cb",
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> Graph:
    """Build one typed graph of a ligand and the pocket around it.

    Nodes are the pocket's residues (or their heavy atoms), in the order of the structure, then the heavy
    atoms of the ligand. Around it may be protein, nucleic acid, ions and other ligands; waters are left out
    unless ``waters="keep"``.

    Nodes hold ``kind`` (`NODE_KINDS`), ``pos`` in Å (of a residue its CA or what stands for it), ``type``
    (`sciml.builders.residue.TYPES`; of a pocket atom, its residue's), the labels of
    `sciml.builders.molecule.ATOM` (``element`` of all atoms, the others of ligand atoms only), ``frame``
    (nodes 9) and ``frame_mask`` of residues, and of the structure ``chain``, ``chain_name``, ``name``,
    ``number``, ``insertion``, ``place`` and ``atom_name`` (packed; 0 of residues and of given molecules).

    Edges, both ways, hold ``kind`` (edges 4: `EDGE_KINDS`), ``bond`` (`BONDS`), ``distance`` in Å (between a
    residue and an atom the smallest of any heavy atom), ``same_chain`` and ``separation``.

    Globals hold ``bond_orders``: whether orders of the ligand's bonds, its charges and hydrogens are known.

    Args:
        source: path (PDB or mmCIF, also ``.gz``), gemmi.Structure or `Residues`.
        ligand, template: which molecule it is, and what gives its bonds their orders; see `find_ligand`.
        level: nodes of the pocket are "residues" or heavy "atoms".
        pocket: residues with a heavy atom so near to one of the ligand, in Å, make the pocket.
        cross: edges between the two sides up to this distance in Å.
        cutoff: edges of the kind contact in Å: between residues, by ``contact`` as in `residue_graph` (8 if
            None), or between atoms (4.5 if None). Atoms of the ligand are joined up to 4.5 Å at both levels.
        contact: see `residue_graph`.
        dtype: of the floating-point fields.
        options: of `sciml.builders.residue.Rules`; ligands and ions are kept by default.

    Raises:
        ValueError: no ligand, or not a single one (see `find_ligand`); nothing near it; distances that are
            not positive; several models.
        FileNotFoundError, TypeError, ImportError: as `read_residues`.
    """
    check_choice("level", level, LEVELS)
    radius = (8.0 if level == "residues" else ATOM_CONTACT) if cutoff is None else cutoff
    for name, value in (("pocket", pocket), ("cross", cross), ("cutoff", radius)):
        if not (isinstance(value, int | float) and 0 < value < math.inf):
            raise ValueError(f"{name} is {value!r}; expected a positive distance in Å.")
    if not isinstance(source, Residues):
        options = {"ligands": "keep", "ions": "keep"} | options
    tables = read_residues(source, **options)
    if len(tables) > 1:
        raise ValueError(f"{tables[0].source}: {len(tables)} models; choose one, as model=1.")
    residues, found = tables[0], find_ligand(tables[0], ligand, template)
    rows = _pocket(residues, found, pocket)
    if level == "residues":
        surroundings = residue_side(residues, rows, found, cross, radius, contact)
    else:
        surroundings = atom_side(residues, rows, found, cross, radius)
    log.info(
        "%s: ligand %s of %d atoms, %d of %d residues in its pocket",
        *(residues.source, found.label, len(found.pos), len(rows), len(residues)),
    )
    return _joined(surroundings, ligand_side(residues, found), found, dtype)


# -------------------------------------------------------------------- details


def _pocket(residues: Residues, ligand: Ligand, radius: float) -> Int[np.ndarray, "pocket"]:
    """Return residues, others than the ligand itself, that have an atom near to it."""
    nearest = cKDTree(ligand.pos).query(residues.atom_pos)[0]
    other = ~np.isin(residues.atom_residue, ligand.rows)
    rows = np.unique(residues.atom_residue[other & (nearest <= radius)])
    if not len(rows):
        least = nearest[other].min() if other.any() else math.inf
        raise ValueError(
            f"{residues.source}: nothing is within {radius} Å of ligand {ligand.label}; the nearest atom is "
            f"{least:.1f} Å away. Are its coordinates in the frame of the structure? Else raise pocket."
        )
    return rows


def _joined(pocket: Side, ligand: Side, found: Ligand, dtype: torch.dtype) -> Graph:
    """Return one graph of both sides, with the edges between them."""
    nodes = {name: np.concatenate([pocket.nodes[name], ligand.nodes[name]]) for name in pocket.nodes}
    first = len(pocket.nodes["pos"])
    there = pocket.cross + np.array([0, first])
    sender, receiver = np.concatenate([there, there[:, ::-1]]).T
    kind = np.zeros((len(sender), len(EDGE_KINDS)), dtype=bool)
    bonded = np.concatenate([pocket.bonded, pocket.bonded]).astype(bool)
    kind[:, CROSS], kind[:, COVALENT] = True, bonded
    between = {
        "sender": sender,
        "receiver": receiver,
        "kind": kind,
        "bond": np.where(bonded, UNKNOWN_BOND, NO_BOND),
        "distance": np.concatenate([pocket.apart, pocket.apart]),
        "same_chain": nodes["chain"][sender] == nodes["chain"][receiver],
        "separation": np.zeros(len(sender), dtype=np.int64),
    }
    moved = ligand.edges | {end: ligand.edges[end] + first for end in ("sender", "receiver")}
    edges = {name: np.concatenate([pocket.edges[name], moved[name], between[name]]) for name in between}
    order = np.lexsort((edges["sender"], edges["receiver"]))  # whatever order a k-d tree finds them in
    edges = {name: value[order] for name, value in edges.items()}
    ends = torch.from_numpy(np.stack([edges.pop("sender"), edges.pop("receiver")]))

    def tensor(values: np.ndarray) -> torch.Tensor:
        value = torch.from_numpy(np.ascontiguousarray(values))
        if value.is_floating_point():
            return value.to(dtype)
        return value if value.dtype == torch.bool else value.long()

    return Graph.create(
        ends,
        {name: tensor(value) for name, value in nodes.items()},
        {name: tensor(value) for name, value in edges.items()},
        {"bond_orders": torch.tensor([found.orders])},
        specs=SPECS,
    )
