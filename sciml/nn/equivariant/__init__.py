"""Layers on irreps of O(3): the convolution by tensor products, and what is built of it."""

from sciml.nn.equivariant.convolution import TensorConvolution
from sciml.nn.equivariant.harmonics import harmonics
from sciml.nn.equivariant.mace import MACELayer
from sciml.nn.equivariant.nequip import NequIPLayer
from sciml.nn.equivariant.symmetric_powers import SymmetricPowers

__all__ = ["MACELayer", "NequIPLayer", "SymmetricPowers", "TensorConvolution", "harmonics"]
