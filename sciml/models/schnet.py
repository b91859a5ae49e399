"""SchNet: an energy by filters that are functions of distance."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import nn

from sciml.models.potential import LayeredPotential
from sciml.nn.continuous_filter import ContinuousFilter
from sciml.nn.radial import gaussians
from sciml.nn.smooth import ShiftedSoftplus


class SchNet(LayeredPotential):
    """Schütt et al. 2017, arXiv 1706.08566: invariant features, mixed by continuous-filter convolutions.

    Args:
        channels: of an atom; the paper has 64.
        layers: interactions.
        radial: Gaussians of the distance, from 0 to the cutoff.
        cutoff, scale, references, repulsion: of `Potential`; the paper has no cutoff.
    """

    def __init__(
        self,
        channels: int = 64,
        layers: int = 3,
        radial: int = 32,
        cutoff: float = 5.0,
        scale: float = 1.0,
        references: Mapping[str, float] | None = None,
        repulsion: str | None = None,
    ) -> None:
        layer = partial(ContinuousFilter, channels, radial)
        super().__init__(
            layer, layers, gaussians, channels, radial, ShiftedSoftplus,
            cutoff=cutoff, scale=scale, references=references, repulsion=repulsion,
        )  # fmt: skip
        # With torch's own start, which shrinks variances at every map, the energy hardly knows of positions.
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
