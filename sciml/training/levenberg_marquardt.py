"""Levenberg–Marquardt for networks of a few hundred parameters: second order where Adam stalls.

Forces of a solar system span nine decades, and the residual of each body must fall to 1e-4 of its own
acceleration. Gradient descent alone does not get there; damped Gauss–Newton does, in tens of steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass
class Linearization:
    """Normal equations of weighted least squares at the current parameters.

    Attributes:
        hessian: JᵀJ of the weighted residuals, (parameters, parameters).
        gradient: Jᵀr, (parameters,).
        cost: rᵀr.
    """

    hessian: Float[Tensor, "parameters parameters"]
    gradient: Float[Tensor, "parameters"]
    cost: Float[Tensor, ""]


class LevenbergMarquardt(torch.optim.Optimizer):
    """Damped Gauss–Newton steps with Marquardt's scaling (Marquardt 1963, doi 10.1137/0111030).

    A step solves ``(JᵀJ + λ diag(JᵀJ)) δ = −Jᵀr``; λ falls after a step that lowers the cost and grows
    until one does.

    Args:
        params: the parameters, one group.
        damping: the first λ.
        decrease, increase: factors on λ after success and failure.
        attempts: how often λ may grow within one step before the step is given up.
    """

    def __init__(
        self, params, damping: float = 1e-2, decrease: float = 0.1, increase: float = 4.0, attempts: int = 25
    ):
        super().__init__(
            params, {"damping": damping, "decrease": decrease, "increase": increase, "attempts": attempts}
        )
        if len(self.param_groups) != 1:
            raise ValueError(
                "Levenberg–Marquardt solves for all parameters at once: give one parameter group."
            )

    @torch.no_grad()
    def step(  # type: ignore[override]
        self, closure: Callable[[], Float[Tensor, ""]], linearize: Callable[[], Linearization]
    ) -> Float[Tensor, ""]:
        """Take one step and return the cost after it (the cost before it if no step helps).

        Args:
            closure: cost at the current parameters.
            linearize: normal equations at the current parameters, in the order of ``params``.
        """
        group = self.param_groups[0]
        params = [p for p in group["params"] if p.requires_grad]
        start = [p.clone() for p in params]
        system = linearize()
        diagonal = system.hessian.diagonal()
        scale = diagonal.clamp(min=1e-10 * diagonal.max())
        for _ in range(group["attempts"]):
            factor, failed = torch.linalg.cholesky_ex(system.hessian + torch.diag(group["damping"] * scale))
            if not failed:
                move = -torch.cholesky_solve(system.gradient[:, None], factor)[:, 0]
                _assign(params, start, move)
                new_cost = closure()
                if new_cost < system.cost:
                    group["damping"] = max(group["damping"] * group["decrease"], 1e-14)
                    return new_cost
            group["damping"] *= group["increase"]
        _assign(params, start, torch.zeros_like(system.gradient))
        return system.cost


def _assign(params: list[Tensor], start: list[Tensor], move: Tensor) -> None:
    position = 0
    for p, origin in zip(params, start):
        p.copy_(origin + move[position : position + p.numel()].reshape(p.shape))
        position += p.numel()
