"""Formulas read from text without executing it, and written back.

Text comes from files and from engines in other processes, so `parse` walks Python's syntax tree and
builds the expression from a table of names; nothing is ever handed to ``eval`` or ``sympify``.
"""

from __future__ import annotations

import ast
import difflib
import keyword
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import sympy
from sympy.printing.str import StrPrinter

MAX_LENGTH = 20_000  # characters
MAX_DEPTH = 200  # nested operations: below Python's own recursion limit
_LARGEST = math.log(1e300)  # numbers beyond are refused before they are computed

CONSTANTS: dict[str, sympy.Expr] = {"pi": sympy.pi, "E": sympy.E}

# constructor, fewest arguments, most arguments
Function = tuple[Callable[..., sympy.Expr], int, int]

# the real branch wherever there is a choice
FUNCTIONS: dict[str, Function] = {
    "sqrt": (sympy.sqrt, 1, 1),
    "cbrt": (lambda x: sympy.sign(x) * sympy.Abs(x) ** sympy.Rational(1, 3), 1, 1),
    "square": (lambda x: x**2, 1, 1),
    "cube": (lambda x: x**3, 1, 1),
    "inv": (lambda x: 1 / x, 1, 1),
    "neg": (lambda x: -x, 1, 1),
    "pow": (lambda x, y: x**y, 2, 2),
    "exp": (sympy.exp, 1, 1),
    "log": (sympy.log, 1, 1),
    "log2": (lambda x: sympy.log(x) / sympy.log(2), 1, 1),
    "log10": (lambda x: sympy.log(x) / sympy.log(10), 1, 1),
    "log1p": (lambda x: sympy.log(1 + x), 1, 1),
    **{name: (getattr(sympy, name), 1, 1) for name in ("sin", "cos", "tan", "asin", "acos", "atan")},
    **{name: (getattr(sympy, name), 1, 1) for name in ("sinh", "cosh", "tanh", "asinh", "acosh", "atanh")},
    "erf": (sympy.erf, 1, 1),
    "sign": (sympy.sign, 1, 1),
    "atan2": (sympy.atan2, 2, 2),
    "abs": (sympy.Abs, 1, 1),
    "Abs": (sympy.Abs, 1, 1),
    "relu": (lambda x: sympy.Max(x, 0), 1, 1),
    "Heaviside": (sympy.Heaviside, 1, 2),
    **dict.fromkeys(("Max", "max"), (sympy.Max, 2, 99)),
    **dict.fromkeys(("Min", "min"), (sympy.Min, 2, 99)),
}

_OPERATORS: dict[type, Callable[[sympy.Expr, sympy.Expr], sympy.Expr]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a ** _simple(b),
}


def parse(text: str, names: Iterable[str], functions: Mapping[str, Function] | None = None) -> sympy.Expr:
    """Read a formula in ``names``, numbers, ``pi``, ``E``, ``+ - * / ** ^`` and `FUNCTIONS`.

    Args:
        text: the formula.
        names: the variables that may occur.
        functions: further functions, with the numbers of arguments that they take.

    Raises:
        ValueError: for anything else, naming the token and its position (counted from 0).
    """
    if not isinstance(text, str):
        raise ValueError(  # noqa: TRY004 (one kind of error for whatever a file may hold)
            f"a formula must be text, found {type(text).__name__}"
        )
    return _Parser(text, names, {**FUNCTIONS, **(functions or {})}).read()


class _Parser:
    def __init__(self, text: str, names: Iterable[str], functions: Mapping[str, Function]):
        self.text = text
        self.functions = functions
        # Python normalizes identifiers so (the micro sign becomes the Greek letter)
        self.symbols = {unicodedata.normalize("NFKC", name): sympy.Symbol(name) for name in names}
        start = len(text) - len(text.lstrip())
        # ^ is read as a power with a power's precedence; origin maps the source back to the text
        self.source = text[start:].replace("^", "**").replace("\n", " ").replace("\r", " ")
        self.origin = [i for i, c in enumerate(text) if i >= start for _ in range(1 + (c == "^"))]

    def read(self) -> sympy.Expr:
        if len(self.text) > MAX_LENGTH:
            raise ValueError(f"a formula of {len(self.text)} characters; at most {MAX_LENGTH} are read")
        try:
            tree = ast.parse(self.source, mode="eval")
        except SyntaxError as error:
            raise self.error(error.msg or "invalid syntax", (error.offset or 1) - 1) from None
        except (RecursionError, MemoryError, ValueError) as error:
            raise self.error(f"unreadable formula ({type(error).__name__})", 0) from None
        return self.walk(tree.body, 0)

    def walk(self, node: ast.expr, depth: int) -> sympy.Expr:
        """Build the expression of a node; every intermediate result is finite, real and of sane size."""
        if depth > MAX_DEPTH:
            raise self.error(f"more than {MAX_DEPTH} nested operations", node)
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return self.number(value, node)
            case ast.Name(id=name):
                return self.name(name, node)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.walk(operand, depth + 1)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.walk(operand, depth + 1)
            case ast.BinOp(op=op, left=left, right=right) if type(op) in _OPERATORS:
                a, b = self.walk(left, depth + 1), self.walk(right, depth + 1)
                if isinstance(op, ast.Pow):
                    self.check_power(a, b, node)
                return self.checked(_OPERATORS[type(op)](a, b), node)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self.call(name, [self.walk(arg, depth + 1) for arg in args], node)
        token = ast.get_source_segment(self.source, node) or type(node).__name__
        raise self.error(f"{_short(token)!r} is not part of a formula", node)

    def number(self, value: float, node: ast.expr) -> sympy.Expr:
        if value and not math.log(abs(value)) < _LARGEST:
            raise self.error("number out of range", node)
        return sympy.Integer(value) if isinstance(value, int) else sympy.Float(value)

    def name(self, name: str, node: ast.expr) -> sympy.Expr:
        found = self.symbols.get(name, CONSTANTS.get(name))
        if found is None:
            raise self.unknown("name", name, [*self.symbols, *CONSTANTS], node)
        return found

    def call(self, name: str, args: list[sympy.Expr], node: ast.expr) -> sympy.Expr:
        if name not in self.functions:
            raise self.unknown("function", name, self.functions, node)
        function, fewest, most = self.functions[name]
        if not fewest <= len(args) <= most:
            wanted = fewest if fewest == most else f"{fewest} to {most}"
            raise self.error(f"{name} takes {wanted} arguments, found {len(args)}", node)
        if name == "pow":
            self.check_power(args[0], args[1], node)
        return self.checked(function(*args), node)

    def check_power(self, base: sympy.Expr, exponent: sympy.Expr, node: ast.expr) -> None:
        """Refuse 9**9**9 before SymPy computes it."""
        coefficient = abs(base.as_coeff_Mul()[0])
        if exponent.is_number and coefficient > 0:
            size = abs(float(exponent) * math.log(coefficient))
            if abs(float(exponent)) > 1e6 or size > _LARGEST:
                raise self.error("power out of range", node)

    def checked(self, value: sympy.Expr, node: ast.expr) -> sympy.Expr:
        if value.has(sympy.zoo, sympy.nan, sympy.oo, -sympy.oo, sympy.I):
            raise self.error("not a finite real number", node)
        if value.is_number:
            number = complex(value)
            if number.imag or not abs(number.real) < 1e300:
                raise self.error("not a real number of sane size", node)
        return value

    def unknown(self, kind: str, name: str, known: Iterable[str], node: ast.expr) -> ValueError:
        known = list(known)
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {_short(', '.join(known), 200)}"
        return self.error(f"unknown {kind} {_short(name)!r}; {hint}", node)

    def error(self, message: str, node: ast.expr | int) -> ValueError:
        if isinstance(node, int):
            column = node
        else:  # offsets in the tree count bytes
            column = len(self.source.encode()[: node.col_offset].decode(errors="ignore"))
        position = self.origin[column] if column < len(self.origin) else len(self.text)
        return ValueError(f"{message} (at position {position} of {_short(self.text)!r})")


def _short(text: str, length: int = 80) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def _simple(exponent: sympy.Expr) -> sympy.Expr:
    """Make 2.0 and 0.5 exact as exponents, so that squares and roots are recognized."""
    if isinstance(exponent, sympy.Float) and abs(exponent) <= 10 and float(2 * exponent).is_integer():
        return sympy.Rational(int(2 * exponent), 2)
    return exponent


def check_names(names: Iterable[str], what: str = "variable") -> None:
    """Refuse names that a formula could not be read back with.

    Raises:
        ValueError: naming the name, why it will not do, and one that will.
    """
    names = list(names)
    for name in names:
        if not isinstance(name, str) or not name.isidentifier() or len(name) > 100:
            suggestion = re.sub(r"\W+", "_", str(name)).strip("_")[:100]
            suggestion = suggestion if suggestion.isidentifier() else f"x_{suggestion}".rstrip("_")
            reason = "is not a word of letters, digits and underscores"
        elif keyword.iskeyword(name) or name in FUNCTIONS or name == "pi":
            reason, suggestion = "already has a meaning in formulas", f"{name}_"
        else:
            continue
        raise ValueError(f"{what} name {name!r} {reason}; rename it, for example to {suggestion!r}")
    counts = Counter(unicodedata.normalize("NFKC", name) for name in names)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise ValueError(f"{what} names must differ; {twice[0]!r} occurs {counts[twice[0]]} times")


class _ExactPrinter(StrPrinter):
    def _print_Float(self, expr):
        return repr(float(expr))

    def _print_Exp1(self, expr):
        return "exp(1)"  # E may be a variable: an energy, a field


def to_text(expression: sympy.Expr) -> str:
    """Write a formula so that `parse` gives back the same numbers to the last bit."""
    return _ExactPrinter().doprint(expression)
