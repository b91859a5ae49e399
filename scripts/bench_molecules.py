"""Atomization energies of QM9 molecules by ridge regression on solid-harmonic scattering.

    python scripts/bench_molecules.py FILE.npz                1,500 molecules, some minutes on one core
    python scripts/bench_molecules.py FILE.npz count=300 J=1  a quick look

FILE holds ``n_atoms`` (molecules,), ``z`` and ``pos`` (atoms of all molecules, one after the other; Å) and
``U0_atom_eV`` (molecules,). Every fifth molecule is held out. The baseline knows the composition only.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from common import fail, keep_memory
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sciml.nn.scattering import solid_harmonic_features

KCAL = 23.0605  # kcal/mol in an eV
OPTIONS = {"count": 1500, "width": 0.4, "J": 2, "reach": 3.0, "oversampling": 0}


def molecules(path: Path, count: int) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Return atomic numbers, positions in Å and energies in kcal/mol of randomly chosen molecules."""
    with np.load(path) as file:
        size, z, pos, energy = (file[name] for name in ("n_atoms", "z", "pos", "U0_atom_eV"))
    ends = np.cumsum(size, dtype=int)[:-1]
    chosen = np.random.default_rng(0).permutation(len(size))[:count]
    z, pos = np.split(z.astype(int), ends), np.split(pos, ends)
    return [z[i] for i in chosen], [pos[i] for i in chosen], energy[chosen] * KCAL


def error(features: np.ndarray, energy: np.ndarray) -> float:
    """Return the mean absolute error on every fifth molecule, learned from the others."""
    held_out = np.arange(len(energy)) % 5 == 0
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-9, 3, 25)))
    model.fit(features[~held_out], energy[~held_out])
    return float(np.abs(model.predict(features[held_out]) - energy[held_out]).mean())


def main() -> None:
    paths = [a for a in sys.argv[1:] if "=" not in a]
    if len(paths) != 1 or not Path(paths[0]).is_file():
        fail(f"Expected one file, found {paths or 'none'}. {str(__doc__).splitlines()[2].strip()}", status=2)
    options = OPTIONS | dict(OmegaConf.from_dotlist([a for a in sys.argv[1:] if "=" in a]))
    keep_memory()
    torch.set_num_threads(1)
    numbers, positions, energy = molecules(Path(paths[0]), int(options.pop("count")))
    elements = sorted({int(n) for z in numbers for n in z})
    composition = np.array([[(z == e).sum() for e in elements] for z in numbers], dtype=float)
    start = time.perf_counter()
    features, labels = solid_harmonic_features(numbers, positions, **options)
    seconds = time.perf_counter() - start
    first = np.array([len(path.octaves) == 1 for _, path in labels])
    both = features.double().numpy()
    table = Table("features", "number", "mean absolute error, kcal/mol")
    for name, values in (
        ("composition", composition),
        ("and first order", np.c_[composition, both[:, first]]),
        ("and second order", np.c_[composition, both]),
    ):
        table.add_row(name, str(values.shape[1]), f"{error(values, energy):.2f}")
    Console(width=80).print(table)
    print(f"{len(energy)} molecules, {1e3 * seconds / len(energy):.0f} ms each")


if __name__ == "__main__":
    main()
