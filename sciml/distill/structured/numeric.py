"""Formulas with free constants, bound to data: values and derivatives by the constants.

Within the search a Float is a constant that may be refitted, an Integer or Rational is structure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import sympy

Gradient = dict[int, np.ndarray]  # derivative of a value by the constants that it depends on
Dual = tuple[np.ndarray, Gradient]
Constants = Sequence[float] | np.ndarray
Program = Callable[[Constants], Dual]

_BIG = 700.0
_POOL = tuple(sympy.Dummy(f"c{i}") for i in range(100))  # few symbols, so that SymPy's caches serve
_FUNCTIONS: dict[type, tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]] = {
    # function: (f(x), f'(x, f(x)))
    sympy.exp: (lambda x: np.exp(np.minimum(x, _BIG)), lambda x, f: f),
    sympy.log: (np.log, lambda x, f: 1 / x),
    sympy.sin: (np.sin, lambda x, f: np.cos(x)),
    sympy.cos: (np.cos, lambda x, f: -np.sin(x)),
    sympy.tan: (np.tan, lambda x, f: 1 + f * f),
    sympy.tanh: (np.tanh, lambda x, f: 1 - f * f),
    sympy.sinh: (lambda x: np.sinh(np.clip(x, -_BIG, _BIG)), lambda x, f: np.sqrt(1 + f * f)),
    sympy.cosh: (lambda x: np.cosh(np.clip(x, -_BIG, _BIG)), lambda x, f: np.sinh(np.clip(x, -_BIG, _BIG))),
    sympy.asin: (np.arcsin, lambda x, f: 1 / np.sqrt(1 - x * x)),
    sympy.acos: (np.arccos, lambda x, f: -1 / np.sqrt(1 - x * x)),
    sympy.atan: (np.arctan, lambda x, f: 1 / (1 + x * x)),
    sympy.Abs: (np.abs, lambda x, f: np.sign(x)),
    sympy.sign: (np.sign, lambda x, f: 0 * x),
    sympy.Heaviside: (lambda x: (x >= 0) * 1.0, lambda x, f: 0 * x),
}


def template(expression: sympy.Expr) -> tuple[sympy.Expr, list[sympy.Symbol], np.ndarray]:
    """Replace every Float by a symbol of its own; return their values too."""
    symbols: list[sympy.Symbol] = []
    values: list[float] = []

    def walk(e: sympy.Expr) -> sympy.Expr:
        if isinstance(e, sympy.Float):
            symbols.append(_POOL[len(values)])
            values.append(float(e))
            return symbols[-1]
        return e.func(*map(walk, e.args)) if e.args and e.atoms(sympy.Float) else e

    return walk(expression), symbols, np.array(values)


def fill(formula: sympy.Expr, constants: Sequence[sympy.Symbol], values: Constants) -> sympy.Expr:
    """Put numbers in place of a template's constants."""
    return formula.xreplace({c: sympy.Float(float(v)) for c, v in zip(constants, values, strict=True)})


def bind(
    formula: sympy.Expr, columns: dict[sympy.Symbol, np.ndarray], constants: Sequence[sympy.Symbol]
) -> Program:
    """Compile a formula for fixed columns into closures that return value and gradient (forward mode).

    Whatever holds no constant is evaluated here, once.

    Raises:
        ValueError: if the formula holds a function that is not in the table, or a complex number.
    """
    number = {s: i for i, s in enumerate(constants)}

    def build(e: sympy.Expr) -> Program | np.ndarray:
        if e in columns:
            return columns[e]
        if e in number:
            i, one = number[e], np.ones(())
            return lambda c: (np.asarray(c[i]), {i: one})
        if e.is_number and not e.free_symbols:
            value = complex(e)
            if value.imag:
                raise ValueError(f"{e} is not real")
            return np.asarray(value.real)
        parts = [build(a) for a in e.args]
        if e.is_Add or e.is_Mul:
            fixed = [p for p in parts if isinstance(p, np.ndarray)]
            free = [p for p in parts if not isinstance(p, np.ndarray)]
            combine = np.add if e.is_Add else np.multiply
            if fixed:
                known = fixed[0]
                for p in fixed[1:]:
                    known = combine(known, p)
                if not free:
                    return known
                free.append(_constant(known))
            return _sum(free) if e.is_Add else _product(free)
        if all(isinstance(p, np.ndarray) for p in parts):
            return _known(e, [p for p in parts if isinstance(p, np.ndarray)])
        programs = [_constant(p) if isinstance(p, np.ndarray) else p for p in parts]
        if e.is_Pow:
            return _power(programs[0], float(e.exp)) if e.exp.is_Number else _exponential(*programs)
        if e.func in (sympy.Max, sympy.Min):
            return _extreme(programs, np.greater_equal if e.func is sympy.Max else np.less_equal)
        if e.func in _FUNCTIONS:
            return _function(*_FUNCTIONS[e.func], programs[0])
        raise ValueError(f"cannot evaluate {e.func.__name__} in {e}")

    with np.errstate(all="ignore"):
        run = build(formula)
    return _constant(run) if isinstance(run, np.ndarray) else run


def _known(e: sympy.Expr, parts: list[np.ndarray]) -> np.ndarray:
    if e.is_Pow:
        return raise_to(parts[0], float(parts[1])) if parts[1].ndim == 0 else np.power(*parts)
    if e.func in (sympy.Max, sympy.Min):
        return (np.maximum if e.func is sympy.Max else np.minimum).reduce(np.broadcast_arrays(*parts))
    if e.func in _FUNCTIONS:
        return np.asarray(_FUNCTIONS[e.func][0](parts[0]))
    raise ValueError(f"cannot evaluate {e.func.__name__} in {e}")


def raise_to(base: np.ndarray, p: float) -> np.ndarray:
    """Return ``base**p`` without the slow general power where a root or a product does."""
    if p in (2.0, -2.0):
        square = base * base
        return square if p > 0 else 1 / square
    if p in (0.5, -0.5):
        root = np.sqrt(base)
        return root if p > 0 else 1 / root
    return 1 / base if p == -1.0 else np.power(base, p)


def _constant(value: np.ndarray) -> Program:
    return lambda c: (value, {})


def _sum(parts: list[Program]) -> Program:
    def run(c: Constants) -> Dual:
        value, gradient = parts[0](c)
        gradient = dict(gradient)
        for part in parts[1:]:
            v, g = part(c)
            value = value + v
            for k, d in g.items():
                gradient[k] = gradient[k] + d if k in gradient else d
        return value, gradient

    return run


def _product(parts: list[Program]) -> Program:
    def run(c: Constants) -> Dual:
        value, gradient = parts[0](c)
        for part in parts[1:]:
            v, g = part(c)
            new = {k: d * v for k, d in gradient.items()}
            for k, d in g.items():
                new[k] = new[k] + d * value if k in new else d * value
            value, gradient = value * v, new
        return value, gradient

    return run


def _power(base: Program, p: float) -> Program:
    def run(c: Constants) -> Dual:
        b, g = base(c)
        slope = p * raise_to(b, p - 1) if p != 2 else 2 * b
        return raise_to(b, p), {k: d * slope for k, d in g.items()}

    return run


def _exponential(base: Program, exponent: Program) -> Program:
    """Power with a free exponent: d(b^e) = b^e (de·log b + e·db/b)."""

    def run(c: Constants) -> Dual:
        (b, gb), (e, ge) = base(c), exponent(c)
        value = np.power(b, e)
        gradient = {k: d * e * value / b for k, d in gb.items()}
        if ge:
            slope = value * np.log(np.maximum(b, 1e-300))
            for k, d in ge.items():
                gradient[k] = gradient[k] + d * slope if k in gradient else d * slope
        return value, gradient

    return run


def _function(f: Callable, slope: Callable, argument: Program) -> Program:
    def run(c: Constants) -> Dual:
        x, g = argument(c)
        value = f(x)
        s = slope(x, value)
        return value, {k: d * s for k, d in g.items()}

    return run


def _extreme(parts: list[Program], wins: np.ufunc) -> Program:
    def run(c: Constants) -> Dual:
        value, gradient = parts[0](c)
        for part in parts[1:]:
            v, g = part(c)
            first = wins(value, v)
            gradient = {k: np.where(first, gradient.get(k, 0), g.get(k, 0)) for k in {*gradient, *g}}
            value = np.where(first, value, v)
        return value, gradient

    return run
