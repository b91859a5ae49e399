"""Frames in a store: the same frames, parts and targets as in memory, whatever the frames have."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from sciml.datasets import (
    StoredFrames,
    frame_files,
    frame_store,
    potential_data,
    read_frames,
    store_frames,
)
from sciml.datasets.frame_files import FrameFile
from sciml.datasets.potentials import fit_references, fit_scale
from sciml.datasets.store import GraphStore, StoreError
from sciml.models import Prediction
from sciml.training.data import Batches
from sciml.training.potential import errors, errors_in_parts

NUMBER = 23


def mixed(seed=0):
    """Water, with and without forces and energies, and a crystal with stress."""
    random, found = np.random.default_rng(seed), []
    for number in range(NUMBER):
        if number % 5 == 4:
            atoms = Atoms("NaCl", [[0, 0, 0], [2.8, *random.normal(scale=0.1, size=2)]])
            atoms.set_cell([[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]])
            atoms.pbc = True
        else:
            positions = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.9, 0]])
            positions += random.normal(scale=0.05, size=(3, 3))
            atoms = Atoms("OH2", positions)
        results = {"energy": random.normal() - 10 * len(atoms)}
        if number % 3:
            results["forces"] = random.normal(size=(len(atoms), 3))
        if number % 7 == 3:
            del results["energy"]
            results["forces"] = random.normal(size=(len(atoms), 3))
        if atoms.pbc.all():
            results["stress"] = random.normal(scale=0.01, size=6)
        atoms.calc = SinglePointCalculator(atoms, **results)
        found.append(atoms)
    return found


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of a few frames, so that borders between them are met."""
    monkeypatch.setattr(frame_files, "AT_A_TIME", 4)
    monkeypatch.setattr(frame_store, "AT_A_TIME", 3)


@pytest.fixture
def file(tmp_path):
    write(tmp_path / "mixed.extxyz", mixed())
    return tmp_path / "mixed.extxyz"


def same(a, b):
    """Two sets of frames hold the same."""
    a, b = a.whole(), b.whole()
    assert len(a) == len(b)
    np.testing.assert_array_equal(a.energy, b.energy)
    for one, two in zip(a.atoms, b.atoms, strict=True):
        assert one == two
    for name in ("forces", "stress"):
        for one, two in zip(getattr(a, name), getattr(b, name), strict=True):
            assert (one is None) == (two is None)
            assert one is None or np.array_equal(one, two)


def equal(a, b):
    """Two batches of graphs hold the same."""
    for place in ("nodes", "edges", "globals"):
        mine, other = getattr(a, place), getattr(b, place)
        assert mine.keys() == other.keys()
        assert all(torch.equal(mine[name], other[name]) for name in mine)
    assert torch.equal(a.edge_index, b.edge_index)
    assert dict(a.specs) == dict(b.specs)


def test_what_is_stored_comes_back(file, tmp_path, small_parts):
    memory, stored = read_frames(file), store_frames(tmp_path / "store", file)
    same(memory, stored)
    chosen = np.array([7, 2, 2, 20])
    for frames in (memory, stored):
        assert frames.take(chosen).take(np.array([3, 0])).whole().numbers.tolist() == [20, 7]
    same(memory.take(chosen), stored.take(chosen))
    assert [len(part) for part in stored.take(chosen).parts()] == [3, 1]
    assert stored.stressed
    assert [stored.take(np.array(some)).periodic for some in ([0, 1], [0, 4])] == [False, True]
    again = StoredFrames(GraphStore(tmp_path / "store"))
    same(again, memory)
    assert again.key == stored.key != stored.take(chosen).key
    assert "23 of" in repr(stored)


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_are_read_a_part_at_a_time(compressed, tmp_path, small_parts):
    """From any frame on, as all at once, in whatever order of memory they were saved."""
    random = np.random.default_rng(0)
    arrays = {
        "nuclear_charges": np.array([8, 1, 1]),
        "coords": np.asfortranarray(random.normal(size=(10, 3, 3))),
        "energies": random.normal(size=10),
        "forces": random.normal(size=(10, 3, 3)).astype(np.float32),
    }
    path = tmp_path / "a.npz"
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    whole = read_frames(path, energy_unit="eV")
    for name, found in (("coords", [a.positions for a in whole.atoms]), ("forces", whole.forces)):
        np.testing.assert_array_equal(found, arrays[name])
    np.testing.assert_array_equal(whole.energy, arrays["energies"])
    parts = list(FrameFile(path, energy_unit="eV").parts(start=5))
    assert [part.numbers[0] for part in parts] == [5, 9]
    same(parts[1], whole.take(np.array([9])))


def test_parts_of_potentials_are_those_of_frames_in_memory(file, tmp_path, small_parts):
    """Reference energies, scale and graphs, from one part of the file to the next."""
    memory, stored = read_frames(file), store_frames(tmp_path / "store", file)
    options = {"by": "random", "train": 12, "validation": 6, "seed": 0}
    mine, other = potential_data(stored, **options), potential_data(memory, **options)
    for name in ("train", "validation", "test"):
        same(getattr(mine, name), getattr(other, name))
    assert mine.scale == pytest.approx(other.scale, rel=1e-12)
    assert mine.references == pytest.approx(other.references, rel=1e-9)
    same_data = type(other)(other.train, other.validation, other.test, mine.references, mine.scale)
    graphs, expected = mine.graphs(4.0, tmp_path / "graphs"), same_data.graphs(4.0)
    for one, two in zip(graphs, expected, strict=True):
        equal(one[:], two)
    for one, two in zip(Batches(graphs[0], 5, 0, 100), Batches(expected[0], 5, 0, 100), strict=True):
        equal(one, two)


def test_references_are_the_least_squares_of_all_frames(file):
    frames = read_frames(file)
    counts = frames.counts(frames.elements)
    known = np.isfinite(frames.energy)
    expected = np.linalg.lstsq(counts[known], frames.energy[known], rcond=1e-9)[0]
    np.testing.assert_allclose(list(fit_references(frames).values()), expected, rtol=1e-10)
    forces = np.concatenate([f for f in frames.forces if f is not None])
    assert fit_scale(frames, fit_references(frames)) == pytest.approx(np.sqrt(np.mean(forces**2)))


def test_errors_in_parts_are_errors(file):
    frames, random = read_frames(file), np.random.default_rng(0)
    predicted = [
        Prediction(random.normal(), random.normal(size=(len(a), 3)), random.normal(size=(3, 3)))
        for a in frames.atoms
    ]
    halves = [np.arange(9), np.arange(9, NUMBER)]
    parts = [(frames.take(half), [predicted[i] for i in half]) for half in halves]
    assert errors_in_parts(parts) == pytest.approx(errors(frames, predicted), rel=1e-12)


def test_an_interrupted_store_of_frames_goes_on(file, tmp_path, small_parts):
    written = []

    def interrupt(number):
        written.append(number)
        if number == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store_frames(tmp_path / "store", file, progress=interrupt)
    with pytest.raises(StoreError, match="not complete"):
        GraphStore(tmp_path / "store")
    same(store_frames(tmp_path / "store", file, progress=interrupt), read_frames(file))
    assert written == [4, 8, 12, 16, 20, 23]


def test_a_bad_frame_is_named_by_its_number_in_the_file(file, tmp_path, small_parts):
    """And the mended file is another one."""
    broken = mixed()
    broken[8].calc.results["forces"][1, 0] = np.inf
    write(file, broken)
    with pytest.raises(ValueError, match=r"frame 8 \(.*atom 1 is not finite"):
        store_frames(tmp_path / "store", file)
    write(file, mixed())
    with pytest.raises(StoreError, match="something else"):
        store_frames(tmp_path / "store", file)


def test_other_stores_are_refused(file, tmp_path, small_parts):
    frames = store_frames(tmp_path / "store", file)
    with pytest.raises(StoreError, match="something else"):
        store_frames(tmp_path / "store", file, energy_unit="Hartree")
    data = potential_data(frames, train=12)
    train, _ = data.graphs(3.0, tmp_path / "graphs")
    with pytest.raises(StoreError, match="no store of frames"):
        StoredFrames(train)
