"""What trainings by AdamW share: the schedule, the check of the loss, and a trainer that resumes."""

from __future__ import annotations

import logging
import math
import signal
import sys
from collections.abc import Sized
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning as L  # noqa: N812 - Lightning's own idiom
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, Timer
from lightning.pytorch.strategies import Strategy
from torch import Tensor, nn

from sciml.training.errors import RunError
from sciml.training.processes import AveragedGradients, processes, summed
from sciml.training.run import AtomicCheckpoints, MetricsTable, load_checkpoint, quiet_lightning
from sciml.training.task import NonFiniteLossError

log = logging.getLogger(__name__)


class SupervisedTask(L.LightningModule):
    """A loss on batches, by AdamW; subclasses define `loss`, and `validation_step` where there is one.

    The learning rate rises over the first tenth of the steps and falls to zero along a half cosine; both of
    the time that is allowed, if that ends sooner. Without such a limit it, the order of batches and random
    numbers (as of dropout) follow from the seed, the epoch and the step, so that an interrupted run resumes
    to the same numbers. Where several processes train, each has its part of a
    batch, and `loss` must be a `batch_mean` (`sciml.training.processes`): then they take the steps that one
    alone would.

    Attributes:
        extremes: what makes a loss infinite, for the message.
        warm: steps over which the learning rate rises, at most.
        schedule: by which it falls, one of `SCHEDULES`.
        undivided: why a step cannot be divided among processes, where it cannot.
        fused: take all parameters of a step of AdamW in one loop: faster where they are many and small, and
            other than one by one in the last digits.
    """

    extremes = "extreme values"
    undivided = ""
    warm = 10**9
    fused = False

    def __init__(
        self, model: nn.Module, steps: int, learning_rate: float, weight_decay: float, seed: int = 0
    ) -> None:
        super().__init__()
        self.model, self.steps, self.seed = model, steps, seed
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.schedule = half_cosine
        self._sum: Tensor | float = 0.0
        self._count: Tensor | int = 0

    def loss(self, batch: Any) -> Tensor:
        """Return the loss of a batch."""
        raise NotImplementedError(f"{type(self).__name__} must define loss(batch).")

    def size(self, batch: Any) -> int:
        """Return how many examples a batch has."""
        return len(batch)

    def configure_optimizers(self) -> Any:
        """Return AdamW and the schedule of its learning rate."""
        optimizer = torch.optim.AdamW(
            self.model.parameters(),
            self.learning_rate,
            weight_decay=self.weight_decay,
            fused=self.fused or None,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, as a part of the largest one."""
        done = self.progress(step)
        warm = max(min(self.steps // 10, self.warm), 1)
        return min(max((step + 1) / warm, 10 * done), self.schedule(done))  # where time is short, sooner

    def progress(self, step: int) -> float:
        """Return how far training is, from 0 to 1."""
        return progress(self, step / self.steps)

    @torch.no_grad()
    def validate_again(self) -> None:
        """Take the steps of validation once more, for what was learned since the last epoch."""
        training = self.training
        self.eval()
        for batch in self.trainer.datamodule.validation_batches():  # type: ignore[attr-defined]
            self.validation_step(batch.to(self.device), 0)
        self.train(training)

    @property
    def step_seed(self) -> int:
        """What random numbers of a step follow from; another one for each part of a divided batch."""
        return self.seed * 1_000_003 + self.global_step + 7_919 * self.global_rank

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of a batch, if it is finite."""
        seed_device(self.step_seed, self.device)
        loss = self.loss(batch)
        whole, number = _of_all(loss.detach(), self.size(batch))
        if not torch.isfinite(whole):  # in all processes alike, so that none waits for another
            raise NonFiniteLossError(
                f"The loss became {float(whole)} in epoch {self.current_epoch}, step {self.global_step}. "
                f"Lower the learning rate (task.learning_rate), or look for {self.extremes}."
            )
        self._sum, self._count = self._sum + number * whole, self._count + number
        return loss

    def on_train_epoch_start(self) -> None:
        """Begin a new mean of losses."""
        self._sum, self._count = 0.0, 0

    def on_train_epoch_end(self) -> None:
        """Log the mean loss over the examples of the epoch: once, since logging costs what small steps do."""
        if self._count:
            self.log("train/loss", self._sum / self._count, prog_bar=True, batch_size=int(self._count))

    def log_mean(self, name: str, mean: Tensor, size: int, **options: Any) -> None:
        """Log a `batch_mean` of validation, over so many examples."""
        whole, number = _of_all(mean.detach(), size)
        self.log(name, whole, batch_size=int(number), **options)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a batch; Lightning knows tensors and containers, not graphs."""
        return batch.to(device, non_blocking=True)


def _of_all(mean: Tensor, size: int) -> tuple[Tensor, Tensor | int]:
    """Return the mean over a batch of which each process has a part, from their means, and its size."""
    if processes() == 1:
        return mean, size
    total, number = summed(torch.stack([mean, torch.full_like(mean, size)])).unbind()
    return total / processes(), number


def linear(progress: float) -> float:
    """Return 1 - progress, and 0 from 1 on."""
    return 1.0 - min(progress, 1.0)


def constant(progress: float) -> float:
    """Return 1."""
    return 1.0


def seed_device(seed: int, device: torch.device) -> None:
    """Seed the random numbers of the processor and of this device.

    `torch.manual_seed` also asks every kind of device that is not there, and notes each time that it did:
    that takes longer than a layer of a small network, and memory that is never given back.
    """
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


def half_cosine(progress: float) -> float:
    """Return ½ + ½ cos(π · progress), which falls from 1 to 0, and 0 from then on."""
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


SCHEDULES = {"cosine": half_cosine, "linear": linear, "constant": constant}  # of progress from 0 to 1


def progress(task: L.LightningModule, steps: float) -> float:
    """Return how far training is: by its steps, or by the time that is allowed, if that ends sooner.

    Args:
        task: in training, or not yet.
        steps: share of the steps that are done.
    """
    callbacks = task._trainer.callbacks if task._trainer else []  # type: ignore[attr-defined]
    for timer in callbacks:
        left = timer.time_remaining("train") if isinstance(timer, Timer) else None
        if left is not None:
            spent = timer.time_elapsed("train")
            steps = max(steps, spent / max(spent + left, 1e-9))
            if processes() > 1:  # clocks differ, and learning rates must not
                steps = task.trainer.strategy.broadcast(steps)
    return steps


def duration(text: str | timedelta) -> timedelta:
    """Return a time, which may be written as DD:HH:MM:SS.

    Raises:
        ValueError: of another form.
    """
    if isinstance(text, timedelta):
        return text
    try:
        days, hours, minutes, seconds = map(int, text.split(":"))
    except ValueError:
        raise ValueError(f"max_time={text!r}: expected DD:HH:MM:SS, as 00:00:20:00.") from None
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def fit(
    task: SupervisedTask,
    data: L.LightningDataModule,
    run_dir: str | Path,
    *,
    epochs: int,
    validation: Sized,
    accelerator: str = "cpu",
    devices: int = 1,
    num_nodes: int = 1,
    strategy: str = "auto",
    max_time: str | timedelta | None = None,
    progress: bool | None = None,
    every: int = 1,
) -> None:
    """Train, or go on where an earlier call in the same directory was ended.

    With several devices or machines this call starts the script once more for each (or finds that
    ``torchrun`` or a cluster has), and all of them come out of it with the same model. What follows is for
    one of them: see `leave_to_first`.

    Args:
        task: model and loss.
        data: gives the batches of an epoch, by seed and epoch alone.
        run_dir: gets ``checkpoints/last.ckpt`` and ``metrics.csv``.
        epochs: in all.
        validation: what is validated on; nothing is if it is empty.
        accelerator, devices, num_nodes: Lightning's. Batches are divided among the devices.
        max_time: at most, as DD:HH:MM:SS.
        strategy: auto or ddp: one process for each device (`AveragedGradients`).
        progress: show a progress bar; by default where the output is a terminal.
        every: epochs from one validation, and checkpoint, to the next.

    Raises:
        RunError: several devices for a task that cannot be divided, or another strategy.
        ValueError: a time of another form.
    """
    run_dir = Path(run_dir)
    checkpoint = run_dir / "checkpoints" / "last.ckpt"
    keep = ModelCheckpoint(
        checkpoint.parent, filename="last", enable_version_counter=False, every_n_epochs=every
    )
    resume = checkpoint if checkpoint.is_file() else None
    before = load_checkpoint(checkpoint) if resume else {}
    if resume is not None:
        log.info("going on after epoch %s of %s", before.get("epoch", 0), epochs)
    with quiet_lightning():
        trainer = L.Trainer(
            max_epochs=epochs,
            max_time=None if max_time is None else duration(max_time),
            accelerator=accelerator,
            devices=devices,
            num_nodes=num_nodes,
            strategy=_strategy(strategy, devices, num_nodes, task.undivided),
            use_distributed_sampler=False,  # batches are divided by `Batches`
            logger=MetricsTable(run_dir, before.get("global_step", 0)),
            callbacks=[keep],
            plugins=[AtomicCheckpoints()],
            reload_dataloaders_every_n_epochs=1,
            check_val_every_n_epoch=every,
            num_sanity_val_steps=0,
            limit_val_batches=None if len(validation) else 0,
            log_every_n_steps=1,
            enable_progress_bar=sys.stderr.isatty() if progress is None else progress,
            enable_model_summary=False,
        )
        try:
            trainer.fit(task, data, ckpt_path=resume, weights_only=True)
        except Exception:  # the others may be on their way to meet this one, and would wait for long
            if trainer.strategy.launcher is not None:
                trainer.strategy.launcher.kill(signal.SIGTERM)
            raise
        if trainer.interrupted:
            raise KeyboardInterrupt
        trainer.save_checkpoint(checkpoint)


def _strategy(name: str, devices: int, num_nodes: int, undivided: str) -> str | Strategy:
    """Return how processes train together, if there are several."""
    if name not in ("auto", "ddp"):
        raise RunError(f"trainer.strategy={name}: choose auto or ddp.")
    if devices == 1 and num_nodes == 1:
        return "auto"
    if undivided:
        raise RunError(
            f"trainer.devices={devices}, trainer.num_nodes={num_nodes}: {undivided}. Take one device."
        )
    return AveragedGradients()
