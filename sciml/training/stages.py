"""Stages of training: which optimizer, for how long, on which loss."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from sciml.training.levenberg_marquardt import LevenbergMarquardt
from sciml.training.losses import LOSSES

OptimizerName = Literal["adam", "adamw", "lbfgs", "levenberg_marquardt"]


MOST_PARAMETERS = 2000  # of a second-order step, whose cost grows with their square


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Attributes:
        optimizer: ``adam``, ``adamw``, ``lbfgs`` or ``levenberg_marquardt`` (least squares of the error
            relative to each particle's acceleration, or to each vector itself if ``loss`` is ``huber``).
        epochs: passes over the training graphs.
        batch_size: graphs per step; None takes all at once, as second-order steps need.
        loss: name of the loss, see `sciml.training.losses`.
        learning_rate: at the start of the stage; falls to zero along a half cosine for Adam.
        reweight_after: Levenberg–Marquardt steps after which each particle is weighted by its own
            residual instead of its own acceleration (iteratively reweighted least squares); None: never.
    """

    optimizer: OptimizerName = "adam"
    epochs: int = 60
    batch_size: int | None = 32
    loss: str = "relative"
    learning_rate: float = 1e-2
    reweight_after: int | None = None

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"Unknown optimizer {self.optimizer!r}; choose from {', '.join(OPTIMIZERS)}.")
        if self.loss not in LOSSES:
            raise ValueError(f"Unknown loss {self.loss!r}; choose from {', '.join(LOSSES)}.")
        if self.epochs < 0 or (self.batch_size is not None and self.batch_size < 1):
            raise ValueError(f"A stage needs epochs >= 0 and batch_size >= 1 (or null), not {self}.")
        if self.optimizer in ("lbfgs", "levenberg_marquardt") and self.batch_size is not None:
            raise ValueError(f"{self.optimizer} takes all graphs at once: set batch_size to null.")


OPTIMIZERS = {
    "adam": lambda params, stage: torch.optim.Adam(params, stage.learning_rate, betas=(0.9, 0.99)),
    "adamw": lambda params, stage: torch.optim.AdamW(params, stage.learning_rate),
    "lbfgs": lambda params, stage: torch.optim.LBFGS(
        params, stage.learning_rate, max_iter=20, history_size=20, line_search_fn="strong_wolfe"
    ),
    "levenberg_marquardt": lambda params, stage: LevenbergMarquardt(params),
}


def build(stage: Stage, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of a stage over the trainable parameters of a model."""
    params = [p for p in model.parameters() if p.requires_grad]
    if not params:
        raise ValueError(f"{type(model).__name__} has no trainable parameters; there is nothing to train.")
    size = sum(p.numel() for p in params)
    if stage.optimizer == "levenberg_marquardt" and size > MOST_PARAMETERS:
        raise ValueError(
            f"Levenberg–Marquardt solves for all parameters at once, and {size} are too many (at most "
            f"{MOST_PARAMETERS}): make the network smaller (model.hidden_sizes), or train "
            "without it (task=adam)."
        )
    return OPTIMIZERS[stage.optimizer](params, stage)


def at_epoch(stages: Iterable[Stage], epoch: int) -> tuple[int, int]:
    """Return which stage an epoch belongs to, and its number within the stage."""
    stages = list(stages)
    for number, stage in enumerate(stages):
        if epoch < stage.epochs:
            return number, epoch
        epoch -= stage.epochs
    return len(stages) - 1, stages[-1].epochs - 1
