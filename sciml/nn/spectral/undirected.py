"""Is every edge there in both directions, with one weight? Spectra of graphs ask for it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from sciml.graph import Graph

_CHECKED = WeakIdKeyDictionary()  # edges or weights that passed: the layers of a model ask once


def edge_weights(graph: Graph, name: str | None, dtype: torch.dtype) -> Float[Tensor, "edges"]:
    """Return the weights that an edge field holds, ones if there is no name.

    Raises:
        ValueError: a two-sided graph, no such field, a field with more than one number for each edge.
        TypeError: weights for a complex field.
    """
    if dtype.is_complex:
        raise TypeError("Laplacians act on real fields: filter real and imaginary parts as two channels.")
    if not dtype.is_floating_point:
        dtype = torch.get_default_dtype()
    if graph.two_sided:
        raise ValueError("A Laplacian needs one node set; this graph has senders apart from its nodes.")
    if name is None:
        return torch.ones(graph.num_edges, dtype=dtype, device=graph.device)
    if name not in graph.edges:
        known = ", ".join(graph.edges) or "none"
        raise ValueError(f"There is no edge field {name!r} to take weights from; the graph has {known}.")
    weight = graph.edges[name]
    if weight.ndim != 1:
        raise ValueError(
            f"edges.{name} has shape {tuple(weight.shape)}; weights are one number for each edge, (edges,)."
        )
    return weight.to(dtype)


def check_signal(x: Tensor, channels: int | None, layer: str, field: str) -> None:
    """Raise ValueError unless the field is (nodes, channels)."""
    if x.ndim != 2 or channels not in (None, x.shape[1]):
        raise ValueError(
            f"{layer} takes {channels or 'any number of'} channels; nodes.{field} has shape {tuple(x.shape)}"
            f", expected (nodes, {channels or 'channels'})."
        )


def dtype_of(graph: Graph, weight: str | None = None) -> torch.dtype:
    """Return the precision of the weights, or of the first field of floats on nodes, or torch's default."""
    own = [graph.edges[weight]] if weight in graph.edges else []
    values = [v for v in (*own, *graph.nodes.values()) if v.is_floating_point()]
    return values[0].dtype if values else torch.get_default_dtype()


def check_undirected(graph: Graph, weight: str | None = None, tolerance: float | None = None) -> None:
    """Raise ValueError unless every edge i→j has its j→i with the same weight, and none is negative.

    It takes a time proportional to the number of edges: with random numbers v at the nodes, the sum of
    w_ij v_j over what a node receives must equal that over what it sends. On devices other than the CPU,
    where looking at values would stop the queue, nothing is checked.

    Args:
        graph: with one node set.
        weight: the edge field that holds weights; None if all are one.
        tolerance: largest difference, relative to the sum of a node's weights. By default 1e-9 where all
            weights are one, 1e-5 for weights in float64 and 1e-4 below.
    """
    weights = edge_weights(graph, weight, torch.float64).detach()
    if graph.device.type != "cpu" or torch.compiler.is_compiling() or graph.num_edges == 0:
        return
    key = graph.edge_index if weight is None else graph.edges[weight]
    if tolerance is None:
        tolerance = {torch.int64: 1e-9, torch.float64: 1e-5}.get(key.dtype, 1e-4)
    stamp = None if key.is_inference() else (id(graph.edge_index), key._version, tolerance)
    if stamp is not None and _CHECKED.get(key) == stamp:
        return
    negative = weights.lt(0).logical_or(weights.isnan())
    if negative.any():
        edge = int(negative.nonzero()[0])
        raise ValueError(
            f"{_edge(graph, edge)} has weight {float(weights[edge]):g}; weights must be numbers of at least "
            "zero (a Laplacian with negative weights has no heat flow and no square root)."
        )
    v = torch.rand(graph.num_nodes, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    zero = torch.zeros_like(v)
    received = zero.index_add(0, graph.receiver, weights * v[graph.sender])
    sent = zero.index_add(0, graph.sender, weights * v[graph.receiver])
    if not bool(((received - sent).abs() <= tolerance * (received + sent)).all()):
        raise ValueError(_first_asymmetry(graph, weights))
    if stamp is not None:
        _CHECKED[key] = stamp


def _first_asymmetry(graph: Graph, weights: Tensor) -> str:
    """Name the pair of nodes whose weights differ most."""
    n = graph.num_nodes
    pairs, place = torch.unique(torch.cat([_pair(graph, n), _pair(graph, n, swap=True)]), return_inverse=True)
    signed = torch.cat([weights, -weights])
    net = torch.zeros(len(pairs), dtype=weights.dtype).index_add(0, place, signed)
    worst = int(net.abs().argmax())
    sender, receiver = divmod(int(pairs[worst]), n)
    total = lambda a, b: float(weights[(graph.sender == a) & (graph.receiver == b)].sum())
    there, back = total(sender, receiver), total(receiver, sender)
    return (
        f"The graph is directed: weight {there:g} from node {sender} to {receiver}, {back:g} the other way. "
        "A Laplacian's spectrum needs undirected edges: give each edge in both directions with one weight, "
        "for instance the mean of the two."
    )


def _pair(graph: Graph, n: int, swap: bool = False) -> Tensor:
    a, b = (graph.receiver, graph.sender) if swap else (graph.sender, graph.receiver)
    return a * n + b


def _edge(graph: Graph, edge: int) -> str:
    return f"Edge {int(graph.sender[edge])} -> {int(graph.receiver[edge])}"
