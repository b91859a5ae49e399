"""The lowest modes solve the eigenproblem, and are careful where eigenvalues coincide."""

import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from known_graphs import from_matrix

from sciml.builders import complete_graph
from sciml.graph import Graph, batch
from sciml.nn import with_modes


def of(net):
    """The graph of a network, with edges in both directions."""
    return from_matrix(nx.to_numpy_array(net), weighted=False)


@st.composite
def networks(draw):
    nodes, seed = draw(st.integers(1, 7)), draw(st.integers(0, 99))
    return nx.gnp_random_graph(nodes, draw(st.floats(0, 1)), seed=seed)


@given(networks(), st.integers(1, 8))
def test_modes_solve_the_eigenproblem(net, count):
    graph = with_modes(of(net), count)
    modes, values = graph.nodes["lowest_modes"], graph.globals["lowest_eigenvalues"][0]
    laplacian = torch.from_numpy(nx.normalized_laplacian_matrix(net).toarray())
    torch.testing.assert_close(laplacian @ modes, modes * values, rtol=0, atol=1e-6)  # eigenspaces of 1e-8
    norms = modes.square().sum(0)
    assert torch.isclose(norms, norms.round(), atol=1e-9).all()  # one, or zero where left out
    assert (values[1:] >= values[:-1])[: len(net) - 1].all()
    assert ((values > -1e-9) & (values < 2 + 1e-9)).all()
    simple = graph.nodes["mode_sizes"].square().sum(0)[: len(net)]
    torch.testing.assert_close(simple, torch.ones_like(simple))


def test_a_ring_is_degenerate_and_its_sizes_are_even():
    graph = with_modes(of(nx.cycle_graph(6)), 4)  # eigenvalues 0, ½, ½, 3/2 (3/2 is cut)
    expected = torch.tensor([[0, 0.5, 0.5, 1.5]]).double()
    torch.testing.assert_close(graph.globals["lowest_eigenvalues"], expected)
    torch.testing.assert_close(graph.nodes["mode_sizes"], torch.full((6, 4), 6**-0.5).double())
    assert (graph.nodes["lowest_modes"][:, 3] == 0).all()


def test_pieces_have_a_mode_of_zero_each():
    pieces = nx.disjoint_union(nx.complete_graph(3), nx.path_graph(2))
    pieces.add_node(5)
    graph = with_modes(of(pieces), 6)
    assert (graph.globals["lowest_eigenvalues"][0].abs() < 1e-9).tolist() == [True] * 3 + [False] * 3
    share = graph.nodes["lowest_modes"][:, :3].square().sum(1)
    torch.testing.assert_close(share, torch.tensor([1 / 3, 1 / 3, 1 / 3, 0.5, 0.5, 1]).double())


def test_nodes_and_graphs_without_anything():
    assert with_modes(of(nx.empty_graph(1)), 3).nodes["lowest_modes"].abs().tolist() == [[1, 0, 0]]
    empty = Graph.create(torch.zeros(2, 0), {"x": torch.zeros(0, 1)})
    assert with_modes(empty, 3).nodes["lowest_modes"].shape == (0, 3)


def test_graphs_of_all_sizes_can_be_batched():
    singles = [of(nx.path_graph(2)), of(nx.cycle_graph(5))]
    together, apart = with_modes(batch(singles), 4), batch([with_modes(g, 4) for g in singles])
    for name in ("lowest_modes", "mode_sizes"):
        torch.testing.assert_close(together.nodes[name], apart.nodes[name])
    assert together.globals["lowest_eigenvalues"].shape == (2, 4)


@pytest.mark.parametrize(
    ("graph", "count", "message"),
    [
        (Graph.create(torch.tensor([[0], [1]]), {"x": torch.zeros(2, 1)}), 1, "directed"),
        (complete_graph(torch.zeros(1, 2, 1)), 0, "count 0"),
        (complete_graph(torch.zeros(1, 2, 1), torch.zeros(1, 2, 1)), 1, "one node set"),
    ],
)
def test_bad_input_is_named(graph, count, message):
    with pytest.raises(ValueError, match=message):
        with_modes(graph, count)
