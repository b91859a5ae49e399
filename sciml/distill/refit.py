"""Fit a formula's constants and the system's hidden properties to the data, not to the network.

The formula takes the network's place in the model, masses and constants are released together, and
Levenberg–Marquardt minimizes the residual accelerations, each particle weighted by its own residual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import sympy
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sciml.distill.expression import parameters
from sciml.distill.jumps import Jump, jumps_of, settle
from sciml.distill.torch_code import keyword_function
from sciml.graph import Graph
from sciml.models.interaction_network import InteractionNetwork
from sciml.training.gauss_newton import field_jacobian, trainable
from sciml.training.levenberg_marquardt import LevenbergMarquardt, Linearization
from sciml.training.losses import mean_square, particle_labels

ROUNDS = 3  # of placing jumps and fitting the rest
STEPS = 50
STRETCHES = 5  # of time, within which residuals may be correlated
CONVERGED = 1e-9  # relative fall of the cost at which the fit ends


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class Refit:
    """A formula fitted to data.

    Attributes:
        template: the formula with constants as symbols.
        constants: their estimates, released exponents (p_...) among them.
        exponents: estimates of the powers of the variables where these were released, by variable.
        hidden: property to one estimate per particle; the reference particle's error is zero.
        reference: the particle whose hidden properties are held: masses are known up to a factor.
        relative_error: on the fitted data, residual over acceleration, per particle.
        held_out_error: the same on data that the fit has not seen.
        model: the network with the fitted formula in its place.
    """

    template: sympy.Expr
    constants: dict[str, Estimate]
    exponents: dict[str, Estimate]
    hidden: dict[str, list[Estimate]]
    reference: int
    relative_error: Float[np.ndarray, "particles"]
    held_out_error: Float[np.ndarray, "particles"]
    model: InteractionNetwork = field(repr=False)

    @property
    def expression(self) -> sympy.Expr:
        """The formula with its numbers in."""
        return self.template.subs({name: e.value for name, e in self.constants.items()})


def refit(
    model: InteractionNetwork,
    expression: sympy.Expr,
    graphs: Graph,
    held_out: Graph,
    *,
    reference: int | None = None,
    free_exponents: bool = False,
    release_hidden: bool = True,
) -> Refit:
    """Fit the constants of a formula, and the hidden properties, to the accelerations in ``graphs``.

    Args:
        model: the trained network, whose hidden properties are the start.
        expression: the formula with numbers in place, in the variables of `pair_variables`.
        graphs: frames with ``acceleration``.
        held_out: frames that the fit does not see.
        reference: particle that keeps its hidden properties; by default the heaviest.
        free_exponents: release the powers of a product of powers as well.
        release_hidden: let hidden properties move.

    Raises:
        ValueError: the formula cannot be evaluated on the data.
    """
    template, values = parameters(expression)
    constants = {str(symbol): value for symbol, value in values.items()}
    exponents: dict[str, list[str]] = {}
    if free_exponents:
        template, powers, exponents = release_exponents(template)
        constants |= powers
    fitted = model.with_formula(keyword_function(template), constants).to(torch.float64)
    reference = heaviest(fitted) if reference is None else reference
    solved = solve(fitted, graphs, held_out, reference, release_hidden, jumps_of(template, fitted))
    estimates = solved.estimates
    names = {f"force.scalar.constants.{name}": name for name in constants}
    found = {names[key]: Estimate(*value[0]) for key, value in estimates.items() if key in names}
    return Refit(
        template=template,
        constants=found,
        exponents={variable: found[name] for name, variables in exponents.items() for variable in variables},
        hidden={
            name: _hidden(fitted, name, estimates.get(f"hidden.raw.{name}")) for name in fitted.hidden.names
        },
        reference=reference,
        relative_error=solved.relative_error,
        held_out_error=solved.held_out_error,
        model=fitted,
    )


@dataclass(frozen=True)
class Solved:
    """What a fit of all that moves in a model found.

    Attributes:
        estimates: parameter name to values and standard errors.
        relative_error, held_out_error: see `Refit`.
    """

    estimates: dict[str, list[tuple[float, float]]]
    relative_error: Float[np.ndarray, "particles"]
    held_out_error: Float[np.ndarray, "particles"]


def solve(
    fitted: InteractionNetwork,
    graphs: Graph,
    held_out: Graph,
    reference: int,
    release_hidden: bool = True,
    jumps: Sequence[Jump] = (),
) -> Solved:
    """Fit the parameters of a model of formulas to the accelerations in ``graphs``, in place.

    Args:
        fitted: formulas in place of networks, see `InteractionNetwork.with_formula` and `with_terms`.
        graphs, held_out: frames to fit, and to judge by.
        reference: particle that keeps its hidden properties.
        release_hidden: let hidden properties move.
        jumps: constants that the accelerations do not depend on smoothly: they are put between the two
            neighbouring edges where the cost is least, in turn with the fit of the others. Particles with an
            edge in between are left out of the held-out error: the data leave open which side they are on.
    """
    for parameter in fitted.hidden.parameters():
        parameter.requires_grad_(release_hidden)
    problem = _Problem(fitted, graphs, reference)
    estimates: dict[str, list[tuple[float, float]]] = {}
    if trainable(fitted):
        problem.solve()
        for _ in range(ROUNDS if jumps else 0):
            jumps = [settle(jump, graphs, problem.cost) for jump in jumps]
            problem.solve()
        covariance, start = problem.covariance(), 0
        for name, parameter in trainable(fitted).items():
            errors = covariance.diagonal()[start : start + parameter.numel()].clamp(min=0).sqrt()
            estimates[name] = list(zip(parameter.detach().flatten().tolist(), errors.tolist(), strict=True))
            start += parameter.numel()
            for jump in jumps:
                if parameter is jump.constant:
                    estimates[name] = [(value, jump.error) for value, _ in estimates[name]]
    open_ = [jump.undecided(held_out) for jump in jumps]
    decided = ~torch.stack(open_).any(0) if open_ else None
    return Solved(estimates, problem.relative_error(graphs), problem.relative_error(held_out, decided))


def release_exponents(template: sympy.Expr) -> tuple[sympy.Expr, dict[str, float], dict[str, list[str]]]:
    """Give each variable of a product of powers a free exponent; both ends of an edge share theirs.

    Returns the new template, the exponents' starting values, and which variables each belongs to. A
    formula that is not a constant times powers of variables comes back as it is.
    """
    coefficient, powers = _monomial(template)
    if not powers:
        return template, {}, {}
    start: dict[str, float] = {}
    owners: dict[str, list[str]] = {}
    product = coefficient
    for variable, power in powers.items():
        base = variable.name[:-2] if variable.name.endswith(("_i", "_j")) else variable.name
        partners = [v for v in powers if v.name in (f"{base}_i", f"{base}_j") and powers[v] == power]
        name = f"p_{base}" if len(partners) == 2 else f"p_{variable.name}"
        start[name] = float(power)
        owners.setdefault(name, []).append(variable.name)
        product *= variable ** sympy.Symbol(name)
    return product, start, owners


def _monomial(template: sympy.Expr) -> tuple[sympy.Expr, dict[sympy.Symbol, sympy.Expr]]:
    """Split c·Π vᵖ into c and {v: p}; no powers if the template is of another form."""
    constant, powers = sympy.Integer(1), {}
    for factor in sympy.Mul.make_args(template):
        base, power = factor.as_base_exp()
        if base.is_Symbol and power.is_Number and not base.name.startswith("c"):
            powers[base] = power
        elif factor.free_symbols and any(not s.name.startswith("c") for s in factor.free_symbols):
            return template, {}
        else:
            constant *= factor
    return constant, powers


class _Problem:
    """Weighted least squares over constants and hidden properties, the reference held."""

    def __init__(self, model: InteractionNetwork, graphs: Graph, reference: int) -> None:
        self.model, self.graphs = model, graphs
        self.label = particle_labels(graphs)
        self.count = int(self.label.max()) + 1
        self.target = graphs.nodes["acceleration"]
        self.size = mean_square(self.target, self.label, self.count).sqrt()  # particles
        self.weight = (1.0 / self.size.clamp(min=1e-300))[self.label]
        self.active = self._active(reference)
        self.columns = field_jacobian(model, graphs, "acceleration")

    def _active(self, reference: int) -> Tensor:
        """Which parameters move: all but the hidden properties of the reference particle."""
        parts = [torch.zeros(0, dtype=torch.bool)]
        for name, parameter in trainable(self.model).items():
            moves = torch.ones(parameter.numel(), dtype=torch.bool)
            if name.startswith("hidden."):
                moves[reference] = False
            parts.append(moves)
        return torch.cat(parts)

    @torch.no_grad()
    def residual(self) -> Float[Tensor, "nodes dim"]:
        return (self.model(self.graphs).nodes["acceleration"] - self.target) * self.weight[:, None]

    def cost(self) -> Float[Tensor, ""]:
        return self.residual().square().sum()

    @torch.no_grad()
    def jacobian(self) -> Float[Tensor, "nodes dim P"]:
        return self.columns() * self.weight[:, None, None] * self.active

    def linearize(self) -> Linearization:
        jacobian, residual = self.jacobian().flatten(0, 1), self.residual().flatten()
        # A held parameter has no column; a unit diagonal keeps the system regular and its step zero.
        hessian = jacobian.T @ jacobian + torch.diag((~self.active).to(jacobian.dtype))
        return Linearization(hessian, jacobian.T @ residual, residual @ residual)

    def solve(self) -> None:
        """Minimize the residuals relative to each particle's own acceleration.

        Not relative to its own residual: where a law lacks a small effect, such weights run away to fit
        one particle perfectly at the others' expense.
        """
        optimizer = LevenbergMarquardt(self.model.parameters(), damping=1e-12)
        before = self.cost()
        for _ in range(STEPS):
            after = optimizer.step(closure=self.cost, linearize=self.linearize)
            if not after < before * (1 - CONVERGED):
                return
            before = after

    def covariance(self) -> Float[Tensor, "P P"]:
        """Cluster-robust covariance of the estimates (Liang & Zeger 1986, doi 10.1093/biomet/73.1.13).

        What a law leaves over is not white noise: an effect that it lacks pulls at one particle in one way
        for a long time. Residuals are therefore taken as arbitrarily correlated within each particle and
        fifth of the time, so that the errors do not shrink when frames are sampled more densely. An effect
        that mimics a parameter everywhere (as a planet's oblateness mimics mass to its moon) leaves no
        residual, and no error made from residuals can show it.
        """
        jacobian = self.jacobian()
        scores = torch.einsum("ndp,nd->np", jacobian, self.residual())  # nodes P
        hessian = torch.einsum("ndp,ndq->pq", jacobian, jacobian)
        # what is held, and the place of a jump, have no column
        hessian = hessian + torch.diag((hessian.diagonal() == 0).to(jacobian.dtype))
        scale = hessian.diagonal().rsqrt()
        inverse = torch.linalg.pinv(hessian * scale[:, None] * scale, hermitian=True) * scale[:, None] * scale
        stretch = self.graphs.node_graph * STRETCHES // max(1, self.graphs.num_graphs)
        cluster = self.label * STRETCHES + stretch
        clusters = self.count * STRETCHES
        sums = torch.zeros(clusters, scores.shape[1], dtype=scores.dtype).index_add(0, cluster, scores)
        return inverse @ (sums.T @ sums) @ inverse * clusters / (clusters - 1)

    @torch.no_grad()
    def relative_error(
        self, graphs: Graph, some: Bool[Tensor, "nodes"] | None = None
    ) -> Float[np.ndarray, "particles"]:
        label = particle_labels(graphs)
        target = graphs.nodes["acceleration"]
        error = self.model(graphs).nodes["acceleration"] - target
        if some is not None:
            label, target, error = label[some], target[some], error[some]
        error = mean_square(error, label, self.count)
        return (error / mean_square(target, label, self.count).clamp(min=1e-300)).sqrt().cpu().numpy()


def heaviest(model: InteractionNetwork) -> int:
    """Return the particle whose first hidden property is largest; the first one if nothing is hidden."""
    names = model.hidden.names
    return int(model.hidden.values(names[0]).argmax()) if names else 0


def _hidden(model: InteractionNetwork, name: str, raw: list[tuple[float, float]] | None) -> list[Estimate]:
    values = model.hidden.values(name).detach().tolist()
    if raw is None:
        return [Estimate(value, 0.0) for value in values]
    # positive properties are held as logarithms: their errors are relative
    return [
        Estimate(v, e * v if name in model.hidden.positive else e)
        for v, (_, e) in zip(values, raw, strict=True)
    ]
