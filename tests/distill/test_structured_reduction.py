"""Symmetries, dimensionless groups and separate parts, against functions whose structure is known."""

import time

import numpy as np
import pytest
import sympy
import torch

from sciml.distill import search
from sciml.distill.front import Problem
from sciml.distill.structured.budget import Budget, Ended
from sciml.distill.structured.dimensions import groups, vectors
from sciml.distill.structured.reduction import Guide, Reduced, dimensionless, exchanges, part, parts
from sciml.distill.structured.smoother import Model, fit_process, smooth
from sciml.distill.structured.symmetry import MERGES, symmetries
from sciml.distill.structured.table import prepare

a, b, c, d = sympy.symbols("a b c d")
RNG = np.random.default_rng(0)


def table(X, y, **more):
    names = tuple("abcd"[: X.shape[1]])
    return prepare(Problem(X, y, names, **more), np.random.default_rng(0))[0]


def points(variables, rows=600, low=0.6, high=2.4):
    return np.random.default_rng(1).uniform(low, high, (rows, variables))


def test_pi_theorem():
    units = vectors(["kg/m**3", "m/s", "m", "Pa*s", "Pa"])  # drag on a body in a stream
    pressure, numbers = groups(units[:-1], units[-1])
    assert np.allclose(pressure @ units[:-1], units[-1])
    assert len(numbers) == 1
    reynolds = np.array([1, 1, 1, -1])
    assert abs(numbers[0] @ reynolds) == pytest.approx(4)
    assert not (numbers @ units[:-1]).any()
    assert groups(vectors(["m", "s"]), vectors(["m", "s", "kg"])[-1][:2]) is not None
    assert groups(vectors(["m", "s", "kg"])[:2], vectors(["m", "s", "kg"])[2]) is None  # no mass among them


def test_as_many_groups_as_variables_beyond_the_rank():
    units = vectors(["J*s", "1/s", "J/K", "K", "m/s", "J/m**2"])  # Planck's law
    factor, numbers = groups(units[:-1], units[-1])
    assert len(numbers) == 5 - np.linalg.matrix_rank(units[:-1])
    assert np.abs(numbers[0]).tolist() == [1, 1, 1, 1, 0]
    assert np.allclose(factor @ units[:-1], units[-1])


def test_smoother_is_smooth_and_its_gradient_is_the_finite_difference():
    X = points(2, 500)
    t = np.sin(2 * X[:, 0]) * X[:, 1]
    process = fit_process(X, t + 0.01 * RNG.standard_normal(500), np.ones(500))
    inside = points(2, 50, 0.8, 2.2)
    exact = np.sin(2 * inside[:, 0]) * inside[:, 1]
    assert np.abs(process.value(inside) - exact).max() < 0.02
    h = 1e-4
    for j, step in enumerate(h * np.eye(2)):
        difference = (process.value(inside + step) - process.value(inside - step)) / (2 * h)
        assert np.allclose(process.gradient(inside)[:, j], difference, rtol=1e-5, atol=1e-6)


def test_over_decades_the_smoother_is_of_logarithms():
    X = 10 ** np.random.default_rng(0).uniform(-2, 2, (400, 2))
    y = 5 * X[:, 0] / X[:, 1] ** 2
    found = smooth(X, y, 1 / y**2)
    assert found.log_target
    assert found.logs.all()
    assert np.allclose(found.value(X), y, rtol=1e-2)
    assert np.allclose(X * found.gradient(X), [1, -2], atol=2e-2)  # of the logarithm
    assert smooth(X, -y, 1 / y**2).value(X).max() < 0


@pytest.mark.parametrize("merge", MERGES, ids=lambda m: str(m.form(a, b)))
def test_a_symmetry_is_known_by_the_gradient(merge):
    X = points(3)
    u = merge.form(a, b)
    f = sympy.sin(u) + c * u
    gradient = np.stack([sympy.lambdify((a, b, c), sympy.diff(f, s))(*X.T) for s in (a, b, c)], 1)
    found = symmetries(X, gradient, np.ones(len(X)), np.zeros((3, 0)), most=1e-9)
    assert [(s.i, s.j, s.merge) for s in found] == [(0, 1, merge)]
    broken = gradient + np.eye(3)[0] * X[:, [1]]
    assert not symmetries(X, broken, np.ones(len(X)), np.zeros((3, 0)), most=1e-9)


def test_unlike_units_are_not_added():
    X = points(2)
    gradient = np.ones_like(X)  # of a + b
    forms = [
        s.merge.form(a, b) for s in symmetries(X, gradient, np.ones(len(X)), vectors(["m", "m"]), most=1e-9)
    ]
    assert forms == [a + b]
    assert not symmetries(X, gradient, np.ones(len(X)), vectors(["m", "s"]), most=1e-9)


@pytest.mark.parametrize(
    ("law", "left"),
    [
        (lambda w, x, y, z: np.sin(3 * np.hypot(x - y, z)) * w**2, 1),
        (lambda w, x, y, z: w**3 / np.expm1(w * x / (y * z)), 1),
        (lambda w, x, y, z: w * x + np.sin(y * z), 2),
    ],
    ids=["rotation of a difference", "homogeneous", "two parts"],
)
def test_a_problem_comes_down_to_few_variables(law, left):
    X = points(4, 1000)
    y = law(*X.T)
    data = table(X, y + 0.01 * y.std() * RNG.standard_normal(1000))
    small, _ = Guide(data).simplify(Reduced.of(data, [0, 1, 2, 3]))
    assert len(small.variables) == left
    assert len(small.words) >= 4 - left


def test_no_symmetry_is_found_where_there_is_none():
    X = points(3, 1000)
    y = np.sin(2 * X[:, 0]) + np.exp(0.4 * X[:, 1]) * X[:, 0] + np.cos(X[:, 2] ** 2 + X[:, 1])
    data = table(X, y)
    whole = Reduced.of(data, [0, 1, 2])
    small, smoother = Guide(data).simplify(whole)
    assert small is whole
    assert parts(small, smoother, np.random.default_rng(0), product=False) == [[0, 1, 2]]


def test_separate_parts_are_found_and_taken_apart():
    X = points(3, 1000)
    outer, inner = np.exp(0.7 * X[:, 2]), np.sin(2 * X[:, 0]) + X[:, 0] * X[:, 1]
    for product, y in ((False, inner + outer), (True, inner * outer)):
        data = table(X, y)
        guide, whole = Guide(data), Reduced.of(data, [0, 1, 2])
        smoother = guide.smooth(whole)
        found = parts(whole, smoother, np.random.default_rng(0), product)
        assert found == [[0, 1], [2]]
        assert parts(whole, smoother, np.random.default_rng(0), not product) == [[0, 1, 2]]
        piece = part(whole, smoother, [2], product)
        true = np.exp(0.7 * data.X[: len(piece), 2])
        assert np.corrcoef(piece, true)[0, 1] ** 2 > 0.999


def test_dimensionless_problem_has_the_same_target():
    X = points(4)
    y = X[:, 0] * X[:, 1] ** 2 * np.tanh(X[:, 2] / X[:, 3])
    data = table(X, y, units=("kg", "m/s", "m", "m"), target_unit="J")
    small = dimensionless(data, [0, 1, 2, 3])
    assert len(small.variables) == 1
    problem, restore = small.problem(data)
    u = sympy.Symbol(problem.names[0])
    back = sympy.lambdify((a, b, c, d), restore(u))(*data.X.T)
    assert np.allclose(back, problem.X[:, 0] * small.size)
    assert np.allclose(problem.y * small.size, data.y)
    assert dimensionless(table(X, y, units=("kg", "m/s", "m", "m"), target_unit="A"), [0, 1, 2, 3]) is None
    assert dimensionless(table(X, y), [0, 1, 2, 3]) is None


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def forward(self, X):
        x, y, z, twin = X.unbind(1)
        return (torch.sin(3 * x * y) * self.factor + z * twin)[:, None]


def test_derivatives_of_a_module_are_those_of_the_same_callable():
    net, X = Net(), points(3, 40)
    arguments = ((0, 1, 2, 0), np.ones(4), np.array([1.0, 10.0, 0.1]), 2.0, X.std(0))
    module = Model(net, *arguments)
    plain = Model(lambda X: net(torch.as_tensor(X)).detach().numpy(), *arguments)
    assert np.allclose(module.value(X), plain.value(X))
    assert np.allclose(module.gradient(X), plain.gradient(X), rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda X: X, r"one finite number|a finite number for each of 200 rows, found shape \(200, 3\)"),
        (lambda X: np.full(len(X), np.nan), "not finite"),
    ],
)
def test_a_model_that_is_no_function_of_rows_is_refused(model, message):
    X = points(3, 200)
    with pytest.raises(ValueError, match=message):
        search(X, np.sin(X[:, 0] * X[:, 1]) + X[:, 2], model=model, seconds=20)


def test_a_model_shows_what_noise_hides():
    X = points(4, 300)
    law = lambda X: np.sin(3 * X[:, 0] / X[:, 1]) * (1 + X[:, 2] ** 2)
    data = table(X, law(X) + 1.0 * np.random.default_rng(2).standard_normal(300))
    model = Model(law, (0, 1, 2, 3), np.ones(4), np.ones(4), 1.0, X.std(0))
    small, smoother = Guide(data, model).simplify(Reduced.of(data, [0, 1, 2]))
    assert set(small.variables) & {a / b, b / a}
    assert len(parts(small, smoother, np.random.default_rng(0), product=True)) == 2


def test_constant_and_repeated_columns_reach_the_model_as_they_were():
    X = points(2, 300)
    wide = np.column_stack([X[:, 0], np.full(300, 2.0), X[:, 1], X[:, 0]])
    model = lambda X: X[:, 0] * X[:, 1] + X[:, 2] * X[:, 3]
    front = search(wide, model(wide), ["p", "q", "r", "s"], model=model, seconds=120)
    assert front.best().loss < 1e-20
    assert front.best().expression.free_symbols == set(sympy.symbols("p r"))


def test_a_share_of_the_time_ends_what_is_inside_only():
    now = [0.0]
    budget = Budget(10.0, 5, clock=lambda: now[0])
    with budget.share(0.5):
        now[0] = 6.0
        budget.look()
        pytest.fail("the share had ended")
    budget.look()
    for _ in range(5):
        budget.spend()
    with pytest.raises(Ended):
        budget.spend()
    with pytest.raises(Ended), budget.share(0.5):
        budget.spend()
    assert Budget(1.0, None).clock is time.monotonic


EXCHANGED = [
    (a * b / (a + b), {a + b, a * b}, 1),  # a reduced mass
    (c**2 * sympy.exp(-a * b) / (a + b + 1), {a + b, a * b, c}, 1),
    ((a - b) * c / (a * b + 2), {a + b, a * b, c}, a - b),
    (sympy.sqrt(a * b) * (1 + c * d / (c + d)), {a + b, a * b, c + d, c * d}, 1),
    (a * b / (a + 1.3 * b), {a, b}, 1),  # nearly, and not
]


@pytest.mark.parametrize(("law", "variables", "factor"), EXCHANGED, ids=[str(law) for law, *_ in EXCHANGED])
def test_variables_that_may_be_exchanged_are_seen_by_sum_and_product(law, variables, factor):
    symbols = sorted(law.free_symbols, key=str)
    X = points(len(symbols), 1000)
    y = np.asarray(sympy.lambdify(symbols, law)(*X.T)) * (1 + 0.01 * RNG.standard_normal(len(X)))
    t = table(X, y)
    problem = Reduced.of(t, [*range(len(symbols))])
    smoother = Guide(t).smooth(problem)
    found = exchanges(problem, smoother)
    assert set(found.variables) == variables
    assert found.factor == factor
    for u, values in zip(found.variables, found.X.T, strict=True):  # what it says is what it is
        np.testing.assert_allclose(values, sympy.lambdify(t.symbols, u)(*t.X.T), rtol=1e-12)
    assert (found is problem) == (variables == set(symbols))


def test_unlike_units_are_not_exchanged():
    X = points(2)
    t = table(X, X[:, 0] * X[:, 1], units=["m", "s"], target_unit="m*s")
    problem = Reduced.of(t, [0, 1])
    assert exchanges(problem, Guide(t).smooth(problem)) is problem
