"""Stores of graphs: what was written is read, in any order, after any interruption; damage is noticed."""

import json
import pickle

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.builders import atoms_graph, molecule_graph
from sciml.datasets import potential_data, read_frames
from sciml.datasets.frames import shipped_ethanol
from sciml.datasets.store import GraphStore, StoreError, write_store
from sciml.graph import Graph, Spec
from sciml.training.data import Batches


def graphs(number, seed=0):
    """Graphs of random sizes, some without nodes or edges, with fields of all kinds."""
    rng = np.random.default_rng(seed)
    counts = torch.from_numpy(rng.integers(0, 6, number))
    counts[0] = 2
    ends = []
    for start, n in zip((counts.cumsum(0) - counts).tolist(), counts.tolist()):
        edges = rng.integers(0, max(n, 1), (2, int(rng.integers(0, 9)) if n else 0))
        ends.append(torch.from_numpy(edges + start))
    nodes, edges = int(counts.sum()), sum(e.shape[1] for e in ends)
    torch.manual_seed(seed)
    return Graph.create(
        torch.cat(ends, 1), {"pos": torch.randn(nodes, 3), "number": torch.arange(nodes)},
        {"length": torch.randn(edges, dtype=torch.float64)},
        {"y": torch.randn(number, 2), "known": torch.rand(number) > 0.5},
        node_counts=counts, specs={("nodes", "number"): Spec(classes=119)},
    )  # fmt: skip


def source(graph, step=3):
    def of(start):
        for i in range(start, len(graph), step):
            yield graph[i : i + step]

    return of


def equal(a, b):
    for name in ("edge_index", "node_counts", "edge_counts"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=0, atol=0)
    for place in ("nodes", "edges", "globals"):
        assert set(getattr(a, place)) == set(getattr(b, place))
        for name, value in getattr(a, place).items():
            other = getattr(b, place)[name]
            assert value.dtype == other.dtype
            torch.testing.assert_close(value, other, rtol=0, atol=0)
    assert dict(a.specs) == dict(b.specs)


@settings(max_examples=25)
@given(number=st.integers(1, 20), part=st.integers(1, 9), seed=st.integers(0, 99), data=st.data())
def test_what_is_read_is_what_was_written(tmp_path_factory, number, part, seed, data):
    whole = graphs(number, seed)
    store = write_store(tmp_path_factory.mktemp("s") / "store", source(whole), key="k", part=part)
    equal(store[:], whole)
    ids = data.draw(st.lists(st.integers(-number, number - 1), max_size=12))
    equal(store[ids], whole[ids])
    taken = store.take(ids)
    assert len(taken) == len(ids)
    np.testing.assert_array_equal(taken.field("globals.y"), whole[ids].globals["y"])
    if ids:
        equal(taken[len(ids) - 1], whole[ids[-1]])


@pytest.mark.parametrize("after", [0, 1, 4])
def test_an_interrupted_writer_goes_on(tmp_path, after):
    """What was written after the last part is thrown away, and the result is the same."""
    whole = graphs(17)
    calls = []

    def broken(start):
        calls.append(start)
        for i, batch in enumerate(source(whole)(start)):
            if len(calls) == 1 and i == after:
                raise KeyboardInterrupt
            yield batch

    with pytest.raises(KeyboardInterrupt):
        write_store(tmp_path, broken, key="k", part=6)
    with pytest.raises(StoreError, match="not complete"):
        GraphStore(tmp_path)
    if after == 4:
        with open(tmp_path / "nodes.pos.bin", "ab") as file:
            file.write(b"half a graph")
    equal(write_store(tmp_path, broken, key="k", part=6)[:], whole)
    assert calls == [0, {0: 0, 1: 0, 4: 12}[after]]
    write_store(tmp_path, broken, key="k")
    assert len(calls) == 2  # complete: nothing is computed again


def test_batches_of_a_store_are_those_of_the_graphs(tmp_path):
    """The same order by the same seed, batch by batch."""
    whole = graphs(23)
    store = write_store(tmp_path, source(whole), key="k")
    for a, b in zip(Batches(store, 5, seed=3), Batches(whole, 5, seed=3), strict=True):
        equal(a, b)


def test_frames_train_from_a_store_as_from_memory(tmp_path):
    """Graphs with targets are the same, and what changes the frames asks for another folder."""
    frames = read_frames(shipped_ethanol()).take(np.arange(12))
    data = potential_data(frames, train=6, validation=3)
    stored, memory = data.graphs(3.0, tmp_path), data.graphs(3.0)
    for a, b in zip(stored, memory, strict=True):
        equal(a[:], b)
        assert a.num_edges == b.num_edges
    equal(data.graphs(3.0, tmp_path)[0][:], memory[0])
    with pytest.raises(StoreError, match="something else"):
        data.graphs(3.5, tmp_path)
    alone = potential_data(frames, train=6, validation=0)
    assert len(alone.graphs(3.0, tmp_path / "alone")[1]) == 0


def test_a_store_goes_to_other_processes(tmp_path):
    """As its path and what was taken of it."""
    store = write_store(tmp_path, source(graphs(9)), key="k").take([7, 2])
    equal(pickle.loads(pickle.dumps(store))[:], store[:])


def test_periodic_and_bond_graphs(tmp_path):
    for number, whole in enumerate(
        (
            atoms_graph([bulk("Cu"), molecule("CH3OH"), Atoms("H")], 4.0),
            molecule_graph(["CCO", "C#N", "[Na+].[Cl-]"]),
        )
    ):
        equal(write_store(tmp_path / str(number), source(whole, 1), key="k")[:], whole)


def test_damage_is_noticed(tmp_path):
    whole = graphs(9)
    store = tmp_path / "store"
    write_store(store, source(whole), key="k")
    file = store / "edges.length.bin"
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    with pytest.raises(StoreError, match=r"edges.length.bin has \d+ bytes and should have"):
        GraphStore(store)
    file.write_bytes(content)
    GraphStore(store)
    head = json.loads((store / "store.json").read_text())
    (store / "store.json").write_text(json.dumps(head | {"format": 9}))
    with pytest.raises(StoreError, match="format 9"):
        GraphStore(store)
    (store / "store.json").write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        GraphStore(store)
    with pytest.raises(FileNotFoundError, match="no store"):
        GraphStore(tmp_path)


def test_what_cannot_be_stored_is_said(tmp_path):
    whole = graphs(6)
    write_store(tmp_path / "a", source(whole), key="one file")
    with pytest.raises(StoreError, match="something else"):
        write_store(tmp_path / "a", source(whole), key="another")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").touch()
    with pytest.raises(StoreError, match=r"not empty \(it has thesis.tex\)"):
        write_store(tmp_path / "b", source(whole), key="k")
    with pytest.raises(StoreError, match="no graph"):
        write_store(tmp_path / "c", lambda start: iter(()), key="k")
    mixed = lambda start: iter([whole, whole.without("globals", "y")])
    with pytest.raises(StoreError, match="other fields"):
        write_store(tmp_path / "d", mixed, key="k")
    with pytest.raises(KeyError, match=r"it has globals\.y"):
        GraphStore(tmp_path / "a").field("globals.z")
    with pytest.raises(IndexError, match="store of 6"):
        GraphStore(tmp_path / "a")[[6]]
