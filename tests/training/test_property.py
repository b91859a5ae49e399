"""Learning of properties: losses over what was measured, best weights, intervals, resuming, predictions."""

from datetime import timedelta

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import Descriptors
from sklearn.metrics import average_precision_score, roc_auc_score

from sciml.builders.molecule import descriptor_names, molecule_descriptors, read_sdf
from sciml.datasets import MoleculeTable, split_molecules
from sciml.graph import Spec
from sciml.models import PropertyPredictor
from sciml.models.descriptor_process import DescriptorProcess
from sciml.training.agreement import label_metrics
from sciml.training.conformal import conformal_half_width
from sciml.training.property import (
    PropertyTask,
    best_shares,
    each_alone,
    likeliest_shares,
    predicted,
    property_data,
    train_property,
)
from sciml.training.property_baselines import property_baselines
from sciml.training.run import load_checkpoint

CHAINS = [a + "C" * n + b for n in range(1, 11) for a in ("", "O", "N", "F") for b in ("", "Cl", "O", "C#N")]


def table(values=None, smiles=CHAINS, targets=("y",)):
    mols = tuple(map(Chem.MolFromSmiles, smiles))
    if values is None:  # heavy atoms, and twice as much for oxygen: what a sum over atoms can learn
        values = [[sum(1.0 + (a.GetSymbol() == "O") for a in mol.GetAtoms())] for mol in mols]
    texts = tuple(map(Chem.MolToSmiles, mols))
    return MoleculeTable(mols, texts, np.array(values, float), targets, np.arange(len(mols)) + 2)


def data(*arguments, descriptors=False, **options):
    made = table(*arguments, **options)
    return property_data(made, split_molecules(made, seed=1), descriptors=descriptors)


def network(found, seed=0, **options):
    torch.manual_seed(seed)
    mean, scale = found.statistics
    small = {"channels": 16, "pool": "sum", "mean": mean, "scale": scale, "kind": found.kind}
    return PropertyPredictor(found.table.targets, descriptors=found.groups, **small | options)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A trained ensemble of two, its data and run directory."""
    found, folder = data(), tmp_path_factory.mktemp("run")
    model = network(found, members=2)
    train_property(model, found, folder, epochs=40, batch_size=32, learning_rate=1e-2, progress=False)
    return model, found, folder


# ------------------------------------------------------------- the process beside it


def test_shares_make_errors_smallest():
    random = np.random.default_rng(0)
    true = random.normal(size=(50, 3))
    networks = true + random.normal(size=true.shape)
    process = true + np.array([0.5, 1.0, 30.0]) * random.normal(size=true.shape)
    true[::7, 1] = np.nan
    shares = best_shares(networks, process, true)
    tried = np.linspace(0, 1, 2001)[:, None, None]
    errors = np.nanmean(((1 - tried) * networks + tried * process - true) ** 2, axis=1)
    np.testing.assert_allclose(shares, tried[errors.argmin(0), 0, 0], atol=1e-3)
    assert shares[0] > 0.7 > shares[1] > 0.3 > 0.05 > shares[2]
    assert (best_shares(networks, networks, true) == 0).all()


def test_shares_make_labels_likeliest():
    random = np.random.default_rng(0)
    odds = random.normal(size=(3000, 2))
    true = (random.random(odds.shape) < 1 / (1 + np.exp(-odds))).astype(float)
    good, poor = 1 / (1 + np.exp(-odds)), np.full_like(odds, 0.5)
    networks = np.stack([good[:, 0], poor[:, 1]], axis=1)
    process = np.stack([poor[:, 0], good[:, 1]], axis=1)
    true[::7, 1] = np.nan
    np.testing.assert_allclose(likeliest_shares(networks, process, true), [0, 1], atol=0.15)
    sure = np.stack([np.ones(6), np.zeros(6)], axis=1)  # and wrong: half of all is best
    halves = np.tile([[1.0, 1.0], [0.0, 0.0]], (3, 1))
    np.testing.assert_allclose(likeliest_shares(sure, 1 - sure, halves), 0.5)


def test_a_process_stands_beside_the_networks_and_is_in_the_checkpoint(tmp_path):
    found = data(descriptors=True)
    make = lambda: network(found, points=len(found.train))
    model = make()
    train_property(model, found, tmp_path, epochs=3, progress=False)
    assert 0 < model.share <= 1  # it says more than a network after three epochs
    networks, process = each_alone(model, found.test)
    mixed = (1 - float(model.share)) * networks + float(model.share) * process
    np.testing.assert_allclose(predicted(model, found.test), mixed, rtol=1e-4)
    true = found.test.globals["y"].numpy()
    assert np.abs(mixed - true).mean() < np.abs(networks - true).mean()
    again = make()
    state = load_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["state_dict"]
    again.load_state_dict({name.removeprefix("model."): value for name, value in state.items()})
    np.testing.assert_array_equal(predicted(again, found.test), predicted(model, found.test))
    train_property(again, found, tmp_path, epochs=3, progress=False)  # goes on, and finds nothing to do
    np.testing.assert_allclose(predicted(again, found.test), predicted(model, found.test))


def test_a_process_needs_descriptors_and_its_number_of_molecules():
    with pytest.raises(ValueError, match="points=5: a Gaussian process needs descriptors"):
        PropertyPredictor(["y"], channels=4, points=5)
    with pytest.raises(ValueError, match="4 molecules for a process that remembers 5"):
        DescriptorProcess(5, 2, 1).fit(torch.zeros(4, 2), torch.zeros(4, 1))


# ------------------------------------------------------------------------ the loss


def test_only_what_was_measured_counts():
    values = np.random.default_rng(0).normal(size=(len(CHAINS), 2))
    values[::2, 0], values[1::3, 1] = np.nan, np.nan
    found = data(values, targets=("a", "b"))
    task = PropertyTask(network(found, members=3), 1, 1e-3, 0.0)
    graph = found.train
    said, y = task.model(graph).globals["predicted"], graph.globals["y"]
    mean, scale = map(torch.tensor, found.statistics)
    squares = [
        [
            float((said.detach()[i, m, t] - (y[i, t] - mean[t]) / scale[t]) ** 2)
            for i in range(len(graph))
            for t in (0, 1)
            if not torch.isnan(y[i, t])
        ]
        for m in range(3)
    ]
    expected = np.mean(squares, axis=1)
    total, count = task.losses(graph)
    np.testing.assert_allclose((total / count).detach(), expected, rtol=1e-4)
    assert float(task.loss(graph).detach()) == pytest.approx(expected.sum(), rel=1e-4)
    nothing = graph.with_globals(None, y=torch.full_like(y, torch.nan))
    assert float(task.loss(nothing).detach()) == 0
    task.loss(nothing).backward()
    assert all(p.grad.isfinite().all() for p in task.model.parameters() if p.grad is not None)


def test_statistics_are_those_of_what_training_knows():
    values = np.array([[float(i), np.nan if i % 2 else 3.0 * i] for i in range(len(CHAINS))])
    found = data(values, targets=("a", "b"))
    rows = found.split.train
    mean, scale = found.statistics
    even = rows[rows % 2 == 0]
    assert mean == pytest.approx([rows.mean(), 3 * even.mean()])
    assert scale == pytest.approx([rows.std(), 3 * even.std()])


def test_members_are_trained_as_if_alone(tmp_path):
    """The second of two ends with the same weights as alone from the same start."""
    found = data()
    pair, alone = network(found, members=2), network(found)
    alone.members[0].load_state_dict(pair.members[1].state_dict())
    for name, model in (("pair", pair), ("alone", alone)):
        train_property(model, found, tmp_path / name, epochs=3, learning_rate=1e-2, progress=False)
    torch.testing.assert_close(
        pair.members[1].state_dict(), alone.members[0].state_dict(), rtol=1e-4, atol=1e-6
    )


# --------------------------------------------------------------- training and runs


def test_it_learns_what_a_sum_over_atoms_is(learned):
    model, found, _ = learned
    error = predicted(model, found.test) - found.test.globals["y"].numpy()
    assert np.sqrt(np.mean(error**2)) < 0.15 * found.statistics[1][0]
    mean = property_baselines(found)["mean"]
    assert (mean == found.statistics[0][0]).all()


def test_the_best_weights_are_kept(learned):
    """What is kept of each member has the lowest validation loss of all, and the checkpoint holds it."""
    model, found, folder = learned
    checkpoint = load_checkpoint(folder / "checkpoints" / "last.ckpt")
    task = PropertyTask(model, 1, 1e-3, 0.0)
    total, count = task.losses(found.validation)
    torch.testing.assert_close((total / count).tolist(), checkpoint["best"]["lowest"], rtol=1e-4, atol=1e-6)
    for name, value in model.state_dict().items():
        assert checkpoint["state_dict"][f"model.{name}"].equal(value)


def test_an_interrupted_run_goes_on_to_the_same_numbers(tmp_path, monkeypatch):
    found = data()
    options = {"epochs": 4, "learning_rate": 1e-2, "progress": False}
    whole = network(found, dropout=0.2)
    train_property(whole, found, tmp_path / "whole", **options)
    step = PropertyTask.training_step

    def interrupted(self, batch, batch_idx):
        if self.current_epoch == 2:
            raise OSError("the plug")
        return step(self, batch, batch_idx)

    monkeypatch.setattr(PropertyTask, "training_step", interrupted)
    with pytest.raises(OSError, match="plug"):
        train_property(network(found, dropout=0.2), found, tmp_path / "parts", **options)
    monkeypatch.undo()
    parts = network(found, seed=5, dropout=0.2)  # other weights: all come from the checkpoint
    train_property(parts, found, tmp_path / "parts", **options)
    torch.testing.assert_close(parts.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_training_ends_where_nothing_gets_better(tmp_path):
    found = data()
    for _ in range(2):  # the second call finds that the first had stopped
        model = network(found)
        train_property(model, found, tmp_path, epochs=50, learning_rate=0.0, patience=2, progress=False)
        assert load_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["epoch"] == 3  # epochs done


def test_learning_rates_follow_the_time_that_is_allowed(tmp_path, monkeypatch):
    rates, rate = [], PropertyTask.rate
    monkeypatch.setattr(PropertyTask, "rate", lambda *given: rates.append(rate(*given)) or rates[-1])
    found = data()
    train_property(
        network(found), found, tmp_path, epochs=10**6, max_time=timedelta(seconds=1.5), progress=False
    )
    assert max(rates) > 0.8  # though a tenth of the steps would take days
    assert rates[-1] < 0.2
    plain = PropertyTask(network(found), 100, 1e-3, 0.0)
    expected = [min((step + 1) / 10, 0.5 + 0.5 * np.cos(np.pi * step / 100)) for step in range(101)]
    np.testing.assert_allclose([rate(plain, step) for step in range(101)], expected, atol=1e-15)


def test_what_was_learned_last_counts_where_time_ends_within_an_epoch(tmp_path, monkeypatch):
    found = data()
    step = PropertyTask.training_step

    def ended(self, batch, batch_idx):
        self.trainer.should_stop = self.global_step >= 2
        return step(self, batch, batch_idx)

    monkeypatch.setattr(PropertyTask, "training_step", ended)
    model = network(found, dropout=0.5)
    train_property(model, found, tmp_path, epochs=1, batch_size=10, learning_rate=1e-2, progress=False)
    checkpoint = load_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    assert checkpoint["global_step"] == 3
    total, count = PropertyTask(model.eval(), 1, 1e-3, 0.0).losses(found.validation)
    assert checkpoint["best"]["lowest"] == pytest.approx((total / count).tolist(), rel=1e-4)


# ------------------------------------------------------------------------ intervals


def test_intervals_hold_what_they_promise():
    """Over many draws the coverage is that asked for; whatever the distribution of the errors."""
    random = np.random.default_rng(0)
    for draw in (random.standard_normal, random.standard_cauchy, random.standard_exponential):
        inside = [
            abs(float(draw())) <= conformal_half_width(np.abs(draw(size=(19, 1))), 0.8)[0]
            for _ in range(2000)
        ]
        assert np.mean(inside) == pytest.approx(0.8, abs=0.03)  # 16 of 20 ranks


def test_half_widths_are_ranks_of_errors():
    errors = np.array([[3.0, np.nan], [-1.0, 5.0], [2.0, np.nan]])
    np.testing.assert_array_equal(conformal_half_width(errors, 0.5), [2.0, 5.0])
    np.testing.assert_array_equal(conformal_half_width(errors, 0.75), [3.0, np.inf])  # no promise from one
    with pytest.raises(ValueError, match=r"coverage=1\.5"):
        conformal_half_width(errors, 1.5)


# ----------------------------------------------------------------------- predictions


def test_predictions_are_a_table(learned, tmp_path):
    model, found, _ = learned
    smiles = ["CCCO", "OCCC", "C(", "[Fe]", None, "C[Pt]C"]
    made = model.predict(smiles)
    assert list(made.columns) == ["smiles", "prediction", "lower", "upper", "note"]
    assert len(made) == len(smiles)
    assert made["prediction"][0] == pytest.approx(made["prediction"][1], rel=1e-5)
    half = float(model.half_width[0])
    np.testing.assert_allclose(made["upper"][:2] - made["lower"][:2], 2 * half, rtol=1e-6)
    assert made["prediction"][2:].isna().all()
    assert "syntax error" in made["note"][2]
    assert made["note"][3] == "not predicted: training had no molecule with Fe"
    assert "missing" in made["note"][4]
    assert made["note"][5].endswith("with Pt")
    assert (made["note"][:2] == "").all()
    np.testing.assert_allclose(
        model.predict([found.table.smiles[i] for i in found.split.test])["prediction"],
        predicted(model, found.test)[:, 0],
        rtol=1e-4,
    )
    one = model.predict("CCCO")
    assert one["prediction"][0] == pytest.approx(made["prediction"][0], rel=1e-6)
    assert len(model.predict([])) == 0
    drawn = Chem.AddHs(Chem.MolFromSmiles("CCCO"))
    assert model.predict(drawn)["prediction"][0] == pytest.approx(made["prediction"][0], rel=1e-6)
    with Chem.SDWriter(str(tmp_path / "some.sdf")) as writer:
        writer.write(drawn)
    assert model.predict(read_sdf(tmp_path / "some.sdf"))["prediction"][0] == pytest.approx(
        one["prediction"][0]
    )


def test_a_single_atom_a_charge_and_a_salt_are_predicted(learned):
    model, _, _ = learned
    made = model.predict(["C", "[O-]CC", "CCO.CCN"])
    assert np.isfinite(made["prediction"]).all()


def test_several_targets_have_columns_of_their_own():
    values = np.random.default_rng(0).normal(size=(len(CHAINS), 2))
    model = network(data(values, targets=("a", "b")))
    model.learn_scales(data().train)
    assert list(model.predict(["C"]).columns) == [
        *("smiles", "a", "a_lower", "a_upper", "b", "b_lower", "b_upper", "note")
    ]
    assert model.predict(["C"])["a_lower"][0] == -np.inf  # not measured yet: no promise


def test_labels_become_probabilities(tmp_path):
    labels = [[float("O" in smiles)] for smiles in CHAINS]
    found = data(labels, descriptors=True)
    assert found.kind == "classification"
    model = network(found, points=len(found.train))
    train_property(model, found, tmp_path, epochs=15, learning_rate=1e-2, progress=False)
    chance = predicted(model, found.test)[:, 0]
    truth = found.test.globals["y"][:, 0].numpy()
    assert ((chance >= 0) & (chance <= 1)).all()
    assert label_metrics(chance, truth)["auroc"] == pytest.approx(1)
    assert list(model.predict(["C"]).columns) == ["smiles", "prediction", "note"]
    guesses = property_baselines(found)
    assert all(((g >= 0) & (g <= 1)).all() for g in guesses.values())
    assert label_metrics(guesses["forest"][:, 0], truth)["brier"] < 0.1


def test_baselines_read_no_counts_beside_their_fingerprints():
    plain, more = (
        property_baselines(data(descriptors=groups)) for groups in (["rdkit"], ["rdkit", "fragments"])
    )
    for name in ("mean", "ridge", "forest"):
        np.testing.assert_array_equal(plain[name], more[name])


def rare():
    """Labels of which few are 1, and a second property that is known for half of the molecules."""
    labels = np.array([[i % 8 == 0, i % 3 == 0] for i in range(len(CHAINS))], float)
    labels[::2, 1] = np.nan
    return data(labels, targets=("rare", "third"))


def test_class_weights_balance_labels_and_leave_their_sum():
    found = rare()
    weights = np.array(found.class_weights("balanced"))
    for (zero, one), column in zip(weights, found.table.values[found.split.train].T):
        ones, zeros = (column == 1).sum(), (column == 0).sum()
        assert zeros * zero == pytest.approx(ones * one)
        assert zeros * zero + ones * one == pytest.approx(ones + zeros)
    given = np.array(found.class_weights([1, 5]))
    np.testing.assert_allclose(given[:, 1] / given[:, 0], 5)
    for wrong in ("even", [1.0], [0, 1]):
        with pytest.raises(ValueError, match="choose balanced, or two numbers"):
            found.class_weights(wrong)
    with pytest.raises(ValueError, match="numbers, not labels"):
        data().class_weights("balanced")
    with pytest.raises(ValueError, match="two positive numbers for each of 1"):
        PropertyPredictor(["y"], channels=4, class_weights=[[1.0, 0.0]])


def test_weighted_labels_are_learned_as_weighted_and_predicted_as_probabilities():
    """The best constant is found where the gradient is zero; what is predicted then is the share of ones."""
    found = rare()
    weights = found.class_weights([1, 5])
    model = network(found, class_weights=weights)
    task, y = PropertyTask(model, 1, 1e-3, 0.0), found.train.globals["y"]
    share = y.nanmean(0)
    ratio = torch.tensor([one / zero for zero, one in weights])
    constant = (ratio * share / (1 - share)).log().requires_grad_()
    model.forward = lambda graph: graph.with_globals(
        {"predicted": Spec()}, predicted=constant.expand(len(graph), 1, 2)
    )
    (slope,) = torch.autograd.grad(task.loss(found.train), constant)
    torch.testing.assert_close(slope, torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(model.answer(found.train)[0], share)
    assert (constant.sigmoid() > share + 0.1).all()


def test_scores_of_labels_are_those_of_their_definitions():
    random = np.random.default_rng(1)
    chance = random.random(200)
    label = (random.random(200) < chance).astype(float)
    found = label_metrics(chance, label)
    assert found["auroc"] == pytest.approx(roc_auc_score(label, chance))
    assert found["ap"] == pytest.approx(average_precision_score(label, chance))
    assert found["brier"] == pytest.approx(np.mean((chance - label) ** 2))
    bins = np.minimum((chance * 10).astype(int), 9)
    gaps = [abs(chance[bins == b].mean() - label[bins == b].mean()) * (bins == b).mean() for b in set(bins)]
    assert found["calibration_error"] == pytest.approx(sum(gaps), rel=1e-4)
    assert label_metrics(np.full(200, label.mean()), label)["calibration_error"] == pytest.approx(0, abs=1e-6)
    assert label_metrics(1 - label, label)["calibration_error"] == pytest.approx(1)


# ----------------------------------------------------------------- descriptors, data


def test_descriptors_are_rdkits_and_undefined_ones_do_not_matter():
    mols = [Chem.MolFromSmiles(s) for s in ("CCO", "c1ccccc1C(=O)O", "[Fe]")]
    made = molecule_descriptors(mols)
    names = descriptor_names()
    assert made.shape == (3, len(names))
    for row, mol in enumerate(mols[:2]):
        assert made[row, names.index("MolWt")] == pytest.approx(Descriptors.MolWt(mol))
        assert made[row, names.index("TPSA")] == pytest.approx(Descriptors.TPSA(mol))
    found = data(descriptors=True)
    model = network(found).eval()
    model.learn_scales(found.train)
    given = found.test.globals["descriptors"].clone()
    mean = given.clone()
    given[:, 3], mean[:, 3] = torch.nan, model.descriptor_mean[3]
    results = [
        model(found.test.with_globals(None, descriptors=v)).globals["predicted"] for v in (given, mean)
    ]
    torch.testing.assert_close(*results)
    far = [
        model(found.test.with_globals(None, descriptors=mean * f)).globals["predicted"] for f in (1e8, 1e12)
    ]
    torch.testing.assert_close(*far)  # what is far away counts as no further


def test_data_without_anything_to_learn():
    with pytest.raises(ValueError, match=r"'y' has only the value 2 in training"):
        data(np.full((len(CHAINS), 1), 2.0))
    values = np.random.default_rng(0).normal(size=(len(CHAINS), 2))
    values[:, 1] = np.nan
    with pytest.raises(ValueError, match=r"'b' has no value in training"):
        data(values, targets=("a", "b"))
    made = table()
    with pytest.raises(ValueError, match="classification takes labels 0 and 1"):
        property_data(made, split_molecules(made), kind="classification")
    with pytest.raises(ValueError, match="kind='both'"):
        property_data(made, split_molecules(made), kind="both")


def test_predictors_that_cannot_be():
    with pytest.raises(ValueError, match="encoder='cnn'"):
        PropertyPredictor(["y"], encoder="cnn")
    with pytest.raises(ValueError, match="0 targets"):
        PropertyPredictor([])
    with pytest.raises(ValueError, match="2 means"):
        PropertyPredictor(["y"], mean=[1.0, 2.0])
