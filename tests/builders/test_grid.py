"""A grid as a graph: the right edges, the right vectors, and back to the array."""

import math
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sciml.builders import grid_graph, grid_values
from sciml.graph import Complete, Grid, batch, unbatch
from sciml.graph.layout import common


def images(*shape, graphs=2, channels=3, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(graphs, channels, *shape, generator=random, dtype=torch.float64)


@given(
    shape=st.lists(st.integers(3, 5), min_size=1, max_size=3),
    kernel=st.integers(1, 3),
    periodic=st.booleans(),
    seed=st.integers(0, 9),
)
def test_edges_are_the_window_of_a_convolution(shape, kernel, periodic, seed):
    """The sum over a window is torch's own sum over unfolded windows: an independent definition."""
    values = images(*shape, seed=seed)
    graph = grid_graph(values, kernel=kernel, periodic=periodic)
    total = torch.zeros_like(graph.nodes["x"]).index_add(0, graph.receiver, graph.nodes["x"][graph.sender])
    expected = values
    for axis in range(2, values.ndim):
        rolled = [expected.roll(-o, axis) for o in range(-((kernel - 1) // 2), kernel // 2 + 1)]
        if not periodic:
            for o, part in zip(range(-((kernel - 1) // 2), kernel // 2 + 1), rolled):
                index = torch.arange(values.shape[axis]) + o
                outside = ((index < 0) | (index >= values.shape[axis])).nonzero().flatten()
                part.index_fill_(axis, outside, 0.0)
        expected = sum(rolled)
    torch.testing.assert_close(grid_values(graph.with_nodes(x=total)), expected)
    assert (graph.receiver.diff() >= 0).all()


@pytest.mark.parametrize("periodic", [False, True, (True, False)])
def test_vectors_are_the_offsets(periodic):
    graph = grid_graph(images(4, 5), kernel=3, dilation=(1, 2), periodic=periodic, spacing=(0.5, 2.0))
    offsets = torch.tensor(graph.layout.offsets, dtype=torch.float64)[graph.edges["offset"]]
    torch.testing.assert_close(graph.edge_vectors(), -offsets * torch.tensor([0.5, 2.0]).double())


def test_round_trips():
    values = images(4, 5)
    graph = grid_graph(values, kernel=3, spacing=1.0)
    assert grid_values(graph).equal(values)
    parts = unbatch(graph)
    assert all(part.layout == graph.layout for part in parts)
    again = batch(parts)
    assert again.layout == graph.layout
    assert again.edge_index.equal(graph.edge_index)
    assert grid_values(graph[1]).equal(values[1:])
    assert pickle.loads(pickle.dumps(graph)).layout == graph.layout
    assert "layout  Grid" in repr(graph)


def test_the_layout_is_lost_with_the_numbering():
    graph = grid_graph(images(4, 4), kernel=3)
    assert graph.with_nodes(y=graph.nodes["x"]).to(torch.float32).layout == graph.layout
    assert graph.replace(edge_index=graph.edge_index.flip(0)).layout is None
    assert batch([graph, grid_graph(images(4, 5), kernel=3)]).layout is None
    with pytest.raises(ValueError, match="no grid layout"):
        grid_values(graph.replace(edge_index=graph.edge_index.flip(0)))


def test_layouts_of_complete_graphs_widen():
    assert common([Complete(3, 4), Complete(5, 2)]) == Complete(5, 4)
    assert common([Complete(3, 3), None]) is None
    assert common([Complete(3, 3), Grid((3,), (True,))]) is None


@pytest.mark.parametrize(
    ("values", "options", "error", "message"),
    [
        (torch.ones(1, 1, 4, dtype=torch.long), {}, TypeError, "int64"),
        (torch.ones(4, 4), {}, ValueError, r"shape \(4, 4\).*values\[None\]"),
        (torch.ones(1, 1, 0), {}, ValueError, "no grid points"),
        (torch.tensor([[[1.0, math.nan]]]), {}, ValueError, r"1 that are not finite.*\(0, 0, 1\)"),
        (images(4, 2), {"kernel": 3}, ValueError, "larger than the grid's 2 along axis 1"),
        (images(4, 4), {"kernel": (3, 3, 3)}, ValueError, "kernel has 3 values"),
        (images(4, 4), {"kernel": 0}, ValueError, "at least 1"),
    ],
)
def test_bad_input_is_named(values, options, error, message):
    with pytest.raises(error, match=message):
        grid_graph(values, **options)
