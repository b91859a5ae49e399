"""Frames as pairs of atoms closer than a cutoff, and what the pairs have to add up to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations_with_replacement

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from sciml.builders.atoms import check_apart, check_positions, neighbours
from sciml.datasets.frames import Frames

PAIRS = 200_000  # held in one part


@dataclass(frozen=True)
class Kinds:
    """Pairs of elements, numbered.

    Attributes:
        elements: atomic numbers, ascending.
    """

    elements: tuple[int, ...]

    @classmethod
    def of(cls, frames: Frames) -> Kinds:
        """Return the kinds of pairs that the elements of these frames make."""
        return cls(tuple(frames.composition[0]))

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Places of both elements of each kind, the lighter one first."""
        return list(combinations_with_replacement(range(len(self.elements)), 2))

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def symbols(self) -> list[tuple[str, str]]:
        """Chemical symbols of each kind."""
        from ase.data import chemical_symbols

        name = lambda place: chemical_symbols[self.elements[place]]
        return [(name(a), name(b)) for a, b in self.pairs]

    @property
    def names(self) -> list[str]:
        """Each kind as text: Ar-Kr."""
        return ["-".join(pair) for pair in self.symbols]

    @property
    def table(self) -> Int[np.ndarray, "elements elements"]:
        """Number of the kind of two places."""
        found = np.zeros((len(self.elements),) * 2, dtype=np.int64)
        for number, (a, b) in enumerate(self.pairs):
            found[a, b] = found[b, a] = number
        return found

    def place(self, numbers: Int[np.ndarray, "atoms"]) -> Int[np.ndarray, "atoms"]:
        """Return the place of each atom's element.

        Raises:
            ValueError: an element that is not among them.
        """
        places = np.searchsorted(self.elements, numbers).clip(max=len(self.elements) - 1)
        wrong = np.flatnonzero(np.asarray(self.elements)[places] != numbers)
        if len(wrong):
            from ase.data import chemical_symbols

            known = ", ".join(chemical_symbols[z] for z in self.elements)
            raise ValueError(
                f"Atom {wrong[0]} is {chemical_symbols[numbers[wrong[0]]]}, and the pairs are of {known}."
            )
        return places


@dataclass(frozen=True, eq=False)
class PairRows:
    """Pairs of some frames, each once, and the energies and forces that they add up to.

    A pair pulls its receiver by ``f(distance) · direction`` (positive f pushes apart) and its sender by the
    opposite.

    Attributes:
        distance: in Å.
        direction: unit vectors towards the receiver.
        receiver, sender: numbers of atoms, counted through the frames.
        kind: see `Kinds`.
        frame: of each pair.
        share: of the pair's energy that counts: a half where an atom pairs with its own image.
        counts: atoms of each element in each frame.
        energy: in eV, NaN where unknown.
        forces: in eV/Å, zero where unknown.
        known: whether an atom's force is known.
    """

    distance: Float[np.ndarray, "pairs"]
    direction: Float[np.ndarray, "pairs 3"]
    receiver: Int[np.ndarray, "pairs"]
    sender: Int[np.ndarray, "pairs"]
    kind: Int[np.ndarray, "pairs"]
    frame: Int[np.ndarray, "pairs"]
    share: Float[np.ndarray, "pairs"]
    counts: Float[np.ndarray, "frames elements"]
    energy: Float[np.ndarray, "frames"]
    forces: Float[np.ndarray, "atoms 3"]
    known: Bool[np.ndarray, "atoms"]

    def within(self, cutoff: float) -> PairRows:
        """Return the pairs closer than a smaller cutoff."""
        kept = self.distance < cutoff
        fields = ("distance", "direction", "receiver", "sender", "kind", "frame", "share")
        return replace(self, **{name: getattr(self, name)[kept] for name in fields})

    @cached_property
    def incidence(self) -> sparse.csr_matrix:
        """Return [atoms, pairs]: 1 at the receiver, −1 at the sender."""
        pairs = np.arange(len(self.distance))
        ends, place = np.r_[self.receiver, self.sender], np.r_[pairs, pairs]
        sign = np.r_[np.ones(len(pairs)), -np.ones(len(pairs))]
        return sparse.csr_matrix((sign, (ends, place)), shape=(len(self.forces), len(pairs)))

    def pull(self, force: Float[np.ndarray, "pairs"]) -> Float[np.ndarray, "atoms 3"]:
        """Return the sum of pair forces on each atom."""
        return self.incidence @ (force[:, None] * self.direction)

    def add(self, energy: Float[np.ndarray, "pairs"]) -> Float[np.ndarray, "frames"]:
        """Return the sum of pair energies of each frame."""
        return np.bincount(self.frame, energy * self.share, minlength=len(self.energy))


def pair_rows(frames: Frames, kinds: Kinds, cutoff: float) -> list[PairRows]:
    """Return the pairs of frames in parts that memory holds.

    Raises:
        ValueError: atoms at one place, positions that are not finite, or an element that is not of the kinds.
    """
    return list(_parts(frames, kinds, cutoff))


def _parts(frames: Frames, kinds: Kinds, cutoff: float) -> Iterator[PairRows]:
    chosen: list[int] = []
    found: list[tuple[np.ndarray, ...]] = []
    for number, atoms in enumerate(frames.atoms):
        try:
            check_positions(atoms)
            pairs = neighbours(atoms.positions, atoms.cell.array, atoms.pbc, cutoff)
            check_apart(atoms, pairs)
        except ValueError as error:
            raise ValueError(f"{frames.source}, frame {number}: {error}") from None
        pairs = pairs.where(_once(pairs.sender, pairs.receiver, pairs.shift))
        vectors = pairs.vectors(atoms.positions, atoms.cell.array)
        chosen.append(number)
        found.append((pairs.sender, pairs.receiver, vectors))
        if sum(len(f[0]) for f in found) > PAIRS:
            yield _joined(frames, chosen, found, kinds)
            chosen, found = [], []
    if chosen:
        yield _joined(frames, chosen, found, kinds)


def _once(
    sender: Int[np.ndarray, "edges"], receiver: Int[np.ndarray, "edges"], shift: Int[np.ndarray, "edges 3"]
) -> Bool[np.ndarray, "edges"]:
    """Whether an edge stands for its pair; its opposite does not. Of an atom and its images, both do."""
    return sender <= receiver


def _joined(
    frames: Frames, chosen: Sequence[int], found: Sequence[tuple[np.ndarray, ...]], kinds: Kinds
) -> PairRows:
    some = [frames.atoms[i] for i in chosen]
    sizes = np.array([len(atoms) for atoms in some])
    first = np.r_[0, sizes.cumsum()[:-1]]
    sender = np.concatenate([f[0] + start for f, start in zip(found, first)])
    receiver = np.concatenate([f[1] + start for f, start in zip(found, first)])
    vectors = np.concatenate([f[2] for f in found])
    distance = np.linalg.norm(vectors, axis=1)
    place = np.concatenate([kinds.place(atoms.numbers) for atoms in some])
    forces = [frames.forces[i] for i in chosen]
    return PairRows(
        distance,
        vectors / distance[:, None],
        receiver,
        sender,
        kinds.table[place[sender], place[receiver]],
        np.repeat(np.arange(len(chosen)), [len(f[0]) for f in found]),
        np.where(sender == receiver, 0.5, 1.0),
        np.array([np.bincount(kinds.place(a.numbers), minlength=len(kinds.elements)) for a in some], float),
        frames.energy[list(chosen)],
        np.concatenate([np.zeros((n, 3)) if f is None else f for f, n in zip(forces, sizes)]),
        np.concatenate([np.full(n, f is not None) for f, n in zip(forces, sizes)]),
    )
