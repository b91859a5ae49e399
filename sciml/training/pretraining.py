"""Training without labels, and how its weights are taken up by networks that have few of them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sciml.graph import Graph
from sciml.models.denoiser import Denoiser
from sciml.models.potential import LayeredPotential
from sciml.training.data import Batches, GraphData
from sciml.training.errors import RunError
from sciml.training.fit import SupervisedTask, fit
from sciml.training.processes import batch_mean
from sciml.training.run import load_run

log = logging.getLogger(__name__)
EVALUATED = 128  # structures at a time, where nothing is learned


class Pretraining(SupervisedTask):
    """Squared errors of noise in units of σ, and cross-entropy of hidden elements, by AdamW.

    Noise of training follows from seed and step, that of validation from the number of the batch.
    """

    model: Denoiser
    extremes = "atoms nearly at one place"
    fused, warm = True, 200

    def losses(self, batch: Graph, random: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return the mean square of what is left of the noise (1: nothing learned), and cross-entropy."""
        spoiled, noise, hidden = self.model.spoiled(batch, random)
        found = self.model(spoiled)
        left = batch_mean((found.nodes["noise"] - noise).square())
        each = nn.functional.cross_entropy(found.nodes["elements"], batch.nodes["number"], reduction="none")
        return left, batch_mean(each, hidden)

    def loss(self, batch: Graph) -> Tensor:
        """Return both together."""
        left, elements = self.losses(batch)
        return left + 0.1 * elements

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Bound the norm of the gradient."""
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)

    def validation_step(self, batch: Graph, batch_idx: int) -> None:
        """Log both losses."""
        random = torch.Generator(batch.device).manual_seed(batch_idx)
        left, elements = self.losses(batch, random)
        self.log_mean("validation/noise", left, len(batch), prog_bar=True)
        self.log_mean("validation/elements", elements, len(batch))


def pretrain(
    model: Denoiser,
    train: Any,
    validation: Any,
    run_dir: str | Path,
    *,
    epochs: int = 50,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-5,
    seed: int = 0,
    **trainer: Any,
) -> Denoiser:
    """Train, or go on where an earlier call in the same directory was ended; return the model.

    Args:
        model: what learns.
        train, validation: stores or batches of graphs of `atoms_graph` with the model's cutoff.
        run_dir: gets ``checkpoints/last.ckpt`` and ``metrics.csv``.
        epochs, batch_size, learning_rate, weight_decay: of AdamW.
        seed: of batches and noise.
        trainer: for `fit`.
    """
    steps = epochs * len(Batches(train, batch_size))
    task = Pretraining(model, steps, learning_rate, weight_decay, seed)
    data = GraphData(train, validation, batch_size=batch_size, seed=seed, evaluated=EVALUATED)
    fit(task, data, run_dir, epochs=epochs, validation=validation, **trainer)
    return model.eval()


@torch.no_grad()
def denoising_errors(model: Denoiser, graphs: Any) -> dict[str, float]:
    """Return the mean square of what is left of the noise (1: nothing learned), and elements found."""
    left, found, hidden = 0.0, 0.0, 0.0
    nodes = 0
    for number, batch in enumerate(Batches(graphs, EVALUATED)):
        batch = batch.to(model.arrow.weight.device)
        spoiled, noise, mask = model.spoiled(batch, torch.Generator(batch.device).manual_seed(number))
        said = model(spoiled).nodes
        left += float((said["noise"] - noise).square().mean(1).sum())
        found += float(((said["elements"].argmax(1) == batch.nodes["number"]) & mask).sum())
        hidden += float(mask.sum())
        nodes += batch.num_nodes
    return {"noise_left": left / nodes, "elements_found": found / max(hidden, 1.0)}


def take_encoder(model: nn.Module, run: str | Path) -> None:
    """Give a network the encoder of a run of pretraining; its readouts stay as they are.

    Args:
        model: one with an ``encoder`` (`StructurePredictor`), or a potential of the same layers (`PaiNN`).
        run: the run directory.

    Raises:
        RunError: no run of pretraining, or one of another size or cutoff; what differs is named.
    """
    source = load_run(run)
    if not isinstance(source, Denoiser):
        raise RunError(f"{run} holds {type(source).__name__}; expected a run of experiment=pretraining.")
    target = model if isinstance(model, LayeredPotential) else getattr(model, "encoder", None)
    if target is None:
        raise RunError(f"{type(model).__name__} has no encoder that could take pretrained weights.")
    if target.cutoff != source.cutoff:
        raise RunError(
            f"{run} was pretrained with a cutoff of {source.cutoff:g} Å, and the model has "
            f"{target.cutoff:g} Å (model.cutoff)."
        )
    weights = source.encoder.state_dict()
    own = target.state_dict()
    for name, value in weights.items():
        if name not in own or own[name].shape != value.shape:
            shape = tuple(own[name].shape) if name in own else "no such weights"
            raise RunError(
                f"{run}: {name} has shape {tuple(value.shape)}, and in the model {shape}: channels, layers "
                "and radial must be alike."
            )
    missing, _ = target.load_state_dict(weights, strict=False)
    log.info(
        "encoder of %s taken; new: %s", run, ", ".join(sorted({n.split(".")[0] for n in missing})) or "none"
    )
