"""Units of data, of formulas and of the constants in them.

Two conventions: a mole is a number, so that kcal/mol and eV convert into one another, and "" is
dimensionless. A formula works on plain numbers, so it is consistent only if it adds like to like to the
last factor: AU plus km is refused as metres plus seconds are, and so is the sine of an angle in degrees.
"""

from sciml.units.consistency import constant_units, unit_of
from sciml.units.quantities import UnitError, compatible, convert, declare, declared, dimensions

__all__ = [
    "UnitError",
    "compatible",
    "constant_units",
    "convert",
    "declare",
    "declared",
    "dimensions",
    "unit_of",
]
