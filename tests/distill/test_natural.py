"""Units of the file make no difference: the search works in natural ones, and the law comes back."""

import numpy as np
import pytest
import sympy
from test_motion_laws import noisy, pairs, simulate

from sciml.datasets.trajectories import Trajectories
from sciml.distill.forces import Forces
from sciml.distill.law import Constant, Law
from sciml.distill.motion.natural import Natural
from sciml.distill.motion.pipeline import discover
from sciml.distill.parser import parse
from sciml.distill.terms import Term

NAMES = ["c0", "c1", "c2", "m_i", "m_j", "q_i", "q_j", "r", "w_r", "v_i"]
METRES = Natural(1e9, 1e5)


def law(*terms, inertia=""):
    made = [Term(parse(text, NAMES), vector) for text, vector in terms]
    used = {str(s) for t in made for s in t.expression.free_symbols}
    constants = {n: Constant(v, 0.01 * v) for n, v in (("c0", 2.0), ("c1", 0.7), ("c2", 0.3)) if n in used}
    variables = dict.fromkeys(sorted(used - set(constants)), "")
    return Law.of_terms(made, "F" if inertia else "a", variables, constants=constants, inertia=inertia)


@pytest.mark.parametrize(
    "terms",
    [
        [("c0/r**2", "r_hat"), ("-c1", "v_vec")],
        [("c0*exp(-c1*r)/r", "r_hat"), ("c2*v_i", "v_vec")],
        [("c0*(r - c1)", "r_hat"), ("c2", "x_vec"), ("c2*0 + 0.3", "e_x")],
        [("c0*r**(-c1)", "r_hat")],  # no unit for c0 while the exponent is a constant
        [("c0*exp(-r)", "r_hat"), ("sin(r)", "r_hat")],  # numbers with a dimension
        [("c0*w_r/r", "w_vec"), ("c1", "r_turned"), ("c2", "v_turned")],
    ],
)
def test_a_law_that_is_brought_back_gives_the_same_motion(terms):
    inside = law(*terms)
    outside = METRES.outside(inside)
    rng = np.random.default_rng(1)
    x, v = rng.normal(size=(2, 4, 2))
    there = Forces(outside)(x * METRES.length, v * METRES.length / METRES.time)
    np.testing.assert_allclose(there * METRES.time**2 / METRES.length, Forces(inside)(x, v), rtol=1e-10)


def test_constants_take_up_units_with_their_errors():
    found = METRES.outside(law(("c0*m_i*m_j/r**2", "r_hat"), ("-c1*m_i", "v_vec"), inertia="mass"))
    assert found.constants["c0"].value == pytest.approx(2.0 * 1e27 / 1e10)
    assert found.constants["c0"].standard_error == pytest.approx(0.02 * 1e17)
    assert found.constants["c1"].value == pytest.approx(0.7e-5)
    assert found.terms[0].expression == parse("c0*m_i*m_j/r**2", NAMES)


@pytest.mark.parametrize(
    "terms",
    [
        [("c0*m_i*m_j/r**2", "r_hat"), ("-c1*m_i", "v_vec"), ("c2*q_i", "e_x")],
        [("m_i*m_j*(c0 + c1/r**2)/r", "r_hat"), ("c2*q_i", "v_vec")],
        [("c0*q_i*q_j*exp(-c1*r)/r", "r_hat"), ("c2*v_i", "v_vec")],
        [("c0*m_i*m_j*r**(-c1)", "r_hat"), ("m_i*sin(v_i)", "v_vec")],  # no units for the constants
        [("c0*m_j**2/r", "r_hat"), ("c1*m_i*q_i", "x_vec")],
    ],
)
@pytest.mark.parametrize("inertia", ["", "mass"])
def test_masses_and_charges_of_any_size_are_brought_back(terms, inertia):
    rng = np.random.default_rng(2)
    given = {"mass": rng.uniform(0.5, 2, 4), "charge": rng.normal(size=4)}
    units = Natural(1e11, 1e7, {"mass": 1e30, "charge": 1e-19})
    inside = law(*terms, inertia=inertia)
    x, v = rng.normal(size=(2, 4, 3))
    there = Forces(units.outside(inside), units.given(given))
    acceleration = there(x * units.length, v * units.length / units.time) * units.time**2 / units.length
    np.testing.assert_allclose(acceleration, Forces(inside, given)(x, v), rtol=1e-10)


def test_natural_units_of_properties_are_powers_of_ten_near_them():
    (x, _, _), t = simulate(pairs(lambda r: 2 / r**2), 3, 2)
    shape = x.shape[0], x.shape[2]
    mass = np.broadcast_to([2e30, 6e24, 7e22], shape)
    labels = np.broadcast_to(["star", "planet", "moon"], shape)
    given = {"mass": mass, "charge": np.broadcast_to([1.0, -2.0, 0.0], shape)}
    data = Trajectories(x, t, properties=given | {"index": np.full(shape, 1e5), "species": labels})
    units = Natural.of(data)
    assert units.properties == {
        "mass": 1e25
    }  # charges are of order one; what is the same for all is not read
    inside = units.inside(data).properties
    np.testing.assert_allclose(inside["mass"] * 1e25, mass)
    np.testing.assert_array_equal(inside["charge"], given["charge"])
    assert "mass in 1e+25" in units.words
    np.testing.assert_allclose(units.given(inside)["mass"], mass)
    assert (units.given(inside)["species"] == labels).all()


def test_data_of_order_one_stay_as_they_are():
    (x, _, _), t = simulate(pairs(lambda r: 2 / r**2), 3, 2)
    data = Trajectories(x, t)
    assert Natural.of(data) == Natural()
    assert Natural().inside(data) is data
    resting = Trajectories(np.broadcast_to(x[:, :1], x.shape), t)
    assert np.isfinite(Natural.of(resting).time)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_astronomers_and_chemists_find_the_same_law(noise):
    repulsion = pairs(lambda r: 2 / r**2)
    (x, v, a), t = simulate(lambda x, v: repulsion(x, v) - 0.3 * v, 3, 2, seed=3)
    x = noisy(x, noise) if noise else x
    found = {}
    for length, time in ((1.0, 1.0), (1e9, 1e5), (1e-10, 1e-15)):
        measured = () if noise else (v * length / time, a * length / time**2)
        one = discover(Trajectories(x * length, t * time, *measured), seconds=6)
        assert one.law.verdict == "law", one.law.reason
        assert sorted(term.vector for term in one.law.terms) == ["r_hat", "v_vec"]
        radial = next(term for term in one.law.terms if term.vector == "r_hat")
        name = next(str(s) for s in radial.expression.free_symbols if str(s) != "r")
        assert sympy.simplify(radial.expression * sympy.Symbol("r") ** 2 / sympy.Symbol(name)) == 1
        found[length] = one.law.constants[name].value * time**2 / length**3
    assert found[1.0] == pytest.approx(2.0, rel=0.05)
    assert list(found.values()) == pytest.approx([found[1.0]] * 3, rel=1e-6 if noise else 1e-9)
