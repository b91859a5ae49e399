"""Where a fitted formula jumps: places that have no slope, found by trying those between the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sympy
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sciml.distill.torch_code import torch_function
from sciml.graph import Graph
from sciml.models.interaction_network import InteractionNetwork
from sciml.nn.interaction import FormulaScalar, RadialForce, pair_variables
from sciml.nn.message_passing import Edges

WINDOW = 0.1  # of the edges, on either side of the place that the search found
TRIED = 16  # places at a time, ever closer together


@dataclass(frozen=True)
class Jump:
    """A constant of a formula at which the sides of a step change.

    Attributes:
        place: value of the constant at which each edge of a graph would change sides.
        constant: its value, which is set in place.
        low, high: neighbouring values in the data between which nothing changes.
    """

    place: Callable[[Graph], Float[Tensor, "edges"]]
    constant: Tensor
    low: float = 0.0
    high: float = 0.0

    @property
    def error(self) -> float:
        """Standard deviation of a place that is anywhere in between."""
        return (self.high - self.low) / 12**0.5

    def undecided(self, graph: Graph) -> Bool[Tensor, "nodes"]:
        """Return which nodes have an edge whose side the data did not decide."""
        place = self.place(graph)
        between = ((place > self.low) & (place < self.high)).to(torch.long)
        return torch.zeros(graph.num_nodes, dtype=torch.long).index_add(0, graph.receiver, between) > 0


def jumps_of(template: sympy.Expr, fitted: InteractionNetwork) -> list[Jump]:
    """Return the constants of a formula that stand in steps alone, with what they are compared to.

    Args:
        template: the formula, its constants as symbols.
        fitted: the network with this formula in its place.
    """
    if not isinstance(fitted.force, RadialForce) or not isinstance(fitted.force.scalar, FormulaScalar):
        return []
    constants: Mapping[str, nn.Parameter] = dict(fitted.force.scalar.constants)  # type: ignore[arg-type]
    steps = template.atoms(sympy.Heaviside)
    outside = template.xreplace({step: sympy.Integer(1) for step in steps}).free_symbols
    found = []
    for argument in {step.args[0] for step in steps}:
        inside = [s for s in argument.free_symbols if s.name in constants]
        if len(inside) != 1 or inside[0] in outside:
            continue
        solutions = sympy.solve(argument, inside[0])
        if len(solutions) == 1 and solutions[0].free_symbols:
            found.append(Jump(_place(solutions[0], fitted), constants[inside[0].name]))
    return found


def _place(solution: sympy.Expr, fitted: InteractionNetwork) -> Callable[[Graph], Tensor]:
    names = tuple(sorted(s.name for s in solution.free_symbols))
    function = torch_function(solution, names)

    def place(graph: Graph) -> Float[Tensor, "edges"]:
        seen = fitted.hidden(graph) if fitted.hidden.names else graph
        variables = pair_variables(Edges(seen), fitted.properties)
        return function(*(variables[name] for name in names))

    return place


@torch.no_grad()
def settle(jump: Jump, graphs: Graph, cost: Callable[[], Float[Tensor, ""]]) -> Jump:
    """Move a jump, within the part `WINDOW` of the edges, to the place of least cost; return its bounds too.

    Args:
        jump: as it was found.
        graphs: frames that the cost is of.
        cost: at the present constants.
    """
    places = torch.unique(jump.place(graphs))
    last = len(places) - 1
    if last < 1:
        return jump
    middle = 0.5 * (places[1:] + places[:-1])
    best = int(torch.searchsorted(places, jump.constant.detach()).clamp(1, last)) - 1
    reach = max(int(WINDOW * last), 1)
    while True:
        low, high = max(best - reach, 0), min(best + reach, last - 1)
        numbers = sorted({best, *torch.linspace(low, high, TRIED).round().long().tolist()})
        costs = []
        for number in numbers:
            jump.constant.copy_(middle[number])
            costs.append(float(cost()))
        best = numbers[min(range(len(costs)), key=costs.__getitem__)]
        if reach == 1:
            break
        reach = max(reach * 3 // TRIED, 1)
    jump.constant.copy_(middle[best])
    return Jump(jump.place, jump.constant, float(places[best]), float(places[best + 1]))
