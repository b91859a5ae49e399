"""Numbers that describe whole molecules: groups of them, each one function of a list of molecules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from sciml.builders.molecule.parse import silent
from sciml.builders.molecule.solvation import NAMES, solvation_descriptors

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


def molecule_descriptors(mols: Sequence[Chem.Mol], groups: Sequence[str] = ("rdkit",)) -> Table:
    """Return the descriptors of groups (see `DESCRIPTORS`), side by side; NaN where one is not defined.

    Raises:
        ValueError: an unknown group.
    """
    parts = [DESCRIPTORS[group].values(mols) for group in _known(groups)]
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
