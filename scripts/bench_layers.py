"""Layers beside their peers, in one run: python scripts/bench_layers.py [threads=1] [repeats=15].

Every pair is timed in turn, A B A B ..., and the ratio is the median over pairs, so that a drift of the
machine's speed does no harm. Forward and backward, float32, unless the row says otherwise. The peers are
not dependencies: where one is missing its rows say so. To have them, in an environment of their own:

    pip install torch_geometric kymatio escnn 'numpy<2' 'scikit-learn<1.2'

(escnn asks for NumPy 1, for an old scikit-learn, and for a Fortran compiler when it is installed).
"""

from __future__ import annotations

import importlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from bench_scattering import scattering_1d, scattering_2d
from common import keep_memory
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from sciml.builders import complete_graph, grid_graph
from sciml.graph import Graph, Spec
from sciml.nn import EdgeMLP, GridConvolution, GroupConvolution, MultiHeadAttention, segment_reduce

NODES, EDGES = 10_000, 200_000


class Row(NamedTuple):
    """A comparison: times in ms, the median of ours/peer, and what the ratio must not exceed."""

    work: str
    peer: str
    ours: float
    theirs: float
    ratio: float
    goal: float


def paired(
    ours: Callable[[], object], peer: Callable[[], object], repeats: int
) -> tuple[float, float, float]:
    """Time two functions in turn; return both medians in ms and the median of their ratios."""
    for _ in range(2):  # warm up
        ours()
        peer()
    times = [(_time(ours), _time(peer)) for _ in range(repeats)]
    a, b = zip(*times)
    return 1e3 * statistics.median(a), 1e3 * statistics.median(b), statistics.median(x / y for x, y in times)


def _time(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def there_and_back(function: Callable[..., Tensor], *leaves: Tensor, parameters: nn.Module | None = None):
    """Return a function that evaluates forward and backward and drops the gradients."""
    targets = [x.requires_grad_() for x in leaves] + (list(parameters.parameters()) if parameters else [])

    def run() -> None:
        out = function()
        torch.autograd.grad(out, targets, torch.ones_like(out))

    return run


# ------------------------------------------------------------------------ the rows


def message_passing(repeats: int) -> Iterator[Row]:
    """Gather, network on the edge, sum: against PyTorch Geometric."""
    from torch_geometric.nn import MessagePassing

    class Peer(MessagePassing):
        def __init__(self, width: int) -> None:
            super().__init__(aggr="add")
            self.net = nn.Sequential(nn.Linear(3 * width, width), nn.SiLU(), nn.Linear(width, width))

        def forward(self, x, edge_index, e):
            return self.propagate(edge_index, x=x, e=e)

        def message(self, x_i, x_j, e):
            return self.net(torch.cat([x_i, x_j, e], dim=-1))

    for width in (64, 128):
        edge_index = torch.randint(NODES, (2, EDGES))
        x, e = torch.randn(NODES, width), torch.randn(EDGES, width)
        graph = Graph.create(edge_index, {"x": x}, {"e": e})
        layer, peer = EdgeMLP(width, edge_channels=width), Peer(width)
        x, e = graph.nodes["x"], graph.edges["e"]
        ours = there_and_back(
            lambda graph=graph, layer=layer: layer(graph).nodes["x"], x, e, parameters=layer
        )
        theirs = there_and_back(
            lambda graph=graph, peer=peer, x=x, e=e: peer(x, graph.edge_index, e), x, e, parameters=peer
        )
        title = f"message passing, {NODES} nodes, {EDGES} edges, {width} channels"
        yield Row(title, "PyTorch Geometric", *paired(ours, theirs, repeats), 1 / 2.5)


def scatter_sum(repeats: int) -> Iterator[Row]:
    """Sum of edges at their receivers: against a copy, which moves as many bytes as sum and gradient."""
    for width in (64, 128):
        receiver = torch.randint(NODES, (EDGES,)).sort().values
        values, plain = torch.randn(EDGES, width), torch.randn(EDGES, width)
        ours = there_and_back(
            lambda values=values, receiver=receiver: segment_reduce(values, receiver, NODES), values
        )
        copy = lambda plain=plain: plain.clone()
        yield Row(f"scatter-sum, {EDGES} × {width}", "a copy (bandwidth)", *paired(ours, copy, repeats), 2.0)


def convolution(repeats: int) -> Iterator[Row]:
    """Convolution on a grid: against torch's own kernel, on arrays with channels last in memory."""
    for shape, channels, periodic in (((64, 64), 32, False), ((64, 64), 32, True), ((32, 32, 32), 16, False)):
        dim, values = len(shape), torch.randn(8, channels, *shape)
        graph = grid_graph(values, periodic=periodic)
        layer = GridConvolution(channels, channels, 3, dim=dim)
        ours = there_and_back(
            lambda graph=graph, layer=layer: layer(graph).nodes["x"], graph.nodes["x"], parameters=layer
        )
        memory = torch.channels_last if dim == 2 else torch.channels_last_3d
        last = values.to(memory_format=memory)
        kernel = F.conv2d if dim == 2 else F.conv3d

        def peer(last=last, layer=layer, kernel=kernel, dim=dim, periodic=periodic) -> Tensor:
            if not periodic:
                return kernel(last, layer.weight, layer.bias, padding=1)
            return kernel(F.pad(last, (1, 1) * dim, mode="circular"), layer.weight, layer.bias)

        theirs = there_and_back(peer, last, parameters=layer)
        kind = "periodic" if periodic else "bounded"
        title = f"convolution, {'×'.join(map(str, shape))}, {channels} channels, {kind}"
        yield Row(title, "torch", *paired(ours, theirs, repeats), 1.1)


def attention(repeats: int) -> Iterator[Row]:
    """Attention on complete graphs: against torch's fused kernel between the same linear maps."""
    for graphs, nodes, channels in ((64, 32, 64), (16, 128, 128), (4, 512, 256)):
        values, heads = torch.randn(graphs, nodes, channels), 8
        graph, layer = complete_graph(values), MultiHeadAttention(channels, heads)
        ours = there_and_back(
            lambda graph=graph, layer=layer: layer(graph).nodes["x"], graph.nodes["x"], parameters=layer
        )

        def peer(x=values, layer=layer, heads=heads) -> Tensor:
            q, k, v = (
                linear(x).unflatten(-1, (heads, -1)).transpose(1, 2)
                for linear in (layer.query, layer.key, layer.value)
            )
            return layer.output(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))

        theirs = there_and_back(peer, values, parameters=layer)
        title = f"attention, {graphs} × {nodes} nodes, {channels} channels, {heads} heads"
        yield Row(title, "torch", *paired(ours, theirs, repeats), 1.1)


def group_convolution(repeats: int) -> Iterator[Row]:
    """Convolution on p4 and p4m, and how long it takes to build: against escnn."""
    from escnn import gspaces
    from escnn import nn as enn

    for group, space, elements in (
        ("C4", gspaces.rot2dOnR2(4), 4),
        ("D4", gspaces.flipRot2dOnR2(4), 8),
        ("C8", gspaces.rot2dOnR2(8), 8),
    ):
        channels, kernel, values = 8, 5, torch.randn(4, 8 * elements, 64, 64)
        kind = enn.FieldType(space, channels * [space.regular_repr])
        options = {"kernel_size": kernel, "padding": kernel // 2, "bias": True}
        build = lambda channels=channels, group=group, kernel=kernel: GroupConvolution(
            channels, channels, group, kernel
        )
        build_peer = lambda kind=kind, options=options: enn.R2Conv(kind, kind, **options)
        yield Row(f"group convolution {group}, building", "escnn", *paired(build, build_peer, 3), 1.0)
        layer, peer = build(), build_peer()
        graph = grid_graph(values)
        field = graph.nodes["x"].unflatten(1, (channels, elements)).contiguous()
        graph = graph.with_nodes({"x": Spec(regular=group)}, x=field)
        leaf = values.clone()
        ours = there_and_back(
            lambda graph=graph, layer=layer: layer(graph).nodes["x"], graph.nodes["x"], parameters=layer
        )
        theirs = there_and_back(
            lambda peer=peer, kind=kind, leaf=leaf: peer(enn.GeometricTensor(leaf, kind)).tensor,
            leaf,
            parameters=peer,
        )
        title = f"group convolution {group}, 64×64, {channels} channels, kernel {kernel}"
        yield Row(title, "escnn", *paired(ours, theirs, repeats), 1.0)


def scattering(repeats: int) -> Iterator[Row]:
    """Scattering in 1-D and 2-D: against kymatio's torch backend (bench_scattering.py has more of it)."""
    for timing in (
        scattering_1d(batch=1, repeat=repeats),
        scattering_1d(batch=8, repeat=repeats),
        scattering_2d(64, 3, batch=16, repeat=repeats),
        scattering_2d(256, 4, batch=1, repeat=repeats),
    ):
        assert timing.peer_both is not None
        yield Row(
            f"scattering, {timing.name}",
            "kymatio",
            timing.both,
            timing.peer_both,
            timing.both / timing.peer_both,
            1.0,
        )


ROWS = {
    message_passing: "torch_geometric",
    scatter_sum: "torch",
    convolution: "torch",
    attention: "torch",
    group_convolution: "escnn",
    scattering: "kymatio",
}


def main() -> None:
    options = {"threads": 1, "repeats": 15, "only": ""} | dict(OmegaConf.from_cli(sys.argv[1:]))
    keep_memory()
    torch.set_num_threads(options["threads"])
    torch.manual_seed(0)
    table = Table(
        "work", "peer", "ours, ms", "peer, ms", "ours / peer", "goal", title="layers and their peers"
    )
    for rows, peer in ROWS.items():
        if options["only"] not in rows.__name__:
            continue
        try:
            importlib.import_module(peer)
        except ImportError as error:
            table.add_row(rows.__name__.replace("_", " "), peer, "", "", f"not measured: {error}", "")
            continue
        for row in rows(options["repeats"]):
            verdict = "met" if row.ratio <= row.goal else "missed"
            numbers = (
                f"{row.ours:.2f}",
                f"{row.theirs:.2f}",
                f"{row.ratio:.2f}",
                f"≤ {row.goal:.2f}: {verdict}",
            )
            table.add_row(row.work, row.peer, *numbers)
            print(row.work, *numbers, sep="  ", file=sys.stderr, flush=True)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
