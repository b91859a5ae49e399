"""Fix the gauge of messages, say how well each was learned, and leave out what was not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from sciml.distill.record import MessageTable
from sciml.graph import Graph
from sciml.models.interaction_network import HiddenProperties

PARALLEL = 0.1  # of the square of half of the messages may lie across the line of centres
LUCK = 0.3  # of the usual residual of a particle, at least: a smaller one is chance


class NothingLearnedError(ValueError):
    """No message is known well enough to search: the network has not learned the forces."""


def reduce(table: MessageTable) -> MessageTable:
    """Bring messages to one scalar per edge.

    - Messages along the line of centres (equivariant by construction) are projected on it.
    - Free messages that the network itself reads out as forces are taken as it reads them.
    - Other vector messages equal forces up to a linear map that is the same for all edges: a network may
      turn and stretch them as it likes, the node update undoes it. The map that brings the messages
      closest to the line of centres is estimated by least squares, up to its scale, and undone.

    Raises:
        ValueError: fewer message channels than dimensions of space, or no direction to project on.
    """
    if table.direction.shape[1] == 0:
        raise ValueError("These messages have no direction: the layer must name one in message_inputs.")
    message, dim = table.message, table.direction.shape[1]
    if table.readout is not None:
        message = message @ table.readout.T
    if message.shape[1] < dim:
        raise ValueError(f"Messages of {message.shape[1]} channels cannot carry a force in {dim} dimensions.")
    along = (message[:, :dim] * table.direction).sum(1) if message.shape[1] == dim else None
    size = np.sqrt((message**2).sum(1))
    if along is None or np.median(size**2 - along**2) > PARALLEL * np.median(size**2):
        along = (_to_line_of_centres(message, table.direction) * table.direction).sum(1)
    return replace(table, scalar=along)


def _to_line_of_centres(
    message: Float[np.ndarray, "edges channels"], direction: Float[np.ndarray, "edges dim"]
) -> Float[np.ndarray, "edges dim"]:
    """Return the linear image of the messages that is most nearly parallel to the directions.

    Minimizes the part of ``message @ A`` across the direction at fixed mean square: the generalized
    eigenvector of smallest eigenvalue. Constant parts of messages, which carry no force, are removed.
    """
    principal = message - message.mean(0)
    _, values, axes = np.linalg.svd(principal, full_matrices=False)
    dim = direction.shape[1]
    coordinates = principal @ axes[: max(dim, int((values > 1e-6 * values[0]).sum()))].T
    channels = coordinates.shape[1]
    # vec(A) multiplies  m_e ⊗ (1 − n nᵀ): what is left across the line of centres
    across = np.eye(dim) - direction[:, :, None] * direction[:, None, :]
    outer = np.einsum("ea,eb->eab", coordinates, coordinates)
    lost = np.einsum("eab,eij->aibj", outer, across).reshape(channels * dim, channels * dim)
    kept = np.einsum("eab,ij->aibj", outer, np.eye(dim)).reshape(channels * dim, channels * dim)
    scale = np.linalg.cholesky(kept + 1e-12 * np.trace(kept) * np.eye(len(kept)))
    inverse = np.linalg.inv(scale)
    _, vectors = np.linalg.eigh(inverse @ lost @ inverse.T)
    image = coordinates @ (inverse.T @ vectors[:, 0]).reshape(channels, dim)
    return image / np.sqrt((image**2).sum(1).mean() / (message**2).sum(1).mean())


@torch.no_grad()
def estimate_errors(
    table: MessageTable, model: nn.Module, held_out: Graph, graphs: Graph | None = None
) -> MessageTable:
    """Give every message a standard error, from what the model leaves unexplained on held-out data.

    A force on a particle is known no better than the particle's own residual (acceleration times mass),
    and a force between two no worse than the better known end, where action equals reaction. Errors of
    hidden masses add to it. In a solar system this leaves a dozen of 55 forces: the network never
    learned the others, for nothing in its data depends on them.

    Where a network fails only here and there (at a step of the force that it has rounded off, in a close
    encounter), its residuals are not alike. Given the recorded ``graphs``, a particle's residual in the same
    frame therefore stands for its usual one where it is larger, or smaller (down to `LUCK` of the usual).
    """
    of_particle = usual_residuals(model, held_out)
    at_ends = [of_particle[table.receiver], of_particle[table.sender]]
    if graphs is not None:
        here = residuals_here(model, graphs)
        for k, end in enumerate((graphs.receiver, graphs.sender)):
            at_ends[k] = np.maximum(here[end.cpu().numpy()], LUCK * at_ends[k])
    of_message = np.minimum(*at_ends) if _third_law(model) else at_ends[0]
    relative = np.zeros(len(of_particle))
    hidden = getattr(model, "hidden", None)
    if isinstance(hidden, HiddenProperties):
        for name in hidden.names:
            relative = np.hypot(relative, hidden.relative_error(name).cpu().numpy())
    of_masses = np.hypot(relative[table.receiver], relative[table.sender]) * np.abs(table.y)
    return replace(table, error=np.hypot(of_message, of_masses))


@torch.no_grad()
def usual_residuals(model: nn.Module, held_out: Graph) -> Float[np.ndarray, "particles"]:
    """Return the force that a model usually leaves unexplained on each particle: its root mean square."""
    error = _square_residuals(model, held_out)
    label = held_out.nodes["particle"]
    count = int(label.max()) + 1
    total = torch.zeros(count, dtype=error.dtype, device=error.device).index_add(0, label, error)
    frames = torch.zeros_like(total).index_add(0, label, torch.ones_like(error)).clamp(min=1)
    return (total / frames).sqrt().cpu().numpy()


@torch.no_grad()
def residuals_here(model: nn.Module, graphs: Graph) -> Float[np.ndarray, "nodes"]:
    """Return the force that a model leaves unexplained on each node."""
    return _square_residuals(model, graphs).sqrt().cpu().numpy()


def _square_residuals(model: nn.Module, graphs: Graph) -> Float[torch.Tensor, "nodes"]:
    """Square of the force that a model leaves unexplained on each particle."""
    prediction = model(graphs)
    error = (prediction.nodes["acceleration"] - graphs.nodes["acceleration"]).square().sum(-1)
    if getattr(model, "update", "force") == "force_over_mass":
        error = error * prediction.nodes["mass"].square()
    return error


def _third_law(model: nn.Module) -> bool:
    return bool(getattr(getattr(getattr(model, "force", None), "scalar", None), "symmetric", False))


def informative(table: MessageTable, relative_error: float = 0.1) -> MessageTable:
    """Keep the messages that are known to better than ``relative_error`` of their size.

    Forces that cross zero are kept if they are known to that part of the typical size among the messages
    between particles of their kind (the same pair).

    Raises:
        NothingLearnedError: nothing is left; the message says how well the best message is known.
    """
    if table.error is None:
        raise ValueError("The messages have no errors yet: call estimate_errors first.")
    pair = table.sender * (table.receiver.max(initial=0) + 1) + table.receiver
    _, group = np.unique(pair, return_inverse=True)
    count = np.bincount(group)
    size = np.sqrt(np.bincount(group, table.y**2) / count)[group]
    ratio = table.error / np.maximum(size, 1e-300)
    keep = ratio < relative_error
    if not keep.any():
        raise NothingLearnedError(
            f"No message is known to better than {relative_error:.0%} of its size (the best to "
            f"{ratio.min(initial=np.inf):.0%}): the network has not learned the forces. "
            "Train longer, or give more data."
        )
    return table.rows(keep)
