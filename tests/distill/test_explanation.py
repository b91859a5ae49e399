"""Formulas for functions that were not made here: near a point, over data, of networks and of callables."""

import numpy as np
import pytest
import sympy
import torch
from torch import nn

from sciml.distill import explain

RNG = np.random.default_rng(0)
X = RNG.uniform(0.5, 2.5, size=(400, 3))
NAMES = ["a", "b", "c"]
a, b, c = sympy.symbols("a b c")


def same(expression, truth, at):
    difference = sympy.lambdify([a, b, c], expression - truth)
    return max(abs(float(difference(*row))) for row in at) < 1e-6


def test_a_function_is_found_over_its_data():
    found = explain(lambda x: 3 * x[:, 0] * x[:, 1] / x[:, 2] ** 2, X, NAMES)["y"]
    assert same(found.expression, 3 * a * b / c**2, X[:20])
    assert found.fidelity == pytest.approx(1.0)
    assert found.faithful
    assert found.point is None
    np.testing.assert_allclose(found(a=X[:, 0], b=X[:, 1], c=X[:, 2]), 3 * X[:, 0] * X[:, 1] / X[:, 2] ** 2)


def branches(x):
    """One law where a < 1.5, another beyond: no simple formula holds for both."""
    return np.where(x[:, :1] < 1.5, np.c_[x[:, 1] ** 2, x[:, 2]], np.c_[5 / x[:, 2], x[:, 0] * x[:, 1]])


def test_near_a_point_holds_what_holds_there_and_only_there():
    options = {"width": 0.1, "seconds": 5, "outputs": ["u", "v"]}
    left = explain(branches, X, NAMES, at={"a": 0.8, "b": 1.2, "c": 1.5}, **options)
    right = explain(branches, X, NAMES, at=[2.2, 1.2, 1.5], **options)
    near = [[0.8, 1.25, 1.5], [0.8, 1.1, 1.45]]
    assert same(left["u"].expression, b**2, near)
    assert same(left["v"].expression, c, near)
    assert same(right["u"].expression, 5 / c, near)
    assert same(right["v"].expression, a * b, near)
    assert left["u"].gradient["b"] == pytest.approx(2.4, rel=1e-3)
    assert left["u"].width["a"] == pytest.approx(0.1 * X[:, 0].std())


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))  # float32
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        assert x.dtype == torch.float32
        assert len(x) <= 4096
        return self.drop(torch.stack([self.scale * x[:, 0] * x[:, 1], x[:, 2] - x[:, 0]], dim=1))


def test_a_module_is_asked_in_its_own_precision_in_evaluation_and_left_as_it_was():
    network = Network().train()
    many = np.repeat(X, 12, axis=0) + RNG.normal(size=(4800, 3)) * 0.01
    found = explain(network, many, NAMES, seconds=60)
    assert network.training
    assert all(p.grad is None for p in network.parameters())
    rounded = [sympy.nsimplify(found[k].expression, rational=True, tolerance=1e-4) for k in ("y0", "y1")]
    assert sympy.expand(rounded[0] - 2 * a * b) == 0
    assert sympy.expand(rounded[1] - c + a) == 0


def test_what_has_no_simple_formula_says_so():
    def rough(x):
        return np.sin(1e4 * x[:, 0]) + np.sin(1.7e4 * x[:, 1] + x[:, 2])

    found = explain(rough, X, NAMES, seconds=3)["y"]
    assert not found.faithful
    assert "no explanation" in found.reason


def test_a_constant_and_a_frame():
    import pandas as pd

    found = explain(lambda x: np.full(len(x), 7.0), pd.DataFrame(X, columns=NAMES), at=3)["y"]
    assert found.expression == 7.0
    assert found.fidelity == 1.0
    assert found.gradient == {"a": 0, "b": 0, "c": 0}


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((lambda x: x[:, 0], X[:, 0]), {}, r"X has shape \(400,\)"),
        ((lambda x: x[:, 0], X, ["a"]), {}, "3 columns, but there are 1 names"),
        ((lambda x: x[:, 0], X), {"at": 400}, "X has 400 rows"),
        ((lambda x: x[:, 0], X), {"at": [1.0, 2.0]}, "expected 3 finite values"),
        ((lambda x: x[:, 0], X, NAMES), {"at": {"a": 1.0}}, "a value for each of a, b, c"),
        ((lambda x: x[:, 0], X), {"at": 0, "width": 0.0}, "expected a positive number"),
        ((lambda x: x[:1, 0], X), {}, r"made shape \(1,\) of 400 rows"),
        ((lambda x: x / (x > 1), X), {}, "the function is inf at"),
        ((lambda x: x, X), {"outputs": ["u"]}, "has 3 outputs, but the names are u"),
        ((lambda x: x[:, 0], np.where(X > 2.4, np.nan, X)), {}, "X is not finite in row"),
    ],
)
def test_what_cannot_be_explained_is_named(arguments, options, message):
    with np.errstate(divide="ignore"), pytest.raises(ValueError, match=message):
        explain(*arguments, **options)


def test_modules_that_return_several_things_say_what_to_do():
    class Two(nn.Module):
        def forward(self, x):
            return x, x

    with pytest.raises(ValueError, match="returns tuple; expected a tensor"):
        explain(Two(), X)
    with pytest.raises(TypeError, match="not int"):
        explain(3, X)
