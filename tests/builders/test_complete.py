"""Graphs for attention: who hears whom, layouts that stay honest, and bad input named."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sciml.builders import complete_graph, grid_graph, sequence_graph
from sciml.graph import Complete, Graph, Spec, batch, unbatch

sizes = st.lists(st.integers(0, 5), min_size=1, max_size=4)


def rows(*counts, channels=2, dtype=torch.float64):
    return [
        torch.randn(n, channels, generator=torch.Generator().manual_seed(i), dtype=dtype)
        for i, n in enumerate(counts)
    ]


def honest(graph):
    """Whether the edges are what the layout promises, in its order."""
    layout, senders = graph.layout, graph.node_counts if graph.sender_counts is None else graph.sender_counts
    expected, node, sender = [], 0, 0
    for n, m in zip(graph.node_counts.tolist(), senders.tolist()):
        expected += [(sender + j, node + i) for i in range(n) for j in range(m)]
        node, sender = node + n, sender + m
    return (
        isinstance(layout, Complete)
        and [tuple(edge) for edge in graph.edge_index.T.tolist()] == expected
        and layout.receivers >= max(graph.node_counts.tolist(), default=0)
        and layout.senders >= max(senders.tolist(), default=0)
        and graph.edge_counts.tolist() == (graph.node_counts * senders).tolist()
    )


def same(a, b):
    fields = lambda g: {(p, n): v for p in ("nodes", "senders") for n, v in (getattr(g, p) or {}).items()}
    assert fields(a).keys() == fields(b).keys()
    assert all(torch.equal(v, fields(b)[k]) for k, v in fields(a).items())
    assert torch.equal(a.edge_index, b.edge_index)
    assert torch.equal(a.node_counts, b.node_counts)
    assert torch.equal(a.edge_counts, b.edge_counts)
    assert a.layout == b.layout


@given(sizes)
def test_every_node_hears_every_node(counts):
    graph = complete_graph(rows(*counts), pos=rows(*counts, channels=3))
    assert honest(graph)
    assert graph.layout == Complete(max(counts), max(counts))
    checked = Graph.create(graph.edge_index, graph.nodes, node_counts=graph.node_counts)
    assert torch.equal(checked.edge_index, graph.edge_index)  # sorted, and within graphs
    assert torch.equal(checked.edge_counts, graph.edge_counts)


@given(sizes, st.data())
def test_receivers_hear_all_senders(counts, data):
    others = data.draw(st.lists(st.integers(0, 5), min_size=len(counts), max_size=len(counts)))
    graph = complete_graph(rows(*counts), rows(*others, channels=3))
    assert honest(graph)
    assert graph.two_sided
    assert graph.spec("senders", "x") == Spec("3x0e")


@given(sizes)
def test_batches_and_parts_keep_honest_layouts(counts):
    graph = complete_graph(rows(*counts), rows(*reversed(counts)))
    parts = unbatch(graph)
    for part, n, m in zip(parts, counts, reversed(counts)):
        assert honest(part)
        assert part.layout == Complete(n, m)
    same(batch(parts), graph)
    alone = [complete_graph([a], [b]) for a, b in zip(rows(*counts), rows(*reversed(counts)))]
    for part, single in zip(unbatch(batch(alone)), alone):
        same(part, single)
    for choice in (0, -1, [0, 0], slice(1, None)):
        assert honest(graph[choice])
    assert graph[0].layout == parts[0].layout


def test_what_changes_edges_loses_the_layout():
    graph = complete_graph(torch.randn(2, 3, 1))
    assert graph.with_nodes(y=torch.zeros(6)).to(torch.float64).layout == Complete(3, 3)
    assert graph.replace(edge_index=graph.edge_index[:, :4]).layout is None
    assert batch([graph, sequence_graph(torch.randn(1, 3, 1)).without("nodes", "pos")]).layout is not None
    assert (
        batch([graph, Graph.create(torch.zeros(2, 0), {"x": torch.zeros(1, 1)}, specs=graph.specs)]).layout
        is None
    )


@given(sizes, st.booleans(), st.none() | st.integers(0, 6))
def test_places_of_a_sequence_hear_window_and_past(counts, causal, reach):
    graph = sequence_graph(rows(*counts), causal=causal, reach=reach)
    expected, first = [], 0
    for n in counts:
        expected += [
            (first + j, first + i)
            for i in range(n)
            for j in range(n)
            if (j <= i or not causal) and (reach is None or abs(i - j) <= reach)
        ]
        first += n
    assert [tuple(edge) for edge in graph.edge_index.T.tolist()] == expected
    assert graph.nodes["pos"][:, 0].tolist() == [i for n in counts for i in range(n)]
    assert int(graph.edge_counts.sum()) == len(expected)
    assert len(graph.edge_counts) == len(counts)
    assert (graph.layout is None) == (causal or reach is not None)


def test_a_window_is_a_grids():
    values = torch.randn(2, 7, 3)
    ours, grids = sequence_graph(values, reach=2), grid_graph(values.mT, kernel=5, spacing=1.0)
    assert torch.equal(ours.edge_index, grids.edge_index)
    assert torch.equal(ours.nodes["x"], grids.nodes["x"])
    assert torch.equal(ours.nodes["pos"], grids.nodes["pos"])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: complete_graph(torch.zeros(3, 2)), ValueError, r"values\[None\]"),
        (lambda: complete_graph([]), ValueError, "no graph"),
        (lambda: complete_graph([[1.0]]), TypeError, "graph 0 must be a tensor of floats, not list"),
        (lambda: complete_graph([torch.zeros(2, 1).long()]), TypeError, "int64"),
        (lambda: complete_graph([torch.zeros(2, 1), torch.zeros(2, 3)]), ValueError, "graph 1 has shape"),
        (
            lambda: complete_graph([torch.tensor([[0.0], [torch.nan]])]),
            ValueError,
            "node 1, channel 0: nan",
        ),
        (lambda: complete_graph(torch.zeros(1, 2, 1), torch.zeros(2, 2, 1)), ValueError, "1 graphs, senders"),
        (lambda: complete_graph(torch.zeros(1, 2, 1), pos=torch.zeros(1, 3, 2)), ValueError, "pos has"),
        (
            lambda: complete_graph(torch.zeros(1, 2, 1), sender_pos=torch.zeros(1, 2, 1)),
            ValueError,
            "without",
        ),
        (
            lambda: complete_graph(torch.zeros(1, 2, 1), torch.zeros(1, 2, 1), pos=torch.zeros(1, 2, 1)),
            ValueError,
            "both node sets",
        ),
        (lambda: sequence_graph(torch.zeros(1, 2, 1), reach=-1), ValueError, "reach -1"),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
