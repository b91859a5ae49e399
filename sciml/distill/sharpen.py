"""Forces that jump: a smooth network rounds the step off; two networks, one on each side, do not."""

from __future__ import annotations

import copy
import logging

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.distill.jumps import Jump, settle
from sciml.graph import Graph
from sciml.models.interaction_network import InteractionNetwork
from sciml.nn.interaction import PairScalar, RadialForce
from sciml.nn.message_passing import Edges
from sciml.training.gauss_newton import LeastSquares
from sciml.training.levenberg_marquardt import LevenbergMarquardt
from sciml.training.losses import local_weights

log = logging.getLogger(__name__)
GRID = 200  # distances at which a network is looked at
ENDS = 0.03  # of the edges, at either end of the distances, where no jump is looked for
NEAR, AWAY = 0.02, 0.15  # relative changes of the distance: across a jump, and to what it is compared with
STEEP = 3.0  # times as much as there must the force change across a jump
ROUNDS = (4, 4, 4)  # steps of the fit, the place being looked for anew before each
BETTER = 0.5  # of the square residual must at most be left, or the network stays as it was


class SplitScalar(PairScalar):
    """Two scalars, one on each side of a distance ``place``; both begin as the one that they replace."""

    place: Tensor

    def __init__(self, scalar: PairScalar, place: float) -> None:
        nn.Module.__init__(self)
        for name in ("properties", "invariants", "symmetric", "output", "logarithmic"):
            setattr(self, name, getattr(scalar, name))
        for name in ("center", "spread"):
            self.register_buffer(name, getattr(scalar, name).clone())
        self.below, self.above = copy.deepcopy(scalar), copy.deepcopy(scalar)
        self.register_buffer("place", torch.as_tensor(place, dtype=scalar.center.dtype))

    def of_features(self, x: Float[Tensor, "... columns"]) -> Float[Tensor, "..."]:
        """Return f for standardized features."""
        place = self.place.log() if "r" in self.logarithmic else self.place
        far = x[..., 0] * self.spread[0] + self.center[0] > place
        return torch.where(far, self.above.of_features(x), self.below.of_features(x))


def sharpen(model: InteractionNetwork, train: Graph) -> InteractionNetwork:
    """Return the network divided where its force along the line of centres jumps, both parts trained on.

    The place is first where the network is steepest beside its surroundings, then where the accelerations are
    explained best, between two neighbouring distances of the data.

    Args:
        model: trained, with radial messages.
        train: frames with ``acceleration``.

    Returns:
        A new network, or ``model`` itself if there is no jump, or dividing it does not halve what it leaves
        unexplained.
    """
    if not isinstance(model.force, RadialForce) or type(model.force.scalar) is not PairScalar:
        return model
    seen = model.hidden(train) if model.hidden.names else train
    place = steepest(model.force.scalar, seen)
    if place is None:
        return model
    twin = copy.deepcopy(model)
    scalar = SplitScalar(model.force.scalar, place)
    twin.force = RadialForce(scalar)
    weights = local_weights(train.nodes["acceleration"])
    before = float(LeastSquares(model, train, "acceleration", weights).cost())
    optimizer = LevenbergMarquardt([p for p in twin.parameters() if p.requires_grad])
    jump = Jump(lambda graph: graph.edge_vectors().norm(dim=-1), scalar.place)
    after = before
    for steps in ROUNDS:
        # the sides of the edges follow the place: the normal equations are those of a new problem
        problem = LeastSquares(twin, train, "acceleration", weights)
        for _ in range(steps):
            after = float(optimizer.step(closure=problem.cost, linearize=problem.linearize))
        jump = settle(jump, train, problem.cost)
    after = float(LeastSquares(twin, train, "acceleration", weights).cost())
    log.info("divided at r = %g: %.3g of the square residual is left", float(scalar.place), after / before)
    return twin if after < BETTER * before else model


@torch.no_grad()
def steepest(scalar: PairScalar, graph: Graph) -> float | None:
    """Return the distance where a scalar is steepest beside its surroundings, None if nowhere by `STEEP`."""
    x = scalar.standardize(scalar.features(Edges(graph)))
    distance = graph.edge_vectors().norm(dim=-1)
    ends = distance.quantile(torch.tensor([ENDS, 1 - ENDS], dtype=distance.dtype))
    places = torch.linspace(float(ends[0].log()), float(ends[1].log()), GRID, dtype=distance.dtype).exp()
    rows = x[:: max(1, len(x) // 16)]
    change = _change(scalar, rows, places)
    around = torch.maximum(*(_change(scalar, rows, places * (1 + away)) for away in (-AWAY, AWAY)))
    ratio = change / (around + 1e-3 * change.max())
    best = int(ratio.argmax())
    return float(places[best]) if ratio[best] > STEEP else None


def _change(scalar: PairScalar, rows: Tensor, places: Tensor) -> Float[Tensor, "places"]:
    """Return how much the scalar changes across each place, on average over rows of properties."""

    def at(r: Tensor) -> Float[Tensor, "places rows"]:
        column = r.log() if "r" in scalar.logarithmic else r
        first = ((column - scalar.center[0]) / scalar.spread[0])[:, None].expand(-1, len(rows))
        rest = rows[None, :, 1:].expand(len(r), -1, -1)
        return scalar.of_features(torch.cat([first[..., None], rest], dim=-1))

    return (at(places * (1 + NEAR)) - at(places * (1 - NEAR))).abs().mean(dim=1)
