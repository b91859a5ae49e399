"""Messages to scalars: the gauge of free messages, errors, and what was not learned."""

import dataclasses

import numpy as np
import pytest
import torch

from sciml.datasets import simulated
from sciml.distill import estimate_errors, informative, record, reduce
from sciml.distill.record import MessageTable
from sciml.distill.reduce import NothingLearnedError
from sciml.models import InteractionNetwork
from sciml.training.dynamics import dynamics_data, initialize

RNG = np.random.default_rng(0)


def table(message, direction, **more):
    count = len(message)
    labels = {name: RNG.integers(0, 4, count) for name in ("sender", "receiver")}
    return MessageTable(
        {"r": RNG.uniform(0.5, 2, count)},
        message,
        direction,
        **labels,
        frame=np.zeros(count, int),
        units={},
        **more,
    )


def directions(count, dim):
    vectors = RNG.normal(size=(count, dim))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("dim", [2, 3])
def test_messages_along_the_line_keep_their_scalar(dim):
    n, f = directions(200, dim), RNG.normal(size=200)
    assert np.allclose(reduce(table(f[:, None] * n, n)).y, f)


@pytest.mark.parametrize(("dim", "channels"), [(2, 2), (2, 5), (3, 3), (3, 8)])
def test_free_messages_are_turned_back_up_to_scale(dim, channels):
    n, f = directions(600, dim), RNG.uniform(-2, -0.5, size=600)
    mixing, offset = RNG.normal(size=(dim, channels)), RNG.normal(size=channels)
    found = reduce(table((f[:, None] * n) @ mixing + offset, n)).y
    assert abs(np.corrcoef(found, f)[0, 1]) > 0.99


def test_messages_with_too_few_channels_or_no_direction_are_refused():
    n = directions(50, 3)
    with pytest.raises(ValueError, match="3 dimensions"):
        reduce(table(n[:, :2], n))
    with pytest.raises(ValueError, match="message_inputs"):
        reduce(table(n, np.zeros((50, 0))))
    with pytest.raises(ValueError, match="reduce them"):
        _ = table(n, n).y


def test_errors_are_those_of_the_better_known_end():
    data = dynamics_data(
        simulated("gravity", particles=3, simulations=1, times=150, dt=0.005, seed=3), frames=20
    )
    torch.manual_seed(0)
    model = InteractionNetwork(hidden=["mass"], hidden_sizes=(4,), **data.arguments)
    initialize(model, data)
    messages = estimate_errors(reduce(record(model, data.train)), model, data.held_out)
    predicted = model(data.held_out).nodes
    wrong = (predicted["acceleration"] - data.held_out.nodes["acceleration"]) * predicted["mass"][:, None]
    of = wrong.detach().square().sum(-1).reshape(-1, 3).mean(0).sqrt().numpy()
    assert np.allclose(messages.error, np.minimum(of[messages.sender], of[messages.receiver]))
    with pytest.raises(NothingLearnedError, match="not learned"):
        informative(messages, relative_error=1e-9)
    with pytest.raises(ValueError, match="estimate_errors"):
        informative(dataclasses.replace(messages, error=None))


def test_errors_follow_the_residuals_of_the_recorded_frames():
    """A network that fails in one frame only: its messages there count less, the others no more than luck."""
    source = simulated("spring", particles=3, given=("mass",), simulations=1, times=60, dt=0.01)
    data = dynamics_data(source, frames=20)
    torch.manual_seed(0)
    model = InteractionNetwork(hidden_sizes=(4,), output="linear", third_law=False, **data.arguments)
    initialize(model, data)
    with torch.no_grad():
        exact = model(data.train).nodes
        off = (data.train.node_graph == 3)[:, None] * torch.tensor([5.0, 0.0], dtype=torch.float64)
        graphs = data.train.with_nodes(acceleration=exact["acceleration"] + off)
    usual = estimate_errors(reduce(record(model, graphs)), model, data.held_out)
    local = estimate_errors(reduce(record(model, graphs)), model, data.held_out, graphs)
    bad = local.frame == 3
    mass = graphs.nodes["mass"][graphs.receiver].numpy()
    np.testing.assert_allclose(local.error[bad], 5.0 * mass[bad])
    np.testing.assert_allclose(local.error[~bad], 0.3 * usual.error[~bad])


def test_only_what_is_known_is_searched_and_weighs_by_its_error():
    n, f = directions(100, 2), np.full(100, -2.0)
    error = np.where(np.arange(100) < 40, 0.02, 5.0)
    whole = dataclasses.replace(
        reduce(table(f[:, None] * n, n)), error=error, sender=np.arange(100), receiver=np.zeros(100, int)
    )
    kept = informative(whole)
    assert len(kept) == 40
    assert np.allclose(kept.problem(floor=0.0).weights, 1 / 0.02**2)


def test_recording_needs_messages_and_one_layer():
    with pytest.raises(ValueError, match="no MessagePassing layer"):
        record(torch.nn.Linear(1, 1), None)
    data = dynamics_data(simulated("gravity", simulations=1, times=60, dt=0.005), frames=4)
    model = InteractionNetwork(hidden=["mass"], **data.arguments).double()
    with pytest.raises(ValueError, match="force"):
        record(model, data.train, layer="other")
