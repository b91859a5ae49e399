"""Are the units of a formula consistent, and which units must its constants carry?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from sciml.units.quantities import UnitError, Vector, measured, plus, read, size, text, times

if TYPE_CHECKING:
    import sympy


def unit_of(expression: sympy.Expr, units: Mapping[str, str]) -> str:
    """Return the unit of a formula in variables (and named constants) with the given units.

    Plain numbers are dimensionless.

    Raises:
        UnitError: naming the part that adds unlike units, takes a function of anything but a plain
            number, or has a variable whose unit is not given.
    """
    walker = _Walker(units, unknown=())
    result = walker.walk(expression)
    for rest, message in walker.conditions:
        if walker.reduced(rest):
            raise UnitError(message)
    return text(result)


def constant_units(
    template: sympy.Expr, units: Mapping[str, str], target_unit: str, constants: Iterable[str] | None = None
) -> dict[str, str]:
    """Return the units that the constants of a formula must carry for it to have the target's unit.

    The conditions are linear in the constants' exponents. Where they determine a product only, as in
    c0*c1*x, the first constant in sorted order carries the unit and the others are plain numbers.

    Args:
        template: formula in variables and symbols for constants; exponents are numbers.
        units: unit of each variable.
        target_unit: unit of the result.
        constants: names of the constants; all symbols without a unit if None.

    Raises:
        UnitError: if no choice of units makes the formula consistent, naming the part at fault.
    """
    import sympy

    if constants is None:
        constants = {str(symbol) for symbol in template.free_symbols} - set(units)
    names = sorted(constants)
    unknown = [f"[{name}]" for name in names]
    walker = _Walker(units, names)
    result = walker.walk(template)
    target = read(target_unit)
    message = f"{template} has unit {_quoted(result)}, not {_quoted(target)}, whatever its constants carry"
    conditions = [*walker.conditions, (plus(result, target, -1), message)]

    reduced = [walker.reduced(rest) for rest, _ in conditions]
    atoms = sorted({name for rest in reduced for name in rest} - set(unknown))
    width = len(unknown)
    rows: list[list[Fraction]] = []
    for rest, (_, message) in zip(reduced, conditions, strict=True):
        rows.append([sympy.Rational(rest.get(name, 0)) for name in (*unknown, *atoms)])
        solved, pivots = _echelon(rows)
        if any(pivot >= width for pivot in pivots):
            raise UnitError(message)
    solution = dict.fromkeys(names, "")
    for row, pivot in enumerate(pivots):
        exponents = {
            a: -Fraction(int(v.p), int(v.q)) for a, v in zip(atoms, solved[row, width:], strict=True)
        }
        solution[names[pivot]] = text({a: e for a, e in exponents.items() if e})
    return solution


class _Walker:
    """Collects what must be dimensionless for a formula to be consistent.

    The unit of a part is a vector of exponents of unit names and of constants whose unit is unknown.
    """

    def __init__(self, units: Mapping[str, str], unknown: Iterable[str]):
        self.symbols = {name: read(unit) for name, unit in units.items()}
        self.symbols.update({name: {f"[{name}]": Fraction(1)} for name in unknown})
        self.conditions: list[tuple[Vector, str]] = []
        self.basis: dict[str, Vector | None] = {}

    def walk(self, part: sympy.Expr) -> Vector:
        import sympy

        if part.is_Symbol:
            if str(part) not in self.symbols:
                raise UnitError(f"no unit given for {part}; use '' if it is dimensionless")
            return self.symbols[str(part)]
        if not part.args:
            return {}
        if part.is_Mul:
            product: Vector = {}
            for factor in part.args:
                product = plus(product, self.walk(factor))
            return product
        if part.is_Pow:
            return self.power(part)
        if part.is_Add or isinstance(part, sympy.Max | sympy.Min):
            return self.alike(part, "adds" if part.is_Add else "compares")
        if isinstance(part, sympy.Abs):
            return self.walk(part.args[0])
        if isinstance(part, sympy.atan2):
            self.alike(part, "divides")
        elif isinstance(part, sympy.sign | sympy.Heaviside):
            self.walk(part.args[0])
        else:
            for argument in part.args:
                self.plain(argument, f"{part} takes {type(part).__name__} of")
        return {}

    def power(self, part: sympy.Expr) -> Vector:
        base, exponent = part.args
        if exponent.is_number:
            number = Fraction(str(exponent)) if exponent.is_Rational else Fraction(float(exponent))
            return times(self.walk(base), number.limit_denominator(1000))
        self.plain(base, f"{part} raises to a power that is not a number")
        self.plain(exponent, f"{part} has an exponent")
        return {}

    def alike(self, part: sympy.Expr, verb: str) -> Vector:
        # zero has any unit: Max(x, 0)
        terms = [(term, self.walk(term)) for term in part.args if not term.is_zero]
        first, unit = terms[-1]
        for term, other in terms[:-1]:
            message = f"{part} {verb} {first} {_quoted(unit)} and {term} {_quoted(other)}"
            self.conditions.append((plus(unit, other, -1), message))
        return unit

    def plain(self, argument: sympy.Expr, what: str) -> None:
        unit = self.walk(argument)
        self.conditions.append((unit, f"{what} {argument} {_quoted(unit)}, which is not a plain number"))

    def reduced(self, vector: Vector) -> Vector:
        """Express a unit in names that no others make up, so that it is a plain number only if empty."""
        result: Vector = {}
        for name, exponent in vector.items():
            unknown = name.startswith("[")
            atoms = {name: Fraction(1)} if unknown else self.independent(name)
            result = plus(result, times(atoms, exponent))
        return result

    def independent(self, name: str) -> Vector:
        if name not in self.basis:
            self.basis[name] = self.combination(name)
        found = self.basis[name]
        return {name: Fraction(1)} if found is None else found

    def combination(self, name: str) -> Vector | None:
        """Write a unit name as a product of those met before, if dimension and size allow it."""
        import sympy

        before = [other for other, made_of in self.basis.items() if made_of is None]
        measures = [measured(unit)[0] for unit in (*before, name)]
        axes = sorted({axis for exponents in measures for axis in exponents})
        rows = [[sympy.Rational(exponents.get(axis, 0)) for exponents in measures] for axis in axes]
        solved, pivots = _echelon(rows)
        if len(before) in pivots:
            return None
        vector = {before[p]: Fraction(str(solved[i, len(before)])) for i, p in enumerate(pivots)}
        vector = {unit: exponent for unit, exponent in vector.items() if exponent}
        return vector if math.isclose(size(vector), measured(name)[1], rel_tol=1e-9) else None


def _echelon(rows: list[list]) -> tuple[Any, tuple[int, ...]]:
    """Return the reduced row echelon form and the pivot columns, exactly."""
    import sympy

    return sympy.Matrix(rows).rref() if rows and rows[0] else (None, ())


def _quoted(vector: Vector) -> str:
    return f"[{text(vector) or 'dimensionless'}]"
