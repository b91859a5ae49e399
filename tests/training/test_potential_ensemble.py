"""Ensembles of potentials: means, spreads that do not turn, intervals that hold their promise."""

import warnings
from datetime import timedelta

import numpy as np
import pytest
import torch
from ase import Atoms

from sciml.builders import atoms_graph
from sciml.datasets import Frames, potential_data, read_frames
from sciml.datasets.frames import shipped_ethanol
from sciml.models import PaiNN, PotentialEnsemble, Prediction, SchNet
from sciml.physics import SciMLCalculator
from sciml.training.errors import RunError
from sciml.training.potential import train_potential
from sciml.training.potential_ensemble import calibrate, duration, judge_uncertainty, train_ensemble
from sciml.training.run import build, load_checkpoint

SMALL = {"channels": 8, "layers": 1, "radial": 6, "cutoff": 3.0, "references": {"O": -2040.0, "H": -13.6}}


def ensemble(members=3, coverage=0.9, kind=SchNet, **options):
    torch.manual_seed(0)
    made = [kind(**SMALL | options) for _ in range(members)]
    return PotentialEnsemble(made, coverage).double().eval()


def water(number, seed=0):
    random = np.random.default_rng(seed)
    at_rest = np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    return [Atoms("OH2", at_rest + random.normal(scale=0.15, size=(3, 3))) for _ in range(number)]


def with_errors(model, atoms, seed, scale=1.0):
    """Frames whose truth is a model's prediction, with errors as large as its members are apart."""
    random, found = np.random.default_rng(seed), model.predict(atoms)
    energy = [p.energy + scale * p.energy_std * random.normal() for p in found]
    forces = [p.forces + scale * p.forces_std[:, None] * random.normal(size=(3, 3)) for p in found]
    return Frames(atoms, np.array(energy), forces)


def test_an_ensemble_is_the_mean_of_its_members():
    model, (atoms,) = ensemble(), water(1)
    alone = [member.predict(atoms) for member in model.members]
    found = model.predict(atoms)
    assert found.energy == pytest.approx(np.mean([p.energy for p in alone]), abs=1e-10)
    np.testing.assert_allclose(found.forces, np.mean([p.forces for p in alone], axis=0), atol=1e-12)
    assert found.energy_std == pytest.approx(np.std([p.energy for p in alone], ddof=1), abs=1e-10)
    by_hand = np.var([p.forces for p in alone], axis=0, ddof=1).mean(-1) ** 0.5
    np.testing.assert_allclose(found.forces_std, by_hand, atol=1e-12)
    assert found.energy_half_width == np.inf  # not calibrated: no promise


def test_spreads_do_not_turn_with_the_structure():
    model, (atoms,) = ensemble(kind=PaiNN), water(1)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    one, other = model.predict(atoms), model.predict(Atoms(atoms.symbols, atoms.positions @ turn.T))
    np.testing.assert_allclose(other.forces_std, one.forces_std, rtol=1e-9)
    assert other.energy_std == pytest.approx(one.energy_std, rel=1e-9)
    assert one.forces_std.min() > 1e-4


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_intervals_hold_what_they_promise(coverage):
    model = ensemble(coverage=coverage)
    calibrate(model, with_errors(model, water(300, 1), 2, scale=3.0))
    kept = with_errors(model, water(300, 3), 4, scale=3.0)
    found = judge_uncertainty(kept, model.predict(kept.atoms))
    assert found["energy_coverage"] == pytest.approx(coverage, abs=0.09)  # 3 sigma of 300 and 300
    assert found["force_coverage"] == pytest.approx(coverage, abs=0.03)
    assert found["force_spread_rank_correlation"] > 0.3
    wrong = with_errors(model, water(100, 5), 6, scale=9.0)  # three times the errors of calibration
    assert judge_uncertainty(wrong, model.predict(wrong.atoms))["force_coverage"] < coverage - 0.1


def test_missing_energies_and_forces_take_no_part():
    model = ensemble()
    whole = with_errors(model, water(40), 0)
    some = [f if i % 2 else None for i, f in enumerate(whole.forces)]
    energy = np.where(np.arange(40) % 2, np.nan, whole.energy)
    calibrate(model, Frames(whole.atoms, energy, some))
    assert torch.isfinite(model.energy_factor)
    assert torch.isfinite(model.forces_factor)
    no_forces = Frames(whole.atoms, whole.energy, [None] * 40)
    assert "force_coverage" not in judge_uncertainty(no_forces, model.predict(whole.atoms))
    calibrate(model, no_forces)
    assert torch.isinf(model.forces_factor)


def test_the_calculator_shows_the_spread_and_warns_once_of_what_is_far_from_training():
    model = ensemble()
    calibrate(model, with_errors(model, water(20), 0))
    (atoms,) = water(1)
    atoms.calc = SciMLCalculator(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atoms.get_forces()
    found = model.predict(atoms)
    assert atoms.calc.results["energy_std"] == pytest.approx(found.energy_std, rel=1e-9)
    np.testing.assert_allclose(atoms.calc.results["forces_std"], found.forces_std, rtol=1e-9)
    model.largest.mul_(1e-3)  # as if calibration had seen less
    atoms.rattle(0.01)
    with pytest.warns(UserWarning, match="disagree on the force on atom"):
        atoms.get_forces()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atoms.rattle(0.01)
        atoms.get_forces()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ensemble(1), "at least two"),
        (lambda: ensemble(coverage=1.0), "a share between"),
        (lambda: PotentialEnsemble([SchNet(cutoff=3.0), SchNet(cutoff=4.0)]), "another cutoff"),
        (lambda: PotentialEnsemble([SchNet(), SchNet(references={"H": 0.0})]), "other references"),
        (lambda: duration("20 minutes"), "DD:HH:MM:SS"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()
    assert duration("00:01:00:30") == timedelta(seconds=3630)


def test_a_member_may_name_no_foreign_code():
    config = {"_target_": "sciml.models.PotentialEnsemble", "members": [{"_target_": "os.system"}]}
    with pytest.raises(RunError, match=r"model\.members\[0\]: _target_ 'os.system'"):
        build(config, "model")


def test_members_are_trained_as_if_alone_and_go_on_where_they_were(tmp_path):
    data = potential_data(read_frames(shipped_ethanol()), train=12, validation=8)
    options = {"epochs": 2, "batch_size": 6, "learning_rate": 3e-3}

    def fresh():
        torch.manual_seed(0)
        make = {"scale": data.scale, "references": data.references}
        return PotentialEnsemble([SchNet(**SMALL | make) for _ in range(2)])

    graphs = data.graphs(3.0)
    model = train_ensemble(fresh(), *graphs, data.validation, tmp_path / "a", seed=5, **options)
    state = load_checkpoint(tmp_path / "a" / "checkpoints" / "last.ckpt")["state_dict"]
    second = train_potential(fresh().members[1], *graphs, tmp_path / "b", seed=6, **options)
    for name, value in second.state_dict().items():
        assert torch.equal(state[f"model.members.1.{name}"], value)
    again = train_ensemble(fresh(), *graphs, data.validation, tmp_path / "a", seed=5, **options)
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    assert torch.isfinite(model.forces_factor)
    assert isinstance(model.predict(data.test.atoms[0]), Prediction)
    assert model(atoms_graph(data.test.atoms[0], 3.0, dtype=torch.float32)).nodes["forces"].shape == (9, 3)
