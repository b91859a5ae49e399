import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.builders import particle_graph, particles


def brute_force(position, cutoff, box):
    """Vectors from sender to receiver of one frame, by trying all images: {(sender, receiver): [vectors]}."""
    dim = position.shape[1]
    reach = [range(-4, 5) if box is not None and np.isfinite(box[d]) else [0] for d in range(dim)]
    found = {}
    for s, r in itertools.product(range(len(position)), repeat=2):
        for image in itertools.product(*reach):
            lengths = np.zeros(dim) if box is None else np.where(np.isfinite(box), box, 0.0)
            vector = position[r] - position[s] + np.array(image) * lengths
            if 0 < np.linalg.norm(vector) < cutoff:
                found.setdefault((s, r), []).append(vector)
    return found


def edge_dict(graph):
    found = {}
    for sender, receiver, vector in zip(*graph.edge_index.tolist(), graph.edge_vectors().numpy()):
        found.setdefault((sender, receiver), []).append(vector)
    return found


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for pair, vectors in expected.items():
        order = lambda v: sorted(map(tuple, np.round(v, 9)))
        np.testing.assert_allclose(order(found[pair]), order(vectors), atol=1e-8)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([2, 3]),
    st.sampled_from(["open", "box", "slab"]),
    st.floats(0.3, 2.5),
)
def test_cutoff_finds_what_brute_force_finds(seed, dim, kind, cutoff):
    rng = np.random.default_rng(seed)
    box = None if kind == "open" else rng.uniform(1.0, 4.0, dim)
    if kind == "slab":
        box[-1] = np.inf
    position = rng.uniform(-3, 6, (2, 5, dim))  # also outside the box
    graphs = particle_graph(position, edges="cutoff", cutoff=cutoff, box=box)
    wrapped = position if box is None else np.where(np.isfinite(box), position % box, position)
    for frame, graph in enumerate(graphs):
        found = edge_dict(graph)
        expected = brute_force(wrapped[frame], cutoff, box)
        assert {p: len(v) for p, v in found.items()} == {p: len(v) for p, v in expected.items()}
        assert_same(found, expected)


@pytest.mark.parametrize("box", [None, [3.0, 4.0], [3.0, np.inf]])
@pytest.mark.parametrize(("edges", "options"), [("cutoff", {"cutoff": 1.2}), ("knn", {"k": 3})])
def test_search_by_tree_or_cells_is_the_dense_one(monkeypatch, box, edges, options):
    position = np.random.default_rng(0).uniform(0, 5, (3, 30, 2))
    dense = particle_graph(position, edges=edges, box=box, **options)
    monkeypatch.setattr(particles, "DENSE", 0)
    sparse = particle_graph(position, edges=edges, box=box, **options)
    assert_same(edge_dict(sparse), edge_dict(dense))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 7), st.booleans())
def test_nearest_neighbours_are_k_and_nearest(seed, k, periodic):
    position = np.random.default_rng(seed).uniform(0, 1, (2, 8, 3))
    box = [1.0, 1.0, 1.0] if periodic else None
    graph = particle_graph(position, edges="knn", k=k, box=box)
    assert torch.bincount(graph.receiver).tolist() == [k] * 16
    everything = particle_graph(position, box=box)
    near, all_ = (g.edge_vectors().norm(dim=1) for g in (graph, everything))
    for node in range(16):
        lengths = np.sort(all_[everything.receiver == node].numpy())[:k]
        np.testing.assert_allclose(np.sort(near[graph.receiver == node].numpy()), lengths, rtol=1e-12)


def test_all_pairs_have_opposite_edges_and_keep_their_frames():
    position = np.random.default_rng(0).standard_normal((5, 4, 2))
    mass = np.arange(20.0).reshape(5, 4)
    graph = particle_graph(
        position,
        nodes={"mass": mass, "velocity": 2 * position, "particle": np.tile(np.arange(4), (5, 1))},
        units={"position": "m", "velocity": "m/s", "mass": "kg"},
    )
    assert graph.num_edges == 5 * 12
    vectors = {pair: vector[0] for pair, vector in edge_dict(graph).items()}
    for (s, r), vector in vectors.items():
        np.testing.assert_array_equal(vectors[r, s], -vector)
    third = graph[3]
    np.testing.assert_array_equal(third.nodes["pos"].numpy(), position[3])
    np.testing.assert_array_equal(third.nodes["mass"].numpy(), mass[3])
    assert third.edge_index.max() == 3
    assert graph.spec("nodes", "velocity").irreps == "1o"
    assert graph.spec("nodes", "pos").moves
    assert graph.spec("nodes", "mass").unit == "kg"
    assert graph.nodes["particle"].dtype == torch.int64
    assert (graph.receiver.diff() >= 0).all()


def test_periodic_edges_do_not_depend_on_the_wrapping():
    rng = np.random.default_rng(1)
    box = np.array([2.0, 3.0, np.inf])
    position = rng.uniform(0, 2, (1, 6, 3))
    moved = position + rng.integers(-2, 3, (1, 6, 3)) * np.where(np.isfinite(box), box, 0.0)
    for options in ({}, {"edges": "knn", "k": 2}, {"edges": "cutoff", "cutoff": 1.4}):
        one, other = (particle_graph(p, box=box, **options) for p in (position, moved))
        assert_same(edge_dict(other), edge_dict(one))
        assert one.globals["cell"].shape == (1, 3, 3)


def test_without_any_edge_the_user_is_told(caplog):
    position = np.array([[[0.0, 0.0], [1.0, 0.0]]])
    graph = particle_graph(position, edges="cutoff", cutoff=0.5)
    assert graph.num_edges == 0
    assert "cutoff 0.5" in caplog.text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"edges": "some"}, "'some'.*all, cutoff, knn"),
        ({"edges": "cutoff"}, "needs cutoff"),
        ({"edges": "cutoff", "cutoff": -1.0}, "positive distance"),
        ({"edges": "knn", "k": 4}, "from 1 to 3"),
        ({"edges": "knn", "k": 1.5}, "whole number"),
        ({"k": 3}, "takes no k"),
        ({"nodes": {"mass": np.ones(4)}}, r"'mass' has shape \(4,\)"),
        ({"nodes": {"kind": np.full((2, 4), "a")}}, "'kind'.*codes"),
        ({"position": np.ones((2, 4, 4))}, "dim 2 or 3"),
        ({"position": np.full((2, 4, 3), np.nan)}, "frame 0, particle 0"),
    ],
)
def test_wrong_input_is_refused(options, words):
    options = {"position": np.random.default_rng(0).standard_normal((2, 4, 3))} | options
    with pytest.raises(ValueError, match=words):
        particle_graph(options.pop("position"), **options)
