"""Hops and walks against networkx and matrix powers."""

import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sciml.builders import all_pairs, complete_graph, with_walks
from sciml.graph import Complete, Graph, Spec, batch


def graph_of(*networks):
    """A batch of undirected graphs, with weights of edges where the networks have them."""
    singles = []
    for network in networks:
        directed = [(a, b, d.get("w", 1.0)) for a, b, d in network.to_directed().edges(data=True)]
        edges = torch.tensor([[a, b] for a, b, _ in directed], dtype=torch.long).reshape(-1, 2).T
        w = torch.tensor([[w] for *_, w in directed], dtype=torch.float64).reshape(-1, 1)
        x = torch.zeros(len(network), 1, dtype=torch.float64)
        singles.append(Graph.create(edges, {"x": x}, {"w": w}))
    return batch(singles)


@st.composite
def networks(draw):
    nodes, seed = draw(st.integers(1, 7)), draw(st.integers(0, 99))
    return nx.gnp_random_graph(nodes, draw(st.floats(0, 1)), seed=seed)


@given(st.lists(networks(), min_size=1, max_size=3), st.integers(1, 4))
def test_hops_are_networkx_path_lengths(nets, most):
    graph = all_pairs(graph_of(*nets), most)
    assert graph.layout == Complete(*(max(map(len, nets)),) * 2)
    expected = []
    for net in nets:
        lengths = dict(nx.all_pairs_shortest_path_length(net))
        expected += [
            min(lengths[j].get(i, most + 1), most) if i in lengths[j] else most + 1 for i in net for j in net
        ]
    assert graph.edges["hops"].tolist() == expected
    assert graph.spec("edges", "hops") == Spec(classes=most + 2)


def test_hops_go_the_way_of_the_edges():
    line = Graph.create(torch.tensor([[0, 1], [1, 2]]), {"x": torch.zeros(3, 1)})
    table = all_pairs(line).edges["hops"].reshape(3, 3)  # receivers senders
    assert table.tolist() == [[0, 9, 9], [1, 0, 9], [2, 1, 0]]


def test_edge_fields_go_along():
    net = nx.cycle_graph(4)
    for number, (a, b) in enumerate(net.edges):
        net.edges[a, b]["w"] = 1.0 + number
    graph = all_pairs(graph_of(nx.path_graph(3), net))
    assert torch.equal(
        graph.edges["w"][9:].reshape(4, 4), torch.from_numpy(nx.to_numpy_array(net, weight="w"))
    )
    doubled = Graph.create(
        torch.tensor([[0, 0], [1, 1]]), {"x": torch.zeros(2, 1)}, {"w": torch.tensor([1.0, 2.0])}
    )
    assert all_pairs(doubled).edges["w"].tolist() == [0, 0, 3, 0]


@given(st.lists(networks(), min_size=1, max_size=3))
def test_walks_return_as_matrix_powers_say(nets):
    walks = with_walks(graph_of(*nets), 5).nodes["walks"]
    expected = []
    for net in nets:
        table = torch.from_numpy(nx.to_numpy_array(net)).reshape(len(net), len(net))
        move = table / table.sum(1, keepdim=True).clamp(min=1)
        expected.append(torch.stack([torch.linalg.matrix_power(move, t).diagonal() for t in range(1, 6)], 1))
    torch.testing.assert_close(walks, torch.cat(expected))


def test_known_walks():
    walks = with_walks(graph_of(nx.complete_graph(3), nx.path_graph(2)), 3).nodes["walks"]
    assert walks[0].tolist() == [0, 0.5, 0.25]  # a triangle closes in three
    assert walks[3].tolist() == [0, 1, 0]


def test_nodes_and_graphs_without_anything():
    assert with_walks(graph_of(nx.empty_graph(1)), 2).nodes["walks"].tolist() == [[0, 0]]
    empty = Graph.create(torch.zeros(2, 0), {"x": torch.zeros(0, 1)})
    assert with_walks(all_pairs(empty), 2).nodes["walks"].shape == (0, 2)


@pytest.mark.parametrize(
    ("function", "graph", "message"),
    [
        (
            all_pairs,
            Graph.create(torch.tensor([[0], [1]]), {"x": torch.zeros(2, 1)}, {"bond": torch.tensor([1])}),
            "edges.bond, of dtype torch.int64.*one_hot",
        ),
        (
            all_pairs,
            Graph.create(
                torch.tensor([[0], [1]]),
                {"x": torch.zeros(2, 1)},
                {"shift": torch.zeros(1, 3).long()},
                {"cell": torch.eye(3)[None]},
            ),
            "many images",
        ),
        (lambda graph: all_pairs(graph, 0), complete_graph(torch.zeros(1, 2, 1)), "most 0"),
        (lambda graph: with_walks(graph, 0), complete_graph(torch.zeros(1, 2, 1)), "steps 0"),
        (with_walks, complete_graph(torch.zeros(1, 2, 1), torch.zeros(1, 2, 1)), "one node set"),
    ],
)
def test_bad_input_is_named(function, graph, message):
    with pytest.raises(ValueError, match=message):
        function(graph)
