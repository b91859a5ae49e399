"""Particles that remember: charges that leak, as a network of formulas knows them, and without a memory."""

import numpy as np
import pytest
import torch

from sciml.datasets.trajectories import Trajectories
from sciml.distill.expression import parse
from sciml.distill.memory import fit_memory
from sciml.distill.torch_code import keyword_function
from sciml.models import MemoryNetwork
from sciml.training.gauss_newton import MemoryJacobian, field_jacobian, jacobian_by_columns
from sciml.training.memory import memory_data

RATE = 0.6


def leaking(simulations=6, times=8, particles=3, dt=0.15, steps=10, seed=0):
    """Charges that fall off as exp(-RATE t), from given ones; Runge-Kutta."""
    rng = np.random.default_rng(seed)
    shape = (simulations, particles)
    charge = rng.choice([-1, 1], shape) * rng.uniform(0.5, 2, shape)
    mass = rng.uniform(0.5, 2, shape)
    angle = rng.uniform(0, 2 * np.pi, (simulations, 1)) + np.arange(particles) * 2 * np.pi / particles
    x = np.stack([np.cos(angle), np.sin(angle)], -1) * rng.uniform(0.8, 1.2, (*shape, 1))
    v = 0.3 * rng.normal(size=x.shape)

    def acceleration(x, t):
        q = charge * np.exp(-RATE * t)
        d = x[:, :, None] - x[:, None]
        pair = q[:, :, None] * q[:, None] / ((d**2).sum(-1) + np.eye(particles)) ** 1.5
        return (pair[..., None] * d).sum(2) / mass[..., None]

    saved, h = [], dt / steps
    for k in range(times * steps):
        t = k * h
        a = acceleration(x, t)
        if k % steps == 0:
            saved.append((x, v, a))
        b = acceleration(x + h / 2 * v, t + h / 2)
        c = acceleration(x + h / 2 * v + h * h / 4 * a, t + h / 2)
        d = acceleration(x + h * v + h * h / 2 * b, t + h)
        x, v = x + h * v + h * h / 6 * (a + b + c), v + h / 6 * (a + 2 * b + 2 * c + d)
    path, velocity, pull = (np.stack(part, axis=1) for part in zip(*saved, strict=True))
    return Trajectories(
        path,
        dt * np.arange(times),
        velocity,
        pull,
        {"mass": mass, "charge": charge},
        source="leaking charges",
    )


@pytest.fixture(scope="module")
def data():
    return memory_data(leaking(), train=0.7)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MemoryNetwork(
        2, times=8, given=["mass", "charge"], start="charge", hidden_sizes=(4,), output="signed"
    ).double()


def formulas(model, rate=RATE):
    function = lambda text: keyword_function(parse(text, ["r", "memory_i", "memory_j"]))
    return model.with_formulas(
        (function("memory_i*memory_j/r**2"), {}), (function(f"-{rate}*memory_i"), {})
    ).double()


def test_the_memory_is_integrated_along_the_path(data, model):
    exact = formulas(model)
    seen = exact.remember(data.train).nodes
    torch.testing.assert_close(
        seen["memory"], seen["charge"] * torch.exp(-RATE * seen["time"]), rtol=1e-5, atol=0
    )
    found = exact(data.train).nodes["acceleration"]
    torch.testing.assert_close(found, data.train.nodes["acceleration"], rtol=1e-4, atol=1e-5)


def test_it_starts_at_one_where_no_property_is_named(data):
    model = MemoryNetwork(2, times=8, given=["mass"]).double()
    with torch.no_grad():
        model.rate.network[-1].bias.fill_(1.0)
        first = model.remember(data.train).nodes
    assert (first["memory"][first["time"] == 0] == 1).all()
    assert (first["memory"][first["time"] > 0] != 1).all()


def test_what_a_particle_remembers_comes_from_its_past_alone(data, model):
    graph = data.train
    later = graph.nodes["time"] > 0.5
    other = torch.where(later, graph.nodes["charge"] + 1, graph.nodes["charge"])
    model.rate.properties = ("memory", "charge")
    torch.manual_seed(1)
    model.rate.network[0] = torch.nn.Linear(2, 8).double()
    model.rate.center, model.rate.spread = torch.zeros(2).double(), torch.ones(2).double()
    change = (
        model.remember(graph.with_nodes(None, charge=other)).nodes["memory"]
        - model.remember(graph).nodes["memory"]
    )
    assert (change[graph.nodes["time"] < 0.4] == 0).all()
    assert (change[graph.nodes["time"] > 0.8] != 0).all()


def test_the_jacobian_equals_the_general_one(data, model):
    model.fit_statistics(data.train)
    graph = data.train[:2]
    fast = field_jacobian(model, graph, "acceleration")
    assert isinstance(fast, MemoryJacobian)
    torch.testing.assert_close(fast(), jacobian_by_columns(model, graph, "acceleration"))


def test_force_and_rate_are_fitted_together_and_better_than_without_a_memory(data, model):
    variables = ["r", "memory_i", "memory_j"]
    force = parse("1.3*memory_i*memory_j/r**2", variables)
    found = fit_memory(model, force, parse("-0.2*memory_i", variables), data.train, data.held_out)
    assert {round(e.value, 4) for e in found.constants.values()} == {1.0, -RATE}
    assert found.held_out_error.max() < 1e-4
    without = fit_memory(model, force, parse("0", variables), data.train, data.held_out)
    assert without.held_out_error.min() > 0.2


def test_impossible_memories_are_refused():
    with pytest.raises(ValueError, match="at least two"):
        MemoryNetwork(2, times=1)
    with pytest.raises(ValueError, match="two simulations"):
        memory_data(leaking(simulations=1))
