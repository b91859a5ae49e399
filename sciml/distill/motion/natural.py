"""Natural units: inside, numbers are of order one, whatever the file's units are (metres, kilograms, ...).

Constants of different dimensions are fitted together, and finite differences and floors of numbers must suit
all of them. So the search works in powers of ten of the file's units, and its law is brought back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import sympy

from sciml.datasets.trajectories import Trajectories
from sciml.distill.law import Constant, Law
from sciml.distill.motion.structure import Strength
from sciml.distill.terms import Term, total
from sciml.nn.interaction import SYMBOLS
from sciml.physics.vectors import dimension
from sciml.units import UnitError, constant_units
from sciml.units.quantities import read

NEAR_ONE = 30.0  # lengths and times within this factor of one stay as they are
UNITS = {"length": "m", "speed": "m/s", "": ""}  # any names will do for dimensions
OTHERS = {"kg": "kilogram", "A": "ampere", "K": "kelvin", "mol": "mole", "cd": "candela"}  # for properties


@dataclass(frozen=True)
class Natural:
    """How many of the file's units the natural length, the natural time and those of given properties are.

    Attributes:
        length, time: powers of ten.
        properties: the same of given numbers that are far from one; of five at most, the others stay.
    """

    length: float = 1.0
    time: float = 1.0
    properties: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, trajectories: Trajectories) -> Natural:
        """Return units in which particles are spread over about one and go about as far in a time of one."""
        x, t = trajectories.position, trajectories.time
        spread = float(np.std(x - x.mean(axis=(1, 2), keepdims=True)))
        paths = (
            np.linalg.norm(x[:, -1] - x[:, 0], axis=-1),
            np.linalg.norm(np.diff(x, axis=1), axis=-1).sum(1),
        )
        gone = float(np.median(np.minimum(paths[1], np.maximum(paths[0], spread))))
        length = _power_of_ten(spread)
        span = float(np.median(t[:, -1] - t[:, 0]))
        properties: dict[str, float] = {}
        for name, values in trajectories.properties.items():
            if np.asarray(values).dtype.kind in "fiu" and np.ptp(values) > 0:
                size = _power_of_ten(float(np.median(np.abs(values[values != 0]))))
                if size != 1.0 and len(properties) < len(OTHERS):
                    properties[name] = size
        return cls(length, _power_of_ten(span * spread / gone if gone > 0 else span), properties)

    @property
    def changes(self) -> bool:
        """Whether they are not the file's units."""
        return (self.length, self.time) != (1.0, 1.0) or bool(self.properties)

    @property
    def words(self) -> str:
        """Say what numbers are in, where these are not the file's units."""
        if not self.changes:
            return ""
        others = "".join(f", {name} in {size:g}" for name, size in self.properties.items())
        return f"lengths in {self.length:g}, times in {self.time:g}{others} of the file's"

    def size(self, name: str) -> float:
        """Return the natural unit of an invariant, a vector or a property, in the file's units."""
        if self._property(name):
            return self.properties[self._property(name)]
        return {"length": self.length, "speed": self.length / self.time, "": 1.0}[dimension(name)]

    def scalar(self, vector: str) -> float:
        """Return the natural unit of what multiplies a vector in an acceleration, in the file's units."""
        return self.length / self.time**2 / self.size(vector)

    def strength(self, strength: Strength) -> float:
        """Return the natural unit of the given properties that multiply a formula, in the file's units."""
        factor = lambda name: self.properties.get(name, 1.0)
        return factor(strength.receiver) * factor(strength.sender) / factor(strength.over)

    def given(self, properties: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return given properties that are in natural units in the file's."""
        return self._rescaled(properties, 1)

    def inside(self, data: Trajectories) -> Trajectories:
        """Return trajectories in natural units."""
        if not self.changes:
            return data
        rate = self.time / self.length
        scaled = lambda values, factor: None if values is None else values * factor
        return replace(
            data,
            position=data.position / self.length,
            time=data.time / self.time,
            velocity=scaled(data.velocity, rate),
            acceleration=scaled(data.acceleration, rate * self.time),
            acceleration_error=scaled(data.acceleration_error, rate * self.time),
            box=scaled(data.box, 1 / self.length),
            properties=self._rescaled(data.properties, -1),
        )

    def outside(self, law: Law) -> Law:
        """Return a law that was found in natural units in the file's units.

        Its constants take up the change of units according to their dimensions. Where a formula has numbers
        with dimensions, or exponents that are constants, variables are divided by their natural units.
        """
        if not self.changes:
            return law
        terms = law.terms or (Term(law.expression),)
        constants, fresh = dict(law.constants), []
        for term in terms:
            factors = self._factors(term, set(law.constants), law.inertia)
            if factors is None:
                fresh.append(replace(term, expression=self._divided(term, law.inertia)))
                continue
            fresh.append(term)
            for name, factor in factors.items():
                constants[name] = _times(law.constants[name], factor)
        if not law.terms:
            return replace(law, expression=fresh[0].expression, constants=constants)
        return replace(law, terms=tuple(fresh), expression=total(fresh), constants=constants)

    def _rescaled(self, properties: Mapping[str, np.ndarray], power: int) -> dict[str, np.ndarray]:
        return {
            name: values * self.properties[name] ** power if name in self.properties else values
            for name, values in properties.items()
        }

    def _property(self, symbol: str) -> str:
        """Return the given property with a natural unit that a variable is, "" if it is none."""
        of_symbol = {SYMBOLS.get(name, name): name for name in self.properties}
        return of_symbol.get(symbol[:-2], "") if symbol.endswith(("_i", "_j")) else ""

    def _factors(self, term: Term, names: set[str], inertia: str) -> dict[str, float] | None:
        """Return by what each constant of a term grows; None where dimensions do not close."""
        symbols = {str(s) for s in term.expression.free_symbols}
        powers = {str(s) for e in term.expression.atoms(sympy.Pow) for s in e.exp.free_symbols}
        if powers & names:
            return None
        of_property = dict(zip(self.properties, OTHERS))
        units = {
            name: of_property[self._property(name)] if self._property(name) else UNITS[dimension(name)]
            for name in symbols - names
        }
        vector = UNITS[dimension(term.vector)]
        target = f"m/s**2/({vector})" if vector else "m/s**2"
        if inertia in of_property:
            target = f"{of_property[inertia]}*{target}"
        try:
            found = constant_units(term.expression, units, target, names & symbols)
        except UnitError:
            return None
        factors = {}
        for name, unit in found.items():
            sizes = [self.length, self.time, *self.properties.values()]
            powers_of = [float(read(unit).get(base, 0)) for base in ("meter", "second", *OTHERS.values())]
            factors[name] = math.prod(size**power for size, power in zip(sizes, powers_of))
        return factors

    def _divided(self, term: Term, inertia: str) -> sympy.Expr:
        sizes = {s: self.size(str(s)) for s in term.expression.free_symbols if self.size(str(s)) != 1.0}
        inside = term.expression.xreplace({s: s / sympy.Float(size) for s, size in sizes.items()})
        return sympy.Float(self.scalar(term.vector) * self.properties.get(inertia, 1.0)) * inside


def _times(constant: Constant, factor: float) -> Constant:
    error = None if constant.standard_error is None else constant.standard_error * factor
    return constant._replace(value=constant.value * factor, standard_error=error)


def _power_of_ten(value: float) -> float:
    if not np.isfinite(value) or value <= 0 or 1 / NEAR_ONE <= value <= NEAR_ONE:
        return 1.0
    return float(10.0 ** round(np.log10(value)))
