import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import scipy.constants
import sympy
import torch
from hypothesis import given
from hypothesis import strategies as st

from sciml import units
from sciml.units import UnitError, compatible, constant_units, convert, declare, dimensions, unit_of

m, r, t, x, theta = sympy.symbols("m r t x theta")
c0, c1, c2 = sympy.symbols("c0 c1 c2")
FIELD = [
    "AU",
    "day",
    "year",
    "solar_mass",
    "angstrom",
    "eV",
    "dalton",
    "kcal/mol",
    "debye",
    "hartree",
    "bohr",
    "",
]


def test_importing_units_does_not_import_pint():
    code = "import sys, sciml.units; sys.exit('pint' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (1.0, "AU", "m", scipy.constants.astronomical_unit),
        (1.0, "year", "day", 365.25),
        (1.0, "eV", "J", scipy.constants.e),
        (1.0, "dalton", "kg", scipy.constants.physical_constants["atomic mass constant"][0]),
        (1.0, "kcal/mol", "eV", 4184 / scipy.constants.N_A / scipy.constants.e),
        (1.0, "mol/L", "1/m**3", 1e3 * scipy.constants.N_A),
        (1.0, "debye", "e*angstrom", 1e-21 / scipy.constants.c / scipy.constants.e / 1e-10),
        (
            1.0,
            "AU**3/day**2/solar_mass",
            "m**3/s**2/kg",
            scipy.constants.astronomical_unit**3 / 86400**2 / (1.3271244e20 / 6.6743e-11),
        ),
        (20.0, "degC", "K", 293.15),
        (180.0, "degree", "radian", np.pi),
    ],
)
def test_convert_agrees_with_the_tables(value, source, target, expected):
    assert convert(value, source, target) == pytest.approx(expected, rel=1e-8)


@given(st.sampled_from(FIELD), st.sampled_from(FIELD), st.sampled_from([-2, -1, 1, 2]), st.floats(0.1, 10))
def test_there_and_back_and_through_a_third_unit(a, b, power, value):
    source, other = f"({a or 'radian'})**{power}", f"({b or 'radian'})**{power}"
    if compatible(source, other):
        assert convert(convert(value, source, other), other, source) == pytest.approx(value, rel=1e-12)
        if a != b:
            inverse = convert(1.0, source, other)
            assert convert(1.0, other, source) == pytest.approx(1 / inverse, rel=1e-12)
    else:
        with pytest.raises(UnitError, match="cannot convert"):
            convert(value, source, other)


def test_convert_keeps_arrays_and_tensors_what_they_are():
    np.testing.assert_allclose(convert(np.arange(3), "km", "m"), [0, 1000, 2000])
    tensor = convert(torch.ones(2, dtype=torch.float32, requires_grad=True), "AU", "km")
    assert tensor.dtype == torch.float32
    assert tensor.requires_grad
    assert convert(torch.ones(3, device="meta"), "AU", "km").device.type == "meta"


def test_dimensions_are_exact():
    assert dimensions("kg*AU/day^2") == {"mass": 1, "length": 1, "time": -2}
    assert dimensions("m**(1/2)") == {"length": Fraction(1, 2)}
    assert dimensions("km/m") == dimensions("") == {}
    assert dimensions("eV/angstrom") == dimensions("kcal/mol/Å") == dimensions("N")


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        ("furlongg", "did you mean 'furlong'.*declare"),
        ("m + s", "products and quotients"),
        ("2*m", "unknown unit"),
        ("m/", "unknown unit"),
        ("m**9**9**9", "write powers as"),
        ("m**99**99", "write powers as"),
        ("m**1e9", "write powers as"),
        ("m" * 300, "cannot read"),
        ("__import__('os').system('true')", "unknown unit"),
        ("(" * 90 + "m", "unknown unit"),
        (3, "a unit is text"),
        (None, "a unit is text"),
        ("dB", "logarithmic"),
    ],
)
def test_what_is_not_a_unit_is_refused(unit, message):
    with pytest.raises(UnitError, match=message):
        dimensions(unit)


def test_declared_units_have_a_dimension_of_their_own():
    with pytest.raises(UnitError, match="declare"):
        dimensions("boxlength")
    declare("boxlength", "day")
    declare("boxlength")
    assert dimensions("boxlength**2/year") == {"boxlength": 2, "time": -1}
    assert dimensions("day") == {"time": 1}
    assert units.declared("boxlength/day", "m") == ("boxlength",)
    assert unit_of(r / t, {"r": "boxlength", "t": "day"}) == "boxlength/day"
    for name in ("", "2box", "a b", "__class__", 3):
        with pytest.raises(UnitError, match="cannot declare"):
            declare(name)


@pytest.mark.parametrize(
    ("expression", "given", "unit"),
    [
        (m * r / t**2, {"m": "kg", "r": "AU", "t": "day"}, "AU*kg/day**2"),
        (m * r / t**2 + x, {"m": "kg", "r": "m", "t": "s", "x": "N"}, "N"),
        (sympy.sqrt(r**2 + x**2) / r, {"r": "m", "x": "m"}, ""),
        (sympy.Max(x, 0) * sympy.sign(r), {"x": "eV", "r": "m"}, "eV"),
        (sympy.sin(theta) * x, {"theta": "radian", "x": "m"}, "m"),
        (sympy.atan2(x, r), {"x": "m", "r": "m"}, ""),
        (1 / sympy.sqrt(r), {"r": "m"}, "1/m**(1/2)"),
        (2 * sympy.Abs(x), {"x": "kcal/mol"}, "kcal/mol"),
        (sympy.exp(m / t), {"m": "N*m", "t": "J"}, ""),
    ],
)
def test_unit_of_consistent_formulas(expression, given, unit):
    found = unit_of(expression, given)
    assert convert(1.0, found, unit) == pytest.approx(1.0, rel=1e-12)
    assert found == unit or unit == "N"


@pytest.mark.parametrize(
    ("expression", "given", "message"),
    [
        (2 * (x + r * (x + t)), {"r": "", "x": "m", "t": "s"}, r"t \+ x adds .* \[m\] and .* \[s\]"),
        (r + x, {"r": "AU", "x": "km"}, r"adds"),
        (m * r / t**2 + x, {"m": "kg", "r": "m", "t": "s", "x": "kN"}, r"\[kN\]"),
        (sympy.exp(r / 2), {"r": "m"}, r"exp\(r/2\) takes exp of r/2 \[m\]"),
        (sympy.exp(x / r), {"x": "km", "r": "m"}, r"\[km/m\], which is not a plain number"),
        (sympy.sin(theta), {"theta": "degree"}, r"sin of theta \[deg\]"),
        (2**x, {"x": "m"}, "exponent"),
        (r**x, {"x": "", "r": "m"}, "power that is not a number"),
        (x + 1, {"x": "m"}, "dimensionless"),
        (x + r, {"x": "m"}, "no unit given for r"),
        (x, {"x": "foot_ball"}, "unknown unit"),
    ],
)
def test_inconsistent_formulas_are_refused_by_their_part(expression, given, message):
    with pytest.raises(UnitError, match=message):
        unit_of(expression, given)


@pytest.mark.parametrize(
    ("template", "given", "target", "constants"),
    [
        (c0 * m * x / r**2, {"m": "kg", "x": "kg", "r": "AU"}, "kg*AU/day**2", {"c0": "AU**3/day**2/kg"}),
        (c0 * m * x / r**2, {"m": "kg", "x": "kg", "r": "m"}, "N", {"c0": "N*m**2/kg**2"}),
        (
            c0 * (r - c1) * sympy.exp(-c2 * t),
            {"r": "angstrom", "t": "fs"},
            "eV/angstrom",
            {"c0": "eV/angstrom**2", "c1": "angstrom", "c2": "1/fs"},
        ),
        (c0 * r + x, {"r": "AU", "x": "km"}, "km", {"c0": "km/AU"}),
        (c0 * c1 * r, {"r": "AU"}, "km", {"c0": "km/AU", "c1": ""}),
        (sympy.sin(c0 * theta), {"theta": "degree"}, "", {"c0": "1/degree"}),
        (c0 * sympy.sqrt(r), {"r": "m"}, "m/s", {"c0": "m**(1/2)/s"}),
        (c0 / (r**2 + c1) ** sympy.Rational(3, 2), {"r": "m"}, "", {"c0": "m**3", "c1": "m**2"}),
        (r * 2, {"r": "m"}, "m", {}),
    ],
)
def test_constant_units(template, given, target, constants):
    found = constant_units(template, given, target)
    assert found.keys() == constants.keys()
    for name, unit in constants.items():
        assert convert(1.0, found[name], unit) == pytest.approx(1.0, rel=1e-12)
    # with these units the law is consistent, by the other function
    assert compatible(unit_of(template, {**given, **found}), target)


def test_constants_cannot_mend_everything():
    with pytest.raises(UnitError, match="takes exp of t"):
        constant_units(c0 * r + c1 * sympy.exp(t), {"r": "AU", "t": "s"}, "km")
    with pytest.raises(UnitError, match="whatever its constants carry"):
        constant_units(r + c0, {"r": "m"}, "kg")
    with pytest.raises(UnitError, match="adds"):
        constant_units(c0 * (r + x), {"r": "m", "x": "kg"}, "kg")


@given(st.sampled_from(["N", "pN", "dyn", "lbf"]), st.integers(-3, 3).filter(bool), st.booleans())
def test_derived_units_equal_their_definition_and_nothing_else(force, power, first):
    law = m**power + (r * t / x**2) ** power
    base = {"r": "kg", "t": "m", "x": "s", "m": force}
    given_units = dict(reversed(base.items())) if first else base
    if force == "N":
        assert compatible(unit_of(law, given_units), f"N**{power}")
    else:
        with pytest.raises(UnitError, match="adds"):
            unit_of(law, given_units)
