"""Dividing molecules into what is learned and what it is judged by; no molecule stands on two sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Int
from rdkit import Chem

from sciml.datasets.molecule_table import MoleculeTable

By = Literal["random", "scaffold", "time", "column"]
PARTS = ("train", "validation", "test")
SAME = {"train": 0, "training": 0, "valid": 1, "val": 1, "validation": 1, "dev": 1, "test": 2}


@dataclass(frozen=True)
class MoleculeSplit:
    """Numbers of the molecules in each part.

    Attributes:
        train, validation, test: of the molecules.
        shared: molecules of the test that training or validation have too, by canonical SMILES. Divisions
            made here have none; a file that divides itself may.
    """

    train: Int[np.ndarray, "train"]
    validation: Int[np.ndarray, "validation"]
    test: Int[np.ndarray, "test"]
    shared: Int[np.ndarray, "shared"]


def split_molecules(
    table: MoleculeTable,
    by: By = "random",
    *,
    test: float = 0.1,
    validation: float = 0.1,
    folds: int | None = None,
    fold: int = 0,
    seed: int = 0,
) -> MoleculeSplit:
    """Divide molecules; rows of one molecule stay together.

    - random: by molecule.
    - scaffold: by Bemis–Murcko scaffold, so that no ring system of the test was trained on. Balanced as in
      Chemprop (Yang et al. 2019, arXiv 1904.01561): scaffolds with more molecules than half of the
      validation or the test are dealt first, then the others, both in random order; each goes to training
      while it fits, then to validation, then to test. (DeepChem deals them by size, without chance.)
    - time: the newest molecules are the test, those before them the validation. A molecule counts from its
      first row, and what has one date stays together. The table's column has numbers or dates.
    - column: as the table says. Without rows for validation these are drawn from training.

    Args:
        table: of `read_molecule_table`.
        by: see above.
        test, validation: shares of the rows.
        folds: k for k-fold cross-validation: part ``fold`` is the test, the next one the validation.
        fold: from 0.
        seed: of the division.

    Raises:
        ValueError: an unknown ``by``, shares that leave nothing for training, a part without molecules, a
            fold that is not there, a column with other words, with no times, or no column.
    """
    if by not in get_args(By):
        raise ValueError(f"split by {by!r}; choose from {', '.join(get_args(By))}.")
    if not (0 < test < 1 and 0 < validation < 1 and test + validation < 1):
        raise ValueError(
            f"test={test} and validation={validation} must be shares above 0 that leave some to train."
        )
    random = np.random.default_rng(seed)
    if by == "column":
        part = _by_column(table, validation, random)
    elif by == "time":
        part = _by_time(table, (1 - test - validation, validation))
    else:
        group = table.molecule if by == "random" else scaffold_numbers(table.mols)
        if folds is not None:
            part = _by_fold(group, folds, fold, random)
        elif by == "random":
            part = _dealt(_shuffled_groups(group, random), (1 - test - validation, validation, test))
        else:
            part = _balanced(group, (1 - test - validation, validation, test), random)
    found = [np.flatnonzero(part == number) for number in range(3)]
    for name, rows in zip(PARTS, found):
        if not len(rows):
            raise ValueError(
                f"{table!r} divided by {by} leaves no molecule for {name}: take another share (test={test}, "
                f"validation={validation}), another division, or more molecules."
            )
    smiles = np.array(table.smiles)
    shared = found[2][np.isin(smiles[found[2]], smiles[np.concatenate(found[:2])])]
    return MoleculeSplit(found[0], found[1], found[2], shared)


def scaffold_numbers(mols: Sequence[Chem.Mol]) -> Int[np.ndarray, "molecules"]:
    """Return a number for the Bemis–Murcko scaffold of each molecule (doi 10.1021/jm9602928).

    Molecules without rings share one: the empty scaffold.
    """
    from rdkit.Chem.Scaffolds import MurckoScaffold

    texts = [MurckoScaffold.MurckoScaffoldSmiles(mol=mol, includeChirality=False) for mol in mols]
    return np.unique(texts, return_inverse=True)[1].reshape(-1)


# -------------------------------------------------------------------- details


def _shuffled_groups(group: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
    """Return the rows of each group, groups in random order."""
    order = np.argsort(group, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(group))[:-1])
    return [rows[i] for i in random.permutation(len(rows))]


def _dealt(groups: Sequence[np.ndarray], shares: tuple[float, float, float]) -> np.ndarray:
    """Fill training, then validation, then test, a group at a time."""
    size = sum(map(len, groups))
    room = [round(share * size) for share in shares[:2]]
    part = np.full(size, 2)
    used = [0, 0]
    for rows in groups:
        for number in (0, 1):
            if used[number] + len(rows) <= room[number]:
                part[rows], used[number] = number, used[number] + len(rows)
                break
    return part


def _balanced(
    group: np.ndarray, shares: tuple[float, float, float], random: np.random.Generator
) -> np.ndarray:
    groups = _shuffled_groups(group, random)
    limit = min(shares[1:]) * len(group) / 2
    groups.sort(key=lambda rows: len(rows) <= limit)  # stable: large ones first, each kind in random order
    return _dealt(groups, shares)


def _by_fold(group: np.ndarray, folds: int, fold: int, random: np.random.Generator) -> np.ndarray:
    if folds < 3 or not 0 <= fold < folds:
        raise ValueError(f"fold {fold} of {folds}: expected 3 folds or more, and a fold from 0 to folds − 1.")
    groups = _shuffled_groups(group, random)
    groups.sort(key=len, reverse=True)  # the largest first, each to the smallest fold
    size, number = np.zeros(folds, dtype=int), np.zeros(len(group), dtype=int)
    for rows in groups:
        smallest = int(size.argmin())
        number[rows] = smallest
        size[smallest] += len(rows)
    return np.select([number == fold, number == (fold + 1) % folds], [2, 1], 0)


def _by_time(table: MoleculeTable, shares: tuple[float, float]) -> np.ndarray:
    import pandas as pd

    cells = pd.Series(_column(table)).str.strip()
    times = pd.to_numeric(cells, errors="coerce")
    if times.isna().any():
        times = pd.to_datetime(cells, errors="coerce", format="ISO8601", utc=True)
    for row, cell in zip(table.rows[times.isna()], cells[times.isna()]):
        raise ValueError(
            f"{table.source}: row {row} has the time {cell!r}; expected numbers in all rows, as 2021 or 3.5, "
            "or dates in all, as 2021-07-30."
        )
    first = times.groupby(table.molecule).transform("min")  # of each molecule
    until = first.rank(method="max", pct=True).to_numpy()  # share of rows up to this time
    return np.select([until <= shares[0] + 1e-9, until <= sum(shares) + 1e-9], [0, 1], 2)


def _column(table: MoleculeTable) -> tuple[str, ...]:
    if table.split is None:
        raise ValueError(f"{table!r} has no column that divides it: name one (data.split_column=NAME).")
    return table.split


def _by_column(table: MoleculeTable, validation: float, random: np.random.Generator) -> np.ndarray:
    column = _column(table)
    words = [word.lower() for word in column]
    strange = next((i for i, word in enumerate(words) if word not in SAME), None)
    if strange is not None:
        raise ValueError(
            f"{table.source}: row {table.rows[strange]} belongs to {column[strange]!r}; expected one of "
            f"{', '.join(SAME)}."
        )
    part = np.array([SAME[word] for word in words])
    if not (part == 1).any():
        train = np.flatnonzero(part == 0)
        groups = _shuffled_groups(np.unique(table.molecule[train], return_inverse=True)[1], random)
        part[train] = np.where(_dealt(groups, (1 - validation, validation, 0.0)) == 0, 0, 1)
    return part
