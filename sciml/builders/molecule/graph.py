"""Molecules to bond graphs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int
from rdkit import Chem

from sciml.builders.molecule.conformers import embed, positions
from sciml.builders.molecule.featurize import Arrays, featurize
from sciml.builders.molecule.labels import SPECS
from sciml.builders.molecule.parse import Failure, MoleculeError, Molecules, parse_molecules, report
from sciml.builders.workers import in_processes
from sciml.graph import POSITION, Graph, Place, Spec

log = logging.getLogger(__name__)
CHUNK, EMBEDDED = 1000, 50  # molecules that a worker takes at a time, without and with conformers to make
LENGTH = Spec(irreps=POSITION.irreps, unit="angstrom", moves=True)

Source = str | Chem.Mol | Iterable[str | Chem.Mol | None] | Molecules


def molecule_graph(
    molecules: Source,
    *,
    hydrogens: bool = False,
    conformers: int | Literal["given"] = 0,
    optimize: bool = False,
    seed: int = 0,
    strict: bool = False,
    failures: list[Failure] | None = None,
    workers: int | None = None,
    progress: bool | None = None,
) -> Graph:
    """Build one graph per molecule: atoms are nodes, each bond is an edge in both directions.

    Nodes and edges have the integer labels of `ATOM` and `BOND` (`one_hot` makes numbers of them),
    ``globals["row"]`` says which of the given molecules a graph is. Rows that cannot be read are left out:
    they are counted in a warning, and appended to ``failures`` with row, text and RDKit's reason.

    Args:
        molecules: SMILES, an RDKit Mol, a list of either, or what `parse_molecules` and `read_sdf` return.
            One molecule that is not in a list must be readable.
        hydrogens: make every hydrogen a node; otherwise those that are drawn, as in ``[H][H]`` or a Mol
            with hydrogens. All others are counted by their neighbour's label ``hydrogens``.
        conformers: so many by ETKDG, each a graph of its own with positions ``nodes["pos"]`` (Å); or
            "given", those of the Mol objects; 0 is none.
        optimize: relax conformers with MMFF94.
        seed: of the conformers.
        strict: raise at the first row that cannot be read.
        failures: a list that takes what was left out.
        workers: processes that read, a thousand rows at a time; as many as there are cores by default, none
            besides this one for 1.
        progress: show a bar; by default on a terminal, from the third second on.

    Raises:
        MoleculeError: no molecule could be read; or any could not, if ``strict``.
        ValueError: conformers are to be those given, and a molecule has none.
    """
    options: dict[str, Any] = {
        "hydrogens": hydrogens,
        "conformers": conformers,
        "optimize": optimize,
        "seed": seed,
    }
    single = isinstance(molecules, str | Chem.Mol)
    items = [molecules] if single else molecules
    strict = strict or single
    parts, left_out = [], []
    results = in_processes(
        partial(_chunk, **options), _chunks(items, CHUNK if conformers in (0, "given") else EMBEDDED),
        workers=workers, progress=progress, name="molecules", size=lambda chunk: len(chunk[0]),
    )  # fmt: skip
    for part in results:
        parts.append(part)
        left_out += part[-1]
        if left_out and strict:
            raise MoleculeError(f"{left_out[0]}. (strict=False leaves such rows out and lists them.)")
    left_out.sort(key=lambda failure: failure.row)
    total = sum(len(np.unique(part[1])) for part in parts) + len(left_out)
    if total == len(left_out):
        raise MoleculeError(report(left_out, total) if total else "No molecules were given.")
    if left_out:
        log.warning(report(left_out, total))
        if failures is not None:
            failures.extend(left_out)
    return _graph(parts)


Part = tuple[Arrays, Int[np.ndarray, "graphs"], np.ndarray | None, list[Failure]]


def _build(molecules: Molecules, hydrogens: bool, conformers: int | str, optimize: bool, seed: int) -> Part:
    """Return arrays, the row of each graph, positions, and what was left out."""
    mols = tuple(Chem.AddHs(m, addCoords=True) for m in molecules.mols) if hydrogens else molecules.mols
    molecules = Molecules(mols, molecules.rows, molecules.failures)
    pos = None
    if isinstance(conformers, int) and conformers:
        molecules = embed(molecules, conformers, seed=seed, optimize=optimize)
    elif conformers not in ("given", 0):
        raise ValueError(f"conformers={conformers!r}: expected a number, or 'given'.")
    rows = np.array(molecules.rows, dtype=np.int64)
    arrays = featurize(molecules.mols)
    if conformers:
        for mol, row in zip(molecules.mols, molecules.rows):
            if not mol.GetNumConformers():
                raise ValueError(
                    f"row {row}: {Chem.MolToSmiles(mol)!r} has no conformer; give molecules with "
                    "coordinates, or a number of conformers to have them made."
                )
        each = [positions(mol) for mol in molecules.mols]
        copies = np.array([len(p) for p in each], dtype=np.int64)
        arrays, rows = _repeated(arrays, copies), np.repeat(rows, copies)
        pos = np.concatenate([p.reshape(-1, 3) for p in each]) if each else np.zeros((0, 3))
    return arrays, rows, pos, list(molecules.failures)


def _repeated(arrays: Arrays, copies: Int[np.ndarray, "molecules"]) -> Arrays:
    """Return each molecule so many times, one copy after the other."""
    molecule = np.repeat(np.arange(len(copies)), copies)

    def rows(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        start, new = np.cumsum(counts) - counts, counts[molecule]
        moved = np.cumsum(new) - new - start[molecule]
        return np.arange(new.sum()) - np.repeat(moved, new), moved

    atom, atom_moved = rows(arrays.atom_counts)
    bond, _ = rows(arrays.bond_counts)
    ends = arrays.ends[bond] + np.repeat(atom_moved, arrays.bond_counts[molecule])[:, None]
    return Arrays(
        {name: value[atom] for name, value in arrays.atoms.items()},
        {name: value[bond] for name, value in arrays.bonds.items()},
        ends,
        arrays.atom_counts[molecule],
        arrays.bond_counts[molecule],
    )


def _graph(parts: Sequence[Part]) -> Graph:
    """Join the parts into one batch, edges sorted by receiver."""
    arrays = [part[0] for part in parts]
    offsets = np.cumsum([0, *(a.atom_counts.sum() for a in arrays)])
    ends = np.concatenate([a.ends + offset for a, offset in zip(arrays, offsets)])
    both = np.concatenate([ends, ends[:, ::-1]])
    order = np.argsort(both[:, 1] * (offsets[-1] + 1) + both[:, 0])
    bond = order % max(len(ends), 1)

    def joined(which: str) -> dict[str, np.ndarray]:
        first = getattr(arrays[0], which)
        return {name: np.concatenate([getattr(a, which)[name] for a in arrays]) for name in first}

    tensor = lambda values: torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64))
    nodes = {name: tensor(value) for name, value in joined("atoms").items()}
    specs: dict[tuple[Place, str], Spec] = dict(SPECS)
    if parts[0][2] is not None:
        pos = np.concatenate([part[2] for part in parts if part[2] is not None])
        nodes["pos"] = torch.from_numpy(pos).to(torch.get_default_dtype())
        specs["nodes", "pos"] = LENGTH
    return Graph(
        tensor(both[order].T),
        nodes,
        {name: tensor(value[bond]) for name, value in joined("bonds").items()},
        {"row": tensor(np.concatenate([part[1] for part in parts]))},
        node_counts=tensor(np.concatenate([a.atom_counts for a in arrays])),
        edge_counts=tensor(2 * np.concatenate([a.bond_counts for a in arrays])),
        specs=specs,
    )


def _chunks(items: Iterable[Any] | Molecules, size: int) -> list[tuple[Any, int]]:
    """Return pieces of what was given, and the row by which each is moved."""
    if isinstance(items, Molecules):
        starts = range(0, max(len(items), 1), size)
        pieces = [Molecules(items.mols[i : i + size], items.rows[i : i + size]) for i in starts]
        return [(replace(piece, failures=() if i else items.failures), 0) for i, piece in enumerate(pieces)]
    items = list(items)
    return [(items[i : i + size], i) for i in range(0, max(len(items), 1), size)]


def _chunk(chunk: tuple[Any, int], **options: Any) -> Part:
    items, start = chunk
    molecules = items if isinstance(items, Molecules) else parse_molecules(items)
    arrays, rows, pos, failures = _build(molecules, **options)
    return arrays, rows + start, pos, [Failure(f.row + start, f.text, f.reason) for f in failures]
