"""A law: a formula with its constants, their errors and units, and what is known of where it came from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sympy
from jaxtyping import Float
from sympy import Expr

from sciml.distill import law_file
from sciml.distill.expression import evaluate
from sciml.distill.parser import check_names
from sciml.distill.terms import Term, check_terms, total, written
from sciml.physics.vectors import VECTORS

VERDICTS = ("law", "ambiguous", "none")


class Constant(NamedTuple):
    """A number in a law: its value, its standard error (None if unknown) and its unit."""

    value: float
    standard_error: float | None = None
    unit: str = ""

    def __str__(self) -> str:
        return f"{with_error(self.value, self.standard_error)} {self.unit}".rstrip()


class Exponent(NamedTuple):
    """The exponent of a variable as the data gave it, and the simple number that the law takes."""

    value: float
    standard_error: float | None
    snapped: float


@dataclass(frozen=True)
class Law:
    """``target = expression`` in variables and named constants.

    A law of one scalar, as the force along the line of centres, is its expression. A law of several vectors
    has ``terms``; its expression is then their sum, with the vectors as symbols (`of_terms` makes it).

    Attributes:
        expression: SymPy expression in the names of the variables and the constants.
        target: name of what the law gives.
        variables: unit of each variable ("" if dimensionless).
        target_unit: unit of the target.
        constants: the numbers of the law by name.
        verdict: "law", "ambiguous" (the data cannot tell it from others) or "none" (no formula is good
            enough; the expression is the best there is).
        reason: the verdict in words.
        exponents: exponents before they were snapped, by variable.
        provenance: plain JSON data on how the law was found.
        terms: the law as a sum of scalar times vector; empty for a single scalar.
        inertia: property that the force is divided by to give the acceleration, as "mass"; "" where the
            target is the acceleration itself, or where no more is known than the expression.
        kind: property that tells the kinds of particles that terms are for.

    Raises:
        ValueError: for a name that is used twice or has a meaning in formulas, a symbol of the
            expression that is neither variable nor constant, a constant that is not finite, an expression
            that is not the sum of the terms.
    """

    expression: Expr
    target: str
    variables: Mapping[str, str]
    target_unit: str = ""
    constants: Mapping[str, Constant] = field(default_factory=dict)
    verdict: str = "law"
    reason: str = ""
    exponents: Mapping[str, Exponent] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    terms: tuple[Term, ...] = ()
    inertia: str = ""
    kind: str = ""

    @classmethod
    def of_terms(cls, terms: Iterable[Term], target: str, variables: Mapping[str, str], **fields: Any) -> Law:
        """Return the law that is the sum of these terms; other fields as those of the class."""
        terms = tuple(terms)
        return cls(total(terms), target, variables, terms=terms, **fields)

    def __post_init__(self):
        object.__setattr__(self, "expression", _plain(sympy.sympify(self.expression, strict=True)))
        terms = tuple(replace(t, expression=_plain(t.expression)) for t in self.terms)
        object.__setattr__(self, "terms", terms)
        check_terms(terms, self.kind)
        if terms and self.expression != total(terms):
            raise ValueError(f"{self.expression} is not the sum of the terms {written(terms)}")
        for name in ("variables", "constants", "exponents", "provenance"):
            object.__setattr__(self, name, dict(getattr(self, name)))
        check_names([self.target], "target")
        check_names([*self.variables, *self.constants], "variable or constant")
        known = {*self.variables, *self.constants, *(str(term.symbol) for term in terms)}
        unknown = {str(symbol) for symbol in self.expression.free_symbols} - known
        if unknown:
            raise ValueError(
                f"{', '.join(sorted(unknown))} in {self.expression}: neither variable nor constant"
            )
        for name, constant in self.constants.items():
            error = constant.standard_error
            if not math.isfinite(constant.value) or (error is not None and not error >= 0):
                raise ValueError(f"constant {name} is {constant.value} ± {error}: expected finite ± positive")
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict {self.verdict!r}: expected one of {', '.join(VERDICTS)}")

    def __hash__(self) -> int:
        return hash((self.expression, self.target))

    @property
    def sympy(self) -> Expr:
        """The expression with the numbers in place of the constants."""
        numbers = {sympy.Symbol(name): sympy.Float(c.value) for name, c in self.constants.items()}
        return self.expression.xreplace(numbers)

    @property
    def latex(self) -> str:
        """The expression, with the names of the constants and vectors as they are written, in LaTeX."""
        typeset = {sympy.Symbol(name): vector.latex for name, vector in VECTORS.items()}
        return sympy.latex(self.expression, symbol_names=typeset)

    @property
    def units(self) -> dict[str, str]:
        """Units of the target, the variables and the constants by name."""
        constants = {name: constant.unit for name, constant in self.constants.items()}
        return {self.target: self.target_unit, **self.variables, **constants}

    @property
    def numpy(self) -> Callable[..., Float[np.ndarray, "*rows"]]:
        """The law as a function of arrays by name: ``law.numpy(r=r, m_i=1.0)``; nan where undefined.

        Raises:
            TypeError: (when called) a law of several terms, which is a vector: see `scalar` and
                `sciml.distill.forces.Forces`.
        """
        expression, check = self.sympy, self._checker()

        def evaluate_law(**columns):
            check(columns)
            return evaluate(expression, columns)

        return evaluate_law

    @property
    def torch(self) -> Callable:
        """The law as a differentiable function of tensors by name, on their device and in their dtype.

        In a loop, take it once: ``force = law.torch``.
        """
        import torch

        from sciml.distill.torch_code import torch_function

        expression, check = self.sympy, self._checker()
        names = tuple(sorted(str(s) for s in expression.free_symbols))
        function = torch_function(expression, names)

        def evaluate_law(**columns):
            check(columns)
            tensors = [value for value in columns.values() if isinstance(value, torch.Tensor)]
            if not tensors:
                raise TypeError("law.torch takes tensors by name; for numbers and arrays, use law.numpy")
            value = function(*(columns[name] for name in names))
            if not isinstance(value, torch.Tensor):
                value = tensors[0].new_full((), value)
            return torch.broadcast_tensors(value, *tensors)[0]

        return evaluate_law

    @property
    def parametric(self) -> Callable:
        """The law as a function of tensors by name, its constants among them.

        Raises:
            ValueError: a law of vectors; one along the line of centres alone is a scalar.
        """
        from sciml.distill.torch_code import keyword_function

        if any(term.vector != "r_hat" or term.kinds for term in self.terms):
            raise ValueError(f"{written(self.terms)} is no scalar along the line of centres")
        scalars = [term.expression for term in self.terms] or [self.expression]
        return keyword_function(sympy.Add(*scalars))

    def scalar(self, term: int | Term) -> Law:
        """Return the scalar of one term, by number or itself, as a law of its own."""
        term = self.terms[term] if isinstance(term, int) else term
        names = {str(s) for s in term.expression.free_symbols}
        return replace(
            self,
            expression=term.expression,
            terms=(),
            variables={name: unit for name, unit in self.variables.items() if name in names}
            or self.variables,
            constants={name: value for name, value in self.constants.items() if name in names},
            exponents={},
            target_unit="",
        )

    def _checker(self) -> Callable[[dict], None]:
        needed = sorted(str(s) for s in self.sympy.free_symbols)
        known = tuple(self.variables)
        several = bool(self.terms)

        def check(columns: dict) -> None:
            if several:
                raise TypeError(
                    "a law of terms is a sum of vectors: take law.scalar(term) for one of its scalars, or "
                    "sciml.distill.forces.Forces(law, ...) for accelerations"
                )
            missing = [name for name in needed if name not in columns]
            unknown = [name for name in columns if name not in known]
            if missing or unknown:
                problem = f"missing {', '.join(missing)}" if missing else f"no variable {', '.join(unknown)}"
                raise TypeError(f"{problem}; the law takes {', '.join(known)} by name")

        return check

    def save(self, path: str | Path) -> None:
        """Write the law as JSON; a file that was there is replaced in one step."""
        law_file.write(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Law:
        """Read a law; nothing in the file is executed.

        Raises:
            ValueError: naming the file and the field that is missing, malformed or not a formula.
        """
        return law_file.read(Path(path))

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {sympy.latex(sympy.Symbol(self.target))} = {self.latex}$"

    def __str__(self) -> str:
        formula = written(self.terms) if self.terms else str(self.expression)
        lines = [f"{self.target} = {formula}" + (f"   [{self.target_unit}]" if self.target_unit else "")]
        lines += [f"  {name} = {constant}" for name, constant in self.constants.items()]
        lines += [f"  {name} in {unit}" for name, unit in self.variables.items() if unit]
        lines += [
            f"  exponent of {name}: {with_error(e.value, e.standard_error)}, taken as {e.snapped:g}"
            for name, e in self.exponents.items()
        ]
        if self.verdict != "law" or self.reason:
            lines.append(f"  verdict: {self.verdict}" + (f" ({self.reason})" if self.reason else ""))
        return "\n".join(lines)


def _plain(expression: Expr) -> Expr:
    """Return a formula whose symbols assume nothing, as they are read from text."""
    return expression.xreplace({s: sympy.Symbol(s.name) for s in expression.free_symbols})


def with_error(value: float, error: float | None) -> str:
    """Write a value to the digits that its standard error leaves: "(2.9591221 ± 0.0000012)e-04"."""
    if error is None or error == 0 or not math.isfinite(error):
        return f"{value:.10g}" + (" (not determined)" if error == math.inf else "")
    size = math.floor(math.log10(max(abs(value), error)))
    digits = min(max(size - math.floor(math.log10(error)) + 1, 1), 16)
    if -3 <= size <= 4:
        digits = max(digits - size, 0)
        return f"{value:.{digits}f} ± {error:.{digits}f}"
    return f"({value / 10**size:.{digits}f} ± {error / 10**size:.{digits}f})e{size:+03d}"
