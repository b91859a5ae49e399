"""Frames of atoms with energies and forces, as a calculation leaves them: checked, in eV and Å."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

if TYPE_CHECKING:
    from ase import Atoms

UNITS = ("eV", "kcal/mol", "kJ/mol", "Hartree")
PLAUSIBLE = (40.0, 5000.0)  # K, of the temperature that a spread of energies would mean
STRONGEST = 15.0  # eV/Å, of the root mean square of forces
STIFFEST = 0.6  # eV/Å³ (about 100 GPa), of the root mean square of stresses
GPA = 160.21766208  # in an eV/Å³
FEW = 10  # frames, below which nothing is said of a spread


@dataclass(frozen=True)
class Frames:
    """Structures and what was calculated for them.

    Attributes:
        atoms: the structures, in Å.
        energy: of each frame in eV; NaN where none was calculated.
        forces: of each frame in eV/Å; None where none were calculated.
        source: where they are from, for messages.
        stress: of each frame in eV/Å³, positive under tension as in ASE; None where none was calculated, and
            wherever space does not repeat in all directions.
        numbers: of the frames in their source, for messages; from zero on, if None.

    Raises:
        ValueError: no frame, a frame without atoms or with neither energy nor forces, wrong shapes, numbers
            that are not finite, a stress without a cell or that is not symmetric. The frame is named.
    """

    atoms: list[Atoms]
    energy: Float[np.ndarray, "frames"]
    forces: list[Float[np.ndarray, "atoms 3"] | None]
    source: str = "frames"
    stress: list[Float[np.ndarray, "3 3"] | None] = field(default_factory=list)
    numbers: Int[np.ndarray, "frames"] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.numbers is None:
            object.__setattr__(self, "numbers", np.arange(len(self.atoms)))
        if not self.stress:
            object.__setattr__(self, "stress", [None] * len(self.atoms))
        if not self.atoms:
            raise ValueError(f"{self.source}: there is no frame.")
        if not len(self.atoms) == len(self.energy) == len(self.forces) == len(self.stress):
            raise ValueError(
                f"{self.source}: {len(self.atoms)} structures, {len(self.energy)} energies, "
                f"{len(self.forces)} arrays of forces and {len(self.stress)} stresses; there must be one of "
                "each for a frame."
            )
        for number in range(len(self.atoms)):
            self._check(number)

    def _check(self, number: int) -> None:
        atoms, energy, forces = self.atoms[number], self.energy[number], self.forces[number]
        where = f"{self.source}, frame {self.numbers[number]} ({atoms.get_chemical_formula()})"
        if not len(atoms):
            raise ValueError(f"{where} has no atoms.")
        if np.isinf(energy) or (np.isnan(energy) and forces is None):
            raise ValueError(f"{where} has neither a finite energy nor forces; give one, or leave it out.")
        wrong = np.argwhere(~np.isfinite(atoms.positions))
        if forces is not None and forces.shape != (len(atoms), 3):
            raise ValueError(f"{where} has forces of shape {forces.shape}; expected ({len(atoms)}, 3).")
        if forces is not None and not len(wrong):
            wrong = np.argwhere(~np.isfinite(forces))
        if len(wrong):
            raise ValueError(f"{where}: position or force of atom {wrong[0, 0]} is not finite.")
        stress = self.stress[number]
        if stress is not None:
            _check_stress(atoms, stress, where)

    def __len__(self) -> int:
        return len(self.atoms)

    def __repr__(self) -> str:
        sizes = [len(a) for a in self.atoms]
        formulas = {a.get_chemical_formula() for a in self.atoms}
        what = min(formulas) if len(formulas) == 1 else f"{len(formulas)} formulas"
        known = int(np.isfinite(self.energy).sum()), sum(f is not None for f in self.forces)
        stresses = sum(s is not None for s in self.stress)
        stressed = f", {stresses} with stress" if stresses else ""
        atoms = f"{min(sizes)} to {max(sizes)}" if min(sizes) < max(sizes) else f"{sizes[0]}"
        return (
            f"Frames({len(self)} of {what}, {atoms} atoms, {known[0]} energies, {known[1]} with forces"
            f"{stressed}; {self.source})"
        )

    def take(self, chosen: Int[np.ndarray, "chosen"]) -> Frames:
        """Return some of the frames, in this order."""
        return Frames(
            [self.atoms[i] for i in chosen],
            self.energy[chosen],
            [self.forces[i] for i in chosen],
            self.source,
            [self.stress[i] for i in chosen],
            self.numbers[chosen],
        )

    @property
    def elements(self) -> list[int]:
        """The atomic numbers that there are, ascending."""
        return sorted({int(z) for atoms in self.atoms for z in np.unique(atoms.numbers)})

    def counts(self, elements: Sequence[int]) -> Float[np.ndarray, "frames elements"]:
        """Return how many atoms of each of these elements a frame has."""
        found = [[np.count_nonzero(atoms.numbers == z) for z in elements] for atoms in self.atoms]
        return np.array(found, dtype=float)

    @property
    def composition(self) -> tuple[list[int], Float[np.ndarray, "frames elements"]]:
        """The elements by atomic number, ascending, and how many atoms of each a frame has."""
        return self.elements, self.counts(self.elements)

    @property
    def periodic(self) -> bool:
        """Whether space repeats for any frame."""
        return any(atoms.pbc.any() for atoms in self.atoms)

    @property
    def stressed(self) -> bool:
        """Whether any frame has a stress."""
        return any(stress is not None for stress in self.stress)

    # What follows is for who takes `sciml.datasets.frame_store.StoredFrames` as well.

    def parts(self) -> Iterator[Frames]:
        """Give all frames, those in memory at once."""
        yield self

    def whole(self) -> Frames:
        """Return all frames in memory."""
        return self

    @property
    def key(self) -> str:
        """A word that other frames do not have."""
        content = hashlib.sha256(f"{self.source} {len(self)}".encode())
        for atoms, energy in zip(self.atoms, self.energy):
            content.update(atoms.positions.tobytes() + atoms.numbers.tobytes() + energy.tobytes())
        return content.hexdigest()


def electronvolts(unit: str) -> float:
    """Return a unit of energy in eV.

    Raises:
        ValueError: unknown.
    """
    from ase import units

    known = (1.0, units.kcal / units.mol, units.kJ / units.mol, units.Hartree)
    for name, value in zip(UNITS, known):
        if unit.lower() == name.lower():
            return value
    raise ValueError(f"Unknown unit of energy {unit!r}; choose from {', '.join(UNITS)}.")


def implausible(frames: Frames) -> list[str]:
    """Return what speaks against the unit of the energies and forces, in words.

    In a harmonic solid or molecule at temperature T the potential energy of n atoms spreads by
    k T √(3 n / 2); the spread that is there (reference energies of the elements aside) means a temperature.
    """
    from ase.units import kB

    found = []
    measured = np.flatnonzero(np.isfinite(frames.energy))
    if len(measured) >= FEW and np.ptp(frames.energy[measured]) > 0:
        known = frames.take(measured)
        _, counts = known.composition
        rest = known.energy - counts @ np.linalg.lstsq(counts, known.energy, rcond=None)[0]
        temperature = float(np.sqrt(np.mean(rest**2 / (1.5 * counts.sum(1))))) / kB
        if not PLAUSIBLE[0] <= temperature <= PLAUSIBLE[1]:
            found.append(
                f"energies spread by {np.mean(np.abs(rest) / counts.sum(1)) * 1000:.3g} meV per atom, as at "
                f"{temperature:.3g} K: is their unit right (data.energy_unit={'|'.join(UNITS)})?"
            )
    forces = [f for f in frames.forces if f is not None]
    strength = float(np.sqrt(np.mean(np.concatenate(forces) ** 2))) if forces else 0.0
    if strength > STRONGEST:
        found.append(f"forces are {strength:.3g} eV/Å (root mean square): is their unit right?")
    stress = [s for s in frames.stress if s is not None]
    pressure = float(np.sqrt(np.mean(np.square(stress)))) if stress else 0.0
    if pressure > STIFFEST:
        found.append(
            f"stresses are {pressure:.3g} eV/Å³, {pressure * GPA:.3g} GPa (root mean square): "
            "is their unit right?"
        )
    return found


def shipped_ethanol() -> Path:
    """Return the ethanol frames that come with the project (GFN2-xTB, see data/ethanol/README.md)."""
    return Path(__file__).parents[2] / "data" / "ethanol" / "ethanol.extxyz.gz"


# -------------------------------------------------------------------- details


def _check_stress(atoms: Atoms, stress: np.ndarray, where: str) -> None:
    if stress.shape != (3, 3) or not np.isfinite(stress).all():
        raise ValueError(f"{where} has a stress {stress.tolist()}; expected 3 x 3 finite numbers.")
    if not atoms.pbc.all():
        raise ValueError(f"{where} has a stress, but does not repeat in all directions: leave it out.")
    if np.abs(stress - stress.T).max() > 1e-3 * np.abs(stress).max() + 1e-6:
        raise ValueError(f"{where} has a stress that is not symmetric: {stress.tolist()}.")
