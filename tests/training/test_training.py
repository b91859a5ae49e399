"""Losses, second-order steps and staged training."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from sciml.datasets import simulated
from sciml.models import InteractionNetwork
from sciml.training.dynamics import dynamics_data, initialize, train_dynamics
from sciml.training.gauss_newton import (
    FormulaJacobian,
    LeastSquares,
    PairJacobian,
    field_jacobian,
    jacobian_by_columns,
    trainable,
)
from sciml.training.levenberg_marquardt import LevenbergMarquardt, Linearization
from sciml.training.losses import LOSSES, log_angle, particle_weights, relative
from sciml.training.run import load_checkpoint
from sciml.training.stages import Stage, at_epoch, build
from sciml.training.task import DynamicsTask, NonFiniteLossError


@pytest.fixture(scope="module")
def data():
    return dynamics_data(
        simulated("gravity", particles=3, dim=2, simulations=1, times=200, dt=0.005, seed=3), frames=24
    )


@pytest.fixture
def model(data):
    torch.manual_seed(0)
    found = InteractionNetwork(hidden=["mass"], hidden_sizes=(6,), **data.arguments)
    initialize(found, data)
    return found


def formula(data, **arguments):
    model = InteractionNetwork(hidden=["mass"], **data.arguments, **arguments)
    initialize(model, data)
    fitted = model.with_formula(
        lambda r, m_i, m_j, c0, p_r: c0 * m_i * m_j * r**p_r, {"c0": -0.7, "p_r": -1.8}
    )
    for parameter in fitted.hidden.parameters():
        parameter.requires_grad_(True)
    return fitted.to(torch.float64)


def test_masses_start_from_momentum_and_close_it(data, model):
    true = torch.as_tensor(data.past.reference["mass"][0])
    assert torch.allclose(model.hidden.values("mass"), true / true.max(), rtol=1e-9)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"third_law": False},
        {"output": "linear"},
        {"output": "signed"},
        {"update": "force"},
        {"own_force": True},
        {"own_force": ["v_vec", "e_y", "x_vec", "v_turned"]},
        {"message": "potential", "output": "signed"},
        {"message": "vectors", "output": "signed", "vectors": ["r_hat", "r_turned"]},
        {"message": "vectors", "output": "linear", "third_law": False, "own_force": True},
    ],
)
def test_jacobian_of_radial_networks_equals_the_general_one(data, arguments):
    torch.manual_seed(1)
    model = InteractionNetwork(hidden=["mass"], hidden_sizes=(5,), **data.arguments, **arguments)
    initialize(model, data)
    graph = data.train[:4]
    fast = field_jacobian(model, graph, "acceleration")
    assert isinstance(fast, PairJacobian)
    torch.testing.assert_close(fast(), jacobian_by_columns(model, graph, "acceleration"))


def test_a_formula_beside_a_learned_drag_has_the_general_jacobian():
    source = simulated("damped", given=["mass"], simulations=1, times=60, dt=0.02)
    data = dynamics_data(source, frames=6)
    model = InteractionNetwork(own_force=True, hidden_sizes=(5,), **data.arguments)
    initialize(model, data)
    fitted = model.with_formula(lambda r, k, **masses: -k * (r - 1), {"k": 2.0}).to(torch.float64)
    fast = field_jacobian(fitted, data.train, "acceleration")
    assert isinstance(fast, FormulaJacobian)
    assert [name for name, p in fitted.named_parameters() if p.requires_grad] == ["force.scalar.constants.k"]
    torch.testing.assert_close(fast(), jacobian_by_columns(fitted, data.train, "acceleration"))


def test_huber_loss_counts_close_encounters_like_all_others():
    target = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1e6, 0.0]])
    near = torch.tensor([[1.01, 0.0], [0.0, 1.01], [1.01e6, 0.0]])
    parts = [float(LOSSES["huber"](near[k : k + 1], target[k : k + 1], None)) for k in range(3)]
    assert parts == pytest.approx([parts[0]] * 3, rel=1e-5)
    alone = float(LOSSES["huber"](torch.tensor([[3.0, 0.0]]), target[:1], None))
    double = float(LOSSES["huber"](torch.tensor([[5.0, 0.0]]), target[:1], None))
    assert double < 2.2 * alone  # linear far out, where squares would quadruple


@pytest.mark.parametrize("update", ["force_over_mass", "force"])
def test_jacobian_of_formulas_equals_the_general_one(data, update):
    model = formula(data, update=update)
    graph = data.train[:4]
    fast = field_jacobian(model, graph, "acceleration")
    assert isinstance(fast, FormulaJacobian)
    torch.testing.assert_close(fast(), jacobian_by_columns(model, graph, "acceleration"))


def test_jacobian_equals_finite_differences(data):
    model, graph, step = formula(data), data.train[:2], 1e-6
    jacobian = field_jacobian(model, graph, "acceleration")()
    column = 0
    for parameter in trainable(model).values():
        for k in range(parameter.numel()):
            values = []
            for sign in (1, -1):
                with torch.no_grad():
                    parameter.view(-1)[k] += sign * step
                    values.append(model(graph).nodes["acceleration"])
                    parameter.view(-1)[k] -= sign * step
            slope = (values[0] - values[1]) / (2 * step)
            torch.testing.assert_close(jacobian[..., column], slope, rtol=1e-6, atol=1e-7)
            column += 1


def test_levenberg_marquardt_solves_rosenbrock():
    x = torch.nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))

    def residual():
        return torch.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])

    def linearize():
        jacobian = torch.stack(
            [torch.stack([-20 * x[0], torch.tensor(10.0)]), torch.tensor([-1.0, 0.0])]
        ).double()
        r = residual()
        return Linearization(jacobian.T @ jacobian, jacobian.T @ r, r @ r)

    optimizer = LevenbergMarquardt([x])
    for _ in range(40):
        optimizer.step(closure=lambda: residual().square().sum(), linearize=linearize)
    torch.testing.assert_close(x.detach(), torch.ones(2, dtype=torch.float64))


def test_levenberg_marquardt_never_climbs_and_restores_a_step_that_fails():
    x = torch.nn.Parameter(torch.tensor([2.0]))
    wrong = Linearization(torch.eye(1), torch.tensor([-1.0]), torch.tensor(4.0))  # points uphill
    cost = LevenbergMarquardt([x], attempts=3).step(closure=lambda: x.square().sum(), linearize=lambda: wrong)
    assert cost == 4.0
    assert x.item() == 2.0


def test_least_squares_gradient_is_that_of_its_cost(data, model):
    graph = data.train[:5]
    problem = LeastSquares(model, graph, "acceleration", particle_weights(graph.nodes["acceleration"], graph))
    error = (model(graph).nodes["acceleration"] - graph.nodes["acceleration"]) * problem.weights[:, None]
    gradient = torch.autograd.grad(error.square().sum(), list(trainable(model).values()))
    flat = torch.cat([g.flatten() for g in gradient])
    torch.testing.assert_close(2 * problem.linearize().gradient, flat)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_vanish_only_at_the_target(data, name):
    target = data.train.nodes["acceleration"]
    assert LOSSES[name](target, target, data.train) == pytest.approx(0, abs=1e-12)
    assert LOSSES[name](1.1 * target, target, data.train) > 0


def test_relative_losses_do_not_depend_on_the_unit_of_each_particle(data):
    target = data.train.nodes["acceleration"]
    guess = target + 0.1 * torch.randn_like(target)
    scale = torch.tensor([1.0, 1e-6, 1e3])[data.train.nodes["particle"]][:, None].double()
    assert relative(guess * scale, target * scale, data.train) == pytest.approx(
        float(relative(guess, target, data.train))
    )
    assert log_angle(guess * scale, target * scale, data.train) == pytest.approx(
        float(log_angle(guess, target, data.train))
    )


def test_stages_follow_each_other():
    stages = [Stage(epochs=3), Stage("levenberg_marquardt", 2, None)]
    assert [at_epoch(stages, e) for e in range(6)] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizer": "adm"}, "adam"),
        ({"loss": "mae"}, "log_angle"),
        ({"epochs": -1}, "epochs"),
        ({"optimizer": "lbfgs", "batch_size": 8}, "batch_size to null"),
    ],
)
def test_wrong_stages_say_what_is_right(arguments, message):
    with pytest.raises(ValueError, match=message):
        Stage(**arguments)


def test_nothing_to_train_is_an_error():
    with pytest.raises(ValueError, match="no trainable"):
        build(Stage(), torch.nn.Identity())


STAGES = [
    {"optimizer": "adam", "epochs": 10, "batch_size": 8, "loss": "log_angle"},
    {"optimizer": "levenberg_marquardt", "epochs": 10, "batch_size": None, "reweight_after": 5},
]


def test_training_learns_and_an_interrupted_run_resumes_to_the_same_numbers(data, tmp_path):
    def train(where, stages):
        torch.manual_seed(0)
        model = InteractionNetwork(hidden=["mass"], hidden_sizes=(6,), **data.arguments)
        return train_dynamics(model, data, stages, tmp_path / where, seed=1), model

    metrics, whole = train("whole", STAGES)
    assert metrics["validation/relative_error"] < 0.2

    class StoppedError(Exception):
        pass

    original = DynamicsTask.training_step

    def stop(self, batch, index):
        if self.current_epoch == 17:
            raise StoppedError
        return original(self, batch, index)

    DynamicsTask.training_step = stop
    try:
        with pytest.raises(StoppedError):
            train("cut", STAGES)
    finally:
        DynamicsTask.training_step = original
    assert load_checkpoint(tmp_path / "cut/checkpoints/last.ckpt")["epoch"] < 17
    _, resumed = train("cut", STAGES)
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    lines = (tmp_path / "cut/metrics.csv").read_text().splitlines()
    assert len(lines) > 5


def test_lbfgs_is_an_option(data, tmp_path):
    torch.manual_seed(0)
    model = InteractionNetwork(hidden=["mass"], hidden_sizes=(6,), **data.arguments)
    stages = [
        {"optimizer": "adam", "epochs": 5, "loss": "log_angle"},
        {"optimizer": "lbfgs", "epochs": 4, "batch_size": None, "learning_rate": 1.0},
    ]
    assert train_dynamics(model, data, stages, tmp_path)["validation/relative_error"] < 0.5


def test_infinite_loss_stops_at_the_step_and_says_so(data, tmp_path):
    broken = dataclasses.replace(
        data, train=data.train.with_nodes(acceleration=data.train.nodes["acceleration"] * math.nan)
    )
    model = InteractionNetwork(hidden=["mass"], hidden_sizes=(6,), **data.arguments)
    with pytest.raises(NonFiniteLossError, match="epoch 0"):
        train_dynamics(model, broken, STAGES, tmp_path)


def test_masses_that_differ_between_simulations_are_refused_and_one_is_taken():
    masses = [[1.0, 0.5, 0.3], [0.4, 1.0, 0.2]]
    both = simulated("gravity", particles=3, simulations=2, times=100, dt=0.005, masses=masses, seed=1)
    with pytest.raises(ValueError, match=r"data\.split\.simulation=0"):
        dynamics_data(both)
    second = dynamics_data(both, simulation=1)
    assert np.allclose(second.closure.masses, masses[1])
    with pytest.raises(ValueError, match="there are 2"):
        dynamics_data(both, simulation=2)
    given = simulated(
        "gravity", given=["mass"], particles=3, simulations=2, times=100, dt=0.005, masses=masses, seed=1
    )
    assert np.allclose(dynamics_data(given, by="time").train.nodes["mass"].unique(), np.unique(masses))


def test_given_masses_are_not_hidden():
    given = dynamics_data(simulated("gravity", given=["mass"], simulations=1, times=60, dt=0.005))
    assert given.arguments["given"] == ["mass"]
    assert given.closure is None
