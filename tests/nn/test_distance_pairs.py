"""Edges and their reverses, and what is computed once for both."""

import numpy as np
import pytest
import torch
from ase import Atoms
from cases.atoms import CUTOFF, clusters
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.checkpoint import checkpoint

from sciml.builders import atoms_graph
from sciml.graph import Graph
from sciml.models import MACE, NequIP, PaiNN, SchNet
from sciml.nn import pairs as module
from sciml.nn import pieces as convolutions
from sciml.nn import recording
from sciml.nn.pairs import pairs, pieces

SMALL = {"channels": 8, "layers": 2, "radial": 6, "cutoff": CUTOFF}
TENSORS = SMALL | {"channels": 4, "lmax": 1, "hidden": (8,)}
MODELS = {
    "SchNet": lambda: SchNet(**SMALL),
    "PaiNN": lambda: PaiNN(**SMALL),
    "NequIP": lambda: NequIP(**TENSORS),
    "MACE": lambda: MACE(**TENSORS, correlation=2),
}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), atoms=st.integers(1, 6), cell=st.floats(1.5, 5.0))
def test_pairs_are_edges_with_opposite_vectors(seed, atoms, cell):
    """In cells down to half the cutoff, where an atom is its own neighbour many times over."""
    random = np.random.default_rng(seed)
    structure = Atoms(
        f"H{atoms}", random.random((atoms, 3)) * cell, cell=[cell, cell + 0.1, cell + 0.3], pbc=True
    )
    graph = atoms_graph([structure, Atoms("HO", [[0, 0, 0], [0, 0, 1.0]])], 3.0)
    found = pairs(graph)
    assert 2 * len(found.first) == graph.num_edges
    assert (torch.bincount(found.number) == 2).all()
    vectors, signed = graph.edge_vectors(), torch.zeros(len(found.first), 3, dtype=torch.float64)
    assert (signed.index_add(0, found.number, vectors).abs() == 0).all()
    assert torch.equal(found.number[found.first], torch.arange(len(found.first)))


def test_an_edge_without_its_reverse_and_an_edge_to_itself():
    nodes = {"x": torch.zeros(3, 1)}
    assert pairs(Graph.create(torch.tensor([[0, 1, 1], [1, 0, 2]]), nodes)) is None
    found = pairs(Graph.create(torch.tensor([[0, 1, 2], [1, 0, 2]]), nodes))
    assert len(found.first) == 2
    assert found.number.tolist() == [0, 0, 1]
    assert len(pairs(Graph.create(torch.zeros(2, 0, dtype=torch.long), nodes)).first) == 0


@pytest.mark.parametrize("name", MODELS)
def test_sharing_changes_nothing(name, monkeypatch):
    """Energy, forces, virial, and the gradient of all by the weights."""
    torch.manual_seed(0)
    model, graph = MODELS[name]().double(), atoms_graph(clusters(), CUTOFF)
    shared = []
    monkeypatch.setattr(module, "pairs", lambda graph: shared.append(pairs(graph)) or shared[-1])

    def everything():
        found = model.derivatives(graph)
        loss = sum(value.square().sum() for value in found)
        return *found, *torch.autograd.grad(loss, list(model.parameters()))

    once = everything()
    assert shared.pop() is not None
    monkeypatch.setattr(module, "pairs", lambda graph: None)
    torch.testing.assert_close(everything(), once)


def test_who_must_see_edges_does():
    model, graph = SchNet(**SMALL).double(), atoms_graph(clusters(), CUTOFF)
    energy = model(graph).globals["energy"]
    with recording(model) as tape:
        recorded = model(graph).globals["energy"]
    assert tape.messages["layers.0"][0].shape == (graph.num_edges, 8)
    model.layers[1].fused = False
    torch.testing.assert_close(model(graph).globals["energy"], energy)
    torch.testing.assert_close(recorded, energy)


@pytest.mark.parametrize("room", ["much", "little", "in training"])
@pytest.mark.parametrize("name", MODELS)
def test_pieces_change_nothing(name, room, monkeypatch):
    """Of a few edges each, some receivers without any; with derivatives of the forces too."""
    computed = []
    once_more = lambda function, *of, **options: computed.append(0) or checkpoint(function, *of, **options)
    monkeypatch.setattr(convolutions, "checkpoint", once_more)
    monkeypatch.setattr(convolutions, "free_memory", lambda device: 1e9 if room == "much" else 1e3)
    torch.manual_seed(0)
    model, graph = MODELS[name]().double(), atoms_graph([*clusters(), Atoms("H")], CUTOFF)

    def everything():
        found = model.derivatives(graph)
        loss = sum(value.square().sum() for value in found)
        return *found, *torch.autograd.grad(loss, list(model.parameters()))

    model.train(room == "in training")
    whole = everything()
    assert not computed
    monkeypatch.setattr(module, "EDGES", 4)
    assert len(pieces(graph)) > 4
    torch.testing.assert_close(everything(), whole)
    assert bool(computed) == (room != "much")
    with torch.no_grad():
        torch.testing.assert_close(model.derivatives(graph), tuple(v.detach() for v in whole[:3]))
    monkeypatch.setattr(module, "pairs", lambda graph: None)
    torch.testing.assert_close(everything(), whole)
