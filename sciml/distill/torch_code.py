"""Formulas as functions of torch tensors: differentiable, on any device, in the tensors' precision."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, reduce
from typing import Any

import sympy
import torch
from sympy.printing.pycode import PythonCodePrinter
from torch import Tensor

Operand = Any  # a tensor or a number


def _maximum(*operands: Operand) -> Tensor:
    return reduce(lambda a, b: _of_two(torch.maximum, "min", a, b), operands)


def _minimum(*operands: Operand) -> Tensor:
    return reduce(lambda a, b: _of_two(torch.minimum, "max", a, b), operands)


def _of_two(pair: Callable, bound: str, a: Operand, b: Operand) -> Tensor:
    """Compare tensors and numbers without putting a number on a device."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return pair(a, b)
    return torch.clamp(a, **{bound: b}) if isinstance(a, Tensor) else torch.clamp(b, **{bound: a})


def _heaviside(x: Tensor, at_zero: float = 0.5) -> Tensor:
    # written with sign, which has a derivative (zero) where torch.heaviside has none
    sign = torch.sign(x)
    return 0.5 * (1 + sign) + (at_zero - 0.5) * (1 - sign.abs())


def _atan2(y: Operand, x: Operand) -> Tensor:
    if isinstance(y, Tensor):
        return torch.atan2(y, x if isinstance(x, Tensor) else torch.full_like(y, x))
    return torch.atan2(torch.full_like(x, y), x)


FUNCTIONS: dict[str, Callable] = {
    **{name: getattr(torch, name) for name in ("exp", "log", "sqrt", "rsqrt", "sign", "erf")},
    **{name: getattr(torch, name) for name in ("sin", "cos", "tan", "asin", "acos", "atan")},
    **{name: getattr(torch, name) for name in ("sinh", "cosh", "tanh", "asinh", "acosh", "atanh")},
    "Abs": torch.abs,
    "atan2": _atan2,
    "Heaviside": _heaviside,
    "Max": _maximum,
    "Min": _minimum,
}


class _Printer(PythonCodePrinter):
    def _print_sign(self, expr):
        return f"sign({self._print(expr.args[0])})"

    def _print_Pow(self, expr, **_):
        base, exponent = expr.args
        if abs(exponent) == sympy.Rational(1, 2):
            return f"{'sqrt' if exponent > 0 else 'rsqrt'}({self._print(base)})"
        return f"({self._print(base)})**({self._print(exponent)})"


@lru_cache(maxsize=256)
def torch_function(expression: sympy.Expr, names: tuple[str, ...]) -> Callable[..., Operand]:
    """Compile a formula to a function of tensors, in the order of ``names``.

    Numbers stay Python numbers, which take the dtype and device of the tensor they meet.
    """
    symbols = [sympy.Symbol(name) for name in names]
    printer = _Printer(
        {"user_functions": {name: name for name in FUNCTIONS}, "fully_qualified_modules": False}
    )
    return sympy.lambdify(
        symbols, _with_floats(expression), [FUNCTIONS], printer=printer, dummify=True, cse=True
    )


def keyword_function(template: sympy.Expr) -> Callable[..., Tensor]:
    """Return a formula as a differentiable function of tensors, by keyword."""
    names = tuple(sorted(symbol.name for symbol in template.free_symbols))
    function = torch_function(template, names)

    def evaluate(**values: Tensor) -> Tensor:
        value = function(*(values[name] for name in names))
        like = next(iter(values.values()))
        return torch.as_tensor(value, dtype=like.dtype, device=like.device)

    return evaluate


def _with_floats(part: sympy.Expr) -> sympy.Expr:
    """Evaluate parts without variables, such as sqrt(2): torch's functions take tensors only."""
    if part.is_Rational and abs(part.p) < 2**53 and part.q < 2**53:
        return part
    if part.is_number:
        return sympy.Float(float(part))
    return part.func(*map(_with_floats, part.args)) if part.args else part
