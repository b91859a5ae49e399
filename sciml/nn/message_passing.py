"""The engine: one operation over many domains.

    x_i'  =  update( x_i , aggregate_j  weight_ij · message(x_i, x_j, geometry_ij) )

Convolution, attention and message passing differ only in what fills the slots. A layer fills them; the
engine gathers, reduces and records. The edge form below is the definition of every layer; where a layer
has a faster form, `fused_forward`, a test holds the two equal and recording always sees the edge form.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sciml.graph import Graph
from sciml.nn.about import About
from sciml.symmetry import Symmetry

Reduction = Literal["sum", "mean", "max"]


class Edges:
    """The edges of a graph as a layer sees them: fields gathered at their two ends, and geometry.

    Fields are looked up on the graph when asked for, so a layer states what it reads where it reads it.
    They are gathered by ``index_select``, whose backward is a sum over sorted rows: several times faster
    than indexing by ``[]``, and deterministic.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def receiver(self, name: str) -> Float[Tensor, "edges ..."]:
        """Return a node field at the receiving end of each edge."""
        return self.graph.nodes[name].index_select(0, self.graph.receiver)

    def sender(self, name: str) -> Float[Tensor, "edges ..."]:
        """Return a node (or sender) field at the sending end of each edge."""
        fields = self.graph.nodes if self.graph.senders is None else self.graph.senders
        return fields[name].index_select(0, self.graph.sender)

    def __getitem__(self, name: str) -> Float[Tensor, "edges ..."]:
        return self.graph.edges[name]

    def vectors(self, name: str = "pos") -> Float[Tensor, "edges dim"]:
        """Return vectors from sender to receiver."""
        return self.graph.edge_vectors(name)


@dataclass
class Recording:
    """What the layers of a model said while it was recorded, layer by layer, in order of the calls.

    Attributes:
        messages: layer name to the messages of each call, each ``(edges, channels)``.
        inputs: layer name to the named inputs of the messages of each call, each with one row per edge.
    """

    messages: dict[str, list[Tensor]] = field(default_factory=dict)
    inputs: dict[str, list[dict[str, Tensor]]] = field(default_factory=dict)

    def add(self, layer: str, message: Tensor, inputs: dict[str, Tensor]) -> None:
        """Append one call of a layer."""
        self.messages.setdefault(layer, []).append(message.detach())
        self.inputs.setdefault(layer, []).append({name: value.detach() for name, value in inputs.items()})


class MessagePassing(nn.Module):
    """A layer: Graph to Graph, by messages along edges.

    Subclasses fill `message` and `update`, and, where the domain asks for it, `score`, `normalize` and
    `aggregate`. Class attributes:

    Attributes:
        reduction: how messages that meet at a receiver are joined.
        symmetry: the group under which the layer is equivariant; checked by `sciml.symmetry.check`.
        about: the layer in a few words, for the gallery.
        fused: use `fused_forward` where there is one; False forces the edge form.
    """

    reduction: Reduction = "sum"
    symmetry: Symmetry
    about: About
    fused: bool = True

    def __init__(self) -> None:
        super().__init__()
        self._recording: tuple[str, Recording] | None = None

    # ------------------------------------------------------------ the slots

    def score(self, edges: Edges) -> Tensor | None:
        """Return how much each edge counts, before normalization; None where all count alike."""
        return None

    def normalize(self, score: Tensor, graph: Graph) -> Tensor:
        """Turn scores into weights: as they are, unless a layer normalizes (attention: `segment_softmax`)."""
        return score

    def message(self, edges: Edges) -> Float[Tensor, "edges ..."]:
        """Return what each edge carries."""
        raise NotImplementedError(f"{type(self).__name__} must define message(edges).")

    def aggregate(self, messages: Float[Tensor, "edges ..."], graph: Graph) -> Float[Tensor, "nodes ..."]:
        """Join the messages that meet at each receiver."""
        return segment_reduce(messages, graph.receiver, graph.num_nodes, self.reduction)

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes ..."]) -> Graph:
        """Return the graph with its new fields."""
        raise NotImplementedError(f"{type(self).__name__} must define update(graph, aggregated).")

    def message_inputs(self, edges: Edges) -> dict[str, Tensor]:
        """Return the named variables that a message is a function of, for the record."""
        return {}

    def fused_forward(self, graph: Graph) -> Graph | None:
        """Return the same result by a faster path, or None where there is none."""
        return None

    # ----------------------------------------------------------- the engine

    def forward(self, graph: Graph) -> Graph:
        """Pass messages along all edges once."""
        if self.fused and self._recording is None:
            result = self.fused_forward(graph)
            if result is not None:
                return result
        edges = Edges(graph)
        messages = self.message(edges)
        score = self.score(edges)
        if score is not None:
            weight = self.normalize(score, graph)
            messages = weight.reshape(weight.shape + (1,) * (messages.ndim - weight.ndim)) * messages
        if self._recording is not None:
            name, recording = self._recording
            recording.add(name, messages, self.message_inputs(edges))
        return self.update(graph, self.aggregate(messages, graph))


@contextmanager
def recording(model: nn.Module) -> Iterator[Recording]:
    """Record the messages of every `MessagePassing` layer in a model, by their edge form.

    >>> with recording(model) as tape:
    ...     model(graph)
    >>> tape.messages["force"][0]  # doctest: +SKIP
    """
    tape = Recording()
    layers = {name or "layer": m for name, m in model.named_modules() if isinstance(m, MessagePassing)}
    if not layers:
        raise ValueError(
            f"{type(model).__name__} has no MessagePassing layer, so it has no messages to record. "
            "Build it from sciml.nn layers, or give inputs and outputs to sciml.distill.search yourself."
        )
    try:
        for name, layer in layers.items():
            layer._recording = (name, tape)
        yield tape
    finally:
        for layer in layers.values():
            layer._recording = None


# ------------------------------------------------------------ segment operations


def segment_reduce(
    values: Float[Tensor, "edges ..."],
    receiver: Int[Tensor, "edges"],
    num_nodes: int,
    reduction: Reduction = "sum",
) -> Float[Tensor, "nodes ..."]:
    """Join the rows that share a receiver; nodes without edges get zero.

    Receivers are sorted, which makes ``index_add`` run through memory in order: on CPU it beats
    ``segment_reduce`` and sparse products.
    """
    out = values.new_zeros((num_nodes, *values.shape[1:]))
    if reduction == "sum":
        return out.index_add(0, receiver, values)
    if reduction == "mean":
        ones = values.new_ones(values.shape[0])
        count = values.new_zeros(num_nodes).index_add(0, receiver, ones).clamp(min=1)
        return out.index_add(0, receiver, values) / count.reshape(-1, *(1,) * (values.ndim - 1))
    if reduction == "max":
        index = receiver.reshape(-1, *(1,) * (values.ndim - 1)).expand_as(values)
        return out.scatter_reduce(0, index, values, "amax", include_self=False)
    raise ValueError(f"Unknown reduction {reduction!r}; choose sum, mean or max.")


def segment_softmax(
    score: Float[Tensor, "edges ..."], receiver: Int[Tensor, "edges"], num_nodes: int
) -> Float[Tensor, "edges ..."]:
    """Softmax over the edges that share a receiver: positive weights that sum to one at each node."""
    peak = segment_reduce(score.detach(), receiver, num_nodes, "max")
    weight = torch.exp(score - peak.index_select(0, receiver))
    return weight / segment_reduce(weight, receiver, num_nodes).index_select(0, receiver)
