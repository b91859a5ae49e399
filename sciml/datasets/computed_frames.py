"""Frames computed on the spot: molecular dynamics of one molecule with GFN2-xTB, for who has no data yet."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

log = logging.getLogger(__name__)
METHODS = ("GFN2-xTB", "GFN1-xTB", "IPEA1-xTB")
BROKEN = 1.6  # times its length at the start, that a bond may stretch
NEAR = 1.25  # times the sum of covalent radii, within which two atoms are bonded
WARM = 500.0  # fs before the first frame
FRICTION = 0.01  # 1/fs


def molecule_structure(text: str, seed: int = 0) -> Atoms:
    """Return one structure: of a file that ASE reads, or a conformer of a SMILES (ETKDG, then MMFF94).

    Its charge is in ``info["charge"]``; that of a file is taken from there, or zero.

    Args:
        text: name of a file (the last structure is taken), or a SMILES.
        seed: of the conformer.

    Raises:
        ValueError: neither; the reason is RDKit's or ASE's.
    """
    import ase.io
    from ase import Atoms
    from rdkit import Chem

    from sciml.builders.molecule import Molecules, parse_molecules
    from sciml.builders.molecule.conformers import embed, positions

    if Path(text).is_file():
        try:
            found: Any = ase.io.read(text, index=-1)
        except Exception as error:  # each of ASE's many formats fails in its own way
            raise ValueError(f"{text}: ASE cannot read it: {type(error).__name__}: {error}") from error
        found.info.setdefault("charge", 0)
        return found
    molecules = parse_molecules([text])
    if not molecules.mols:
        reason = molecules.failures[0].reason
        raise ValueError(f"molecule={text}: there is no such file, and as SMILES: {reason}")
    molecules = embed(Molecules((Chem.AddHs(molecules.mols[0]),), (0,)), 1, seed=seed, optimize=True)
    if not molecules.mols:
        raise ValueError(f"molecule={text}: {molecules.failures[0].reason}; give a file with its structure.")
    (mol,) = molecules.mols
    atoms = Atoms([atom.GetAtomicNum() for atom in mol.GetAtoms()], positions(mol)[0])
    atoms.info["charge"] = Chem.GetFormalCharge(mol)
    return atoms


def xtb_calculator(atoms: Atoms, method: str = "GFN2-xTB") -> Calculator:
    """Return the calculator of a tight-binding method (GFN2-xTB: doi 10.1021/acs.jctc.8b01176).

    Raises:
        ValueError: an unknown method, or a periodic structure.
        ModuleNotFoundError: the package tblite is not installed.
    """
    if method not in METHODS:
        raise ValueError(f"method={method}: choose from {', '.join(METHODS)}.")
    if atoms.pbc.any():
        raise ValueError("the structure is periodic; frames are computed of molecules in open space.")
    if importlib.util.find_spec("tblite") is None:
        raise ModuleNotFoundError(
            f"{method} comes with the package tblite, which is not installed: pip install 'sciml[xtb]', or "
            "pip install tblite."
        )
    from tblite.ase import TBLite

    charge = int(atoms.info.get("charge", 0))
    unpaired = (int(atoms.numbers.sum()) - charge) % 2
    return TBLite(method=method, charge=charge, multiplicity=1 + unpaired, verbosity=0)


def dynamics_frames(
    atoms: Atoms,
    calculator: Calculator,
    *,
    frames: int = 1000,
    temperature: float = 500.0,
    step: float = 0.5,
    between: float = 10.0,
    warm: float = WARM,
    seed: int = 0,
) -> Iterator[Atoms]:
    """Give frames of Langevin dynamics with energies (eV) and forces (eV/Å), after relaxation and warming up.

    Neighbouring frames are alike: 10 fs is less than a period of most vibrations. Divide them by blocks of
    time, as `sciml.datasets.potential_data` does.

    Args:
        atoms: a molecule; left as it is.
        calculator: of energies and forces, see `xtb_calculator`.
        frames: how many.
        temperature: in K.
        step: of time, in fs.
        between: time from a frame to the next, in fs.
        warm: time before the first frame, in fs.
        seed: of velocities and of the thermostat.

    Raises:
        ValueError: numbers that are not positive; a structure that the method cannot calculate; a molecule
            that breaks, with the frame and the bond.
    """
    from ase import units
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.md.langevin import Langevin
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
    from ase.optimize import BFGS

    given = {"frames": frames, "temperature": temperature, "step": step, "between": between}
    if wrong := [f"{name}={value}" for name, value in given.items() if not value > 0]:
        raise ValueError(f"{wrong[0]}: expected a positive number.")
    atoms, rng = atoms.copy(), np.random.default_rng(seed)
    atoms.calc = calculator
    every = max(round(between / step), 1)
    try:
        BFGS(atoms, logfile=None).run(fmax=0.05, steps=200)  # type: ignore[arg-type]
        bonds = _bonds(atoms)
        MaxwellBoltzmannDistribution(atoms, temperature_K=2 * temperature, rng=rng)
        motion = Langevin(
            atoms,
            step * units.fs,
            temperature_K=temperature,
            friction=FRICTION / units.fs,
            rng=rng,
            fixcm=False,
        )
        motion.run(round(warm / step))
        for number in range(frames):
            motion.run(every)
            frame = atoms.copy()
            energy, forces = float(atoms.get_potential_energy()), atoms.get_forces()
            _check(frame, energy, forces, bonds, number, temperature)
            frame.calc = SinglePointCalculator(frame, energy=energy, forces=forces)
            yield frame
    except ValueError:
        raise
    except Exception as error:  # what a calculator raises is its own
        raise ValueError(
            f"{atoms.get_chemical_formula()} could not be calculated ({type(error).__name__}: {error}): look "
            "at the structure, its charge, and whether the temperature is too high."
        ) from error


# -------------------------------------------------------------------- details

Bonds = tuple[np.ndarray, np.ndarray, np.ndarray]


def _bonds(atoms: Atoms) -> Bonds:
    from ase.data import covalent_radii

    radii = covalent_radii[atoms.numbers]
    first, second = np.triu_indices(len(atoms), 1)
    length = np.linalg.norm(atoms.positions[first] - atoms.positions[second], axis=1)
    bonded = length < NEAR * (radii[first] + radii[second])
    return first[bonded], second[bonded], length[bonded]


def _check(
    atoms: Atoms, energy: float, forces: np.ndarray, bonds: Bonds, number: int, temperature: float
) -> None:
    if not (np.isfinite(energy) and np.isfinite(forces).all()):
        raise ValueError(f"frame {number}: energy or forces are not finite.")
    first, second, length = bonds
    now = np.linalg.norm(atoms.positions[first] - atoms.positions[second], axis=1)
    if (now > BROKEN * length).any():
        k = int(np.argmax(now / length))
        a, b = int(first[k]), int(second[k])
        raise ValueError(
            f"frame {number}: the bond between atoms {a} ({atoms.symbols[a]}) and {b} ({atoms.symbols[b]}) "
            f"is {now[k]:.2f} Å long, and was {length[k]:.2f} Å: the molecule broke. Lower the temperature "
            f"(it is {temperature:g} K), or start from another structure."
        )
