"""Record and reduce: from a trained model to a table of messages that a search can read."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import nn

from sciml.distill.front import Problem
from sciml.graph import Graph
from sciml.nn.free_force import FreeForce
from sciml.nn.message_passing import Edges, recording
from sciml.nn.potential_scalar import PotentialScalar


@dataclass(frozen=True)
class MessageTable:
    """What one layer said along every edge.

    Attributes:
        variables: name to the invariant inputs of the message, one value per edge.
        message: as the layer gave it, (edges, channels).
        direction: unit vectors from sender to receiver.
        sender, receiver: which particle stands at each end.
        frame: which graph of the batch the edge is in.
        units: unit of each variable, where known.
        target: name of the scalar, once the messages are reduced to one.
        scalar: the message along its known direction (positive repels), once reduced.
        error: standard error of the scalar, where it has been estimated.
        potential: the energy whose slope the message is, where the model has one: zero at one distance.
        readout: how the model reads a force out of messages of any number of channels, where it does.
    """

    variables: dict[str, Float[np.ndarray, "edges"]]
    message: Float[np.ndarray, "edges channels"]
    direction: Float[np.ndarray, "edges dim"]
    sender: Int[np.ndarray, "edges"]
    receiver: Int[np.ndarray, "edges"]
    frame: Int[np.ndarray, "edges"]
    units: dict[str, str]
    target: str = "F"
    scalar: Float[np.ndarray, "edges"] | None = None
    error: Float[np.ndarray, "edges"] | None = None
    potential: Float[np.ndarray, "edges"] | None = None
    readout: Float[np.ndarray, "dim channels"] | None = None

    def __len__(self) -> int:
        return len(self.message)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variables."""
        return tuple(self.variables)

    @property
    def X(self) -> Float[np.ndarray, "edges variables"]:
        """The variables as columns."""
        return np.stack(list(self.variables.values()), axis=1)

    @property
    def y(self) -> Float[np.ndarray, "edges"]:
        """The reduced message."""
        if self.scalar is None:
            raise ValueError(
                "These messages are vectors still: reduce them to scalars first (sciml.distill.reduce)."
            )
        return self.scalar

    def rows(self, keep: Bool[np.ndarray, "edges"] | Int[np.ndarray, "chosen"]) -> MessageTable:
        """Return the chosen rows."""
        part = {
            name: getattr(self, name)[keep]
            for name in ("message", "direction", "sender", "receiver", "frame")
        }
        for name in ("scalar", "error", "potential"):
            value = getattr(self, name)
            part[name] = None if value is None else value[keep]
        return replace(self, variables={name: v[keep] for name, v in self.variables.items()}, **part)

    def problem(self, floor: float = 1e-3) -> Problem:
        """Return the search problem; rows weigh by their error, at best ``floor`` relative to the message."""
        size = np.abs(self.y)
        error = floor * size if self.error is None else np.hypot(self.error, floor * size)
        return Problem(self.X, self.y, self.names, weights=1.0 / np.maximum(error, 1e-300) ** 2)


@torch.no_grad()
def record(model: nn.Module, graphs: Graph, layer: str | None = None) -> MessageTable:
    """Run a model over graphs and return what was said along every edge.

    Args:
        model: has a `MessagePassing` layer that names its inputs (`message_inputs`).
        graphs: a batch.
        layer: which layer, by its name in the model; needed only where there are several.

    Raises:
        ValueError: no layer, an unknown layer, or several to choose from (all named).
    """
    with recording(model) as tape:
        model(graphs)
    names = list(tape.messages)
    if layer is None and len(names) > 1:
        raise ValueError(f"Several layers pass messages: name one as layer=, of {', '.join(names)}.")
    chosen = layer or names[0]
    if chosen not in tape.messages:
        raise ValueError(f"No layer {chosen!r} passes messages; there are {', '.join(names)}.")
    inputs = {name: value.cpu().numpy() for name, value in tape.inputs[chosen][-1].items()}
    message = tape.messages[chosen][-1].cpu().numpy()
    direction = inputs.pop("direction", np.zeros((len(message), 0)))
    passed = model if chosen == "layer" else model.get_submodule(chosen)
    particle = graphs.nodes.get("particle", torch.arange(graphs.num_nodes, device=graphs.device))
    return MessageTable(
        variables={name: value.reshape(len(message)) for name, value in inputs.items()},
        message=message.reshape(len(message), -1),
        direction=direction,
        sender=particle[graphs.sender].cpu().numpy(),
        receiver=particle[graphs.receiver].cpu().numpy(),
        frame=graphs.edge_graph.cpu().numpy(),
        units={},
        readout=passed.directions_read().cpu().numpy() if isinstance(passed, FreeForce) else None,
        potential=_potential(passed, model, graphs),
    )


def _potential(layer: nn.Module, model: nn.Module, graphs: Graph) -> np.ndarray | None:
    scalar = getattr(layer, "scalar", None)
    if not isinstance(scalar, PotentialScalar):
        return None
    hidden = getattr(model, "hidden", None)
    seen = hidden(graphs) if isinstance(hidden, nn.Module) and hidden.names else graphs
    return scalar.gauged(Edges(seen)).cpu().numpy()
