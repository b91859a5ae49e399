"""The Lightning task: a model, its target field, and the stages that train it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import lightning as L  # noqa: N812 - Lightning's own idiom
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph
from sciml.models.interaction_network import InteractionNetwork
from sciml.training.gauss_newton import LeastSquares
from sciml.training.losses import LOSSES, local_weights, mean_square, particle_labels, particle_weights
from sciml.training.stages import Stage, at_epoch, build

RESOLUTION = 1e-3  # relative error below which a body is fitted well enough: reweighting stops there


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite; training stops at the step where it did."""


class DynamicsTask(L.LightningModule):
    """Fit a node field (the accelerations) of graphs, stage by stage.

    Optimization is manual, since stages differ in what a step is. Everything that a step depends on is in
    the checkpoint or follows from the epoch, so that an interrupted run resumes to the same numbers.

    Logs ``train/loss`` and ``validation/relative_error``: the root mean square error over that of the
    field, particle by particle, then the median over particles.
    """

    def __init__(self, model: nn.Module, stages: Sequence[Stage], field: str = "acceleration") -> None:
        super().__init__()
        self.model = model
        self.stages = tuple(stages)
        self.field = field
        self.automatic_optimization = False
        self._least_squares: LeastSquares | None = None

    # ----------------------------------------------------------- optimizers

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Return one optimizer for each stage."""
        return [build(stage, self.model) for stage in self.stages]

    def training_step(self, batch: Graph, batch_idx: int) -> Float[Tensor, ""]:
        """Take one step of the current stage's optimizer."""
        number, epoch = at_epoch(self.stages, self.current_epoch)
        stage, optimizers = self.stages[number], self.optimizers()
        if batch_idx == 0 and isinstance(self.model, InteractionNetwork):
            epochs = sum(s.epochs for s in self.stages)
            self.model.advance(batch, self.current_epoch / max(epochs, 1))
        optimizer = optimizers[number] if isinstance(optimizers, list) else optimizers
        if stage.optimizer == "levenberg_marquardt":
            loss = self._least_squares_step(optimizer, stage, epoch, batch)
        else:
            if stage.optimizer != "lbfgs":
                for group in optimizer.param_groups:
                    group["lr"] = stage.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / stage.epochs))
            loss = self._gradient_step(optimizer, stage, batch)
        self.log("train/loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=batch.num_graphs)
        return loss

    def _gradient_step(self, optimizer: Any, stage: Stage, batch: Graph) -> Tensor:
        losses: list[Tensor] = []

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = LOSSES[stage.loss](self.model(batch).nodes[self.field], batch.nodes[self.field], batch)
            whole = loss + self.model.penalty() if isinstance(self.model, InteractionNetwork) else loss
            self.manual_backward(whole)
            losses.append(loss.detach())
            return whole

        optimizer.step(closure=closure)
        self._check_finite(losses[0])
        return losses[0]

    def _least_squares_step(self, optimizer: Any, stage: Stage, epoch: int, batch: Graph) -> Tensor:
        problem = self._least_squares
        if problem is None:
            target = batch.nodes[self.field]
            weights = local_weights(target) if stage.loss == "huber" else particle_weights(target, batch)
            problem = self._least_squares = LeastSquares(self.model, batch, self.field, weights)
        if stage.reweight_after is not None and epoch >= stage.reweight_after:
            problem.weights = self._weights_by_residual(problem)
        cost = optimizer.step(closure=problem.cost, linearize=problem.linearize)
        self._check_finite(cost)
        return cost / batch.num_nodes

    def _weights_by_residual(self, problem: LeastSquares) -> Float[Tensor, "nodes"]:
        """One over (acceleration × relative residual) of each particle: bodies fitted well count more."""
        base = particle_weights(problem.graph.nodes[self.field], problem.graph)
        problem.weights = base
        label = particle_labels(problem.graph)
        relative = mean_square(problem.residual(), label, int(label.max()) + 1)
        return base * (relative + RESOLUTION**2).rsqrt()[label]

    def _check_finite(self, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise NonFiniteLossError(
                f"The loss became {float(loss)} in epoch {self.current_epoch}, step {self.global_step}. "
                "Lower the learning rate of this stage, or look for outliers and coinciding particles."
            )

    # ------------------------------------------------------------ evaluation

    @torch.no_grad()
    def relative_errors(self, graph: Graph) -> Float[Tensor, "particles"]:
        """Root mean square error of each particle over the root mean square of its field."""
        target = graph.nodes[self.field]
        label = particle_labels(graph)
        size = int(label.max()) + 1
        error = mean_square(self.model(graph).nodes[self.field] - target, label, size)
        return (error / mean_square(target, label, size).clamp(min=1e-300)).sqrt()

    def validation_step(self, batch: Graph, batch_idx: int) -> None:
        """Log the median relative error over particles."""
        error = self.relative_errors(batch).median()
        self.log("validation/relative_error", error, prog_bar=True, batch_size=batch.num_graphs)

    def transfer_batch_to_device(self, batch: Graph, device: torch.device, dataloader_idx: int) -> Graph:
        """Move a batch; Lightning knows tensors and containers, not graphs."""
        return batch.to(device, non_blocking=True)
