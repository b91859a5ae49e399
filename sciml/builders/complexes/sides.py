"""The two sides of a complex as arrays: residues or atoms of the pocket, and atoms of the ligand."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from rdkit import Chem
from scipy.spatial import cKDTree

from sciml.builders.complexes.labels import BONDS, EDGE_KINDS
from sciml.builders.complexes.ligand import LIGAND, STRETCH, Ligand
from sciml.builders.molecule.labels import ATOM, CHARGE_ZERO
from sciml.builders.residue import Residues, residue_graph
from sciml.builders.residue.chemistry import pack

ATOM_CONTACT = 4.5  # Å
COVALENT, SEQUENCE, CONTACT, CROSS = range(len(EDGE_KINDS))
NO_BOND, UNKNOWN_BOND = BONDS.index("none"), BONDS.index("other")
_KEPT = ("type", "chain", "chain_name", "name", "number", "insertion", "place")  # of residues and their atoms

Fields = dict[str, np.ndarray]


class Side(NamedTuple):
    """One side of a complex; edges are among its own nodes, ``cross`` from them to the ligand's atoms."""

    nodes: Fields
    edges: Fields
    cross: Int[np.ndarray, "edges 2"]
    apart: Float[np.ndarray, "edges"]
    bonded: Bool[np.ndarray, "edges"]


def residue_side(
    residues: Residues,
    rows: Int[np.ndarray, "pocket"],
    ligand: Ligand,
    cross: float,
    cutoff: float,
    contact: str,
) -> Side:
    """Return residues of the pocket, with the contacts and the sequence among them."""
    whole = residue_graph(residues, contact, cutoff, dtype=torch.float64)
    nodes = {name: whole.nodes[name].numpy()[rows] for name in ("pos", "frame", "frame_mask", *_KEPT)}
    zero = np.zeros(len(rows), dtype=np.int64)
    nodes |= {"kind": zero, "atom_name": zero} | _plain_atoms(zero)
    inside, number = np.isin(np.arange(len(residues)), rows), np.zeros(len(residues), dtype=np.int64)
    number[rows] = np.arange(len(rows))
    edges = {name: value.numpy() for name, value in whole.edges.items()}
    sender, receiver = whole.edge_index.numpy()
    kept = inside[sender] & inside[receiver]
    contacts, _, sequence = edges["kind"][kept].T
    kind = np.zeros((kept.sum(), len(EDGE_KINDS)), dtype=bool)
    kind[:, SEQUENCE], kind[:, CONTACT] = sequence, contacts
    own = {
        "sender": number[sender[kept]],
        "receiver": number[receiver[kept]],
        "kind": kind,
        "bond": np.full(kept.sum(), NO_BOND),
        **{name: edges[name][kept] for name in ("distance", "same_chain", "separation")},
    }
    atoms = np.flatnonzero(inside[residues.atom_residue])
    pairs, apart, bonded = _near(*(residues.atom_pos[atoms], residues.atom_element[atoms], ligand, cross))
    # of all atoms of a residue the nearest counts; a bond of any is a bond of the residue
    key = number[residues.atom_residue[atoms[pairs[:, 0]]]] * len(ligand.pos) + pairs[:, 1]
    unique, which = np.unique(key, return_inverse=True)
    least, bond = np.full(len(unique), np.inf), np.zeros(len(unique), dtype=bool)
    np.minimum.at(least, which, apart)
    np.logical_or.at(bond, which, bonded)
    return Side(nodes, own, np.stack(np.divmod(unique, len(ligand.pos)), axis=1), least, bond)


def atom_side(
    residues: Residues,
    rows: Int[np.ndarray, "pocket"],
    ligand: Ligand,
    cross: float,
    cutoff: float,
) -> Side:
    """Return heavy atoms of the pocket, with contacts and bonds among them."""
    atoms = np.flatnonzero(np.isin(residues.atom_residue, rows))
    owner = residues.atom_residue[atoms]
    zero = np.zeros(len(atoms), dtype=np.int64)
    pos, element = residues.atom_pos[atoms], residues.atom_element[atoms].astype(np.int64)
    nodes = {name: np.asarray(getattr(residues, name))[owner] for name in _KEPT}
    nodes |= {"pos": pos, "kind": zero + 1, "atom_name": residues.atom_name[atoms]}
    nodes |= _no_frames(zero) | _plain_atoms(zero) | {"element": element}
    edges = _atom_edges(pos, element, cutoff, nodes["chain"], nodes["place"])
    return Side(nodes, edges, *_near(pos, element, ligand, cross))


def ligand_side(residues: Residues, ligand: Ligand) -> Side:
    """Return the ligand's atoms, with contacts and bonds among them."""
    zero = np.zeros(len(ligand.pos), dtype=np.int64)
    if len(ligand.rows):
        atoms = np.flatnonzero(np.isin(residues.atom_residue, ligand.rows))
        owner = residues.atom_residue[atoms]
        nodes = {name: np.asarray(getattr(residues, name))[owner] for name in _KEPT}
        nodes["atom_name"] = residues.atom_name[atoms]
    else:  # a chain of its own
        nodes = dict.fromkeys(_KEPT, zero)
        nodes |= {"type": zero + LIGAND, "chain": zero + residues.chain.max() + 1, "atom_name": zero}
        nodes |= {"name": zero + pack("LIG"), "chain_name": zero + pack("ligand")}
    nodes |= {"pos": ligand.pos, "kind": zero + 2} | _no_frames(zero) | ligand.atoms()
    edges = _atom_edges(ligand.pos, nodes["element"], ATOM_CONTACT, nodes["chain"], nodes["place"])
    return Side(nodes, _with_bonds(edges, ligand), np.zeros((0, 2), dtype=np.int64), zero[:0], zero[:0])


# -------------------------------------------------------------------- details


def _no_frames(zero: Int[np.ndarray, "nodes"]) -> Fields:
    return {"frame": np.zeros((len(zero), 9)), "frame_mask": zero.astype(bool)}


def _plain_atoms(zero: Int[np.ndarray, "nodes"]) -> Fields:
    return {name: zero + (CHARGE_ZERO if name == "charge" else 0) for name in ATOM}


def _reach(elements: np.ndarray, others: np.ndarray) -> Float[np.ndarray, "pairs"]:
    """Return the largest length of a bond between atoms of these elements."""
    table = Chem.GetPeriodicTable()
    radius = np.array([table.GetRcovalent(int(z)) if z else 0.0 for z in range(119)])
    return STRETCH * (radius[elements] + radius[others])


def _near(
    pos: Float[np.ndarray, "atoms 3"], element: Int[np.ndarray, "atoms"], ligand: Ligand, radius: float
) -> tuple[Int[np.ndarray, "pairs 2"], Float[np.ndarray, "pairs"], Bool[np.ndarray, "pairs"]]:
    """Return pairs of an atom and one of the ligand, how far apart they are, and whether they are bonded."""
    found = cKDTree(pos).sparse_distance_matrix(cKDTree(ligand.pos), radius, output_type="ndarray")
    found = found[np.argsort(found["i"] * len(ligand.pos) + found["j"])]
    pairs = np.stack([found["i"], found["j"]], axis=1)
    theirs = np.array([atom.GetAtomicNum() for atom in ligand.mol.GetAtoms()])
    bonded = found["v"] < _reach(element[pairs[:, 0]], theirs[pairs[:, 1]])
    return pairs, found["v"], bonded


def _atom_edges(
    pos: Float[np.ndarray, "atoms 3"],
    element: Int[np.ndarray, "atoms"],
    cutoff: float,
    chain: Int[np.ndarray, "atoms"],
    place: Int[np.ndarray, "atoms"],
) -> Fields:
    """Return contacts and bonds among atoms, both ways."""
    pairs = cKDTree(pos).query_pairs(cutoff, output_type="ndarray")
    sender, receiver = np.concatenate([pairs, pairs[:, ::-1]]).T
    apart = np.linalg.norm(pos[sender] - pos[receiver], axis=1)
    kind = np.zeros((len(sender), len(EDGE_KINDS)), dtype=bool)
    kind[:, CONTACT] = True
    kind[:, COVALENT] = apart < _reach(element[sender], element[receiver])
    same = chain[sender] == chain[receiver]
    return {
        "sender": sender,
        "receiver": receiver,
        "kind": kind,
        "bond": np.where(kind[:, COVALENT], UNKNOWN_BOND, NO_BOND),
        "distance": apart,
        "same_chain": same,
        "separation": np.where(same, place[receiver] - place[sender], 0),
    }


def _with_bonds(edges: Fields, ligand: Ligand) -> Fields:
    """Return the ligand's edges with its molecule's own bonds, those that are longer than contacts too."""
    ends, label = ligand.bonds()
    size = len(ligand.pos)
    bonds = np.concatenate([ends, ends[:, ::-1]]).reshape(-1, 2)
    label = np.concatenate([label, label])
    key = edges["receiver"] * size + edges["sender"]
    bond_key = bonds[:, 1] * size + bonds[:, 0]
    extra = bonds[~np.isin(bond_key, key)]
    sender, receiver = (
        np.concatenate([edges["sender"], extra[:, 0]]),
        np.concatenate([edges["receiver"], extra[:, 1]]),
    )
    order = {int(k): int(b) for k, b in zip(bond_key, label)}
    bond = np.array([order.get(int(k), NO_BOND) for k in receiver * size + sender], dtype=np.int64)
    kind = np.zeros((len(sender), len(EDGE_KINDS)), dtype=bool)
    kind[: len(key), CONTACT], kind[:, COVALENT] = True, bond != NO_BOND
    return {
        "sender": sender,
        "receiver": receiver,
        "kind": kind,
        "bond": bond,
        "distance": np.linalg.norm(ligand.pos[sender] - ligand.pos[receiver], axis=1),
        "same_chain": np.ones(len(sender), dtype=bool),
        "separation": np.zeros(len(sender), dtype=np.int64),
    }
