"""Formulas as SymPy expressions: count their nodes, evaluate them on data, refit their constants."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np
import scipy.optimize
import sympy
from jaxtyping import Float

from sciml.distill.front import Problem
from sciml.distill.parser import parse, to_text

__all__ = ["complexity", "evaluate", "loss", "parameters", "parse", "refit", "to_text"]


def complexity(expression: sympy.Expr) -> int:
    """Count the nodes of a formula as one would write it.

    Numbers and symbols 1, each binary operation or function 1, a sign 0; a division costs what a
    product costs, a square or square root 1, any other power 2 (operation and exponent).
    """
    if not expression.args:
        return 1
    if expression.is_Pow:
        return _power_complexity(expression)
    if expression.is_Mul:
        factors = [factor for factor in expression.args if factor != -1]
        divided = sum(_is_reciprocal(factor) for factor in factors)
        # a/b is one operation, not a product and a reciprocal; 1/(ab) has one division too
        shared = divided - (divided == len(factors))
        return sum(complexity(factor) for factor in factors) + len(factors) - 1 - shared
    operations = max(len(expression.args) - 1, 1)
    return sum(complexity(arg) for arg in expression.args) + operations


def _is_reciprocal(factor: sympy.Expr) -> bool:
    return factor.is_Pow and factor.exp.is_Number and bool(factor.exp < 0)


def _power_complexity(power: sympy.Expr) -> int:
    base, exponent = power.args
    if not exponent.is_Number:
        return complexity(base) + 1 + complexity(exponent)
    size = abs(float(exponent))
    return complexity(base) + int(bool(exponent < 0)) + {1.0: 0, 2.0: 1, 0.5: 1}.get(size, 2)


def evaluate(expression: sympy.Expr, columns: Mapping[str, np.ndarray]) -> Float[np.ndarray, "*rows"]:
    """Evaluate a formula on columns of data, in float64; nan where it is not defined or not real.

    Raises:
        ValueError: if a variable of the formula has no column.
    """
    names = tuple(sorted(str(symbol) for symbol in expression.free_symbols))
    missing = [name for name in names if name not in columns]
    if missing:
        raise ValueError(f"no column for {', '.join(missing)} of {expression}; given: {', '.join(columns)}")
    shape = np.broadcast_shapes(*(np.shape(column) for column in columns.values()))
    if expression.has(sympy.zoo, sympy.nan):
        return np.full(shape, np.nan)
    arrays = [np.asarray(columns[name], dtype=np.float64) for name in names]
    return _call(_compile(expression, names), arrays, shape)


def loss(expression: sympy.Expr, problem: Problem) -> float:
    """Weighted mean squared error over the weighted mean square of the target; inf where undefined."""
    return _loss(evaluate(expression, _columns(problem)), problem)


def parameters(expression: sympy.Expr) -> tuple[sympy.Expr, dict[sympy.Symbol, float]]:
    """Replace the free constants of a formula by symbols c0, c1, ... and return their values.

    Free are floating-point numbers and large integers; what is exact and simple (the 2 of x**2, the
    1/2 of x/2) belongs to the form. Names that the formula uses already are left out.
    """
    taken = {str(symbol) for symbol in expression.free_symbols}
    values: dict[sympy.Symbol, float] = {}

    def replace(node: sympy.Expr) -> sympy.Expr:
        if node.is_Number:
            if node.is_Rational and abs(node.p) <= 12 and node.q <= 12:
                return node
            index = len(values)
            while f"c{index}" in taken:
                index += 1
            taken.add(f"c{index}")
            symbol = sympy.Symbol(f"c{index}")
            values[symbol] = float(node)
            return symbol
        if not node.args:
            return node
        # the arguments of Max and Min are a set: order them, so that the names are reproducible
        return node.func(*map(replace, sympy.ordered(node.args) if node.func in _SETS else node.args))

    return replace(expression), values


_SETS = (sympy.Max, sympy.Min)


def refit(expression: sympy.Expr, problem: Problem) -> tuple[sympy.Expr, float]:
    """Fit the free constants of a formula (see `parameters`) to all rows by weighted least squares.

    A trust-region Gauss-Newton method starts from the constants as they are, in units of their size;
    on a large table it first settles on a sample. Returns the formula with the new numbers and its
    `loss`, or the old where no better is found.
    """
    template, start = parameters(expression)
    before = loss(expression, problem)
    if not start or not np.isfinite(before):
        return expression, before
    values = np.array(list(start.values()))
    if len(problem.y) > 2 * _SAMPLE:
        rows = np.sort(np.random.default_rng(0).choice(len(problem.y), _SAMPLE, replace=False))
        weights = None if problem.weights is None else problem.weights[rows]
        sample = replace(problem, X=problem.X[rows], y=problem.y[rows], weights=weights)
        values = _least_squares(template, tuple(start), values, sample)
    values = _least_squares(template, tuple(start), values, problem)
    refitted = template.xreplace(dict(zip(start, map(sympy.Float, values), strict=True)))
    after = loss(refitted, problem)
    return (refitted, after) if after < before else (expression, before)


_SAMPLE = 10_000


def _least_squares(
    template: sympy.Expr, constants: tuple[sympy.Symbol, ...], start: np.ndarray, problem: Problem
) -> np.ndarray:
    compiled = _compile(template, (*map(str, constants), *problem.names))
    size = np.where(start == 0, 1.0, np.abs(start))
    root = _root_weights(problem)
    columns = [*problem.X.T.astype(np.float64)]

    def residuals(scaled: np.ndarray) -> np.ndarray:
        return root * (_call(compiled, [*(scaled * size), *columns], problem.y.shape) - problem.y)

    if not np.isfinite(residuals(start / size)).all():
        return start
    fitted = scipy.optimize.least_squares(
        residuals,
        start / size,
        jac="3-point",
        x_scale="jac",
        ftol=1e-15,
        xtol=1e-15,
        gtol=1e-15,
        max_nfev=100,
    )
    return fitted.x * size


def _columns(problem: Problem) -> dict[str, np.ndarray]:
    return dict(zip(problem.names, problem.X.T, strict=True))


def _root_weights(problem: Problem) -> np.ndarray:
    """Square roots of the weights, such that a sum of weighted squares is the loss."""
    weights = np.ones(len(problem.y)) if problem.weights is None else np.asarray(problem.weights, float)
    size = float(np.max(np.abs(problem.y), initial=0.0)) or 1.0  # squares of 1e200 would overflow
    total = float(np.sum(weights * np.square(problem.y / size, dtype=np.float64)))
    return np.sqrt(weights / (total or float(np.sum(weights)) or 1.0)) / size


def _loss(prediction: np.ndarray, problem: Problem) -> float:
    with np.errstate(all="ignore"):
        value = float(np.sum(np.square(_root_weights(problem) * (prediction - problem.y))))
    return value if math.isfinite(value) else math.inf


@lru_cache(maxsize=1024)
def _compile(expression: sympy.Expr, names: tuple[str, ...]) -> Callable:
    # integers that no array element can hold become floats
    large = {n: sympy.Float(n) for n in expression.atoms(sympy.Integer) if abs(n) > 2**53}
    symbols = [sympy.Symbol(name) for name in names]
    return sympy.lambdify(symbols, expression.xreplace(large), modules=["numpy", "scipy"], dummify=True)


def _call(compiled: Callable, arguments: list, shape: tuple[int, ...]) -> np.ndarray:
    """Evaluate in real numbers, silently: nan where the formula is not defined."""
    with np.errstate(all="ignore"):
        array = np.asarray(compiled(*arguments))
        if np.iscomplexobj(array):
            array = np.where(array.imag == 0, array.real, np.nan)
        return np.array(np.broadcast_to(array, shape), dtype=np.float64)
