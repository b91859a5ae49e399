"""Real solid harmonics as polynomials, and solid-harmonic wavelets.

A solid harmonic Y_lm is a polynomial in x, y, z, homogeneous of degree l, whose Laplacian is zero; under
rotations the 2l + 1 of one degree turn among themselves, Σ_m Y_lm(u)² = |u|^2l. With a Gaussian it is a
wavelet (Eickenberg et al. 2018, arXiv 1805.00571),

    ψ_lm(u) = (2π)^(−3/2) s^(−3) Y_lm(u / s) exp(−|u|² / 2s²),
    ψ̂_lm(ω) = (−i)^l Y_lm(s ω) exp(−s²|ω|² / 2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

Exponents = tuple[int, int, int]
Polynomial = dict[Exponents, float]


def monomials(lmax: int) -> list[Exponents]:
    """Return the exponents of x, y, z in all monomials of degree up to lmax."""
    return [(a, b, c) for a, b, c in product(range(lmax + 1), repeat=3) if a + b + c <= lmax]


def solid_harmonics(lmax: int) -> Float[Tensor, "harmonics monomials"]:
    """Return the coefficients of Y_00, Y_1−1, Y_10, Y_11, ... on `monomials`: (lmax + 1)² rows."""
    column = {exponents: i for i, exponents in enumerate(monomials(lmax))}
    table = torch.zeros((lmax + 1) ** 2, len(column), dtype=torch.float64)
    for degree in range(lmax + 1):
        for m in range(-degree, degree + 1):
            for exponents, coefficient in _harmonic(degree, m).items():
                table[degree**2 + degree + m, column[exponents]] += coefficient
    return table


def sum_by_degree(squares: Float[Tensor, "... harmonics"], lmax: int) -> Float[Tensor, "... degrees"]:
    """Add up the 2l + 1 numbers of each degree l."""
    return torch.stack([part.sum(-1) for part in squares.split([2 * k + 1 for k in range(lmax + 1)], -1)], -1)


def wavelet_transfer(
    degree: int, scale: float, shape: Sequence[int], spacing: float
) -> Float[Tensor, "harmonics *shape"]:
    """Return i^l ψ̂_lm for m = −l ... l, which is real, at the frequencies of a grid."""
    axes = [2 * math.pi * scale * torch.fft.fftfreq(n, spacing, dtype=torch.float64) for n in shape]
    powers = [[axis**k for k in range(degree + 1)] for axis in axes]
    wide = [torch.exp(-(axis**2) / 2) for axis in axes]
    envelope = wide[0][:, None, None] * wide[1][:, None] * wide[2]
    result = torch.zeros(2 * degree + 1, *shape, dtype=torch.float64)
    for m in range(-degree, degree + 1):
        for (a, b, c), coefficient in _harmonic(degree, m).items():
            result[degree + m] += coefficient * (
                powers[0][a][:, None, None] * powers[1][b][:, None] * powers[2][c]
            )
    return result * envelope


def _harmonic(degree: int, m: int) -> Polynomial:
    """Return one Y_lm: Re or Im of (x + iy)^|m| times a polynomial in z and r²."""
    k = abs(m)
    result: Polynomial = {}
    for power in range((degree - k) // 2 + 1):  # of r², which is multiplied out
        rest = degree - 2 * power
        weight = (-1) ** power * math.comb(degree, power) * math.comb(2 * degree - 2 * power, degree)
        weight *= math.factorial(rest) / math.factorial(rest - k) / 2**degree
        for part in range(k + 1):  # of (x + iy)^k: binomial · x^(k − part) (iy)^part
            if part % 2 != (m < 0):
                continue
            sign = (-1) ** (part // 2) * math.comb(k, part)
            for a, b in product(range(power + 1), repeat=2):
                if a + b > power:
                    continue
                count = math.factorial(power) / math.prod(map(math.factorial, (a, b, power - a - b)))
                exponents = (k - part + 2 * a, part + 2 * b, rest - k + 2 * (power - a - b))
                result[exponents] = result.get(exponents, 0.0) + weight * sign * count
    norm = math.sqrt((1 if m == 0 else 2) * math.factorial(degree - k) / math.factorial(degree + k))
    return {exponents: norm * value for exponents, value in result.items()}
