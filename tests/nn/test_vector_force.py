"""Pair forces along several vectors, forces that are slopes, and forces of each particle's own."""

import numpy as np
import pytest
import torch

from sciml.datasets import simulated
from sciml.models import InteractionNetwork
from sciml.nn.interaction import PairScalar
from sciml.nn.potential_scalar import PotentialScalar, pair_energy
from sciml.nn.vector_force import VectorForce, symmetry_along
from sciml.physics.catalogue import System
from sciml.training.dynamics import dynamics_data


def moving(dim=2, **options):
    options = {"particles": 3, "simulations": 3, "times": 6, "dt": 0.05, "dim": dim, "seed": 1} | options
    source = simulated(
        options.pop("system", "charge"), given=options.pop("given", ["mass", "charge"]), **options
    )
    return dynamics_data(source, frames=8, train=0.67)


def network(dim=2, **options):
    torch.manual_seed(0)
    model = InteractionNetwork(dim, given=["mass"], output="signed", **options).double()
    with torch.no_grad():  # large enough to be told from nothing
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize(("third_law", "kept"), [(True, True), (False, False)])
def test_action_equals_reaction_where_it_is_built_in(third_law, kept):
    graph = moving().train
    model = network(message="vectors", third_law=third_law)
    total = model(graph).nodes["force"].reshape(-1, 3, 2).sum(1)
    assert (total.abs().max() < 1e-12) == kept


def test_forces_are_the_same_in_every_inertial_frame_and_depend_on_velocities():
    graph = moving().train
    model = network(message="vectors")
    force = model(graph).nodes["force"]
    boosted = graph.with_nodes(None, velocity=graph.nodes["velocity"] + torch.tensor([3.0, -1.0]).double())
    torch.testing.assert_close(model(boosted).nodes["force"], force)
    faster = graph.with_nodes(None, velocity=2 * graph.nodes["velocity"])
    assert not torch.allclose(model(faster).nodes["force"], force)


def test_a_force_of_a_potential_is_its_slope():
    graph = moving(system="gravity", given=["mass"]).train
    for output in ("log", "linear", "signed"):
        torch.manual_seed(0)
        scalar = PotentialScalar(["mass"], output=output, logarithmic=["mass"]).double()
        model = InteractionNetwork(2, given=["mass"], message="potential").double()
        model.force.scalar = scalar
        scalar.fit(graph, graph.nodes["acceleration"])
        pos = graph.nodes["pos"].clone().requires_grad_()
        placed = graph.with_nodes(None, pos=pos)
        (slope,) = torch.autograd.grad(pair_energy(placed, scalar.gauged).sum(), pos)
        with torch.no_grad():
            torch.testing.assert_close(model(graph).nodes["force"], -slope, rtol=1e-9, atol=1e-12)
        assert slope.abs().max() > 1e-3


def test_energy_is_kept_in_the_rollout_of_a_potential():
    """Leapfrog (symplectic) keeps it to the square of the step, whatever the network is."""
    graph = moving(simulations=2, system="spring", given=["mass"]).train[:1]
    model = network(message="potential")
    drifts = []
    for steps in (20, 40):
        h, x, v, mass = 0.5 / steps, graph.nodes["pos"], graph.nodes["velocity"], graph.nodes["mass"][:, None]
        energies = []
        with torch.no_grad():
            a = model(graph)
            for _ in range(steps):
                energies.append(float(0.5 * (mass * v**2).sum() + model.potential_energy(a)))
                v = v + 0.5 * h * a.nodes["acceleration"]
                x = x + h * v
                a = model(graph.with_nodes(None, pos=x))
                v = v + 0.5 * h * a.nodes["acceleration"]
        drifts.append(np.ptp(energies))
    assert drifts[1] < 1e-2 * max(abs(e) for e in energies)
    assert drifts[0] / drifts[1] == pytest.approx(4, rel=0.3)
    with pytest.raises(TypeError, match="message='potential'"):
        network().potential_energy(graph)


@pytest.mark.parametrize(
    ("vectors", "dim", "groups"),
    [
        (["r_hat", "w_vec"], 2, ("S", "T", "O")),
        (["r_hat", "r_turned"], 2, ("S", "T", "SO")),
        (["r_hat", "w_vec", "r_cross_w"], 3, ("S", "T", "SO")),
        (["r_hat", "z_hat"], 3, ("S", "T")),
        (["v_vec"], 3, ("S", "T", "O")),
        (["v_turned"], 2, ("S", "T", "SO")),
        (["v_cross_z"], 3, ("S", "T")),
        (["e_y"], 2, ("S", "T")),
        (["x_vec"], 3, ("S", "O")),
        ([], 2, ("S", "T", "O")),
    ],
)
def test_vectors_say_under_what_their_forces_are_equivariant(vectors, dim, groups):
    assert symmetry_along(vectors, dim).groups == groups


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (
            {"message": "vectors", "vectors": ["r_hat", "w_vec", "r_turned"]},
            "not independent in 2 dimensions",
        ),
        (
            {"message": "vectors", "vectors": ["r_cross_w"]},
            "'r_cross_w' is no vector of a pair in 2 dimensions",
        ),
        ({"message": "vectors", "vectors": ["x_hat"]}, "does not change sign"),
        ({"message": "vectors", "invariants": ["speed"]}, "unknown invariant 'speed'"),
        ({"own_force": ["r_hat"]}, "'r_hat' is no vector of a node"),
        ({"message": "waves"}, "message must be one of radial, potential, vectors, free"),
    ],
)
def test_wrong_vectors_are_refused(options, error):
    with pytest.raises(ValueError, match=error):
        InteractionNetwork(2, given=["mass"], **options)


def test_velocities_that_are_missing_are_asked_for():
    graph = moving().train
    still = graph.replace(nodes={k: v for k, v in graph.nodes.items() if k != "velocity"})
    for options in ({"message": "vectors"}, {"own_force": ["v_vec"]}):
        with pytest.raises(ValueError, match="node field 'velocity'"):
            network(**options)(still)


PULL = System(potential=lambda r, p: 0.5 * r**2, slope=lambda r, p: r, align=lambda r, p: 0.5 / (1 + r**2))


@pytest.mark.parametrize(
    ("dim", "options", "terms"),
    [
        (2, {"system": "spring", "parameters": {"drag": 0.3}}, {"r_hat": "1 - r", "v_vec": "-0.3"}),
        (3, {"system": "spring", "parameters": {"uniform": 2.0}}, {"r_hat": "1 - r", "e_z": "-2*m_i"}),
        (2, {"parameters": {"trap": 1.5}}, {"r_hat": "q_i*q_j/r**2", "x_vec": "-2.25*m_i"}),
        (2, {"system": "magnetic"}, {"r_hat": "q_i*q_j/r**2", "v_turned": "-3*q_i"}),
        (3, {"system": "magnetic"}, {"r_hat": "q_i*q_j/r**2", "v_cross_z": "3*q_i"}),
        (3, {"system": PULL}, {"r_hat": "-r", "w_vec": "-0.5/(1 + r**2)"}),
    ],
)
def test_formulas_along_vectors_are_the_forces_of_the_simulator(dim, options, terms):
    from sciml.distill.expression import parse
    from sciml.distill.torch_code import keyword_function

    charged = options.get("system", "charge") in ("charge", "magnetic")
    data = moving(dim, given=["mass", "charge"] if charged else ["mass"], **options)
    names = ["r", "w_r", "w_t", "m_i", "m_j", "q_i", "q_j"]
    model = InteractionNetwork(message="vectors", **data.arguments)
    exact = model.with_terms({k: (keyword_function(parse(text, names)), {}) for k, text in terms.items()})
    found = exact.double()(data.train).nodes["acceleration"]
    torch.testing.assert_close(found, data.train.nodes["acceleration"], rtol=1e-9, atol=1e-9)


def test_a_symmetric_scalar_along_an_axis_is_refused_by_the_layer_itself():
    with pytest.raises(ValueError, match="third_law=false"):
        VectorForce(3, {"z_hat": PairScalar(["mass"])})
