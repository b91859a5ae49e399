"""What a potential learns from: frames divided into parts, reference energies, and graphs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from sciml.builders import atoms_graph
from sciml.builders.atoms import SPECS
from sciml.datasets.frame_store import StoredFrames
from sciml.datasets.frames import Frames
from sciml.datasets.store import GraphStore, write_store
from sciml.graph import Graph, Spec

log = logging.getLogger(__name__)
PARTS = ("train", "validation", "test")
SPLITS = ("time", "random", "file")
AT_A_TIME = 200  # graphs that are written together, for a store
VIRIAL = Spec(unit="eV")  # both of its axes turn, which no Spec says

AnyFrames = Frames | StoredFrames


@dataclass(frozen=True)
class PotentialData:
    """Frames in three parts, and what was fitted to the energies of training alone.

    Attributes:
        train, validation, test: the frames; validation may be None.
        references: chemical symbols to energies in eV, of the elements in training.
        scale: root mean square of the forces in eV/Å; without forces, the spread of energies per √atom in eV.
    """

    train: AnyFrames
    validation: AnyFrames | None
    test: AnyFrames
    references: Mapping[str, float]
    scale: float

    def graphs(
        self, cutoff: float, store: str | Path | None = None
    ) -> tuple[Graph | GraphStore, Graph | GraphStore]:
        """Return the targets for training and for validation; see `target_graph`.

        Args:
            cutoff: in Å.
            store: a folder where the graphs are kept, a few at a time in memory; None keeps them in memory.
        """
        if store is not None:
            return self._stored(cutoff, Path(store))
        train = target_graph(self.train.whole(), cutoff, self.references)
        if self.validation is None:
            return train, train[[]]
        return train, target_graph(self.validation.whole(), cutoff, self.references)

    def _stored(self, cutoff: float, path: Path) -> tuple[GraphStore, Graph | GraphStore]:
        train = stored_targets(path / "train", self.train, cutoff, self.references)
        if self.validation is None:
            return train, train[[]]
        return train, stored_targets(path / "validation", self.validation, cutoff, self.references)


def potential_data(
    frames: AnyFrames,
    test: AnyFrames | None = None,
    *,
    by: str = "time",
    train: float = 0.8,
    validation: float = 0.1,
    indices: str | Path | None = None,
    seed: int = 0,
) -> PotentialData:
    """Divide frames, and fit reference energies and scale to the part for training.

    Args:
        frames: in the order of time, where they are a trajectory; in memory or in a store.
        test: frames that were kept back; the rest of ``frames`` is, if None.
        by: ``time`` (blocks, one after the other: neighbouring frames are alike, and a random division would
            test on what was all but seen), ``random``, or ``file``.
        train, validation: how many; a number below 1 is a fraction of all.
        indices: for ``file``: an .npz with arrays of numbers of frames ``train``, ``validation`` and, without
            a separate test set, ``test``.
        seed: for ``random``.

    Raises:
        ValueError: an unknown way, parts that are empty or larger than what there is, numbers of frames that
            are not there or in two parts, test frames with elements that are not in training.
    """
    parts = split(len(frames), by=by, train=train, validation=validation, indices=indices, seed=seed)
    first = frames.take(parts[0])
    second = frames.take(parts[1]) if len(parts[1]) else None
    kept = test if test is not None else _not_empty(frames, parts[2])
    if test is not None and len(parts[2]):
        log.warning("%d of %d frames are in no part (data.split.train=...)", len(parts[2]), len(frames))
    references = fit_references(first)
    for name, part in (("validation", second), ("test", kept)):
        if part is not None:
            _check_elements(part, references, name)
    return PotentialData(first, second, kept, references, fit_scale(first, references))


def split(
    number: int, *, by: str, train: float, validation: float, indices: str | Path | None, seed: int
) -> tuple[Int[np.ndarray, "train"], Int[np.ndarray, "validation"], Int[np.ndarray, "test"]]:
    """Return the numbers of the frames of the three parts.

    Raises:
        ValueError: as `potential_data`.
    """
    if by not in SPLITS:
        raise ValueError(f"Unknown division by {by!r}; choose from {', '.join(SPLITS)}.")
    if by == "file":
        return _from_file(number, indices)
    first, second = _count("train", train, number), _count("validation", validation, number)
    if first < 1 or first + second > number:
        raise ValueError(
            f"{first} frames for training and {second} for validation, of {number}: expected at least one "
            "for training, and no more than there are (data.split.train, data.split.validation)."
        )
    order = np.arange(number)
    if by == "random":
        order = np.random.default_rng(seed).permutation(number)
    return order[:first], order[first : first + second], order[first + second :]


def fit_references(frames: AnyFrames) -> dict[str, float]:
    """Return the energies of the elements, by least squares on the energies of the frames, in eV.

    Where the frames do not tell the elements apart (as those of a single molecule) the smallest such energies
    are taken: their sum is right for what was seen, and means nothing for other compositions.
    """
    from ase.data import chemical_symbols

    elements = sorted({z for part in frames.parts() for z in part.elements})
    triangle = np.zeros((0, len(elements) + 1))  # R of the rows so far: their least squares, in a few rows
    for part in frames.parts():
        known = np.isfinite(part.energy)
        rows = np.column_stack([part.counts(elements), part.energy])[known]
        triangle = np.asarray(np.linalg.qr(np.concatenate([triangle, rows]), mode="r"))
    values = np.linalg.lstsq(triangle[:, :-1], triangle[:, -1], rcond=1e-9)[0]
    return {chemical_symbols[z]: float(value) for z, value in zip(elements, values)}


def reference_energies(frames: Frames, references: Mapping[str, float]) -> Float[np.ndarray, "frames"]:
    """Return the sum of the reference energies of each frame, in eV."""
    from ase.data import chemical_symbols

    elements, counts = frames.composition
    return counts @ np.array([references[chemical_symbols[z]] for z in elements])


def fit_scale(frames: AnyFrames, references: Mapping[str, float]) -> float:
    """Return the typical force in eV/Å, or, without forces, the spread of energies per √atom in eV."""
    squares, numbers = np.zeros(2), np.zeros(2)  # of components of forces, and of energies
    for part in frames.parts():
        forces = [f for f in part.forces if f is not None]
        rest = part.energy - reference_energies(part, references)
        known = np.isfinite(rest)
        sizes = np.array([len(atoms) for atoms in part.atoms])
        squares += sum((f**2).sum() for f in forces), (rest[known] ** 2 / sizes[known]).sum()
        numbers += sum(f.size for f in forces), known.sum()
    of_forces, of_energies = np.sqrt(squares / np.maximum(numbers, 1))
    return max(float(of_forces or of_energies), 1e-3)


def target_graph(
    frames: Frames, cutoff: float, references: Mapping[str, float], dtype: torch.dtype = torch.float32
) -> Graph:
    """Return graphs with what is to be learned.

    ``globals``: ``target_energy`` (eV, reference energies subtracted), ``has_energy``. ``nodes``:
    ``target_forces`` (eV/Å), ``has_forces``. Where there is no target it is zero and the mask False. If any
    frame has a stress, ``globals`` have ``target_virial`` (graphs, 3, 3), stress times volume in eV, and
    ``has_stress``.
    """
    try:
        graph = atoms_graph(frames.atoms, cutoff)  # distances in double precision decide what is an edge
    except ValueError:
        _name_the_wrong_one(frames, cutoff)
        raise
    rest = frames.energy - reference_energies(frames, references)
    forces = [np.zeros((len(a), 3)) if f is None else f for a, f in zip(frames.atoms, frames.forces)]
    known = [np.full(len(a), f is not None) for a, f in zip(frames.atoms, frames.forces)]
    graph = graph.with_globals(
        {"target_energy": Spec("0e", "eV")},
        target_energy=torch.from_numpy(np.nan_to_num(rest)),
        has_energy=torch.from_numpy(np.isfinite(rest)),
    )
    graph = graph.with_nodes(
        {"target_forces": Spec("1o", "eV/angstrom")},
        target_forces=torch.from_numpy(np.concatenate(forces)),
        has_forces=torch.from_numpy(np.concatenate(known)),
    )
    if any(stress is not None for stress in frames.stress):
        virials = [
            np.zeros((3, 3)) if s is None else s * a.get_volume() for a, s in zip(frames.atoms, frames.stress)
        ]
        graph = graph.with_globals(
            {"target_virial": VIRIAL},
            target_virial=torch.from_numpy(np.stack(virials)),
            has_stress=torch.tensor([s is not None for s in frames.stress]),
        )
    return graph.to(dtype)


def stored_targets(
    path: Path, frames: AnyFrames, cutoff: float, references: Mapping[str, float]
) -> GraphStore:
    """Return `target_graph` of frames in a store, written now if it is not there."""
    periodic, stressed = frames.periodic, frames.stressed

    def graphs(start: int) -> Iterator[Graph]:
        later = frames.take(np.arange(start, len(frames)))
        for part in later.parts():
            for first in range(0, len(part), AT_A_TIME):
                some = part.take(np.arange(first, min(first + AT_A_TIME, len(part))))
                graph = target_graph(some, cutoff, references)
                yield _completed(graph, periodic, stressed)

    key = f"targets of {frames.key}, cutoff {cutoff}, references {sorted(references.items())}"
    return write_store(path, graphs, key=key, part=AT_A_TIME)


# -------------------------------------------------------------------- details


def _completed(graph: Graph, periodic: bool, stressed: bool) -> Graph:
    """Return targets with the fields that others of the same set have: open space, and no stress."""
    if periodic and "cell" not in graph.globals:
        graph = graph.with_globals(
            {"cell": SPECS["globals", "cell"]}, cell=graph.nodes["pos"].new_zeros(len(graph), 3, 3)
        )
        graph = graph.with_edges(None, shift=graph.edge_index.new_zeros(graph.num_edges, 3))
    if stressed and "target_virial" not in graph.globals:
        graph = graph.with_globals(
            {"target_virial": VIRIAL},
            target_virial=graph.nodes["pos"].new_zeros(len(graph), 3, 3),
            has_stress=graph.node_counts.new_zeros(len(graph)).bool(),
        )
    return graph


def _name_the_wrong_one(frames: Frames, cutoff: float) -> None:
    """Raise the error of the first frame that makes no graph, with its number in the file."""
    for number, atoms in zip(frames.numbers, frames.atoms):
        try:
            atoms_graph(atoms, cutoff)
        except ValueError as error:
            where = f"{frames.source}, frame {number} ({atoms.get_chemical_formula()})"
            raise ValueError(f"{where}: {error}") from None


def _not_empty(frames: AnyFrames, rows: np.ndarray) -> AnyFrames:
    if not len(rows):
        raise ValueError(
            f"No frame of {len(frames)} is left for the test: lower data.split.train, or give data.test_path."
        )
    return frames.take(rows)


def _count(name: str, value: float, number: int) -> int:
    if value < 0 or (value >= 1 and value != int(value)):
        raise ValueError(f"data.split.{name}={value}: expected a number of frames, or a fraction below 1.")
    return int(value) if value >= 1 else round(value * number)


def _from_file(number: int, path: str | Path | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if path is None:
        raise ValueError("data.split.by=file needs data.split.indices=FILE.npz with train, validation, test.")
    with np.load(path, allow_pickle=False) as file:
        if "train" not in file.files:
            raise ValueError(f"{path} has no array train; it has {', '.join(file.files)}.")
        parts = [np.asarray(file[name]).ravel() if name in file.files else np.zeros(0, int) for name in PARTS]
    together = np.concatenate(parts)
    if together.dtype.kind not in "iu":
        raise ValueError(f"{path} holds {together.dtype}; expected whole numbers, from 0.")
    outside = together[(together < 0) | (together >= number)]
    if len(outside):
        raise ValueError(f"{path} names frame {outside[0]}, but there are {number} (from 0).")
    values, times = np.unique(together, return_counts=True)
    if (times > 1).any():
        raise ValueError(f"{path} names frame {values[times > 1][0]} more than once.")
    return parts[0], parts[1], parts[2]


def _check_elements(frames: AnyFrames, references: Mapping[str, float], name: str) -> None:
    from ase.data import chemical_symbols

    for part in frames.parts():
        unknown = [z for z in part.elements if chemical_symbols[z] not in references]
        for number, atoms in zip(part.numbers, part.atoms if unknown else []):
            for z in unknown:
                if z in atoms.numbers:
                    where = f"{part.source}, {atoms.get_chemical_formula()}"
                    raise ValueError(
                        f"Frame {number} of the {name} frames ({where}) has {chemical_symbols[z]}, and no "
                        f"frame for training has. They have {', '.join(references)}."
                    )
