"""Numbers that describe whole molecules: groups of them, each one function of a list of molecules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from sciml.builders.molecule.parse import silent
from sciml.builders.molecule.solvation import NAMES, solvation_descriptors
from sciml.builders.workers import in_processes

CHUNK = 32  # molecules that a worker takes at a time
LEFT_OUT = ("Ipc",)  # grows exponentially with the molecule; AvgIpc says the same in numbers of use
FRAGMENTS, RADIUS = 1024, 1  # numbers that fragments are sorted into, and how many bonds far one reaches
Table = Float[np.ndarray, "molecules descriptors"]


def rdkit_descriptors(mols: Sequence[Chem.Mol]) -> Table:
    """Return RDKit's descriptors: masses, counts, surfaces, charges, topological indices.

    NaN where one is not defined, as partial charges of metals.
    """
    from rdkit.Chem import Descriptors

    functions = [function for name, function in Descriptors.descList if name not in LEFT_OUT]
    with silent():
        rows = [[_value(function, mol) for function in functions] for mol in mols]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(functions))
    return np.where(np.isfinite(table), table, np.nan)


def rdkit_names() -> tuple[str, ...]:
    """Return the names of the descriptors, in order; the list is that of the installed RDKit."""
    from rdkit.Chem import Descriptors

    return tuple(name for name, _ in Descriptors.descList if name not in LEFT_OUT)


def fragment_counts(mols: Sequence[Chem.Mol]) -> Table:
    """Count atoms, and atoms with their neighbours (Morgan's fragments of radius 1, Rogers & Hahn 2010).

    Fragments share 1,024 numbers by a hash (doi 10.1021/ci100050t).
    """
    generator = rdFingerprintGenerator.GetMorganGenerator(
        radius=RADIUS, fpSize=FRAGMENTS, countSimulation=False
    )
    rows = [generator.GetCountFingerprintAsNumPy(mol) for mol in mols]
    return np.array(rows, dtype=np.float64).reshape(len(rows), FRAGMENTS)


def fragment_names() -> tuple[str, ...]:
    """Return a name for each number that fragments are sorted into."""
    return tuple(f"fragment_{i}" for i in range(FRAGMENTS))


class Group(NamedTuple):
    """Descriptors that are computed together.

    Attributes:
        names: gives their names, in order.
        values: gives them for molecules.
        counts: they are counts, which mean something as they are and by what two molecules have in common.
    """

    names: Callable[[], tuple[str, ...]]
    values: Callable[[Sequence[Chem.Mol]], Table]
    counts: bool = False


DESCRIPTORS = {  # counts come last
    "rdkit": Group(rdkit_names, rdkit_descriptors),
    "solvation": Group(lambda: NAMES, solvation_descriptors),
    "fragments": Group(fragment_names, fragment_counts, counts=True),
}


def descriptor_names(groups: Sequence[str] = ("rdkit",)) -> tuple[str, ...]:
    """Return the names of the descriptors of groups (see `DESCRIPTORS`), in order.

    Raises:
        ValueError: an unknown group.
    """
    return tuple(name for group in _known(groups) for name in DESCRIPTORS[group].names())


def molecule_descriptors(
    mols: Sequence[Chem.Mol],
    groups: Sequence[str] = ("rdkit",),
    *,
    workers: int | None = None,
    progress: bool | None = None,
) -> Table:
    """Return the descriptors of groups (see `DESCRIPTORS`), side by side; NaN where one is not defined.

    Args:
        mols: RDKit's Mol objects.
        groups: names in `DESCRIPTORS`.
        workers: processes that compute, `CHUNK` molecules at a time; as many as there are cores by default,
            none besides this one for 1.
        progress: show a bar; by default on a terminal, from the third second on.

    Raises:
        ValueError: an unknown group.
    """
    tables = list(descriptor_tables(mols, groups, workers=workers, progress=progress))
    return np.concatenate(tables) if tables else np.zeros((0, len(descriptor_names(groups))))


def descriptor_tables(
    mols: Sequence[Chem.Mol],
    groups: Sequence[str] = ("rdkit",),
    *,
    workers: int | None = None,
    progress: bool | None = None,
) -> Iterator[Table]:
    """Yield the rows of `molecule_descriptors`, `CHUNK` molecules at a time."""
    chunks = [mols[i : i + CHUNK] for i in range(0, len(mols), CHUNK)]
    return in_processes(
        partial(_table, groups=_known(groups)), chunks,
        workers=workers, progress=progress, name="descriptors of molecules", size=len,
    )  # fmt: skip


def _table(mols: Sequence[Chem.Mol], groups: Sequence[str]) -> Table:
    parts = [DESCRIPTORS[group].values(mols) for group in groups]
    return np.concatenate(parts, axis=1) if parts else np.zeros((len(mols), 0))


def _known(groups: Sequence[str]) -> Sequence[str]:
    unknown = [group for group in groups if group not in DESCRIPTORS]
    if unknown:
        raise ValueError(f"no descriptors {', '.join(unknown)}; there are {', '.join(DESCRIPTORS)}.")
    return groups


def _value(function, mol: Chem.Mol) -> float:
    try:
        return float(function(mol))
    except (ValueError, RuntimeError, ZeroDivisionError, OverflowError):  # BCUT of charged fragments, ...
        return float("nan")
