"""Frames of particles to graphs: all pairs, those within a cutoff, or nearest ones; open or periodic."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from sciml.graph import Graph, Spec

log = logging.getLogger(__name__)

KINDS = ("all", "cutoff", "knn")
DENSE = 256  # up to so many particles, all distances of many frames at once are faster than a search
CHUNK = 2_000_000  # distances held at a time


class Edges(NamedTuple):
    """Edges of some frames: nodes numbered through those frames, shifts in whole cells."""

    sender: Int[np.ndarray, "edges"]
    receiver: Int[np.ndarray, "edges"]
    shift: Int[np.ndarray, "edges dim"]


def particle_graph(
    position: Float[np.ndarray, "frames particles dim"],
    *,
    edges: str = "all",
    cutoff: float | None = None,
    k: int | None = None,
    box: Float[np.ndarray, "dim"] | None = None,
    nodes: Mapping[str, np.ndarray] | None = None,
    units: Mapping[str, str] | None = None,
    vectors: Collection[str] = ("velocity", "acceleration"),
) -> Graph:
    """Build one graph per frame, batched.

    In a periodic box an edge joins a particle to the nearest image of another (with a cutoff: to all
    images within it); ``shift`` and ``cell`` are then fields of the graph. Open directions have a
    lattice vector of zero length.

    Args:
        position: in 2 or 3 dimensions.
        edges: "all" ordered pairs; "cutoff", all pairs closer than ``cutoff``; or "knn", from the
            ``k`` nearest particles to each.
        cutoff: largest distance of an edge, in the unit of position.
        k: number of edges that each particle receives.
        box: edge lengths of an orthorhombic box, infinite along open directions.
        nodes: fields [frames, particles, ...].
        units: of position and of the fields, in pint's notation.
        vectors: those of the fields that turn with the frame.

    Raises:
        ValueError: for wrong shapes, values that are not finite, unknown or unfitting options.
    """
    position = np.asarray(position)
    _check(position, edges, cutoff, k)
    frames, particles, dim = position.shape
    edge_lengths = None if box is None else np.broadcast_to(np.asarray(box, dtype=float), (dim,))
    if edges == "all":
        found = _all_pairs(position, edge_lengths)
    else:
        parts = list(_search(position, edges, cutoff, k, edge_lengths))
        found = Edges(*(np.concatenate(column) for column in zip(*parts)))
    if not len(found.sender):
        log.warning("none of the %d frames has an edge: cutoff %s is below all distances", frames, cutoff)

    fields = {"pos": position} | dict(nodes or {})
    units = units or {}
    specs = {("nodes", name): Spec(unit=units.get(name, "")) for name in fields}
    specs |= {("nodes", name): Spec("1o", units.get(name, "")) for name in vectors if name in fields}
    specs["nodes", "pos"] = Spec("1o", units.get("position", ""), moves=True)
    cell = shift = None
    if edge_lengths is not None:
        shift = {"shift": torch.from_numpy(found.shift)}
        lattice = np.diag(np.where(np.isfinite(edge_lengths), edge_lengths, 0.0))
        cell = {"cell": torch.from_numpy(lattice.astype(position.dtype)).repeat(frames, 1, 1)}
    return Graph.create(
        torch.from_numpy(np.stack([found.sender, found.receiver])),
        {name: _rows(name, values, frames, particles) for name, values in fields.items()},
        shift,
        cell,
        node_counts=torch.full((frames,), particles),
        specs=specs,  # type: ignore[arg-type]
    )


def _all_pairs(position: np.ndarray, box: np.ndarray | None) -> Edges:
    """One topology, repeated."""
    frames, particles, dim = position.shape
    receiver, sender = np.nonzero(~np.eye(particles, dtype=bool))
    shift = np.zeros((0 if box is None else frames * len(sender), dim), dtype=np.int64)
    if box is not None:
        shift = _nearest(position[:, receiver] - position[:, sender], box).reshape(-1, dim)
    first = particles * np.arange(frames)[:, None]
    return Edges((first + sender).ravel(), (first + receiver).ravel(), shift)


def _search(
    position: np.ndarray, edges: str, cutoff: float | None, k: int | None, box: np.ndarray | None
) -> Iterator[Edges]:
    """Edges of a few frames at a time, numbered through all frames."""
    frames, particles, _ = position.shape
    many_images = edges == "cutoff" and box is not None and (box < 2 * cutoff).any()  # type: ignore[operator]
    dense = particles <= DENSE and not many_images
    step = max(1, CHUNK // particles**2) if dense else 1
    for start in range(0, frames, step):
        some = position[start : start + step]
        if dense:
            part = _dense(some, cutoff, k, box)
        elif k is None:
            part = _cell_list(some[0], cutoff, box)  # type: ignore[arg-type]
        else:
            part = _tree(some[0], k, box)
        first = particles * start
        yield Edges(part.sender + first, part.receiver + first, part.shift)


def _dense(position: np.ndarray, cutoff: float | None, k: int | None, box: np.ndarray | None) -> Edges:
    """All distances to nearest images, then the near ones."""
    frames, particles, _ = position.shape
    apart = position[:, :, None] - position[:, None]  # frame, receiver, sender, dim
    shift = np.zeros(apart.shape, dtype=np.int64)
    if box is not None:
        shift = _nearest(apart, box)
        apart = apart + shift * np.where(np.isfinite(box), box, 0.0)
    squares = np.einsum("frsd,frsd->frs", apart, apart)
    squares[:, np.arange(particles), np.arange(particles)] = np.inf
    if k is None:
        frame, receiver, sender = np.nonzero(squares < cutoff**2)  # type: ignore[operator]
    else:
        sender = np.argsort(squares, axis=-1, kind="stable")[..., :k].ravel()
        receiver = np.tile(np.repeat(np.arange(particles), k), frames)
        frame = np.repeat(np.arange(frames), particles * k)
    first = particles * frame
    return Edges(first + sender, first + receiver, shift[frame, receiver, sender])


def _cell_list(position: Float[np.ndarray, "n d"], cutoff: float, box: np.ndarray | None) -> Edges:
    """Vesin's cell list; two dimensions are a slab in three."""
    from vesin import NeighborList

    dim = position.shape[1]
    points, lengths, periodic = np.zeros((len(position), 3)), np.ones(3), np.zeros(3, dtype=bool)
    points[:, :dim] = position
    if box is not None:
        periodic[:dim] = np.isfinite(box)
        lengths[:dim] = np.where(periodic[:dim], box, 1.0)
    lists = NeighborList(cutoff=float(cutoff), full_list=True, n_threads=1)
    sender, receiver, shift = lists.compute(points, np.diag(lengths), periodic, quantities="ijS")
    return Edges(sender.astype(np.int64), receiver.astype(np.int64), shift[:, :dim].astype(np.int64))


def _tree(position: Float[np.ndarray, "n d"], k: int, box: np.ndarray | None) -> Edges:
    """A k-d tree; in a periodic box, of the wrapped positions."""
    periodic = np.zeros(position.shape[1]) if box is None else np.where(np.isfinite(box), box, 0.0)
    lengths = np.where(periodic > 0, periodic, np.inf)
    wrapped = np.where(periodic > 0, np.mod(position, lengths), position)
    wrapped = np.where((periodic > 0) & (wrapped >= lengths), 0.0, wrapped)  # rounding up to the edge
    neighbours = np.asarray(cKDTree(wrapped, boxsize=periodic).query(wrapped, k=k + 1)[1])
    own = neighbours == np.arange(len(position))[:, None]
    own[:, -1] |= ~own.any(axis=1)  # k or more others at the very same place
    sender = neighbours[~own]
    receiver = np.repeat(np.arange(len(position)), k)
    shift = _nearest(position[receiver] - position[sender], lengths)
    return Edges(sender.astype(np.int64), receiver, shift)


def _nearest(apart: Float[np.ndarray, "... d"], box: np.ndarray) -> Int[np.ndarray, "... d"]:
    """Whole cells to add to a vector between two particles so that it joins nearest images."""
    return -np.round(apart / box).astype(np.int64)


def _rows(name: str, values: np.ndarray, frames: int, particles: int) -> torch.Tensor:
    array = np.asarray(values)
    if array.shape[:2] != (frames, particles):
        raise ValueError(
            f"node field {name!r} has shape {array.shape}; expected [frames, particles, ...], "
            f"here ({frames}, {particles}, ...)"
        )
    if array.dtype.kind not in "fiub":
        raise ValueError(f"node field {name!r} has dtype {array.dtype}; expected numbers (codes for labels)")
    return torch.from_numpy(np.array(array.reshape(frames * particles, *array.shape[2:])))


def _check(position: np.ndarray, edges: str, cutoff: float | None, k: int | None) -> None:
    if position.ndim != 3 or position.shape[2] not in (2, 3) or position.dtype.kind != "f":
        raise ValueError(
            f"position has shape {position.shape} and dtype {position.dtype}; expected floating-point "
            "[frames, particles, dim] with dim 2 or 3"
        )
    if not np.isfinite(position).all():
        frame, particle, _ = np.argwhere(~np.isfinite(position))[0]
        raise ValueError(f"position is not finite in frame {frame}, particle {particle}")
    if edges not in KINDS:
        raise ValueError(f"edges is {edges!r}; expected one of {', '.join(KINDS)}")
    for name, value, kind in (("cutoff", cutoff, "cutoff"), ("k", k, "knn")):
        if (value is not None) != (edges == kind):
            wanted = f"needs {name}=..." if edges == kind else f"takes no {name} (it is {value})"
            raise ValueError(f"edges={edges!r} {wanted}")
    if cutoff is not None and not 0 < cutoff < np.inf:
        raise ValueError(f"cutoff is {cutoff}; expected a positive distance")
    if k is not None and not (isinstance(k, int) and 0 < k < position.shape[1]):
        raise ValueError(
            f"k is {k}; expected a whole number from 1 to {position.shape[1] - 1}, the other particles"
        )
