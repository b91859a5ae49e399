"""Graphs in a batch must be what they are alone: in every bit, and in every gradient."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader

from sciml.graph import CELL, PLACES, POSITION, Graph, Spec, batch, unbatch

PARTS = ("edge_index", "node_counts", "edge_counts", "sender_counts")


def random_graph(nodes, edges, senders=None, seed=0, dtype=torch.float64):
    """A graph with fields of several types and shapes; two-sided if senders are given."""
    random = torch.Generator().manual_seed(seed)
    sources = nodes if senders is None else senders
    edges = edges if nodes and sources else 0
    pick = lambda high: torch.randint(max(high, 1), (edges,), generator=random)
    draw = lambda *shape: torch.randn(*shape, generator=random, dtype=dtype)
    return Graph.create(
        torch.stack([pick(sources), pick(nodes)]),
        nodes={"pos": draw(nodes, 3), "kind": torch.randint(5, (nodes,), generator=random)},
        edges={"weight": draw(edges), "matrix": draw(edges, 2, 2), "number": torch.arange(edges)},
        globals={"energy": draw(1), "cell": draw(1, 3, 3)},
        senders=None if senders is None else {"pos": draw(senders, 3), "x": draw(senders)},
        specs={
            ("nodes", "kind"): Spec(classes=5),
            ("globals", "energy"): Spec(irreps="0e", unit="eV"),
        },
    )


def assert_same(a, b):
    """Equal to the last bit, in everything."""
    assert a.specs == b.specs
    for part in PARTS:
        x, y = getattr(a, part), getattr(b, part)
        assert (x is None and y is None) or (x.dtype == y.dtype and torch.equal(x, y)), part
    for place in PLACES:
        x, y = getattr(a, place), getattr(b, place)
        assert (x is None) == (y is None)
        assert list(x or {}) == list(y or {})
        for name in x or {}:
            assert x[name].dtype == y[name].dtype
            assert torch.equal(x[name], y[name]), (place, name)


sizes = st.tuples(st.integers(0, 5), st.integers(0, 12), st.integers(0, 4), st.integers(0, 2**31))


@st.composite
def graph_lists(draw):
    two_sided = draw(st.booleans())
    return [
        random_graph(nodes, edges, senders if two_sided else None, seed)
        for nodes, edges, senders, seed in draw(st.lists(sizes, min_size=1, max_size=5))
    ]


# ------------------------------------------------------------------- batching


@given(graph_lists())
def test_unbatch_inverts_batch(graphs):
    for before, after in zip(graphs, unbatch(batch(graphs)), strict=True):
        assert_same(before, after)


@given(graph_lists())
def test_batch_inverts_unbatch_and_nests(graphs):
    joined = batch(graphs)
    assert_same(joined, batch(unbatch(joined)))
    assert_same(joined, batch([batch(graphs[:1]), *graphs[1:]]))
    assert_same(joined, joined[:])


@given(graph_lists(), st.data())
def test_indexing_picks_the_graphs_of_a_list(graphs, data):
    joined = batch(graphs)
    numbers = data.draw(st.lists(st.integers(-len(graphs), len(graphs) - 1), max_size=6))
    picked = joined[numbers]
    assert len(picked) == len(numbers)
    for number, graph in zip(numbers, unbatch(picked), strict=True):
        assert_same(graphs[number], graph)
    for before, after in zip(graphs, joined, strict=True):
        assert_same(before, after)


def test_indices_of_every_kind():
    joined = batch([random_graph(3, 4, seed=seed) for seed in range(4)])
    expected = joined[[1, 3]]
    for ids in (
        slice(1, 4, 2),
        (1, 3),
        np.array([1, 3]),
        torch.tensor([1, -1]),
        torch.tensor([False, True, False, True]),
    ):
        assert_same(joined[ids], expected)
    assert_same(joined[np.int64(2)], joined[2])
    assert_same(joined[torch.tensor(2)], joined[-2])
    assert len(joined[[]]) == 0
    assert joined[[]].num_nodes == 0
    for wrong in (4, -5, [0, 9], 0.5):
        with pytest.raises(IndexError, match="of a batch of 4"):
            joined[wrong]
    with pytest.raises(TypeError, match=r"\.nodes"):
        joined["pos"]


def net_pull(graph):
    """Something that uses edges, nodes, senders and the cell; nodes without edges get zero."""
    shift = torch.ones(graph.num_edges, 3, dtype=torch.float64)
    pull = graph.with_edges(shift=shift).edge_vectors() * graph.edges["weight"][:, None]
    return torch.zeros_like(graph.nodes["pos"]).index_add(0, graph.receiver, pull)


@given(graph_lists())
def test_a_batched_result_equals_the_single_ones(graphs):
    together = net_pull(batch(graphs))
    assert torch.equal(together, torch.cat([net_pull(graph) for graph in graphs]))


@given(graph_lists(), st.data())
def test_no_value_and_no_gradient_crosses_graphs(graphs, data):
    chosen = data.draw(st.integers(0, len(graphs) - 1))
    joined = batch(graphs)
    leaves = {
        (place, name): value.clone().requires_grad_()
        for place in PLACES
        for name, value in (getattr(joined, place) or {}).items()
        if value.is_floating_point()
    }
    for (place, name), leaf in leaves.items():
        joined = getattr(joined, f"with_{place}")(None, **{name: leaf})
    result = net_pull(joined)[joined.node_graph == chosen].square().sum()
    gradients = torch.autograd.grad(result, list(leaves.values()), allow_unused=True)
    rows = {
        "nodes": joined.node_graph,
        "senders": joined.sender_graph,
        "edges": joined.edge_graph,
        "globals": torch.arange(len(graphs)),
    }
    for (place, _), gradient in zip(leaves, gradients, strict=True):
        if gradient is not None:
            assert (gradient[rows[place] != chosen] == 0).all()


def test_gradients_flow_through_batch_unbatch_and_indexing():
    graph = random_graph(3, 5)
    weight = torch.ones(5, dtype=torch.float64, requires_grad=True)
    joined = batch([graph.with_edges(weight=weight), graph.with_edges(weight=2 * weight)])
    (unbatch(joined)[1].edges["weight"].sum() + joined[0].edges["weight"].sum()).backward()
    assert weight.grad.tolist() == [3.0] * 5


def test_single_graphs_do_not_carry_the_batch_along():
    joined = batch([random_graph(50, 200, seed=seed) for seed in range(20)])
    assert len(pickle.dumps(unbatch(joined)[0])) < len(pickle.dumps(joined)) / 10


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            random_graph(2, 2).with_nodes(extra=torch.ones(2)),
            r"1 and graph 0 differ in nodes fields \['extra'\]",
        ),
        (random_graph(2, 2, senders=3), "two-sided"),
        (random_graph(2, 2, dtype=torch.float32), r"nodes\.pos .*float32"),
        (random_graph(2, 2).with_nodes(pos=torch.ones(2, 2, dtype=torch.float64)), r"nodes\.pos .*\(2,\)"),
        (random_graph(2, 2).with_nodes({"kind": Spec(classes=7)}), r"nodes\.kind .*classes=7"),
    ],
)
def test_graphs_that_differ_in_kind_are_not_batched(other, message):
    with pytest.raises(ValueError, match=message):
        batch([random_graph(3, 4), other])


def test_an_empty_list_has_no_fields_to_batch():
    with pytest.raises(ValueError, match="empty list"):
        batch([])


def test_dataloader_collates_with_batch():
    graphs = [random_graph(3, 4, seed=seed) for seed in range(5)]
    loaded = list(DataLoader(graphs, batch_size=2, collate_fn=batch))
    assert [len(part) for part in loaded] == [2, 2, 1]
    assert_same(batch(loaded), batch(graphs))


def test_dataloader_workers_return_the_same():
    graphs = [random_graph(3, 4, seed=seed) for seed in range(4)]
    loaded = list(DataLoader(graphs, batch_size=2, collate_fn=batch, num_workers=1))
    assert_same(batch(loaded), batch(graphs))


# -------------------------------------------------------------------- sorting


@given(st.integers(1, 6), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=20))
def test_edges_are_sorted_by_receiver_stably_with_their_fields(nodes, pairs):
    pairs = [(s % nodes, r % nodes) for s, r in pairs]
    given_index = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T
    graph = Graph.create(given_index, {"x": torch.zeros(nodes)}, {"number": torch.arange(len(pairs))})
    expected = sorted(range(len(pairs)), key=lambda i: pairs[i][1])  # Python's sort is stable
    assert graph.edges["number"].tolist() == expected
    assert graph.edge_index.T.tolist() == [list(pairs[i]) for i in expected]
    pointer = graph.row_pointer.tolist()
    for node in range(nodes):
        received = graph.receiver[pointer[node] : pointer[node + 1]]
        assert received.tolist() == [node] * sum(r == node for _, r in pairs)


def test_counts_divide_nodes_and_edges_into_graphs():
    edge_index = torch.tensor([[3, 0, 4], [4, 1, 3]])
    graph = Graph.create(edge_index, {"x": torch.arange(5)}, node_counts=[2, 0, 3])
    assert graph.num_graphs == 3
    assert graph.edge_counts.tolist() == [1, 0, 2]
    assert graph.node_graph.tolist() == [0, 0, 2, 2, 2]
    assert graph.edge_graph.tolist() == [0, 2, 2]
    assert [part.nodes["x"].tolist() for part in graph] == [[0, 1], [], [2, 3, 4]]
    assert graph[2].edge_index.tolist() == [[2, 1], [1, 2]]


# ------------------------------------------------------------------- geometry


def test_edge_vectors_point_from_sender_to_receiver():
    pos = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    graph = Graph.create([[0], [1]], {"pos": pos})
    assert graph.edge_vectors().tolist() == [[1.0, 2.0]]


def test_shifts_count_lattice_vectors_that_are_rows_of_the_cell():
    cell = torch.tensor([[[2.0, 0.0], [0.5, 3.0]], [[10.0, 0.0], [0.0, 10.0]]])
    graph = Graph.create(
        [[0, 1], [0, 1]],
        {"pos": torch.zeros(2, 2)},
        {"shift": torch.tensor([[1, -1], [0, 2]])},
        {"cell": cell},
        node_counts=[1, 1],
    )
    assert graph.edge_vectors().tolist() == [[1.5, -3.0], [0.0, 20.0]]


def test_vectors_of_two_sided_graphs_start_at_senders():
    graph = Graph.create([[1], [0]], {"pos": torch.ones(1, 3)}, senders={"pos": torch.eye(3)[:2]})
    assert graph.edge_vectors().tolist() == [[1.0, 0.0, 1.0]]


def test_edge_vectors_are_differentiable_in_positions_and_cell():
    graph = random_graph(4, 6)
    shift = torch.randint(-1, 2, (6, 3))

    def vectors(pos, cell):
        return graph.with_nodes(pos=pos).with_globals(cell=cell).with_edges(shift=shift).edge_vectors()

    leaves = [v.clone().requires_grad_() for v in (graph.nodes["pos"], graph.globals["cell"])]
    assert torch.autograd.gradcheck(vectors, leaves)


# --------------------------------------------------------------------- moving


def test_dtypes_convert_floating_point_fields_only():
    graph = random_graph(3, 4, senders=2).to(torch.float32)
    assert graph.nodes["pos"].dtype == graph.senders["pos"].dtype == torch.float32
    assert graph.nodes["kind"].dtype == graph.edge_index.dtype == torch.int64
    assert_same(graph.to(torch.float32), graph)


def test_pickle_copy_and_pytree_keep_everything():
    for graph in (random_graph(3, 4), random_graph(2, 5, senders=3), random_graph(0, 0)):
        assert_same(graph, pickle.loads(pickle.dumps(graph)))
        assert_same(graph, copy.deepcopy(graph))
        leaves, structure = pytree.tree_flatten(graph)
        assert all(isinstance(leaf, torch.Tensor) for leaf in leaves)
        assert_same(graph, pytree.tree_unflatten(leaves, structure))
    leaves, _ = pytree.tree_flatten({"a": graph, "b": [graph]})
    assert all(isinstance(leaf, torch.Tensor) for leaf in leaves)


def test_files_of_graphs_load_without_running_code(tmp_path):
    graphs = [random_graph(3, 4), random_graph(2, 5, senders=3)]
    torch.save(graphs, tmp_path / "graphs.pt")
    for before, after in zip(graphs, torch.load(tmp_path / "graphs.pt", weights_only=True), strict=True):
        assert_same(before, after)


def test_map_reaches_every_tensor():
    graph = random_graph(3, 4, senders=2)
    seen = []
    graph.map(lambda value: seen.append(value) or value)
    fields = sum(len(getattr(graph, place)) for place in PLACES)
    assert len(seen) == fields + len(PARTS)


def test_bare_graphs_can_be_pickled():
    empty = torch.zeros(2, 0, dtype=torch.long)
    bare = Graph(empty, {"x": torch.ones(1)}, {}, {}, torch.tensor([1]), torch.tensor([0]))
    assert_same(bare, pickle.loads(pickle.dumps(bare)))


def test_meta_device_needs_no_values():
    """Everything that a layer uses must work where tensors hold no numbers, as on a GPU without sync."""
    graph = batch([random_graph(3, 4, senders=2), random_graph(2, 2, senders=1)]).to("meta")
    assert graph.device.type == "meta"
    assert graph.row_pointer.shape == (6,)
    assert graph.node_graph.shape == (5,)
    assert graph.sender_graph.shape == (3,)
    assert graph.edge_graph.shape == (6,)
    assert graph.with_edges(shift=torch.zeros(6, 3, device="meta")).edge_vectors().shape == (6, 3)
    assert batch([graph, graph]).num_nodes == 10
    assert "on meta" in repr(graph)


def test_detach_cuts_gradients():
    graph = Graph.create(torch.zeros(2, 0), {"x": torch.ones(2, requires_grad=True)})
    assert not graph.detach().nodes["x"].requires_grad
    assert graph.nodes["x"].requires_grad


def test_graphs_are_frozen():
    with pytest.raises(AttributeError, match="with_nodes"):
        random_graph(2, 1).nodes = {}


def test_repr_says_what_is_there():
    text = repr(batch([random_graph(3, 4), random_graph(2, 0)]))
    assert "2 graphs, 5 nodes, 4 edges, on cpu" in text
    assert "pos (5, 3) float64 [1o]" in text
    assert "kind (5,) int64 [5 classes]" in text
    assert "energy (2,) float64 [0e, eV]" in text
    assert "7 senders" in repr(random_graph(2, 1, senders=7))
    assert "1 graph, " in repr(random_graph(2, 1))


def test_fields_are_added_without_touching_the_original():
    graph = random_graph(2, 3)
    new = graph.with_nodes({"vel": Spec("1o", "m/s")}, vel=torch.ones(2, 3))
    assert "vel" not in graph.nodes
    assert new.spec("nodes", "vel") == Spec("1o", "m/s")
    assert graph.spec("nodes", "vel") == Spec()


def test_fields_can_be_dropped_with_what_they_mean():
    graph = random_graph(2, 3).without("nodes", "kind").without("edges", "weight", "matrix")
    assert list(graph.nodes) == ["pos"]
    assert list(graph.edges) == ["number"]
    assert ("nodes", "kind") not in graph.specs
    with pytest.raises(ValueError, match=r"no nodes\.kind; nodes has pos"):
        graph.without("nodes", "kind")
    with pytest.raises(ValueError, match="at least one field"):
        graph.without("nodes", "pos")


def test_positions_and_cells_mean_what_they_do_however_they_come():
    graph = Graph.create(torch.zeros(2, 0), {"x": torch.ones(2)})
    later = graph.with_nodes(pos=torch.ones(2, 3)).with_globals(cell=torch.ones(1, 3, 3))
    assert later.spec("nodes", "pos") == POSITION
    assert later.spec("globals", "cell") == CELL
    own = Spec("1o", unit="nm", moves=True)
    given = graph.with_nodes({"pos": own}, pos=torch.ones(2, 3))
    assert given.spec("nodes", "pos") == own
    assert given.with_nodes(pos=torch.zeros(2, 3)).spec("nodes", "pos") == own


# --------------------------------------------------------------------- errors

X = {"x": torch.zeros(3)}
NONE = torch.zeros(2, 0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (((NONE), {}), ValueError, "nodes needs at least one field"),
        ((NONE, {"x": [1.0]}), TypeError, r"nodes\.x must be a tensor, not list"),
        ((NONE, {"x": torch.tensor(1.0)}), ValueError, r"nodes\.x has shape \(\)"),
        ((NONE, {"x": torch.ones(2), "y": torch.ones(3)}), ValueError, r"nodes\.y .* there are 2"),
        (([[0], [3]], X), ValueError, "Edge 0 has receiver 3, but there are 3"),
        (([[0, -1], [1, 2]], X), ValueError, "Edge 1 has sender -1"),
        ((torch.zeros(5, 2, dtype=torch.long), X), ValueError, "transpose"),
        (([0, 1, 2], X), ValueError, r"\(2, edges\)"),
        (([[0.0], [1.0]], X), TypeError, "integers"),
        (([[0], [1]], X, {"w": torch.ones(2)}), ValueError, r"edges\.w .* there are 1"),
        (([[0], [1]], X, {}, {"g": torch.ones(2)}), ValueError, r"globals\.g .* there are 1"),
        (([[0], [1]], X, {"shift": torch.ones(1, 3)}), ValueError, r"no cell"),
    ],
)
def test_inconsistent_graphs_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Graph.create(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"node_counts": [1, 1]}, r"node_counts \[1, 1\] must be non-negative and sum to 3"),
        ({"node_counts": [4, -1]}, "non-negative"),
        ({"node_counts": [1, 2]}, "Edge 0 -> 2 joins two graphs"),
        ({"sender_counts": [3]}, "sender_counts without senders"),
        ({"senders": {}}, "senders needs at least one field"),
        ({"senders": X, "sender_counts": [1, 2]}, "tells of 2 graphs, node_counts of 1"),
        ({"specs": {("node", "x"): Spec()}}, r"\('node', 'x'\)"),
        ({"specs": {("nodes", "y"): Spec()}}, r"fields are \('nodes', 'x'\)"),
    ],
)
def test_inconsistent_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Graph.create([[0], [2]], X, **options)


def test_fields_of_the_wrong_length_are_not_added():
    graph = random_graph(2, 3)
    with pytest.raises(ValueError, match=r"edges\.w has shape \(2,\).* there are 3"):
        graph.with_edges(w=torch.ones(2))
    with pytest.raises(ValueError, match="one node set"):
        graph.with_senders(x=torch.ones(2))
    with pytest.raises(ValueError, match="'vle'"):
        graph.with_nodes({"vle": Spec()}, vel=torch.ones(2))


def test_an_empty_edge_list_of_any_kind_is_legal():
    for none in ([], [[], []], torch.zeros(2, 0), np.zeros((0, 2))):
        assert Graph.create(none, X).num_edges == 0
