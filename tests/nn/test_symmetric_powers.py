"""Polynomials of tensors: which there are, that they turn as they should, and compiled against plain."""

import numpy as np
import pytest
import torch
from e3nn import o3

from sciml.nn.equivariant import SymmetricPowers
from sciml.nn.equivariant.paths import features, kinds
from sciml.nn.equivariant.polynomial import Polynomial
from sciml.nn.equivariant.symmetric_powers import monomials, symmetric_basis


@pytest.mark.parametrize(("out", "formula"), [("0e", "ijk=jik=ikj"), ("1o", "ijk=jik=ikj"), ("2e", "ij=ji")])
def test_there_are_as_many_tensors_as_e3nn_finds(out, formula):
    power = len(formula.split("=")[0])
    theirs = o3.ReducedTensorProducts(formula, i="0e+1o").irreps_out.count(o3.Irrep(out))
    assert len(symmetric_basis(features(1, "natural"), power, kinds(out)[0])) == theirs


def test_invariants_of_a_vector_are_powers_of_its_length():
    """Of one vector there is |v|² and no cubic invariant."""
    vector = kinds("1o")
    square = symmetric_basis(vector, 2, kinds("0e")[0])
    shorter, last = monomials(3, 2)
    v = np.random.default_rng(0).normal(size=3)
    value = square[0, 0] @ (v[shorter] * v[last])
    assert len(square) == 1
    assert abs(value) == pytest.approx(v @ v / 3**0.5)
    assert len(symmetric_basis(vector, 3, kinds("0e")[0])) == 0
    assert len(symmetric_basis(vector, 2, kinds("1e")[0])) == 0  # v × v


def example(lmax=2, out="0e+1o", correlation=3, channels=5):
    torch.manual_seed(0)
    irreps = features(lmax, "natural")
    layer = SymmetricPowers(irreps, kinds(out), correlation, channels, 2).double()
    x = torch.randn(4, sum(k.size for k in irreps), channels, dtype=torch.float64, requires_grad=True)
    element = torch.eye(2, dtype=torch.float64)[[0, 1, 1, 0]].requires_grad_()
    return layer, x, element


@pytest.mark.parametrize("fused", [True, False])
def test_products_turn_with_their_factors(fused):
    layer, x, element = example()
    layer.fused = fused
    turn = o3.rand_matrix().double()
    turned = torch.cat(
        [
            torch.einsum("ij,njc->nic", o3.Irrep(str(kind)).D_from_matrix(turn).double(), part)
            for kind, part in zip(layer.irreps, x.split([k.size for k in layer.irreps], dim=1))
        ],
        dim=1,
    )
    scalars, vectors = layer(x, element)
    after = layer(turned, element)
    torch.testing.assert_close(after[0], scalars, rtol=1e-5, atol=1e-5)  # e3nn turns in single precision
    torch.testing.assert_close(after[1], torch.einsum("ij,njc->nic", turn, vectors), rtol=1e-5, atol=1e-5)
    mirrored = x * torch.tensor([1.0] + 3 * [-1.0] + 5 * [1.0])[:, None]
    torch.testing.assert_close(layer(mirrored, element)[0], scalars)
    torch.testing.assert_close(layer(mirrored, element)[1], -vectors)


def test_degrees_and_channels():
    """A factor on features is one of λ + λ² + λ³, and no channel knows of another."""
    layer, x, element = example()
    scaled = [layer(scale * x, element)[0] for scale in (1.0, -1.0, 2.0, 3.0)]
    powers = torch.linalg.solve(
        torch.tensor([[s**p for p in (1, 2, 3)] for s in (1.0, -1.0, 2.0)], dtype=torch.float64),
        torch.stack(scaled[:3]).flatten(1),
    )
    predicted = torch.tensor([3.0, 9.0, 27.0], dtype=torch.float64) @ powers
    torch.testing.assert_close(predicted, scaled[3].flatten())
    assert all(powers[p].abs().max() > 1e-3 for p in range(3))
    (slope,) = torch.autograd.grad(layer(x, element)[1][:, :, 0].square().sum(), x)
    assert (slope[:, :, 1:] == 0).all()
    assert slope[:, :, 0].abs().max() > 0


@pytest.mark.parametrize(("correlation", "channels"), [(1, 3), (2, 4), (3, 8)])
def test_compiled_is_plain_to_third_order(correlation, channels):
    layer, x, element = example(1, "0e+1o", correlation, channels)
    leaves = [x, element, *layer.parameters()]
    chains = []
    for fused in (True, False):
        layer.fused = fused
        values = layer(x, element)
        chain = [values]
        for _ in range(3):
            loss = sum((v.square() * (1 + 0.1 * v)).sum() for v in values)
            values = torch.autograd.grad(loss, leaves, create_graph=True, materialize_grads=True)
            chain.append(list(values))
        chains.append(chain)
    torch.testing.assert_close(chains[0], chains[1], rtol=1e-9, atol=1e-7)


def test_a_polynomial_and_its_slopes():
    """x y + 3 x², with an output that is zero and one that is an input."""
    p = Polynomial((1, 1))
    (x,), (y,) = p.rows(0), p.rows(1)
    p.outputs = [[p.add(p.multiply(x, y), p.scale(p.multiply(x, x), 3.0)), None], [y]]
    a, b = (torch.randn(3, 1, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    first, second = p(a, b)
    torch.testing.assert_close(first[:, :1], a * b + 3 * a**2)
    assert (first[:, 1] == 0).all()
    torch.testing.assert_close(second, b)
    assert torch.autograd.gradcheck(p, (a, b))
    assert torch.autograd.gradgradcheck(p, (a, b))


def test_correlation_is_1_to_3():
    with pytest.raises(ValueError, match="1, 2 or 3 factors"):
        SymmetricPowers(kinds("0e"), kinds("0e"), 4, 2, 2)
