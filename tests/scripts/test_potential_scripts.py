"""The commands on frames: train a potential, predict for a file, and say what is wrong with bad input."""

import json

import ase.io
import common
import numpy as np
import pytest
from ase import Atoms
from omegaconf import open_dict

import sciml
from sciml.datasets.frames import shipped_ethanol
from sciml.models import PotentialEnsemble
from sciml.training.errors import RunError

SMALL = [
    "model.channels=12",
    "model.layers=1",
    "model.cutoff=3.5",
    "data.split.train=40",
    "data.split.validation=10",
]


def config(run_dir, *overrides):
    found = common._compose("config", ["experiment=ethanol", "task.epochs=2", *SMALL, *overrides])
    with open_dict(found):
        found.name, found.run_dir = "test", str(run_dir)
    return found


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    path = tmp_path_factory.mktemp("frames") / "some.extxyz"
    ase.io.write(path, ase.io.read(shipped_ethanol(), index=":70"))
    return path


@pytest.fixture(scope="module")
def run(frames, tmp_path_factory):
    from potential import potential

    directory = tmp_path_factory.mktemp("run")
    potential(config(directory, f"data.path={frames}"), directory)
    return directory


@pytest.mark.parametrize("model", ["painn", "schnet"])
def test_an_experiment_trains_is_judged_and_comes_back(model, frames, tmp_path, capsys):
    from potential import potential

    potential(config(tmp_path, f"data.path={frames}", f"model={model}"), tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    for who in ("", "pairs_", "constant_"):
        for name, unit in (("energy_mae", "meV"), ("force_mae", "meV/Å"), ("force_rmse", "meV/Å")):
            assert np.isfinite(metrics[f"test/{who}{name}"])
            assert metrics["units"][f"test/{who}{name}"] == unit
    assert (metrics["train/frames"], metrics["validation/frames"], metrics["test/frames"]) == (40, 10, 20)
    printed = capsys.readouterr().out
    assert "Errors on 20 frames kept back" in printed
    assert "meV/Å" in printed
    found = sciml.load_run(tmp_path).predict(ase.io.read(frames, index="60:"))
    truth = [a.get_forces() for a in ase.io.read(frames, index="50:")][10:]
    assert len(found) == len(truth) == 10
    assert found[0].forces.shape == (9, 3)


def test_metrics_are_those_of_the_model_that_comes_back(run, frames):
    model, kept = sciml.load_run(run), ase.io.read(frames, index="50:")
    wrong = [p.forces - a.get_forces() for p, a in zip(model.predict(kept), kept)]
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test/force_mae"] == pytest.approx(1000 * np.mean(np.abs(wrong)), rel=1e-6)


def test_frames_stream_from_a_store_to_the_same_numbers(run, frames, tmp_path):
    """From the file into a store, and from a store without its file."""
    from potential import load, potential

    expected = json.loads((run / "metrics.json").read_text())
    store = tmp_path / "store"
    ways = ([f"data.path={frames}", f"data.store={store}"], [f"data.path={store}"])
    for number, way in enumerate(ways):
        directory = tmp_path / str(number)
        directory.mkdir()
        potential(config(directory, *way), directory)
        found = json.loads((directory / "metrics.json").read_text())
        for name in (n for n in expected if n.startswith("test/") or n.endswith("/frames")):
            assert found[name] == pytest.approx(expected[name], rel=1e-4), name
    assert (directory / "graphs" / "train" / "store.json").is_file()
    assert load(config(tmp_path, f"data.path={store}/frames")).scale == load(config(tmp_path, *ways[0])).scale
    with pytest.raises(RunError, match=r"data.energy_unit=Hartree: frames in a store .* are in eV"):
        load(config(tmp_path, f"data.path={store}", "data.energy_unit=Hartree"))


def test_forces_with_the_other_sign_are_warned_of(frames, tmp_path, caplog):
    from potential import potential

    turned = ase.io.read(frames, index=":")
    for atoms in turned:
        atoms.calc.results["forces"] = -atoms.get_forces()
    ase.io.write(tmp_path / "turned.extxyz", turned)
    potential(config(tmp_path / "run", f"data.path={tmp_path}/turned.extxyz"), tmp_path / "run")
    assert "are the forces gradients, with the other sign?" in caplog.text


def test_the_unit_and_a_file_of_test_frames(frames, tmp_path, caplog):
    from potential import load

    chosen = config(tmp_path, f"data.path={frames}", f"data.test_path={frames}", "data.energy_unit=kcal/mol")
    data = load(chosen)
    assert len(data.test) == 70
    assert "20 of 70 frames are in no part" in caplog.text
    first = ase.io.read(frames, index=0).get_potential_energy()
    assert data.test.energy[0] == pytest.approx(first * 0.0433641, rel=1e-5)


def test_predictions_for_a_file(run, frames, tmp_path, capsys):
    import predict

    target = tmp_path / "out.extxyz"
    predict.main([f"run={run}", f"input={frames}", f"output={target}"])
    assert capsys.readouterr().out.strip() == str(target)
    written, model = ase.io.read(target, index=":"), sciml.load_run(run)
    assert len(written) == 70
    expected = model.predict(ase.io.read(frames, index=":"))
    assert written[7].get_potential_energy() == pytest.approx(expected[7].energy, abs=1e-6)
    np.testing.assert_allclose(written[7].get_forces(), expected[7].forces, atol=1e-6)


def test_stresses_of_a_crystal_are_written(run, tmp_path):
    import predict

    crystal = Atoms("CO", [[0, 0, 0], [1.2, 0, 0]], cell=[4, 4.5, 5], pbc=True)
    ase.io.write(tmp_path / "in.extxyz", crystal)
    predict.main([f"run={run}", f"input={tmp_path}/in.extxyz", f"output={tmp_path}/out.extxyz"])
    found = ase.io.read(tmp_path / "out.extxyz").get_stress(voigt=False)
    np.testing.assert_allclose(found, sciml.load_run(run).predict(crystal).stress, atol=1e-7)


def test_an_ensemble_by_one_option(frames, tmp_path, capsys):
    import predict
    from potential import potential

    options = f"data.path={frames}", "model=schnet", "task.members=2", "task.epochs=1"
    potential(config(tmp_path, *options), tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert 0 <= metrics["test/force_coverage"] <= 1
    assert metrics["units"]["test/force_half_width"] == "meV/Å"
    assert "of the test values" in capsys.readouterr().out
    model = sciml.load_run(tmp_path)
    assert isinstance(model, PotentialEnsemble)
    target = tmp_path / "out.extxyz"
    predict.main([f"run={tmp_path}", f"input={frames}", f"output={target}"])
    written, found = ase.io.read(target, index=3), model.predict(ase.io.read(frames, index=3))
    assert written.info["energy_std"] == pytest.approx(found.energy_std, rel=1e-4)
    np.testing.assert_allclose(written.arrays["forces_half_width"], found.forces_half_width, rtol=1e-4)


def test_bad_input_for_predictions(run, tmp_path):
    import predict

    with pytest.raises(RunError, match="output missing"):
        predict.main([f"run={run}", "input=a"])
    with pytest.raises(RunError, match="no file"):
        predict.main([f"run={run}", f"input={tmp_path}/a.extxyz", f"output={tmp_path}/b.extxyz"])
    with pytest.raises(RunError, match="is no run directory"):
        predict.main([f"run={tmp_path}", "input=a", "output=b"])
    with pytest.raises(RunError, match="Unknown options colour"):
        predict.main([f"run={run}", "input=a", "output=b", "colour=red"])
    ase.io.write(tmp_path / "w.extxyz", Atoms("W"))
    with pytest.raises(RunError, match=r"w.extxyz: Atom 0 of W is W"):
        predict.main([f"run={run}", f"input={tmp_path}/w.extxyz", f"output={tmp_path}/b.extxyz"])
    assert not (tmp_path / "b.extxyz").exists()


def test_another_run_is_not_continued(run, frames):
    from potential import potential

    with pytest.raises(RunError, match="another model"):
        potential(config(run, f"data.path={frames}", "model.layers=2"), run)


def rmd17(path, frames):
    """Frames in the form of rMD17."""
    found = ase.io.read(frames, index=":")
    np.savez(
        path,
        nuclear_charges=found[0].numbers,
        coords=np.stack([a.positions for a in found]),
        energies=np.array([a.get_potential_energy() for a in found]) / 0.0433641,
        forces=np.stack([a.get_forces() for a in found]) / 0.0433641,
    )
    return path


@pytest.mark.parametrize("experiment", ["rmd17", "rmd17_gpu"])
def test_experiments_on_rmd17_start(experiment, frames, tmp_path):
    """Each with its settings, but for fewer and smaller steps."""
    from potential import potential

    path = rmd17(tmp_path / "ethanol.npz", frames)
    overrides = [
        f"experiment={experiment}", f"data.path={path}", f"data.test_path={path}", "data.split.train=20",
        "data.split.validation=10", "trainer.accelerator=cpu", "model.channels=4", "model.layers=2",
    ]  # fmt: skip
    given = common._compose("config", [*overrides, "task.epochs=1", "task.every=1"])
    with open_dict(given):
        given.name, given.run_dir = "test", str(tmp_path / "run")
    assert (given.task.batch_size, given.task.learning_rate, given.data.split.by) == (5, 0.004, "random")
    potential(given, tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert np.isfinite(metrics["test/force_mae"])
    assert metrics["train/frames"] == 20


def test_rmd17_needs_its_files(tmp_path):
    from potential import load

    with pytest.raises(FileNotFoundError, match=r"rmd17_ethanol_train_01\.npz"):
        load(common._compose("config", ["experiment=rmd17"]))
