"""Frames on disk, read as they are needed: sets of any size in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from sciml.datasets.frame_files import FrameFile
from sciml.datasets.frames import Frames
from sciml.datasets.store import HEAD, GraphStore, StoreError, write_store
from sciml.graph import Graph

AT_A_TIME, ATOMS = 200, 50_000  # frames in memory, and atoms on the average, at most
KIND = "frames"


class StoredFrames:
    """Frames in a store: what `Frames` is, of which a part at a time is in memory.

    It goes where potentials take frames: `sciml.datasets.potential_data` and training.

    Args:
        store: written by `store_frames`.

    Raises:
        StoreError: a store of something else.
    """

    def __init__(self, store: GraphStore) -> None:
        if store.info.get("kind") != KIND:
            raise StoreError(
                f"{store.path} is no store of frames: expected one that data.store= of a potential made."
            )
        self._store = store

    def __len__(self) -> int:
        return len(self._store)

    def __repr__(self) -> str:
        return f"StoredFrames({len(self)} of {self.source} in {self._store.path})"

    @property
    def source(self) -> str:
        """The file that the frames were in."""
        return self._store.info["source"]

    @property
    def key(self) -> str:
        """A word that other frames do not have."""
        return self._store.key

    @property
    def periodic(self) -> bool:
        """Whether space repeats for any frame."""
        return bool(self._store.field("globals.pbc").any())

    @property
    def stressed(self) -> bool:
        """Whether any frame has a stress."""
        return bool(self._store.field("globals.has_stress").any())

    def take(self, chosen: Int[np.ndarray, "chosen"]) -> StoredFrames:
        """Return some of the frames, in this order, without reading them."""
        return StoredFrames(self._store.take(chosen))

    def parts(self) -> Iterator[Frames]:
        """Give all frames, some at a time."""
        step = max(1, min(AT_A_TIME, ATOMS * len(self) // max(self._store.num_nodes, 1)))
        for first in range(0, len(self), step):
            yield self._frames(np.arange(first, min(first + step, len(self))))

    def whole(self) -> Frames:
        """Return all frames in memory."""
        return self._frames(np.arange(len(self)))

    def _frames(self, ids: Int[np.ndarray, "chosen"]) -> Frames:
        from ase import Atoms

        graph = self._store[ids]
        ends = graph.node_counts.cumsum(0)[:-1].numpy()
        nodes = {name: np.split(value.numpy(), ends) for name, value in graph.nodes.items()}
        whole = {name: value.numpy() for name, value in graph.globals.items()}
        structures = [
            Atoms(number, pos, cell=cell, pbc=pbc)
            for number, pos, cell, pbc in zip(nodes["number"], nodes["pos"], whole["cell"], whole["pbc"])
        ]
        known = lambda values, mask: [value if there else None for value, there in zip(values, mask)]
        forces = known(nodes["forces"], whole["has_forces"])
        stress = known(whole["stress"], whole["has_stress"])
        numbers = self._store.numbers[ids]
        return Frames(structures, whole["energy"], forces, self.source, stress, numbers)


def store_frames(
    path: str | Path,
    file: str | Path,
    *,
    progress: Callable[[int], None] | None = None,
    **options: Any,
) -> StoredFrames:
    """Write the frames of a file into a store, or go on where that was interrupted; return them.

    Args:
        path: the folder; if it holds the frames of this file, read in this way, they are taken as they are.
        file: see `sciml.datasets.frame_files.FrameFile`, as for ``options``.
        progress: told how many frames are written, after every part.

    Raises:
        FileNotFoundError, ValueError: as `FrameFile`.
        StoreError: a folder with something else, or with the frames of a file that has changed.
    """
    source = FrameFile(file, **options)
    graphs = lambda start: (_as_graph(part) for part in source.parts(start))
    info = {"kind": KIND, "source": str(file)}
    return StoredFrames(write_store(path, graphs, key=source.key, info=info, part=1, progress=progress))


def is_store(path: str | Path) -> bool:
    """Whether a folder holds a store."""
    return (Path(path) / HEAD).is_file()


def _as_graph(frames: Frames) -> Graph:
    """Return frames as graphs without edges, of which all have all fields."""
    counts = torch.tensor([len(atoms) for atoms in frames.atoms])
    tensor = lambda values, kind=np.float64: torch.from_numpy(np.array(values, dtype=kind))
    filled = lambda values, shapes: [np.zeros(s) if v is None else v for v, s in zip(values, shapes)]
    forces = filled(frames.forces, [(n, 3) for n in counts.tolist()])
    stress = filled(frames.stress, [(3, 3)] * len(frames))
    return Graph.create(
        torch.zeros(2, 0, dtype=torch.long),
        nodes={
            "pos": tensor(np.concatenate([atoms.positions for atoms in frames.atoms])),
            "number": tensor(np.concatenate([atoms.numbers for atoms in frames.atoms]), np.int64),
            "forces": tensor(np.concatenate(forces)),
        },
        globals={
            "energy": tensor(frames.energy),
            "cell": tensor([atoms.cell.array for atoms in frames.atoms]),
            "pbc": tensor([atoms.pbc for atoms in frames.atoms], np.bool_),
            "stress": tensor(stress),
            "has_forces": tensor([f is not None for f in frames.forces], np.bool_),
            "has_stress": tensor([s is not None for s in frames.stress], np.bool_),
        },
        node_counts=counts,
    )
