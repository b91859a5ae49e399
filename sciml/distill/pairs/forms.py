"""Formulas for the force between two atoms: those of the books, and those that a search found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.optimize
import sympy
from jaxtyping import Float

from sciml.distill.expression import complexity, parameters
from sciml.distill.front import Front
from sciml.distill.pairs.splines import Curve
from sciml.distill.select import free_coefficients, round_exponents

R = sympy.Symbol("r")
STARTS = 5  # of a fit whose first values are not known
MOST = 100  # steps of a fit
LIKELY = 4  # formulas of a front
FAR = 1e6  # of what is not finite, in standard errors
NOT_SMOOTH = (sympy.Heaviside, sympy.sign, sympy.Abs, sympy.zoo, sympy.nan)  # no force of atoms
BIAS = 3e-4  # of splines, relative to the typical force


@dataclass(frozen=True)
class Form:
    """f(r), the force that pushes two atoms apart, in constants.

    Attributes:
        expression: in ``r`` and the constants.
        names: of the constants, in order.
        name: of a form of the books, else "".
        start: values of the constants to begin with, where a search found them.
        units: of the constants, where known.
    """

    expression: sympy.Expr
    names: tuple[str, ...]
    name: str = ""
    start: tuple[float, ...] = ()
    units: tuple[str, ...] = ()

    @cached_property
    def function(self):
        """f(r, constants)."""
        return sympy.lambdify([R, *map(sympy.Symbol, self.names)], self.expression, modules="numpy", cse=True)

    @cached_property
    def slopes(self):
        """Derivatives by the constants, as a list, f first."""
        symbols = [sympy.Symbol(name) for name in self.names]
        derivatives = [self.expression, *(sympy.diff(self.expression, s) for s in symbols)]
        return sympy.lambdify([R, *symbols], derivatives, modules="numpy", cse=True)

    @property
    def size(self) -> int:
        """Nodes of the formula, two more for each exponent that is a constant."""
        own = {sympy.Symbol(name) for name in self.names}
        odd = sum(bool(p.exp.free_symbols & own) and p.base == R for p in self.expression.atoms(sympy.Pow))
        return complexity(self.expression) + 2 * odd

    def __call__(
        self, r: Float[np.ndarray, "n"], values: Sequence[float] | Float[np.ndarray, "constants"]
    ) -> Float[np.ndarray, "n"]:
        """Return f; NaN where it is not a real number."""
        with np.errstate(all="ignore"):
            found = np.asarray(self.function(r, *values))
        if np.iscomplexobj(found):
            return np.full(r.shape, np.nan)
        return np.broadcast_to(found, r.shape).astype(float)

    def with_values(self, values: Sequence[float]) -> sympy.Expr:
        """Return the formula with numbers."""
        return self.expression.xreplace({sympy.Symbol(n): sympy.Float(v) for n, v in zip(self.names, values)})


def _of_energy(name: str, energy: str, constants: dict[str, str]) -> Form:
    """Return the force of a pair energy φ(r): −dφ/dr."""
    symbols = {key: sympy.Symbol(key, positive=True) for key in (*constants, "r")}
    slope = -sympy.diff(sympy.sympify(energy, locals=symbols), symbols["r"])
    plain = {symbol: sympy.Symbol(key) for key, symbol in symbols.items()}
    expression = sympy.powsimp(sympy.expand_mul(slope)).xreplace(plain)
    return Form(expression, tuple(constants), name, units=tuple(constants.values()))


EV, PER, LENGTH = "eV", "1/angstrom", "angstrom"
BOOKS = (
    Form(sympy.Symbol("A") * R ** -sympy.Symbol("n"), ("A", "n"), "inverse power"),
    _of_energy("Born–Mayer", "A*exp(-b*r)", {"A": EV, "b": PER}),
    _of_energy("Yukawa", "A*exp(-b*r)/r", {"A": "eV*angstrom", "b": PER}),
    _of_energy("harmonic", "k*(r - r0)**2/2", {"k": "eV/angstrom**2", "r0": LENGTH}),
    _of_energy("Lennard-Jones", "4*epsilon*((sigma/r)**12 - (sigma/r)**6)", {"epsilon": EV, "sigma": LENGTH}),
    _of_energy("Morse", "D*(exp(-2*a*(r - r0)) - 2*exp(-a*(r - r0)))", {"D": EV, "a": PER, "r0": LENGTH}),
    _of_energy("Buckingham", "A*exp(-b*r) - C/r**6", {"A": EV, "b": PER, "C": "eV*angstrom**6"}),
)


def found_forms(front: Front) -> list[Form]:
    """Return the likeliest formulas of a front with free constants, nearly simple exponents made simple."""
    formulas: dict[sympy.Expr, None] = {}
    for candidate in sorted(front, key=front.length)[:LIKELY]:
        formulas |= dict.fromkeys([candidate.expression, round_exponents(candidate.expression)])
    forms = []
    for formula in formulas:
        template, values = parameters(free_coefficients(formula))
        if template.has(R) and not template.has(*NOT_SMOOTH):
            forms.append(Form(template, tuple(map(str, values)), "", tuple(values.values())))
    return forms


def fit_curve(form: Form, curve: Curve) -> tuple[tuple[float, ...], float]:
    """Fit the constants of a form to a curve; return them and the root mean square error in errors of it."""
    scale = 1 / np.hypot(curve.error, BIAS * np.median(np.abs(curve.force)) + BIAS * np.abs(curve.force))

    def left(values: np.ndarray) -> np.ndarray:
        rest = (form(curve.distance, values) - curve.force) * scale
        return np.where(np.isfinite(rest), np.clip(rest, -FAR, FAR), FAR)

    def slopes(values: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            found = form.slopes(curve.distance, *values)[1:]
        columns = [np.broadcast_to(np.asarray(f), scale.shape) * scale for f in found]
        return np.nan_to_num(np.stack(columns, 1).real, posinf=FAR, neginf=-FAR)

    best: tuple[float, np.ndarray] | None = None
    for start in _starts(form, curve):
        with np.errstate(all="ignore"):
            tried = scipy.optimize.least_squares(left, start, jac=slopes, x_scale="jac", max_nfev=MOST)
        if best is None or tried.cost < best[0]:
            best = float(tried.cost), tried.x
    assert best is not None
    return tuple(map(float, best[1])), float(np.sqrt(2 * best[0] / len(curve.distance)))


def _starts(form: Form, curve: Curve) -> list[np.ndarray]:
    """First values: those of the search, or a guess from where the force is zero and how strong it is."""
    if form.start:
        return [np.array(form.start)]
    r, f = curve.distance, curve.force
    change = np.flatnonzero((f[:-1] > 0) & (f[1:] <= 0))
    zero = r[change[0] + 1] if len(change) else r[int(np.argmin(np.abs(f)))]
    strength = float(np.median(np.abs(f))) or 1e-6
    first = int(np.argmax(np.abs(f)))
    guesses = []
    for steep in np.geomspace(0.8, 12.0, STARTS) / zero:
        depth = max(strength / steep, 1e-6)
        wall = float(f[first]) * np.exp(min(steep * r[first], 50.0)) / steep
        known = {
            "epsilon": depth, "sigma": zero / 2 ** (1 / 6), "D": depth, "a": steep, "r0": zero, "b": steep,
            "k": strength / zero, "n": steep * zero, "C": depth * zero**6,
            "A": float(f[first]) * r[first] ** (steep * zero) if form.name == "inverse power" else wall,
        }  # fmt: skip
        guesses.append(np.array([known[name] for name in form.names]))
    return guesses
