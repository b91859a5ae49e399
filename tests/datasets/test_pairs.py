"""Tables of pairs: what is wrong is named by file, row and column; splits do not leak."""

import logging

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sciml.datasets import Pairs, read_pairs, split_pairs, write_pairs

HEADER = "drug,target,pK,when\n"


def table(tmp_path, *rows, header=HEADER):
    path = tmp_path / "pairs.csv"
    path.write_text(header + "".join(row + "\n" for row in rows))
    return path


def read(path, **options):
    return read_pairs(path, "drug", "target", **{"value": "pK"} | options)


def test_names_are_numbered_in_order_of_appearance(tmp_path):
    path = table(tmp_path, "b,X,5,3", " a ,Y,6.5,1", "", "b,Y,7,2")
    pairs = read(path, time="when")
    assert (pairs.left, pairs.right) == (("b", "a"), ("X", "Y"))
    assert pairs.index.tolist() == [[0, 1, 0], [0, 1, 1]]
    assert (pairs.value.tolist(), pairs.time.tolist()) == ([5, 6.5, 7], [3, 1, 2])
    assert pairs.rows.tolist() == [2, 3, 5]  # as an editor counts, the blank line included
    assert "3 of 2 drug × 2 target (75.0%) with pK" in repr(pairs)
    assert pairs.notes == ()


def test_other_separators_and_dates(tmp_path):
    path = table(tmp_path, "a;X;5;2026-01-31", "a;Y;6;2025-01-31", header=HEADER.replace(",", ";"))
    pairs = read(path, time="when")
    assert pairs.time[0] > pairs.time[1]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (["a,X,5,1"], {"value": "pk"}, r"no column 'pk'\. Did you mean 'pK'\?"),
        (["a,X,5,1,9"], {}, r"rows have more cells than the header has columns \(drug, target, pK, when\)"),
        (["a,X,5,1"], {"value": "drug"}, r"row 2, column 'drug' is 'a'"),
        (["a,X,5,1"], {"left_text": "smiles"}, r"no column 'smiles'\..*There are: drug, target, pK, when"),
        ([], {}, r"pairs\.csv: no rows below the header"),
        (["a,X,strong,1"], {}, r"row 2, column 'pK' is 'strong'; expected a finite number \(1 such"),
        (["a,X,5,1", "a,Y,inf,1"], {}, r"row 3, column 'pK' is 'inf'"),
        (["a,X,,1"], {}, "no row has all of drug, target, pK"),
        (["a,X,5,soon"], {"time": "when"}, r"column 'when' is 'soon'; expected a number, or a date"),
        (["a,X,5,1", "a,Y,nan,1"], {"strict": True}, r"1 of 2 rows have no 'pK', the first is row 3; fill"),
        (
            ["a,X,5,1", "a,X,6,1"],
            {"strict": True},
            r"1 of them with differing values, most of all 'a' with 'X': 5 in row 2, 6 in row 3\. Decide",
        ),
        (
            ["a,X,5,1", "a,Y,5,2"],
            {"left_text": "when"},
            r"drug 'a' has when '1' in row 2 and '2' in row 3; a name must stand for one thing",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, rows, options, message):
    with pytest.raises(ValueError, match=message):
        read(table(tmp_path, *rows), **options)


def test_columns_that_stand_for_two_things(tmp_path):
    twice = table(tmp_path, "a,X,5,1", header="drug,target,pK,drug\n")
    with pytest.raises(ValueError, match="two columns are called 'drug'"):
        read(twice)
    with pytest.raises(ValueError, match="both sides are column 'drug'"):
        read_pairs(twice, "drug", "drug")


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read(tmp_path / "other.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(ValueError, match=r"empty\.csv: not a table"):
        read(tmp_path / "empty.csv")


def test_what_is_left_out_or_merged_is_said(tmp_path, caplog):
    rows = ["a,X,5,1", "a,X,5,1", "b,X,6,1", "b,X,8,1", ",X,5,1", "a,Y,NaN,1", "c,Y,4,1"]
    with caplog.at_level(logging.WARNING):
        pairs = read(table(tmp_path, *rows))
    assert (pairs.value.tolist(), pairs.rows.tolist()) == ([5, 7, 4], [2, 4, 8])
    drug, value, repeated = pairs.notes
    assert "1 of 7 rows have no 'drug', the first is row 6; left out" in drug
    assert "1 of 6 rows have no 'pK', the first is row 7; left out" in value
    assert "2 rows repeat a pair" in repeated
    assert "1 of them with differing values" in repeated
    assert "'b' with 'X': 6 in row 4, 8 in row 5; their mean is taken" in repeated
    assert all(note in caplog.text for note in pairs.notes)


def test_labels_that_contradict_each_other_are_left_out(tmp_path):
    pairs = read(table(tmp_path, "a,X,1,1", "a,X,0,1", "a,Y,1,1", "b,Y,0,1"))
    assert pairs.binary
    assert (pairs.left, pairs.index.tolist(), pairs.value.tolist()) == (("a", "b"), [[0, 1], [1, 1]], [1, 0])
    assert "left out, since labels have no mean" in pairs.notes[0]


def test_texts_stand_for_names_and_tables_are_read_back(tmp_path):
    header = "drug,target,pK,smiles,sequence\n"
    path = table(tmp_path, "a,X,5,CCO,ACD", "b,X,6,C,ACD", "a,Y,7,CCO,WW", header=header)
    options = {"left_text": "smiles", "right_text": "sequence"}
    pairs = read(path, **options)
    assert (pairs.left_text, pairs.right_text) == (("CCO", "C"), ("ACD", "WW"))
    write_pairs(tmp_path / "again.csv", pairs)
    again = read(tmp_path / "again.csv", **options)
    assert (again.left, again.right_text, again.value.tolist()) == (pairs.left, pairs.right_text, [5, 6, 7])


# ------------------------------------------------------------------------ splits


@st.composite
def some_pairs(draw):
    left, right = draw(st.integers(6, 15)), draw(st.integers(6, 15))
    keys = draw(st.sets(st.integers(0, left * right - 1), min_size=30, max_size=80).map(sorted))
    index = np.stack(np.divmod(np.array(keys), right))
    time = np.array(draw(st.lists(st.integers(0, 30), min_size=len(keys), max_size=len(keys))), dtype=float)
    return Pairs(tuple(map(str, range(left))), tuple(map(str, range(right))), index, time=time)


@given(some_pairs(), st.sampled_from(["random", "left", "right", "both", "time"]), st.integers(0, 9))
def test_splits_do_not_leak(pairs, by, seed):
    try:
        split = split_pairs(pairs, by, seed=seed)
    except ValueError as error:
        assume("leaves no pair" not in str(error))
        raise
    parts = [split.train, split.validation, split.test, split.unused]
    assert sorted(np.concatenate(parts)) == list(range(len(pairs)))  # each pair in one part
    names = [[set(pairs.index[side, part]) for part in parts[:3]] for side in (0, 1)]
    for side, name in enumerate(("left", "right")):
        if by in (name, "both"):
            train, validation, test = names[side]
            assert not train & test
            assert not train & validation
            assert not validation & test
    if by == "time":
        assert pairs.time[split.train].max() < pairs.time[split.validation].min()
        assert pairs.time[split.validation].max() < pairs.time[split.test].min()
    if by == "both":  # unused pairs join two parts
        home = lambda side, name: next((i for i, s in enumerate(names[side]) if name in s), None)
        for left, right in pairs.index[:, split.unused].T:
            assert home(0, left) != home(1, right) or home(0, left) is None
    else:
        assert not len(split.unused)
    again = split_pairs(pairs, by, seed=seed)
    assert all(np.array_equal(a, b) for a, b in zip(parts[:3], (again.train, again.validation, again.test)))


def test_shares_are_kept_and_impossible_ones_refused():
    full = Pairs(
        tuple(map(str, range(20))), tuple(map(str, range(10))), np.stack(np.divmod(np.arange(200), 10))
    )
    split = split_pairs(full)
    assert [len(split.train), len(split.validation), len(split.test)] == [140, 20, 40]
    cold = split_pairs(full, "left", test=0.25, validation=0)
    assert (len(set(full.index[0, cold.test])), len(cold.validation)) == (5, 0)
    both = split_pairs(full, "both", test=0.2)
    assert (len(both.test), len(both.train)) == (4 * 2, 14 * 7)
    with pytest.raises(ValueError, match="'sideways'; choose from random"):
        split_pairs(full, "sideways")
    with pytest.raises(ValueError, match="must be shares"):
        split_pairs(full, test=0.7, validation=0.3)
    with pytest.raises(ValueError, match=r"no times: name their column"):
        split_pairs(full, "time")
    with pytest.raises(ValueError, match="leaves no pair for test"):
        split_pairs(full.take(np.arange(2)), "random")
