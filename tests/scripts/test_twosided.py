"""Tables of pairs by command: both experiments, the users' files, and what is wrong with them."""

import csv
import json

import numpy as np
import pytest
from commands import command
from test_scripts import config

import sciml
from sciml.datasets import read_pairs, write_pairs
from sciml.datasets.simulated_pairs import simulated_drug_target
from sciml.training.errors import RunError

SMALL = {
    "drug_target": ["task.epochs=1", "data.simulate.drugs=20", "data.simulate.targets=12"],
    "recommend": ["task.epochs=2", "data.simulate.users=40", "data.simulate.items=50"],
}

SIZES = ("drug_target.drugs=9", "drug_target.targets=5", "drug_target.share=1.0")


def run(experiment, tmp_path, *overrides):
    from drug_target import drug_target
    from recommend import recommend

    chosen = config(
        f"experiment={experiment}", *SMALL[experiment], "model.channels=8", *overrides, run_dir=tmp_path
    )
    {"drug_target": drug_target, "recommend": recommend}[experiment](chosen, tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert set(metrics["units"]) == set(metrics) - {"units", "notes"}
    return metrics


# -------------------------------------------------------------------- experiments


def test_drugs_and_targets_are_trained_judged_and_predicted(tmp_path, capsys):
    metrics = run("drug_target", tmp_path, "data.unit=kcal/mol", "data.split.by=random")
    assert metrics["units"]["test/rmse"] == metrics["units"]["baseline/kernel/mae"] == "kcal/mol"
    assert metrics["units"]["test/concordance"] == ""
    assert metrics["test/pairs"] + metrics["train/pairs"] < 72 == round(0.3 * 20 * 12)
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("rmse", "kcal/mol", "model", "mean", "kernel"))
    rows = list(csv.DictReader((tmp_path / "predictions.csv").open()))
    measured, predicted = ([float(r[c]) for r in rows] for c in ("measured", "predicted"))
    error = np.sqrt(np.mean(np.subtract(measured, predicted) ** 2))
    assert error == pytest.approx(metrics["test/rmse"], rel=1e-3)
    pairs = simulated_drug_target(20, 12)
    text = lambda row: (
        pairs.left_text[pairs.left.index(row["drug"])],
        pairs.right_text[pairs.right.index(row["target"])],
    )
    again = sciml.load_run(tmp_path).predict([text(row) for row in rows])
    np.testing.assert_allclose(again, predicted, rtol=1e-4)
    with pytest.raises(RunError, match=r"another model.*choose another run_dir"):
        run("drug_target", tmp_path, "data.unit=kcal/mol", "data.split.by=random", "model.channels=4")


def test_users_and_items_are_trained_judged_and_recommended(tmp_path, capsys):
    metrics = run("recommend", tmp_path)
    assert 0 <= metrics["test/recall@20"] <= 1
    assert metrics["test/recall@10"] <= metrics["test/recall@20"]
    assert "popularity" in capsys.readouterr().out
    model = sciml.load_run(tmp_path)
    (item, score), *_ = model.recommend("user3", 3)
    assert model.predict([("user3", item)])[0] == pytest.approx(score)


def test_the_small_public_set(tmp_path):
    metrics = run("recommend", tmp_path, "data.source=southern_women")
    assert metrics["test/pairs"] + metrics["unranked/pairs"] + metrics["train/pairs"] <= 89


# ------------------------------------------------------------------- users' files


def test_a_table_of_ones_own_with_rows_that_cannot_be_read(tmp_path):
    path = tmp_path / "mine.csv"
    pairs = simulated_drug_target(20, 12)
    write_pairs(path, pairs)
    text = path.read_text().replace(pairs.left_text[3], "C1CC").replace("drug,target", "compound,protein")
    path.write_text(text)
    columns = ["data.drug_column=compound", "data.target_column=protein", "data.split.by=left"]
    texts = ["data.smiles_column=smiles", "data.sequence_column=sequence"]
    metrics = run("drug_target", tmp_path / "run", f"data.path={path}", *columns, *texts)
    assert metrics["left_out/compound"] == 1
    (row,) = csv.DictReader((tmp_path / "run" / "left_out.csv").open())
    assert (row["column"], row["name"], row["text"]) == ("compound", "drug3", "C1CC")
    assert "unclosed ring" in row["reason"]
    with pytest.raises(ValueError, match=r"'C1CC': .*unclosed ring"):
        run("drug_target", tmp_path / "strict", f"data.path={path}", *columns, *texts, "data.strict=true")
    with pytest.raises(ValueError, match=r"no column 'drug'.*There are: compound, protein"):
        run("drug_target", tmp_path / "wrong", f"data.path={path}")


def test_a_table_of_links(tmp_path):
    path = tmp_path / "links.csv"
    pairs = simulated_drug_target(20, 12)
    names = zip(*(np.array(t)[row] for t, row in zip((pairs.left_text, pairs.right_text), pairs.index)))
    rows = [f"{drug},{target}" for drug, target in names]
    path.write_text("\n".join(["drug,target", *rows]))
    options = ["data.value_column=null", "data.negatives=1", "data.split.by=random"]
    metrics = run("drug_target", tmp_path / "run", f"data.path={path}", *options)
    assert 0 <= metrics["test/auroc"] <= 1
    assert "labelled 0" in metrics["notes"][0]
    probability = sciml.load_run(tmp_path / "run").predict([rows[0].split(",")])
    assert 0 < float(probability) < 1


def test_the_command_says_what_is_wrong_in_one_line(tmp_path):
    path = tmp_path / "empty.csv"
    path.write_text("user,item\n")
    done = command("train", "experiment=recommend", f"data.path={path}", f"run_dir={tmp_path / 'run'}")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == f"Error: {path}: no rows below the header."
    with pytest.raises(RunError, match=r"data\.source=movies: choose"):
        run("recommend", tmp_path / "other", "data.source=movies")


def test_tables_are_simulated_by_command(tmp_path):
    path = tmp_path / "pairs.csv"
    done = command("simulate", "system=drug_target", *SIZES, f"output={path}")
    assert done.returncode == 0, done.stderr
    columns = {"value": "affinity", "left_text": "smiles", "right_text": "sequence"}
    found = read_pairs(path, "drug", "target", **columns)
    np.testing.assert_allclose(found.value, simulated_drug_target(9, 5, share=1.0).value, rtol=1e-5)
