"""Formulas in place of splines: accelerations of all particles, constants and strengths as parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import scipy.optimize
import sympy
from jaxtyping import Float, Int

from sciml.distill.motion.accelerations import Accelerations
from sciml.distill.motion.rows import Observed
from sciml.distill.motion.structure import Strength
from sciml.physics.vectors import VECTORS

Array = np.ndarray


@dataclass(frozen=True)
class Part:
    """One term of a model: a formula of an invariant, with constants, times vector and strength.

    Attributes:
        template: SymPy formula; its constants are named by the model.
        constants: names and values.
        vector: of `sciml.physics.vectors.VECTORS`.
        argument: the invariant, "" if the formula is a constant.
        strength: see `Strength`.
    """

    template: sympy.Expr
    constants: tuple[tuple[str, float], ...]
    vector: str
    argument: str
    strength: Strength

    @property
    def of_pairs(self) -> bool:
        """Whether it acts between pairs."""
        return VECTORS[self.vector].place == "pair"

    @property
    def expression(self) -> sympy.Expr:
        """The formula with its numbers in."""
        return self.template.xreplace({sympy.Symbol(n): sympy.Float(v) for n, v in self.constants})


def part(expression: sympy.Expr, vector: str, argument: str, strength: Strength, label: str) -> Part:
    """Make a part of a formula with numbers; all of its free numbers become constants."""
    from sciml.distill.expression import parameters
    from sciml.distill.select import free_coefficients

    template, values = parameters(free_coefficients(expression))
    names = {symbol: f"{label}{k}" for k, symbol in enumerate(values)}
    constants = tuple((names[s], float(v)) for s, v in values.items())
    renamed = template.xreplace({s: sympy.Symbol(n) for s, n in names.items()})
    return Part(renamed, constants, vector, argument, strength)


@lru_cache(maxsize=512)
def _compiled(template: sympy.Expr, names: tuple[str, ...]) -> Callable:
    return sympy.lambdify([sympy.Symbol(n) for n in names], template, modules=["numpy", "scipy"])


@dataclass(frozen=True, eq=False)
class Model:
    """A sum of parts with hidden strengths.

    Attributes:
        parts: the terms.
        properties: given numbers, [simulations, particles].
        receiver, sender: hidden strengths u and w.
        group: particles of one group share theirs.
        box: edges of a periodic box.
    """

    parts: tuple[Part, ...]
    properties: Mapping[str, Float[Array, "simulations particles"]]
    receiver: Float[Array, "particles"]
    sender: Float[Array, "particles"]
    group: Int[Array, "particles"]
    box: Float[Array, "dim"] | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all constants; parts may share some."""
        return tuple(dict.fromkeys(name for p in self.parts for name, _ in p.constants))

    @cached_property
    def hidden(self) -> tuple[str, ...]:
        """Which ends of a pair have unknown strengths: "receiver", "sender", or "both" for the same ones."""
        for p in self.parts:
            if p.of_pairs and p.strength.hidden:
                if p.strength.same:
                    return ("both",)
                return tuple(e for e in ("receiver", "sender") if getattr(p.strength, e) == "free")
        return ()

    @cached_property
    def moving(self) -> tuple[tuple[str, int], ...]:
        """Which strengths are parameters: all groups but the strongest, at each end."""
        groups = int(self.group.max()) + 1 if len(self.group) else 0
        found = []
        for end in self.hidden:
            values = self.receiver if end == "receiver" else self.sender
            held = self.group[int(np.argmax(np.abs(values)))]
            found += [(end, g) for g in range(groups) if g != held]
        return tuple(found)

    @cached_property
    def start(self) -> Float[Array, "parameters"]:
        """Parameters as they are: constants, then moving strengths."""
        known = {name: value for p in self.parts for name, value in p.constants}
        values = [known[name] for name in self.names]
        first = {g: int(np.flatnonzero(self.group == g)[0]) for _, g in self.moving}
        strengths = [(self.receiver if e == "receiver" else self.sender)[first[g]] for e, g in self.moving]
        return np.array([*values, *strengths], dtype=float)

    def with_parameters(self, values: Float[Array, "parameters"]) -> Model:
        """Return the model at other parameters."""
        numbers = dict(zip(self.names, map(float, values), strict=False))
        parts = tuple(
            replace(p, constants=tuple((n, numbers[n]) for n, _ in p.constants)) for p in self.parts
        )
        u, w = self.strengths(np.asarray(values))
        return replace(self, parts=parts, receiver=u, sender=w)

    def strengths(self, values: Float[Array, "*sets parameters"]) -> tuple[Array, Array]:
        """Return the strengths of all particles as receivers and senders at other parameters."""
        lead = values.shape[:-1]
        u = np.broadcast_to(self.receiver, (*lead, len(self.receiver))).copy()
        w = np.broadcast_to(self.sender, (*lead, len(self.sender))).copy()
        for k, (end, g) in enumerate(self.moving):
            column = values[..., len(self.names) + k, None]
            if end in ("receiver", "both"):
                u[..., self.group == g] = column
            if end in ("sender", "both"):
                w[..., self.group == g] = column
        return u, w

    @cached_property
    def functions(self) -> list[Callable]:
        """The formulas of the parts, of their argument and constants."""
        return [_compiled(p.template, (p.argument or "_", *(n for n, _ in p.constants))) for p in self.parts]

    def acceleration(
        self,
        x: Float[Array, "*batch particles dim"],
        v: Float[Array, "*batch particles dim"],
        values: Float[Array, "*batch parameters"] | None = None,
        simulation: Int[Array, "*batch"] | int = 0,
    ) -> Float[Array, "*batch particles dim"]:
        """Return accelerations; parameters and simulations may differ along the batch."""
        return Accelerations(self, values, simulation)(x, v)


@dataclass(frozen=True, eq=False)
class Fit:
    """A model fitted to rows or paths.

    Attributes:
        model: at its best parameters.
        errors: standard error of each parameter of `Model.start`.
        loss: mean squared residual.
        held_out: the same where nothing was fitted.
        rows: number of residuals.
    """

    model: Model
    errors: Float[Array, "parameters"]
    loss: float
    held_out: float
    rows: int


def residuals(model: Model, observed: Observed, held: Sequence[np.ndarray], part: bool) -> Array:
    """Return residuals of all valid rows; of the held-out ones if ``part``.

    Args:
        model: what predicts them.
        observed: the rows.
        held: for each simulation which are held out, [rows] or [rows, particles].
        part: whether those or the others are wanted.
    """
    found = []
    for s, operator in enumerate(observed.operators):
        a = model.acceleration(observed.position[s], observed.velocity[s], simulation=s)
        rows = np.tensordot(operator, a, axes=(1, 0)) / observed.sigma[s][..., None] - observed.targets[s]
        keep = observed.valid[s] & (held[s].reshape(len(held[s]), -1) == part)
        found.append(rows[keep].ravel())
    return np.concatenate(found)


def fit_rows(model: Model, observed: Observed, held: Sequence[np.ndarray], most: int = 8) -> Fit:
    """Fit all parameters to the rows by least squares.

    Raises:
        ValueError: the formula is not finite on the data.
    """
    first = residuals(model, observed, held, False)
    if not np.isfinite(first).all():
        raise ValueError("the formula is not finite on the data")
    start = model.start
    scale = np.maximum(np.abs(start), 1e-3 * np.abs(start).max(initial=1e-300))
    worst = 10 * np.sqrt(np.mean(first**2))

    def left(z: Array) -> Array:
        found = residuals(model.with_parameters(z * scale), observed, held, False)
        return np.where(np.isfinite(found), found, worst)

    if len(start) and most:
        best = scipy.optimize.least_squares(left, start / scale, x_scale="jac", max_nfev=most, xtol=1e-10)
        values, rest, jacobian = best.x * scale, best.fun, best.jac / scale
    else:
        values, rest, jacobian = start, first, np.zeros((len(first), len(start)))
    fitted = model.with_parameters(values)
    loss = float(np.mean(rest**2))
    normal = jacobian.T @ jacobian
    size = 1 / np.sqrt(np.maximum(np.diag(normal), 1e-300))
    covariance = np.linalg.pinv(normal * size[:, None] * size) * size[:, None] * size * max(loss, 1e-300)
    outside = residuals(fitted, observed, held, True)
    outside = np.where(np.isfinite(outside), outside, 1e6)
    return Fit(fitted, np.sqrt(np.maximum(np.diag(covariance), 0)), loss,
               float(np.mean(outside**2)) if len(outside) else loss, len(rest))  # fmt: skip
