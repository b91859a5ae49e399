"""Structures to residue graphs."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sciml.builders.residue.atoms import read_atoms
from sciml.builders.residue.chemistry import OTHER_KIND, SECONDARY, TYPES
from sciml.builders.residue.contacts import CONTACTS, Edges, find_edges
from sciml.builders.residue.geometry import anchors, beta, frames, torsions
from sciml.builders.residue.rules import Rules, check_choice
from sciml.builders.residue.secondary import dssp
from sciml.builders.residue.surface import surface
from sciml.builders.residue.table import Residues, tabulate
from sciml.builders.residue.trace import psea
from sciml.graph import Graph, Place, Spec, batch

if TYPE_CHECKING:
    import gemmi

    Source = str | os.PathLike[str] | gemmi.Structure | Residues

log = logging.getLogger(__name__)

# Two axes of a frame are arrows and the third is their cross product, which a mirror does not turn round;
# so components along e1 and e2 are true scalars, those along e3 pseudoscalars.
FRAME, ALONG, TURN = "2x1o+1x1e", "2x0e+1x0o", "2x0e+1x0o+2x0e+1x0o+2x0o+1x0e"
SPECS: dict[tuple[Place, str], Spec] = {
    ("nodes", "pos"): Spec("1o", "angstrom", moves=True),
    ("nodes", "cb"): Spec("1o", "angstrom", moves=True),
    ("nodes", "frame"): Spec(FRAME),
    ("nodes", "type"): Spec(classes=len(TYPES)),
    ("nodes", "secondary"): Spec(classes=len(SECONDARY)),
    ("nodes", "torsion"): Spec("7x0o", "radian"),
    ("nodes", "surface"): Spec(unit="angstrom**2"),
    ("nodes", "b_factor"): Spec(unit="angstrom**2"),
    ("edges", "distance"): Spec(unit="angstrom"),
    ("edges", "along"): Spec(ALONG, "angstrom"),
    ("edges", "turn"): Spec(TURN),
}
ASSIGNMENTS = ("auto", "dssp", "psea")
FRAMES = ("backbone", "trace")


def residue_graph(
    source: Source | Iterable[Source],
    contact: str = "cb",
    cutoff: float | None = 8.0,
    *,
    k: int | None = None,
    sequence: int = 1,
    secondary: str = "auto",
    frame: str = "backbone",
    predicted: str | bool = "auto",
    rules: Rules | None = None,
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> Graph:
    """Build the residue graph of a structure, or a batch of them: a node per residue, edges by contact.

    Nodes hold ``pos`` (CA; C1' of nucleotides; else the centroid) and ``cb`` in Å; ``frame`` (nodes 9), the
    rows e1, e2, e3 of a right-handed frame, zero and ``frame_mask`` False where it has no atoms; ``type``
    (`TYPES`), ``modified``; ``chain`` (a number), ``chain_name``, ``name`` (packed, see `residue_labels`),
    ``number`` and ``insertion`` of the author, ``place`` along the chain; ``secondary`` (`SECONDARY`);
    ``torsion`` and ``torsion_mask`` (nodes 7: φ, ψ, ω, χ1 to χ4, in radians); ``surface`` in Å² and
    ``exposure``, the same relative to the type's largest; ``b_factor`` in Å² or ``plddt`` (0 to 100), the
    other of the two being zero, of the atom at ``pos``.

    Edges hold ``kind`` (edges 3: contact, nearest, sequence), ``same_chain``, ``separation`` (places from
    sender to receiver, 0 between chains), ``distance`` in Å by the contact's definition, and, in the
    receiver's frame, ``along`` (edges 3), the vector to the sender's ``pos`` in Å, and ``turn`` (edges 9,
    rows: receiver's axes), the cosines of its axes with the sender's; zero where a frame is missing.

    Globals hold ``model`` (its number) and ``predicted`` (whether B-factors are pLDDT).

    Args:
        source: path (PDB or mmCIF, also ``.gz``), gemmi.Structure, `Residues`, or several of them.
        contact: what must be near: "ca", "cb" (built where missing), any two "heavy" atoms, or the
            "centroid" of side chains (of all atoms, in nucleotides and ligands; CA in glycine).
        cutoff: largest distance of a contact in Å, itself included; None for no such edges.
        k: edges from the k nearest residues to each, by the same points (Cβ for "heavy").
        sequence: edges between residues up to so many bonds apart along the chain; 0 for none.
        secondary: "dssp" by hydrogen bonds, "psea" by CA alone; "auto" is P-SEA where at most a tenth of
            the residues that have CA have the whole backbone.
        frame: "backbone" (N, CA, C), or "trace", of three CA in a row.
        predicted: whether B-factors are pLDDT; "auto" judges by what the file says.
        rules, options: what becomes a node, see `Rules`, whose attributes may be given as options.
        dtype: of the floating-point fields.

    Raises:
        FileNotFoundError, ValueError, TypeError: a source that is no structure or cannot be read, options
            that do not exist; see `read_residues`.
    """
    settings = Settings.of(
        contact,
        cutoff,
        k=k,
        sequence=sequence,
        secondary=secondary,
        frame=frame,
        predicted=predicted,
        rules=rules,
        **options,
    )
    graphs = [to_graph(arrays(table, settings), dtype) for table in _all(source, settings.rules)]
    return graphs[0] if len(graphs) == 1 else batch(graphs)


@dataclass(frozen=True)
class Settings:
    """The options of `residue_graph`, checked."""

    contact: str = "cb"
    cutoff: float | None = 8.0
    k: int | None = None
    sequence: int = 1
    secondary: str = "auto"
    frame: str = "backbone"
    predicted: str | bool = "auto"
    rules: Rules = field(default_factory=Rules)

    @classmethod
    def of(
        cls, contact: str, cutoff: float | None, *, rules: Rules | None = None, **options: Any
    ) -> Settings:
        """Divide options into those of the graph and those of the rules."""
        own = {name: options.pop(name) for name in [*options] if name in cls.__dataclass_fields__}
        return cls(contact, cutoff, **own, rules=_with(rules, options))

    def __post_init__(self) -> None:
        cutoff, k, sequence = self.cutoff, self.k, self.sequence
        if cutoff is not None and not (isinstance(cutoff, int | float) and 0 < cutoff < math.inf):
            raise ValueError(f"cutoff is {cutoff!r}; expected a positive distance in Å, or None.")
        if k is not None and (isinstance(k, bool) or not isinstance(k, int) or k < 1):
            raise ValueError(f"k is {k!r}; expected a whole number of neighbours, at least 1, or None.")
        if isinstance(sequence, bool) or not isinstance(sequence, int) or sequence < 0:
            raise ValueError(f"sequence is {sequence!r}; expected a whole number of bonds, 0 for none.")
        check_choice("contact", self.contact, CONTACTS)
        check_choice("secondary", self.secondary, ASSIGNMENTS)
        check_choice("frame", self.frame, FRAMES)
        if not isinstance(self.predicted, bool):
            check_choice("predicted", self.predicted, ("auto",))


def read_residues(source: Source, rules: Rules | None = None, **options: Any) -> list[Residues]:
    """Read the residues of a structure, one `Residues` per model (a single one, unless ``model="all"``).

    Each has a ``report`` of what was left out, and goes into `residue_graph` in place of the path.

    Args:
        source: path (PDB or mmCIF, also ``.gz``) or gemmi.Structure.
        rules, options: what becomes a node, see `Rules`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not a structure, cut off, without atoms or residues, or with coordinates that are not
            finite; an option with a wrong value.
        TypeError: an option that does not exist.
        ImportError: gemmi is not installed.
    """
    if isinstance(source, Residues):
        return [source]
    rules = _with(rules, options)
    tables = [tabulate(atoms, rules) for atoms in read_atoms(source, rules)]
    for table in tables:
        if not len(table):
            raise ValueError(f"Nothing is left to be a node.\n{table.report}\nSee the options of Rules.")
        log.debug("%s", table.report)  # one file of a thousand: what is left out is counted in the report
    return tables


def arrays(residues: Residues, settings: Settings) -> dict[Place, dict[str, np.ndarray]]:
    """Compute all fields as arrays; ``edges`` also has ``sender`` and ``receiver``."""
    edges = find_edges(residues, settings.contact, settings.cutoff, settings.k, settings.sequence)
    pos = anchors(residues)
    axes, framed = frames(residues, settings.frame)
    angles, defined = torsions(residues)
    area, exposure = surface(residues)
    b_factor = _b_factor(residues)
    is_plddt = residues.predicted if settings.predicted == "auto" else bool(settings.predicted)
    nodes = {
        "pos": pos,
        "cb": beta(residues)[0],
        "frame": axes.reshape(-1, 9),
        "frame_mask": framed,
        "type": residues.type,
        "modified": residues.modified,
        "name": residues.name,
        "chain": residues.chain,
        "chain_name": residues.chain_name,
        "number": residues.number,
        "insertion": residues.insertion,
        "place": residues.place,
        "secondary": _assigned(residues, settings.secondary),
        "torsion": angles,
        "torsion_mask": defined,
        "surface": area,
        "exposure": exposure,
        "b_factor": np.zeros_like(b_factor) if is_plddt else b_factor,
        "plddt": b_factor if is_plddt else np.zeros_like(b_factor),
    }
    return {
        "nodes": nodes,
        "edges": _edge_fields(residues, edges, pos, axes),
        "globals": {"model": np.array([residues.model]), "predicted": np.array([is_plddt])},
    }


def to_graph(fields: dict[Place, dict[str, np.ndarray]], dtype: torch.dtype = torch.float32) -> Graph:
    """Make a Graph of what `arrays` gives."""

    def tensor(values: np.ndarray) -> Tensor:
        value = torch.from_numpy(np.ascontiguousarray(values))
        if value.is_floating_point():
            return value.to(dtype)
        return value if value.dtype == torch.bool else value.long()

    tensors = {
        place: {name: tensor(value) for name, value in values.items()} for place, values in fields.items()
    }
    edges = tensors["edges"]
    ends = torch.stack([edges.pop("sender"), edges.pop("receiver")])
    return Graph.create(ends, tensors["nodes"], edges, tensors["globals"], specs=SPECS)


# -------------------------------------------------------------------- details


def _with(rules: Rules | None, options: dict[str, Any]) -> Rules:
    if rules is not None:
        if options:
            raise TypeError(f"Give rules, or options ({', '.join(options)}), not both.")
        return rules
    known = tuple(Rules.__dataclass_fields__)
    own = [name for name in Settings.__dataclass_fields__ if name != "rules"]
    for name in options:
        if name not in known:
            near = get_close_matches(name, [*own, *known], n=1) or known
            raise TypeError(f"There is no option {name!r}; did you mean {' or '.join(near)}?")
    return Rules(**options)


def _all(source: Source | Iterable[Source], rules: Rules) -> list[Residues]:
    """Tables of one source or of several."""
    single = isinstance(source, str | os.PathLike | Residues) or hasattr(source, "setup_entities")
    if not single and isinstance(source, Iterable):  # a gemmi.Structure is iterable too
        tables = [table for one in source for table in read_residues(one, rules)]  # type: ignore[arg-type]
        if not tables:
            raise ValueError("There is no structure in an empty list: give at least one path or structure.")
        return tables
    return read_residues(source, rules)  # type: ignore[arg-type]


def _assigned(residues: Residues, how: str) -> np.ndarray:
    if how == "psea":
        return psea(residues)
    states = dssp(residues)
    if how == "dssp":
        return states
    traced = residues.position("CA")[1]
    whole = traced & (states != SECONDARY.index("?"))
    return psea(residues) if whole.sum() <= 0.1 * traced.sum() else states


def _b_factor(residues: Residues) -> np.ndarray:
    """B-factor of the atom that each residue stands at, else the mean of its atoms."""
    count = np.maximum(np.bincount(residues.atom_residue, minlength=len(residues)), 1)
    result = np.bincount(residues.atom_residue, residues.atom_b, len(residues)) / count
    for kind, name in enumerate(("CA", "C1'")):
        index = residues.slot_of(name)
        rows = (index >= 0) & (residues.kind == kind)
        result[rows] = residues.atom_b[index[rows]]
    return result


def _edge_fields(
    residues: Residues, edges: Edges, pos: np.ndarray, axes: np.ndarray
) -> dict[str, np.ndarray]:
    sender, receiver = edges.sender, edges.receiver
    same_chain = residues.chain[sender] == residues.chain[receiver]
    polymer = residues.kind != OTHER_KIND
    counted = same_chain & polymer[sender] & polymer[receiver]
    columns = np.ascontiguousarray(axes.transpose(1, 2, 0))  # axes xyz nodes: long rows are fast
    own, other = columns.take(receiver, axis=2), columns.take(sender, axis=2)
    apart = np.ascontiguousarray(pos.T).take(sender, axis=1) - pos.T.take(receiver, axis=1)
    return {
        "sender": sender,
        "receiver": receiver,
        "kind": edges.kinds,
        "same_chain": same_chain,
        "separation": np.where(counted, residues.place[receiver] - residues.place[sender], 0),
        "distance": edges.distance,
        "along": (own * apart).sum(axis=1).T,
        "turn": (own[:, None] * other).sum(axis=2).reshape(9, -1).T,
    }
