"""Laws of several terms: what they say, how they are kept, and the accelerations that they give."""

import json

import numpy as np
import pytest
import sympy
from scipy.integrate import solve_ivp

from sciml.distill.forces import Forces
from sciml.distill.law import Constant, Law
from sciml.distill.terms import Term, written

k, g, b, r, q_i, q_j, m_i, m_j, v_i = sympy.symbols("k g b r q_i q_j m_i m_j v_i")


def law(**changes):
    terms = [Term(k * q_i * q_j / r**2), Term(-g * v_i, "v_vec"), Term(b, "v_turned")]
    fields = {
        "variables": {"r": "", "q_i": "", "q_j": "", "v_i": ""},
        "constants": {"k": Constant(2.0, 0.1), "g": Constant(0.3), "b": Constant(0.7)},
        "inertia": "mass",
    }
    return Law.of_terms(terms, "F", **{**fields, **changes})


def test_a_law_of_terms_says_which_are_summed_over_pairs():
    assert str(law()).splitlines()[0] == "F = Σ_j (k*q_i*q_j*r_hat/r**2) + b*v_turned - g*v_i*v_vec"
    assert written([Term(sympy.Integer(1), "e_x")]) == "e_x"


def test_a_law_of_one_scalar_looks_as_before_and_is_written_as_version_1(tmp_path):
    plain = Law(-k * m_i * m_j / r**2, "F", {"r": "", "m_i": "", "m_j": ""}, constants={"k": Constant(1.0)})
    assert str(plain).splitlines()[0] == "F = -k*m_i*m_j/r**2"
    plain.save(tmp_path / "law.json")
    assert json.loads((tmp_path / "law.json").read_text())["format"] == 1
    assert Law.load(tmp_path / "law.json") == plain


def test_terms_survive_their_file_and_version_1_still_loads(tmp_path):
    once = law()
    once.save(tmp_path / "law.json")
    again = Law.load(tmp_path / "law.json")
    assert again == once
    assert again.terms[1].vector == "v_vec"
    data = json.loads((tmp_path / "law.json").read_text())
    old = {key: data[key] for key in ("target", "target_unit", "variables", "constants", "verdict")}
    (tmp_path / "old.json").write_text(json.dumps(old | {"format": 1, "expression": "k*q_i/r"}))
    assert Law.load(tmp_path / "old.json").terms == ()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"expression": "k/r", "vector": "sideways"}, "terms.0.*unknown vector"),
        ({"expression": "k/s", "vector": "r_hat"}, "terms.0.expression.*unknown name"),
        ({"vector": "r_hat"}, "terms.0 must be an object"),
        ({"expression": "k/r", "vector": "r_hat", "kinds": [["A"]]}, "expected 2"),
        ({"expression": "k/r", "vector": "r_hat", "kinds": [["A", "B"]]}, "no property tells the kind"),
    ],
)
def test_bad_terms_in_files_are_refused_by_field(tmp_path, entry, message):
    path = tmp_path / "law.json"
    law().save(path)
    data = json.loads(path.read_text()) | {"terms": [entry]}
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=message):
        Law.load(path)


def test_the_sum_of_the_terms_is_the_expression():
    with pytest.raises(ValueError, match="not the sum"):
        Law(k / r, "a", {"r": ""}, constants={"k": Constant(1.0)}, terms=(Term(2 * k / r),))


def test_a_sum_of_vectors_is_no_scalar_but_each_term_is():
    with pytest.raises(TypeError, match="scalar"):
        law().numpy(r=1.0)
    assert law().scalar(0).numpy(r=2.0, q_i=1.0, q_j=3.0) == pytest.approx(1.5)


def test_accelerations_are_what_the_formula_says():
    rng = np.random.default_rng(0)
    x, v, q, m = rng.normal(size=(4, 2)), rng.normal(size=(4, 2)), rng.normal(size=4), rng.uniform(1, 2, 4)
    expected = np.zeros_like(x)
    for i in range(4):
        for j in range(4):
            if i != j:
                d = x[i] - x[j]
                expected[i] += 2.0 * q[i] * q[j] * d / np.linalg.norm(d) ** 3
        expected[i] += 0.7 * np.array([-v[i, 1], v[i, 0]]) - 0.3 * np.linalg.norm(v[i]) * v[i]
    forces = Forces(law(), {"charge": q, "mass": m})
    np.testing.assert_allclose(forces(x, v), expected / m[:, None], rtol=1e-12)
    batched = forces(np.stack([x, x + 1]), np.stack([v, v]))
    np.testing.assert_allclose(batched[1], expected / m[:, None], rtol=1e-9)


def test_kinds_choose_the_pairs_and_a_box_the_nearest_image():
    spring = Law.of_terms(
        [Term(-k * r, kinds=(("A", "B"), ("B", "A")))], "a", {"r": ""}, constants={"k": Constant(1.0)},
        kind="species",
    )  # fmt: skip
    x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 9.0]])
    found = Forces(spring, {"species": ["A", "B", "A"]}, box=np.array([np.inf, 10.0]))(x, x * 0)
    np.testing.assert_allclose(found, [[1.0, 0.0], [-2.0, -1.0], [1.0, 1.0]], atol=1e-12)


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="divides by mass"):
        Forces(law(), {"charge": [1.0]})
    with pytest.raises(ValueError, match="needs q_"):
        Forces(law(), {"mass": [1.0]})


def test_a_magnetic_force_turns_velocities_and_does_no_work():
    magnet = Law.of_terms([Term(b, "v_turned")], "a", {}, constants={"b": Constant(2.0)})
    forces = Forces(magnet)
    start = np.array([0.0, 0.0, 1.0, 0.5])

    def rate(t, state):
        return np.r_[state[2:], forces(state[None, :2], state[None, 2:])[0]]

    path = solve_ivp(rate, (0, np.pi), start, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(path.y[:, -1], start, atol=1e-7)  # one turn, after 2π / b
