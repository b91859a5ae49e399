"""Files of frames, a part at a time: .npz in the form of rMD17, and whatever ASE reads."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from sciml.datasets.frames import Frames, electronvolts, implausible

if TYPE_CHECKING:
    from ase import Atoms

log = logging.getLogger(__name__)

NAMES = {  # what files of arrays call things: rMD17, MD17, ASE
    "numbers": ("nuclear_charges", "z", "numbers"),
    "positions": ("coords", "R", "positions"),
    "energies": ("energies", "E", "energy"),
    "forces": ("forces", "F"),
}
TABLES = (".csv", ".tsv", ".smi", ".sdf")  # of molecules, that belong elsewhere
VIRIALS = ("virial", "virials")  # in info: minus the volume times the stress
AT_A_TIME, ATOMS = 1000, 200_000  # frames of a part, and atoms, at most


class FrameFile:
    """A file of frames; `parts` reads a part at a time.

    Args:
        path: .npz with arrays in the form of rMD17 (``nuclear_charges`` [atoms], ``coords`` [frames, atoms,
            3] in Å, ``energies`` [frames], ``forces``) or of MD17 (``z``, ``R``, ``E``, ``F``); or what ASE
            reads: .extxyz, .traj, .db, ...
        energy_unit: eV, kcal/mol, kJ/mol or Hartree; forces are per Å, stresses per Å³. By default what the
            formats say: kcal/mol for arrays, eV for ASE.
        energy_key, forces_key, stress_key: where ASE finds no calculated energy, the names in ``info`` and
            ``arrays``. A stress is read in Voigt's order or as a matrix; without one, a ``virial`` in
            ``info`` is: minus the stress times the volume.
        file_format: ASE's name of the format, where the suffix does not tell it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unknown unit; when read, a file that cannot be, and as `Frames`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        energy_unit: str | None = None,
        energy_key: str = "energy",
        forces_key: str = "forces",
        stress_key: str = "stress",
        file_format: str | None = None,
    ) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"There is no file {path}.")
        self.arrays = self.path.suffix == ".npz"
        self.unit, self.unit_given = energy_unit or ("kcal/mol" if self.arrays else "eV"), bool(energy_unit)
        self.factor = electronvolts(self.unit)
        self.keys, self.file_format = (energy_key, forces_key, stress_key), file_format

    @property
    def key(self) -> str:
        """What another file, or another way to read it, has different."""
        state = self.path.stat()
        options = self.unit, *self.keys, self.file_format
        return f"frames of {self.path.name}, {state.st_size} bytes of {state.st_mtime_ns}: {options}"

    def parts(self, start: int = 0) -> Iterator[Frames]:
        """Give the frames from number ``start`` on, some at a time; say what is strange about them."""
        log.info(
            "%s: energies are taken to be in %s%s",
            *(self.path, self.unit, "" if self.unit_given else " (data.energy_unit)"),
        )
        read = self._read_arrays if self.arrays else self._read_ase
        open_stress: list[int] = []  # frames whose stress means nothing
        for number, part in enumerate(read(start, open_stress)):
            for warning in [] if number else implausible(part):  # the unit is that of the first as of all
                log.warning("%s: %s", self.path, warning)
            yield part
        if open_stress:
            log.warning(
                "%s: the stress of %d frames (first: %d), which do not repeat in all directions, is left out",
                *(self.path, len(open_stress), open_stress[0]),
            )

    # ------------------------------------------------------------------ arrays

    def _read_arrays(self, start: int, open_stress: list[int]) -> Iterator[Frames]:
        from ase import Atoms

        arrays = _open_arrays(self.path)
        numbers, positions, energies = (arrays[name] for name in ("numbers", "positions", "energies"))
        elements = numbers.read(0, int(np.prod(numbers.shape, dtype=int))).ravel()
        if len(positions.shape) != 3 or positions.shape[1:] != (elements.size, 3):
            raise ValueError(
                f"{self.path}: coordinates have shape {positions.shape} and atomic numbers {numbers.shape}; "
                "expected (frames, atoms, 3) and (atoms,)."
            )
        count, step = positions.shape[0], max(1, min(AT_A_TIME, ATOMS // max(elements.size, 1)))
        forces = arrays.get("forces")
        lengths = [count, energies.shape[0], count if forces is None else forces.shape[0]]
        if len(set(lengths)) > 1:
            raise ValueError(
                f"{self.path}: {lengths[0]} structures, {lengths[1]} energies and {lengths[2]} arrays of "
                "forces; there must be one of each for a frame."
            )
        for first in range(start, count, step):
            last = min(first + step, count)
            structures = [Atoms(elements, p) for p in positions.read(first, last)]
            energy = energies.read(first, last).astype(float).reshape(-1)
            force = (
                [None] * (last - first) if forces is None else list(forces.read(first, last).astype(float))
            )
            yield self._frames(first, structures, energy, force, [])

    # ------------------------------------------------------------------ ASE

    def _read_ase(self, start: int, open_stress: list[int]) -> Iterator[Frames]:
        first, waiting, atoms = start, [], 0
        for structure in self._structures(start):
            waiting.append(structure)
            atoms += len(structure)
            if len(waiting) == AT_A_TIME or atoms >= ATOMS:
                yield self._calculated(first, waiting, open_stress)
                first, waiting, atoms = first + len(waiting), [], 0
        if waiting:
            yield self._calculated(first, waiting, open_stress)

    def _structures(self, start: int) -> Iterator[Atoms]:
        import ase.io

        count = start
        try:
            for atoms in islice(ase.io.iread(self.path, index=":", format=self.file_format), start, None):
                yield atoms
                count += 1
        except Exception as error:  # each of ASE's many formats fails in its own way
            where = f" beyond frame {count - 1}, the last that is whole" if count else ""
            table = self.path.suffix.lower() in TABLES
            hint = " A table of molecules is learned by experiment=molecules." if table else ""
            raise ValueError(
                f"{self.path}: ASE cannot read it{where}: {type(error).__name__}: {error}.{hint}"
            ) from error

    def _calculated(self, first: int, structures: list[Atoms], open_stress: list[int]) -> Frames:
        energy_key, forces_key, stress_key = self.keys
        energy, forces, stress = [], [], []
        for number, atoms in enumerate(structures, start=first):
            results = _results(atoms)
            value = results.get("energy", atoms.info.get(energy_key))
            force = results.get("forces", atoms.arrays.get(forces_key))
            energy.append(np.nan if value is None else float(value))
            forces.append(None if force is None else np.asarray(force, dtype=float))
            stress.append(_stress(atoms, stress_key, f"{self.path}, frame {number}"))
            if stress[-1] is not None and not atoms.pbc.all():
                stress[-1] = None
                open_stress.append(number)
        missing = []
        if not np.isfinite(energy).any():
            missing.append(f"an energy (data.energy_key={energy_key})")
        if all(force is None for force in forces):
            missing.append(f"forces (data.forces_key={forces_key})")
        said = (
            f"{self.path}: no frame has {' or '.join(missing)}; the frames have "
            f"{_names(structures) or 'no fields'}. Name what is meant."
        )
        if len(missing) == 2:
            raise ValueError(said)
        if missing and first == 0:
            log.warning(said)
        return self._frames(first, structures, np.array(energy), forces, stress)

    def _frames(
        self,
        first: int,
        structures: list[Atoms],
        energy: np.ndarray,
        forces: Sequence[np.ndarray | None],
        stress: Sequence[np.ndarray | None],
    ) -> Frames:
        scaled = lambda values: [None if value is None else value * self.factor for value in values]
        source = str(self.path)
        numbers = np.arange(first, first + len(structures))
        return Frames(structures, energy * self.factor, scaled(forces), source, scaled(stress), numbers)


def read_frames(path: str | Path, **options: Any) -> Frames:
    """Read all frames of a file into memory; arguments and errors as of `FrameFile`."""
    parts = list(FrameFile(path, **options).parts())
    everything: Callable[[str], list] = lambda name: [x for part in parts for x in getattr(part, name)]
    energy = np.array(everything("energy"))
    return Frames(everything("atoms"), energy, everything("forces"), str(path), everything("stress"))


# -------------------------------------------------------------------- arrays in files


class _Array:
    """An array in an .npz, of which some rows are read."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self._whole: np.ndarray | None = None
        self._file, self.shape, self.dtype, plain = _opened(path, name)
        if not plain:
            with np.load(path, allow_pickle=False) as file:
                self._whole = file[name]
        self._begin = self._file.tell()

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return rows; cheap where they follow those that were read last."""
        if self._whole is not None:
            return self._whole[start:stop]
        width = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=int))
        self._file.seek(self._begin + start * width)
        content = self._file.read((stop - start) * width)
        return np.frombuffer(content, self.dtype).reshape(-1, *self.shape[1:])


def _opened(path: Path, name: str) -> tuple[IO[bytes], tuple[int, ...], np.dtype, bool]:
    """Return where the numbers of an array begin, what they are, and whether they stand row by row."""
    file = zipfile.ZipFile(path).open(f"{name}.npy")  # noqa: SIM115 - open as long as the array is read
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, columns_first, dtype = read(file)
    return file, shape, dtype, bool(shape) and not columns_first and not dtype.hasobject


def _open_arrays(path: Path) -> dict[str, _Array]:
    try:
        with np.load(path, allow_pickle=False) as file:
            names = file.files
        called = {meaning: next((n for n in known if n in names), None) for meaning, known in NAMES.items()}
        found = {meaning: _Array(path, name) for meaning, name in called.items() if name is not None}
    except Exception as error:  # a damaged archive raises many types
        raise ValueError(f"{path}: NumPy cannot read it: {type(error).__name__}: {error}") from error
    for meaning, known in NAMES.items():
        if meaning not in found and meaning != "forces":
            raise ValueError(
                f"{path} has no array {' or '.join(known)}; it has {', '.join(names) or 'none'}."
            )
    return found


# -------------------------------------------------------------------- what ASE gives


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
