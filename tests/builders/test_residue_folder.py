"""Folders of structures: in parallel or not, with bad files among them."""

import csv
import os
import shutil
import sys

import pytest
from test_residues import entry

from sciml.builders.residue import find_structures, residue_graph, residue_graphs
from sciml.builders.residue import folder as module


@pytest.fixture
def folder(tmp_path):
    for name in ("1yjp", "1ubi", "5wkd"):
        shutil.copy(entry(name), tmp_path)
    inner = tmp_path / "more"
    inner.mkdir()
    shutil.copy(entry("1lcd"), inner)
    (tmp_path / "bad.pdb").write_text("<html>")
    (tmp_path / "empty.cif").write_text("")
    (tmp_path / "notes.txt").write_text("not a structure, and not taken for one")
    return tmp_path


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_files_do_not_stop_the_rest(folder, workers):
    result = residue_graphs(folder, workers=workers, failures=folder / "out" / "failures.csv")
    assert [os.path.basename(p)[:4] for p in result.paths] == ["1ubi", "1yjp", "5wkd", "1lcd"]
    assert [os.path.basename(f.path) for f in result.failures] == ["bad.pdb", "empty.cif"]
    assert "web page" in result.failures[0].reason
    with (folder / "out" / "failures.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["path", "reason"]
    assert rows[1:] == [list(f) for f in result.failures]
    single = residue_graph(entry("1ubi"))
    assert result.graphs[0].edge_index.equal(single.edge_index)
    assert all(result.graphs[0].nodes[name].equal(single.nodes[name]) for name in single.nodes)
    assert "4 graphs, 2 files that could not be read" in str(result)
    assert "waters" in str(result)


def test_strict_fails_and_names_the_files(folder):
    with pytest.raises(ValueError, match=r"2 of 6 files could not be read:\n.*bad.pdb: .*web page"):
        residue_graphs(folder, workers=1, strict=True)


def test_options_and_models(folder):
    result = residue_graphs(folder, "ca", 7.0, workers=1, k=4, model="all")
    assert len(result) == 6  # 1LCD has three models
    assert result.paths[-3:] == [str(folder / "more" / "1lcd.cif.gz")] * 3
    assert result.graphs[-1].globals["model"].item() == 3
    with pytest.raises(TypeError, match="did you mean waters"):
        residue_graphs(folder, water="keep")


def test_folders_that_are_not_there_or_hold_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        residue_graphs(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="holds no structures"):
        residue_graphs(tmp_path)
    assert find_structures(entry("1ubi")) == [str(entry("1ubi"))]
    assert len(residue_graphs([entry("1ubi"), entry("1yjp")], workers=1)) == 2


def test_a_worker_that_dies_is_told_of_its_file(folder, monkeypatch):
    if sys.platform != "linux":
        pytest.skip("workers are forked, and see the patch, on Linux only")
    read = module.read_residues

    def deadly(path, rules):
        if "5wkd" in path:
            os._exit(1)  # as a crash in compiled code does
        return read(path, rules)

    monkeypatch.setattr(module, "read_residues", deadly)
    result = residue_graphs(folder, workers=2)
    assert [os.path.basename(p)[:4] for p in result.paths] == ["1ubi", "1yjp", "1lcd"]
    assert "died" in {os.path.basename(f.path): f.reason for f in result.failures}["5wkd.pdb.gz"]


def test_a_bar_is_shown_only_where_asked_for_or_seen(folder, capsys):
    residue_graphs(folder, workers=1)
    assert capsys.readouterr().err == ""
    residue_graphs(folder, workers=1, progress=True)
    capsys.readouterr()
