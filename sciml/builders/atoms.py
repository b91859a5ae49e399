"""Atoms within a cutoff of each other, periodic or not: the graphs of interatomic potentials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from sciml.graph import CELL, POSITION, Graph, Place, Spec

if TYPE_CHECKING:
    from ase import Atoms

ANGSTROM = "angstrom"
ELEMENTS = 119  # atomic numbers from 0 (of no element) to 118
SPECS: dict[tuple[Place, str], Spec] = {
    ("nodes", "pos"): Spec(POSITION.irreps, ANGSTROM, moves=True),
    ("nodes", "number"): Spec(classes=ELEMENTS),
    ("globals", "cell"): Spec(CELL.irreps, ANGSTROM),
}
COINCIDENT = 1e-3  # Å; atoms closer than this have no direction between them


class Neighbours(NamedTuple):
    """Pairs of atoms; the vector of a pair is ``pos[receiver] - pos[sender] + shift @ cell``."""

    sender: Int[np.ndarray, "pairs"]
    receiver: Int[np.ndarray, "pairs"]
    shift: Int[np.ndarray, "pairs 3"]

    def vectors(self, positions: Float[np.ndarray, "n 3"], cell: Float[np.ndarray, "3 3"]) -> np.ndarray:
        """Return the vectors of the pairs, in the unit of the positions."""
        return positions[self.receiver] - positions[self.sender] + self.shift @ cell

    def where(self, kept: Bool[np.ndarray, "pairs"]) -> Neighbours:
        """Return some of the pairs."""
        return Neighbours(self.sender[kept], self.receiver[kept], self.shift[kept])


def neighbours(
    positions: Float[np.ndarray, "n 3"],
    cell: Float[np.ndarray, "3 3"],
    pbc: Bool[np.ndarray, "3"],
    cutoff: float,
) -> Neighbours:
    """Return all ordered pairs closer than the cutoff, every periodic image among them (by vesin).

    Args:
        positions: in Å, inside the cell or outside of it.
        cell: lattice vectors as rows, in Å; zero along directions that are open.
        pbc: which directions repeat.
        cutoff: in Å. It may be larger than the cell: an atom is then a neighbour of its own images.

    Raises:
        ValueError: a cutoff that is not positive and finite, a direction that repeats without a lattice
            vector, lattice vectors in one plane.
    """
    if not 0 < cutoff < np.inf:
        raise ValueError(f"The cutoff is {cutoff} Å; it must be positive and finite.")
    pbc = np.asarray(pbc, dtype=bool)
    box = _box(cell, pbc)
    if len(positions) == 0:
        none = np.zeros(0, dtype=np.int64)
        return Neighbours(none, none, np.zeros((0, 3), dtype=np.int64))
    from vesin import NeighborList

    lists = NeighborList(cutoff=float(cutoff), full_list=True, sorted=True)
    # vesin sorts by the first atom and counts cells to the second one; edges are sorted by their receiver.
    receiver, sender, shift = lists.compute(points=positions, box=box, periodic=pbc, quantities="ijS")
    # Numbers of atoms are unsigned there; they are read as signed ones, not copied. Shifts stay 32 bits wide.
    return Neighbours(sender.view(np.int64), receiver.view(np.int64), np.negative(shift, out=shift))


def atoms_graph(
    atoms: Atoms | Sequence[Atoms],
    cutoff: float = 5.0,
    *,
    dtype: torch.dtype = torch.float64,
    first: int = 0,
) -> Graph:
    """Return one graph for each structure, batched, with edges between atoms closer than the cutoff.

    Node fields: ``pos`` (Å) and ``number``. If any structure is periodic, ``cell`` (Å, rows are lattice
    vectors, zero where space is open) is a field of graphs and ``shift``, in cells, one of edges. Energies
    and whatever else the atoms carry is left out; see `sciml.builders.convert.from_ase` for that.

    Args:
        atoms: one structure or many, periodic in any directions; the cell may be skewed, larger or smaller
            than the cutoff.
        cutoff: in Å.
        dtype: of positions and cells.
        first: number of the first structure, for messages.

    Raises:
        TypeError: something that is not `ase.Atoms`.
        ValueError: as `neighbours`; no structure; positions that are not finite; two atoms at one place.
            The structure and the atoms are named.
    """
    structures = as_structures(atoms)
    found = []
    for number, structure in enumerate(structures, start=first):
        try:
            check_positions(structure)
            pairs = neighbours(structure.positions, structure.cell.array, structure.pbc, cutoff)
            check_apart(structure, pairs)
        except ValueError as error:
            many = first > 0 or len(structures) > 1
            where = f"structure {number} ({structure.get_chemical_formula()}): " if many else ""
            raise ValueError(f"{where}{error}") from None
        found.append(pairs)
    return joined(structures, found, dtype)


def as_structures(atoms: Atoms | Sequence[Atoms]) -> list[Atoms]:
    """Return a list of structures.

    Raises:
        TypeError: something that is not `ase.Atoms`.
        ValueError: no structure.
    """
    from ase import Atoms

    structures = [atoms] if isinstance(atoms, Atoms) else list(atoms)
    for number, structure in enumerate(structures):
        if not isinstance(structure, Atoms):
            raise TypeError(
                f"Structure {number} is of type {type(structure).__name__}; expected ase.Atoms (make them by "
                "ase.Atoms(numbers=..., positions=..., cell=..., pbc=...), or read them by ase.io.read)."
            )
    if not structures:
        raise ValueError("No structure: expected ase.Atoms, or a list of at least one.")
    return structures


def joined(structures: Sequence[Atoms], pairs: Sequence[Neighbours], dtype: torch.dtype) -> Graph:
    """Return the structures as one batch with these neighbours for edges."""
    counts = np.array([len(structure) for structure in structures])
    first = np.concatenate([[0], counts.cumsum()[:-1]])
    column = lambda parts: torch.from_numpy(np.concatenate(list(parts)))
    edge_index = torch.stack(
        [
            column(p.sender + start for p, start in zip(pairs, first)),
            column(p.receiver + start for p, start in zip(pairs, first)),
        ]
    )
    nodes = {
        "pos": column(structure.positions for structure in structures).to(dtype),
        "number": column(structure.numbers.astype(np.int64) for structure in structures),
    }
    edges, graphs = {}, {}
    if any(structure.pbc.any() for structure in structures):
        edges["shift"] = column(p.shift for p in pairs).to(torch.int64)
        cells = [structure.cell.array * structure.pbc[:, None] for structure in structures]
        graphs["cell"] = torch.from_numpy(np.stack(cells)).to(dtype)
    specs = {key: spec for key, spec in SPECS.items() if key[1] != "cell" or graphs}
    return Graph.create(edge_index, nodes, edges, graphs, node_counts=torch.from_numpy(counts), specs=specs)


class SkinnedNeighbours:
    """A neighbour list for dynamics: made with a skin, and kept until an atom has moved half of it.

    Pairs up to ``cutoff + skin`` are found once; as long as no atom has moved by more than skin / 2 since
    then, no pair can have come within the cutoff without being among them (Verlet 1967).

    Attributes:
        built: how many times the list was made.
    """

    def __init__(self, cutoff: float, skin: float = 1.0) -> None:
        if not 0 <= skin < np.inf:
            raise ValueError(f"The skin is {skin} Å; it must be zero or more, and finite.")
        self.cutoff, self.skin, self.built = cutoff, skin, 0
        self._atoms: Atoms | None = None
        self._pairs: Neighbours | None = None

    def __call__(self, atoms: Atoms, dtype: torch.dtype = torch.float64) -> Graph:
        """Return the graph that `atoms_graph` returns (edges in another order).

        Raises:
            ValueError: as `atoms_graph`.
        """
        check_positions(atoms)
        if self._pairs is None or self._outdated(atoms):
            self._pairs = neighbours(atoms.positions, atoms.cell.array, atoms.pbc, self.cutoff + self.skin)
            self._atoms = atoms.copy()
            self.built += 1
        squares = np.square(self._pairs.vectors(atoms.positions, atoms.cell.array)).sum(axis=1)
        pairs = self._pairs.where(squares < self.cutoff**2)
        check_apart(atoms, pairs)
        return joined([atoms], [pairs], dtype)

    def _outdated(self, atoms: Atoms) -> bool:
        before = self._atoms
        assert before is not None
        if len(atoms) != len(before) or (atoms.pbc != before.pbc).any():
            return True
        if (atoms.cell.array != before.cell.array).any():
            return True
        moved = np.square(atoms.positions - before.positions).sum(axis=1).max(initial=0.0)
        return bool(moved > (self.skin / 2) ** 2)


# -------------------------------------------------------------------- checks


def check_positions(atoms: Atoms) -> None:
    """Raise ValueError where positions or cell are not finite, naming the first atom."""
    wrong = np.argwhere(~np.isfinite(atoms.positions))
    if len(wrong):
        raise ValueError(
            f"atom {wrong[0, 0]} ({atoms.symbols[wrong[0, 0]]}) stands at {atoms.positions[wrong[0, 0]]}; "
            "positions must be finite."
        )
    if not np.isfinite(atoms.cell.array).all():
        raise ValueError(f"the cell is {atoms.cell.array.tolist()}; it must be finite.")


def check_apart(atoms: Atoms, pairs: Neighbours) -> None:
    """Raise ValueError where two atoms stand at one place, naming both."""
    squares = np.square(pairs.vectors(atoms.positions, atoms.cell.array)).sum(axis=1)
    close = np.flatnonzero(squares < COINCIDENT**2)
    if len(close):
        i, j = sorted((int(pairs.sender[close[0]]), int(pairs.receiver[close[0]])))
        symbols = atoms.get_chemical_symbols()
        image = " (a periodic image)" if pairs.shift[close[0]].any() else ""
        raise ValueError(
            f"atoms {i} ({symbols[i]}) and {j} ({symbols[j]}){image} stand at one place, "
            f"{atoms.positions[i].round(4).tolist()} Å: remove one of them."
        )


def _box(cell: Float[np.ndarray, "3 3"], pbc: Bool[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Return lattice vectors with any ones along directions that are open and have none.

    In plain numbers: for a small molecule, NumPy's calls take as long as its neighbours.
    """
    rows = cell.tolist()
    vectors = [vector for vector, repeats in zip(rows, pbc.tolist()) if repeats]
    if not all(map(any, vectors)):
        axis = "abc"[next(i for i in range(3) if pbc[i] and not any(rows[i]))]
        raise ValueError(
            f"The structure repeats along {axis}, but has no lattice vector there (the cell is {rows}): set "
            f"the cell, or pbc to False along {axis}."
        )
    if len(vectors) < 3:
        from ase.geometry import complete_cell

        cell = complete_cell(cell)
    if len(vectors) > 1:
        (a, b, c), (d, e, f) = vectors[:2]
        normal = b * f - c * e, c * d - a * f, a * e - b * d
        third = vectors[2] if len(vectors) == 3 else normal
        volume = sum(x * y for x, y in zip(normal, third))
        if abs(volume) < 1e-6 * math.hypot(a, b, c) * math.hypot(d, e, f) * math.hypot(*third):
            raise ValueError(f"The lattice vectors {rows} lie in one plane or along one line.")
    return cell
