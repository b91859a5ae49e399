"""Free messages: what each regularizer does, and what must stay of the forces."""

import dataclasses

import numpy as np
import pytest
import torch

from sciml.builders import particle_graph
from sciml.distill import record, reduce
from sciml.models import InteractionNetwork
from sciml.nn import FreeForce
from sciml.nn.free_force import OwnForce
from sciml.nn.message_passing import Edges


def graph(simulations=40, particles=4, dim=2, seed=0):
    rng = np.random.default_rng(seed)
    x, v = rng.normal(size=(2, simulations, particles, dim))
    return particle_graph(x, nodes={"mass": np.exp(rng.normal(size=x.shape[:2])), "velocity": v})


def springs(g):
    """Forces of springs of length one, and the edges'."""
    r = g.edge_vectors().norm(dim=-1, keepdim=True)
    pushes = (1 - r) * g.edge_vectors() / r
    return torch.zeros_like(g.nodes["pos"]).index_add(0, g.receiver, pushes), pushes


def trained(regularizer, channels, steps=400, **options):
    torch.manual_seed(0)
    g = graph()
    target, _ = springs(g)
    layer = FreeForce(2, channels=channels, regularizer=regularizer, hidden=(32, 32), **options).double()
    layer.fit(g, target)
    optimizer = torch.optim.AdamW(layer.parameters(), 1e-2)
    for step in range(steps):
        layer.advance(g, step / steps)
        optimizer.zero_grad()
        (((layer(g).nodes["force"] - target) ** 2).mean() + layer.penalty()).backward()
        optimizer.step()
    return layer.eval()


@pytest.mark.parametrize(
    ("regularizer", "channels", "strength"),
    [("none", 2, 0), ("l1", 20, 3e-3), ("kl", 20, 3e-3), ("prune", 20, 0)],
)
def test_messages_are_forces_up_to_a_linear_map(regularizer, channels, strength):
    layer = trained(regularizer, channels, strength=strength)
    fresh = graph(seed=1)
    forces = springs(fresh)[1].numpy()
    with torch.no_grad():
        message = layer.read(layer.message(Edges(fresh))).numpy()
    for k in range(2):
        columns = np.c_[forces, np.ones(len(forces))]
        left = message[:, k] - columns @ np.linalg.lstsq(columns, message[:, k], rcond=None)[0]
        assert left.var() < 0.1 * message[:, k].var()
    # without training they are not
    raw = FreeForce(2, channels=channels, hidden=(32, 32)).double()
    with torch.no_grad():
        noise = raw.message(Edges(fresh)).numpy()[:, 0]
    assert np.abs(np.corrcoef(noise, forces[:, 0])[0, 1]) < 0.99


def test_pruning_leaves_as_many_channels_as_dimensions_and_others_do_not():
    edges = Edges(graph(seed=1))
    pruned, free = (trained(kind, 9, steps=30) for kind in ("prune", "none"))
    with torch.no_grad():
        counts = [int((layer.message(edges).var(0) > 0).sum()) for layer in (pruned, free)]
    assert counts == [2, 9]
    assert int(pruned.mask.sum()) == 2


def test_l1_makes_messages_sparse():
    sizes = {}
    edges = Edges(graph(seed=1))
    for strength in (0.0, 0.1):
        layer = trained("l1", 8, strength=strength)
        with torch.no_grad():
            message = layer.message(edges)
            sizes[strength] = float((message.abs().sum(-1) / layer.read(message).norm(dim=-1)).median())
    assert sizes[0.1] < 0.8 * sizes[0.0]


def test_noise_of_kl_is_there_in_training_only_and_carries_the_divergence():
    torch.manual_seed(1)
    layer, g = FreeForce(2, channels=6, regularizer="kl", strength=2.0).double(), graph()
    first, second = layer(g).nodes["force"], layer(g).nodes["force"]
    assert not torch.equal(first, second)
    u = layer._penalty
    layer.eval()
    assert torch.equal(layer(g).nodes["force"], layer(g).nodes["force"])
    with torch.no_grad():
        layer.network[-1].weight.zero_()
        layer.log_spread.zero_()
    layer.train()(g)
    assert float(layer.penalty().detach()) == pytest.approx(
        0.0, abs=1e-12
    )  # unit Gaussians are at no distance
    with torch.no_grad():
        layer.log_spread.fill_(np.log(0.5))
        layer.network[-1].bias.copy_(torch.tensor([3.0] * 6 + [0.0]))
    layer(g)
    normal = torch.distributions.Normal
    found = torch.distributions.kl_divergence(normal(3.0, 0.5), normal(0.0, 1.0))
    assert float(layer.penalty().detach()) == pytest.approx(2.0 * float(found))
    assert u is not None


def test_scales_of_forces_and_lengths_do_not_matter():
    """What is standardized is: stretched data give the same messages, stretched."""
    g = graph()
    target, _ = springs(g)
    torch.manual_seed(0)
    layer = FreeForce(2).double()
    far = g.with_nodes(pos=1e6 * g.nodes["pos"])
    outputs = []
    for data, force in ((g, target), (far, 1e9 * target)):
        layer.fit(data, force)
        with torch.no_grad():
            outputs.append(layer(data).nodes["force"])
    torch.testing.assert_close(outputs[1], 1e9 * outputs[0], rtol=1e-9, atol=0)


def test_drag_is_learned_as_a_force_of_its_own():
    torch.manual_seed(0)
    g = graph()
    target = -0.7 * g.nodes["velocity"] / g.nodes["mass"][:, None]
    model = InteractionNetwork(2, given=["mass"], message="free", own_force=True).double()
    model.fit_statistics(g.with_nodes(acceleration=target))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        loss = ((model(g).nodes["acceleration"] - target) ** 2).mean()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        drag = model.own_force(g)
    assert (drag + 0.7 * g.nodes["velocity"]).square().mean() < 0.05 * drag.square().mean()
    with pytest.raises(ValueError, match="needs the node field 'velocity'"):
        OwnForce(2)(particle_graph(np.random.default_rng(0).normal(size=(1, 3, 2))))


@pytest.mark.parametrize("channels", [2, 20])
def test_reduction_takes_messages_as_they_are_read_out(channels):
    torch.manual_seed(0)
    g = graph()
    model = InteractionNetwork(2, given=["mass"], message="free", message_size=channels).double().eval()
    with torch.no_grad():  # exact springs, hidden among the channels by the read-out
        layer = model.force
        pushes = springs(g)[1]
        hidden = pushes @ torch.linalg.pinv(layer.directions_read()).T
    table = record(model, g)
    found = reduce(dataclasses.replace(table, message=hidden.numpy())).y
    np.testing.assert_allclose(found, 1 - table.variables["r"], atol=1e-9)


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match=r"regularizer must be .*'l2'"):
        FreeForce(2, regularizer="l2")
    with pytest.raises(ValueError, match="1 channels cannot carry a force in 3 dimensions"):
        FreeForce(3, channels=1)
