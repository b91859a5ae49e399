"""Pictures of structures: what is drawn is what was given."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from sciml import plotting
from sciml.builders import residue_graph
from sciml.plotting.structures import FOLD_COLORS, _projected

ENTRIES = Path(__file__).parents[1] / "data" / "structures" / "entries"


@pytest.fixture(scope="module")
def graph():
    return residue_graph(ENTRIES / "1ubi.pdb.gz")


@pytest.fixture(scope="module")
def complex_():
    return residue_graph(ENTRIES / "1lcd.cif.gz", ions="keep")


def pairs_of(collection):
    return {tuple(int(v) for v in pair) for pair in collection.get_offsets().tolist()}


def test_contact_map_shows_every_contact_on_its_side(graph):
    lower, upper = plotting.contact_map(graph).collections[:2]
    contact = graph.edges["kind"][:, 0]
    ends = {tuple(pair) for pair in graph.edge_index[:, contact].T.tolist()}
    assert pairs_of(lower) == {(i, j) for i, j in ends if i < j}
    assert pairs_of(upper) == {(i, j) for i, j in ends if i > j}
    assert lower.get_array().max() <= 8.0


def test_contact_map_shows_predictions_above_the_diagonal(graph):
    values = torch.arange(graph.num_edges, dtype=torch.float32)
    upper = plotting.contact_map(graph, predicted=values).collections[1]
    above = graph.sender > graph.receiver
    assert np.array_equal(upper.get_array(), values[above].numpy())


def test_contact_map_names_chains(complex_):
    ax = plotting.contact_map(complex_)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["B", "C", "A"]


def test_trace_is_no_mirror_image_and_keeps_distances(graph):
    flat, depth = _projected(graph)
    seen = np.concatenate([flat, depth[:, None]], axis=1)
    pos = graph.nodes["pos"].double().numpy()
    inner = lambda x: np.linalg.det(x[[10, 30, 50]] - x[0])
    assert inner(seen) == pytest.approx(inner(pos), rel=1e-6)
    assert flat[:, 0].std() >= flat[:, 1].std() >= depth.std()


def test_trace_colours_what_it_is_told(graph, complex_):
    ax = plotting.trace(graph)
    assert {text.get_text() for text in ax.get_legend().get_texts()} == set(FOLD_COLORS)
    pieces = sum(len(c.get_segments()) for c in ax.collections[1:2])
    assert pieces == 2 * 75  # half a bond for each end
    values = np.linspace(0, 1, graph.num_nodes)
    assert len(plotting.trace(graph, values, label="error").figure.axes) == 2  # with a bar
    names = [t.get_text() for t in plotting.trace(complex_, "chain").get_legend().get_texts()]
    assert names == ["B", "C", "A"]


def test_values_that_are_not_finite_are_grey(graph):
    values = graph.nodes["surface"].clone()
    values[3] = float("nan")
    points = plotting.network(graph, values).collections[-1]
    grey = (np.abs(points.get_facecolors()[:, :3] - 0.8) < 1e-6).all(axis=1)
    assert grey.sum() == 1


def test_network_draws_each_contact_once(graph):
    contacts, chain, points = plotting.network(graph).collections
    assert len(contacts.get_segments()) + len(chain.get_segments()) == graph.num_edges // 2
    assert len(chain.get_segments()) == 75
    assert len(points.get_offsets()) == 76


def test_what_does_not_fit(graph):
    with pytest.raises(ValueError, match="There is no node field 'bfactor'"):
        plotting.trace(graph, "bfactor")
    with pytest.raises(ValueError, match=r"shape \(3,\); expected one for each of 76"):
        plotting.network(graph, [1.0, 2.0, 3.0])
    two = residue_graph([ENTRIES / "1yjp.cif.gz"] * 2)
    for draw in (plotting.contact_map, plotting.trace, plotting.network, plotting.structure_view):
        with pytest.raises((ValueError, ImportError), match=r"batch of 2|py3Dmol"):
            draw(two)
    with pytest.raises(ValueError, match="batch of 2"):
        plotting.trace(two)


@pytest.mark.parametrize("name", ["1yjp.cif.gz", "1lzh.pdb.gz", "1pfe.cif.gz"])
def test_small_and_odd_structures(name):
    graph = residue_graph(ENTRIES / name, ligands="keep", waters="keep")
    for draw in (plotting.contact_map, plotting.trace, plotting.network):
        assert draw(graph).figure.axes


def test_the_view_shows_each_residue_in_its_colour(graph, monkeypatch):
    gemmi = pytest.importorskip("gemmi")
    calls = []

    class View:
        def __init__(self, **size):
            calls.append(("view", size))

        def __getattr__(self, name):
            return lambda *given: calls.append((name, given))

    monkeypatch.setitem(sys.modules, "py3Dmol", types.SimpleNamespace(view=View))
    plotting.structure_view(graph, "b_factor", width=300)
    assert calls[0] == ("view", {"width": 300, "height": 360})
    text, kind = calls[1][1]
    structure = gemmi.make_structure_from_block(gemmi.cif.read_string(text)[0])
    assert kind == "cif"
    assert structure[0].count_atom_sites() == 76
    styles = [given for name, given in calls if name == "setStyle"]
    assert [selection["serial"] for selection, _ in styles] == list(range(1, 77))
    assert len({style["cartoon"]["color"] for _, style in styles}) > 20


def test_the_view_says_what_it_needs(graph, monkeypatch):
    monkeypatch.setitem(sys.modules, "py3Dmol", None)
    with pytest.raises(ImportError, match=r"pip install 'sciml\[proteins\]'"):
        plotting.structure_view(graph)
