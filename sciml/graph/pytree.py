"""Graphs as pytrees, for torch's transformations, and in files that load with ``weights_only=True``."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils import _pytree as pytree

from sciml.graph.container import _PARTS, Graph, _restore
from sciml.graph.fields import Spec
from sciml.graph.layout import Chain, Complete, Grid

_STATIC = ("specs", "layout")  # no tensors


def _flatten(graph: Graph) -> tuple[list[Any], Any]:
    names = [name for name in _PARTS if name not in _STATIC and getattr(graph, name) is not None]
    return [getattr(graph, name) for name in names], (tuple(names), tuple(graph.specs.items()), graph.layout)


def _unflatten(values: Any, context: Any) -> Graph:
    names, specs, layout = context
    return Graph(**dict(zip(names, values, strict=True)), specs=dict(specs), layout=layout)


pytree.register_pytree_node(Graph, _flatten, _unflatten, serialized_type_name="sciml.graph.Graph")
torch.serialization.add_safe_globals([_restore, Spec, Grid, Complete, Chain])
