"""The shifted softplus: compiled against its formula, and its derivatives."""

import math

import pytest
import torch

from sciml.nn import smooth
from sciml.nn.smooth import ShiftedSoftplus

EDGES = [0.0, -0.0, 1e-30, math.inf, -math.inf, 90.0, -90.0, 19.9]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_is_the_formula(dtype):
    x = torch.cat([torch.linspace(-750, 750, 4000), torch.linspace(-20, 20, 4000), torch.tensor(EDGES)])
    value, slope = smooth._compiled(x.to(dtype))
    exact = x.to(dtype).double()
    expected = torch.logaddexp(exact, torch.zeros_like(exact)) - math.log(2.0)
    expected[exact == math.inf] = math.inf
    tolerance = {"rtol": 2 * torch.finfo(dtype).eps, "atol": torch.finfo(dtype).eps}
    torch.testing.assert_close(value.double(), expected, **tolerance)
    torch.testing.assert_close(slope.double(), torch.sigmoid(exact), **tolerance)
    assert all(
        torch.isnan(found).all() for found in smooth._compiled(torch.full((8,), math.nan, dtype=dtype))
    )


@pytest.mark.parametrize("count", [8, 5])  # the second is no multiple of a register
def test_derivatives_to_third_order(count):
    torch.manual_seed(0)
    x = (3 * torch.randn(count, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(ShiftedSoftplus(), x)
    assert torch.autograd.gradgradcheck(ShiftedSoftplus(), x)
    values, expected = ShiftedSoftplus()(x), torch.nn.functional.softplus(x) - math.log(2.0)
    for _ in range(4):
        torch.testing.assert_close(values, expected)
        values, expected = (
            torch.autograd.grad(v.square().sum(), x, create_graph=True)[0] for v in (values, expected)
        )
