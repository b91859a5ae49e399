"""ASE's Atoms."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sciml.builders import atoms as cutoff_graphs
from sciml.builders.atoms import ANGSTROM, neighbours
from sciml.graph import Graph, Place, Spec

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

SPECS: dict[tuple[Place, str], Spec] = cutoff_graphs.SPECS | {
    ("nodes", "mass"): Spec(unit="dalton"),
    ("nodes", "charge"): Spec(unit="elementary_charge"),
    ("nodes", "velocity"): Spec("1o", f"{ANGSTROM}/fs"),
    ("nodes", "forces"): Spec("1o", f"eV/{ANGSTROM}"),
    ("globals", "energy"): Spec("0e", "eV"),
}
OWN_NAMES = {"numbers", "positions", "masses", "initial_charges", "momenta"}  # in atoms.arrays


def from_ase(
    atoms: Atoms,
    cutoff: float | None = None,
    *,
    fields: Sequence[str] | None = None,
    dtype: torch.dtype | None = torch.float64,
) -> Graph:
    """Return a Graph of atoms, with edges between all pairs closer than the cutoff, if one is given.

    Node fields: ``pos`` (Å), ``number``, ``mass`` (dalton), ``velocity`` (Å/fs) if there are momenta,
    ``charge`` (e) if there are initial charges, ``forces`` (eV/Å) if a calculation left them, and every
    other numeric array by its name. Graph fields: ``cell`` (Å, rows are vectors) and ``pbc`` if there is a
    cell, ``energy`` (eV) if a calculation left it, and every number in ``atoms.info``. Edges count cells
    in ``shift`` where there is a cell. What is no number is left out and logged.

    Args:
        atoms: the structure.
        cutoff: in Å; None makes no edges. Periodic images are neighbours too (found by vesin).
        fields: names of node and graph fields to keep beside ``pos``, ``number``, ``cell`` and ``pbc``;
            all if None. Structures that are to share a batch need the same.
        dtype: of the floating-point fields.

    Raises:
        ValueError: a cutoff that is not positive, positions or cell that are not finite, a name in
            ``fields`` that the atoms do not have.
    """
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell).all()):
        raise ValueError("Positions or cell of the atoms are not finite.")
    nodes = {"pos": atoms.positions, "number": atoms.numbers, "mass": atoms.get_masses()}
    if atoms.has("initial_charges"):
        nodes["charge"] = atoms.get_initial_charges()
    if atoms.has("momenta"):
        nodes["velocity"] = atoms.get_velocities() * _femtosecond()
    nodes |= {name: value for name, value in atoms.arrays.items() if name not in OWN_NAMES}
    graphs: dict[str, Any] = {name: np.asarray(value)[None] for name, value in atoms.info.items()}
    if periodic := bool(atoms.cell.any() or atoms.pbc.any()):
        graphs |= {"cell": np.asarray(atoms.cell)[None], "pbc": np.asarray(atoms.pbc)[None]}
    results = atoms.calc.results if atoms.calc is not None else {}
    if "energy" in results:
        graphs["energy"] = np.asarray(results["energy"], float).reshape(1)
    if "forces" in results:
        nodes["forces"] = results["forces"]

    if fields is not None:
        if missing := set(fields) - set(nodes) - set(graphs):
            raise ValueError(f"The atoms have no {sorted(missing)}; they have {[*nodes, *graphs]}.")
        keep = {"pos", "number", "cell", "pbc", *fields}
        nodes, graphs = ({n: v for n, v in part.items() if n in keep} for part in (nodes, graphs))

    edge_index, shift = _neighbours(atoms, cutoff)
    tensors: dict[str, Any] = {
        "nodes": _tensors(nodes),
        "edges": {"shift": shift} if periodic else {},
        "globals": _tensors(graphs),
    }
    specs = {key: spec for key, spec in SPECS.items() if key[1] in tensors[key[0]]}
    graph = Graph.create(edge_index, **tensors, specs=specs)
    return graph if dtype is None else graph.to(dtype)


def to_ase(graph: Graph) -> Atoms:
    """Return `ase.Atoms` of one graph: the inverse of `from_ase`, except that Atoms hold no edges.

    ``pos`` and ``number`` are needed; ``mass``, ``charge``, ``velocity``, ``energy``, ``forces``,
    ``cell`` and ``pbc`` find their places, other node fields become arrays and other graph fields
    ``info``, both by their names.

    Raises:
        ValueError: several graphs (convert each: ``[to_ase(g) for g in graph]``), two node sets, no atomic
            numbers, positions that are not in three dimensions.
    """
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    if graph.num_graphs != 1 or graph.two_sided:
        raise ValueError(
            f"Atoms are one graph with one node set; this has {graph.num_graphs} graphs"
            + (" and senders apart." if graph.two_sided else ": convert each, [to_ase(g) for g in graph].")
        )
    missing = {"pos", "number"} - set(graph.nodes)
    if missing or graph.nodes["pos"].shape[-1] != 3:
        raise ValueError(
            "Atoms need the node fields pos (nodes, 3) and number (atomic numbers, nodes); this graph has "
            + ", ".join(f"{name} {tuple(value.shape)}" for name, value in graph.nodes.items())
        )
    nodes = {name: value.detach().cpu().numpy() for name, value in graph.nodes.items()}
    graphs = {name: value[0].detach().cpu().numpy() for name, value in graph.globals.items()}
    atoms = Atoms(
        numbers=nodes.pop("number"),
        positions=nodes.pop("pos"),
        masses=nodes.pop("mass", None),
        charges=nodes.pop("charge", None),
        cell=graphs.pop("cell", None),
        pbc=graphs.pop("pbc", "cell" in graph.globals),
    )
    if "velocity" in nodes:
        atoms.set_velocities(nodes.pop("velocity") / _femtosecond())
    results = {name: part.pop(name) for name, part in (("energy", graphs), ("forces", nodes)) if name in part}
    for name, value in nodes.items():
        atoms.new_array(name, value)
    atoms.info |= {name: value if value.ndim else value.item() for name, value in graphs.items()}
    if results:
        atoms.calc = SinglePointCalculator(
            atoms, **{k: v if v.ndim else float(v) for k, v in results.items()}
        )
    return atoms


def _femtosecond() -> float:
    """One femtosecond in ASE's unit of time, Å √(u/eV)."""
    from ase.units import fs

    return fs


def _neighbours(atoms: Atoms, cutoff: float | None) -> tuple[Tensor, Tensor]:
    if cutoff is None:
        return torch.zeros(2, 0, dtype=torch.long), torch.zeros(0, 3, dtype=torch.long)
    found = neighbours(atoms.positions, atoms.cell.array, atoms.pbc, cutoff)
    return torch.from_numpy(np.stack(found[:2])), torch.from_numpy(found.shift).to(torch.long)


def _tensors(values: dict[str, Any]) -> dict[str, Tensor]:
    tensors = {}
    for name, value in values.items():
        array = np.array(value)
        if array.dtype.kind in "biuf":
            tensors[name] = torch.from_numpy(array)
        else:
            logger.warning("%r of the atoms is not numeric, which a Graph does not hold: left out.", name)
    return tensors
