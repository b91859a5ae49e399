"""Layers on grids as ordinary torch modules on arrays, for inference without graphs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.nn.convolution import GlobalPooling, GridConvolution, GridPooling
from sciml.nn.groups.convolution import _OrientedConvolution
from sciml.nn.groups.fields import GroupPooling, OnField


def to_plain(layers: nn.Module | Iterable[nn.Module], periodic: bool = False) -> nn.Sequential:
    """Return modules on arrays (graphs, channels, *shape) that give what the layers give on graphs.

    Orientations become channels, in the order channels × elements; the turned kernels are computed once.

    Args:
        layers: a layer or several, one after the other: convolutions, pooling, `OnField`.
        periodic: whether the grids are.

    Raises:
        TypeError: a layer that has no counterpart on arrays.
    """
    layers = [layers] if isinstance(layers, nn.Module) and not isinstance(layers, nn.Sequential) else layers
    plain: list[nn.Module] = []
    elements, dim = 1, 2
    for layer in layers:
        if isinstance(layer, _OrientedConvolution | GridConvolution):
            dim = layer.dim
            elements = len(layer.group) if isinstance(layer, _OrientedConvolution) else 1
            plain.append(_convolution(layer, periodic))
        elif isinstance(layer, GridPooling) and all(k % 2 == 0 or k == 1 for k in layer.kernel):
            plain.append(_pooling(layer))
        elif isinstance(layer, GroupPooling):
            plain.append(_OverGroup(elements, layer.kind))
            elements = 1
        elif isinstance(layer, GlobalPooling) and layer.kind == "mean":
            plain += [
                (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[dim - 1](1),
                nn.Flatten(),
            ]
        elif isinstance(layer, OnField):
            plain.append(_pointwise(layer.module, elements, dim))
        elif isinstance(layer, nn.Linear):
            plain.append(layer)
        else:
            raise TypeError(f"{type(layer).__name__} has no counterpart on arrays that to_plain knows.")
    return nn.Sequential(*plain).eval()


# -------------------------------------------------------------------- details


class _OverGroup(nn.Module):
    """Maximum or mean over the orientations, which are the inner part of the channels."""

    def __init__(self, elements: int, kind: str) -> None:
        super().__init__()
        self.elements, self.kind = elements, kind

    def forward(self, x: Float[Tensor, "graphs channels *shape"]) -> Float[Tensor, "graphs fewer *shape"]:
        x = x.unflatten(1, (-1, self.elements))
        return x.amax(2) if self.kind == "max" else x.mean(2)


def _convolution(layer: _OrientedConvolution | GridConvolution, periodic: bool) -> nn.Module:
    weight: Tensor = layer.weight
    bias: Tensor | None = layer.bias
    if isinstance(layer, _OrientedConvolution):
        weight, bias = layer.plain_weight()
    padding: Any = tuple((k - 1) // 2 * d for k, d in zip(layer.kernel, layer.dilation))
    if any(k % 2 == 0 for k in layer.kernel):
        raise TypeError(f"Kernel {layer.kernel}: torch pads evenly, which an even kernel does not.")
    make: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[layer.dim - 1]
    plain = make(
        weight.shape[1],
        weight.shape[0],
        layer.kernel,
        layer.stride,
        padding,
        layer.dilation,
        bias=bias is not None,
        padding_mode="circular" if periodic else "zeros",
    )
    with torch.no_grad():
        plain.weight = nn.Parameter(weight.detach().clone())
        if bias is not None:
            plain.bias = nn.Parameter(bias.detach().clone())
    return plain


def _pooling(layer: GridPooling) -> nn.Module:
    if layer.stride != layer.kernel:
        raise TypeError("Only pooling whose stride is its kernel has a counterpart on arrays.")
    kinds: dict[str, Any] = {
        "max": (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d),
        "mean": (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    }
    return kinds[layer.reduction][layer.dim - 1](layer.kernel, layer.stride, ceil_mode=True)


def _pointwise(module: nn.Module, elements: int, dim: int) -> nn.Module:
    if isinstance(module, nn.BatchNorm1d):
        plain: Any = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[dim - 1](
            module.num_features * elements, module.eps, module.momentum, module.affine
        )
        state = {
            name: v.repeat_interleave(elements) if v.ndim else v for name, v in module.state_dict().items()
        }
        plain.to(next(iter(state.values())).dtype).load_state_dict(state)
        return plain
    if isinstance(
        module, nn.ReLU | nn.SiLU | nn.GELU | nn.ELU | nn.Tanh | nn.Sigmoid | nn.Dropout | nn.Identity
    ):
        return module
    raise TypeError(f"{type(module).__name__} on a field has no counterpart on arrays that to_plain knows.")
