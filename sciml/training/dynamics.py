"""From trajectories to a trained interaction network."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L  # noqa: N812 - Lightning's own idiom
import numpy as np
import torch
from jaxtyping import Float
from lightning.pytorch.callbacks import ModelCheckpoint

from sciml.builders import particle_graph
from sciml.datasets.trajectories import Trajectories
from sciml.graph import Graph
from sciml.models.interaction_network import InteractionNetwork
from sciml.physics.differentiate import white_noise
from sciml.physics.momentum import MomentumClosure, momentum_closure
from sciml.training.data import GraphData
from sciml.training.errors import RunError
from sciml.training.fit import duration
from sciml.training.run import AtomicCheckpoints, MetricsTable, load_checkpoint, quiet_lightning
from sciml.training.stages import Stage
from sciml.training.task import DynamicsTask

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DynamicsData:
    """Trajectories as graphs, divided in time (or by simulation) into what is learned and what is kept back.

    Attributes:
        train: random frames of the training part, for the network.
        fit: frames of the training part spread evenly, for the refit of laws.
        held_out: frames of the part that nothing was fitted to.
        past, future: the two parts.
        noise: relative error of the accelerations (median over particles): as stated, else their white noise.
        closure: masses from momentum conservation, None where masses are given.
    """

    train: Graph
    fit: Graph
    held_out: Graph
    past: Trajectories
    future: Trajectories
    noise: float
    closure: MomentumClosure | None

    @property
    def arguments(self) -> dict[str, Any]:
        """What an `InteractionNetwork` must know of the data."""
        given = [name for name, value in self.past.properties.items() if value.dtype.kind in "fiu"]
        return {"dim": self.past.shape[3], "particles": len(self.names), "given": given}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the particles, by their label."""
        return self.past.names


def dynamics_data(
    trajectories: Trajectories,
    *,
    train: float = 0.8,
    by: str = "auto",
    simulation: int | None = None,
    frames: int = 150,
    fit_frames: int = 4000,
    held_out_frames: int = 200,
    edges: str = "all",
    cutoff: float | None = None,
    k: int | None = None,
    seed: int = 0,
) -> DynamicsData:
    """Divide trajectories and build their graphs.

    Args:
        trajectories: accelerations are estimated where they are missing.
        train: share that is learned from.
        by: ``time`` or ``simulation``, which part is kept back (see `Trajectories.split`).
        simulation: take only this one; all if None.
        frames, fit_frames, held_out_frames: at most so many frames for each purpose.
        edges: ``all`` pairs, ``cutoff`` or ``knn``.
        cutoff, k: of those.
        seed: of the draw of training frames.

    Raises:
        ValueError: unknown masses that differ between simulations.
    """
    if simulation is not None:
        if not 0 <= simulation < trajectories.shape[0]:
            raise ValueError(f"simulation {simulation}: there are {trajectories.shape[0]}, counted from 0")
        trajectories = trajectories.select(simulations=slice(simulation, simulation + 1))
    trajectories = trajectories.with_accelerations()
    closure = None if "mass" in trajectories.properties else _closure(trajectories)
    if closure is not None and not closure.shared:
        raise ValueError(
            f"{trajectories.source}: the masses differ between the {trajectories.shape[0]} simulations "
            "(momentum closes within each, but not with masses in common), and motion fixes them in each "
            "only up to a factor of its own. Give the masses as a property, or take one simulation: "
            "data.split.simulation=0."
        )
    past, future = trajectories.split(train, by=by)
    rng = np.random.default_rng(seed)
    total = past.shape[0] * past.shape[1]
    drawn = np.sort(rng.choice(total, size=min(frames, total), replace=False))

    def build(part: Trajectories, chosen: np.ndarray) -> Graph:
        return frames_to_graph(part, chosen, edges=edges, cutoff=cutoff, k=k)

    return DynamicsData(
        train=build(past, drawn),
        fit=build(past, _spread_over(total, fit_frames)),
        held_out=build(future, _spread_over(future.shape[0] * future.shape[1], held_out_frames)),
        past=past,
        future=future,
        noise=relative_noise(past),
        closure=closure,
    )


def relative_noise(trajectories: Trajectories) -> float:
    """Return the error of the accelerations, as stated, else their white noise, relative to their size."""
    acceleration, error = trajectories.acceleration, trajectories.acceleration_error
    assert acceleration is not None
    if error is None:
        error = white_noise(acceleration)
    size = np.sqrt((acceleration**2).sum(-1).mean(1))
    return float(np.median(error * np.sqrt(trajectories.shape[3]) / np.maximum(size, 1e-300)))


def _closure(trajectories: Trajectories) -> MomentumClosure:
    assert trajectories.acceleration is not None
    return momentum_closure(
        trajectories.acceleration, trajectories.acceleration_error, names=trajectories.names
    )


def _spread_over(total: int, count: int) -> np.ndarray:
    return np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))


def frames_to_graph(
    trajectories: Trajectories,
    chosen: np.ndarray,
    *,
    edges: str = "all",
    cutoff: float | None = None,
    k: int | None = None,
) -> Graph:
    """Build graphs of chosen frames, numbered through all simulations in order.

    Nodes carry ``pos``, ``velocity``, ``acceleration``, the label ``particle`` and the given properties.
    """
    simulations, times, particles, dim = trajectories.shape
    simulation = chosen // times

    def frames(array: Float[np.ndarray, "simulations time particles dim"]) -> np.ndarray:
        return array.reshape(simulations * times, particles, dim)[chosen]

    nodes = {"particle": np.tile(np.arange(particles), (len(chosen), 1))}
    for name in ("velocity", "acceleration"):
        value = getattr(trajectories, name)
        if value is not None:
            nodes[name] = frames(value)
    for name, value in trajectories.properties.items():
        if value.dtype.kind in "fiu":
            nodes[name] = value[simulation].astype(np.float64)
    return particle_graph(
        frames(trajectories.position),
        edges=edges,
        cutoff=cutoff,
        k=k,
        box=trajectories.box,
        nodes=nodes,
        units=trajectories.units,
    )


def initialize(model: InteractionNetwork, data: DynamicsData) -> str:
    """Give hidden masses their start from momentum alone, and standardize; return what was done, in words.

    Σ mᵢ aᵢ = 0 holds in an isolated system where action equals reaction, whatever the law of force: it
    gives the masses relative to the heaviest by linear regression, before any force is known.
    """
    model.to(torch.float64)
    words = "no hidden properties"
    if "mass" in model.hidden.names:
        closure = data.closure
        if closure is not None and closure.holds:
            masses, errors = closure.positive().reshape(-1), closure.standard_error.reshape(-1)
            model.hidden.set("mass", torch.as_tensor(masses), torch.as_tensor(errors))
            words = f"masses from momentum alone, relative to {closure.reference}"
        else:
            model.hidden.raw["mass"].requires_grad_(True)
            why = closure.reason if closure is not None else "no accelerations to close"
            words = f"equal masses, to be learned, since momentum does not give them: {why}"
    model.fit_statistics(data.train)
    log.info("start: %s", words)
    return words


def train_dynamics(
    model: InteractionNetwork,
    data: DynamicsData,
    stages: Sequence[Stage | Mapping[str, Any]],
    run_dir: str | Path,
    *,
    seed: int = 0,
    accelerator: str = "cpu",
    devices: int = 1,
    num_nodes: int = 1,
    strategy: str = "auto",
    max_time: str | None = None,
    progress: bool | None = None,
) -> dict[str, float]:
    """Train, or go on where an earlier call in the same directory was ended; return the final metrics.

    Args:
        model: as built; initialized here unless a checkpoint takes its place.
        data: training and held-out frames.
        stages: see `Stage`.
        run_dir: gets ``checkpoints/last.ckpt`` and ``metrics.csv``.
        seed: of the order of batches.
        accelerator: Lightning's.
        max_time: at most, as DD:HH:MM:SS.
        devices, num_nodes, strategy: 1, 1 and auto.
        progress: show a progress bar; by default where the output is a terminal.

    Raises:
        RunError: several devices.
    """
    if devices != 1 or num_nodes != 1 or strategy != "auto":
        raise RunError(
            f"devices={devices}, num_nodes={num_nodes}, strategy={strategy} (trainer): networks "
            "of trajectories are fitted by least squares over all frames. Take one device, and strategy auto."
        )
    run_dir = Path(run_dir)
    schedule = [s if isinstance(s, Stage) else Stage(**s) for s in stages]
    initialize(model, data)
    checkpoint = run_dir / "checkpoints" / "last.ckpt"
    task = DynamicsTask(model, schedule)
    epochs = sum(stage.epochs for stage in schedule)
    show = sys.stderr.isatty() if progress is None else progress
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
            logger=MetricsTable(run_dir, before.get("global_step", 0)),
            callbacks=[
                ModelCheckpoint(
                    checkpoint.parent, filename="last", every_n_epochs=5, enable_version_counter=False
                )
            ],
            plugins=[AtomicCheckpoints()],
            reload_dataloaders_every_n_epochs=1,
            check_val_every_n_epoch=5,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            enable_progress_bar=show,
            enable_model_summary=False,
        )
        trainer.fit(
            task, GraphData(data.train, data.held_out, seed=seed), ckpt_path=resume, weights_only=True
        )
        if trainer.interrupted:
            raise KeyboardInterrupt
        trainer.save_checkpoint(checkpoint)
    error = task.relative_errors(data.held_out).cpu().numpy()
    return {
        "train/relative_error": float(np.median(task.relative_errors(data.train).cpu().numpy())),
        "validation/relative_error": float(np.median(error)),
        "validation/relative_error_worst": float(error.max()),
    }
