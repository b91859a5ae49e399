"""Losses that survive a dynamic range of many decades, and the weights that least squares uses."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sciml.graph import Graph
from sciml.nn.message_passing import segment_reduce

Loss = Callable[[Float[Tensor, "rows dim"], Float[Tensor, "rows dim"], Graph], Float[Tensor, ""]]

BEND = 0.3  # relative error from which Huber's loss grows only linearly


def log_angle(
    prediction: Float[Tensor, "nodes dim"], target: Float[Tensor, "nodes dim"], graph: Graph
) -> Float[Tensor, ""]:
    """(log |p| − log |t|)² + 3 (1 − cos ∠(p, t)), averaged over nodes.

    Sun and Moon count alike though their accelerations differ by orders of magnitude, and a cold start
    has a gradient everywhere. For vectors that do not pass through zero.
    """
    size, true_size = prediction.norm(dim=-1), target.norm(dim=-1)
    tiny = torch.finfo(prediction.dtype).tiny
    cosine = (prediction * target).sum(-1) / (size * true_size).clamp(min=tiny)
    log_ratio = size.clamp(min=tiny).log() - true_size.clamp(min=tiny).log()
    return (log_ratio.square() + 3.0 * (1.0 - cosine)).mean()


def relative(
    prediction: Float[Tensor, "nodes dim"], target: Float[Tensor, "nodes dim"], graph: Graph
) -> Float[Tensor, ""]:
    """Squared error divided by each particle's own mean square (by the label ``particle``), averaged."""
    weights = particle_weights(target, graph)
    return ((prediction - target) * weights[:, None]).square().sum(-1).mean()


def huber(
    prediction: Float[Tensor, "nodes dim"], target: Float[Tensor, "nodes dim"], graph: Graph
) -> Float[Tensor, ""]:
    """Huber's loss of the error over the size of the vector itself, at least a third of the median size.

    Close encounters, a thousand times stronger than the rest, count like all others, and none of them can
    carry the training away (Huber 1964, doi 10.1214/aoms/1177703732).
    """
    error = (prediction - target).norm(dim=-1) * local_weights(target)
    return nn.functional.huber_loss(error, torch.zeros_like(error), delta=BEND) / BEND


def mse(
    prediction: Float[Tensor, "rows dim"], target: Float[Tensor, "rows dim"], graph: Graph
) -> Float[Tensor, ""]:
    """Mean squared error."""
    return (prediction - target).square().mean()


LOSSES: dict[str, Loss] = {"log_angle": log_angle, "relative": relative, "huber": huber, "mse": mse}


def local_weights(values: Float[Tensor, "nodes dim"]) -> Float[Tensor, "nodes"]:
    """One over the size of each vector, or over a third of the median size where it is smaller."""
    size = values.norm(dim=-1)
    return 1.0 / (size + size.median() / 3).clamp(min=1e-300)


def particle_weights(values: Float[Tensor, "nodes dim"], graph: Graph) -> Float[Tensor, "nodes"]:
    """One over the root mean square of ``values``, particle by particle over all frames."""
    label = particle_labels(graph)
    size = int(label.max()) + 1 if label.numel() else 0
    return mean_square(values, label, size).clamp(min=1e-300).rsqrt()[label]


def mean_square(
    values: Float[Tensor, "nodes dim"], label: Int[Tensor, "nodes"], size: int
) -> Float[Tensor, "particles"]:
    """Mean of |values|² over the nodes that share a label."""
    order = torch.argsort(label, stable=True)
    return segment_reduce(values.square().sum(-1)[order], label[order], size, "mean")


def particle_labels(graph: Graph) -> Int[Tensor, "nodes"]:
    """Return which particle each node is; all the same where the graph does not say."""
    if "particle" in graph.nodes:
        return graph.nodes["particle"]
    return torch.zeros(graph.num_nodes, dtype=torch.long, device=graph.device)
