"""Frames of atoms with energies and forces, as a calculation leaves them: read, checked, in eV and Å."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

if TYPE_CHECKING:
    from ase import Atoms

log = logging.getLogger(__name__)

UNITS = ("eV", "kcal/mol", "kJ/mol", "Hartree")
NAMES = {  # what files of arrays call things: rMD17, MD17, ASE
    "numbers": ("nuclear_charges", "z", "numbers"),
    "positions": ("coords", "R", "positions"),
    "energies": ("energies", "E", "energy"),
    "forces": ("forces", "F"),
}
PLAUSIBLE = (40.0, 5000.0)  # K, of the temperature that a spread of energies would mean
STRONGEST = 15.0  # eV/Å, of the root mean square of forces
STIFFEST = 0.6  # eV/Å³ (about 100 GPa), of the root mean square of stresses
VIRIALS = ("virial", "virials")  # in info: minus the volume times the stress
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

    Raises:
        ValueError: no frame, a frame without atoms or with neither energy nor forces, wrong shapes, numbers
            that are not finite, a stress without a cell or that is not symmetric. The frame is named.
    """

    atoms: list[Atoms]
    energy: Float[np.ndarray, "frames"]
    forces: list[Float[np.ndarray, "atoms 3"] | None]
    source: str = "frames"
    stress: list[Float[np.ndarray, "3 3"] | None] = field(default_factory=list)

    def __post_init__(self) -> None:
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
        where = f"{self.source}, frame {number} ({atoms.get_chemical_formula()})"
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
        )

    @property
    def composition(self) -> tuple[list[int], Float[np.ndarray, "frames elements"]]:
        """Return the elements by atomic number, ascending, and how many atoms of each a frame has."""
        elements = sorted({int(z) for atoms in self.atoms for z in np.unique(atoms.numbers)})
        counts = [[np.count_nonzero(atoms.numbers == z) for z in elements] for atoms in self.atoms]
        return elements, np.array(counts, dtype=float)


def read_frames(
    path: str | Path,
    *,
    energy_unit: str | None = None,
    energy_key: str = "energy",
    forces_key: str = "forces",
    stress_key: str = "stress",
    file_format: str | None = None,
) -> Frames:
    """Read frames from an array file (.npz) or from whatever ASE reads: .extxyz, .traj, .db, ...

    Arrays have the form of rMD17 (``nuclear_charges`` [atoms], ``coords`` [frames, atoms, 3] in Å,
    ``energies`` [frames], ``forces``) or of MD17 (``z``, ``R``, ``E``, ``F``).

    Args:
        path: the file.
        energy_unit: eV, kcal/mol, kJ/mol or Hartree; forces are per Å, stresses per Å³. By default what the
            formats say: kcal/mol for arrays, eV for ASE.
        energy_key, forces_key, stress_key: where ASE finds no calculated energy, the names in ``info`` and
            ``arrays``. A stress is read in Voigt's order or as a matrix; without one, a ``virial`` in
            ``info`` is: minus the stress times the volume.
        file_format: ASE's name of the format, where the suffix does not tell it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that cannot be read, an unknown unit, and as `Frames`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    arrays = path.suffix == ".npz"
    unit = energy_unit or ("kcal/mol" if arrays else "eV")
    factor = electronvolts(unit)
    stress: list[np.ndarray | None] = []
    if arrays:
        structures, energy, forces = _read_arrays(path)
    else:
        structures = _read_ase(path, file_format)
        energy, forces = _calculated(path, structures, energy_key, forces_key)
        stress = [_stress(atoms, stress_key, f"{path}, frame {i}") for i, atoms in enumerate(structures)]
        _drop_stress_of_open(path, structures, stress)
    log.info("%s: energies are taken to be in %s%s", path, unit, "" if energy_unit else " (data.energy_unit)")
    scaled = lambda values: [None if value is None else value * factor for value in values]
    frames = Frames(structures, energy * factor, scaled(forces), str(path), scaled(stress))
    for warning in implausible(frames):
        log.warning("%s: %s", path, warning)
    return frames


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
    known = frames.take(np.flatnonzero(np.isfinite(frames.energy)))
    if len(known) >= FEW and (known.energy != known.energy[0]).any():
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


def _read_arrays(path: Path) -> tuple[list[Atoms], np.ndarray, list[np.ndarray | None]]:
    from ase import Atoms

    try:
        with np.load(path, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
    except Exception as error:  # a damaged archive raises many types
        raise ValueError(f"{path}: NumPy cannot read it: {type(error).__name__}: {error}") from error
    found: dict[str, np.ndarray] = {}
    for meaning, names in NAMES.items():
        name = next((n for n in names if n in content), None)
        if name is not None:
            found[meaning] = content[name]
        elif meaning != "forces":
            raise ValueError(
                f"{path} has no array {' or '.join(names)}; it has {', '.join(content) or 'none'}."
            )
    numbers, positions = found["numbers"], found["positions"]
    if positions.ndim != 3 or positions.shape[1:] != (numbers.size, 3):
        raise ValueError(
            f"{path}: coordinates have shape {positions.shape} and atomic numbers {numbers.shape}; expected "
            "(frames, atoms, 3) and (atoms,)."
        )
    energy = np.asarray(found["energies"], dtype=float).reshape(-1)
    forces = found.get("forces")
    listed = [None] * len(positions) if forces is None else list(np.asarray(forces, dtype=float))
    return [Atoms(numbers.ravel(), p) for p in positions], energy, listed


def _read_ase(path: Path, file_format: str | None) -> list[Atoms]:
    import ase.io

    try:
        structures: Any = ase.io.read(path, index=":", format=file_format)
    except Exception as error:  # each of ASE's many formats fails in its own way
        raise ValueError(f"{path}: ASE cannot read it: {type(error).__name__}: {error}") from error
    return structures


def _calculated(
    path: Path, structures: list[Atoms], energy_key: str, forces_key: str
) -> tuple[np.ndarray, list[np.ndarray | None]]:
    energy, forces = [], []
    for atoms in structures:
        results = _results(atoms)
        value = results.get("energy", atoms.info.get(energy_key))
        force = results.get("forces", atoms.arrays.get(forces_key))
        energy.append(np.nan if value is None else float(value))
        forces.append(None if force is None else np.asarray(force, dtype=float))
    if structures and not np.isfinite(energy).any() and all(f is None for f in forces):
        names = _names(structures)
        raise ValueError(
            f"{path}: no frame has an energy or forces under the names {energy_key!r} and {forces_key!r}; "
            f"the frames have {names or 'no fields'}. Name them: data.energy_key=..., data.forces_key=..."
        )
    return np.array(energy), forces


def _results(atoms: Atoms) -> dict[str, Any]:
    return atoms.calc.results if atoms.calc is not None else {}


def _names(structures: Sequence[Atoms]) -> str:
    found = {name for atoms in structures for name in (*atoms.info, *atoms.arrays)}
    return ", ".join(sorted(found - {"numbers", "positions"}))


def _stress(atoms: Atoms, key: str, where: str) -> np.ndarray | None:
    """Return the stress of a frame as a matrix, in the unit of the file."""
    results = _results(atoms)
    given = results.get("stress", atoms.info.get(key))
    if given is not None:
        return _matrix(given, f"{where}: stress")
    virial = next((atoms.info[name] for name in VIRIALS if name in atoms.info), None)
    if virial is None or not atoms.pbc.all():
        return None
    return -_matrix(virial, f"{where}: virial") / atoms.get_volume()


def _matrix(values: Any, what: str) -> np.ndarray:
    from ase.stress import voigt_6_to_full_3x3_stress

    values = np.asarray(values, dtype=float)
    if values.shape == (6,):
        return voigt_6_to_full_3x3_stress(values)
    if values.size != 9:
        raise ValueError(f"{what} has shape {values.shape}; expected (6,), in Voigt's order, or (3, 3).")
    return values.reshape(3, 3)


def _drop_stress_of_open(path: Path, structures: list[Atoms], stress: list[np.ndarray | None]) -> None:
    dropped = [i for i, s in enumerate(stress) if s is not None and not structures[i].pbc.all()]
    for i in dropped:
        stress[i] = None
    if dropped:
        log.warning(
            "%s: the stress of %d frames (first: %d), which do not repeat in all directions, is left out",
            *(path, len(dropped), dropped[0]),
        )


def _check_stress(atoms: Atoms, stress: np.ndarray, where: str) -> None:
    if stress.shape != (3, 3) or not np.isfinite(stress).all():
        raise ValueError(f"{where} has a stress {stress.tolist()}; expected 3 x 3 finite numbers.")
    if not atoms.pbc.all():
        raise ValueError(f"{where} has a stress, but does not repeat in all directions: leave it out.")
    if np.abs(stress - stress.T).max() > 1e-3 * np.abs(stress).max() + 1e-6:
        raise ValueError(f"{where} has a stress that is not symmetric: {stress.tolist()}.")
