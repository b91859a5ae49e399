"""Forces that jump: the place of a step, in formulas and in networks."""

import numpy as np
import pytest
import sympy
import torch

from sciml.datasets import simulated
from sciml.distill import refit
from sciml.distill.expression import parse
from sciml.distill.sharpen import SplitScalar, sharpen, steepest
from sciml.models import InteractionNetwork
from sciml.nn.interaction import PairScalar
from sciml.training.dynamics import dynamics_data


@pytest.fixture(scope="module")
def data():
    source = simulated(
        "discontinuous", given=["mass"], particles=3, simulations=12, times=12, dt=0.05, substeps=30, seed=2
    )
    return dynamics_data(source, frames=80, fit_frames=110, held_out_frames=30)


@pytest.mark.parametrize("start", [0.97, 1.04])
def test_the_place_of_a_step_is_found_between_two_distances_of_the_data(data, start):
    model = InteractionNetwork(**data.arguments)
    law = parse(f"(0.44 - 0.9*r)*Heaviside(r - {start})", ["r"])
    found = refit(model, law, data.fit, data.held_out)
    step = next(iter(found.expression.atoms(sympy.Heaviside)))
    place = sympy.solve(step.args[0], sympy.Symbol("r"))[0]
    assert float(place) == pytest.approx(1.0, abs=0.01)
    slopes = sorted(float(c) for c in found.expression.xreplace({step: sympy.Integer(1)}).atoms(sympy.Float))
    np.testing.assert_allclose(slopes, [-1.0, 0.5], rtol=1e-9)
    assert found.relative_error.max() < 1e-9
    assert found.held_out_error.max() < 1e-9  # what the data leave open is left out
    error = max(e.standard_error for e in found.constants.values())
    assert 1e-5 < error < 0.01


def _known(data, place, jump):
    """A network of the data's statistics that is smooth, or jumps at a place."""
    torch.manual_seed(0)
    model = InteractionNetwork(output="signed", **data.arguments).double()
    model.fit_statistics(data.train)
    split = SplitScalar(model.force.scalar, place)
    with torch.no_grad():
        split.above.network[-1].bias[0] += jump
    return model, split


def test_a_network_is_steepest_where_it_jumps(data):
    model, split = _known(data, 0.8, 0.5)
    assert steepest(split, data.train) == pytest.approx(0.8, rel=0.03)
    assert steepest(model.force.scalar, data.train) is None
    assert sharpen(model, data.train) is model


def test_the_two_sides_of_a_place_are_two_networks(data):
    model, split = _known(data, 0.8, 0.5)
    model.force.scalar, before = split, model(data.train).nodes["force"]
    near = data.train.edge_vectors().norm(dim=-1) < 0.8
    graph = data.train
    touched = torch.zeros(graph.num_nodes, dtype=torch.long).index_add(0, graph.receiver, (~near).long()) > 0
    with torch.no_grad():
        split.above.network[-1].bias[0] += 1.0
    changed = (model(graph).nodes["force"] - before).abs().sum(-1) > 0
    assert (changed == touched).all()
    assert isinstance(split, PairScalar)


def test_what_is_below_the_noise_is_not_described():
    """The short proposal that leaves no more than the noise goes before long ones that leave less."""
    from sciml.distill.front import Problem
    from sciml.distill.structured.budget import Budget
    from sciml.distill.structured.polish import Polished
    from sciml.distill.structured.shortlist import ShortList
    from sciml.distill.structured.table import prepare

    r = np.random.default_rng(0).uniform(0.5, 2, 500)
    short, long = parse("1.0 - r", ["r"]), parse("1.0 - r + 0.01*sin(9.0*r)", ["r"])
    made = [
        Polished(short, 1e-4, -4500.0),
        Polished(long, 1e-5, -5000.0),
        Polished(sympy.Float(2), 0.5, -100.0),
    ]
    for noise, best in ((0.0, long), (1e-6, long), (2e-4, short)):
        problem = Problem(r[:, None], 1 - r, ("r",), noise=noise)
        shortlist = ShortList(problem, prepare(problem, np.random.default_rng(0))[0], Budget(10.0, None))
        shortlist.found = {p.expression: p for p in made}
        assert shortlist.best().expression == best
