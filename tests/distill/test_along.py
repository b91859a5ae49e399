"""Laws of several terms out of networks of forces along vectors."""

import dataclasses

import numpy as np
import pytest
import torch

from sciml.datasets import simulated
from sciml.distill import distill, distill_terms
from sciml.distill.along import fit_terms, record_terms
from sciml.distill.expression import parse
from sciml.distill.forces import Forces
from sciml.distill.torch_code import keyword_function
from sciml.models import InteractionNetwork
from sciml.physics.catalogue import System
from sciml.training.dynamics import dynamics_data

NAMES = ["r", "w_r", "w_t", "v_i", "x_i"]
RUBBING = System(
    potential=lambda r, p: 0.5 * (r - 1) ** 2, slope=lambda r, p: r - 1, align=lambda r, p: 0.5 / (1 + r**2),
    parameters={"drag": 0.2},
)  # fmt: skip
FORCES = {"message": "vectors", "invariants": ["r", "w_r", "w_t"], "update": "force"}
SPACE = {"dim": 2, "particles": 3}
TRUE = {"r_hat": "1.0 - r", "w_vec": "-0.5/(1.0 + r**2)", "v_vec": "-0.2"}


@pytest.fixture(scope="module")
def data():
    source = simulated(RUBBING, masses=np.ones(3), particles=3, simulations=12, times=12, dt=0.1, seed=3)
    source = dataclasses.replace(source, properties={"size": np.ones(3)})  # all alike: no mass to be found
    return dynamics_data(source, frames=60, fit_frames=80, held_out_frames=30)


@pytest.fixture(scope="module")
def nearly(data):
    """A model that knows the forces to about a thousandth, as a network would."""
    wiggle = "(1 + 0.001*sin(9*r))"
    texts = {k: f"({t})*{wiggle if k != 'v_vec' else '(1 + 0.001*sin(9*v_i))'}" for k, t in TRUE.items()}
    texts["x_vec"] = "0.0001*sin(7*x_i)"  # no such force
    model = InteractionNetwork(**FORCES, **SPACE)
    terms = {k: (keyword_function(parse(text, NAMES)), {}) for k, text in texts.items()}
    return model.with_terms(terms).double()


def test_tables_hold_scalars_along_their_vectors_and_how_well_they_are_known(data, nearly):
    tables = record_terms(nearly, data.train, data.held_out)
    assert list(tables) == ["r_hat", "w_vec", "v_vec", "x_vec"]
    assert set(tables["r_hat"].names) == {"r", "w_r", "w_t"}
    assert tables["v_vec"].names == ("v_i",)
    np.testing.assert_allclose(tables["r_hat"].y, 1 - tables["r_hat"].variables["r"], atol=3e-3)
    assert len(tables["v_vec"]) == data.train.num_nodes
    slow = np.linalg.norm(tables["w_vec"].direction, axis=1)
    fast = slow > np.median(slow)
    errors = tables["w_vec"].error
    assert np.median(errors[~fast]) > 1.5 * np.median(errors[fast])  # a slow pair says little of its friction


@pytest.mark.slow
def test_a_law_of_terms_is_found_and_what_is_not_there_is_left_out(data, nearly):
    found = distill_terms(nearly, data.train, data.held_out, fit=data.fit, seconds=40.0)
    assert {term.vector for term in found.law.terms} == set(TRUE)
    assert found.law.verdict == "law"
    assert found.best.held_out_error.max() < 1e-9
    future = data.future
    forces = Forces(found.law)
    np.testing.assert_allclose(
        forces(future.position[0], future.velocity[0]), future.acceleration[0], rtol=1e-6, atol=1e-9
    )
    in_place = InteractionNetwork(own_force=["v_vec"], **FORCES, **SPACE).with_law(found.law)
    acceleration = in_place.double()(data.held_out).nodes["acceleration"]
    torch.testing.assert_close(acceleration, data.held_out.nodes["acceleration"], rtol=1e-6, atol=1e-9)


def test_constants_of_all_terms_are_fitted_together(data, nearly):
    start = {"r_hat": "0.7 - 1.4*r", "w_vec": "-0.3/(1.7 + r**2)", "v_vec": "-0.5", "x_vec": "0"}
    found = fit_terms(nearly, {k: parse(t, NAMES) for k, t in start.items()}, data.fit, data.held_out)
    assert sorted(round(e.value, 6) for e in found.constants.values()) == [-1.0, -0.5, -0.2, 1.0, 1.0]
    assert list(found.templates) == ["r_hat", "w_vec", "v_vec"]


def test_forces_along_vectors_are_not_taken_for_one_along_the_line(data, nearly):
    with pytest.raises(TypeError, match="distill_terms"):
        distill(nearly, data.train, data.held_out)
    with pytest.raises(TypeError, match="named vectors"):
        record_terms(InteractionNetwork(2, update="force").double(), data.train, data.held_out)
