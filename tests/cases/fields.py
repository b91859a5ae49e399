"""Layers and models on fields."""

import torch
from contract import Case
from torch import nn

from cases.examples import grids
from sciml.models import FieldNetwork
from sciml.nn.stencils import StencilSum


def learned(module: nn.Module) -> nn.Module:
    """Give stencils that are zero before training some moments."""
    random = torch.Generator().manual_seed(0)
    for value in module.parameters():
        value.data = 0.3 * torch.randn(value.shape, generator=random).to(value.dtype)
    return module


CASES = [
    Case("stencils, 1D", lambda: learned(StencilSum(2, 5, degree=2)), grids(7, kernel=5)),
    Case(
        "stencils, half bounded",
        lambda: learned(StencilSum(2, 3, dim=2)),
        grids(4, 5, kernel=3, periodic=(True, False)),
    ),
    Case(
        "field network", lambda: learned(FieldNetwork(1, 2, 3, degree=2)), grids(4, 4, channels=1, kernel=3)
    ),
]
