"""What a law is worth beyond its fit: shares, extrapolation, rollouts; rows where there is no noise."""

from dataclasses import replace

import numpy as np
import pytest
import sympy
from test_motion_laws import noisy, repulsion, simulate

from sciml.datasets.trajectories import Trajectories
from sciml.distill.law import Constant, Law
from sciml.distill.motion.bank import held_out_rows
from sciml.distill.motion.formulas import likeliest
from sciml.distill.motion.model import Model, fit_rows, part
from sciml.distill.motion.natural import Natural
from sciml.distill.motion.rows import energy, observe
from sciml.distill.motion.simpler import flattened, released
from sciml.distill.motion.structure import Strength
from sciml.distill.motion.verdict import Evidence, judge
from sciml.distill.motion.worth import outside, rolled_out, shares
from sciml.distill.terms import Term

r = sympy.Symbol("r")


@pytest.fixture(scope="module")
def dragged():
    """Three particles that repel each other as 2/r², with drag; exact accelerations."""
    (x, v, a), t = simulate(lambda x, v: repulsion(x, v) - 0.3 * v, 3, 2, seed=3)
    return observe(Trajectories(x, t, v, a))


def fitted(observed, power=-2.0):
    parts = (
        part(2.0 * r ** sympy.Float(power), "r_hat", "r", Strength(), "a"),
        part(sympy.Float(-0.3), "v_vec", "", Strength(), "b"),
    )
    frozen = replace(parts[0], template=parts[0].template.subs("a1", power), constants=parts[0].constants[:1])
    ones = np.ones(observed.position.shape[2])
    model = Model((frozen, parts[1]), {}, ones, ones, np.arange(len(ones)))
    return fit_rows(model, observed, held_out_rows(observed))


def test_shares_of_all_terms_add_up_to_what_is_explained(dragged):
    found = shares(fitted(dragged), dragged)
    assert sum(share.variance for share in found) == pytest.approx(1, abs=1e-9)
    assert min(share.size for share in found) > 0.1
    assert sum(share.variance for share in shares(fitted(dragged, -1.0), dragged)) < 0.995


def test_the_true_law_holds_outside_and_a_wrong_one_does_not(dragged):
    true, wrong = (outside(fitted(dragged, power), dragged) for power in (-2.0, -1.5))
    assert 0.2 < true.share < 0.6
    assert true.left < 1e-9
    assert wrong.left > 1.5 * wrong.inside > 0.1


def test_a_law_runs_alone_through_what_was_held_out(dragged):
    terms = [Term(2 / r**2, "r_hat"), Term(-sympy.Symbol("c0"), "v_vec")]
    law = Law.of_terms(terms, "a", {"r": ""}, constants={"c0": Constant(0.3)})
    found = rolled_out(law, {}, dragged, Natural())
    assert len(found.time) == 75
    assert found.error.max() < 1e-5
    astray = replace(law, constants={"c0": Constant(0.1)})
    assert rolled_out(astray, {}, dragged, Natural()).error.max() > 1e-3


def test_exact_rows_count_by_their_relative_errors_and_noisy_ones_by_their_noise():
    (x, v, a), t = simulate(repulsion, 3, 2, seed=4)
    a[0, 100] *= 1e6  # as in a close encounter
    exact = observe(Trajectories(x, t, v, a))
    assert not exact.noise_known
    assert max(np.abs(target).max() for target in exact.targets) <= 1
    a[0, 100] /= 1e6
    spoilt = observe(Trajectories(x, t, v, noisy(a, 0.01)))
    assert spoilt.noise_known
    assert 1e2 < energy(spoilt) < 1e5
    assert not spoilt.noisy_paths
    assert observe(Trajectories(noisy(x, 0.01), t)).noisy_paths


def test_verdicts_name_no_absurd_shares():
    lost = Evidence(100.0, 20.0, 1e9, noise_known=True, energy_held_out=100.0)
    verdict, reason = judge(lost, 1, [])
    assert verdict == "none"
    assert "more than there was to explain" in reason
    assert "explains nothing" in reason
    followed = Evidence(100.0, 5.0, 8.0, noise_known=True, energy_held_out=100.0, paths=1.02)
    assert judge(followed, 1, [])[0] == "ambiguous"
    near = Evidence(6e4, 5.0, 8.0, noise_known=True, energy_held_out=6e4)
    assert "missing" in judge(near, 1, [])[1]
    assert "missing" not in judge(replace(near, paths=1.01), 1, [])[1]


def test_exponents_are_released_and_absurd_ones_left_out():
    from sciml.distill.front import Candidate, Front

    free = released(sympy.exp(-r) * r ** sympy.Rational(-5, 2))
    assert any(power.exp.is_Float for power in free.atoms(sympy.Pow))
    assert released(2 * r) == 2 * r
    silly = sympy.tanh(r) ** sympy.Float(1e6) / r**2
    found = likeliest(Front.of([Candidate(1 / r**2, 3, 1e-3), Candidate(silly, 9, 1e-6)], rows=50))
    assert found == [r**-2]


def test_a_factor_that_hardly_varies_is_a_number():
    own = part(1.5 * (1 - r) / sympy.tanh(234.0 * r), "r_hat", "r", Strength(), "a")
    flat = flattened(own, {"r": (0.3, 4.0)})
    assert not flat.template.has(sympy.tanh)
    assert sympy.expand(flat.expression - 1.5 * (1 - r)).evalf(subs={r: 0.7}) == pytest.approx(0, abs=1e-9)
    steep = part(1.5 / sympy.tanh(0.5 * r), "r_hat", "r", Strength(), "a")
    assert flattened(steep, {"r": (0.3, 4.0)}) is steep
