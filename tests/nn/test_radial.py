"""Functions of distance: smooth at the cutoff, orthogonal in the sphere."""

import math

import pytest
import torch

from sciml.nn.radial import bessel, envelope

CUTOFF = 3.0


def jets(function, at):
    """Value, slope and curvature."""
    r = torch.tensor([at], dtype=torch.float64, requires_grad=True)
    value = function(r)
    (slope,) = torch.autograd.grad(value.sum(), r, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), r)
    return [float(v.detach()) for v in (value, slope, curvature)]


def test_the_envelope_ends_with_two_derivatives():
    ours = jets(lambda r: envelope(r, CUTOFF), CUTOFF * (1 - 1e-9))
    assert ours == pytest.approx([0, 0, 0], abs=1e-6)
    assert jets(lambda r: envelope(r, CUTOFF), 0.0) == pytest.approx([1, 0, 0], abs=1e-9)
    cosine = jets(lambda r: 0.5 + 0.5 * torch.cos(math.pi * r / CUTOFF), CUTOFF * (1 - 1e-9))
    assert abs(cosine[2]) > 0.1  # the usual envelope does not
    assert (envelope(torch.linspace(CUTOFF, 3 * CUTOFF, 20), CUTOFF) == 0).all()


def test_bessel_functions_are_orthonormal_in_the_sphere():
    r = torch.linspace(0, CUTOFF, 20001, dtype=torch.float64)
    values = bessel(r, 5, CUTOFF)
    gram = torch.trapezoid(values[:, :, None] * values[:, None, :] * r[:, None, None] ** 2, r, dim=0)
    torch.testing.assert_close(gram, torch.eye(5, dtype=torch.float64), atol=1e-6, rtol=0)


def test_bessel_functions_are_finite_at_the_origin():
    torch.testing.assert_close(
        bessel(torch.zeros(1, dtype=torch.float64), 3, CUTOFF),
        bessel(torch.full((1,), 1e-6, dtype=torch.float64), 3, CUTOFF),
    )
