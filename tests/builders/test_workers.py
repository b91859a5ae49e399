"""Work by several processes: the same results in the same order, and what happens where one dies."""

import os
import re
import time

import numpy as np
import pytest

from sciml.builders import workers
from sciml.builders.molecule import molecule_descriptors, parse_molecules
from sciml.builders.workers import in_processes


def doubled(number):
    time.sleep(0.002 * (number % 3))  # the first are not the first to end
    return 2 * number, os.getpid()


def refused(number):
    if number == 3:
        raise ValueError("three")
    return number


def deadly(number):
    if number == 3:
        os._exit(1)  # as a fault in compiled code does
    return number


@pytest.mark.parametrize("number", [None, 0, 1, 2, 3])
def test_results_come_in_the_order_of_the_items(number):
    results, processes = zip(*in_processes(doubled, range(50), workers=number))
    assert list(results) == list(range(0, 100, 2))
    assert (os.getpid() in processes) == (
        min(workers.available_cores() if number is None else number, 50) <= 1
    )


def test_a_worker_has_no_workers():
    assert list(in_processes(nested, [1, 2], workers=2)) == [1, 1]


def nested(_):
    return workers.available_cores()


def test_an_error_of_an_item_is_raised_here():
    with pytest.raises(ValueError, match="three"):
        list(in_processes(refused, range(100), workers=2))


def test_only_the_item_that_kills_its_process_is_lost(caplog):
    found = list(in_processes(deadly, range(6), workers=2, died=lambda item: -item, name="numbers"))
    assert found == [0, 1, 2, -3, 4, 5]
    assert "numbers: a process died" in caplog.text
    with pytest.raises(RuntimeError, match="part 4 of 6 died twice"):
        list(in_processes(deadly, range(6), workers=2, name="numbers"))


def test_a_bar_counts_what_items_hold_and_only_where_it_is_wanted(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    assert list(in_processes(len, ["ab", "cde"], name="letters", size=len)) == [2, 3]
    assert capsys.readouterr().err == ""
    assert list(in_processes(len, ["ab", "cde"], name="letters", size=len, progress=True)) == [2, 3]
    shown = capsys.readouterr().err
    assert "letters" in shown
    assert "5/5" in re.sub(r"\x1b\[[\d;]*m", "", shown)


def test_descriptors_do_not_depend_on_how_many_processes_compute_them():
    texts = [
        "C" * n + end
        for n in range(1, 12)
        for end in ("O", "C(=O)[O-]", "[C@H](F)Cl", "/C=C/c1ccccc1", "[Fe]")
    ]
    mols = parse_molecules(texts).mols
    groups = ["rdkit", "solvation", "fragments"]
    alone = molecule_descriptors(mols, groups, workers=1)
    assert 0.9 < np.isfinite(alone).mean() < 1
    np.testing.assert_array_equal(molecule_descriptors(mols, groups, workers=2), alone)
    assert molecule_descriptors([], groups).shape == (0, alone.shape[1])
