"""The data choose among formulas, and the verdict says how sure they are."""

import dataclasses

import numpy as np
import pytest
import sympy
import torch

from sciml.datasets import simulated
from sciml.distill import Candidate, Front, follow
from sciml.distill.expression import complexity
from sciml.distill.pipeline import distill
from sciml.distill.refit import Estimate, refit, release_exponents
from sciml.distill.select import round_exponents, select
from sciml.models import InteractionNetwork
from sciml.training.dynamics import dynamics_data, initialize

r, m_i, m_j = sympy.symbols("r m_i m_j")


def system(name="gravity", **options):
    settings = {"particles": 3, "dim": 2, "simulations": 1, "times": 300, "dt": 0.005, "seed": 3} | options
    data = dynamics_data(simulated(name, **settings), frames=30)
    torch.manual_seed(0)
    model = InteractionNetwork(hidden=["mass"], **data.arguments)
    initialize(model, data)
    return data, model


@pytest.fixture(scope="module")
def gravity():
    return system()


def front(*expressions):
    """A front in which longer formulas fit the messages a little better, as noise lets them."""
    ordered = sorted(expressions, key=complexity)
    return Front(tuple(Candidate(e, complexity(e), 1e-6 / (1 + i)) for i, e in enumerate(ordered)), rows=100)


def choose(found, *expressions, network_error=1e-3, noise=0.0):
    data, model = found
    return select(
        front(*expressions), model, data.fit, data.held_out, network_error=network_error, noise=noise
    )


NEWTON = -0.5 * m_i * m_j / r**2


def test_the_data_prefer_the_law_to_what_fits_messages_better(gravity):
    choice = choose(
        gravity, NEWTON, NEWTON + sympy.Float(1e-4) * r, NEWTON * sympy.exp(sympy.Float(1e-3) * r)
    )
    assert choice.verdict == "law"
    assert sympy.simplify(choice.best.template / (m_i * m_j / r**2)).free_symbols == {sympy.Symbol("c0")}
    masses = [e.value for e in choice.best.hidden["mass"]]
    true = gravity[0].past.reference["mass"][0]
    assert np.allclose(masses, true / true.max(), rtol=1e-9)
    assert choice.released.exponents["r"].value == pytest.approx(-2, abs=1e-9)


def test_a_wrong_law_is_no_law(gravity):
    choice = choose(gravity, -0.5 * m_i * m_j / r)
    assert choice.verdict == "none"
    assert "more unexplained" in choice.reason or "No formula" in choice.reason


def test_what_leaves_more_than_noise_is_no_certain_law(gravity):
    """Gravity that weakens near by: less wrong than the network, but more than the data allow."""
    near = -0.5 * m_i * m_j * sympy.tanh(5 * r) / r**2
    choice = choose(gravity, near, network_error=0.2)
    assert choice.verdict == "ambiguous"
    assert "more than noise" in choice.reason
    assert choose(gravity, near, network_error=0.2, noise=0.2).verdict == "law"  # so much may be noise


def test_data_that_are_all_noise_have_no_law(gravity):
    choice = choose(gravity, sympy.Float(1e-9) * m_i * m_j, network_error=0.9, noise=1.2)
    assert choice.verdict == "none"
    assert "too uncertain" in choice.reason


def test_nearly_simple_exponents_become_simple(gravity):
    choice = choose(gravity, -0.5 * m_i * m_j / r ** sympy.Float(1.98))
    assert choice.best.expression.subs({m_i: 1, m_j: 1, r: 3}) * 9 == pytest.approx(
        float(choice.best.expression.subs({m_i: 1, m_j: 1, r: 1}))
    )


def test_odd_exponents_survive_as_constants():
    """A power of −2.5 that was rounded to −2 comes back, from the data."""
    data, model = system()
    graph = data.fit
    force = model.with_formula(lambda r, m_i, m_j, c0: c0 * m_i * m_j * r**-2.3, {"c0": -0.6}).double()
    with torch.no_grad():
        fit, held = (
            g.with_nodes(acceleration=force(g).nodes["acceleration"]) for g in (graph, data.held_out)
        )
    choice = select(front(NEWTON), model, fit, held, network_error=1e-3)
    assert choice.verdict == "law"
    powers = [e.value for name, e in choice.best.constants.items() if name != "c0"]
    assert any(abs(abs(p) - 2.3) < 1e-6 for p in powers)


def test_formulas_that_break_the_third_law_are_left_out(gravity):
    choice = choose(gravity, NEWTON, -0.5 * m_i ** sympy.Float(1.3) * m_j ** sympy.Float(0.9) / r**2)
    assert len(choice.tried) == 1


def test_formulas_that_cannot_be_fitted_are_named(gravity):
    with pytest.raises(ValueError, match="could be fitted"):
        choose(gravity, sympy.log(-r) * m_i * m_j)


def test_exponents_of_both_ends_are_one():
    template, start, owners = release_exponents(sympy.Symbol("c0") * m_i * m_j / r**2)
    assert start == {"p_m": 1.0, "p_r": -2.0}
    assert set(owners["p_m"]) == {"m_i", "m_j"}
    assert release_exponents(sympy.Symbol("c0") + r)[1] == {}
    assert template.free_symbols >= {m_i, m_j, r}


def test_rounding_leaves_odd_exponents():
    assert round_exponents(r ** sympy.Float(-1.97)) == r**-2
    assert round_exponents(r ** sympy.Float(0.51)) == sympy.sqrt(r)
    assert round_exponents(r ** sympy.Float(1.4)) == r ** sympy.Float(1.4)


def test_standard_errors_cover_the_errors_of_noisy_data():
    """Errors of masses and constants scatter as their standard errors say, over repetitions."""
    data, model = system()
    surprise = []
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        clean = data.fit.nodes["acceleration"]
        noise = (
            0.01
            * clean.norm(dim=1, keepdim=True)
            * torch.randn(clean.shape, generator=generator, dtype=clean.dtype)
        )
        found = refit(model, NEWTON, data.fit.with_nodes(acceleration=clean + noise), data.held_out)
        true = data.past.reference["mass"][0]
        for estimate, mass in zip(found.hidden["mass"], true / true.max(), strict=True):
            if estimate.standard_error:
                surprise.append((estimate.value - mass) / estimate.standard_error)
    assert 0.5 < np.sqrt(np.mean(np.square(surprise))) < 2.0


def test_distill_from_a_given_front_needs_no_search(gravity):
    data, model = gravity
    exact = model.with_formula(lambda r, m_i, m_j, c0: c0 * m_i * m_j / r**2, {"c0": -0.9}).double()
    with torch.no_grad():
        graphs = [
            g.with_nodes(acceleration=exact(g).nodes["acceleration"]) for g in (data.train, data.held_out)
        ]
    found = distill(exact, *graphs, front=front(NEWTON), particles=("a", "b", "c"))
    assert found.law.verdict == "law"
    assert found.law.constants["c0"].value == pytest.approx(-0.9)
    assert set(found.hidden["mass"]) == {"a", "b", "c"}
    assert "search" not in found.seconds


def test_the_law_alone_repeats_the_motion(gravity):
    data, model = gravity
    heaviest = data.past.reference["mass"].max()
    exact = model.with_formula(lambda r, m_i, m_j, c0: c0 * m_i * m_j / r**2, {"c0": -heaviest}).double()
    found = distill(exact, data.train, data.held_out, fit=data.fit, front=front(NEWTON), particles=data.names)
    alone = follow(found, data.future)
    assert alone.error.max() < 1e-6 * np.ptp(alone.true)
    assert alone.energy_drift < 1e-9
    assert alone.momentum_drift < 1e-10
    wrong = dataclasses.replace(found, hidden={"mass": {n: Estimate(1.0, 0.0) for n in data.names}})
    assert follow(wrong, data.future).error.max() > 1e-3 * np.ptp(alone.true)
    with pytest.raises(ValueError, match="velocities"):
        follow(found, dataclasses.replace(data.future, velocity=None))
    with pytest.raises(ValueError, match="periodic"):
        follow(found, dataclasses.replace(data.future, box=np.full(2, 100.0)))


def test_coefficients_that_the_search_rounded_are_fitted_again():
    data, model = system()
    exact = model.with_formula(lambda r, m_i, m_j, c0: c0 * m_i * m_j / r**2, {"c0": -1.01}).double()
    with torch.no_grad():
        fit, held = (
            g.with_nodes(acceleration=exact(g).nodes["acceleration"]) for g in (data.fit, data.held_out)
        )
    choice = select(front(-m_i * m_j / r**2), model, fit, held, network_error=1e-2)
    assert choice.best.constants["c0"].value == pytest.approx(-1.01)
    assert choice.verdict == "law"
