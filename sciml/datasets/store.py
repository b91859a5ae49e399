"""Graphs in files, read as they are needed: sets of any size, in any order, in constant memory.

A store is a folder. Each field of the graphs is one file of numbers, all graphs one after the other; three
more hold ends of edges and how many nodes and edges each graph has. ``store.json`` says what the fields are
and how many graphs are complete; it is replaced whenever a part has been written, so that a writer that was
interrupted goes on after the last part, and nobody reads half a graph. There are no pickles.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from sciml.graph import Graph, Place, Spec

log = logging.getLogger(__name__)
HEAD = "store.json"
FORMAT = 1
PART = 10_000  # graphs that are written at a time
COUNTS, EDGES = ("node_counts", "edge_counts"), "edge_index"
FIELDS: tuple[Place, ...] = ("nodes", "edges", "globals")
LONG_AGO = "the writer was interrupted: run it again, and it goes on there"


class StoreError(ValueError):
    """A store that cannot be read or written, with what to do."""


class GraphStore:
    """Graphs in a folder; ``store[ids]`` reads some of them as a batch, as ``Graph.__getitem__`` does.

    It takes the place of a `Graph` wherever batches are drawn (`sciml.training.data.Batches`): it has a
    length, a device, and gives graphs for a tensor of numbers. `take` gives a part of it, as for a split.

    Args:
        path: the folder.

    Raises:
        FileNotFoundError: no store there.
        StoreError: another format, a store that is not complete, a file that is shorter than it should be.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.head = _read_head(self.path)
        if not self.head["complete"]:
            raise StoreError(
                f"{self.path} holds {self.head['graphs']} graphs and is not complete: {LONG_AGO}."
            )
        rows = _rows(self.head)
        self._columns = {
            name: Column(self.path / f"{name}.bin", rows[c["place"]], c["dtype"], tuple(c["shape"]))
            for name, c in self.head["columns"].items()
        }
        counts = [self._columns.pop(name).whole() for name in COUNTS]
        self._counts = np.stack(counts).astype(np.int32)  # 8 bytes a graph stay in memory,
        self._starts = np.stack([c.cumsum(dtype=np.int64) - c for c in counts])  # and 16 more
        self._chosen: np.ndarray | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.path, self._chosen)

    def __len__(self) -> int:
        return self.head["graphs"] if self._chosen is None else len(self._chosen)

    def __repr__(self) -> str:
        size = sum(file.stat().st_size for file in self.path.iterdir())
        names = ", ".join(n for n in self._columns if n != EDGES)
        return f"GraphStore({len(self)} graphs with {names}; {size / 2**20:.0f} MiB in {self.path})"

    @property
    def numbers(self) -> Int[np.ndarray, "graphs"]:
        """The numbers of these graphs among all that were written."""
        return np.arange(self.head["graphs"]) if self._chosen is None else self._chosen

    @property
    def num_nodes(self) -> int:
        """Nodes of all graphs."""
        return int(self._counts_of(0).sum(dtype=np.int64))

    @property
    def num_edges(self) -> int:
        """Edges of all graphs."""
        return int(self._counts_of(1).sum(dtype=np.int64))

    @property
    def edge_counts(self) -> Int[Tensor, "graphs"]:
        """How many edges each graph has."""
        return torch.from_numpy(self._counts_of(1).astype(np.int64))

    @property
    def key(self) -> str:
        """A word that other graphs, or others of these, do not have."""
        chosen = b"" if self._chosen is None else self._chosen.tobytes()
        return hashlib.sha256(self.head["key"].encode() + chosen).hexdigest()

    def _counts_of(self, place: int) -> Int[np.ndarray, "graphs"]:
        return self._counts[place] if self._chosen is None else self._counts[place][self._chosen]

    @property
    def device(self) -> torch.device:
        """Where batches are made."""
        return torch.device("cpu")

    @property
    def info(self) -> dict[str, Any]:
        """What the writer said of the whole set."""
        return dict(self.head["info"])

    def take(self, ids: Sequence[int] | Int[np.ndarray, "chosen"] | Tensor) -> GraphStore:
        """Return some of the graphs, in this order, without reading them."""
        found = object.__new__(GraphStore)
        found.__dict__.update(self.__dict__)
        found._chosen = self._numbers(ids)
        return found

    def __getitem__(self, ids: int | slice | Sequence[int] | Int[np.ndarray, "chosen"] | Tensor) -> Graph:
        """Read graphs by number, slice, list or index tensor, as one batch."""
        chosen = self._numbers(ids)
        ones = np.ones_like(chosen)
        rows = {
            "nodes": (self._starts[0][chosen], self._counts[0][chosen]),
            "edges": (self._starts[1][chosen], self._counts[1][chosen]),
            "globals": (chosen, ones),
        }
        fields: dict[str, dict[str, Tensor]] = {place: {} for place in FIELDS}
        for name, column in self._columns.items():
            place, _, field = name.partition(".")
            if name != EDGES:
                fields[place][field] = torch.from_numpy(column.read(*rows[place]))
        counts = [torch.from_numpy(rows[place][1].astype(np.int64)) for place in FIELDS[:2]]
        first = counts[0].cumsum(0) - counts[0]
        ends = torch.from_numpy(self._columns[EDGES].read(*rows["edges"]).astype(np.int64)).T
        specs = {tuple(key.split(".", 1)): Spec(**spec) for key, spec in self.head["specs"].items()}
        return Graph(
            ends + torch.repeat_interleave(first, counts[1]),
            fields["nodes"],
            fields["edges"],
            fields["globals"],
            counts[0],
            counts[1],
            specs=specs,  # type: ignore[arg-type]
        )

    def field(self, name: str) -> np.ndarray:
        """Return a field of the graphs (of all that were taken) as an array in memory: ``"globals.y"``.

        Raises:
            KeyError: no such field of graphs.
        """
        if not name.startswith("globals.") or name not in self._columns:
            known = ", ".join(n for n in self._columns if n.startswith("globals.")) or "none"
            raise KeyError(f"{self.path} has no field {name!r} of graphs; it has {known}.")
        whole = self._columns[name].whole()
        return whole if self._chosen is None else whole[self._chosen]

    def _numbers(self, ids: Any) -> Int[np.ndarray, "chosen"]:
        index = ids if isinstance(ids, slice) else np.asarray(ids)
        if isinstance(index, np.ndarray) and index.size == 0:
            index = index.astype(np.int64)
        try:
            if self._chosen is None and isinstance(index, np.ndarray) and index.dtype.kind in "iu":
                # Of a million graphs a batch must not number all of them first.
                index = index.astype(np.int64).reshape(-1)
                return np.ravel_multi_index((np.where(index < 0, index + len(self), index),), (len(self),))
            return self.numbers[index].reshape(-1)
        except (IndexError, ValueError):
            raise IndexError(f"Graph {ids!r} of a store of {len(self)}.") from None


class Column:
    """Rows of numbers in a file, read without holding any of it.

    A file mapped into memory would do, but the pages that were touched count as this process's.

    Args:
        file: of nothing but the numbers.
        rows, dtype, shape: how many rows there are, and what each is.

    Raises:
        StoreError: a file that is too short.
    """

    def __init__(self, file: Path, rows: int, dtype: str, shape: tuple[int, ...]) -> None:
        self.path, self.rows, self.dtype, self.shape = file, rows, np.dtype(dtype), shape
        self.width = self.dtype.itemsize * int(np.prod(shape, dtype=int))
        _check_size(file, rows * self.width)
        self._file = open(file, "rb", buffering=0)  # noqa: SIM115 - open as long as the store is

    def whole(self) -> np.ndarray:
        """Return all rows."""
        return self.read(np.array([0]), np.array([self.rows]))

    def read(self, starts: Int[np.ndarray, "runs"], counts: Int[np.ndarray, "runs"]) -> np.ndarray:
        """Return the rows of some runs, one after the other; runs that touch are read at once."""
        ends = starts + counts
        new = np.r_[True, starts[1:] != ends[:-1]][: len(starts)]
        last = np.r_[new[1:], True][: len(starts)]
        descriptor, width = self._file.fileno(), self.width
        parts = [
            os.pread(descriptor, (end - start) * width, start * width)
            for start, end in zip(starts[new].tolist(), ends[last].tolist())
        ]
        content = bytearray().join(parts)
        expected = int(counts.sum())
        if len(content) != expected * width:
            raise StoreError(f"{self.path} was cut off while it was read.")
        return np.frombuffer(content, self.dtype).reshape(expected, *self.shape)


def _reopened(path: Path, chosen: np.ndarray | None) -> GraphStore:
    store = GraphStore(path)
    return store if chosen is None else store.take(chosen)


def write_store(
    path: str | Path,
    graphs: Callable[[int], Iterator[Graph]],
    *,
    key: str,
    info: dict[str, Any] | None = None,
    part: int = PART,
    progress: Callable[[int], None] | None = None,
) -> GraphStore:
    """Write graphs into a store, or go on where an earlier call was interrupted; return the store.

    Args:
        path: the folder; made if it is not there.
        graphs: ``graphs(start)`` gives batches of graphs, of any sizes, from graph number ``start`` on.
        key: says what the graphs are (file, options): a store of something else is not continued.
        info: plain data to be kept with the store, see `GraphStore.info`.
        part: graphs that are written at a time; as many are held in memory.
        progress: told how many graphs are written, after every part.

    Raises:
        StoreError: the folder holds a store with another key, or files of something else; graphs of one set
            that have other fields than the first; two-sided graphs; no graph.
    """
    path = Path(path)
    head = _started(path, key, info or {})
    if head["complete"]:
        return GraphStore(path)
    if head["graphs"]:
        log.info("%s: going on after %d graphs", path, head["graphs"])
    waiting: list[Graph] = []
    for batch in graphs(head["graphs"]):
        waiting.append(batch)
        if sum(map(len, waiting)) >= part:
            head = _append(path, head, waiting)
            waiting = []
            if progress is not None:
                progress(head["graphs"])
    if waiting:
        head = _append(path, head, waiting)
    if not head["graphs"]:
        raise StoreError(f"{path}: there is no graph to write.")
    _write_head(path, head | {"complete": True})
    return GraphStore(path)


# -------------------------------------------------------------------- details


def _started(path: Path, key: str, info: dict[str, Any]) -> dict[str, Any]:
    """Return what a folder holds of this store, files cut back to what is complete."""
    path.mkdir(parents=True, exist_ok=True)
    if not (path / HEAD).is_file():
        if strangers := sorted(f.name for f in path.iterdir()):
            raise StoreError(f"{path} is not empty (it has {strangers[0]}): choose another folder.")
        head: dict[str, Any] = {
            "format": FORMAT, "key": key, "info": info, "graphs": 0, "nodes": 0, "edges": 0, "columns": {},
            "specs": {}, "complete": False,
        }  # fmt: skip
        _write_head(path, head)
        return head
    head = _read_head(path)
    if head["key"] != key:
        raise StoreError(
            f"{path} was written from something else ({head['key']}; now {key}): choose another folder, or "
            "remove this one."
        )
    rows = _rows(head)
    for name, column in head["columns"].items():
        size = rows[column["place"]] * _width(column)
        _check_size(path / f"{name}.bin", size)
        os.truncate(path / f"{name}.bin", size)
    return head


def _append(path: Path, head: dict[str, Any], batches: Sequence[Graph]) -> dict[str, Any]:
    for batch in batches:
        values = _values(batch)
        columns = {
            name: {"place": place, "dtype": value.dtype.str, "shape": list(value.shape[1:])}
            for name, (place, value) in values.items()
        }
        specs = {f"{place}.{name}": asdict(spec) for (place, name), spec in batch.specs.items()}
        if not head["columns"]:
            head = head | {"columns": columns, "specs": specs}
        if columns != head["columns"] or specs != head["specs"]:
            differing = sorted(set(columns) ^ set(head["columns"])) or sorted(
                n for n in columns if columns[n] != head["columns"][n]
            )
            raise StoreError(
                f"graphs from number {head['graphs']} on have other fields, types or meanings than the first "
                f"({', '.join(differing) or 'meanings'}): a store holds graphs of one kind."
            )
        for name, (_, value) in values.items():
            with open(path / f"{name}.bin", "ab") as file:
                file.write(np.ascontiguousarray(value).tobytes())
        head = head | {
            "graphs": head["graphs"] + len(batch),
            "nodes": head["nodes"] + batch.num_nodes,
            "edges": head["edges"] + batch.num_edges,
        }
    _write_head(path, head)
    return head


def _values(batch: Graph) -> dict[str, tuple[str, np.ndarray]]:
    """Return every array of a batch with the place that counts its rows; edges numbered within graphs."""
    if batch.two_sided or batch.layout is not None:
        raise StoreError("a store holds graphs of one set of nodes, without a layout.")
    first = batch.node_counts.cumsum(0) - batch.node_counts
    ends = batch.edge_index - torch.repeat_interleave(first, batch.edge_counts)
    found = {
        "node_counts": ("globals", batch.node_counts.int().numpy()),
        "edge_counts": ("globals", batch.edge_counts.int().numpy()),
        EDGES: ("edges", ends.T.int().numpy()),
    }
    for place in FIELDS:
        fields: dict[str, Tensor] = getattr(batch, place)
        found |= {f"{place}.{name}": (place, value.detach().numpy()) for name, value in fields.items()}
    return found


def _rows(head: dict[str, Any]) -> dict[str, int]:
    return {"globals": head["graphs"], "nodes": head["nodes"], "edges": head["edges"]}


def _width(column: dict[str, Any]) -> int:
    return int(np.dtype(column["dtype"]).itemsize * np.prod(column["shape"], dtype=int))


def _check_size(file: Path, expected: int) -> None:
    size = file.stat().st_size if file.is_file() else 0
    if size < expected:
        raise StoreError(
            f"{file} has {size} bytes and should have {expected}: it was cut off or lost. Remove the folder "
            "and write the store again."
        )


def _read_head(path: Path) -> dict[str, Any]:
    file = path / HEAD
    if not file.is_file():
        raise FileNotFoundError(f"There is no store in {path} (no {HEAD}).")
    try:
        head = json.loads(file.read_text())
        known = head["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{file} cannot be read ({error}): remove the folder and write it again.") from None
    if known != FORMAT:
        raise StoreError(f"{file} has format {known}; this version reads format {FORMAT}.")
    return head


def _write_head(path: Path, head: dict[str, Any]) -> None:
    partial = path / f"{HEAD}.partial"
    partial.write_text(json.dumps(head))
    partial.replace(path / HEAD)
