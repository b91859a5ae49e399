"""Forms that are sums of one-body terms and products, and how what they leave free is fixed.

    e_ij = e_0 + (h_i + h_j) ± q_i q_j ± u_i u_j ± v_i v_j

By eigenvalues any symmetric table of energies is such a sum, so that a few terms are its best short form
(Li, Tang & Wingreen 1997, PRL 79, 765, on Miyazawa and Jernigan's table). The products are not unique: q and
u can be mixed, and beside a one-body term each can be shifted. Taken by convention are eigenvectors,
orthogonal over the 20 types, and beside a one-body term with mean zero.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import sympy
from jaxtyping import Float

from sciml.distill.contacts.forms import Form

ONE_BODY = "h"
PRODUCTS = ("q", "u", "v")


def ends(name: str) -> tuple[sympy.Symbol, sympy.Symbol]:
    """Return the symbols of a property at both ends."""
    return sympy.Symbol(f"{name}_i"), sympy.Symbol(f"{name}_j")


def canonical(formula: sympy.Expr) -> Form | None:
    """Return a (q_i + q_j) + b q_i q_j with as little as it needs; None for any other formula.

    A factor goes into the scale of the hidden property, and a sum beside a product into its zero, as one
    completes a square: b (q_i + a/b) (q_j + a/b) differs from it by a constant.
    """
    i, j = ends("q")
    polynomial = sympy.Poly(formula, i, j) if formula.is_polynomial(i, j) else None
    if polynomial is None or set(polynomial.monoms()) - {(1, 0), (0, 1), (1, 1), (0, 0)}:
        return None
    product = polynomial.coeff_monomial(i * j)
    if product.is_zero:  # a Float zero does not equal 0 in SymPy
        return bilinear(one_body=True, signs=())
    return bilinear(one_body=False, signs=(1 if product > 0 else -1,))


def bilinear(one_body: bool, signs: tuple[int, ...]) -> Form:
    """Return the form with these terms."""
    expression = sympy.Add(*(sign * sympy.Mul(*ends(name)) for sign, name in zip(signs, PRODUCTS)))
    hidden = PRODUCTS[: len(signs)]
    if one_body:
        expression, hidden = expression + sum(ends(ONE_BODY)), (ONE_BODY, *hidden)
    return Form(" ".join(hidden), expression, hidden)


def signs_of(form: Form) -> tuple[int, ...] | None:
    """Return the signs of the products of a form made by `bilinear`; None of another form."""
    signs = []
    for name in (n for n in form.hidden if n != ONE_BODY):
        coefficient = form.expression.expand().coeff(sympy.Mul(*ends(name)))
        if coefficient not in (1, -1):
            return None
        signs.append(int(coefficient))
    plain = bilinear(ONE_BODY in form.hidden, tuple(signs))
    return tuple(signs) if sympy.expand(plain.expression - form.expression) == 0 else None


def extended(form: Form) -> list[Form]:
    """Return the forms with one term more: a one-body term, or a product of either sign."""
    signs = signs_of(form)
    if signs is None or not form.hidden:
        return []
    one_body = ONE_BODY in form.hidden
    more = [] if one_body else [bilinear(True, signs)]
    if len(signs) < len(PRODUCTS):
        more += [bilinear(one_body, (*signs, sign)) for sign in (-1, 1)]
    return more


def start_of(form: Form, energy: Float[np.ndarray, "20 20"]) -> dict[str, Float[np.ndarray, "20"]]:
    """Return first values of the hidden properties of a form: what `settled` would make of these energies."""
    signs = signs_of(form)
    if signs is None:
        return {name: -energy.mean(1) for name in form.hidden}
    centred = energy - energy.mean()
    h = centred.mean(1)
    matrix = centred - h[:, None] - h if ONE_BODY in form.hidden else centred
    found = _eigenvectors(matrix, signs)
    # the sign is free: positive for types that attract
    found = {name: values if values @ h <= 0 else -values for name, values in found.items()}
    return ({ONE_BODY: h} if ONE_BODY in form.hidden else {}) | found


def settled(
    form: Form, hidden: Mapping[str, Float[np.ndarray, "20"]], like: Mapping[str, Float[np.ndarray, "20"]]
) -> dict[str, Float[np.ndarray, "20"]]:
    """Fix what a form leaves free, see above, without change of any energy but for a constant.

    Args:
        form: the form.
        hidden: its hidden values.
        like: values that the result should resemble, where order and signs of products are free.
    """
    signs = signs_of(form)
    if signs is None or not signs:
        return {name: np.asarray(values) for name, values in hidden.items()}
    matrix = np.zeros((20, 20))
    for name, sign in zip(PRODUCTS, signs):
        matrix += sign * np.outer(hidden[name], hidden[name])
    result: dict[str, np.ndarray] = {}
    if ONE_BODY in form.hidden:
        shift = matrix.mean(1) - matrix.mean() / 2
        result[ONE_BODY] = hidden[ONE_BODY] + shift
        matrix = matrix - shift[:, None] - shift
    return result | _matched(_eigenvectors(matrix, signs), signs, like)


# -------------------------------------------------------------------- details


def _eigenvectors(matrix: np.ndarray, signs: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Largest eigenvectors of the wanted signs, times the roots of their eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    rows = {-1: list(np.argsort(values)), 1: list(np.argsort(-values))}
    result = {}
    for name, sign in zip(PRODUCTS, signs):
        k = rows[sign].pop(0)
        result[name] = vectors[:, k] * np.sqrt(max(sign * values[k], 1e-4))
    return result


def _matched(
    hidden: dict[str, np.ndarray], signs: tuple[int, ...], like: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Products of one sign in the order of those that they resemble most, and turned as they are."""
    result = {}
    left = dict(zip(hidden, signs))
    for name, sign in zip(PRODUCTS, signs):
        overlap = {k: abs(hidden[k] @ like[name]) for k, s in left.items() if s == sign}
        best = max(overlap, key=lambda k: overlap[k])
        left.pop(best)
        result[name] = hidden[best] * (1 if hidden[best] @ like[name] >= 0 else -1)
    return result
