"""Divisions of molecules: shares, leaks, scaffolds, folds, and what a file says itself."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from sciml.datasets import MoleculeTable, split_molecules
from sciml.datasets.molecule_splits import scaffold_numbers

RINGS = ["c1ccccc1", "c1ccncc1"]
TAILS = ["C", "CC", "O", "N", "F", "Cl", "CO", "N#C"]


def molecules(*smiles, split=None):
    mols = tuple(map(Chem.MolFromSmiles, smiles))
    texts = tuple(map(Chem.MolToSmiles, mols))
    values = np.arange(float(len(mols)))[:, None]
    return MoleculeTable(mols, texts, values, ("y",), np.arange(len(mols)) + 2, split)


RARE = [f"{a}1{'C' * n}1" for a in "CNOS" for n in range(2, 14)]  # a scaffold each
MANY = molecules(*RARE, *(tail + ring for ring in RINGS for tail in TAILS), *("C" * i for i in range(1, 17)))


@pytest.mark.parametrize("by", ["random", "scaffold"])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), test=st.floats(0.1, 0.3), validation=st.floats(0.1, 0.3))
def test_each_molecule_is_in_one_part_and_shares_hold(by, seed, test, validation):
    split = split_molecules(MANY, by, test=test, validation=validation, seed=seed)
    parts = [split.train, split.validation, split.test]
    assert np.sort(np.concatenate(parts)).tolist() == list(range(len(MANY)))
    slack = 1 if by == "random" else 16  # whole scaffolds are dealt
    for part, share in zip(parts, (1 - test - validation, validation, test)):
        assert abs(len(part) - share * len(MANY)) <= slack
    assert not len(split.shared)
    if by == "scaffold":
        number = scaffold_numbers(MANY.mols)
        for one, other in ((0, 1), (0, 2), (1, 2)):
            assert not set(number[parts[one]]) & set(number[parts[other]])


def test_seeds_decide():
    one, same, other = (split_molecules(MANY, "scaffold", seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.test, same.test)
    assert not np.array_equal(one.test, other.test)


def test_scaffolds_are_ring_systems_with_linkers():
    mols = list(
        map(Chem.MolFromSmiles, ["Cc1ccccc1", "OCCc1ccccc1", "c1ccccc1-c1ccccc1", "CCO", "C", "C1CC1"])
    )
    number = scaffold_numbers(mols)
    assert number[[0, 3]].tolist() == number[[1, 4]].tolist()
    assert len(set(number)) == 4


def test_large_scaffolds_are_learned_from_and_rare_ones_judged_by():
    """Balanced: benzene, pyridine and chains exceed half of the test, so they come first, to training."""
    for seed in range(5):
        split = split_molecules(MANY, "scaffold", seed=seed, test=0.1, validation=0.1)
        assert set(range(len(RARE), len(MANY))) <= set(split.train)


@pytest.mark.parametrize("by", ["random", "scaffold"])
def test_rows_of_one_molecule_stay_together(by):
    twice = molecules(*MANY.smiles, *MANY.smiles)
    split = split_molecules(twice, by, seed=3)
    for part in (split.train, split.validation, split.test):
        assert set(part % len(MANY)) == {i for i in part % len(MANY) if {i, i + len(MANY)} <= set(part)}
    assert not len(split.shared)


@pytest.mark.parametrize("by", ["random", "scaffold"])
def test_folds_test_everything_once(by):
    splits = [split_molecules(MANY, by, folds=4, fold=k, seed=1) for k in range(4)]
    assert np.sort(np.concatenate([s.test for s in splits])).tolist() == list(range(len(MANY)))
    for one, following in pairwise(splits):
        assert np.array_equal(one.validation, following.test)
    if by == "random":
        assert {len(s.test) for s in splits} == {20}


def test_a_file_divides_itself_and_shared_molecules_are_found():
    words = ("train",) * 6 + ("Val",) + ("test", "test")
    table = molecules("C", "CC", "CCC", "CCO", "CCN", "CO", "CF", "OCC", "CCl", split=words)
    split = split_molecules(table, "column")
    assert [p.tolist() for p in (split.train, split.validation, split.test)] == [list(range(6)), [6], [7, 8]]
    assert split.shared.tolist() == [7]  # CCO, written otherwise
    two = molecules(*table.smiles, split=("train",) * 7 + ("test",) * 2)
    drawn = split_molecules(two, "column", validation=0.3, seed=0)
    assert (len(drawn.train), len(drawn.validation), drawn.test.tolist()) == (5, 2, [7, 8])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "size"}, "split by 'size'; choose from random, scaffold, time, column"),
        ({"test": 0.6, "validation": 0.5}, "must be shares"),
        ({"validation": 0.0}, "must be shares above 0"),
        ({"folds": 2}, "fold 0 of 2"),
        ({"folds": 5, "fold": 5}, "fold 5 of 5"),
        ({"by": "column"}, "no column that divides it"),
    ],
)
def test_what_cannot_be_done_is_said(options, message):
    with pytest.raises(ValueError, match=message):
        split_molecules(MANY, **options)


def test_parts_without_molecules_and_strange_words():
    with pytest.raises(ValueError, match="leaves no molecule for validation"):
        split_molecules(molecules("C", "CC", "CCC"))
    with pytest.raises(ValueError, match=r"row 3 belongs to 'holdout'; expected one of train"):
        split_molecules(molecules("C", "CC", split=("train", "holdout")), "column")


YEARS = ("2019", "2019", "2020", "2021", "2018", "2022", "2017", "2023", "2016", "2023")


@pytest.mark.parametrize("written", ["{}", "{}-03-01", "{}-03-01 12:00"])
def test_the_newest_molecules_are_the_test(written):
    texts = ["C", "CC", "CCC", "CCO", "CCN", "CO", "CF", "CCl", "CBr", "OCC"]
    table = molecules(*texts, split=tuple(map(written.format, YEARS)))
    split = split_molecules(table, "time", test=0.2, validation=0.2)
    # The last row is ethanol again, which counts from 2021; the two rows of 2019 stay together.
    parts = [part.tolist() for part in (split.train, split.validation, split.test)]
    assert parts == [[0, 1, 2, 4, 6, 8], [3, 9], [5, 7]]
    assert not len(split.shared)


def test_times_that_are_none_are_named():
    table = molecules("C", "CC", "CCC", split=("2019", "2020-01-01", "soon"))
    with pytest.raises(ValueError, match="row 4 has the time 'soon'; expected numbers"):
        split_molecules(table, "time")
    with pytest.raises(ValueError, match="no column that divides it"):
        split_molecules(MANY, "time")
