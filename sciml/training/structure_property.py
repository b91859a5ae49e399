"""Training on properties of structures that stay in their store, and what the networks are compared with."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from sciml.datasets.store import GraphStore
from sciml.graph import Graph
from sciml.models.structure_predictor import StructurePredictor
from sciml.training.data import Batches, GraphData
from sciml.training.fit import SupervisedTask, fit
from sciml.training.processes import batch_mean, summed

log = logging.getLogger(__name__)
EVALUATED = 128  # structures at a time, where nothing is learned
RIDGE = 1e-9


@dataclass(frozen=True)
class StructureData:
    """Structures in three parts, none of them in memory, and what composition alone says.

    Attributes:
        train, validation, test: parts of one store, or batches of graphs; ``globals["y"]`` has the targets.
        composition: part of each element in each target, by least squares on training.
        elements: atomic numbers in training.
        mean, spread: of each target in training.
        rest: spread of what composition leaves, for each target.
    """

    train: Any
    validation: Any
    test: Any
    composition: Float[np.ndarray, "elements targets"]
    elements: tuple[int, ...]
    mean: Float[np.ndarray, "targets"]
    spread: Float[np.ndarray, "targets"]
    rest: Float[np.ndarray, "targets"]

    def by_composition(self, graph: Graph) -> Float[np.ndarray, "graphs targets"]:
        """Return what is expected from the numbers of atoms alone."""
        return counts(graph, self.elements) @ self.composition


def divided(
    store: GraphStore, *, train: float = 0.8, validation: float = 0.1, seed: int = 0
) -> StructureData:
    """Divide a store at random, and fit the parts of the elements to the part for training, batch by batch.

    Args:
        store: of `sciml.datasets.structure_properties.structure_store`.
        train, validation: how many; a number below 1 is a fraction of all. The test is the rest.
        seed: of the division.

    Raises:
        ValueError: parts that are empty or larger than what there is.
    """
    one, two, three = random_parts(store, train=train, validation=validation, seed=seed)
    return StructureData(one, two, three, *by_elements(one))


def random_parts(
    store: GraphStore, *, train: float, validation: float, seed: int = 0
) -> tuple[GraphStore, GraphStore, GraphStore]:
    """Divide a store at random into training, validation and test; arguments and errors as of `divided`."""
    first, second = (round(n * len(store)) if n < 1 else int(n) for n in (train, validation))
    if min(first, second) < 1 or first + second >= len(store):
        raise ValueError(
            f"{first} structures for training and {second} for validation, of {len(store)}: expected at "
            "least one for each, and some for the test (data.split.train, data.split.validation)."
        )
    order = np.random.default_rng(seed).permutation(len(store))
    one, two, three = (store.take(p) for p in np.split(order, [first, first + second]))
    return one, two, three


def counts(graph: Graph, elements: tuple[int, ...]) -> Float[np.ndarray, "graphs elements"]:
    """Return how many atoms of each element the graphs have."""
    own = graph.nodes["number"][:, None] == torch.tensor(elements)
    found = torch.zeros(len(graph), len(elements), dtype=torch.float64)
    return found.index_add(0, graph.node_graph, own.double()).numpy()


def by_elements(train: Any) -> tuple[Any, ...]:
    """Return the last five fields of `StructureData` for a part for training, batch by batch."""
    elements: set[int] = set()
    for graph in Batches(train, 2048):
        elements |= set(graph.nodes["number"].unique().tolist())
    known = tuple(sorted(elements))
    moments: list[Any] = [0.0] * 4
    for graph in Batches(train, 2048):
        n, y = counts(graph, known), graph.globals["y"].double().numpy()
        moments = [m + v for m, v in zip(moments, (n.T @ n, n.T @ y, y.sum(0), np.square(y).sum(0)))]
    normal, right, total, square = moments
    ridge = RIDGE * np.trace(normal) / len(known)
    parts = np.linalg.solve(normal + ridge * np.eye(len(known)), right)
    mean = total / len(train)
    spread = np.sqrt(np.maximum(square / len(train) - mean**2, 0.0))
    left = square - 2 * (parts * right).sum(0) + np.einsum("et,ef,ft->t", parts, normal, parts)
    rest = np.sqrt(np.maximum(left / len(train), 0.0))
    return parts, known, mean, np.where(spread > 0, spread, 1.0), np.where(rest > 1e-12, rest, 1.0)


def statistics(data: StructureData, targets: Mapping[str, str]) -> dict[str, Any]:
    """Return offset, scale and references for `StructurePredictor`: sums count from their elements."""
    from ase.data import chemical_symbols

    kinds = list(targets.values())
    symbols = [chemical_symbols[z] for z in data.elements]
    pick = lambda sums, others: [float(a if k == "sum" else b) for k, a, b in zip(kinds, sums, others)]
    offset = [float(m) if kind == "mean" else 0.0 for kind, m in zip(kinds, data.mean)]
    references = {
        name: dict(zip(symbols, map(float, part if kind == "sum" else 0 * part)))
        for name, kind, part in zip(targets, kinds, data.composition.T)
    }
    return {"offset": offset, "scale": pick(data.rest, data.spread), "references": references}


class StructureTask(SupervisedTask):
    """Smooth absolute errors of properties in units of their spread, by AdamW.

    What is validated and kept is an exponential moving average of the weights. The learning rate falls along
    a half cosine of the steps, or of the time that is allowed, if that ends sooner.

    Args:
        decay: of the moving average, which is shorter during the first steps.
        clip: largest norm of the gradient.
    """

    model: StructurePredictor
    lowest: Tensor
    extremes = "structures with extreme properties, or atoms nearly at one place"
    fused, warm = True, 200

    def __init__(
        self,
        model: StructurePredictor,
        steps: int,
        learning_rate: float,
        weight_decay: float,
        *,
        decay: float = 0.995,
        clip: float = 10.0,
        seed: int = 0,
    ) -> None:
        super().__init__(model, steps, learning_rate, weight_decay, seed)
        self.decay, self.clip = decay, clip
        self.average = copy.deepcopy(model).requires_grad_(False)
        self.best = copy.deepcopy(self.average)
        self.register_buffer("lowest", torch.tensor(torch.inf))
        self._sums: list[Tensor] = []

    def loss(self, batch: Graph) -> Tensor:
        """Return the mean over structures and properties."""
        predicted, true = self.model(batch).globals["predicted"], self.model.standardized(batch)
        each = torch.nn.functional.smooth_l1_loss(predicted, true, beta=0.1, reduction="none")
        return batch_mean(each)

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Bound the norm of the gradient."""
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)

    @torch.no_grad()
    def on_train_batch_end(self, *_: Any) -> None:
        """Take the step into the moving average."""
        step = self.global_step
        average = get_ema_multi_avg_fn(min(self.decay, step / (step + 9)))
        average(list(self.average.parameters()), list(self.model.parameters()), step)

    def validation_step(self, batch: Graph, batch_idx: int) -> None:
        """Remember the errors of the averaged weights."""
        error = self.average(batch).globals["predicted"] - self.average.standardized(batch)
        self._sums.append(error.abs().sum(0))

    def on_validation_epoch_end(self) -> None:
        """Keep the average if it is the best so far."""
        error = self._validated()
        self.log("validation/loss", error, prog_bar=True)
        self._keep(error)

    @torch.no_grad()
    def on_train_end(self) -> None:
        """Let the last steps count too, where time ended within an epoch."""
        self._sums.clear()
        self.validate_again()
        self._keep(self._validated())

    def _validated(self) -> Tensor:
        """Return the mean error of all validation structures."""
        total = summed(torch.stack(self._sums).sum(0))
        self._sums.clear()
        return (total / len(self.trainer.datamodule.validation)).mean()  # type: ignore[attr-defined]

    def _keep(self, loss: Tensor) -> None:
        if bool(loss < self.lowest):
            self.lowest.copy_(loss)
            self.best.load_state_dict(self.average.state_dict())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the best average where `sciml.load_run` looks, and the weights that are trained beside it."""
        state = checkpoint["state_dict"]
        checkpoint["current"] = dict(state)
        checkpoint["state_dict"] = state | {f"model.{k}": v for k, v in self.result().state_dict().items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the weights that are trained."""
        checkpoint["state_dict"] = checkpoint["current"]

    def result(self) -> StructurePredictor:
        """Return the model to use."""
        return (self.best if torch.isfinite(self.lowest) else self.average).eval()


def train_structures(
    model: StructurePredictor,
    data: StructureData,
    run_dir: str | Path,
    *,
    epochs: int = 100,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-5,
    seed: int = 0,
    decay: float = 0.995,
    clip: float = 10.0,
    **trainer: Any,
) -> StructurePredictor:
    """Train, or go on where an earlier call in the same directory was ended; return the model to use.

    Args:
        model: with the statistics of the data, see `statistics`.
        data: parts that may be stores: batches are read as they are needed.
        run_dir: gets ``checkpoints/last.ckpt`` and ``metrics.csv``.
        epochs, batch_size, learning_rate, weight_decay, seed, decay, clip: see `StructureTask`.
        trainer: for `fit`.
    """
    steps = epochs * len(Batches(data.train, batch_size))
    task = StructureTask(model, steps, learning_rate, weight_decay, decay=decay, clip=clip, seed=seed)
    batches = GraphData(data.train, data.validation, batch_size=batch_size, seed=seed, evaluated=EVALUATED)
    fit(task, batches, run_dir, epochs=epochs, validation=data.validation, **trainer)
    return task.result()


def mean_errors(model: StructurePredictor, data: StructureData) -> dict[str, dict[str, dict[str, float]]]:
    """Return mean absolute and root mean square errors on the test, by predictor and target.

    Predictors: the network, the composition (a part of each element, added up) and the mean.
    """
    left: dict[str, list[np.ndarray]] = {"network": [], "composition": [], "mean": []}
    device = model.constants.device
    for graph in Batches(data.test, EVALUATED):
        true = graph.globals["y"].double().numpy()
        left["network"].append(model.answer(graph.to(device)).cpu().numpy() - true)
        left["composition"].append(data.by_composition(graph) - true)
        left["mean"].append(data.mean - true)
    found = {}
    for who, errors in left.items():
        error = np.concatenate(errors)
        mae, rmse = np.abs(error).mean(0), np.sqrt(np.square(error).mean(0))
        found[who] = {
            name: {"mae": float(a), "rmse": float(r)} for name, a, r in zip(model.targets, mae, rmse)
        }
    return found
