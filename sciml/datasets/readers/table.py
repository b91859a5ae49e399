"""Trajectories in tables: one row for each particle at each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sciml.datasets.trajectories import Trajectories

SYNONYMS = {
    "t": "time",
    "frame_time": "time",
    "body": "particle",
    "id": "particle",
    "name": "particle",
    "particle_id": "particle",
    "track": "particle",
    "run": "simulation",
    "sim": "simulation",
    "trajectory": "simulation",
    **{f"{word}_{a}": f"{short}{a}" for a in "xyz" for word, short in (("v", "v"), ("a", "a"), ("pos", ""))},
    **{f"{word}_{a}": f"v{a}" for a in "xyz" for word in ("vel", "velocity")},
    **{f"{word}_{a}": f"a{a}" for a in "xyz" for word in ("acc", "acceleration")},
    **{f"position_{a}": a for a in "xyz"},
}
VECTORS = {"position": "", "velocity": "v", "acceleration": "a"}


def read_csv(path: str | Path, units: dict[str, str] | None = None, box: Any = None) -> Trajectories:
    """Read a table in long form: columns time, particle, x, y and more, in any order.

    Optional are z; vx, vy, vz; ax, ay, az; simulation. All other columns are properties, which must
    be the same in all rows of a particle within a simulation. Columns may be separated by commas,
    semicolons, tabs or blanks; common other names (``t``, ``body``, ``run``, ``pos_x``, …) are known.

    Args:
        path: the file, with a header line.
        units: unit of each field, as in `Trajectories`.
        box: edges of a periodic box, as in `Trajectories`.

    Raises:
        ValueError: if a column is missing, a cell is no number, a row is double or one is missing;
            rows are counted as an editor does, the header being row 1.
    """
    table = _table(Path(path))
    dim = 3 if "z" in table else 2
    axes = "xyz"[:dim]
    _require(table, ["time", "particle", *axes[:2]], path)
    vectors = {name: [prefix + a for a in axes] for name, prefix in VECTORS.items() if prefix + "x" in table}
    for columns in vectors.values():
        _require(table, columns, path)
    numbers = ["time", *(c for columns in vectors.values() for c in columns)]
    for column in numbers:
        table[column] = _numbers(table[column], column, path)
    if "simulation" not in table:
        table["simulation"] = "0"
    blocks, names, times = _blocks(table, path)
    properties = {
        column: _constants(blocks, column, path)
        for column in table
        if column not in (*numbers, "particle", "simulation")
    }
    grid: dict[str, Any] = {
        name: np.stack([b[c].to_numpy().reshape(times, -1, dim) for b in blocks])
        for name, c in vectors.items()
    }
    clock = np.stack([block["time"].to_numpy().reshape(times, -1)[:, 0] for block in blocks])
    return Trajectories(
        **grid, time=clock, names=names, properties=properties, units=units or {}, box=box, source=str(path)
    )


def _table(path: Path):
    import pandas as pd

    with path.open(encoding="utf-8-sig", errors="replace") as file:
        header = file.readline()
    separator = max(",;\t", key=header.count)
    separator = separator if separator in header else r"\s+"
    try:
        table = pd.read_csv(path, sep=separator, dtype=str, skip_blank_lines=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a table ({error})") from error
    table = table.dropna(how="all")
    columns = [c.strip().lstrip("#").strip() for c in table.columns]
    columns = [c.lower() if c.lower() in SYNONYMS or len(c) <= 2 else c for c in columns]
    known = {"time", "particle", "simulation"}
    columns = [c.lower() if c.lower() in known else SYNONYMS.get(c, c) for c in columns]
    twice = [c for c in columns if columns.count(c) > 1]
    if twice:
        raise ValueError(f"{path}: two columns stand for {twice[0]!r}: {', '.join(table.columns)}")
    table.columns = columns
    if table.empty:
        raise ValueError(f"{path}: no rows below the header")
    return table


def _require(table, columns: list[str], path: str | Path) -> None:
    missing = [column for column in columns if column not in table]
    if missing:
        raise ValueError(
            f"{path}: no column {missing[0]!r}; found {', '.join(table.columns)}. Expected a table in long "
            "form: time, particle, x, y and optionally z, vx, …, ax, …, simulation and properties"
        )


def _row(index: int) -> int:
    return int(index) + 2  # as an editor counts: from 1, with the header


def _numbers(column, name: str, path: str | Path):
    import pandas as pd

    values = pd.to_numeric(column, errors="coerce")
    bad = ~np.isfinite(values.to_numpy(dtype=float))
    if bad.any():
        found = column[bad].iloc[0]
        found = "empty" if found != found else repr(found)
        raise ValueError(
            f"{path}: row {_row(column.index[bad][0])}, column {name!r} is {found}; expected a finite number "
            f"({bad.sum()} such cells in this column)"
        )
    return values.astype(float)


def _blocks(table, path: str | Path):
    """Split into simulations, each sorted by time, then by particle in the order of first appearance."""
    for key in ("particle", "simulation"):
        if table[key].isna().any():
            raise ValueError(f"{path}: row {_row(table.index[table[key].isna()][0])} has no {key}")
        table[key] = table[key].str.strip()
    names = tuple(dict.fromkeys(table["particle"]))
    rank = {name: i for i, name in enumerate(names)}
    keys = ["simulation", "time", "particle"]
    double = table.duplicated(keys)
    if double.any():
        row = table.index[double][0]
        same = (
            table[["simulation", "time", "particle"]] == table.loc[row, ["simulation", "time", "particle"]]
        ).all(axis=1)
        raise ValueError(
            f"{path}: rows {_row(table.index[same][0])} and {_row(row)} both give particle "
            f"{table.loc[row, 'particle']!r} at time {table.loc[row, 'time']:g} "
            f"of simulation {table.loc[row, 'simulation']!r}"
        )
    blocks = []
    for label, block in table.groupby("simulation", sort=False):
        counts = block.groupby("time")["particle"].agg(set)
        for when, present in counts.items():
            if len(present) < len(names):
                missing = next(name for name in names if name not in present)
                raise ValueError(
                    f"{path}: particle {missing!r} has no row at time {when:g} of simulation {label!r}; "
                    f"all {len(names)} particles must be there at every time"
                )
        blocks.append(block.assign(_rank=block["particle"].map(rank)).sort_values(["time", "_rank"]))
    sizes = [len(block) // len(names) for block in blocks]
    if len(set(sizes)) > 1:
        labels = list(table["simulation"].drop_duplicates())
        short = int(np.argmin(sizes))
        raise ValueError(
            f"{path}: simulation {labels[short]!r} has {sizes[short]} times, simulation "
            f"{labels[int(np.argmax(sizes))]!r} {max(sizes)}; cut them to one number, or use two files"
        )
    return blocks, names, sizes[0]


def _constants(blocks, column: str, path: str | Path) -> np.ndarray:
    """One value per simulation and particle, as numbers where all are numbers."""
    import pandas as pd

    values = []
    for block in blocks:
        if block[column].isna().any():
            empty = block.index[block[column].isna()].min()
            raise ValueError(f"{path}: row {_row(empty)}, column {column!r} is empty")
        for name, rows in block.groupby("particle", sort=False)[column]:
            if rows.nunique() > 1:
                other = rows[rows != rows.iloc[0]]
                raise ValueError(
                    f"{path}: {column!r} of particle {name!r} is {rows.iloc[0]} in row {_row(rows.index[0])} "
                    f"and {other.iloc[0]} in row {_row(other.index[0])}; a property must be constant"
                )
        values.append(
            block.sort_values(["time", "_rank"])[column].head(block["particle"].nunique()).to_numpy()
        )
    table = np.stack(values).astype(str)
    numbers = pd.to_numeric(table.ravel(), errors="coerce").reshape(table.shape)
    return table if np.isnan(numbers).any() else numbers
