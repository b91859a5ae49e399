"""Drug–target models: what a pair is, learning of what was never seen, and tables that cannot be learned."""

import logging

import numpy as np
import pytest
import torch
from rdkit import Chem

from sciml.builders import molecule_graph, protein_sequence_graph
from sciml.datasets import Pairs
from sciml.datasets.simulated_pairs import simulated_drug_target
from sciml.models import DrugTarget, PairGraphs
from sciml.training.affinity import drug_target_data, predicted, train_drug_target
from sciml.training.agreement import affinity_metrics
from sciml.training.pair_baselines import baselines, tanimoto, word_similarity

DRUGS, TARGETS = ["CCO", "c1ccccc1N", "CC(=O)O"], ["ACDEFGHIK", "WYWYW"]


def model(**options):
    torch.manual_seed(0)
    return DrugTarget(8, 2, 2, 3, **options).double().eval()


def all_pairs():
    pairs = torch.cartesian_prod(torch.arange(3), torch.arange(2)).T
    return PairGraphs(molecule_graph(DRUGS), protein_sequence_graph(TARGETS), pairs)


def table(values, left=DRUGS, right=TARGETS):
    index = np.stack(np.divmod(np.arange(len(left) * len(right)), len(right)))
    return Pairs(
        tuple(left), tuple(right), index, None if values is None else np.asarray(values, dtype=float)
    )


# ---------------------------------------------------------------------- the model


def test_a_batch_is_its_pairs_one_by_one():
    net, everything = model(), all_pairs()
    together = net(everything)
    for i in range(6):
        alone = everything.chosen(torch.tensor([i]))
        assert (len(alone.drugs), len(alone.targets)) == (1, 1)
        torch.testing.assert_close(net(alone), together[i : i + 1])
    order = torch.tensor([3, 0, 3])
    torch.testing.assert_close(net(everything.chosen(order)), together[order])


def test_the_numbering_of_atoms_means_nothing_and_that_of_residues_does():
    net = model()
    mol = Chem.MolFromSmiles("OC(=O)c1ccccc1")
    shuffled = Chem.RenumberAtoms(mol, [3, 8, 0, 5, 2, 7, 1, 6, 4])
    pair, target = torch.zeros(2, 1, dtype=torch.long), protein_sequence_graph("ACDEFG")
    one = net(PairGraphs(molecule_graph(mol), target, pair))
    torch.testing.assert_close(net(PairGraphs(molecule_graph(shuffled), target, pair)), one)
    other = net(PairGraphs(molecule_graph(mol), protein_sequence_graph("GFEDCA"), pair))
    assert (other - one).abs() > 1e-6
    mirrored = [net(PairGraphs(molecule_graph(s), target, pair)) for s in ("N[C@@H](C)CC", "N[C@H](C)CC")]
    assert (mirrored[0] - mirrored[1]).abs() > 1e-6  # two hands of one molecule


def test_predictions_are_in_order_of_what_was_asked():
    net = model(mean=6.0, scale=2.0)
    asked = [(DRUGS[i], TARGETS[j]) for i, j in ((2, 1), (0, 0), (2, 1))]
    found = net.predict(asked)
    torch.testing.assert_close(found, net(all_pairs())[[5, 0, 5]])
    assert len(net.predict([])) == 0
    link = model(kind="link").predict(asked)
    assert ((link > 0) & (link < 1)).all()
    with pytest.raises(ValueError, match=r"row 1: 'C\('"):
        net.predict([("C", "A"), ("C(", "A")])
    with pytest.raises(ValueError, match="no amino acid"):
        net.predict([("C", "A1")])
    with pytest.raises(ValueError, match=r"pair 0 is .* expected SMILES and sequence"):
        net.predict([("C", "A", "B")])
    with pytest.raises(ValueError, match="kind='both'"):
        DrugTarget(kind="both")


# ----------------------------------------------------------------------- the data


def test_what_cannot_be_read_is_listed_and_its_pairs_left_out(caplog):
    pairs = table(np.arange(12), [*DRUGS, "C("], ["ACD", "A-1", "WY"])
    with caplog.at_level(logging.WARNING):
        data = drug_target_data(pairs)
    drugs, targets = data.left_out["left"], data.left_out["right"]
    assert [(f.row, f.text) for f in drugs] == [(3, "C(")]
    assert "syntax error" in drugs[0].reason
    assert [(f.row, f.text) for f in targets] == [(1, "A-1")]
    assert "'-' at place 2" in targets[0].reason
    assert "6 of 12 pairs left out" in caplog.text
    sets = (data.train, data.validation, data.test)
    assert sum(map(len, sets)) == 6
    for part, rows in zip(sets, (data.split.train, data.split.validation, data.split.test)):
        for i, row in enumerate(rows):  # values are still those of their pairs
            left, right = data.pairs.index[:, row]
            assert part.value[i] == 3 * left + right
            one = part[torch.tensor([i])].graphs
            assert one.targets.node_counts.tolist() == [len(data.pairs.right[right])]
            assert one.drugs.globals["row"].tolist() == [left]
    with pytest.raises(ValueError, match=r"row 3: 'C\('"):
        drug_target_data(pairs, strict=True)
    with pytest.raises(ValueError, match=r"target 1: '-' at place 2"):
        drug_target_data(table(np.arange(9), DRUGS, ["ACD", "A-1", "WY"]), strict=True)
    with pytest.raises(ValueError, match="No target could be read"):
        drug_target_data(table(np.arange(3), DRUGS, ["A1"]))


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([1] * 6, {}, r"all values of 'value' are 1; .*data\.negatives=1"),
        ([0] * 6, {}, "all values of 'value' are 0"),
        ([5.5] * 6, {}, "all values of 'value' are 5.5; there is nothing to tell apart"),
        (None, {}, r"has no values: name their column \(data\.value_column"),
        (range(6), {"kind": "link"}, "takes labels 0 and 1"),
        (range(6), {"kind": "strength"}, "kind='strength'; choose"),
        ([1] * 6, {"negatives": -1}, "negatives=-1"),
    ],
)
def test_tables_without_anything_to_learn(values, options, message):
    with pytest.raises(ValueError, match=message):
        drug_target_data(table(values), **options)


def test_negatives_are_drawn_where_only_pairs_that_bind_are_known():
    full = simulated_drug_target(20, 12, share=0.2)
    positive = Pairs(full.left, full.right, full.index, left_text=full.left_text, right_text=full.right_text)
    data = drug_target_data(positive, negatives=1.0)
    assert data.kind == "link"
    value, index = data.pairs.value, data.pairs.index
    assert (value == 1).sum() == (value == 0).sum() == 48
    keys = index[0] * 12 + index[1]
    assert len(set(keys)) == 96
    assert any("48 pairs" in note and "labelled 0" in note for note in data.pairs.notes)


# ----------------------------------------------------------------------- learning


def test_baselines_are_what_they_say():
    """Affinities that are sums of both sides are found by two means; in a cold start only the mean is."""
    left, right = np.arange(12.0), np.arange(10.0) / 3
    pairs = table(np.add.outer(left, right).ravel(), ["C" * (i + 1) for i in range(12)], list("ACDEFGHIKL"))
    known = drug_target_data(pairs, by="random")
    truth = known.test.value.double().numpy()
    found = baselines(pairs, known.split)
    assert np.sqrt(np.mean((found["drug_target_mean"] - truth) ** 2)) < 0.2 * truth.std()
    assert len(set(found["mean"])) == 1
    cold = drug_target_data(pairs, by="both")
    found = baselines(pairs, cold.split)
    np.testing.assert_allclose(found["drug_target_mean"], found["mean"])
    assert tanimoto(["CCO", "CCO", "c1ccccc1", "C("]).round(6).tolist()[0][:2] == [1, 1]
    similar = word_similarity(["ACDACD", "ACDACD", "WWWW", "A"])
    assert similar[0, 1] == pytest.approx(1)
    assert similar[0, 2] == similar[0, 3] == 0


def test_simulated_pairs_have_the_variance_they_say():
    pairs = simulated_drug_target(60, 40, share=1.0, noise=0.0, seed=3)
    assert (pairs.value.mean(), pairs.value.std()) == (pytest.approx(6), pytest.approx(1))
    assert len(molecule_graph(list(simulated_drug_target(845, 2).left_text), strict=True)) == 845
    noisy = simulated_drug_target(60, 40, share=1.0, noise=0.5, seed=3)
    assert (noisy.value - pairs.value).std() == pytest.approx(0.5, rel=0.05)
    with pytest.raises(ValueError, match="at most 845"):
        simulated_drug_target(900)


def small():
    """Six groups of drugs and one motif, without noise; and a network for them."""
    data = drug_target_data(simulated_drug_target(24, 10, share=0.8, motifs=1, noise=0.0), by="random")
    value = data.train.value
    torch.manual_seed(0)
    return data, DrugTarget(16, 2, 2, mean=float(value.mean()), scale=float(value.std()))


def test_pairs_are_learned(tmp_path):
    data, network = small()
    options = {"epochs": 20, "batch_size": 32, "learning_rate": 1e-2}
    train_drug_target(network, data.train, data.validation, tmp_path, **options)
    truth = data.test.value.double().numpy()
    assert affinity_metrics(predicted(network, data.test), truth)["rmse"] < 0.6 * truth.std()


def test_a_cut_training_goes_on_to_the_same_numbers(tmp_path):
    (data, whole), (_, part), (_, again) = small(), small(), small()
    options = {"epochs": 3, "batch_size": 64, "seed": 1}
    train_drug_target(whole, data.train, data.validation, tmp_path / "whole", **options)

    class CutError(Exception):
        pass

    def cut(module, inputs, output, calls=[0]):  # noqa: B006 - counts calls
        calls[0] += module.training
        if calls[0] == 8:  # in the third epoch of three steps
            raise CutError

    handle = part.register_forward_hook(cut)
    with pytest.raises(CutError):
        train_drug_target(part, data.train, data.validation, tmp_path / "part", **options)
    handle.remove()
    torch.manual_seed(5)  # dropout follows from the step, not from what was drawn before
    train_drug_target(again, data.train, data.validation, tmp_path / "part", **options)
    for name, weight in whole.state_dict().items():
        assert again.state_dict()[name].equal(weight), name
