"""Dynamics with a trained potential: does the energy stay, and what does a step cost?

    python scripts/bench_dynamics.py run=DIR [frame=FILE] [steps=20000] [timestep=0.5] [temperature=300]

NVE by velocity Verlet from a relaxed structure with velocities of the temperature. The drift is the slope of
a straight line through the total energy, over the whole time, per atom. Times are of the processor.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
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
    "every": 10,  # steps, at which the energy is looked at
    "dtype": "float64",
    "seed": 0,
}


def start(options: Any, calculator: SciMLCalculator) -> Atoms:
    """Return the relaxed structure with random velocities, at rest as a whole and not turning."""
    import ase.io
    from ase.md.velocitydistribution import Stationary, ZeroRotation, thermalize_momenta
    from ase.optimize import BFGS

    atoms: Any = ase.io.read(options.frame or shipped_ethanol(), index=0)
    atoms.calc = calculator
    BFGS(atoms, logfile=None).run(fmax=0.05, steps=500)
    random = np.random.default_rng(options.seed)
    # Half of the kinetic energy of a relaxed structure goes into its bonds.
    thermalize_momenta(atoms, 2 * options.temperature, rng=random)
    Stationary(atoms)
    if not atoms.pbc.any():
        ZeroRotation(atoms)
    return atoms


def dynamics(options: Any) -> dict[str, float]:
    """Run, and return what was measured."""
    from ase import units
    from ase.md.verlet import VelocityVerlet

    calculator = SciMLCalculator(options.run, dtype=getattr(torch, options.dtype))
    atoms = start(options, calculator)
    energies, temperatures = [], []

    def look() -> None:
        energies.append(atoms.get_total_energy() / len(atoms))
        temperatures.append(atoms.get_temperature())

    integrator = VelocityVerlet(atoms, options.timestep * units.fs)
    integrator.attach(look, interval=options.every)
    built, before = calculator.neighbours.built, time.process_time()
    integrator.run(options.steps)
    seconds = time.process_time() - before
    line = np.polyfit(np.linspace(0, 1, len(energies)), energies, 1)
    return {
        "picoseconds": options.steps * options.timestep / 1000,
        "drift [eV/atom]": float(line[0]),
        "largest deviation [eV/atom]": float(np.abs(np.array(energies) - energies[0]).max()),
        "mean temperature [K]": float(np.mean(temperatures)),
        "CPU ms per step": 1000 * seconds / options.steps,
        "neighbour lists made": calculator.neighbours.built - built,
    }


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
    for name, value in dynamics(options).items():
        print(f"{name:>30}  {value:.4g}")


if __name__ == "__main__":
    run_plain(main)
