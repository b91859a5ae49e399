"""What a field is, and the checks that a Graph makes of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Int
from torch import Tensor

Place = Literal["nodes", "senders", "edges", "globals"]
PLACES: tuple[Place, ...] = get_args(Place)
Fields = Mapping[str, Tensor]
Specs = Mapping[tuple[Place, str], "Spec"]


@dataclass(frozen=True)
class Spec:
    """What the numbers of a field mean.

    Attributes:
        irreps: how the last axis turns under rotations and reflections, in e3nn's notation
            (``"1x0e+1x1o"``; in two dimensions ``0e``, ``0o`` and ``1o`` only); None for numbers that
            do not turn.
        unit: in pint's notation; ``""`` is dimensionless or unknown.
        classes: number of categories where the field holds integer labels.
        moves: True for points, which also translate (positions), as opposed to arrows (velocities).
        regular: name of a finite group (`sciml.symmetry.finite_group`) whose elements the last axis
            counts; the group permutes them by multiplication from the left.
    """

    irreps: str | None = None
    unit: str = ""
    classes: int | None = None
    moves: bool = False
    regular: str | None = None


POSITION = Spec(irreps="1o", moves=True)
CELL = Spec(irreps="1o")


def default_specs(fields: Mapping[Place, Fields | None]) -> dict[tuple[Place, str], Spec]:
    """Return what ``pos`` and ``cell`` mean, where they are there."""
    usual: Specs = {("nodes", "pos"): POSITION, ("senders", "pos"): POSITION, ("globals", "cell"): CELL}
    return {(place, name): spec for (place, name), spec in usual.items() if name in (fields.get(place) or {})}


def check_specs(specs: Specs, fields: Mapping[Place, Fields | None]) -> dict[tuple[Place, str], Spec]:
    """Return the specs as a dict; ValueError for one whose field is not there, as after a slip of the pen."""
    for place, name in specs:
        if name not in (fields.get(place) or {}):
            known = [f"({p!r}, {n!r})" for p, values in fields.items() for n in values or {}]
            raise ValueError(f"Spec for ({place!r}, {name!r}), but the fields are {', '.join(known)}.")
    return dict(specs)


def describe(name: str, value: Tensor, spec: Spec) -> str:
    """Show a field in a few words: name, shape, dtype, and what is known of its meaning."""
    regular = f"regular {spec.regular}" if spec.regular else ""
    notes = [spec.irreps or "", spec.unit, regular, f"{spec.classes} classes" if spec.classes else ""]
    note = ", ".join(n for n in notes if n)
    return f"{name} {tuple(value.shape)} {str(value.dtype)[6:]}" + (f" [{note}]" if note else "")


def check_length(place: Place, values: Fields, length: int | None = None) -> int:
    """Return the common length of the first axes; it must be ``length`` where that is given."""
    if not values and length is None:
        raise ValueError(f"{place} needs at least one field (as pos or x): its length counts the {place}.")
    for name, value in values.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{place}.{name} must be a tensor, not {type(value).__name__}.")
        if value.ndim == 0 or length not in (None, value.shape[0]):
            raise ValueError(
                f"{place}.{name} has shape {tuple(value.shape)}; its first axis counts the {place}"
                + ("." if length is None else f", of which there are {length}.")
            )
        length = value.shape[0]
    return length or 0


def check_counts(
    name: str, counts: Any, total: int, device: torch.device, graphs: int | None = None
) -> Int[Tensor, "graphs"]:
    """Return the counts as integers that sum to the total; one graph holds all if there are none."""
    if counts is None:
        counts = [total]
    counts = torch.as_tensor(counts, dtype=torch.long, device=device)
    if counts.ndim != 1 or (counts < 0).any() or int(counts.sum()) != total:
        raise ValueError(f"{name} {counts.tolist()} must be non-negative and sum to {total}.")
    if graphs not in (None, len(counts)):
        raise ValueError(f"{name} {counts.tolist()} tells of {len(counts)} graphs, node_counts of {graphs}.")
    return counts


def check_edge_index(edge_index: Any) -> Int[Tensor, "2 edges"]:
    """Return the edges as a tensor of integers with a row of senders and a row of receivers."""
    edge_index = torch.as_tensor(edge_index)
    if edge_index.numel() == 0:
        return edge_index.new_zeros(2, 0, dtype=torch.long)
    if edge_index.is_floating_point() or edge_index.dtype == torch.bool:
        raise TypeError(f"edge_index must be of integers, not {edge_index.dtype}.")
    if edge_index.ndim != 2 or edge_index.shape[0] != 2:
        raise ValueError(
            f"edge_index has shape {tuple(edge_index.shape)}; it must be (2, edges), senders above receivers"
            + (" (transpose it)." if edge_index.shape[-1] == 2 else ".")
        )
    return edge_index.long()


def check_range(edge_index: Int[Tensor, "2 edges"], num_senders: int, num_nodes: int) -> None:
    """Raise ValueError at the first edge that names a node that is not there."""
    for row, limit, role in ((edge_index[0], num_senders, "sender"), (edge_index[1], num_nodes, "receiver")):
        outside = ((row < 0) | (row >= limit)).nonzero()
        if len(outside):
            edge = int(outside[0])
            raise ValueError(
                f"Edge {edge} has {role} {int(row[edge])}, but there are {limit} such nodes (from 0)."
            )


def check_same_fields(
    number: int, place: Place, a: Fields, b: Fields, specs_a: Specs, specs_b: Specs
) -> None:
    """Raise ValueError if graph 0 (``a``) and graph ``number`` (``b``) cannot stand in one batch."""
    if set(a) != set(b):
        raise ValueError(
            f"Graph {number} and graph 0 differ in {place} fields {sorted(set(a) ^ set(b))}; "
            "give both the same (Graph.without drops a field)."
        )
    for name in a:
        this = (b[name].dtype, tuple(b[name].shape[1:]), specs_b.get((place, name), Spec()))
        that = (a[name].dtype, tuple(a[name].shape[1:]), specs_a.get((place, name), Spec()))
        if this != that:  # all but the length of the first axis must agree
            raise ValueError(
                f"Graph {number} and graph 0 differ in {place}.{name} (dtype, shape of a row, meaning): "
                f"{this} against {that}."
            )
