"""Properties of structures: files to a store, training from it, and what is physics in the readouts."""

import csv
import re

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

from sciml.builders import atoms_graph
from sciml.datasets.store import StoreError
from sciml.datasets.structure_properties import HARTREE, g2, qm9, structure_store, structures_of
from sciml.models import StructurePredictor
from sciml.training.data import GraphData
from sciml.training.fit import fit
from sciml.training.structure_property import (
    EVALUATED,
    StructureTask,
    divided,
    mean_errors,
    statistics,
    train_structures,
)

NAMES = ("CH4", "NH3", "H2O", "C2H2", "HCN", "H2CO", "CH3OH", "C2H6")
TARGETS = {"U0": "sum", "gap": "mean", "mu": "dipole"}


def small_set(number=40, seed=0):
    """Molecules with energies that are sums over elements and bonds, and so on: something to learn."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(number):
        atoms = molecule(NAMES[i % len(NAMES)])
        atoms.positions += rng.normal(0, 0.05, (len(atoms), 3))
        d = atoms.get_all_distances()
        bonds = np.exp(-d[np.triu_indices(len(atoms), 1)]).sum()
        mu = np.linalg.norm((atoms.numbers - atoms.numbers.mean()) @ atoms.positions) / 10
        found.append((atoms, -0.5 * float((atoms.numbers**2).sum()) - 0.1 * bonds, 0.3 + 0.01 * bonds, mu))
    return found


def write_arrays(path, records):
    atoms = [r[0] for r in records]
    np.savez(
        path, n_atoms=[len(a) for a in atoms], z=np.concatenate([a.numbers for a in atoms]),
        pos=np.concatenate([a.positions for a in atoms]), U0=[r[1] for r in records],
        gap=[r[2] * HARTREE for r in records], mu=[r[3] for r in records],
    )  # fmt: skip


def write_tables(folder, records):
    """As the package qm9pack has them: lists as text, whole numbers as ``1.``, energies in Hartree."""
    folder.mkdir()
    half = len(records) // 2
    for part, some in enumerate((records[:half], records[half:]), start=1):
        with open(folder / f"qm9_part{part}.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(
                [
                    "XYZ_file",
                    "Elements",
                    "XYZ_Ang",
                    "InternalEnergy_0K_au",
                    "HOMO_LUMO_gap_au",
                    "Dipole_debye",
                ]
            )
            for i, (atoms, u0, gap, mu) in enumerate(some):
                symbols = str(list(atoms.symbols)).replace(" ", "")
                whole = str(atoms.positions.tolist()).replace(" ", "")
                positions = re.sub(r"\.0(?=[,\]])", ".", whole)
                writer.writerow([f"dsgdb9nsd_{i}.xyz", symbols, positions, u0, gap, mu])


def test_tables_and_arrays_are_the_same_set(tmp_path):
    records = small_set(6)
    records[1][0].positions[:2] = [[0.5, 0.0, 1.0], [-0.5, 0.0, 1.0]]
    write_arrays(tmp_path / "a.npz", records)
    write_tables(tmp_path / "tables", records)
    stores = [
        structure_store(tmp_path / str(k), qm9(path=tmp_path / name), 3.0)
        for k, name in enumerate(("a.npz", "tables"))
    ]
    for i in range(6):
        a, b = (store[i] for store in stores)
        torch.testing.assert_close(a.nodes["pos"], b.nodes["pos"])
        torch.testing.assert_close(a.globals["y"], b.globals["y"])
        torch.testing.assert_close(a.edge_index, b.edge_index)
        assert a.globals["y"][0, 0] == pytest.approx(records[i][1] * HARTREE)
    assert stores[0].info["units"] == ["eV", "eV", "debye"]


def test_properties_of_a_file_that_ase_reads(tmp_path):
    for number, (atoms, *_) in enumerate(small_set(4)):
        atoms.info.update(gap=float(number), polarity=[0.0, 3.0, 4.0])
        ase.io.write(tmp_path / "a.extxyz", atoms, append=True)
    store = structure_store(tmp_path / "s", structures_of(tmp_path / "a.extxyz", ["gap", "polarity"]), 3.0)
    np.testing.assert_allclose(store.field("globals.y"), [[i, 5.0] for i in range(4)])
    with pytest.raises(ValueError, match=r"structure 0 .* has no 'mass'; it has .*gap"):
        structure_store(tmp_path / "t", structures_of(tmp_path / "a.extxyz", ["mass"]), 3.0)


def test_g2(tmp_path):
    """Methane's enthalpy of formation is -17.9 kcal/mol."""
    store = structure_store(tmp_path, g2(), 3.0)
    assert len(store) == 148
    methane = next(k for k, (a, _) in enumerate(g2().records()) if a.get_chemical_formula() == "CH4")
    assert store.field("globals.y")[methane, 0] == pytest.approx(-0.7762, abs=1e-3)


def test_composition_is_fitted_in_passes_over_the_store(tmp_path):
    records = small_set()
    write_arrays(tmp_path / "a.npz", records)
    store = structure_store(tmp_path / "s", qm9(path=tmp_path / "a.npz"), 3.0)
    data = divided(store, train=30, validation=5)
    graph = data.train[:]
    n = np.stack([np.bincount(a.numbers, minlength=9)[[1, 6, 7, 8]] for a, *_ in records]).astype(float)
    order = np.random.default_rng(0).permutation(40)[:30]
    y = np.array([[r[1] * HARTREE, r[2] * HARTREE, r[3]] for r in records])[order]
    parts = np.linalg.lstsq(n[order], y, rcond=None)[0]
    np.testing.assert_allclose(data.composition, parts, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(data.mean, y.mean(0))
    np.testing.assert_allclose(data.rest, np.sqrt(np.mean((y - n[order] @ parts) ** 2, 0)), rtol=1e-3)
    np.testing.assert_allclose(data.by_composition(graph), n[order] @ parts, rtol=1e-5, atol=1e-5)


def test_training_from_a_store_is_training_in_memory(tmp_path):
    """To the last digit; it learns, and predicts the same for structures as from the store."""
    write_arrays(tmp_path / "a.npz", small_set())
    store = structure_store(tmp_path / "s", qm9(path=tmp_path / "a.npz"), 3.0)
    results = []
    for name in ("store", "memory"):
        data = divided(store, train=28, validation=6)
        if name == "memory":
            parts = {p: getattr(data, p)[:] for p in ("train", "validation", "test")}
            data = type(data)(**(vars(data) | parts))
        torch.manual_seed(0)
        model = StructurePredictor(
            TARGETS, channels=16, layers=1, radial=6, cutoff=3.0, **statistics(data, TARGETS)
        )
        trained = train_structures(
            model, data, tmp_path / name, epochs=8, batch_size=7, learning_rate=5e-3, progress=False
        )
        results.append(mean_errors(trained, data))
    assert results[0] == results[1]
    assert results[0]["network"]["U0"]["mae"] < 2 * results[0]["composition"]["U0"]["mae"]
    atoms = [r[0] for r in small_set()][:3]
    table = trained.predict(atoms)
    np.testing.assert_allclose(table[["U0", "gap", "mu"]], trained.answer(store[:3]), rtol=1e-6)
    with pytest.raises(ValueError, match="Atom 0 of Xe is Xe"):
        trained.predict(Atoms("Xe"))


def test_an_interrupted_training_goes_on_to_the_same_numbers(tmp_path):
    write_arrays(tmp_path / "a.npz", small_set(20))
    store = structure_store(tmp_path / "s", qm9(path=tmp_path / "a.npz"), 3.0)
    data = divided(store, train=12, validation=4)

    def model():
        torch.manual_seed(0)
        return StructurePredictor(
            TARGETS, channels=8, layers=1, radial=4, cutoff=3.0, **statistics(data, TARGETS)
        )

    options = {"batch_size": 4, "progress": False}
    whole = train_structures(model(), data, tmp_path / "whole", epochs=4, **options)
    task = StructureTask(model(), 4 * 3, 1e-3, 1e-5)
    batches = GraphData(data.train, data.validation, batch_size=4, seed=0, evaluated=EVALUATED)
    fit(task, batches, tmp_path / "cut", epochs=2, validation=data.validation, progress=False)
    cut = train_structures(model(), data, tmp_path / "cut", epochs=4, **options)
    for a, b in zip(whole.parameters(), cut.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_readouts():
    """A sum doubles with the structure, a mean does not, a dipole does not ask where the origin is."""
    torch.manual_seed(0)
    model = StructurePredictor(TARGETS, channels=8, layers=2, radial=6, cutoff=3.0).double()
    one = molecule("CH3OH")
    far = one.copy()
    far.positions += 50.0
    single, moved, both = (model(atoms_graph(a, 3.0)).globals["predicted"][0] for a in (one, far, one + far))
    torch.testing.assert_close(single, moved, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(both[0], 2 * single[0])
    torch.testing.assert_close(both[1], single[1])
    torch.testing.assert_close(both[2], 2 * single[2], rtol=1e-8, atol=1e-10)


def test_bad_input(tmp_path):
    with pytest.raises(ValueError, match="no property 'colour'"):
        qm9(["colour"])
    with pytest.raises(FileNotFoundError, match="nor files qm9_part"):
        qm9(path=tmp_path / "nothing")
    with pytest.raises(ValueError, match="expected one of sum, mean, dipole"):
        StructurePredictor({"gap": "median"})
    write_tables(tmp_path / "tables", small_set(4))
    file = tmp_path / "tables" / "qm9_part2.csv"
    file.write_text(file.read_text().replace("[[", "[[x", 1))
    with pytest.raises(ValueError, match=r"qm9_part2.csv, row 2: cannot be read"):
        structure_store(tmp_path / "s", qm9(path=tmp_path / "tables"), 3.0)
    write_arrays(tmp_path / "a.npz", small_set(4))
    store = structure_store(tmp_path / "t", qm9(path=tmp_path / "a.npz"), 3.0)
    with pytest.raises(ValueError, match="some for the test"):
        divided(store, train=3, validation=1)
    with pytest.raises(StoreError, match="something else"):
        structure_store(tmp_path / "t", qm9(path=tmp_path / "a.npz"), 4.0)
