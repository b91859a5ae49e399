"""The commands on structures with properties, on pairs of atoms, and on molecules without data."""

import json

import ase.io
import common
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from omegaconf import OmegaConf, open_dict

import sciml
from sciml.training.errors import RunError
from sciml.training.run import save_config

NAMES = ("CH4", "NH3", "H2O", "C2H2", "HCN", "H2CO", "CH3OH", "C2H6")
SIZES = ["model.channels=8", "model.layers=1", "model.radial=4", "model.cutoff=3.0"]


def config(run_dir, *overrides):
    found = common._compose("config", list(overrides))
    with open_dict(found):
        found.name, found.run_dir = "test", str(run_dir)
    return found


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("structures") / "some.extxyz"
    for i in range(32):
        atoms = molecule(NAMES[i % 8])
        atoms.rattle(0.03, seed=i)
        atoms.info["size"] = float(len(atoms)) + 0.01 * i
        ase.io.write(path, atoms, append=True)
    return path


def test_pretraining_then_properties(file, tmp_path, capsys):
    """Two commands, one option between them; the table says how good composition alone is."""
    from structures import pretraining, structures

    common_ = [f"data.path={file}", "data.split.train=20", "data.split.validation=6", "task.epochs=2", *SIZES]
    store = f"data.store={tmp_path}"
    pretraining(config(tmp_path / "a", "experiment=pretraining", *common_, f"{store}/s1"), tmp_path / "a")
    assert json.loads((tmp_path / "a" / "metrics.json").read_text())["train/structures"] == 20
    options = ["data.targets={size: sum}", "data.units=[atoms]", f"task.pretrained={tmp_path / 'a'}"]
    structures(config(tmp_path / "b", "experiment=qm9", *common_, f"{store}/s2", *options), tmp_path / "b")
    metrics = json.loads((tmp_path / "b" / "metrics.json").read_text())
    assert metrics["baseline/composition/size_mae"] < metrics["baseline/mean/size_mae"]
    assert metrics["units"]["test/size_mae"] == "atoms"
    assert "composition" in capsys.readouterr().out
    table = sciml.load_run(tmp_path / "b").predict([molecule("CH4")])
    assert table["formula"].tolist() == ["CH4"]
    assert table["size"][0] == pytest.approx(5, abs=2)


def test_targets_that_there_are_not(file, tmp_path):
    from structures import structures

    with pytest.raises(RunError, match=r"data.targets=\['colour'\]: expected"):
        structures(config(tmp_path, "experiment=qm9", "data.targets=[colour]"), tmp_path)
    with pytest.raises(RunError, match="QM9 has its own"):
        structures(config(tmp_path, "experiment=qm9", "data.units=[eV]"), tmp_path)
    for wrong in ("[]", "{a: median}"):
        with pytest.raises(RunError, match="how each is read out"):
            structures(
                config(tmp_path, "experiment=qm9", f"data.path={file}", f"data.targets={wrong}"), tmp_path
            )


def test_a_law_of_pairs_from_a_file(tmp_path, capsys):
    from pair_law import pair_law

    rng = np.random.default_rng(0)
    for _ in range(10):
        atoms = bulk("Ar", cubic=True, a=5.4).repeat(2)
        atoms.positions += rng.normal(0, 0.16, (len(atoms), 3))
        atoms.calc = LennardJones(sigma=3.4, epsilon=0.0104, rc=5.5)
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        ase.io.write(tmp_path / "ar.extxyz", atoms, append=True)
    options = [f"data.path={tmp_path / 'ar.extxyz'}", "task.cutoff=5.5", "task.seconds=1"]
    pair_law(config(tmp_path / "run", "experiment=pair_law", *options), tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test/force_variance_explained"] > 0.99999
    out = capsys.readouterr().out
    assert "Ar-Ar (Lennard-Jones)" in out
    assert "verdict: law" in out
    assert {p.name for p in (tmp_path / "run").iterdir()} >= {"report.html", "report.json", "law.json"}


@pytest.mark.slow
def test_a_potential_that_knows_more_than_pairs(tmp_path):
    """A run of a potential goes to laws of pairs; that there is none is said with status 3."""
    import pair_law
    from potential import potential

    run = tmp_path / "run"
    settings = config(run, "experiment=ethanol", "task.epochs=1", "model.channels=8", "model.layers=1",
                      "data.split.train=40", "data.split.validation=10")  # fmt: skip
    potential(settings, run)
    save_config(run, settings)
    with pytest.raises(SystemExit) as ended:
        pair_law.distill_potential(
            run, OmegaConf.create({"distill": {"seconds": 0.5, "backend": "structured"}, "seed": 0})
        )
    assert ended.value.code == 3
    report = json.loads((run / "report.json").read_text())
    assert report["verdict"] == "none"
    assert report["explained"]["network"] is not None


def test_what_simulate_says_of_molecules(tmp_path):
    from simulations import simulated

    settings = common._compose("simulate", [f"output={tmp_path}/a.extxyz", 'molecule="C("'])
    with pytest.raises(ValueError, match="no such file, and as SMILES"):
        simulated(settings)
    assert not list(tmp_path.iterdir())
