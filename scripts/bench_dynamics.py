"""Dynamics with a trained potential: does the energy stay, and what does a step cost?

    python scripts/bench_dynamics.py run=DIR [frame=FILE] [steps=20000] [timestep=0.5] [temperature=300]
        [copies=8] [output=FILE.csv]

NVE by velocity Verlet, from structures that Langevin dynamics brought to the temperature. The drift is the
slope of a straight line through the total energy, over the whole time, per atom: its mean over the seeds, and
the standard error of that. Velocity Verlet keeps another energy than the total one, to fourth order in the
time step

    H̃ = T + V + Δt² (v·K·v / 12 - F·M⁻¹·F / 24),        K v = -dF/dt

(Hairer, Lubich and Wanner 2003, doi 10.1017/S0962492902000144). Their difference comes and goes with the
energy of the fast vibrations, which other modes take up and give back within picoseconds: what H̃ does is free
of that. ``copies`` of the structure, too far apart to feel each other, move at once, each on its own way: a
small molecule alone does not fill the processor. Times are of the processor. ``output`` takes what was seen,
line by line as it comes.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase.calculators.singlepoint import SinglePointCalculator
from common import run_plain
from omegaconf import OmegaConf

from sciml.datasets.frames import shipped_ethanol
from sciml.physics import SciMLCalculator

if TYPE_CHECKING:
    from ase import Atoms

DEFAULTS = {
    "run": "???",
    "frame": None,  # a file of ASE's, of which the first structure is taken; null: ethanol
    "steps": 20_000,
    "timestep": 0.5,  # fs
    "temperature": 300.0,  # K
    "equilibration": 4000,  # steps of Langevin dynamics before; 0: from a relaxed structure
    "every": 10,  # steps, at which the energy is looked at
    "dtype": "float64",
    "seeds": 3,
    "copies": 1,
    "output": None,
}
APART = 200.0  # Å
COLUMNS = ("seed", "time [fs]", "E [eV/atom]", "H̃ [eV/atom]", "T [K]")


def start(options: Any, calculator: SciMLCalculator, random: np.random.Generator) -> Atoms:
    """Return a structure at the temperature, at rest as a whole and not turning."""
    import ase.io
    from ase import units
    from ase.md.langevin import Langevin
    from ase.md.velocitydistribution import Stationary, ZeroRotation, thermalize_momenta
    from ase.optimize import BFGS

    one: Any = ase.io.read(options.frame or shipped_ethanol(), index=0)
    one.calc = calculator
    BFGS(one, logfile=None).run(fmax=0.05, steps=500)
    atoms = apart(one, options.copies)
    atoms.calc = calculator
    # Half of the kinetic energy of a relaxed structure goes into its bonds.
    thermalize_momenta(atoms, 2 * options.temperature, rng=random)
    if options.equilibration:
        warm = {
            "temperature_K": options.temperature,
            "friction": 0.01 / units.fs,
            "rng": random,
            "fixcm": False,
        }
        Langevin(atoms, options.timestep * units.fs, **warm).run(options.equilibration)
    for number in range(options.copies):
        own = slice(number * len(one), (number + 1) * len(one))
        copy = atoms[own]
        Stationary(copy)
        if not copy.pbc.any():
            ZeroRotation(copy)
        atoms.arrays["momenta"][own] = copy.get_momenta()
    return atoms


def apart(one: Any, copies: int) -> Any:
    """Return copies of a structure in a row, `APART` from each other.

    Raises:
        ValueError: more than one of what repeats.
    """
    if copies == 1:
        return one.copy()
    if one.pbc.any():
        raise ValueError(f"copies={copies} of a periodic structure: there is no room for them; use seeds.")
    atoms = one[:0].copy()
    for number in range(copies):
        moved = one.copy()
        moved.positions += [number * (np.ptp(one.positions[:, 0]) + APART), 0, 0]
        atoms += moved
    return atoms


def kept(atoms: Atoms, before: np.ndarray, after: np.ndarray, step: float) -> float:
    """Return H̃ - T - V in eV, of the forces one step before and after."""
    forces, masses, velocities = atoms.get_forces(), atoms.get_masses(), atoms.get_velocities()
    curvature = -(velocities * (after - before)).sum() / (2 * step)
    return step**2 * (curvature / 12 - (np.square(forces).sum(1) / masses).sum() / 24)


def trajectory(
    options: Any, calculator: SciMLCalculator, seed: int, show: Callable[[list], None]
) -> dict[str, float]:
    """Run once, ``show`` each row of `COLUMNS`, and return what was measured."""
    from ase import units
    from ase.md.verlet import VelocityVerlet

    atoms = start(options, calculator, np.random.default_rng(seed))
    step = options.timestep * units.fs
    integrator = VelocityVerlet(atoms, step)
    rows = []
    built, seconds = calculator.neighbours.built, time.process_time()
    for number in range(options.every, options.steps + 1, options.every):
        integrator.run(options.every - 2)
        before = atoms.get_forces()
        integrator.run(1)
        here = atoms.copy()  # with the forces of now, while the calculator goes on
        here.calc = SinglePointCalculator(here, forces=atoms.get_forces())
        energy, temperature = atoms.get_total_energy() / len(atoms), atoms.get_temperature()
        integrator.run(1)
        corrected = energy + kept(here, before, atoms.get_forces(), step) / len(atoms)
        rows.append([seed, (number - 1) * options.timestep, energy, corrected, temperature])
        show(rows[-1])
    seconds = time.process_time() - seconds
    _, times, energies, corrected, temperatures = np.array(rows).T
    slope = lambda values: float(np.polyfit(times, values, 1)[0] * options.steps * options.timestep)
    return {
        "drift [eV/atom]": slope(energies),
        "drift of H̃ [eV/atom]": slope(corrected),
        "largest deviation [eV/atom]": float(np.abs(energies - np.mean(energies)).max()),
        "largest deviation of H̃ [eV/atom]": float(np.abs(corrected - np.mean(corrected)).max()),
        "mean temperature [K]": float(np.mean(temperatures)),
        "CPU ms per step": 1000 * seconds / options.steps,
        "neighbour lists made": calculator.neighbours.built - built,
    }


def dynamics(options: Any, show: Callable[[list], None]) -> None:
    """Print what was measured, seed by seed, then means and their standard errors."""
    calculator = SciMLCalculator(options.run, dtype=getattr(torch, options.dtype))
    print(f"{options.steps * options.timestep / 1000:.4g} ps at {options.timestep} fs, {options.dtype}")
    found: dict[str, list[float]] = {}
    for seed in range(options.seeds):
        for name, value in trajectory(options, calculator, seed, show).items():
            found.setdefault(name, []).append(value)
            print(f"  {seed}  {name:>34}  {value:9.3g}", flush=True)
    for name, values in found.items():
        error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
        print(f"{name:>39}  {np.mean(values):9.3g} ± {error:.1g}")


def main(arguments: list[str]) -> None:
    """Print what was measured."""
    options = OmegaConf.merge(OmegaConf.create(DEFAULTS), OmegaConf.from_dotlist(arguments))
    unknown = set(options) - set(DEFAULTS)
    if unknown or OmegaConf.is_missing(options, "run"):
        what = f"Unknown options {', '.join(map(str, unknown))}" if unknown else "run=DIR is missing"
        raise ValueError(f"{what}; there are {', '.join(DEFAULTS)}.")
    torch.set_num_threads(1)
    if options.frame and not Path(options.frame).is_file():
        raise FileNotFoundError(f"There is no file {options.frame}.")
    with open(options.output or os.devnull, "w", newline="", buffering=1) as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        dynamics(options, writer.writerow)


if __name__ == "__main__":
    run_plain(main)
