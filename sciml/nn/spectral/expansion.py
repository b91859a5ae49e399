"""Functions of a Laplacian by Chebyshev polynomials: K products with L, no eigenvectors, no dense matrix.

With eigenvalues between 0 and b, and T_k the Chebyshev polynomials of 2 L/b - 1,

    f(L) x ≈ Σ_k c_k T_k x,    T_0 = 1,  T_1 = L̂ = 2 L/b - 1,  T_{k+1} = 2 L̂ T_k - T_{k-1}.

For a symmetric L the error is at most max |f - p| · ‖x‖, with the maximum over [0, b], whatever the graph.
Source: Hammond, Vandergheynst, Gribonval, arXiv 0912.3848, section 6.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.nn.spectral.laplacians import LaplacianMatrix, along
from sciml.nn.spectral.responses import Response

MOST_TERMS = 4096


def chebyshev_coefficients(
    f: Response, degree: int, largest: Float[Tensor, "*graphs"], *, jackson: bool = False
) -> Float[Tensor, "*graphs degree+1"]:
    """Return c_0 .. c_degree of f on [0, largest], differentiable in what f depends on.

    Args:
        f: function of the eigenvalue, of any shape, to the same shape.
        degree: of the polynomial, at least 0.
        largest: end of the interval, for each graph.
        jackson: damp the coefficients, so that the polynomial of a function with a jump does not overshoot
            and that of a positive one stays positive, at the price of a smoother jump (Weiße et al., Rev.
            Mod. Phys. 78, 275, 2006, arXiv cond-mat/0504627, eq. 71).

    Raises:
        ValueError: a negative degree, a function that changes the shape.
    """
    if degree < 0:
        raise ValueError(f"The degree of a polynomial is at least 0, not {degree}.")
    points = 2 * (degree + 1)
    angle = (torch.arange(points, dtype=largest.dtype, device=largest.device) + 0.5) * math.pi / points
    at = largest[..., None] / 2 * (1 + torch.cos(angle))  # *graphs points
    value = f(at)
    if value.shape != at.shape:
        raise ValueError(
            f"The function gives shape {tuple(value.shape)} for eigenvalues of shape {tuple(at.shape)}; a "
            "Chebyshev expansion takes one gain for each eigenvalue, for all channels."
        )
    order = torch.arange(degree + 1, dtype=largest.dtype, device=largest.device)
    scale = (2 - (order == 0).to(order.dtype)) / points
    if jackson:
        scale = scale * _jackson(order, degree + 1)
    return value @ torch.cos(angle[:, None] * order) * scale


def chebyshev_values(
    coefficients: Float[Tensor, "terms"], eigenvalue: Float[Tensor, "..."], largest: float | Tensor
) -> Float[Tensor, "..."]:
    """Return the polynomial Σ_k c_k T_k(2 λ / largest - 1)."""
    multiply = lambda value: (2 * eigenvalue / largest - 1) * value
    terms = chebyshev_terms(multiply, torch.ones_like(eigenvalue), len(coefficients))
    return sum((c * term for c, term in zip(coefficients, terms)), torch.zeros_like(eigenvalue))


def chebyshev_error(
    f: Response, coefficients: Float[Tensor, "terms"], largest: float | Tensor, points: int = 2048
) -> float:
    """Return max |f - p| on a fine grid of [0, largest]: ‖f(L) x - p(L) x‖ is at most this times ‖x‖.

    A grid can miss a peak of f that is narrower than its step.
    """
    grid = torch.linspace(0, 1, points, dtype=coefficients.dtype, device=coefficients.device) * largest
    return float((f(grid) - chebyshev_values(coefficients, grid, largest)).abs().max())


def chebyshev_terms(multiply: Callable[[Tensor], Tensor], x: Tensor, number: int) -> Iterator[Tensor]:
    """Yield T_0 x, T_1 x, ... of the operator ``multiply``, whose eigenvalues lie in [-1, 1]."""
    before, now = x, x
    for k in range(number):
        if k == 1:
            now = multiply(x)
        elif k > 1:
            before, now = now, 2 * multiply(now) - before
        yield now


def chebyshev_function(
    L: LaplacianMatrix,
    x: Float[Tensor, "nodes ..."],
    f: Response,
    *,
    degree: int | None = None,
    tolerance: float = 1e-6,
    jackson: bool = False,
    largest: float | None = None,
) -> Float[Tensor, "nodes ..."]:
    """Return f(L) x on a graph of any size, in time and memory proportional to its edges.

    Args:
        L: of `laplacian`.
        x: signals on nodes.
        f: function of the eigenvalue, evaluated in float64.
        degree: of the polynomial; by default the smallest at which the coefficients left out sum to less
            than ``tolerance`` times the largest value of f.
        tolerance: of the error, relative to max |f| · ‖x‖, if the degree is not given.
        jackson: see `chebyshev_coefficients`.
        largest: a number that no eigenvalue exceeds; `LaplacianMatrix.upper_bound` by default. One that is
            too small makes the polynomial grow without bounds.

    Differentiable in x, in the weights of L and in what f depends on. The bound on the error holds for the
    combinatorial and the symmetric Laplacian; for the random walk's, in the norm weighted by degrees.

    Raises:
        ValueError: a function too rough for 4096 terms, or not finite; Jackson's damping without a degree.
    """
    if largest is None:  # the derivative of p(L) by its interval is as small as the error
        largest = float(L.upper_bound().detach().amax()) if L.graph.num_graphs else 0.0
    end = torch.tensor(largest or 1.0, dtype=torch.float64, device=x.device)
    if degree is None and jackson:
        raise ValueError("Jackson's damping has no tolerance to reach: give a degree.")
    if degree is None:
        degree = sufficient_degree(f, float(end), tolerance)
    c = chebyshev_coefficients(f, degree, end, jackson=jackson).to(x.dtype)
    scale = (2 / end).to(x.dtype)
    terms = chebyshev_terms(lambda value: scale * (L @ value) - value, x, degree + 1)
    result = torch.zeros_like(x)
    for k, term in enumerate(terms):
        result = result + c[k] * term
    return result


@torch.no_grad()
def sufficient_degree(f: Response, largest: float, tolerance: float) -> int:
    """Return the degree beyond which the coefficients on [0, largest] sum to less than tolerance · max |f|.

    Raises:
        ValueError: more than 4096 terms would be needed, or f is not finite.
    """
    end = torch.tensor(largest, dtype=torch.float64)
    degree = 15
    while degree < MOST_TERMS:
        c = chebyshev_coefficients(f, degree, end).abs()
        peak = max(float(f(torch.linspace(0, largest, 2048, dtype=torch.float64)).abs().max()), float(c[0]))
        if not math.isfinite(peak):
            raise ValueError(f"The function is not finite everywhere between 0 and {largest:g}.")
        tail = c.flip(0).cumsum(0).flip(0)  # tail[k] = Σ_{j ≥ k} |c_j|
        level = max(tolerance, 1e-15 * degree) * peak / 2  # below are the rounding errors of so many terms
        if float(tail[3 * degree // 4]) <= level:  # the rest decays as fast as this quarter
            return max(int((tail > level).sum()) - 1, 0)
        degree = 2 * degree + 1
    raise ValueError(
        f"The function is too rough on [0, {largest:g}]: {MOST_TERMS} Chebyshev terms leave an error above "
        f"{tolerance:g}. Give a degree (and jackson=True for a function with a jump), a larger tolerance, or "
        "take lanczos_function, or with_spectrum and SpectralFilter on a small graph."
    )


def rescaled(
    product: Callable[[Tensor], Tensor], largest: Float[Tensor, "graphs"], graph_of_node: Tensor
) -> Callable[[Tensor], Tensor]:
    """Return x ↦ (2 L/b - 1) x, with b for each graph; where b is zero so is L, and 1 does as well."""
    factor = (2 / torch.where(largest > 0, largest, 1.0))[graph_of_node]
    return lambda x: along(factor.to(x.dtype), x) * product(x) - x


# -------------------------------------------------------------------- details


def _jackson(order: Float[Tensor, "terms"], terms: int) -> Float[Tensor, "terms"]:
    step = math.pi / (terms + 1)
    return ((terms - order + 1) * torch.cos(order * step) + torch.sin(order * step) / math.tan(step)) / (
        terms + 1
    )
