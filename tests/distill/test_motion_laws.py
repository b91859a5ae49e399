"""Laws of several terms out of trajectories: rows, structures, formulas, paths, verdicts."""

from dataclasses import replace

import numpy as np
import pytest
import sympy
from scipy.integrate import solve_ivp

from sciml.datasets.trajectories import Trajectories
from sciml.distill.expression import parse
from sciml.distill.motion.bank import fill
from sciml.distill.motion.choose import Chooser
from sciml.distill.motion.model import Model, part
from sciml.distill.motion.paths import cut, fit_paths
from sciml.distill.motion.pipeline import discover
from sciml.distill.motion.rows import encounters, observe, weak_forms
from sciml.distill.motion.simpler import extends
from sciml.distill.motion.smooth import smooth
from sciml.distill.motion.structure import Fitter, Strength
from sciml.distill.motion.verdict import Evidence, judge
from sciml.physics import systems


def simulate(acceleration, particles, dim, *, simulations=2, times=300, dt=0.02, seed=0):
    """Integrate by SciPy from starts well apart; return positions, velocities and accelerations."""
    rng = np.random.default_rng(seed)
    found = []
    while len(found) < simulations:
        x = 1.5 * rng.normal(size=(particles, dim))
        if (np.linalg.norm(x[:, None] - x, axis=-1) + 9 * np.eye(particles)).min() < 0.7:
            continue
        start = np.r_[x.ravel(), 0.6 * rng.normal(size=x.size)]
        size = x.size

        def rate(t, y, size=size, shape=x.shape):
            return np.r_[y[size:], acceleration(y[:size].reshape(shape), y[size:].reshape(shape)).ravel()]

        t = np.arange(times) * dt
        y = solve_ivp(rate, (0, t[-1]), start, t_eval=t, rtol=1e-10, atol=1e-10).y.T
        x, v = y[:, :size].reshape(times, particles, dim), y[:, size:].reshape(times, particles, dim)
        found.append((x, v, np.stack([acceleration(a, b) for a, b in zip(x, v, strict=True)])))
    return tuple(np.stack([f[k] for f in found]) for k in range(3)), np.tile(t, (simulations, 1))


def pairs(radial, amplitude=1.0):
    def acceleration(x, v):
        d = x[:, None] - x
        r = np.linalg.norm(d, axis=-1) + np.eye(len(x))
        return ((amplitude * radial(r) / r * (1 - np.eye(len(x))))[..., None] * d).sum(1)

    return acceleration


repulsion = pairs(lambda r: 2 / r**2)


def noisy(x, noise, seed=9):
    return x + noise * x.std() * np.random.default_rng(seed).normal(size=x.shape)


def structure(data, mass=""):
    observed = observe(data)
    fitter = Fitter(fill(observed), dict(data.properties), np.arange(data.shape[2]))
    return Chooser(fitter, observed.noise_known, mass=mass).choose().best


# ------------------------------------------------------------------------ rows


def test_the_spline_finds_the_noise_and_halves_it():
    t = np.linspace(0, 6, 400)
    true = np.stack([np.sin(t), np.cos(1.3 * t)], axis=1)[:, None]
    found = smooth(t, true + 0.02 * np.random.default_rng(0).normal(size=true.shape))
    assert found.sigma[0] == pytest.approx(0.02, rel=0.1)
    assert np.sqrt(np.mean((found.value - true) ** 2)) < 0.006
    exact = smooth(t, true)
    np.testing.assert_allclose(exact.rate[:, 0, 0], np.cos(t), atol=1e-6)


@pytest.mark.parametrize("even", [True, False])
def test_weak_forms_integrate_by_parts(even):
    t = np.linspace(0, 3, 120)
    if not even:
        t = np.sort(t + np.random.default_rng(1).uniform(-0.008, 0.008, len(t)))
    forms = weak_forms(t, 8.0)
    for k in range(2, 6):  # polynomials to the fifth degree are exact
        np.testing.assert_allclose(forms[2] @ t**k, forms[0] @ (k * (k - 1) * t ** (k - 2)), atol=1e-7)
        np.testing.assert_allclose(-forms[1] @ t**k, forms[0] @ (k * t ** (k - 1)), atol=1e-8)
    np.testing.assert_allclose(forms[2] @ np.sin(2 * t), forms[0] @ (-4 * np.sin(2 * t)), atol=1e-5)


def test_rows_of_the_true_law_leave_white_noise():
    (x, _, a), t = simulate(repulsion, 4, 2)
    observed = observe(Trajectories(noisy(x, 0.02), t))
    left = [
        observed.targets[s] - np.tensordot(observed.operators[s], a[s], (1, 0)) / observed.sigma[s][..., None]
        for s in range(2)
    ]
    assert np.mean(np.square(left)) == pytest.approx(1.0, abs=0.35)


# ------------------------------------------------------------------ structures


def test_hidden_charges_of_both_signs_come_out_of_the_matrix_of_pairs():
    charge = np.array([1.0, -1.0, 2.0, -1.5])
    (x, v, a), t = simulate(pairs(lambda r: r / (r**2 + 0.4) ** 1.5, np.outer(charge, charge)), 4, 2, seed=4)
    best = structure(Trajectories(x, t, v, a))
    strength = next(c.strength for c in best.channels if c.block == "pair")
    assert (strength.receiver, strength.sender, strength.same) == ("free", "free", True)
    ratio = best.sender / charge
    np.testing.assert_allclose(ratio / ratio[2], 1.0, atol=0.02)


def test_masses_that_only_attract_are_strengths_of_senders():
    mass = np.array([1.0, 3.0, 0.5, 2.0])
    (x, v, a), t = simulate(pairs(lambda r: -r / (r**2 + 0.5) ** 1.5, mass[None, :]), 4, 3, seed=5)
    best = structure(Trajectories(x, t, v, a))
    assert [(c.block, c.strength.receiver, c.strength.sender) for c in best.channels] == [
        ("pair", "1", "free")
    ]
    np.testing.assert_allclose(best.sender, mass / 3, rtol=0.01)


def test_encounters_are_near_in_units_of_their_noise():
    t = np.linspace(-1, 1, 2001)
    x = np.zeros((1, 2001, 3, 2))
    x[0, :, 0, 0], x[0, :, 2] = t, 5.0  # one passes another, the third is far from both
    noise = np.full((1, 3), 1e-3)
    near = encounters(x, noise)
    assert not near[..., 2].any()
    limit = 15 * np.sqrt(2) * 1e-3
    np.testing.assert_array_equal(near[0, :, 0], np.abs(t) < limit)
    np.testing.assert_array_equal(near[0, :, 1], near[0, :, 0])
    assert not encounters(x, 0 * noise)[:, np.abs(t) > 0].any()
    box = np.array([3.0, 3.0])
    images = x.copy()
    images[0, :, 0] += [3.0, -6.0]
    np.testing.assert_array_equal(encounters(images, noise, box)[..., :2], near[..., :2])
    # where everything is near, nothing is left out for it
    assert not encounters(1e-3 * x, noise).all()


# ----------------------------------------------------------------------- paths


def test_paths_recover_constants_within_their_errors_and_leave_the_noise():
    (x, _, _), t = simulate(lambda x, v: repulsion(x, v) - 0.3 * v, 4, 2, simulations=3, seed=2)
    observed = observe(Trajectories(noisy(x, 0.01), t))
    r = sympy.Symbol("r")
    start = (
        part(1.8 * r ** sympy.Float(-1.8), "r_hat", "r", Strength(), "a"),
        part(sympy.Float(-0.2), "v_vec", "", Strength(), "b"),
    )
    ones = np.ones(4)
    fit = fit_paths(Model(start, {}, ones, ones, np.arange(4)), cut(observed))
    assert (np.abs(fit.model.start - [2.0, -2.0, -0.3]) < 4 * fit.errors).all()
    assert fit.errors[2] < 0.05
    assert fit.chi2 == pytest.approx(1.0, abs=0.1)
    longer = fit_paths(fit.model, cut(observed, 6.0, guide=fit.model))
    assert (np.abs(longer.model.start - [2.0, -2.0, -0.3]) < 4 * longer.errors).all()
    assert (longer.errors < fit.errors).all()
    assert longer.chi2 == pytest.approx(1.0, abs=0.1)
    wrong = fit_paths(Model(start[1:], {}, ones, ones, np.arange(4)), cut(observed))
    assert wrong.chi2 > 2
    with pytest.raises(ValueError, match="cannot be followed"):
        cut(observed, 6.0, guide=wrong.model)


@pytest.mark.parametrize(
    ("longer", "extended"),
    [
        ("-0.3996/r + 0.0023/r**2", True),
        ("(-0.399 + 0.0002/sin(r)**2)/r", True),
        ("-0.30/r + 0.05/r**2", False),  # what was added matters
        ("-0.42*exp(-0.1*r)/r", False),  # so does a screen
        ("-0.4/r**1.05", False),  # another form: no number of it is zero in the law
        ("-0.4/r", False),
    ],
)
def test_a_formula_with_a_term_that_hardly_matters_is_no_other_law(longer, extended):
    found = extends(parse(longer, ["r"]), parse("-0.397/r", ["r"]), {"r": (0.3, 3.0)})
    assert found == extended


# -------------------------------------------------------------- the whole chain


@pytest.mark.slow
def test_repulsion_with_drag_from_noisy_positions_only():
    (x, _, _), t = simulate(lambda x, v: repulsion(x, v) - 0.3 * v, 4, 2, simulations=3, seed=2)
    found = discover(Trajectories(noisy(x, 0.01), t), seconds=6)
    assert found.law.verdict != "none"
    assert {term.vector for term in found.law.terms} == {"r_hat", "v_vec"}
    r = np.array([0.8, 1.5, 3.0])
    radial = next(k for k, term in enumerate(found.law.terms) if term.vector == "r_hat")
    np.testing.assert_allclose(found.law.scalar(radial).numpy(r=r), 2 / r**2, rtol=0.1)


@pytest.mark.parametrize("dim", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_gravity_and_masses_from_noisy_positions_only_encounters_and_all(dim):
    truth = systems.simulate("gravity", particles=3, dim=dim, simulations=4, times=300, seed=1)
    (masses,) = np.unique(truth.mass.reshape(-1, 3), axis=0)
    found = discover(Trajectories(noisy(truth.position, 0.01), truth.time), seconds=6)
    assert found.law.verdict == "law"
    r = np.array([0.3, 0.8, 2.0])
    force = found.law.numpy(m_i=1.0, m_j=1.0, r=r) * r**2
    np.testing.assert_allclose(force, force[0], rtol=1e-9)
    for estimate, mass in zip(found.hidden["mass"].values(), masses / masses.max(), strict=True):
        assert estimate.value == pytest.approx(mass, abs=0.02)


@pytest.mark.parametrize("what", ["noise", "random"])
def test_noise_and_chance_have_no_law(what):
    rng = np.random.default_rng(0)
    t = np.tile(np.arange(150) * 0.05, (2, 1))
    x = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]]) + 0.05 * rng.normal(size=(2, 150, 3, 2))
    data = Trajectories(x, t) if what == "noise" else Trajectories(x, t, 0 * x, rng.normal(size=x.shape))
    found = discover(data, seconds=2)
    assert found.law.verdict == "none"
    assert "noise" in found.law.reason


@pytest.mark.slow
def test_a_hidden_drive_is_no_law():
    (x, v, a), t = simulate(lambda x, v: repulsion(x, v), 3, 2, seed=3, times=200)
    drive = 3 * np.cos(4 * t[:, :, None, None] + np.arange(3)[:, None] + np.arange(2))
    found = discover(Trajectories(x, t, v, a + drive), seconds=2)
    assert found.law.verdict == "none"
    assert "changes with time" in found.law.reason


def test_verdicts_say_what_they_rest_on():
    good = Evidence(100.0, 1.1, 1.2, noise_known=True, energy_held_out=90.0)
    assert judge(good, 2, [])[0] == "law"
    assert judge(good, 2, ["r**-2"])[0] == "ambiguous"
    assert judge(good, 0, [])[0] == "none"
    weak = Evidence(1.05, 1.0, 1.0, noise_known=True, energy_held_out=1.05)
    assert judge(weak, 1, [])[0] == "none"
    lost = Evidence(100.0, 20.0, 25.0, noise_known=True, energy_held_out=100.0)
    assert judge(lost, 1, [])[0] == "none"
    spoiled = Evidence(100.0, 3.0, 4.0, noise_known=True, energy_held_out=100.0, paths=1.0)
    assert judge(spoiled, 1, [])[0] == "ambiguous"
    assert judge(replace(spoiled, far=True), 1, [])[0] == "law"
    assert judge(replace(spoiled, far=True), 1, ["r**-3"])[0] == "ambiguous"
    assert judge(replace(spoiled, far=True, paths=1.4), 1, [])[0] == "none"
    astray = Evidence(100.0, 1.1, 1.2, noise_known=True, energy_held_out=90.0, paths=4.0)
    assert "paths" in judge(astray, 1, [])[1]
