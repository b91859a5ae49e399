"""Learned stencils, read back from recorded messages: which derivative of which product they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from sciml.builders import grid_graph
from sciml.datasets.fields import FieldSeries
from sciml.distill.fields.terms import Term
from sciml.distill.fields.weak import TestFunctions
from sciml.models import FieldNetwork
from sciml.nn.message_passing import recording
from sciml.nn.stencils import moments_of
from sciml.training.fields import train_stencils

WORTH = 0.03  # share of the rate of change that a moment must make to be proposed
MOST = 6  # terms proposed for a channel
FRAMES = 4  # snapshots that are recorded


@dataclass(frozen=True, eq=False)
class LearnedStencils:
    """Stencils of a trained network.

    Attributes:
        channels: names of the fields.
        monomials: channels of each product, as the network has them.
        orders: of the derivative that each moment stands for, along each spatial axis.
        weights: of each result and product at each offset, in units of the data.
        moments: Σ_o W(o) (o dx)^α / α!, the coefficient of ∂^α.
        bias: the constant in each rate.
        share, constant_share: rms part of each moment, and of the constant, in the rate of change, relative
            to the rate; None before `weighed`.
        validation: error of the network's rates on held-out snapshots, noise and all.
    """

    channels: tuple[str, ...]
    monomials: tuple[tuple[int, ...], ...]
    orders: tuple[tuple[int, ...], ...]
    weights: Float[np.ndarray, "out monomials *kernel"]
    moments: Float[np.ndarray, "out monomials orders"]
    bias: Float[np.ndarray, "out"]
    share: Float[np.ndarray, "out monomials orders"] | None = None
    constant_share: Float[np.ndarray, "out"] | None = None
    validation: float | None = None

    def term(self, monomial: int, order: int) -> Term:
        """Return the candidate term that a moment of a stencil stands for."""
        orders = (0, *self.orders[order])
        none = (0,) * len(orders)
        return Term(orders, tuple((c, none) for c in self.monomials[monomial]))

    def proposed(self, channel: int, most: int = MOST) -> tuple[Term, ...]:
        """Return the terms that make most of a channel's rate of change, largest first."""
        if self.share is None:
            raise ValueError("The stencils have not been weighed yet: call weighed(...) first.")
        share = self.share[channel]
        order = np.argsort(-share, axis=None)[:most]
        found = [tuple(int(i) for i in np.unravel_index(k, share.shape)) for k in order]
        terms = tuple(self.term(m, a) for m, a in found if share[m, a] > WORTH)
        none = (0,) * (len(self.orders[0]) + 1)
        large = self.constant_share is not None and self.constant_share[channel] > WORTH
        return (*terms, Term(none, ())) if large else terms

    def weighed(
        self, data: FieldSeries, tests: TestFunctions, validation: float | None = None
    ) -> LearnedStencils:
        """Return the same with the share that each moment has in the integrated rate of change."""
        share = np.zeros_like(self.moments)
        order = (1, *(0,) * data.dim)
        size = [
            np.sqrt((tests.integrate(data.values[..., c], order) ** 2).mean())
            for c in range(len(self.channels))
        ]
        for m, chosen in enumerate(self.monomials):
            product = prod(data.values[..., c] for c in chosen)
            cache: dict = {}
            for a in range(len(self.orders)):
                part = tests.integrate(np.asarray(product), self.term(m, a).orders, cache)
                share[:, m, a] = np.abs(self.moments[:, m, a]) * np.sqrt((part**2).mean()) / size
        constant = np.abs(self.bias) / np.array(size)
        return replace(self, share=share, constant_share=constant, validation=validation)


@torch.no_grad()
def read_stencils(model: FieldNetwork, data: FieldSeries) -> LearnedStencils:
    """Read the stencils out of the messages that a network sends on some snapshots.

    A message along an edge is a polynomial of what is at its sender, with coefficients that depend on the
    offset only. Fitting it at each offset gives the stencils back, without a look at the parameters.

    Args:
        model: trained.
        data: snapshots.
    """
    layer = model.stencils
    frames = np.linspace(0, data.times - 1, min(FRAMES, data.times)).astype(int)
    values = torch.as_tensor(np.moveaxis(data.values[frames], -1, 1))
    graph = grid_graph(values, periodic=data.periodic or False)
    with recording(model) as tape:
        model(graph)
    name = next(iter(tape.messages))
    message, inputs = tape.messages[name][-1], tape.inputs[name][-1]
    sender = torch.stack([inputs[f"x{c}"] for c in range(len(data.channels))], dim=1)
    content = layer.content(sender)
    scale = content.square().mean(0).sqrt()
    weights = torch.zeros(len(data.channels), content.shape[1], len(layer.offsets), dtype=message.dtype)
    for offset in range(len(layer.offsets)):
        here = inputs["offset"] == offset
        fitted = torch.linalg.lstsq(content[here] / scale, message[here], driver="gelsd").solution
        weights[:, :, offset] = fitted.T / scale
    moments = moments_of(weights, layer.kernel).numpy()
    steps = np.array([prod(d**n for d, n in zip(data.dx, orders)) for orders in layer.orders])
    return LearnedStencils(
        data.channels,
        layer.monomials,
        layer.orders,
        weights.unflatten(-1, layer.kernel).numpy(),
        moments * steps,
        layer.bias.numpy(),
    )


def learn_stencils(
    model: FieldNetwork,
    data: FieldSeries,
    tests: TestFunctions,
    split: int,
    run_dir: str | Path | None = None,
) -> LearnedStencils:
    """Train a network (see `train_stencils`), and read and weigh its stencils."""
    trained = train_stencils(model, data, tests, split, run_dir)
    return read_stencils(model, data).weighed(data, tests, trained.validation)
