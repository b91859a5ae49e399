"""Unit names, their dimensions, and conversion: pint's registry with the names of the field added.

Astronomy (AU, solar_mass), molecules (angstrom, eV, dalton, kcal/mol, debye) and whatever the user
declares. pint is imported at first use.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from typing import Any

_DEFINITIONS = (
    "astronomical_unit = 149597870700 * meter = AU = au",
    "solar_mass = 1.988409870698051e30 * kilogram = M_sun = Msun",  # IAU nominal GM over CODATA 2018 G
    "earth_mass = 5.972167867791379e24 * kilogram = M_earth",
    "day = 24 * hour",
    "year = 365.25 * day = yr = julian_year",
    "@alias angstrom = Angstrom",
)

_AVOGADRO = 6.02214076e23

# an exponent is a literal of a few digits, so that no text can ask for 9**9**9
_EXPONENT = re.compile(
    r"(\*\*|\^)\s*([+-]?\d{1,3}(\.\d+)?|\(\s*[+-]?\d{1,3}(\.\d+)?(\s*/\s*\d{1,3})?\s*\))"
    r"(?![\w.]|\s*(\*\*|\^))"
)
_LONGEST = 200

Vector = dict[str, Fraction]  # exponents by name: of dimensions, of units, or of unknown constants


class UnitError(ValueError):
    """An unknown unit, or a formula whose units do not fit together."""


@cache
def _registry():
    import pint

    registry: Any = pint.UnitRegistry(on_redefinition="ignore")
    for definition in _DEFINITIONS:
        registry.define(definition)
    return registry


_declared: set[str] = set()


def declare(*names: str) -> None:
    """Accept names such as "box" as units of their own dimension; a known unit stays what it is."""
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w{0,40}", name):
            raise UnitError(f"cannot declare {name!r}: a unit's name is letters, digits and underscores")
        try:
            read(name)
        except UnitError:
            _registry().define(f"{name} = [{name}]")
            _declared.add(name)


def declared(*units: str) -> tuple[str, ...]:
    """Return the names in ``units`` that exist by `declare` only, sorted."""
    return tuple(sorted({name for unit in units for name in read(unit)} & _declared))


def dimensions(unit: str) -> Mapping[str, Fraction]:
    """Return the exponents of the base dimensions: ``{"length": 1, "time": -2}`` for m/s**2.

    Raises:
        UnitError: if the unit is not known.
    """
    return _dimensions(read(unit))


def compatible(a: str, b: str) -> bool:
    """Say whether two units measure the same dimension."""
    return dimensions(a) == dimensions(b)


def convert(value: Any, source: str, target: str) -> Any:
    """Convert a number, array or tensor; offsets, as of degC, are honoured.

    Raises:
        UnitError: if a unit is unknown or the two measure different dimensions.
    """
    if not compatible(source, target):
        raise UnitError(
            f"cannot convert {source!r} of dimension {_dimension_text(source)} "
            f"to {target!r} of dimension {_dimension_text(target)}"
        )
    factor = size(read(source)) / size(read(target))
    if dimensions(source) != {"temperature": Fraction(1)}:
        return value * factor
    return value * factor + float(_registry().convert(0.0, source, target))


def _dimension_text(unit: str) -> str:
    return text({f"[{axis}]": exponent for axis, exponent in dimensions(unit).items()}) or "1"


def plus(a: Vector, b: Vector, sign: int = 1) -> Vector:
    """Add exponents: the unit of a product (or quotient, for sign -1)."""
    total = {name: a.get(name, Fraction(0)) + sign * b.get(name, Fraction(0)) for name in (*a, *b)}
    return {name: exponent for name, exponent in total.items() if exponent}


def times(vector: Vector, factor: Fraction) -> Vector:
    """Multiply exponents: the unit of a power."""
    return {name: exponent * factor for name, exponent in vector.items() if factor}


def read(unit: str) -> Vector:
    """Read a unit as exponents of pint's names: "kcal/mol" is kilocalorie 1, mole -1."""
    if not isinstance(unit, str):
        raise UnitError(f"a unit is text such as 'm/s**2', found {unit!r}")
    if len(unit) > _LONGEST or re.search(r"\*\*|\^", _EXPONENT.sub("", unit)):
        raise UnitError(f"cannot read the unit {unit[:_LONGEST]!r}: write powers as m**2 or m**(1/2)")
    from pint.util import to_units_container

    try:
        parsed: Any = to_units_container(_registry().parse_units(unit))
    except Exception as error:  # pint raises a dozen kinds, down to TypeError and IndexError
        raise UnitError(f"unknown unit {unit!r}{_suggestion(unit)}") from error
    return {name: Fraction(float(value)).limit_denominator(1000) for name, value in sorted(parsed.items())}


def _suggestion(unit: str) -> str:
    names = [n for n in re.findall(r"(?<!\w)[^\W\d_]\w*", unit) if n not in _registry()]
    if not names:
        return ": write products and quotients of units, such as 'kcal/mol/angstrom' or 'm*s**-2'"
    near = difflib.get_close_matches(names[0], dir(_registry()), n=1)
    hint = f": did you mean {near[0]!r}?" if near else "."
    return f"{hint} A unit of your own is made known by sciml.units.declare({names[0]!r})"


@cache
def measured(name: str) -> tuple[Vector, float]:
    """Return the dimensions of one of pint's names and its size in base units; a mole is a number."""
    registry = _registry()
    _, root = registry.get_root_units(name)
    zero, one, two = (float(registry.convert(x, name, root)) for x in (0.0, 1.0, 2.0))
    if not math.isclose(two - one, one - zero, rel_tol=1e-9):
        raise UnitError(f"{name} is a logarithmic unit: convert to a linear one first")
    exponents = {
        axis.strip("[]"): Fraction(power).limit_denominator(1000)
        for axis, power in registry.get_dimensionality(root).items()
    }
    moles = exponents.pop("substance", Fraction(0))
    return exponents, (one - zero) * _AVOGADRO ** float(moles)


def _dimensions(vector: Vector) -> Vector:
    result: Vector = {}
    for name, exponent in vector.items():
        result = plus(result, times(measured(name)[0], exponent))
    return result


def size(vector: Vector) -> float:
    """Return the size of a unit in base units."""
    try:
        return math.prod(measured(name)[1] ** float(exponent) for name, exponent in vector.items())
    except OverflowError:
        raise UnitError(f"the unit {text(vector)} is too large for floating-point numbers") from None


def _symbol(name: str) -> str:
    # dimensions and unknown constants stand in brackets, as no unit does
    return name if name.startswith("[") else _registry().get_symbol(name)


def text(vector: Vector) -> str:
    """Write a unit: "AU**3/M_sun/day**2", "1/s", ""."""

    def power(exponent: Fraction) -> str:
        if exponent == 1:
            return ""
        return f"**{exponent}" if exponent.denominator == 1 else f"**({exponent})"

    factors = sorted((_symbol(name), exponent) for name, exponent in vector.items())
    above = "*".join(symbol + power(e) for symbol, e in factors if e > 0)
    below = "".join("/" + symbol + power(-e) for symbol, e in factors if e < 0)
    return (above or "1") + below if below else above
