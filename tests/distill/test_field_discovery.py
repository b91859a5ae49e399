"""Equations from fields: the mathematics of the parts, and what whole data sets give."""

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import sympy

from sciml.datasets import FieldSeries
from sciml.distill.fields import Term, discover, learn_stencils, library, prepared, report
from sciml.distill.fields.fit import Normal, fit
from sciml.distill.fields.law import tied
from sciml.distill.fields.lines import difference_matrix
from sciml.distill.fields.noise import character, closes, noise_level
from sciml.distill.fields.problem import WeakProblem
from sciml.distill.fields.subsets import best_subsets
from sciml.distill.fields.terms import expand, expression, text
from sciml.distill.fields.weak import Bump, TestFunctions
from sciml.distill.law import Law
from sciml.models import FieldNetwork
from sciml.physics.fields import simulate_field

ZERO = (0, 0)
U, UX = (0, ZERO), (0, (0, 1))
term = lambda order, *channels: Term((0, order), tuple((c, ZERO) for c in channels))
BURGERS = {term(2, 0): 0.1, term(1, 0, 0): -0.5}


def noisy(found, noise=0.0, seed=0, channels=slice(None)):
    values = found.values[..., channels]
    spread = values.std(axis=tuple(range(values.ndim - 1)))
    values = values + noise * spread * np.random.default_rng(seed).normal(size=values.shape)
    return FieldSeries(values, found.dx, found.dt, found.channels[channels])


@pytest.fixture(scope="module")
def burgers():
    return simulate_field("burgers", points=96, times=81, seed=1, tolerance=1e-8)


def found_terms(found, channel=0):
    equation = found.equations[channel]
    names = found.data.channels
    return {text(t, names): w for t, w in zip(equation.terms, equation.fit.coefficients)}


# ---------------------------------------------------------------------- terms


def test_leibniz_against_sympy():
    x, t = sympy.symbols("x t")
    u, v = sympy.Function("u")(x, t), sympy.Function("v")(x, t)
    taken = Term((0, 3), (U, U, (1, (0, 1))))
    by_hand = sympy.expand(sympy.diff(u**2 * sympy.diff(v, x), x, 3).doit())
    names = {"u": u, "v": v}
    for name, field in (("u", u), ("v", v)):
        names |= {f"{name}_{'x' * n}": sympy.diff(field, x, n) for n in range(1, 5)}
    ours = expression(taken.expanded, "uv").subs({sympy.Symbol(n): f for n, f in names.items()})
    assert sympy.expand(ours.doit() - by_hand) == 0


def test_library_holds_each_term_once_and_the_simple_first():
    one = library(1, 1, degree=2, order=2)
    assert [text(t, "u") for t in one] == ["1", "u", "u_x", "u²", "u_xx", "∂x(u²)", "u_x²", "∂xx(u²)"]
    two = library(2, 2)
    assert len(set(two)) == len(two)
    laws = [tuple(sorted(t.expanded.items())) for t in two]
    assert len(set(laws)) == len(laws)
    plane = {text(t, "uv") for t in two}
    assert {"u_xxyy", "u·v_x", "u_y·v", "∂yy(u·v²)", "u_x·v_x"} <= plane
    assert "u_t" in {text(t, "u") for t in library(1, 1, second_order=True)}


def test_equal_sums_expand_alike():
    assert expand({term(1, 0, 0): 0.5}) == expand({Term(ZERO, (U, UX)): 1.0})


# ------------------------------------------------------------------ weak form


@pytest.fixture(scope="module")
def tests():
    return TestFunctions((Bump.spread(60, 0.1, 14, False, 4), Bump.spread(48, 2 * np.pi / 48, 11, True, 3)))


@pytest.mark.parametrize("orders", [(0, 1), (0, 2), (0, 4), (1, 0), (2, 0), (1, 2)])
def test_derivatives_move_to_the_test_functions(tests, orders):
    t, x = np.meshgrid(0.1 * np.arange(60), 2 * np.pi * np.arange(48) / 48, indexing="ij")
    wave = lambda n: np.exp(-0.3 * t) * (-0.3) ** n
    derived = {0: np.sin(2 * x), 1: 2 * np.cos(2 * x), 2: -4 * np.sin(2 * x), 4: 16 * np.sin(2 * x)}
    moved = tests.integrate(wave(0) * derived[0], orders)
    direct = tests.integrate(wave(orders[0]) * derived[orders[1]], (0, 0))
    np.testing.assert_allclose(moved, direct, atol=2e-5 * np.abs(direct).max())


def test_test_functions_die_out_and_sum_to_one():
    for half in (6, 9, 20, 60):
        bump = Bump.spread(200, 0.5, half, False, 2)
        assert bump.kernel(0).sum() == pytest.approx(1.0)
        assert bump.kernel(0)[0] == 0.0
        assert abs(bump.kernel(1).sum()) < 1e-10
        assert bump.centres[0] >= half
        assert bump.centres[-1] < 200 - half


def test_spreading_is_the_adjoint_of_integrating(tests):
    random = np.random.default_rng(0)
    values, rows = random.normal(size=(60, 48)), random.normal(size=tests.number)
    for orders in ((0, 0), (1, 2), (0, 3)):
        left = rows @ tests.integrate(values, orders)
        assert left == pytest.approx(float((tests.spread(rows, orders) * values).sum()))


def problem_of(data, terms, halves=(10, 9)):
    return WeakProblem(data, character(replace(data, periodic=(True,))), tuple(terms), halves)


def test_wick_products_have_the_mean_of_the_clean_ones():
    random = np.random.default_rng(3)
    x = np.arange(64) * 2 * np.pi / 64
    clean = np.broadcast_to(np.stack([np.sin(x), 0.5 + np.cos(x)], axis=-1), (400, 64, 2))
    sigma = np.array([0.3, 0.2])
    data = FieldSeries(clean + sigma * random.normal(size=clean.shape), x[1], 1.0, periodic=(True,))
    known = replace(character(data), sigma=sigma, finest=(0.1, 0.3))
    problem = WeakProblem(data, known, (), (6, 8))
    for factors in ((U, U), (U, U, U), (U, (1, ZERO), (1, ZERO)), (UX, UX), ((0, ZERO), (1, (0, 1)))):
        exact = np.ones(64)
        for channel, (_, order) in factors:
            exact = (
                exact * (np.cos(x) if channel == 0 else -np.sin(x)) if order else exact * clean[0, :, channel]
            )
        apart = problem.product(factors).mean(0) - exact
        error = problem.product(factors).std(0) / 20
        assert (np.abs(apart) < 5 * error).all(), factors
        plain = np.prod([problem._factor(f) for f in factors], axis=0).mean(0) - exact
        if len({c for c, _ in factors}) < len(factors) and factors[0][1] == factors[-1][1]:
            assert (np.abs(plain) > 5 * error).any(), "without correction the mean is off"


@pytest.mark.parametrize("points", [48, 49])
def test_fields_are_derived_exactly_on_closed_axes(points):
    x = np.arange(points) * 2 * np.pi / points
    values = np.broadcast_to(np.sin(3 * x) + np.cos(7 * x), (30, points))[..., None]
    problem = problem_of(FieldSeries(values, x[1], 1.0, periodic=(True,)), (), (6, 8))
    exact = 3 * np.cos(3 * x) - 7 * np.sin(7 * x)
    np.testing.assert_allclose(problem._factor(UX)[4], exact, atol=1e-10)


def test_products_with_derivatives_are_fitted_exactly():
    """Burgers in the plane, u_t = 0.4 (u_xx + u_yy) − u u_x − v u_y: no bias by deriving the data."""
    clean = simulate_field(
        "burgers", dim=2, points=48, times=40, seed=3, parameters={"nu": 0.4}, tolerance=1e-9
    )
    z = (0, 0, 0)
    own, wind = Term((0, 1, 0), ((0, z), (0, z))), Term(z, ((0, (0, 0, 1)), (1, z)))
    smooth = [Term((0, 2, 0), ((0, z),)), Term((0, 0, 2), ((0, z),))]
    data = FieldSeries(clean.values, clean.dx, clean.dt, periodic=(True, True))
    problem = WeakProblem(data, character(data), (*smooth, own, wind), (10, 9, 9))
    one = fit(Normal(problem, 0, np.ones(problem.tests.number, bool)), range(4))
    np.testing.assert_allclose(one.coefficients, [0.4, 0.4, -0.5, -1.0], rtol=2e-4)


def test_noise_left_over_is_as_large_as_predicted(burgers):
    ratio = []
    for seed in range(6):
        data = noisy(burgers, 0.1, seed)
        normal = Normal(problem := problem_of(data, BURGERS), 0, np.ones(problem.tests.number, bool))
        w = np.array(list(BURGERS.values()))
        ratio.append(normal.raw_residual([0, 1], w) / normal.noise_energy([0, 1], w))
        assert abs(normal.left_over([0, 1], w)) < 5 * normal.chance([0, 1], w)
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.12)


def test_standard_errors_cover(burgers):
    """Over repeated noise the errors are as large as stated, and their mean is zero."""
    z = []
    for seed in range(20):
        problem = problem_of(noisy(burgers, 0.1, seed), BURGERS)
        one = fit(Normal(problem, 0, np.ones(problem.tests.number, bool)), [0, 1])
        z.append((one.coefficients - list(BURGERS.values())) / one.errors)
    z = np.array(z)
    assert 0.6 < np.sqrt((z**2).mean()) < 1.5
    assert (np.abs(z.mean(0)) < 1.0).all()


def test_coefficients_are_exact_without_noise(burgers):
    problem = problem_of(noisy(burgers), BURGERS)
    one = fit(Normal(problem, 0, np.ones(problem.tests.number, bool)), [0, 1])
    np.testing.assert_allclose(one.coefficients, list(BURGERS.values()), rtol=1e-5)


# ------------------------------------------------------------------ character


@pytest.mark.parametrize("noise", [1e-3, 0.1])
def test_noise_level(burgers, noise):
    sigma = noise * burgers.values.std()
    assert noise_level(noisy(burgers, noise).values)[0] == pytest.approx(sigma, rel=0.05)


def test_closed_axes_are_seen(burgers):
    for noise in (0.0, 0.1):
        whole = noisy(burgers, noise).values
        assert closes(whole, 1)
        assert not closes(whole[:, 5:70], 1)


# ------------------------------------------------------------------ selection


def test_best_subsets_are_those_of_exhaustive_search(burgers):
    data = noisy(burgers, 0.05)
    problem = problem_of(data, library(1, 1, degree=2, order=3))
    normal = Normal(problem, 0, np.ones(problem.tests.number, bool))
    found = best_subsets(normal, 3)
    for size in (1, 2, 3):
        every = []
        for subset in combinations(range(len(problem.terms)), size):
            w = normal.solve(subset)
            if w is not None and normal.clear[list(subset)].all():
                every.append((normal.left_over(subset, w), subset))
        assert found[size][0][1] == min(every)[1]


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.1])
def test_burgers(burgers, noise):
    found = discover(noisy(burgers, noise))
    assert found.verdict == "law", found.reason
    assert found_terms(found).keys() == {"u_xx", "∂x(u²)"}
    tolerance = {0.0: 1e-4, 0.01: 0.01, 0.1: 0.05}[noise]
    assert found_terms(found)["u_xx"] == pytest.approx(0.1, rel=tolerance)
    assert found_terms(found)["∂x(u²)"] == pytest.approx(-0.5, rel=tolerance)
    assert found.rollout.error[-1, 0] < 0.05 < found.rollout.persistence[-1, 0]


def test_part_of_a_domain_with_open_ends(burgers):
    whole = noisy(burgers, 0.01)
    found = discover(replace(whole, values=whole.values[:, 7:75]))
    assert found.character.periodic == (False,)
    assert found_terms(found).keys() == {"u_xx", "∂x(u²)"}
    assert found.rollout.error.max() < 0.05
    assert any("rim" in sentence for sentence in report(found).json["caveats"])


def test_units_of_measurement_do_not_matter(burgers):
    """Stretching space by 3, time by 5 and the field by 7 does to the coefficients what it must."""
    data = noisy(burgers, 0.05)
    stretched = FieldSeries(7 * data.values, 3 * data.dx[0], 5 * data.dt)
    one, other = (found_terms(discover(d)) for d in (data, stretched))
    assert other["u_xx"] == pytest.approx(one["u_xx"] * 9 / 5, rel=1e-6)
    assert other["∂x(u²)"] == pytest.approx(one["∂x(u²)"] * 3 / 5 / 7, rel=1e-6)


def test_one_channel_of_a_wave_is_of_second_order():
    wave = simulate_field("wave", points=96, times=81, parameters={"c": 1.3}, seed=2)
    found = discover(noisy(wave, 0.02, channels=slice(0, 1)))
    assert (found.verdict, found.time_order) == ("law", 2)
    assert found_terms(found) == {"u_xx": pytest.approx(1.69, rel=0.02)}
    assert found.equations[0].law.target == "u_tt"
    assert found.rollout.error[-1, 0] < 0.1


def test_both_channels_of_a_wave():
    wave = simulate_field("wave", points=96, times=81, seed=2)
    found = discover(noisy(wave, 0.1))
    assert found.verdict == "law", found.reason
    assert found_terms(found, 0) == {"v": pytest.approx(1.0, rel=0.02)}
    assert found_terms(found, 1) == {"u_xx": pytest.approx(1.0, rel=0.02)}


def test_gray_scott_in_the_plane():
    clean = simulate_field("gray_scott", dim=2, points=48, length=60.0, times=60, seed=1, tolerance=1e-4)
    found = discover(noisy(clean, 0.01), order=2)
    assert found.verdict == "law", found.reason
    first, second = (found_terms(found, c) for c in (0, 1))
    assert first == {
        "1": pytest.approx(0.04, rel=0.01),
        "u": pytest.approx(-0.04, rel=0.01),
        "u_xx": pytest.approx(0.16, rel=0.01),
        "u_yy": pytest.approx(0.16, rel=0.01),
        "u·v²": pytest.approx(-1.0, rel=0.01),
    }
    assert second.keys() == {"v", "v_xx", "v_yy", "u·v²"}
    assert "c2*(u_xx + u_yy)" in str(found.equations[0].law.expression)


# ----------------------------------------------------------------- no law, or doubt


def test_noise_is_no_law():
    values = np.random.default_rng(0).normal(size=(60, 64, 1))
    found = discover(FieldSeries(values, 0.1, 0.1))
    assert found.verdict == "none"
    assert found.equations[0].fit is None
    assert str(found.equations[0].law.expression) == "0"


def test_forcing_in_time_is_no_law():
    x, t = np.meshgrid(np.arange(64) * 2 * np.pi / 64, 0.03 * np.arange(80))
    # u_t = u_xx / 10 + sin(3t) cos(x), from cos(2x)
    swing = (0.1 * np.sin(3 * t) - 3 * np.cos(3 * t) + 3 * np.exp(-0.1 * t)) / 9.01
    values = np.exp(-0.4 * t) * np.cos(2 * x) + swing * np.cos(x)
    assert discover(FieldSeries(values[..., None], x[0, 1], 0.03)).verdict != "law"


@pytest.mark.slow
def test_a_coefficient_that_varies_in_space_is_no_plain_law():
    n = 64
    x = np.arange(n) * 2 * np.pi / n
    D = 0.1 * (1 + 0.6 * np.sin(x + np.pi / n))
    ahead = (np.roll(np.eye(n), 1, axis=1) - np.eye(n)) * n / (2 * np.pi)
    flow = -ahead.T @ (D[:, None] * ahead)
    values, vectors = np.linalg.eigh(flow)
    start = np.cos(x) + 0.5 * np.sin(2 * x + 1) + 0.3 * np.cos(3 * x)
    t = 0.03 * np.arange(80)[:, None]
    solution = (np.exp(values * t) * (vectors.T @ start)) @ vectors.T
    data = FieldSeries(solution[..., None], x[1], 0.03)
    assert discover(data).verdict != "law"


def test_one_mode_cannot_tell_decay_from_diffusion():
    x, t = np.meshgrid(np.arange(64) * 2 * np.pi / 64, 0.03 * np.arange(80))
    values = np.exp(-0.9 * t) * np.sin(3 * x)
    values += 0.02 * np.random.default_rng(0).normal(size=values.shape)
    found = discover(FieldSeries(values[..., None], x[0, 1], 0.03))
    assert found.verdict == "ambiguous"
    assert "do not tell" in found.reason
    assert {"u", "u_xx"} <= {
        text(found.problem.terms[j], "u")
        for f in (found.equations[0].choice.best, *found.equations[0].choice.rivals)
        for j in f.support
    }


def test_a_single_travelling_wave_comes_with_a_warning():
    x, t = np.meshgrid(np.arange(128) * 0.15, 0.05 * np.arange(80))
    values = 1 / np.cosh(x - 6 - t) ** 2
    found = discover(FieldSeries(values[..., None], 0.15, 0.05))
    assert found_terms(found) == {"u_x": pytest.approx(-1.0, rel=1e-3)}
    assert any("travelling wave" in sentence for sentence in report(found).json["caveats"])


def test_a_small_change_of_a_large_field_is_taken_from_its_mean():
    clean = simulate_field("heat", points=64, times=60, seed=4)
    found = discover(replace(data := noisy(clean, 0.01), values=data.values + 300.0))
    assert found.offsets == (pytest.approx(300.0, abs=1.0),)
    assert found_terms(found) == {"u_xx": pytest.approx(0.1, rel=0.02)}
    assert found.verdict == "law", found.reason


@pytest.mark.parametrize(
    ("options", "message"),
    [({"degree": 9}, "degree=9"), ({"time_order": 3}, "time_order=3"), ({"held_out": 0.9}, "held_out=0.9")],
)
def test_impossible_options(burgers, options, message):
    with pytest.raises(ValueError, match=message):
        discover(noisy(burgers), **options)


# ---------------------------------------------------------------- law and report


def test_isotropy_is_read_from_the_data():
    terms = [Term((0, 2, 0), ((0, (0, 0, 0)),)), Term((0, 0, 2), ((0, (0, 0, 0)),))]
    covariance = np.diag([0.01, 0.02]) ** 2
    groups, w, V = tied(terms, np.array([1.0, 1.01]), covariance)
    assert groups == [{0: 1, 1: 1}]
    assert w[0] == pytest.approx((1.0 / 0.01**2 + 1.01 / 0.02**2) / (1 / 0.01**2 + 1 / 0.02**2))
    assert V[0, 0] == pytest.approx(1 / (1 / 0.01**2 + 1 / 0.02**2))
    assert len(tied(terms, np.array([1.0, 1.2]), covariance)[0]) == 2


def test_law_has_units_and_survives_a_file(burgers, tmp_path):
    data = replace(noisy(burgers, 0.01), units={"u": "m/s", "x": "m", "time": "s"})
    law = discover(data).equations[0].law
    assert str(law.expression) == "c0*u_xx + c1*u*u_x"
    from sciml.units import compatible

    assert compatible(law.constants["c0"].unit, "m**2/s")
    assert compatible(law.target_unit, "m/s**2")
    law.save(tmp_path / "law.json")
    assert Law.load(tmp_path / "law.json") == law
    value = law.numpy(u=np.array([2.0]), u_x=np.array([3.0]), u_xx=np.array([5.0]))
    assert value[0] == pytest.approx(0.1 * 5 - 6, rel=0.02)


def test_differences_are_exact_for_polynomials():
    x = np.arange(12) * 0.5
    for order, exact in ((1, 3 * x**2), (2, 6 * x), (3, 6 + 0 * x)):
        np.testing.assert_allclose(difference_matrix(12, 0.5, order, False) @ x**3, exact, atol=1e-8)


def test_stencils_are_read_from_messages(burgers):
    data, tests_of, split = prepared(noisy(burgers))
    network = FieldNetwork(1, 1)
    stencils = learn_stencils(network, data, tests_of, split)
    np.testing.assert_allclose(
        stencils.weights, network.stencils.weight.detach().numpy(), rtol=1e-6, atol=1e-6
    )
    at = {text(stencils.term(m, a), "u"): stencils.moments[0, m, a] for m in range(3) for a in range(5)}
    assert at["u_xx"] == pytest.approx(0.1, rel=0.05)
    assert at["∂x(u²)"] == pytest.approx(-0.5, rel=0.05)
    assert stencils.validation < 0.01
    assert {text(t, "u") for t in stencils.proposed(0, 2)} == {"u_xx", "∂x(u²)"}


def test_report_says_what_was_found(burgers, tmp_path):
    data, tests_of, split = prepared(noisy(burgers, 0.05))
    stencils = learn_stencils(FieldNetwork(1, 1), data, tests_of, split)
    found = discover(data, proposed=[stencils.proposed(0)])
    page = report(found, stencils=stencils, seconds={"train": 1.0}, title="<b>", seed=3)
    page.write(tmp_path)
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["verdict"] == "law"
    assert content["equations"]["u"]["constants"]["c0"]["value"] == pytest.approx(0.1, rel=0.05)
    assert content["data"]["noise"]["u"] == pytest.approx(0.05, rel=0.1)
    assert content["rollout"]["error"]["u"][-1] < content["rollout"]["persistence"]["u"][-1]
    html = (tmp_path / "report.html").read_text()
    assert "&lt;b&gt;" in html
    assert "<b></" not in html
    assert html.count("<svg") == 5
    assert "src=" not in html
    assert "<script" not in html


def test_report_of_nothing(tmp_path):
    values = np.random.default_rng(0).normal(size=(60, 64, 2))
    found = discover(FieldSeries(values, 0.1, 0.1))
    report(found).write(tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == "none"
