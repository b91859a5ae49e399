"""Linear maps of an atom's features that depend on its element."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.nn.equivariant.paths import Kind


class SelfConnection(nn.Module):
    """W(element) x, for each irrep.

    Args:
        channels: of the features.
        elements: how many are known.
        widths: channels of the result, for each irrep that has one.
    """

    def __init__(self, channels: int, elements: int, widths: Mapping[Kind, int]) -> None:
        super().__init__()
        self.weights = nn.ParameterDict(
            {
                str(kind): nn.init.normal_(torch.empty(elements * channels, width), std=channels**-0.5)
                for kind, width in widths.items()
            }
        )

    def forward(
        self,
        kind: Kind,
        x: Float[Tensor, "nodes components channels"],
        element: Float[Tensor, "nodes elements"],
    ) -> Float[Tensor, "nodes components width"]:
        """Return the map of one irrep; ``element`` is 1 for the atom's own element."""
        apart = (x[:, :, None] * element[:, None, :, None]).flatten(2)  # nodes components elements·channels
        return apart @ self.weights[str(kind)]
