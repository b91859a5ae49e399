"""Layers: the message-passing engine and its instances."""

from sciml.nn.interaction import FormulaScalar, FreeForce, PairScalar, RadialForce
from sciml.nn.message_passing import Edges, MessagePassing, recording, segment_reduce, segment_softmax
from sciml.nn.mlp import mlp

__all__ = [
    "Edges",
    "FormulaScalar",
    "FreeForce",
    "MessagePassing",
    "PairScalar",
    "RadialForce",
    "mlp",
    "recording",
    "segment_reduce",
    "segment_softmax",
]
