"""Geometric vector perceptrons: dense layers for scalars and vectors together.

Inside, vectors are (rows, 3, channels), so that maps of channels are plain linear maps of the last axis; in
the fields of a graph they are (rows, channels, 3).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

LEAST = 3  # hidden vectors: as many as have a handedness
SOFT = 1e-3  # lengths are √(|v|² + SOFT²), smooth at zero: missing vectors are zero, and forces derive twice

Scalars = Float[Tensor, "rows scalars"]
Vectors = Float[Tensor, "rows 3 vectors"]


def length(vectors: Float[Tensor, "... 3 channels"]) -> Float[Tensor, "... channels"]:
    """Return smooth lengths, √(|v|² + 10⁻⁶)."""
    return (vectors.square().sum(-2) + SOFT**2).sqrt()


def direction(vectors: Float[Tensor, "edges 3"]) -> Float[Tensor, "edges 3"]:
    """Return v / √(|v|² + 10⁻⁶): a unit vector, and zero where there is none."""
    return vectors / length(vectors[..., None])


def cross(a: Vectors, b: Vectors) -> Vectors:
    """Return a × b, by components: torch's own is slower where space is not the last axis."""
    (x, y, z), (u, v, w) = a.unbind(-2), b.unbind(-2)
    return torch.stack([y * w - z * v, z * u - x * w, x * v - y * u], dim=-2)


class ScalarVectorLinear(nn.Module):
    """Linear maps of scalars (with a constant) and of vectors (without): they do not mix yet."""

    def __init__(self, scalars: int, vectors: int, out_scalars: int, out_vectors: int) -> None:
        super().__init__()
        self.scalars = nn.Linear(scalars, out_scalars)
        self.vectors = nn.Linear(vectors, out_vectors, bias=False)

    def forward(self, scalars: Scalars, vectors: Vectors) -> tuple[Scalars, Vectors]:
        """Map the channels."""
        return self.scalars(scalars), self.vectors(vectors)


class GeometricVectorPerceptron(nn.Module):
    """A dense layer of scalars s and vectors V: lengths of vectors feed scalars, scalars gate vectors.

        V_h = W_h V        s' = σ(W_s s + W_n |V_h| + b)        V' = sigmoid(W_g s' + b_g) ⊙ W_μ V_h

    Jing et al. 2021, arXiv 2009.01411, algorithm 1, with the vector gate of arXiv 2106.03843. Where mirror
    images are to be told apart, each channel of V_h is joined by the cross product of two others, a + b × c:
    these do not turn round in a mirror, so that the length of the sum, by a · (b × c), tells left from right.

    Args:
        scalars, vectors: channels of the inputs.
        out_scalars, out_vectors: channels of the results.
        reflections: True for O(3), without cross products; False for SO(3).
        activation: apply σ (SiLU) to the scalars; the last of several layers does without.
    """

    def __init__(
        self,
        scalars: int,
        vectors: int,
        out_scalars: int,
        out_vectors: int,
        *,
        reflections: bool = False,
        activation: bool = True,
    ) -> None:
        super().__init__()
        hidden = max(vectors, out_vectors, LEAST)
        self.first = ScalarVectorLinear(scalars, vectors, out_scalars, hidden)
        self.rest = Mixing(out_scalars, hidden, out_vectors, reflections=reflections, activation=activation)

    def forward(self, scalars: Scalars, vectors: Vectors) -> tuple[Scalars, Vectors]:
        """Return s' and V'."""
        return self.rest(*self.first(scalars, vectors))


class Mixing(nn.Module):
    """What follows the first linear maps of a geometric vector perceptron; these may be sums of several."""

    def __init__(
        self, scalars: int, hidden: int, vectors: int, *, reflections: bool, activation: bool = True
    ) -> None:
        super().__init__()
        self.reflections = reflections
        self.lengths = nn.Linear(hidden, scalars, bias=False)
        self.vectors = nn.Linear(hidden, vectors, bias=False)
        self.gate = nn.Linear(scalars, vectors)
        self.activation = nn.SiLU() if activation else nn.Identity()

    def forward(self, scalars: Scalars, hidden: Vectors) -> tuple[Scalars, Vectors]:
        """Return s' and V' of W_s s + b and of V_h."""
        if not self.reflections:
            hidden = hidden + cross(hidden.roll(1, -1), hidden.roll(2, -1))
        scalars = self.activation(scalars + self.lengths(length(hidden)))
        return scalars, torch.sigmoid(self.gate(scalars))[:, None] * self.vectors(hidden)


class ScalarVectorNorm(nn.Module):
    """Layer normalization of scalars; vectors are divided by the root mean square of their lengths."""

    def __init__(self, scalars: int) -> None:
        super().__init__()
        self.scalars = nn.LayerNorm(scalars)

    def forward(self, scalars: Scalars, vectors: Vectors) -> tuple[Scalars, Vectors]:
        """Normalize each row."""
        size = vectors.square().sum(-2, keepdim=True).mean(-1, keepdim=True)  # rows 1 1
        return self.scalars(scalars), vectors * torch.rsqrt(size + SOFT)


class ScalarVectorDropout(nn.Module):
    """Dropout of scalars, and of whole vectors, which keeps the symmetry."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.scalars = nn.Dropout(rate)

    def forward(self, scalars: Scalars, vectors: Vectors) -> tuple[Scalars, Vectors]:
        """Leave channels out, in training."""
        kept = self.scalars(torch.ones_like(vectors[:, :1]))
        return self.scalars(scalars), vectors * kept
