"""Small multilayer perceptrons, the functions inside messages and updates."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "silu": nn.SiLU, "relu": nn.ReLU, "gelu": nn.GELU}


def mlp(inputs: int, hidden: Sequence[int], outputs: int, activation: str = "silu") -> nn.Sequential:
    """Return linear layers with an activation between them, none after the last."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"Unknown activation {activation!r}; choose from {', '.join(ACTIVATIONS)}.")
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), ACTIVATIONS[activation]()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))
