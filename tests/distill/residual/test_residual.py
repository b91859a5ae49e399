"""What a law leaves over, in systems whose truth is known: found, not found, or not to be told."""

from dataclasses import replace

import numpy as np
import pytest
import sympy
from scipy.integrate import solve_ivp

from sciml.datasets.trajectories import Trajectories
from sciml.distill.forces import Forces
from sciml.distill.law import Constant, Law
from sciml.distill.parser import parse
from sciml.distill.residual import (
    Known,
    Look,
    equations_of,
    extended,
    look_again,
    refitted,
    rest,
    run_alone,
    search_rest,
)
from sciml.distill.terms import Term

NAMES = ("star", "a", "b")
MASS = np.array([1.0, 1e-3, 2e-3])
X = np.array([[0.0, 0, 0], [1.0, 0, 0.1], [-1.9, 0.3, 0]])
V = np.array([[0.0, -1e-4, 0], [0.0, 1.15, 0.2], [0.1, -0.6, 0.1]])
r, w, w_r, m_i, m_j, G = sympy.symbols("r w w_r m_i m_j G")
NEWTON = Law(-G * m_i * m_j / r**2, "F", {"r": "AU", "m_i": "", "m_j": ""},
             constants={"G": Constant(1.0)}, inertia="mass")  # fmt: skip
KNOWN = Known(NEWTON, NAMES, {"mass": MASS}, held="star")


def motion(extra=lambda x, v, a: a, *, noise=1e-9, times=400, seed=0):
    """Integrate Newton's law with something more; accelerations carry noise of known size."""
    newton = Forces(NEWTON, {"mass": MASS})

    def acceleration(x, v):
        return extra(x, v, newton(x, v))

    def rate(t, state):
        x, v = state[:9].reshape(3, 3), state[9:].reshape(3, 3)
        return np.r_[v.ravel(), acceleration(x, v).ravel()]

    t = np.linspace(0, 40, times)
    path = solve_ivp(rate, (0, 40), np.r_[X.ravel(), V.ravel()], "DOP853", t, rtol=1e-11, atol=1e-12).y.T
    x, v = path[:, :9].reshape(-1, 3, 3), path[:, 9:].reshape(-1, 3, 3)
    a = np.array([acceleration(*pair) for pair in zip(x, v, strict=True)])
    a = a + noise * np.random.default_rng(seed).normal(size=a.shape)
    return Trajectories(x[None], t, v[None], a[None], names=NAMES, units={"position": "AU", "time": "day"},
                        acceleration_error=np.full(3, noise), source="three bodies")  # fmt: skip


def of_star(term):
    """An extra force that the star exerts on the others, with its reaction."""

    def extra(x, v, a):
        a = a.copy()
        for i in (1, 2):
            d, u = x[i] - x[0], v[i] - v[0]
            push = term(d, u, MASS[0] / (d @ d))
            a[i] += push
            a[0] -= MASS[i] / MASS[0] * push
        return a

    return extra


def unit(d):
    return d / np.linalg.norm(d)


def found_in(data, look, known=KNOWN):
    return search_rest(data, known, look)


STAR = Look(("a", "b"), "star")


def test_a_law_that_is_right_leaves_nothing():
    found = found_in(motion(), STAR)
    assert found.verdict == "none"
    assert "Nothing stands above the noise" in found.reason
    assert not found.terms
    assert extended(KNOWN, found) is KNOWN


def test_a_force_of_two_terms_is_found_with_the_law_off():
    """Terms that no example of the documentation has: along r̂ and along w, with one constant."""
    k = 2e-4

    def extra(d, u, g):
        return k * g * (2 * g * np.linalg.norm(d) * unit(d) + 3 * (u @ unit(d)) * u)

    data = motion(of_star(extra))
    off = replace(KNOWN, law=replace(NEWTON, constants={"G": Constant(1.0003)}))
    found = found_in(data, STAR, off)
    assert found.verdict == "law", found.reason
    assert found.ratio in ((2, 3), (3, 2))
    assert {t.vector for t in found.terms} == {"r_hat", "w_vec"}
    assert found.constant.value == pytest.approx(k, rel=1e-4)
    assert abs(found.constant.value - k) < 5 * found.constant.standard_error
    assert found.dimension == (-2, 2)
    assert found.after.max() < 1.1
    assert found.parameters["G"].value == pytest.approx(-0.0003, rel=1e-2)


def test_the_extended_law_predicts_keeps_momentum_and_goes_to_a_file(tmp_path):
    k = 3e-4
    data = motion(of_star(lambda d, u, g: -k * g / (d @ d) * unit(d)))
    shown = []
    again = look_again(KNOWN, data, [STAR], on_front=lambda front, what: shown.append((what, front)))
    assert {what for what, _ in shown} == {"what is left over for a, b relative to star"}
    assert min(c.loss for c in shown[-1][1]) < 1e-4 < 0.1 < max(c.loss for c in shown[-1][1])
    law = again.known.law
    assert again.findings[0].verdict == "law", again.findings[0].reason
    np.testing.assert_allclose(again.after.rms, again.after.noise, rtol=0.1)
    assert (again.before.rms > 100 * again.before.noise)[1:].all()
    a = again.known.acceleration(data.position[0], data.velocity[0])
    assert np.abs((a * again.known.hidden["mass"][:, None]).sum(1)).max() < 1e-15
    assert law.constants["k0"].value == pytest.approx(-k, rel=1e-4)
    assert law.constants["k0"].unit == ""  # the law was not told the units
    law.save(tmp_path / "law.json")
    loaded = Law.load(tmp_path / "law.json")
    forces = Forces(loaded, again.known.properties)
    np.testing.assert_allclose(forces(data.position[0], data.velocity[0]), a, rtol=1e-12)
    before, after = (run_alone(one, data).error.max() for one in (again.first, again.known))
    assert after < 1e-5 < 1e-2 * before


def test_an_oblate_body_is_found_from_one_satellite_and_its_axis_given():
    axis, k = unit(np.array([0.2, -0.1, 1.0])), 1e-3

    def oblate(d, u, g):
        n = unit(d)
        return -k * g / (d @ d) * ((1 - 5 * (n @ axis) ** 2) * n + 2 * (n @ axis) * axis)

    data = motion(of_star(oblate))
    look = Look(("a", "b"), "star", tuple(axis), velocity=False)
    found = found_in(data, look)
    assert found.verdict == "law", found.reason
    assert sorted(found.ratio) in ([-5, 1, 2], [-2, -1, 5])
    assert abs(found.constant.value) == pytest.approx(k, rel=1e-4)
    assert found.dimension == (2, 0)
    law = extended(KNOWN, found).law
    a = Forces(law, extended(KNOWN, found).properties)(data.position[0], data.velocity[0])
    np.testing.assert_allclose(a, data.acceleration[0], atol=1e-7)


def test_drag_is_a_term_of_the_particle_alone():
    data = motion(lambda x, v, a: a - 2e-4 * np.linalg.norm(v, axis=1)[:, None] * v, noise=1e-8)
    found = found_in(data, Look(NAMES, None))
    assert found.verdict == "law", found.reason
    assert str(found.terms[0]) == "v·v_vec"
    assert found.constant.value == pytest.approx(-2e-4, rel=1e-2)
    again = extended(KNOWN, found).acceleration(data.position[0], data.velocity[0])
    np.testing.assert_allclose(again, data.acceleration[0], atol=1e-6)


def test_noise_larger_than_the_effect_still_gives_the_effect_or_nothing():
    data = motion(of_star(lambda d, u, g: -0.01 * g / (d @ d) * unit(d)), noise=2e-3, times=3000)
    found = found_in(data, STAR)
    assert found.verdict in ("none", "ambiguous") or found.dimension == (2, 0)


def test_what_no_term_explains_is_said():
    """A hidden body pulls at the others: no invariant of the pairs knows of it."""

    def hidden(x, v, a):
        d = np.array([3.0, 2.0, 1.0]) - x
        return a + 1e-3 * d / np.linalg.norm(d, axis=1)[:, None] ** 3

    found = found_in(motion(hidden), STAR)
    assert found.verdict == "none"
    assert "no few terms of the library explain it" in found.reason


def test_one_circular_orbit_does_not_tell_speed_from_distance():
    """On a circle w² = g r: terms with the one or the other are the same function."""
    k = 1e-3
    data = motion(of_star(lambda d, u, g: k * g * (u @ unit(d)) * u + k * g * (u @ u) * unit(d)))
    found = found_in(data, Look(("a",), "star"))
    assert found.verdict != "law" or found.ratio == (1, 1)


def test_two_looks_one_after_the_other():
    def both(x, v, a):
        return of_star(lambda d, u, g: -5e-4 * g / (d @ d) * unit(d))(x, v, a) - 1e-7 * v

    looks = [STAR, Look(NAMES, None)]
    again = look_again(KNOWN, motion(both), looks)
    assert again.findings[0].verdict == "law", again.findings[0].reason
    assert [[str(t) for t in f.terms] for f in again.findings] == [["g/r**2·r_hat"], ["1·v_vec"]]
    assert again.findings[1].constant.value == pytest.approx(-1e-7, rel=0.05)


def test_rotating_everything_changes_no_number():
    from scipy.spatial.transform import Rotation

    data = motion(of_star(lambda d, u, g: -3e-4 * g / (d @ d) * unit(d)))
    turn = Rotation.random(random_state=3).as_matrix()
    turned = replace(data, **{n: getattr(data, n) @ turn.T for n in ("position", "velocity", "acceleration")})
    one, other = found_in(data, STAR), found_in(turned, STAR)
    assert other.terms == one.terms
    assert other.constant.value == pytest.approx(one.constant.value, rel=1e-6)
    drifting = replace(data, velocity=data.velocity + np.array([0.3, 0, 0]))  # terms see relative velocities
    assert found_in(drifting, STAR).constant.value == pytest.approx(one.constant.value, rel=1e-9)


def test_refit_finds_constants_and_masses_and_keeps_the_held_one():
    data = motion()
    off = replace(KNOWN.changed({"G": 1e-3, "mass[a]": 2e-5}))
    fitted = refitted(off, data)
    assert fitted.value("G") == pytest.approx(1.0, abs=1e-8)
    np.testing.assert_allclose(fitted.hidden["mass"], MASS, rtol=1e-4)
    assert fitted.hidden["mass"][0] == 1.0
    assert fitted.errors["G"] == pytest.approx(0, abs=1e-7)
    left = rest(fitted, data)
    np.testing.assert_allclose(left.rms, left.noise, rtol=0.1)


def test_columns_are_derivatives():
    """Newton's accelerations are linear in G and in the senders' masses."""
    data = motion(times=20)
    x, v = data.position[0], data.velocity[0]
    slopes = KNOWN.columns(x, v, ("G", "mass[b]"))
    np.testing.assert_allclose(slopes[..., 0], KNOWN.acceleration(x, v), rtol=1e-8)
    d = x[:, 1] - x[:, 2]
    np.testing.assert_allclose(slopes[:, 1, :, 1], -d / np.linalg.norm(d, axis=1)[:, None] ** 3, rtol=1e-6)
    np.testing.assert_allclose(KNOWN.pull(x, v, 1, 0), 1 / ((x[:, 1] - x[:, 0]) ** 2).sum(1), rtol=1e-12)


@pytest.mark.parametrize(
    ("look", "message"),
    [
        (Look(("a", "c"), "star"), "has no particle 'c'; it has star, a, b"),
        (Look(("a",), ("moon",)), "has no particle 'moon'"),
        (Look(("star",), "star"), "is the only sender and cannot be its own receiver"),
        (Look((), "star"), "no receivers"),
        (Look(("a",), "star", (0, 1)), "has 2 components; the data have 3 dimensions"),
    ],
)
def test_wrong_looks_are_named(look, message):
    with pytest.raises(ValueError, match=message):
        equations_of(motion(times=40), KNOWN, look)


def test_wrong_axes_and_data_are_named():
    with pytest.raises(ValueError, match=r"axis .*expected the components of a direction"):
        Look(("a",), "star", (0, 0, 0))
    with pytest.raises(ValueError, match="with senders whose it is"):
        Look(("a",), None, (0, 0, 1))
    data = motion(times=40)
    with pytest.raises(ValueError, match="has no velocities"):
        equations_of(replace(data, velocity=None), KNOWN, STAR)
    with pytest.raises(ValueError, match="periodic box"):
        equations_of(replace(data, box=np.full(3, 50.0)), KNOWN, STAR)
    with pytest.raises(ValueError, match="20 frames; expected at least 30"):
        equations_of(data, KNOWN, STAR, frames=20)
    with pytest.raises(ValueError, match=r"mass has shape \(2,\)"):
        Known(NEWTON, NAMES, {"mass": MASS[:2]})


def test_a_law_with_kinds_of_its_own_takes_no_term_for_single_bodies():
    k = 3e-4
    data = motion(of_star(lambda d, u, g: -k * g / (d @ d) * unit(d)))
    found = found_in(data, STAR)
    law = Law.of_terms([Term(parse("-G*m_i*m_j/r**2", ["G", "m_i", "m_j", "r"]))], "F", NEWTON.variables,
                       constants=NEWTON.constants, inertia="mass", kind="species")  # fmt: skip
    known = Known(law, NAMES, {"mass": MASS}, {"species": np.array(["s", "p", "p"])})
    with pytest.raises(ValueError, match="tells particles by species"):
        extended(known, found)
