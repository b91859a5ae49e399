"""Tables with a header, as text: what the readers of the users' tables share."""

from __future__ import annotations

import logging
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

log = logging.getLogger(__name__)
MISSING = ("", "nan", "na", "n/a", "none", "null")  # what an empty cell may say
LABELS = {  # words of two classes
    word: float(label)
    for label, words in enumerate(("false no inactive negative", "true yes active positive"))
    for word in words.split()
}
DECIMAL_COMMA = r"^([+-]?\d*),(\d+(?:[eE][+-]?\d+)?)$"


def read_table(path: Path) -> Any:
    """Return a table of text, without blank lines; its index counts the lines below the header from 0.

    Commas, semicolons and tabs separate columns. Spreadsheets write semicolons where the comma is the decimal
    sign: in such a file, cells that are a number with a comma get a point.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no table, rows that are wider than the header, no rows.
    """
    import pandas as pd

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file.")
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        header = file.readline()
    separator = max(",;\t", key=header.count)
    try:
        table = pd.read_csv(
            path,
            sep=separator,
            dtype=str,
            skip_blank_lines=False,
            keep_default_na=False,
            encoding="utf-8-sig",
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a table ({error}); expected a header and rows below it.") from error
    wider = not isinstance(table.index, pd.RangeIndex)  # pandas takes first cells for names of rows
    if wider:
        raise ValueError(
            f"{path}: rows have more cells than the header has columns ({', '.join(table.columns)}); cells "
            "that hold a separator must stand in quotes."
        )
    table.columns = [str(c).strip() for c in table.columns]
    table = table.fillna("").apply(lambda column: column.str.strip())
    table = table[(table != "").any(axis=1)]  # blank lines
    if table.empty:
        raise ValueError(f"{path}: no rows below the header.")
    return _with_points(table, path) if separator == ";" else table


def require_column(table: Any, column: str, path: Path) -> None:
    """Raise ValueError where a column is not there (the nearest is named) or is there twice."""
    if f"{column}.1" in table.columns:  # as pandas calls the second one
        raise ValueError(f"{path}: two columns are called {column!r}; rename one.")
    if column in table.columns:
        return
    names = list(table.columns)
    near = get_close_matches(column, names, n=1) or get_close_matches(column.lower(), names, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{path}: no column {column!r}.{hint} There are: {', '.join(names)}.")


def is_labels(column: Any) -> bool:
    """Whether all cells that are not empty are of `LABELS`."""
    return bool(column.str.lower().isin([*LABELS, *MISSING]).all())


def to_numbers(column: Any) -> Any:
    """Return cells as numbers, NaN where they are none; a column of `LABELS` alone as 0 and 1."""
    import pandas as pd

    return column.str.lower().map(LABELS) if is_labels(column) else pd.to_numeric(column, errors="coerce")


def finite_numbers(column: Any, name: str, path: Path, first: int = 2) -> Float[np.ndarray, "rows"]:
    """Return cells as numbers; ``first`` is what an editor calls the first row.

    Raises:
        ValueError: a cell that is no finite number; row and column are named.
    """
    values = to_numbers(column).to_numpy(dtype=float)
    bad = ~np.isfinite(values)
    if bad.any():
        raise ValueError(
            f"{path}: row {int(column.index[bad][0]) + first}, column {name!r} is {column[bad].iloc[0]!r}; "
            f"expected a finite number ({int(bad.sum())} such cells in this column)."
        )
    return values


# -------------------------------------------------------------------- details


def _with_points(table: Any, path: Path) -> Any:
    """Return a table with a point in numbers that have a comma, and say so."""
    pointed = table.replace(DECIMAL_COMMA, r"\1.\2", regex=True)
    found = (pointed != table).to_numpy()
    if found.any():
        example = table.to_numpy()[found][0]
        log.info("%s: %d numbers have a decimal comma, as %r, and are read so.", path, found.sum(), example)
    return pointed
