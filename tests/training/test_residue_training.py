"""Training on residues: scores, baselines, margins, resuming, and what a trained network must do."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, average_precision_score, r2_score

from sciml.builders import residue_graph
from sciml.datasets import residue_data
from sciml.datasets.residue_tasks import TASKS
from sciml.datasets.residues import asked
from sciml.datasets.structures import shipped
from sciml.models import ResiduePredictor
from sciml.symmetry import check
from sciml.training.residue_baselines import (
    RADII,
    linear_answers,
    local_features,
    mean_answers,
    pair_columns,
)
from sciml.training.residue_scores import Answers, margin, scores, units
from sciml.training.residues import TEST_SEED, answer, train_residues
from sciml.training.run import load_checkpoint

SMALL = {"channels": 8, "vectors": 2, "edge_channels": 4, "layers": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("structures")
    for name in ("1ubi.pdb.gz", "1ejg.pdb.gz", "5pti.cif.gz", "1a8o.cif.gz", "1orc.pdb.gz"):
        (path / name).write_bytes((shipped() / "entries" / name).read_bytes())
    return path


# ------------------------------------------------------------------ scores


def random_answers(task, rng, rows=60):
    owner = np.sort(rng.integers(0, 5, rows))
    if task.kind == "number":
        true = rng.normal(size=rows)
        return Answers(true + rng.normal(size=rows), true, owner, 0.3)
    if task.kind == "classes":
        score = rng.normal(size=(rows, len(task.classes)))
        return Answers(score, rng.integers(0, len(task.classes), rows), owner)
    if task.kind == "pairs":
        return Answers(rng.normal(size=rows), (rng.random(rows) < 0.3).astype(float), owner)
    true = rng.normal(size=(rows, 3))
    return Answers(np.zeros_like(true), true, owner)


def test_scores_equal_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    number = random_answers(TASKS["exposure"], rng)
    centred = Answers(number.predicted, number.true, number.owner, number.true.mean())
    found = scores(TASKS["exposure"], centred)
    assert found["r2"] == pytest.approx(r2_score(number.true, number.predicted))
    assert found["mae"] == pytest.approx(np.abs(number.predicted - number.true).mean())
    classes = random_answers(TASKS["secondary"], rng)
    found = scores(TASKS["secondary"], classes)
    assert found["accuracy"] == pytest.approx(accuracy_score(classes.true, classes.predicted.argmax(1)))
    pairs = random_answers(TASKS["contacts"], rng)
    each = [
        average_precision_score(pairs.true[pairs.owner == k], pairs.predicted[pairs.owner == k])
        for k in range(5)
    ]
    assert scores(TASKS["contacts"], pairs)["average_precision"] == pytest.approx(np.mean(each))
    vectors = random_answers(TASKS["denoise"], rng)
    assert scores(TASKS["denoise"], vectors)["rmsd"] == pytest.approx(
        np.sqrt((vectors.true**2).sum(1).mean())
    )


def test_perplexity_of_a_uniform_guess_is_the_number_of_classes():
    task = TASKS["type"]
    uniform = Answers(np.full((40, 20), -np.log(20)), np.arange(40) % 20, np.zeros(40, int))
    assert scores(task, uniform)["perplexity"] == pytest.approx(20)


def test_a_structure_without_hidden_contacts_does_not_count():
    true = np.array([1.0, 0, 0, 0, 0, 0])
    answers = Answers(np.array([2.0, 1, 0, 5, 5, 5]), true, np.array([0, 0, 0, 1, 1, 1]))
    assert scores(TASKS["contacts"], answers)["average_precision"] == 1


def test_units_are_said():
    assert units(TASKS["denoise"]) == {"rmsd": "angstrom"}
    assert units(TASKS["exposure"])["mae"] == ""


@pytest.mark.parametrize("name", TASKS)
def test_margin_over_oneself_is_nothing_and_over_worse_is_positive(name):
    task = TASKS[name]
    good = random_answers(task, np.random.default_rng(1), 200)
    assert margin(task, good, good, draws=50) == (0, 0, 0)
    noise = np.random.default_rng(2).normal(size=good.predicted.shape)
    if task.kind == "classes":
        best = np.eye(len(task.classes))[good.true] * 10
    else:
        best = good.true * 10.0 if task.kind == "pairs" else good.true
    perfect = Answers(best, good.true, good.owner, good.centre)
    worse = Answers(good.predicted + noise, good.true, good.owner, good.centre)
    value, low, high = margin(task, perfect, worse, draws=50)
    assert 0 < low <= value <= high


# ------------------------------------------------------------------ baselines


def test_local_features_are_counted_as_by_hand(folder):
    data = residue_data("exposure", folder, folds=5)
    graph = data.test.graphs[0]
    table = local_features(graph, data.task)
    distance = torch.cdist(graph.nodes["pos"], graph.nodes["pos"]).numpy()
    for column, radius in enumerate(RADII):
        np.testing.assert_array_equal(table[:, column], (distance < radius).sum(1) - 1)
    np.testing.assert_allclose(table[:-2, 5], np.diag(distance, 2), atol=1e-3)  # to the one two on
    assert table.shape == (graph.num_nodes, len(RADII) + 6 + 21)


@pytest.mark.parametrize("name", TASKS)
def test_baselines_answer_every_task_and_linear_beats_mean(folder, name):
    data = residue_data(name, folder, folds=5, fold=2)
    train, test = (asked(part.graphs, data.task, 0, 1.0) for part in (data.train, data.test))
    model = ResiduePredictor(name, **SMALL)
    network = answer(model, test)
    mean, linear = mean_answers(data.task, train, network), linear_answers(data.task, train, test, network)
    for answers in (network, mean, linear):
        assert answers.predicted.shape[0] == len(answers.true) == len(answers.owner)
        assert np.isfinite(answers.predicted).all()
    if name in ("exposure", "secondary", "contacts", "denoise"):
        assert margin(data.task, linear, mean)[0] > 0


def test_the_linear_displacement_turns_with_the_structure(folder):
    data = residue_data("denoise", folder, folds=5)
    train, test = (asked(part.graphs, data.task, 3, 1.0) for part in (data.train, data.test))
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    turned = test.with_nodes(None, pos=test.nodes["pos"] @ turn.T, target=test.nodes["target"] @ turn.T)
    empty = Answers(np.zeros(0), np.zeros(0), np.zeros(0))
    before = linear_answers(data.task, train, test, empty).predicted
    after = linear_answers(data.task, train, turned, empty).predicted
    np.testing.assert_allclose(after, before @ turn.numpy().T, atol=1e-4)


def test_pair_columns_do_not_know_the_order_of_ends(folder):
    data = residue_data("contacts", folder, folds=5)
    graph = asked(data.test.graphs, data.task, 0, 1.0)
    rows = graph.edges["candidate"]
    types = graph.nodes["type"]
    columns = pair_columns(graph)
    assert (columns[:, -21:].sum(1) == 2).all()
    both = types[graph.sender[rows]] == types[graph.receiver[rows]]
    assert ((columns[:, -21:] == 2).any(1) == both.numpy()).all()


# ------------------------------------------------------------------ training


@pytest.mark.parametrize("name", ["exposure", "contacts", "denoise"])
def test_an_interrupted_run_resumes_to_the_same_numbers(folder, name, tmp_path):
    data = residue_data(name, folder, folds=5)

    def run(path, *limits):
        for limit in limits:
            torch.manual_seed(0)
            model = ResiduePredictor(name, **SMALL)
            calls = iter(range(limit))

            def count(*_, calls=calls):
                if next(calls, None) is None:
                    raise KeyboardInterrupt

            model.register_forward_pre_hook(count)
            with pytest.raises((KeyboardInterrupt, SystemExit)) if limit < 4 else nullcontext():
                train_residues(
                    model, data.train.graphs, data.train.graphs[[]], path, epochs=2, batch_size=2, seed=1
                )
        return load_checkpoint(path / "checkpoints" / "last.ckpt")["state_dict"]

    whole, resumed = run(tmp_path / "a", 4), run(tmp_path / "b", 3, 4)  # 2 steps in each of 2 epochs
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_what_is_learned_depends_on_what_is_shown_only(folder):
    data = residue_data("secondary", folder, folds=5)
    model = ResiduePredictor("secondary", **SMALL).eval()
    graph = data.test.graphs
    scrambled = graph.with_nodes(
        None,
        secondary=graph.nodes["secondary"].flip(0),
        torsion=torch.randn_like(graph.nodes["torsion"]),
        exposure=torch.rand_like(graph.nodes["exposure"]),
        cb=torch.randn_like(graph.nodes["cb"]),
        target=graph.nodes["target"].flip(0),
    )
    name = "predicted_secondary"
    assert torch.equal(model(graph).nodes[name], model(scrambled).nodes[name])


def test_training_learns_more_than_the_mean(folder, tmp_path):
    data = residue_data("exposure", folder, folds=5)
    torch.manual_seed(0)
    scale = (float(data.train.graphs.nodes["target"].mean()), float(data.train.graphs.nodes["target"].std()))
    model = ResiduePredictor("exposure", channels=16, vectors=4, edge_channels=8, layers=2, scale=scale)
    train_residues(
        model, data.train.graphs, data.train.graphs[[]], tmp_path, epochs=15, batch_size=1, learning_rate=5e-3
    )
    found = answer(model, data.test.graphs, centre=model.mean)
    assert margin(data.task, found, mean_answers(data.task, data.train.graphs, found))[0] > 0.05


def test_denoising_turns_with_the_structure(folder):
    data = residue_data("denoise", folder, folds=5)
    graph = asked(data.test.graphs, data.task, TEST_SEED, 1.0).to(torch.float64)
    torch.manual_seed(0)
    model = ResiduePredictor("denoise", **SMALL, dropout=0.0).double().eval()
    check(model, graph, symmetry=("T", "SO")).raise_if_failed()


# ------------------------------------------------------------------ prediction


def test_a_file_is_predicted_residue_by_residue():
    path = shipped() / "entries" / "1orc.pdb.gz"
    for name in ("exposure", "secondary", "type", "denoise", "b_factor"):
        table = ResiduePredictor(name, **SMALL).predict(path)
        assert len(table) == int((residue_graph(path).nodes["type"] < 20).sum())
        assert table["residue"][0].startswith("A/")
    classes = ResiduePredictor("secondary", **SMALL).predict(str(path))
    np.testing.assert_allclose(classes[["helix", "strand", "coil"]].sum(axis=1), 1, rtol=1e-5)
    pairs = ResiduePredictor("contacts", **SMALL).predict(path)
    assert pairs["probability"].is_monotonic_decreasing
    assert not pairs.duplicated(["residue", "other"]).any()


def test_prediction_leaves_the_mode_of_the_network_and_names_a_missing_file():
    model = ResiduePredictor("exposure", **SMALL).train()
    model.predict(shipped() / "entries" / "1ejg.pdb.gz")
    assert model.training
    with pytest.raises(FileNotFoundError, match="nowhere"):
        model.predict("nowhere.pdb")
