"""Training of potentials: losses, averages, resuming, baselines, and dynamics with what was learned."""

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.md.nose_hoover_chain import NoseHooverChainNVT
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sciml.builders import atoms_graph
from sciml.datasets import Frames, potential_data, read_frames
from sciml.datasets.frames import shipped_ethanol
from sciml.datasets.potentials import fit_references, target_graph
from sciml.models import ContactNetwork, PaiNN, Prediction, SchNet
from sciml.physics import SciMLCalculator
from sciml.training.data import Batches
from sciml.training.potential import PotentialTraining, errors, train_potential
from sciml.training.potential_baselines import PairPotential, constant, disagreement
from sciml.training.run import load_checkpoint

SMALL = {"channels": 16, "layers": 2, "radial": 8, "cutoff": 4.0}


@pytest.fixture(scope="module")
def ethanol():
    return potential_data(read_frames(shipped_ethanol()), train=60, validation=20)


def network(data, kind=PaiNN, **options):
    torch.manual_seed(0)
    return kind(**SMALL | options, scale=data.scale, references=data.references)


@pytest.fixture(scope="module")
def trained(ethanol, tmp_path_factory):
    model = network(ethanol)
    directory = tmp_path_factory.mktemp("run")
    options = {"epochs": 20, "batch_size": 4, "learning_rate": 3e-3, "decay": 0.9, "seed": 0}
    return train_potential(model, *ethanol.graphs(model.cutoff), directory, **options), directory


# ------------------------------------------------------------------ the loss


def task(model, **options):
    return PotentialTraining(model, 10, 1e-3, 0.0, **options)


def test_the_loss_is_the_weighted_mean_of_squares(ethanol):
    model = network(ethanol)
    batch = ethanol.graphs(model.cutoff)[0][:5]
    predicted = model(batch)
    energy = (predicted.globals["energy"] - batch.globals["target_energy"]) / 9 / model.scale
    forces = (predicted.nodes["forces"] - batch.nodes["target_forces"]) / model.scale
    expected = 4.0 * energy.square().mean() + 0.5 * forces.square().mean()
    torch.testing.assert_close(task(model, energy_weight=4.0, forces_weight=0.5).loss(batch), expected)


def test_missing_targets_take_no_part(ethanol):
    model = network(ethanol)
    whole = ethanol.train.take(np.arange(4))
    forces = [whole.forces[0], None, whole.forces[2], None]
    energy = np.array([np.nan, whole.energy[1], whole.energy[2], whole.energy[3]])
    masked = target_graph(Frames(whole.atoms, energy, forces), model.cutoff, ethanol.references)
    full = target_graph(whole, model.cutoff, ethanol.references)
    only = lambda graph, energy, forces: task(model, energy_weight=energy, forces_weight=forces).loss(graph)
    torch.testing.assert_close(only(masked, 1.0, 0.0), only(full[[1, 2, 3]], 1.0, 0.0))
    torch.testing.assert_close(only(masked, 0.0, 1.0), only(full[[0, 2]], 0.0, 1.0))
    nothing = masked.with_nodes(None, has_forces=torch.zeros(36, dtype=torch.bool))
    assert only(nothing, 0.0, 1.0) == 0


def crystals(number, stressed=True):
    """Rocksalt of Lennard-Jones atoms, strained and shaken."""
    random, found = np.random.default_rng(0), []
    for _ in range(number):
        atoms = bulk("ArKr", "rocksalt", a=2.3, cubic=True)
        atoms.set_cell(atoms.cell @ (np.eye(3) + random.normal(scale=0.02, size=(3, 3))), scale_atoms=True)
        atoms.positions += random.normal(scale=0.03, size=(8, 3))
        atoms.calc = LennardJones(rc=2.0, smooth=True)
        found.append((atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False), atoms))
    energy, forces, stress, atoms = zip(*found)
    return Frames(list(atoms), np.array(energy), list(forces), stress=list(stress) if stressed else [])


def test_the_loss_of_stress_is_that_of_virials_per_atom():
    frames = crystals(4)
    frames = Frames(frames.atoms, frames.energy, frames.forces, stress=[*frames.stress[:3], None])
    data = potential_data(frames, frames, train=4, validation=0)
    model = network(data, SchNet).double()
    graph = data.graphs(model.cutoff)[0].to(torch.float64)
    predicted = model.predict(frames.atoms)
    wrong = [
        (p.stress - s) * a.get_volume() / 8 for p, s, a in zip(predicted, frames.stress[:3], frames.atoms)
    ]
    without, with_stress = (task(model, stress_weight=w).loss(graph).item() for w in (0.0, 2.0))
    assert with_stress - without == pytest.approx(2 * np.mean(np.square(wrong)) / model.scale**2, rel=1e-5)


def test_training_on_stress_makes_it_right():
    frames = crystals(16)
    data = potential_data(frames, train=12, validation=0)
    found = {}
    for weight in (0.0, 1.0):
        model = network(data, SchNet, layers=1, cutoff=2.0)
        batch = data.graphs(2.0)[0]
        losses = task(model, energy_weight=0.0, forces_weight=1e-3, stress_weight=weight)
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        for _ in range(60):
            optimizer.zero_grad()
            losses.loss(batch).backward()
            optimizer.step()
        found[weight] = errors(data.test, model.predict(data.test.atoms))["stress_mae"]
    nothing = errors(data.test, constant(data.test, data.references))["stress_mae"]
    assert found[1.0] < 0.4 * nothing
    assert found[1.0] < 0.5 * found[0.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"energy_weight": 0.0, "forces_weight": 0.0}, "not both 0"),
        ({"stress_weight": -1.0}, "0 or more"),
        ({"schedule": "staircase"}, "cosine, linear, constant"),
        ({"late_from": 1.5}, "between 0 and 1"),
        ({"decay": 1.0}, "less than 1"),
    ],
)
def test_bad_options(ethanol, options, message):
    with pytest.raises(ValueError, match=message):
        task(network(ethanol), **options)


def test_energies_may_count_more_in_the_end(ethanol):
    batch = ethanol.graphs(4.0)[0][:5]
    early = task(network(ethanol), energy_weight=1.0, forces_weight=0.0).loss(batch)
    late = task(network(ethanol), energy_weight=1.0, forces_weight=0.0, late_energy_weight=7.0)
    late.progress = lambda step: 0.74
    torch.testing.assert_close(late.loss(batch), early)
    late.progress = lambda step: 0.75
    torch.testing.assert_close(late.loss(batch), 7 * early)
    late.validation_step(batch, 0)  # of all epochs alike
    torch.testing.assert_close(late._validated()[0], 7 * early.detach())


@pytest.mark.parametrize(("schedule", "expected"), [("cosine", 0.5), ("linear", 0.5), ("constant", 1.0)])
def test_learning_rates(ethanol, schedule, expected):
    found = PotentialTraining(network(ethanol, SchNet), 1000, 1e-3, 0.0, schedule=schedule)
    assert found.rate(0) == pytest.approx(1 / 100)
    assert found.rate(500) == pytest.approx(expected)
    assert found.rate(1000) == (1.0 if schedule == "constant" else 0.0)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=30), st.integers(1, 200), st.integers(0, 99))
@example([1, 1, 6], 10, 0)  # all edges come first, and fill batches exactly
def test_batches_by_edges_have_about_so_many(sizes, edges, seed):
    graph = atoms_graph([Atoms(f"Ar{n}", np.arange(3 * n).reshape(n, 3) / 3) for n in sizes], 3.0)
    parts = list(Batches(graph, 8, seed, edges))
    assert sorted(n for part in parts for n in part.node_counts.tolist()) == sorted(sizes)
    largest = int(graph.edge_counts.max())
    assert all(part.num_edges < edges + max(largest, 1) for part in parts)
    assert len(parts) <= len(Batches(graph, 8, seed, edges))
    again = list(Batches(graph, 8, seed, edges))
    assert [p.node_counts.tolist() for p in parts] == [p.node_counts.tolist() for p in again]


@pytest.mark.parametrize(("size", "edges"), [(0, None), (-3, None), (8, 0)])
def test_batches_of_nothing_are_refused(size, edges):
    with pytest.raises(ValueError, match="expected 1 or more"):
        Batches(atoms_graph([Atoms("Ar")], 3.0), size, edges=edges)


def test_lonely_atoms_and_pairs_out_of_reach_train_without_nan(ethanol):
    """Frames without a single edge, and with edges for some atoms only."""
    atoms = [
        Atoms("O"),
        Atoms("CH", [[0, 0, 0], [90, 0, 0]]),
        Atoms("CHO", [[0, 0, 0], [1, 0, 0], [50, 0, 0]]),
    ]
    frames = Frames(atoms, np.zeros(3), [np.zeros((len(a), 3)) for a in atoms])
    for kind in (SchNet, PaiNN):
        model = kind(**SMALL, references={"H": 0.0, "C": 0.0, "O": 0.0})
        graph = target_graph(frames, 4.0, {"H": 0.0, "C": 0.0, "O": 0.0})
        for part in (graph, graph[[0]], graph[[1]]):
            loss = task(model).loss(part)
            loss.backward()
            assert torch.isfinite(loss)
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_coincident_atoms_are_named_with_their_file(ethanol):
    atoms = [Atoms("CO", [[0, 0, 0], [0, 0, 1]]), Atoms("CO", [[0, 0, 0], [0, 0, 0]])]
    frames = Frames(atoms, np.zeros(2), [None, None], "some.extxyz").take(np.array([0, 1, 0])[::-1])
    with pytest.raises(ValueError, match=r"some.extxyz, frame 1 \(CO\): atoms 0 .* stand at one place"):
        target_graph(frames, 4.0, {"C": 0.0, "O": 0.0})


# ------------------------------------------------------------------ training


def test_training_beats_what_it_is_compared_with(ethanol, trained):
    model, _ = trained
    ours = errors(ethanol.test, model.predict(ethanol.test.atoms))
    pairs = PairPotential(model.cutoff, ethanol.references).fit(ethanol.train)
    theirs = errors(ethanol.test, pairs.predict(ethanol.test))
    nothing = errors(ethanol.test, constant(ethanol.test, ethanol.references))
    assert ours["force_mae"] < theirs["force_mae"] < nothing["force_mae"]
    assert ours["energy_mae"] < nothing["energy_mae"]


def test_the_checkpoint_holds_the_best_average_as_the_model(trained):
    model, directory = trained
    state = load_checkpoint(directory / "checkpoints" / "last.ckpt")["state_dict"]
    for name, value in model.state_dict().items():
        assert torch.equal(state[f"model.{name}"], value)
        assert torch.equal(state[f"best.{name}"], value)
    assert any(not torch.equal(state[f"trained.{n}"], state[f"model.{n}"]) for n in model.state_dict())


def test_the_average_is_a_moving_average(ethanol, tmp_path):
    """Against the sum that defines it, from the weights after each of six steps."""
    model, seen = network(ethanol, SchNet), []
    graphs = ethanol.graphs(model.cutoff)
    original = PotentialTraining.on_train_batch_end

    def spy(self, *arguments):
        seen.append((self.global_step, self.model.readout[2].bias.detach().clone()))
        original(self, *arguments)
        seen[-1] += (self.average.readout[2].bias.clone(),)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PotentialTraining, "on_train_batch_end", spy)
        train_potential(model, graphs[0][:12], graphs[1], tmp_path, epochs=2, batch_size=4, decay=0.2)
    expected = network(ethanol, SchNet).readout[2].bias
    for step, weight, average in seen:
        decay = min(0.2, step / (step + 9))  # the average is shorter at first
        expected = decay * expected + (1 - decay) * weight
        torch.testing.assert_close(average, expected, atol=1e-6, rtol=1e-5)
    assert [s[0] for s in seen] == [1, 2, 3, 4, 5, 6]


def test_an_interrupted_training_resumes_to_the_same_numbers(ethanol, tmp_path):
    graphs = ethanol.graphs(SMALL["cutoff"])

    def run(path, *stops):
        for stop in stops:
            original = PotentialTraining.on_train_epoch_start

            def start(self, stop=stop, original=original):
                original(self)
                if self.current_epoch == stop:
                    raise KeyboardInterrupt

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(PotentialTraining, "on_train_epoch_start", start)
                try:
                    train_potential(network(ethanol), graphs[0][:16], graphs[1], path, epochs=4, batch_size=8)
                except (KeyboardInterrupt, SystemExit):
                    assert stop is not None
        return load_checkpoint(path / "checkpoints" / "last.ckpt")["state_dict"]

    whole, resumed = run(tmp_path / "a", None), run(tmp_path / "b", 2, None)
    tables = [(tmp_path / name / "metrics.csv").read_text() for name in "ab"]
    assert tables[0] == tables[1]
    assert tables[0].count("\n") == 1 + 2 * 4  # two rows for each epoch
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_what_was_learned_since_the_last_validation_counts(ethanol, tmp_path):
    """As where time ends within an epoch: here nothing is validated before the end."""
    model = network(ethanol)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    graphs = ethanol.graphs(model.cutoff)
    found = train_potential(model, graphs[0][:16], graphs[1], tmp_path, epochs=2, batch_size=8, every=3)
    state = load_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["state_dict"]
    assert torch.isfinite(state["lowest"])
    assert all(torch.equal(state[f"model.{n}"], v) for n, v in found.state_dict().items())
    assert any(not torch.equal(before[n], v) for n, v in found.state_dict().items())


def test_training_ends_where_nothing_gets_better(ethanol, tmp_path):
    model = network(ethanol, SchNet)
    graphs = ethanol.graphs(model.cutoff)
    options = {"epochs": 50, "batch_size": 20, "learning_rate": 0.0, "patience": 3}
    train_potential(model, graphs[0][:20], graphs[1], tmp_path, **options)
    assert load_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["epoch"] == 4  # the first and three more


def test_energies_alone_are_enough_to_train(ethanol, tmp_path):
    frames = Frames(ethanol.train.atoms, ethanol.train.energy, [None] * 60)
    data = potential_data(frames, ethanol.test, train=40, validation=0)
    model = network(data)
    model = train_potential(
        model, *data.graphs(model.cutoff), tmp_path, epochs=150, batch_size=40, learning_rate=5e-3
    )
    seen = errors(data.train, model.predict(data.train.atoms))
    assert "force_mae" not in seen
    assert seen["energy_mae"] < 0.8 * errors(data.train, constant(data.train, data.references))["energy_mae"]


# ------------------------------------------------------------------ judgement


def test_errors_by_hand():
    atoms = [Atoms("H2", [[0, 0, 0], [0, 0, 1]]), Atoms("H")]
    frames = Frames(atoms, np.array([1.0, 2.0]), [np.zeros((2, 3)), None])
    predicted = [Prediction(1.001, np.full((2, 3), 0.002), None), Prediction(1.997, np.ones((1, 3)), None)]
    assert errors(frames, predicted) == pytest.approx(
        {
            "energy_mae": 2.0,
            "energy_rmse": np.sqrt(5.0),
            "energy_mae_per_atom": 1.75,
            "force_mae": 2.0,
            "force_rmse": 2.0,
        }
    )
    box = Atoms("H", cell=[2, 2, 2], pbc=True)
    stressed = Frames([box], np.zeros(1), [None], stress=[np.diag([0.001, 0.001, 0.002])])
    found = errors(stressed, [Prediction(0.0, np.zeros((1, 3)), np.diag([0.004, 0.001, 0.002]))])
    assert (found["stress_mae"], found["stress_rmse"]) == pytest.approx((1 / 3, 1.0))
    assert "stress_mae" not in errors(stressed, [Prediction(0.0, np.zeros((1, 3)), None)])


def lennard_jones(number, seed):
    random, frames = np.random.default_rng(seed), []
    grid = 1.15 * np.argwhere(np.ones((2, 2, 2)))
    for _ in range(number):
        atoms = Atoms("Ar4Kr4", positions=grid + random.normal(scale=0.08, size=(8, 3)))
        atoms.calc = LennardJones(rc=2.5, smooth=True)
        frames.append((atoms, atoms.get_potential_energy(), atoms.get_forces()))
    atoms, energy, forces = zip(*frames)
    return Frames(list(atoms), np.array(energy), list(forces))


def test_the_sum_over_pairs_is_right_where_pairs_are_all_there_is():
    data = potential_data(lennard_jones(60, 0), lennard_jones(20, 1), train=60, validation=0)
    pairs = PairPotential(3.0, data.references).fit(data.train)
    ours = errors(data.test, pairs.predict(data.test))
    nothing = errors(data.test, constant(data.test, data.references))
    assert ours["force_mae"] < 0.02 * nothing["force_mae"]
    assert ours["energy_mae"] < 0.02 * nothing["energy_mae"]


# ------------------------------------------------------------------ use


@pytest.mark.parametrize(
    ("energy", "forces", "message"),
    [
        (1.0, 1.0, None),
        (0.0367, 0.0367, None),  # one wrong unit for both is seen in their spread
        (1.0, -1.0, "gradients, with the other sign"),
        (23.06, 1.0, "units of one energy"),
        (1.0, 23.06, "units of one energy"),
    ],
)
def test_energies_and_forces_that_do_not_belong_together_are_seen(ethanol, energy, forces, message):
    frames = ethanol.train
    changed = Frames(frames.atoms, energy * frames.energy, [forces * f for f in frames.forces])
    found = disagreement(changed, 4.0, fit_references(changed))
    assert found is None if message is None else message in found


def test_nothing_is_said_of_what_cannot_be_compared(ethanol):
    some, references = ethanol.train.take(np.arange(20)), ethanol.references
    lonely = Frames([Atoms("C")] * 20, np.linspace(0, 1, 20), [np.zeros((1, 3))] * 20)
    for frames in (
        Frames(some.atoms, some.energy, [None] * 20),
        Frames(some.atoms, np.full(20, np.nan), some.forces),
        some.take(np.arange(3)),
        lonely,
    ):
        assert disagreement(frames, 4.0, references) is None


def start(data, temperature=300):
    atoms = data.test.atoms[0].copy()
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature, rng=np.random.default_rng(0))
    return atoms


def test_the_calculator_is_the_model_and_its_kept_list_changes_nothing(ethanol, trained):
    model, _ = trained
    atoms, double = start(ethanol), model.double()
    atoms.calc = SciMLCalculator(double, skin=0.5)
    dynamics = VelocityVerlet(atoms, 0.5 * units.fs)
    for _ in range(5):
        dynamics.run(4)
        fresh = double.predict(atoms.copy())
        assert atoms.get_potential_energy() == pytest.approx(fresh.energy, abs=1e-9)
        np.testing.assert_allclose(atoms.get_forces(), fresh.forces, atol=1e-9)
    assert atoms.calc.neighbours.built < 10


def test_dynamics_keep_the_energy_and_the_error_goes_with_the_square_of_the_step(ethanol, trained):
    model, _ = trained
    swing = {}
    for step, number in ((0.5, 200), (0.25, 400)):
        atoms = start(ethanol)
        atoms.calc = SciMLCalculator(model)
        energies = [atoms.get_total_energy()]
        dynamics = VelocityVerlet(atoms, step * units.fs)
        dynamics.attach(lambda a=atoms, e=energies: e.append(a.get_total_energy()), interval=number // 40)
        dynamics.run(number)
        swing[step] = np.ptp(energies)
        drift = np.polyfit(np.linspace(0, 1, len(energies)), energies, 1)[0]
        assert abs(drift) < 1e-3 * len(atoms)
    assert swing[0.5] / swing[0.25] > 2.5  # Verlet is of second order; forces of another energy would not be


def test_forces_of_another_energy_are_seen_in_the_dynamics(ethanol, trained):
    atoms = start(ethanol)
    atoms.calc = SciMLCalculator(trained[0])
    right = atoms.calc.calculate

    def wrong(*arguments, **options):
        right(*arguments, **options)
        atoms.calc.results["forces"] = 1.1 * atoms.calc.results["forces"]

    atoms.calc.calculate = wrong
    before = atoms.get_total_energy()
    VelocityVerlet(atoms, 0.5 * units.fs).run(20)
    assert abs(atoms.get_total_energy() - before) > 1e-3


def test_relaxation_finds_a_minimum_of_the_energy(ethanol, trained):
    atoms = ethanol.test.atoms[3].copy()
    atoms.calc = SciMLCalculator(trained[0])
    before = atoms.get_potential_energy()
    assert BFGS(atoms, logfile=None).run(fmax=0.02, steps=200)
    assert atoms.get_potential_energy() < before


def test_a_thermostat_exchanges_energy_and_keeps_what_it_should(ethanol, trained):
    """Nosé-Hoover chains have an energy of molecule and thermostat together, which is conserved."""
    atoms = start(ethanol, 600)
    atoms.calc = SciMLCalculator(trained[0])
    dynamics = NoseHooverChainNVT(atoms, 0.5 * units.fs, temperature_K=300, tdamp=10 * units.fs)
    whole, own = [], []
    dynamics.attach(lambda: whole.append(dynamics.get_conserved_energy()), interval=4)
    dynamics.attach(lambda: own.append(atoms.get_total_energy()), interval=4)
    dynamics.run(100)
    assert np.ptp(own) > 0.1
    assert np.ptp(whole) < 0.05 * np.ptp(own)


def test_stress_reaches_ase(ethanol, trained):
    model = trained[0]
    atoms = ethanol.test.atoms[0].copy()
    atoms.set_cell([6.0, 6.5, 7.0])
    atoms.pbc = True
    atoms.calc = SciMLCalculator(model)
    expected = model.double().predict(atoms.copy()).stress
    np.testing.assert_allclose(atoms.get_stress(voigt=False), expected, atol=1e-10)


def test_the_calculator_refuses_what_it_cannot_do(ethanol, trained):
    with pytest.raises(TypeError, match="a calculator needs a Potential"):
        SciMLCalculator(ContactNetwork(3))
    atoms = Atoms("FH", [[0, 0, 0], [0, 0, 1]])
    atoms.calc = SciMLCalculator(trained[0])
    with pytest.raises(ValueError, match="Atom 0 of HF is F"):
        atoms.get_potential_energy()
    assert atoms_graph(atoms, 4.0).num_edges == 2
