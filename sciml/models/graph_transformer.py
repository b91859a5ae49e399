"""A Transformer on graphs: sets, sequences, images, molecules, by the choice of its encodings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal

from torch import nn

from sciml.graph import Graph
from sciml.nn.attention import (
    DistanceBias,
    EdgeBias,
    LabelBias,
    LaplacianEncoding,
    LearnedEncoding,
    NodeEncoding,
    OffsetBias,
    QuadraticBias,
    Rotary,
    ScoreBias,
    SinusoidalEncoding,
    SpectralBias,
    TransformerBlock,
    WalkEncoding,
)
from sciml.nn.attention.fields import check_heads, check_one_set, common_groups, read
from sciml.nn.message_passing import segment_reduce
from sciml.symmetry import Symmetry

AT_NODES: dict[str, Callable[..., NodeEncoding]] = {
    "sinusoidal": SinusoidalEncoding,
    "learned": LearnedEncoding,
    "walks": WalkEncoding,
    "laplacian": LaplacianEncoding,
}
ON_SCORES: dict[str, Callable[..., ScoreBias]] = {
    "label": LabelBias,
    "hops": lambda heads, most=8, **options: LabelBias(heads, most + 2, "hops", **options),
    "offset": OffsetBias,
    "distance": DistanceBias,
    "quadratic": QuadraticBias,
    "edge": EdgeBias,
    "spectral": SpectralBias,
}
ENCODINGS = (*AT_NODES, *ON_SCORES, "rotary")


class GraphTransformer(nn.Module):
    """A linear map, encodings at nodes, Transformer blocks with encodings on scores, and a linear map.

    Args:
        inputs: channels of the node field that is read.
        outputs: numbers that are given.
        channels, layers, heads: of the Transformer.
        encodings: names of `ENCODINGS`, or names to the options of their classes, as
            ``{"distance": {"extent": 5.0}, "walks": {"steps": 8}}``.
        readout: one row of outputs for each of the ``graphs`` (from the mean over its nodes), or ``nodes``.
        factor, dropout: see `TransformerBlock`.
        field: node field that is read.
        output: name of the field that is written.

    Raises:
        ValueError: heads that do not divide the channels, an unknown encoding or readout, options that an
            encoding does not take; in use, whatever the encodings lack, by name.

    Its symmetry is that of nodes, and of space what all encodings that read positions keep: ``distance``
    E(d), ``rotary``, ``offset`` and ``quadratic`` T(d), ``sinusoidal`` and ``learned`` none.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        channels: int = 64,
        layers: int = 4,
        heads: int = 8,
        encodings: Sequence[str] | Mapping[str, Mapping[str, Any]] = (),
        readout: Literal["graphs", "nodes"] = "graphs",
        factor: int = 4,
        dropout: float = 0.0,
        field: str = "x",
        output: str = "output",
    ) -> None:
        super().__init__()
        if readout not in ("graphs", "nodes"):
            raise ValueError(f"Unknown readout {readout!r}; choose graphs or nodes.")
        width = check_heads(channels, heads, "GraphTransformer")
        chosen = {n: {} for n in encodings} if not isinstance(encodings, Mapping) else encodings
        for name in chosen:
            if name not in ENCODINGS:
                near = get_close_matches(name, ENCODINGS, n=1) or ENCODINGS
                raise ValueError(f"Unknown encoding {name!r}; did you mean {' or '.join(near)}?")
        self.inputs, self.field, self.output, self.readout = inputs, field, output, readout
        self.embedding = nn.Linear(inputs, channels)
        self.encodings = nn.ModuleList(
            _made(name, AT_NODES[name], channels, options)
            for name, options in chosen.items()
            if name in AT_NODES
        )
        self.blocks = nn.ModuleList(
            TransformerBlock(
                channels,
                heads,
                biases=[_made(n, ON_SCORES[n], heads, o) for n, o in chosen.items() if n in ON_SCORES],
                rotary=_made("rotary", Rotary, width, chosen["rotary"]) if "rotary" in chosen else None,
                factor=factor,
                dropout=dropout,
            )
            for _ in range(layers)
        )
        self.head = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, outputs))
        readers = [m for m in self.modules() if isinstance(m, NodeEncoding | ScoreBias | Rotary)]
        self.symmetry = Symmetry(("S", *common_groups(readers)))

    def forward(self, graph: Graph) -> Graph:
        """Return the graph with the output field."""
        check_one_set(graph, "GraphTransformer")
        x = self.embedding(read(graph, "nodes", self.field, "GraphTransformer", self.inputs))
        inner = graph.with_nodes(x=x)
        for module in (*self.encodings, *self.blocks):
            inner = module(inner)
        x = self.head[0](inner.nodes["x"])
        if self.readout == "nodes":
            return graph.with_nodes(**{self.output: self.head[1](x)})
        mean = segment_reduce(x, graph.node_graph, graph.num_graphs, "mean")
        return graph.with_globals(**{self.output: self.head[1](mean)})


def _made(name: str, make: Callable[..., Any], size: int, options: Mapping[str, Any]) -> Any:
    """Make an encoding, with its name in the message where its options do not fit."""
    try:
        return make(size, **options)
    except TypeError as error:
        what = str(error).split(")", 1)[-1].strip()
        raise ValueError(f"Encoding {name!r} with options {dict(options)}: it is {what}.") from None
