"""PyTorch Geometric's Data."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sciml.graph import Graph, Place, Spec

if TYPE_CHECKING:
    from torch_geometric.data import Data

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Memo:
    """What a Data that came from a Graph remembers: key to place and name, and the specs."""

    places: Mapping[str, tuple[Place, str]] = field(default_factory=dict)
    specs: Mapping[tuple[Place, str], Spec] = field(default_factory=dict)


MEMO = "sciml_fields"  # the attribute that holds it
RESERVED = {"edge_index", "batch", "ptr", "num_nodes", MEMO}


def to_pyg(graph: Graph) -> Data:
    """Return a `torch_geometric.data.Data` with the graph's fields, its order of edges and its batch vector.

    Node and graph fields keep their names and edge fields become ``edge_<name>``, as PyTorch Geometric's
    own rules ask. Several graphs share one Data, told apart by ``batch`` and ``ptr``.

    Raises:
        ImportError: PyTorch Geometric is not installed.
        ValueError: the graph has two node sets, which a Data cannot hold.
    """
    data_class = _data_class()
    if graph.two_sided:
        raise ValueError("A Data has one node set; this graph has senders and receivers apart.")
    places: dict[str, tuple[Place, str]] = {}
    prefixes: dict[Place, str] = {"nodes": "", "edges": "edge_", "globals": ""}
    for place, prefix in prefixes.items():
        for name in getattr(graph, place):
            key = prefix + name
            while key in places or key in RESERVED:
                key = f"{place}_{key}"
            places[key] = (place, name)
    data = data_class(edge_index=graph.edge_index)
    for key, (place, name) in places.items():
        data[key] = getattr(graph, place)[name]
    data.num_nodes = graph.num_nodes
    data.batch = graph.node_graph
    data.ptr = torch.cat([graph.node_counts.new_zeros(1), graph.node_counts.cumsum(0)])
    data[MEMO] = Memo(places, dict(graph.specs))
    return data


def from_pyg(data: Data, places: Mapping[str, Place] | None = None) -> Graph:
    """Return a Graph with the tensors of a `torch_geometric.data.Data` or `Batch`.

    Where a field belongs is known for what `to_pyg` made. Otherwise PyTorch Geometric's own rule is
    taken (by name and length; the prefix ``edge_`` is dropped), and what is neither of nodes nor of edges
    belongs to graphs. What is no number is left out and logged.

    Args:
        data: the graph or the batch.
        places: name to "nodes", "edges" or "globals", where the rule guesses wrong.

    Raises:
        ImportError: PyTorch Geometric is not installed.
        ValueError: a name in ``places`` that the data does not have, lengths that do not fit.
    """
    _data_class()
    memo = data.get(MEMO) or Memo()
    if isinstance(memo, list):  # a Batch lists what it cannot join
        memo = memo[0]
    known = dict(memo.places)
    for key, place in (places or {}).items():
        if key not in data:
            raise ValueError(f"places names {key!r}, but the data holds {', '.join(data.keys())}.")
        known[key] = (place, known[key][1] if key in known else _plain(key, place))
    counts = _counts(data)
    fields: dict[str, Any] = {"nodes": {}, "edges": {}, "globals": {}}
    for key in data.keys():  # noqa: SIM118 - a Data iterates over pairs
        if key in RESERVED:
            continue
        value = _tensor(data[key], key)
        if value is None:
            continue
        place, name = known.get(key) or _guess(data, key)
        if place == "globals" and (value.ndim == 0 or (len(counts) == 1 and value.shape[0] != 1)):
            value = value[None]
        fields[place][name] = value
    fields["nodes"] = fields["nodes"] or {"x": torch.zeros(int(data.num_nodes or 0), 0)}
    edge_index = data.edge_index if data.get("edge_index") is not None else torch.zeros(2, 0)
    specs = {(place, name): spec for (place, name), spec in memo.specs.items() if name in fields[place]}
    return Graph.create(edge_index, **fields, specs=specs, node_counts=counts)


def _data_class() -> type[Data]:
    try:
        from torch_geometric.data import Data
    except ImportError as error:
        raise ImportError(
            "PyTorch Geometric is not installed: pip install 'sciml[pyg]' (or torch_geometric)."
        ) from error
    return Data


def _counts(data: Data) -> Tensor:
    if data.get("ptr") is not None:
        return data.ptr.diff()
    if data.get("batch") is None:
        return torch.tensor([int(data.num_nodes or 0)])
    if (data.batch.diff() < 0).any():
        raise ValueError("data.batch is not ascending: sort the nodes by graph first.")
    return torch.bincount(data.batch)


def _tensor(value: Any, key: str) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        logger.warning("%r is %s, which a Graph does not hold: left out.", key, type(value).__name__)
        return None


def _guess(data: Data, key: str) -> tuple[Place, str]:
    place: Place = "edges" if data.is_edge_attr(key) else "nodes" if data.is_node_attr(key) else "globals"
    return place, _plain(key, place)


def _plain(key: str, place: Place) -> str:
    return key.removeprefix("edge_") if place == "edges" else key
