"""RDKit's descriptors of whole molecules: masses, counts, surfaces, charges, topological indices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from rdkit import Chem

from sciml.builders.molecule.parse import silent

LEFT_OUT = ("Ipc",)  # grows exponentially with the molecule; AvgIpc says the same in numbers of use


def descriptor_names() -> tuple[str, ...]:
    """Return the names of the descriptors, in order; the list is that of the installed RDKit."""
    from rdkit.Chem import Descriptors

    return tuple(name for name, _ in Descriptors.descList if name not in LEFT_OUT)


def molecule_descriptors(mols: Sequence[Chem.Mol]) -> Float[np.ndarray, "molecules descriptors"]:
    """Return RDKit's descriptors; NaN where one is not defined, as partial charges of metals."""
    from rdkit.Chem import Descriptors

    functions = [function for name, function in Descriptors.descList if name not in LEFT_OUT]
    with silent():
        rows = [[_value(function, mol) for function in functions] for mol in mols]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(functions))
    return np.where(np.isfinite(table), table, np.nan)


def _value(function, mol: Chem.Mol) -> float:
    try:
        return float(function(mol))
    except (ValueError, RuntimeError, ZeroDivisionError, OverflowError):  # BCUT of charged fragments, ...
        return float("nan")
