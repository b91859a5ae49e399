"""Tables of pairs: drugs and targets, users and items; one row for each pair that was seen or measured."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from sciml.datasets.tables import MISSING, finite_numbers, read_table, require_column

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pairs:
    """Pairs of names, each pair once.

    Attributes:
        left, right: different names of each side, in order of their first appearance.
        index: number of the left name above that of the right one.
        value: of each pair, where there is a column of values.
        time: of each pair, where there is a column of times; it sorts, and need not have a unit.
        left_text, right_text: what each name stands for (SMILES, sequence); the names themselves if there is
            no such column.
        rows: row of the file that each pair comes from, as an editor counts; the first one of several.
        notes: what was merged and left out, in sentences.
        source: where the pairs come from, for messages.
        columns: what the two sides and the value are called.
    """

    left: tuple[str, ...]
    right: tuple[str, ...]
    index: Int[np.ndarray, "2 pairs"]
    value: Float[np.ndarray, "pairs"] | None = None
    time: Float[np.ndarray, "pairs"] | None = None
    left_text: tuple[str, ...] | None = None
    right_text: tuple[str, ...] | None = None
    rows: Int[np.ndarray, "pairs"] | None = None
    notes: tuple[str, ...] = ()
    source: str = "pairs"
    columns: tuple[str, str, str] = ("left", "right", "value")

    def __len__(self) -> int:
        return self.index.shape[1]

    def __repr__(self) -> str:
        left, right, value = self.columns
        filled = len(self) / max(len(self.left) * len(self.right), 1)
        measured = f" with {value}" if self.value is not None else ""
        return (
            f"Pairs({len(self)} of {len(self.left)} {left} × {len(self.right)} {right} ({filled:.1%})"
            f"{measured}; {self.source})"
        )

    def take(self, chosen: np.ndarray) -> Pairs:
        """Return some of the pairs; names keep their numbers."""
        cut = lambda array: None if array is None else array[chosen]
        return replace(
            self,
            index=self.index[:, chosen],
            value=cut(self.value),
            time=cut(self.time),
            rows=cut(self.rows),
        )

    @property
    def binary(self) -> bool:
        """Whether all values are 0 or 1."""
        return self.value is not None and bool(np.isin(self.value, (0, 1)).all())


def read_pairs(
    path: str | Path,
    left: str,
    right: str,
    *,
    value: str | None = None,
    time: str | None = None,
    left_text: str | None = None,
    right_text: str | None = None,
    strict: bool = False,
) -> Pairs:
    """Read a table of pairs from a file with a header, columns separated by commas, semicolons or tabs.

    Rows without a name, value or time are left out. A pair in several rows counts once: with the mean of its
    values; labels 0 and 1 that contradict each other leave it out. All this is counted in ``notes`` and
    logged.

    Args:
        path: the file.
        left, right: columns of the two names.
        value: column of numbers, as an affinity, a rating or a label 0 or 1.
        time: column of numbers or dates.
        left_text, right_text: columns that say what a name stands for, as SMILES or a sequence.
        strict: raise where something would be left out or averaged.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no rows; a column that is not there (the nearest is named); a value that is no finite
            number (row and column are named); a name with two texts; whatever ``strict`` refuses.
    """
    path = Path(path)
    table = read_table(path)
    if left == right:
        raise ValueError(f"{path}: both sides are column {left!r}; a pair needs two.")
    wanted = [c for c in (left, right, value, time, left_text, right_text) if c is not None]
    for column in wanted:
        require_column(table, column, path)
    notes: list[str] = []
    table = _complete(table, wanted, path, notes, strict)
    values = None if value is None else finite_numbers(table[value], value, path)
    times = None if time is None else _times(table[time], time, path)
    texts = [
        _texts(table, name, text, path) if text is not None else None
        for name, text in ((left, left_text), (right, right_text))
    ]
    names, index = zip(*(_numbered(table[column]) for column in (left, right)))
    pairs = Pairs(
        names[0],
        names[1],
        np.stack(index),
        values,
        times,
        texts[0],
        texts[1],
        table.index.to_numpy() + 2,
        source=str(path),
        columns=(left, right, value or "value"),
    )
    pairs = _unique(pairs, notes, strict)
    for note in notes:
        log.warning("%s", note)
    return replace(pairs, notes=tuple(notes))


def write_pairs(path: str | Path, pairs: Pairs) -> None:
    """Write a table that `read_pairs` reads back: both names, texts, value and time as far as there are."""
    import pandas as pd

    left, right, value = pairs.columns
    table: dict[str, Any] = {
        left: np.array(pairs.left)[pairs.index[0]],
        right: np.array(pairs.right)[pairs.index[1]],
    }
    for name, texts, row in (
        ("smiles", pairs.left_text, pairs.index[0]),
        ("sequence", pairs.right_text, pairs.index[1]),
    ):
        if texts is not None:
            table[name] = np.array(texts)[row]
    table |= {value: pairs.value} if pairs.value is not None else {}
    table |= {"time": pairs.time} if pairs.time is not None else {}
    pd.DataFrame(table).to_csv(path, index=False, float_format="%.6g")


# -------------------------------------------------------------------- details


def _complete(table: Any, columns: Sequence[str], path: Path, notes: list[str], strict: bool) -> Any:
    """Leave out rows where something is missing."""
    for column in columns:
        missing = table[column].str.lower().isin(MISSING)
        if not missing.any():
            continue
        said = (
            f"{path}: {int(missing.sum())} of {len(table)} rows have no {column!r}, the first is row "
            f"{int(table.index[missing][0]) + 2}"
        )
        if strict:
            raise ValueError(f"{said}; fill them, or take strict=false to leave such rows out.")
        notes.append(f"{said}; left out.")
        table = table[~missing]
    if table.empty:
        raise ValueError(f"{path}: no row has all of {', '.join(columns)}.")
    return table


def _times(column: Any, name: str, path: Path) -> Float[np.ndarray, "rows"]:
    import pandas as pd

    values = pd.to_numeric(column, errors="coerce")
    if values.notna().all():
        return finite_numbers(column, name, path)
    dates = pd.to_datetime(column, errors="coerce", format="ISO8601")
    bad = dates.isna()
    if bad.any():
        raise ValueError(
            f"{path}: row {int(column.index[bad][0]) + 2}, column {name!r} is {column[bad].iloc[0]!r}; "
            "expected a number, or a date as 2026-01-31."
        )
    return dates.astype("int64").to_numpy(dtype=float)


def _numbered(column: Any) -> tuple[tuple[str, ...], Int[np.ndarray, "rows"]]:
    import pandas as pd

    numbers, names = pd.factorize(column)
    return tuple(map(str, names)), numbers.astype(np.int64)


def _texts(table: Any, name: str, text: str, path: Path) -> tuple[str, ...]:
    """Return the text of each name; it must be the same in all its rows."""
    different = table[[name, text]].drop_duplicates()
    double = different[name].duplicated()
    if double.any():
        row = different.index[double][0]
        first = different.index[different[name] == different.loc[row, name]][0]
        raise ValueError(
            f"{path}: {name} {different.loc[row, name]!r} has {text} {different.loc[first, text]!r} in row "
            f"{int(first) + 2} and {different.loc[row, text]!r} in row {int(row) + 2}; a name must stand for "
            "one thing."
        )
    return tuple(different[text])


def _unique(pairs: Pairs, notes: list[str], strict: bool) -> Pairs:
    """Return each pair once, in order of first appearance."""
    key = pairs.index[0] * len(pairs.right) + pairs.index[1]
    _, first, group, count = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    if (count == 1).all():
        return pairs
    value, time, keep = pairs.value, pairs.time, np.ones(len(first), dtype=bool)
    said = f"{pairs.source}: {int((count - 1).sum())} rows repeat a pair that is there already"
    if value is not None:
        mean = np.bincount(group, value) / count
        low, high = np.full(len(first), np.inf), np.full(len(first), -np.inf)
        np.minimum.at(low, group, value)
        np.maximum.at(high, group, value)
        apart = high > low
        if apart.any():
            said += _contradiction(pairs, group, np.argmax(high - low), int(apart.sum()))
            if strict:
                raise ValueError(f"{said}. Decide for one value, or take strict=false.")
            keep = ~apart if pairs.binary else keep
            said += "; left out, since labels have no mean" if pairs.binary else "; their mean is taken"
        value = np.where(apart, mean, value[first])
    if time is not None:  # known from its first row on
        earliest = np.full(len(first), np.inf)
        np.minimum.at(earliest, group, time)
        time = earliest
    notes.append(f"{said}.")
    order = np.argsort(first, kind="stable")
    order = order[keep[order]]
    pick = lambda array: None if array is None else array[order]
    rows = None if pairs.rows is None else pairs.rows[first]
    return replace(
        pairs, index=pairs.index[:, first[order]], value=pick(value), time=pick(time), rows=pick(rows)
    )


def _contradiction(pairs: Pairs, group: np.ndarray, worst: np.integer, number: int) -> str:
    rows = np.flatnonzero(group == worst)
    assert pairs.value is not None
    low, high = rows[pairs.value[rows].argmin()], rows[pairs.value[rows].argmax()]
    lines = np.arange(len(pairs)) if pairs.rows is None else pairs.rows
    left, right = pairs.left[pairs.index[0, low]], pairs.right[pairs.index[1, low]]
    return (
        f", {number} of them with differing values, most of all {left[:40]!r} with {right[:40]!r}: "
        f"{pairs.value[low]:g} in row {lines[low]}, {pairs.value[high]:g} in row {lines[high]}"
    )
