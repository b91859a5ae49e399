"""What both sides can hold comes back as it was."""

import logging
import sys

import networkx as nx
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.neighborlist import neighbor_list
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sciml.builders.convert import from_ase, from_networkx, from_pyg, to_ase, to_networkx, to_pyg
from sciml.graph import PLACES, Graph, Spec, batch

DTYPES = (torch.float64, torch.float32, torch.int64, torch.bool)


@st.composite
def graphs(draw, number=1):
    """One-sided graphs with random fields (names, types, shapes) and specs."""
    kinds = {
        place: draw(
            st.dictionaries(
                st.text("abcxyz_", min_size=1, max_size=3),
                st.tuples(st.sampled_from(DTYPES), st.sampled_from([(), (1,), (3,), (2, 2)])),
                min_size=place == "nodes",
                max_size=3,
            )
        )
        for place in ("nodes", "edges", "globals")
    }
    specs = {
        (place, name): Spec(unit="eV") for place in kinds for name in kinds[place] if draw(st.booleans())
    }

    def one():
        nodes = draw(st.integers(0, 4))
        edges = draw(st.integers(0, 6)) if nodes else 0
        random = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
        fields = {
            place: {
                name: (5 * torch.randn(length, *shape, generator=random, dtype=torch.float64)).to(dtype)
                for name, (dtype, shape) in kinds[place].items()
            }
            for place, length in (("nodes", nodes), ("edges", edges), ("globals", 1))
        }
        return Graph.create(torch.randint(max(nodes, 1), (2, edges), generator=random), **fields, specs=specs)

    return batch([one() for _ in range(number)])


def assert_same(a, b):
    assert a.specs == b.specs
    assert a.edge_index.equal(b.edge_index)
    assert a.node_counts.equal(b.node_counts)
    assert a.edge_counts.equal(b.edge_counts)
    for place in PLACES:
        x, y = getattr(a, place) or {}, getattr(b, place) or {}
        assert set(x) == set(y), place
        for name in x:
            assert x[name].dtype == y[name].dtype, name
            assert x[name].equal(y[name]), name


# ------------------------------------------------------------------------ PyG


@given(graphs() | graphs(number=3))
def test_pyg_round_trip(graph):
    data = to_pyg(graph)
    assert data.edge_index.equal(graph.edge_index)
    assert data.batch.equal(graph.node_graph)
    assert_same(from_pyg(data), graph)


def test_pyg_data_made_elsewhere():
    from torch_geometric.data import Batch, Data

    make = lambda n: Data(
        x=torch.randn(n, 4),
        edge_index=torch.tensor([[1, 0], [0, 1]]),
        edge_attr=torch.arange(2),
        y=2.0,
        name="a",
    )
    graph = from_pyg(make(3))
    assert {place: set(getattr(graph, place)) for place in ("nodes", "edges", "globals")} == {
        "nodes": {"x"},
        "edges": {"attr"},
        "globals": {"y"},
    }
    assert graph.edges["attr"].tolist() == [0, 1]  # 1 -> 0 first: sorted by receiver
    together = from_pyg(Batch.from_data_list([make(3), make(2)]))
    assert together.node_counts.tolist() == [3, 2]
    assert together.globals["y"].tolist() == [2.0, 2.0]
    assert together[1].edge_index.tolist() == [[1, 0], [0, 1]]


def test_pyg_batches_of_converted_graphs_come_back():
    from torch_geometric.data import Batch

    parts = [Graph.create([[0, 1], [1, 0]], {"x": torch.randn(2)}, {"w": torch.randn(2)}) for _ in range(3)]
    joined = from_pyg(Batch.from_data_list([to_pyg(part) for part in parts]))
    assert_same(joined, batch(parts))


def test_pyg_guesses_can_be_overruled():
    from torch_geometric.data import Data

    data = Data(x=torch.ones(3, 1), y=torch.ones(3), edge_index=torch.tensor([[0], [1]]))
    assert "y" in from_pyg(data).nodes
    assert from_pyg(data, places={"y": "globals"}).globals["y"].shape == (1, 3)
    with pytest.raises(ValueError, match="'z'"):
        from_pyg(data, places={"z": "nodes"})


def test_pyg_without_node_features_keeps_the_number_of_nodes():
    from torch_geometric.data import Data

    assert from_pyg(Data(edge_index=torch.tensor([[0], [1]]), num_nodes=4)).num_nodes == 4


def test_pyg_logs_what_it_leaves_out(caplog):
    from torch_geometric.data import Data

    with caplog.at_level(logging.WARNING):
        graph = from_pyg(Data(x=torch.ones(2, 1), name="water"))
    assert "'name'" in caplog.text
    assert graph.num_edges == 0


def test_missing_pyg_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_geometric.data", None)
    with pytest.raises(ImportError, match=r"sciml\[pyg\]"):
        to_pyg(Graph.create([], {"x": torch.ones(1)}))


# ------------------------------------------------------------------------ ASE


@st.composite
def structures(draw):
    size = draw(st.integers(0, 5))
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    periodic = draw(st.booleans())
    atoms = Atoms(
        random.integers(1, 90, size),
        positions=random.normal(size=(size, 3)),
        cell=random.normal(size=(3, 3)) if periodic else None,
        pbc=random.integers(0, 2, 3).astype(bool) if periodic else False,
    )
    if draw(st.booleans()):
        atoms.set_masses(random.uniform(1, 9, size))
    if draw(st.booleans()):
        atoms.set_initial_charges(random.normal(size=size))
    if draw(st.booleans()):
        atoms.set_velocities(random.normal(size=(size, 3)))
    if draw(st.booleans()):
        atoms.set_array("descriptor", random.normal(size=(size, 2)))
        atoms.info["temperature"] = 300.0
    return atoms


@given(structures())
def test_ase_round_trip(atoms):
    back = to_ase(from_ase(atoms))
    assert back.arrays.keys() | {"masses"} == atoms.arrays.keys() | {"masses"}
    assert_allclose(back.get_masses(), atoms.get_masses())
    assert_allclose(back.get_momenta(), atoms.get_momenta(), atol=1e-12)
    for name in atoms.arrays.keys() - {"masses", "momenta"}:
        assert_array_equal(back.arrays[name], atoms.arrays[name])
    assert_array_equal(back.cell, atoms.cell)
    assert_array_equal(back.pbc, atoms.pbc)
    assert back.info == atoms.info


@pytest.mark.parametrize("atoms", [bulk("Cu", cubic=True), molecule("C6H6"), molecule("H2O", vacuum=3.0)])
def test_ase_edges_are_those_of_its_own_neighbour_list(atoms):
    graph = from_ase(atoms, cutoff=3.0)
    expected = neighbor_list("ijd", atoms, 3.0)
    ours = zip(graph.sender.tolist(), graph.receiver.tolist(), graph.edge_vectors().norm(dim=-1).tolist())
    pairs = lambda rows: sorted((i, j, round(d, 9)) for i, j, d in rows)
    assert pairs(ours) == pairs(zip(*(column.tolist() for column in expected)))
    assert from_ase(atoms).num_edges == 0


def test_ase_slabs_need_no_third_vector():
    slab = Atoms("Cu", cell=[2.5, 2.5, 0], pbc=(True, True, False))
    assert from_ase(slab, cutoff=3.0).num_edges == 4


def test_ase_velocities_are_in_angstrom_per_femtosecond():
    """The kinetic energy (3/2) k T of a thermal argon atom fixes the unit."""
    from ase.units import kB

    atoms = Atoms("Ar")
    speed = np.sqrt(3 * kB * 300 / atoms.get_masses()[0])
    atoms.set_velocities([[speed, 0, 0]])
    graph = from_ase(atoms)
    assert float(graph.nodes["velocity"][0, 0]) == pytest.approx(432.8e-5, rel=1e-3)  # 432.8 m/s
    assert graph.spec("nodes", "velocity").unit == "angstrom/fs"


def test_ase_results_of_a_calculation_are_kept():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.calc = EMT()
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    graph = from_ase(atoms)
    assert graph.globals["energy"].item() == energy
    assert graph.spec("nodes", "forces") == Spec("1o", "eV/angstrom")
    back = to_ase(graph)
    assert back.get_potential_energy() == energy
    assert_array_equal(back.get_forces(), forces)


def test_ase_structures_batch_and_turn():
    from sciml.symmetry import check

    graph = batch([from_ase(bulk("Cu", cubic=True), 3.0), from_ase(bulk("NaCl", "rocksalt", a=5.6), 3.0)])
    graph = graph.with_nodes(pos=graph.nodes["pos"] + 0.2 * torch.randn(graph.num_nodes, 3).double())
    lengths = lambda graph: graph.with_edges(length=graph.edge_vectors().norm(dim=-1))
    check(lengths, graph, symmetry=("S", "T", "O", "images")).raise_if_failed()


def test_ase_fields_can_be_chosen():
    atoms = molecule("O2")  # carries magnetic moments, which water does not
    atoms.info["temperature"] = 300.0
    graph = from_ase(atoms, fields=["mass"])
    assert set(graph.nodes) == {"pos", "number", "mass"}
    assert not graph.globals
    assert batch([graph, from_ase(molecule("H2O"), fields=["mass"])]).num_nodes == 5
    with pytest.raises(ValueError, match=r"no \['dipole'\]; they have \['pos'"):
        from_ase(atoms, fields=["dipole"])


def test_ase_refuses_what_atoms_cannot_be(caplog):
    graph = from_ase(molecule("H2O"))
    with pytest.raises(ValueError, match=r"\[to_ase\(g\) for g in graph\]"):
        to_ase(batch([graph, graph]))
    with pytest.raises(ValueError, match=r"pos \(2, 2\)"):
        to_ase(Graph.create([], {"pos": torch.ones(2, 2), "number": torch.ones(2).long()}))
    with pytest.raises(ValueError, match="cutoff is -1"):
        from_ase(molecule("H2O"), cutoff=-1)
    with pytest.raises(ValueError, match="finite"):
        from_ase(Atoms("H", positions=[[np.nan, 0, 0]]))
    named = Atoms("H")
    named.info["source"] = "here"
    assert "source" not in from_ase(named).globals
    assert "'source'" in caplog.text


# ------------------------------------------------------------------- networkx


@given(graphs())
def test_networkx_round_trip(graph):
    assert_same(from_networkx(to_networkx(graph)), graph)


def test_networkx_attributes():
    graph = Graph.create(
        [[0, 0, 1], [1, 1, 0]],
        {"x": torch.tensor([1.5, 2.5])},
        {"w": torch.arange(3)},
        {"e": torch.tensor([7])},
    )
    result = to_networkx(graph)
    assert isinstance(result, nx.MultiDiGraph)
    assert [row["x"] for _, row in result.nodes(data=True)] == [1.5, 2.5]
    assert result.number_of_edges(0, 1) == 2
    assert result.graph["e"] == 7


def test_networkx_graphs_made_elsewhere():
    path = nx.path_graph(["a", "b", "c"])
    nx.set_edge_attributes(path, {("a", "b"): 1.0, ("b", "c"): 2.0}, "w")
    graph = from_networkx(path)
    assert graph.num_nodes == 3
    edges = {(s, r): w for (s, r), w in zip(graph.edge_index.T.tolist(), graph.edges["w"].tolist())}
    assert edges == {(0, 1): 1.0, (1, 0): 1.0, (1, 2): 2.0, (2, 1): 2.0}
    degree = torch.bincount(graph.receiver).tolist()
    assert degree == [d for _, d in path.degree]
    assert from_networkx(nx.MultiGraph([(0, 1), (0, 1)])).num_edges == 4
    assert from_networkx(nx.DiGraph([(0, 1)])).edge_index.tolist() == [[0], [1]]
    assert from_networkx(nx.Graph()).num_nodes == 0


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([(0, {"x": 1.0}), (1, {})], r"node 1 differs .*\['x'\]"),
        ([(0, {"x": "carbon"})], "'x' is not a number .*'carbon'"),
        ([(0, {"x": [1.0]}), (1, {"x": [1.0, 2.0]})], "one shape"),
    ],
)
def test_networkx_refuses_ragged_attributes(nodes, message):
    graph = nx.Graph()
    graph.add_nodes_from(nodes)
    with pytest.raises(ValueError, match=message):
        from_networkx(graph)


@pytest.mark.parametrize("convert", [to_pyg, to_ase, to_networkx])
def test_two_node_sets_are_refused(convert):
    graph = Graph.create([], {"x": torch.ones(1)}, senders={"x": torch.ones(2)})
    with pytest.raises(ValueError, match="senders"):
        convert(graph)
