"""The commands on structures: train on a folder, fold by fold, and find a law from contacts."""

import json

import common
import numpy as np
import pytest
from commands import command
from omegaconf import open_dict

import sciml
from sciml.datasets.structures import shipped
from sciml.training.errors import RunError

NAMES = ("1ubi.pdb.gz", "1ejg.pdb.gz", "5pti.cif.gz", "1a8o.cif.gz", "1orc.pdb.gz")
SMALL = {"channels": 8, "vectors": 2, "edge_channels": 4, "layers": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("structures")
    for name in NAMES:
        (path / name).write_bytes((shipped() / "entries" / name).read_bytes())
    (path / "page.pdb").write_text("<html>not found</html>")
    return path


def config(run_dir, *overrides):
    found = common._compose("config", list(overrides))
    with open_dict(found):
        found.name, found.run_dir = "test", str(run_dir)
    return found


def residue_config(run_dir, folder, *overrides):
    small = [f"model.{name}={value}" for name, value in SMALL.items()]
    return config(
        run_dir, "experiment=residues", f"data.path={folder}", "data.cache=null", "task.epochs=1", *small,
        *overrides,
    )  # fmt: skip


@pytest.mark.parametrize("task", ["exposure", "secondary", "type", "contacts", "denoise"])
def test_a_task_trains_is_judged_and_comes_back(task, folder, tmp_path, capsys):
    from residues import residues

    residues(residue_config(tmp_path, folder, f"data.task={task}"), tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    first = metrics["compared_by"]
    assert np.isfinite([metrics[f"test/{who}{first}"] for who in ("", "linear_", "mean_")]).all()
    low, high = metrics["test/margin_over_linear_95"]
    assert low <= high
    assert metrics["units"]["seconds/train"] == "s"
    assert list(metrics["left_out"]) == ["page.pdb"]
    assert "page.pdb" in (tmp_path / "left_out.json").read_text()
    printed = capsys.readouterr().out
    assert "better than the linear answer by" in printed
    assert "page.pdb" in printed
    table = sciml.load_run(tmp_path).predict(folder / "1ejg.pdb.gz")
    assert len(table)


def test_every_fold_is_tested_once(folder, tmp_path):
    from residues import residues

    chosen = residue_config(tmp_path, folder, "data.every_fold=true", "data.folds=3")
    residues(chosen, tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    folds = [json.loads((tmp_path / f"fold_{k}" / "metrics.json").read_text()) for k in range(3)]
    assert metrics["test/structures"] == sum(f["test/structures"] for f in folds) == len(NAMES)
    rows = [f["test/rows"] for f in folds]
    assert metrics["test/mae"] == pytest.approx(np.average([f["test/mae"] for f in folds], weights=rows))
    assert sciml.load_run(tmp_path).task.name == "exposure"


def test_another_task_in_the_same_directory_is_refused(folder, tmp_path):
    from residues import residues

    residues(residue_config(tmp_path, folder), tmp_path)
    with pytest.raises(RunError, match="another data"):
        residues(residue_config(tmp_path, folder, "data.task=type"), tmp_path)


def test_too_few_contacts_end_with_status_3_and_a_report(folder, tmp_path):
    done = command(
        "discover", "experiment=contacts", f"data.path={folder}", "data.cache=null", f"run_dir={tmp_path}"
    )
    assert done.returncode == 3
    assert "need at least 2000" in done.stderr
    assert done.stdout.strip().endswith(str(tmp_path))
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"] == "none"
    assert "page.pdb" in report["left_out"]


def test_a_task_without_a_network_is_not_trained(tmp_path):
    done = command("train", "experiment=contacts", f"run_dir={tmp_path}")
    assert done.returncode == 1
    assert "scripts/discover.py" in done.stderr


def test_residues_have_no_forces(tmp_path):
    done = command("discover", "experiment=residues", f"run_dir={tmp_path}")
    assert done.returncode == 1
    assert "scripts/train.py" in done.stderr


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.tsk=type", "Did you mean data.task"),
        ("data.folds=few", "expected a whole number"),
        ("data.every_fold=3", "expected true or false"),
    ],
)
def test_wrong_overrides_name_the_right_key(override, message):
    with pytest.raises(ValueError, match=message):
        common.check_overrides("config", ["experiment=residues", override])


@pytest.mark.slow
def test_the_shipped_structures_tell_hydropathy_and_charge(tmp_path):
    done = command(
        "discover", "experiment=contacts", "task.seconds=6", "task.draws=40", "data.cache=null",
        f"run_dir={tmp_path}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"] == "law"
    rho = {(c["what"], c["reference"]): c["rho"] for c in report["comparisons"]}
    assert rho["pair energies", "Miyazawa-Jernigan 1996, e_ij"] > 0.6
    assert rho["attraction", "Kyte-Doolittle 1982, hydropathy"] > 0.7
    assert max(r for (what, name), r in rho.items() if "charge" in name) > 0.8
    assert "<svg" in (tmp_path / "report.html").read_text()
