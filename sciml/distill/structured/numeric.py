"""Formulas with free constants, evaluated and fitted fast.

Within the search a Float is a constant that may be refitted, an Integer or Rational is structure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.optimize
import sympy
from jaxtyping import Float

Columns = Sequence[np.ndarray]
Program = Callable[[Columns, Sequence[float]], np.ndarray]

_FUNCTIONS: dict[type, Callable[..., np.ndarray]] = {
    sympy.exp: lambda x: np.exp(np.minimum(x, 700.0)),
    sympy.log: np.log, sympy.sin: np.sin, sympy.cos: np.cos, sympy.tan: np.tan,
    sympy.tanh: np.tanh, sympy.sinh: np.sinh, sympy.cosh: np.cosh,
    sympy.asin: np.arcsin, sympy.acos: np.arccos, sympy.atan: np.arctan,
    sympy.Abs: np.abs, sympy.sign: np.sign, sympy.Max: lambda *x: np.maximum.reduce(np.broadcast_arrays(*x)),
    sympy.Min: lambda *x: np.minimum.reduce(np.broadcast_arrays(*x)),
    sympy.Heaviside: lambda x, *_: (x >= 0) * 1.0,
}  # fmt: skip


def template(expression: sympy.Expr) -> tuple[sympy.Expr, list[sympy.Symbol], np.ndarray]:
    """Replace every Float by a symbol of its own; return their values too."""
    symbols: list[sympy.Symbol] = []
    values: list[float] = []

    def walk(e: sympy.Expr) -> sympy.Expr:
        if isinstance(e, sympy.Float):
            symbols.append(sympy.Dummy(f"c{len(values)}"))
            values.append(float(e))
            return symbols[-1]
        return e.func(*map(walk, e.args)) if e.args and e.atoms(sympy.Float) else e

    return walk(expression), symbols, np.array(values)


def fill(formula: sympy.Expr, constants: Sequence[sympy.Symbol], values: Sequence[float]) -> sympy.Expr:
    """Put numbers in place of a template's constants."""
    return formula.xreplace({c: sympy.Float(float(v)) for c, v in zip(constants, values, strict=True)})


def program(formula: sympy.Expr, variables: Sequence[sympy.Symbol], constants: Sequence[sympy.Symbol]) -> Program:
    """Compile a formula to nested closures over NumPy (a hundred times faster to build than lambdify).

    Raises:
        ValueError: if it holds a function that is not in the table.
    """
    place = {s: i for i, s in enumerate(variables)}
    number = {s: i for i, s in enumerate(constants)}

    def build(e: sympy.Expr) -> Program:
        if e in place:
            i = place[e]
            return lambda x, c: x[i]
        if e in number:
            i = number[e]
            return lambda x, c: c[i]
        if e.is_number and not e.free_symbols:
            value = float(e)
            return lambda x, c: value
        if e.is_Pow and e.exp.is_Number:
            return _power(build(e.base), float(e.exp))
        parts = [build(a) for a in e.args]
        if e.is_Add:
            return lambda x, c: _accumulate(np.add, parts, x, c)
        if e.is_Mul:
            return lambda x, c: _accumulate(np.multiply, parts, x, c)
        if e.is_Pow:
            return lambda x, c: parts[0](x, c) ** parts[1](x, c)
        if e.func in _FUNCTIONS:
            function = _FUNCTIONS[e.func]
            return lambda x, c: function(*(p(x, c) for p in parts))
        raise ValueError(f"cannot evaluate {e.func.__name__} in {e}")

    run = build(formula)

    def safe(x: Columns, c: Sequence[float]) -> np.ndarray:
        with np.errstate(all="ignore"):
            return run(x, c)

    return safe


def _accumulate(operation: np.ufunc, parts: list[Program], x: Columns, c: Sequence[float]) -> np.ndarray:
    value = parts[0](x, c)
    for part in parts[1:]:
        value = operation(value, part(x, c))
    return value


def _power(base: Program, p: float) -> Program:
    match p:
        case -1.0:
            return lambda x, c: 1 / base(x, c)
        case 2.0:
            return lambda x, c: np.square(base(x, c))
        case -2.0:
            return lambda x, c: 1 / np.square(base(x, c))
        case 0.5:
            return lambda x, c: np.sqrt(base(x, c))
        case -0.5:
            return lambda x, c: 1 / np.sqrt(base(x, c))
        case _:
            exponent = int(p) if p.is_integer() else p
            return lambda x, c: np.power(base(x, c), float(exponent))


class Fit:
    """A formula bound to a table: its loss, and the constants that make it least.

    The loss is the weighted mean square of the residual; infinite where the formula is undefined.
    """

    def __init__(
        self,
        expression: sympy.Expr,
        symbols: Sequence[sympy.Symbol],
        X: Float[np.ndarray, "rows variables"],
        y: Float[np.ndarray, "rows"],
        weights: Float[np.ndarray, "rows"],
    ):
        self.formula, self.constants, self.values = template(expression)
        self.run = program(self.formula, symbols, self.constants)
        self.columns, self.y, self.root = list(X.T), y, np.sqrt(weights)

    def residual(self, values: Sequence[float]) -> Float[np.ndarray, "rows"]:
        """Return the weighted residual, huge instead of undefined."""
        with np.errstate(all="ignore"):
            r = (self.run(self.columns, values) - self.y) * self.root
        return np.nan_to_num(np.clip(r, -1e30, 1e30), nan=1e30)

    def loss(self) -> float:
        """Return the loss with the present constants."""
        r = self.residual(self.values)
        return float(np.mean(r**2)) if np.abs(r).max() < 1e29 else np.inf

    def refit(self, evaluations: int = 60) -> float:
        """Move the constants to a local least-squares optimum (Levenberg–Marquardt); return the loss."""
        if not 0 < len(self.values) < len(self.y):
            return self.loss()
        before, start = self.loss(), self.values
        size = np.where(start == 0, 1.0, np.abs(start))
        found = scipy.optimize.least_squares(
            lambda q: self.residual(q * size), start / size, method="lm",
            xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=evaluations * (len(start) + 1),
        )  # fmt: skip
        self.values = found.x * size
        after = self.loss()
        if not after <= before:
            self.values, after = start, before
        return after

    def expression(self) -> sympy.Expr:
        """Return the formula with its present constants."""
        return fill(self.formula, self.constants, self.values)
