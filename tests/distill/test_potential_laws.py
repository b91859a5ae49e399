"""Laws by way of their potentials."""

from time import process_time

import numpy as np
import pytest
import sympy

from sciml.distill.expression import parse
from sciml.distill.potential import force_of, potential_of, search_potential
from sciml.distill.record import MessageTable

NAMES = ["r"]


def table(law, potential):
    rng = np.random.default_rng(0)
    variables = {"r": rng.uniform(0.4, 2.5, 400)}
    at = lambda e, v: sympy.lambdify([sympy.Symbol(n) for n in NAMES], e, "numpy")(*v.values())
    middle = {"r": np.ones(400)}
    labels = {n: np.zeros(400, int) for n in ("sender", "receiver", "frame")}
    F, V = at(law, variables), at(potential, variables) - at(potential, middle)
    direction = np.tile([1.0, 0.0], (400, 1))
    return MessageTable(
        variables, F[:, None] * direction, direction, **labels, units={}, scalar=F, potential=V,
        error=1e-3 * np.abs(F),
    )  # fmt: skip


@pytest.mark.parametrize("text", ["-1/r", pytest.param("exp(-2.0*r)", marks=pytest.mark.slow)])
def test_the_force_is_found_by_its_potential(text):
    potential = parse(text, NAMES)
    law = force_of(potential)
    messages = table(law, potential)
    front = search_potential(messages, messages.problem(), seconds=20.0, noise=1e-6, clock=process_time)
    best = min(front, key=front.length)
    X = messages.problem().X
    found = sympy.lambdify([sympy.Symbol(n) for n in NAMES], best.expression, "numpy")(*X.T)
    np.testing.assert_allclose(found, messages.y, rtol=1e-2)


@pytest.mark.parametrize("text", ["-m_i*m_j/r**2", "1 - r", "q/r", "exp(-r)", "(0.5 - r)*Heaviside(r - 1)"])
def test_forces_and_potentials_go_over_into_each_other(text):
    force = parse(text, ["r", "m_i", "m_j", "q"])
    back = force_of(potential_of(force)) - force
    for r in (0.4, 1.7, 3.0):
        value = back.subs({"r": r, "m_i": 1.3, "m_j": 0.7, "q": 2.0})
        assert abs(float(value)) < 1e-9


def test_messages_without_a_potential_are_refused():
    import dataclasses

    messages = table(parse("1 - r", NAMES), parse("r**2/2 - r", NAMES))
    with pytest.raises(ValueError, match="message='potential'"):
        search_potential(dataclasses.replace(messages, potential=None), messages.problem(), seconds=1.0)
