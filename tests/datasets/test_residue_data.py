"""Residue tasks: what is read of a folder, what may be seen, what is asked."""

import gemmi
import numpy as np
import pytest
import torch

from sciml.builders import residue_graph
from sciml.builders.residue import AMINO, SECONDARY
from sciml.datasets import read_structures, residue_data
from sciml.datasets.contact_maps import FAR, PAIR, hide_contacts, pair_features, shaken
from sciml.datasets.residue_tasks import STATES, TASKS, VIEWS, task_named, visible
from sciml.datasets.structures import shipped

ENTRIES = shipped() / "entries"
UBIQUITIN, CRAMBIN = ENTRIES / "1ubi.pdb.gz", ENTRIES / "1ejg.pdb.gz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six short entries, one of them twice."""
    path = tmp_path_factory.mktemp("structures")
    for name in ("1ubi.pdb.gz", "1ejg.pdb.gz", "5pti.cif.gz", "1a8o.cif.gz", "1orc.pdb.gz", "1a7g.cif.gz"):
        (path / name).write_bytes((ENTRIES / name).read_bytes())
    (path / "again.pdb.gz").write_bytes(UBIQUITIN.read_bytes())
    return path


def stripped(path, keep, name=None):
    """A structure with some atoms only, and all residues of one name, if given."""
    structure = gemmi.read_structure(str(path))
    structure.remove_ligands_and_waters()
    for chain in structure[0]:
        for residue in chain:
            for atom in reversed(range(len(residue))):
                if residue[atom].name not in keep:
                    del residue[atom]
            residue.name = name or residue.name
    return structure


# ------------------------------------------------------------------ leakage


def same_fields(a, b):
    assert torch.equal(a.edge_index, b.edge_index)
    for place in ("nodes", "edges"):
        left, right = getattr(a, place), getattr(b, place)
        assert left.keys() == right.keys()
        for name in left:
            torch.testing.assert_close(left[name], right[name], msg=lambda m, name=name: f"{name}: {m}")


def test_a_trace_shows_nothing_but_ca_and_types():
    view = VIEWS["trace"]
    whole = residue_graph(UBIQUITIN, **view.options)
    ca_only = residue_graph(stripped(UBIQUITIN, {"CA"}), **view.options)
    same_fields(visible(whole, view), visible(ca_only, view))
    assert (whole.nodes["exposure"] - ca_only.nodes["exposure"]).abs().max() > 0.1  # hidden answers differ


def test_a_backbone_shows_neither_types_nor_side_chains():
    view = VIEWS["backbone"]
    whole = residue_graph(UBIQUITIN, **view.options)
    bare = residue_graph(stripped(UBIQUITIN, {"N", "CA", "C", "O"}, name="ALA"), **view.options)
    assert len(whole.nodes["type"].unique()) > 10
    same_fields(visible(whole, view), visible(bare, view))


@pytest.mark.parametrize("name", [name for name in TASKS if TASKS[name].kind not in ("pairs", "vectors")])
def test_only_the_view_is_visible(name):
    task = TASKS[name]
    graph = residue_graph(CRAMBIN, **task.shows.options)
    shown = visible(graph, task.shows)
    assert set(shown.nodes) == set(task.shows.nodes)
    assert set(shown.edges) == set(task.shows.edges)
    assert not shown.globals
    assert not {"secondary", "exposure", "surface", "b_factor", "plddt", "cb", "name"} & set(shown.nodes)


def test_a_missing_field_says_how_to_build_the_graph():
    graph = residue_graph(CRAMBIN, **VIEWS["trace"].options).with_edges(None)
    bare = graph.replace(edges={k: v for k, v in graph.edges.items() if k != "kind"}, specs={})
    with pytest.raises(ValueError, match=r"no edges\.kind.*residue_graph\(..., contact='ca'"):
        visible(bare, VIEWS["trace"])


def test_unknown_task_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean exposure"):
        task_named("exposures")


# ------------------------------------------------------------------ targets


def test_targets_are_what_they_say():
    graph = residue_graph(UBIQUITIN, **VIEWS["trace"].options)
    states, known = TASKS["secondary"].target(graph)
    helix = [STATES[s] for s in states[22:33].tolist()]  # residues 23 to 33 of ubiquitin
    assert helix == ["helix"] * len(helix)
    assert {STATES[s] for s in states[1:6].tolist()} == {"strand"}
    assert known.all()
    z, known = TASKS["b_factor"].target(graph)
    assert known.all()
    assert z.mean().abs() < 1e-5
    assert z.square().mean() == pytest.approx(1, abs=1e-4)
    assert torch.equal(TASKS["type"].target(graph)[0], graph.nodes["type"])


def test_what_is_not_known_is_masked():
    options = VIEWS["trace"].options
    trace = residue_graph(stripped(UBIQUITIN, {"CA"}), **options)
    assert (trace.nodes["secondary"] == SECONDARY.index("?")).all()
    for name in ("exposure", "secondary", "type"):
        assert not TASKS[name].target(trace)[1].any()
    chain = residue_graph(shipped() / "chains" / "2xdgA.pdb.gz", **options)  # all B-factors are 100
    assert not TASKS["b_factor"].target(chain)[1].any()
    predicted = residue_graph(UBIQUITIN, predicted=True, **options)
    assert not TASKS["b_factor"].target(predicted)[1].any()


# ------------------------------------------------------------------ contacts and noise


def test_hidden_contacts_are_asked_and_not_shown():
    graph = residue_graph(UBIQUITIN, **VIEWS["sequence"].options)
    asked = hide_contacts(graph, share=0.5, seed=1)
    i, j = graph.edge_index
    far = graph.edges["kind"][:, 0] & (graph.edges["separation"].abs() >= FAR)
    true = {frozenset(pair) for pair in graph.edge_index[:, far].T.tolist()}
    rows = asked.edges["candidate"]
    hidden = {frozenset(p) for p in asked.edge_index[:, rows & asked.edges["label"]].T.tolist()}
    shown = {frozenset(p) for p in asked.edge_index[:, asked.edges["kind"][:, 0]].T.tolist()}
    apart = {frozenset(p) for p in asked.edge_index[:, rows & ~asked.edges["label"]].T.tolist()}
    assert len(hidden) == round(0.5 * len(true))
    assert hidden <= true
    assert not hidden & shown
    assert true == hidden | (shown & true)
    assert not apart & true
    amino = 76
    assert len(hidden | apart | (shown & true)) == sum(1 for a in range(amino) for _ in range(a + FAR, amino))
    assert "pos" not in asked.nodes
    assert not asked.edges["kind"][rows].any()
    assert torch.equal(asked.edges["observed"], ~rows)
    assert len(i) == len(j)


def test_hiding_is_drawn_by_the_seed():
    graph = residue_graph(CRAMBIN, **VIEWS["sequence"].options)
    label = lambda seed: hide_contacts(graph, seed=seed).edges["label"]
    assert torch.equal(label(3), label(3))
    assert not torch.equal(label(3), label(4))


def test_pair_features_see_shown_contacts_alone_and_both_ends_alike():
    rng = np.random.default_rng(0)
    contact = np.triu(rng.random((12, 12)) < 0.3, 1)
    contact |= contact.T
    separation = np.arange(12) - np.arange(12)[:, None]
    i, j = np.array([2, 5]), np.array([9, 11])
    forth, back = (pair_features(contact, separation, *ends) for ends in ((i, j), (j, i)))
    np.testing.assert_allclose(forth, back, rtol=1e-6)
    assert forth.shape == (2, len(PAIR))
    common = [sum(contact[a, k] and contact[k, b] for k in range(12)) for a, b in zip(i, j)]
    np.testing.assert_allclose(forth[:, PAIR.index("common neighbours")] ** 2, common, rtol=1e-6)
    ladder = contact[i + 1, j - 1].astype(int) + contact[i - 1, np.minimum(j + 1, 11)] * (j < 11)
    np.testing.assert_allclose(forth[:, PAIR.index("antiparallel")] ** 2, ladder, rtol=1e-6)


def test_noise_moves_edges_and_the_target_leads_back():
    task = TASKS["denoise"]
    graph = residue_graph(UBIQUITIN, **task.shows.options)
    target, mask = task.target(graph)
    graph = graph.with_nodes(target=target, target_mask=mask)
    noisy = shaken(graph, noise=1.0, seed=0)
    torch.testing.assert_close(noisy.nodes["pos"] + noisy.nodes["target"], graph.nodes["pos"])
    assert noisy.nodes["target"].std() == pytest.approx(1.0, abs=0.1)
    distance = noisy.edge_vectors().norm(dim=-1)
    assert (distance[noisy.edges["kind"][:, 0]] <= 10.0 + 1e-4).all()
    near = torch.cdist(noisy.nodes["pos"], noisy.nodes["pos"]) <= 10.0
    assert int(near.sum()) - graph.num_nodes == int(noisy.edges["kind"][:, 0].sum())
    same = shaken(graph, noise=0.0)
    torch.testing.assert_close(same.nodes["frame"], graph.nodes["frame"])
    assert torch.equal(same.edge_index, graph.edge_index)
    assert torch.equal(same.edges["separation"], graph.edges["separation"])


# ------------------------------------------------------------------ folders


def test_a_folder_becomes_three_parts_without_relatives(folder):
    data = residue_data("exposure", folder, folds=3, fold=1, validation=True)
    names = [set(part.names) for part in (data.train, data.validation, data.test)]
    assert set.union(*names) == {p.name for p in folder.iterdir()}
    assert sum(map(len, names)) == 7
    assert data.families == 6
    twins = {"1ubi.pdb.gz", "again.pdb.gz"}
    assert any(twins <= part for part in names)
    assert "target" in data.train.graphs.nodes


def test_every_structure_is_tested_once(folder):
    tested = [n for fold in range(3) for n in residue_data("type", folder, folds=3, fold=fold).test.names]
    assert sorted(tested) == sorted(p.name for p in folder.iterdir())


def test_bad_files_are_listed_and_do_not_stop_the_rest(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "page.pdb").write_text("<html><body>Not found</body></html>")
    (tmp_path / "empty.cif").write_text("")
    data = residue_data("secondary", tmp_path, folds=3)
    assert set(data.left_out) == {"page.pdb", "empty.cif"}
    assert "web page" in data.left_out["page.pdb"]
    with pytest.raises(ValueError, match=r"2 of 9 files cannot be read"):
        residue_data("secondary", tmp_path, folds=3, strict=True)


def test_structures_without_a_target_are_left_out_and_named(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    name = "2xdgA.pdb.gz"
    (tmp_path / name).write_bytes((shipped() / "chains" / name).read_bytes())
    data = residue_data("b_factor", tmp_path, folds=3)
    assert list(data.left_out) == [name]
    assert "nothing is known of the target" in data.left_out[name]


def test_the_cache_is_used_while_no_file_changes(folder, tmp_path, monkeypatch):
    first = read_structures(folder, cache=tmp_path)
    assert len(list(tmp_path.glob("residues-*.pt"))) == 1
    monkeypatch.setattr("sciml.datasets.structures.residue_graphs", None)  # nothing may be built
    second = read_structures(folder, cache=tmp_path)
    assert second.names == first.names
    for name, value in first.graphs.nodes.items():
        assert torch.equal(second.graphs.nodes[name], value)
    assert second.graphs.specs == first.graphs.specs
    with pytest.raises(TypeError):
        read_structures(folder, cache=tmp_path, cutoff=7.0)


def test_other_code_does_not_read_the_cache(folder, tmp_path, monkeypatch):
    read_structures(folder, cache=tmp_path)
    monkeypatch.setattr("sciml.datasets.structures._builder", lambda: "another version")
    read_structures(folder, cache=tmp_path)
    assert len(list(tmp_path.glob("residues-*.pt"))) == 2


def test_a_damaged_cache_is_built_anew(folder, tmp_path):
    read_structures(folder, cache=tmp_path)
    (file,) = tmp_path.glob("*.pt")
    file.write_bytes(file.read_bytes()[:100])
    assert len(read_structures(folder, cache=tmp_path)) == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "nowhere"}, "There is no folder"),
        ({"fold": 3, "folds": 3}, r"fold is 3; with 3 folds it is 0 to 2"),
        ({"folds": 40}, r"40 folds of 6 families"),
        ({"folds": 2, "validation": True}, "at least 3 folds"),
        ({"task": "secondry"}, "did you mean secondary"),
        ({"identity": 0.0}, "expected an identity above 0"),
    ],
)
def test_wrong_settings_are_explained(folder, change, message):
    options = {"task": "exposure", "path": folder, "folds": 3} | change
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        residue_data(**options)


def test_no_structures_and_none_readable(tmp_path):
    with pytest.raises(FileNotFoundError, match="no structures"):
        residue_data("exposure", tmp_path)
    (tmp_path / "x.pdb").write_text("nothing\n")
    with pytest.raises(ValueError, match="None of the 1 files"):
        residue_data("exposure", tmp_path)


def test_what_is_shipped_is_found_and_diverse():
    assert len(list(shipped().rglob("*.gz"))) >= 80
    assert len(AMINO) == 20
