"""What a new constant amounts to: a speed, a length or a time."""

from __future__ import annotations

from typing import NamedTuple

from sciml.distill.refit import Estimate
from sciml.distill.residual.library import Dimension
from sciml.units import compatible, convert


class Scale(NamedTuple):
    """A constant as a quantity of one kind, with its standard error.

    Attributes:
        kind: "speed", "length" or "time".
        value: in ``unit``.
        standard_error: in ``unit``.
        unit: "" where the data have none.
    """

    kind: str
    value: float
    standard_error: float
    unit: str


def scale(constant: Estimate, dimension: Dimension, length: str = "", time: str = "") -> Scale | None:
    """Return the power of a constant that is a speed, a length or a time; None if none is.

    Args:
        constant: of that dimension, in units of ``length`` and ``time``.
        dimension: powers of length and time.
        length, time: units of the data; lengths in AU are written in km, days then in seconds.
    """
    p, q = dimension
    if not constant.value or (p, q) == (0, 0) or (p and q and p != -q):
        return None
    kind, power, unit = (
        ("length", p, length) if not q else ("time", q, time) if not p else
        ("speed", p, f"{length}/{time}" if length and time else "")
    )  # fmt: skip
    value = abs(constant.value) ** (1 / power)
    target = {"length": "km", "speed": "km/s", "time": time}[kind]
    if unit and "au" in length.lower() and compatible(unit, target):
        value, unit = float(convert(value, unit, target)), target
    return Scale(kind, value, abs(value / power) * constant.standard_error / abs(constant.value), unit)
