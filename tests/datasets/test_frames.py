"""Frames from files: units, what is missing, what is implausible, divisions and reference energies."""

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect

from sciml.datasets import Frames, potential_data, read_frames
from sciml.datasets.frames import electronvolts, implausible, shipped_ethanol
from sciml.datasets.potentials import fit_references, split, target_graph

KCAL = 0.0433641042  # eV, CODATA


@pytest.fixture(scope="module")
def ethanol():
    return read_frames(shipped_ethanol())


def water(seed=0, energy=-14.0, forces=True, symbols="OH2"):
    random = np.random.default_rng(seed)
    atoms = Atoms(symbols, positions=random.normal(size=(3, 3)))
    results = {} if energy is None else {"energy": energy + 0.1 * random.normal()}
    if forces:
        results["forces"] = random.normal(size=(3, 3))
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def arrays(path, frames, names=("nuclear_charges", "coords", "energies", "forces"), **changes):
    values = (
        frames.atoms[0].numbers.astype(np.uint8),
        np.stack([a.positions for a in frames.atoms]),
        frames.energy / KCAL,
        np.stack(frames.forces) / KCAL,
    )
    np.savez(path, **dict(zip(names, values)) | changes)
    return path


# ------------------------------------------------------------------ reading


@pytest.mark.parametrize("names", [("nuclear_charges", "coords", "energies", "forces"), ("z", "R", "E", "F")])
def test_arrays_are_in_kcal_per_mol_unless_said_otherwise(ethanol, names, tmp_path):
    path = arrays(tmp_path / "a.npz", ethanol, names)
    found = read_frames(path)
    np.testing.assert_allclose(found.energy, ethanol.energy, rtol=1e-8)
    np.testing.assert_allclose(found.forces, ethanol.forces, rtol=1e-7, atol=1e-9)
    hartree = read_frames(path, energy_unit="hartree")
    np.testing.assert_allclose(hartree.energy / found.energy, 627.5094740631, rtol=1e-8)
    assert electronvolts("kJ/mol") * 4.184 == pytest.approx(electronvolts("kcal/mol"), rel=1e-12)


@pytest.mark.parametrize("suffix", ["extxyz", "traj", "db"])
def test_what_ase_writes_comes_back(suffix, tmp_path):
    frames, path = [water(0), water(1, forces=False), water(2)], tmp_path / f"a.{suffix}"
    if suffix == "db":
        with connect(path) as database:
            for atoms in frames:
                database.write(atoms)
    else:
        ase.io.write(path, frames)
    found = read_frames(path)
    np.testing.assert_allclose(found.energy, [a.calc.results["energy"] for a in frames])
    np.testing.assert_allclose(found.forces[2], frames[2].get_forces(), atol=1e-7)
    assert found.forces[1] is None
    assert "3 energies, 2 with forces" in repr(found)


def test_other_names_are_asked_for_and_taken(tmp_path):
    atoms = water(energy=None, forces=False)
    atoms.info["REF_energy"], atoms.arrays["REF_forces"] = -3.0, np.ones((3, 3))
    ase.io.write(tmp_path / "a.extxyz", atoms)
    with pytest.raises(ValueError, match=r"energy_key=energy.*the frames have REF_energy, REF_forces"):
        read_frames(tmp_path / "a.extxyz")
    found = read_frames(tmp_path / "a.extxyz", energy_key="REF_energy", forces_key="REF_forces")
    assert found.energy.tolist() == [-3.0]
    np.testing.assert_allclose(found.forces[0], 1.0)


@pytest.mark.parametrize(("key", "missing"), [("energy_key", "an energy"), ("forces_key", "forces")])
def test_one_name_of_two_that_is_not_there_is_said(key, missing, tmp_path, caplog):
    """Eight frames, so that what is said of units is asked for as well."""
    frames = [water(seed) for seed in range(8)]
    for atoms in frames:
        atoms.info["E0"], atoms.arrays["F0"] = atoms.calc.results["energy"], atoms.get_forces()
        atoms.calc = None
    ase.io.write(tmp_path / "a.extxyz", frames)
    keys = {"energy_key": "E0", "forces_key": "F0"}
    found = read_frames(tmp_path / "a.extxyz", **keys | {key: "other"})
    assert f"no frame has {missing} (data.{key}=other); the frames have E0, F0" in caplog.text
    assert np.isnan(found.energy).all() == (key == "energy_key")
    assert all(f is None for f in found.forces) == (key == "forces_key")


def test_a_file_that_breaks_off_says_where(tmp_path):
    path = tmp_path / "a.extxyz"
    ase.io.write(path, [water(seed) for seed in range(3)])
    path.write_text("\n".join(path.read_text().splitlines()[:-2]))
    with pytest.raises(ValueError, match="beyond frame 1, the last that is whole"):
        read_frames(path)
    path = path.rename(tmp_path / "a.csv")
    path.write_text("smiles,y\nC,1\n")
    with pytest.raises(ValueError, match="experiment=molecules"):
        read_frames(path)


def test_bad_files_and_units(ethanol, tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        read_frames(tmp_path / "none.extxyz")
    (tmp_path / "a.extxyz").write_text("hello\n")
    with pytest.raises(ValueError, match="ASE cannot read it"):
        read_frames(tmp_path / "a.extxyz")
    (tmp_path / "a.npz").write_text("hello\n")
    with pytest.raises(ValueError, match="NumPy cannot read it"):
        read_frames(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="Unknown unit of energy 'kcal'"):
        read_frames(shipped_ethanol(), energy_unit="kcal")
    np.savez(tmp_path / "b.npz", z=[1], E=[0.0])
    with pytest.raises(ValueError, match="no array coords or R or positions; it has z, E"):
        read_frames(tmp_path / "b.npz")
    with pytest.raises(ValueError, match="expected \\(frames, atoms, 3\\)"):
        read_frames(arrays(tmp_path / "c.npz", ethanol, coords=np.zeros((600, 8, 3))))
    with pytest.raises(ValueError, match="one of each for a frame"):
        read_frames(arrays(tmp_path / "d.npz", ethanol, energies=np.zeros(599)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"energy": np.array([np.nan])}, None),  # forces alone are legal
        ({"energy": np.array([np.inf])}, "neither a finite energy nor forces"),
        ({"energy": np.array([np.nan]), "forces": [None]}, "neither a finite energy nor forces"),
        ({"forces": [np.zeros((2, 3))]}, r"forces of shape \(2, 3\); expected \(3, 3\)"),
        ({"forces": [np.full((3, 3), np.nan)]}, "position or force of atom 0 is not finite"),
        ({"atoms": [Atoms()], "forces": [np.zeros((0, 3))]}, "has no atoms"),
        ({"atoms": [], "energy": np.zeros(0), "forces": []}, "no frame"),
    ],
)
def test_frames_are_checked(change, message):
    good = {"atoms": [water()], "energy": np.array([1.0]), "forces": [np.zeros((3, 3))]}
    if message is None:
        assert len(Frames(**good | change)) == 1
        return
    with pytest.raises(ValueError, match=message):
        Frames(**good | change)


# ------------------------------------------------------------------ stress

CELL = np.array([[3.0, 0.0, 0.0], [0.4, 3.5, 0.0], [0.0, -0.3, 4.0]])
STRESS = np.array([[0.01, 0.002, -0.003], [0.002, -0.02, 0.004], [-0.003, 0.004, 0.03]])


def crystal(**info):
    atoms = Atoms("NaCl", [[0, 0, 0], [1.5, 1.5, 1.7]], cell=CELL, pbc=True)
    atoms.info |= {"energy": -1.0} | info
    return atoms


def test_stress_is_read_in_every_form(tmp_path):
    calculated = crystal()
    calculated.info.clear()
    voigt = STRESS[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    calculated.calc = SinglePointCalculator(calculated, energy=-1.0, stress=voigt)
    volume = calculated.get_volume()
    forms = [
        calculated,
        crystal(stress=STRESS),
        crystal(virial=-volume * STRESS),
        crystal(virials=-volume * STRESS.ravel()),
        crystal(),
    ]
    ase.io.write(tmp_path / "a.extxyz", forms)
    found = read_frames(tmp_path / "a.extxyz")
    for stress in found.stress[:4]:
        np.testing.assert_allclose(stress, STRESS, atol=1e-9)
    assert found.stress[4] is None
    assert "4 with stress" in repr(found)
    in_kcal = read_frames(tmp_path / "a.extxyz", energy_unit="kcal/mol").stress[1]
    np.testing.assert_allclose(in_kcal, KCAL * STRESS, rtol=1e-8)
    ase.io.write(tmp_path / "b.extxyz", [crystal(REF_stress=STRESS.ravel())])
    np.testing.assert_allclose(read_frames(tmp_path / "b.extxyz", stress_key="REF_stress").stress[0], STRESS)


def test_stress_where_space_is_open_is_left_out_and_said(tmp_path, caplog):
    slab = crystal(stress=STRESS)
    slab.pbc = (True, True, False)
    ase.io.write(tmp_path / "a.traj", [crystal(stress=STRESS), slab])
    found = read_frames(tmp_path / "a.traj")
    assert [s is None for s in found.stress] == [False, True]
    assert "the stress of 1 frames (first: 1)" in caplog.text


@pytest.mark.parametrize(
    ("stress", "message"),
    [
        (np.ones(5), r"frame 1: stress has shape \(5,\)"),
        (np.triu(np.ones((3, 3))), "frame 1 .* not symmetric"),
        (np.full((3, 3), np.nan), "frame 1 .* finite"),
    ],
)
def test_bad_stress_is_named(stress, message, tmp_path):
    ase.io.write(tmp_path / "a.traj", [crystal(), crystal(stress=stress)])
    with pytest.raises(ValueError, match=message):
        read_frames(tmp_path / "a.traj")


def test_stress_in_gigapascal_raises_suspicion():
    frames = Frames([crystal()], np.zeros(1), [None], stress=[STRESS * 160])
    assert any("stresses are" in warning for warning in implausible(frames))
    assert implausible(Frames([crystal()], np.zeros(1), [None], stress=[STRESS])) == []


def test_virials_are_targets_where_there_is_a_stress():
    frames = Frames([crystal(), water()], np.zeros(2), [None, None], stress=[STRESS, None])
    graph = target_graph(frames, 3.0, {"Na": 0.0, "Cl": 0.0, "O": 0.0, "H": 0.0}, dtype=torch.float64)
    np.testing.assert_allclose(graph.globals["target_virial"][0], STRESS * crystal().get_volume())
    assert graph.globals["has_stress"].tolist() == [True, False]
    assert "target_virial" not in target_graph(frames.take(np.array([1])), 3.0, {"O": 0.0, "H": 0.0}).globals


# ------------------------------------------------------------------ plausibility


def test_right_units_raise_no_suspicion_and_wrong_ones_do(ethanol, tmp_path, caplog):
    assert implausible(ethanol) == []
    path = arrays(tmp_path / "a.npz", ethanol)
    read_frames(path, energy_unit="eV")
    assert "as at" in caplog.text
    assert "forces are" in caplog.text
    caplog.clear()
    read_frames(path, energy_unit="Hartree")
    assert "data.energy_unit=" in caplog.text
    caplog.clear()
    read_frames(path)
    assert not [r for r in caplog.records if r.levelname == "WARNING"]


def test_energies_in_a_smaller_unit_are_seen_too(ethanol):
    in_hartree = Frames(ethanol.atoms, ethanol.energy / 27.2114, [f / 27.2114 for f in ethanol.forces])
    assert "spread by" in implausible(in_hartree)[0]


# ------------------------------------------------------------------ divisions


def test_blocks_of_time_do_not_mix():
    parts = split(100, by="time", train=0.7, validation=10, indices=None, seed=0)
    assert [p.tolist() for p in parts] == [[*range(70)], [*range(70, 80)], [*range(80, 100)]]


def test_random_parts_are_disjoint_and_follow_the_seed():
    parts, again, other = (
        split(50, by="random", train=30, validation=0.2, indices=None, seed=s) for s in (1, 1, 2)
    )
    assert sorted(np.concatenate(parts).tolist()) == [*range(50)]
    assert parts[0].tolist() == again[0].tolist() != other[0].tolist()
    assert [len(p) for p in parts] == [30, 10, 10]


def test_parts_by_file(tmp_path):
    np.savez(tmp_path / "s.npz", train=[4, 1], test=[0])
    options = {"by": "file", "train": 0.0, "validation": 0.0, "seed": 0}
    parts = split(5, indices=tmp_path / "s.npz", **options)
    assert [p.tolist() for p in parts] == [[4, 1], [], [0]]
    for change, message in (
        ({"train": [5]}, "names frame 5, but there are 5"),
        ({"train": [1, 2], "test": [2]}, "names frame 2 more than once"),
        ({"test": [0]}, "has no array train"),
        ({"train": [0.5]}, "expected whole numbers"),
    ):
        np.savez(tmp_path / "t.npz", **change)
        with pytest.raises(ValueError, match=message):
            split(5, indices=tmp_path / "t.npz", **options)
    with pytest.raises(ValueError, match=r"needs data\.split\.indices"):
        split(5, indices=None, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "scaffold"}, "Unknown division by 'scaffold'"),
        ({"train": 0.0}, "0 frames for training"),
        ({"train": 590, "validation": 20}, "590 frames for training and 20 for validation, of 600"),
        ({"train": 1.5}, "expected a number of frames, or a fraction below 1"),
        ({"train": 590, "validation": 10}, "No frame of 600 is left for the test"),
    ],
)
def test_impossible_divisions(ethanol, options, message):
    with pytest.raises(ValueError, match=message):
        potential_data(ethanol, **options)


def test_elements_of_the_test_must_be_known():
    frames = Frames([water(), water(1)], np.zeros(2), [None, None])
    other = Frames([water(symbols="OHF")], np.zeros(1), [None])
    with pytest.raises(
        ValueError, match=r"Frame 0 of the test frames \(frames, HFO\) has F, .* They have H, O"
    ):
        potential_data(frames, other, train=2, validation=0)


# ------------------------------------------------------------------ what is fitted, and targets


def test_reference_energies_of_additive_energies_are_found():
    truth = {"H": -13.6, "C": -1029.0, "O": -2042.0}
    formulas = ["CH4", "H2O", "CO2", "CH4O", "H2", "CO"]
    atoms = [Atoms(f, positions=np.random.default_rng(0).normal(size=(len(Atoms(f)), 3))) for f in formulas]
    energy = np.array([sum(truth[s] for s in a.get_chemical_symbols()) for a in atoms])
    energy[2] = np.nan  # unknown: takes no part
    forces = [None, None, np.zeros((3, 3)), None, None, None]
    assert fit_references(Frames(atoms, energy, forces)) == pytest.approx(truth, abs=1e-9)


def test_one_composition_gives_the_mean_energy_and_the_scale_is_the_typical_force(ethanol):
    data = potential_data(ethanol, train=400, validation=100)
    total = sum(data.references[s] for s in ethanol.atoms[0].get_chemical_symbols())
    assert total == pytest.approx(ethanol.energy[:400].mean(), abs=1e-9)
    assert data.scale == pytest.approx(np.sqrt(np.mean(np.stack(ethanol.forces[:400]) ** 2)))
    assert len(data.test) == 100


def test_targets_are_masked_where_there_are_none(tmp_path):
    frames = Frames([water(0), water(1)], np.array([1.0, np.nan]), [None, np.ones((3, 3))])
    graph = target_graph(frames, 3.0, {"O": 0.25, "H": 0.125})
    assert graph.globals["has_energy"].tolist() == [True, False]
    assert graph.globals["target_energy"].tolist() == [0.5, 0.0]
    assert graph.nodes["has_forces"].tolist() == [False] * 3 + [True] * 3
    assert graph.nodes["target_forces"].sum() == 9
