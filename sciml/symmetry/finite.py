"""Finite groups of rotations and reflections, as lists of matrices."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import permutations, product

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class FiniteGroup:
    """A finite subgroup of O(d); `finite_group` makes one by name.

    Attributes:
        name: as ``C4``.
        matrices: its elements; the first is the identity.
    """

    name: str
    matrices: Float[Tensor, "elements dim dim"]

    def __len__(self) -> int:
        return len(self.matrices)

    @property
    def dim(self) -> int:
        """Dimension of the space that it acts on."""
        return self.matrices.shape[-1]

    @cached_property
    def product(self) -> Int[Tensor, "elements elements"]:
        """``product[g, h]`` is the number of g h."""
        return self.index(self.matrices[:, None] @ self.matrices)

    @cached_property
    def inverse(self) -> Int[Tensor, "elements"]:
        """``inverse[g]`` is the number of g⁻¹."""
        return self.index(self.matrices.mT)

    @property
    def on_grid(self) -> bool:
        """Whether every element maps the square or cubic grid to itself."""
        return bool((self.matrices - self.matrices.round()).abs().max() < 1e-9)

    def has(self, matrices: Float[Tensor, "... dim dim"]) -> bool:
        """Whether all of these matrices are elements."""
        same_space = matrices.shape[-2:] == self.matrices.shape[-2:]
        return same_space and bool((self._apart(matrices).amin(-1) < 1e-6).all())

    def _apart(self, matrices: Float[Tensor, "... dim dim"]) -> Float[Tensor, "... elements"]:
        return (matrices[..., None, :, :].double() - self.matrices).abs().amax((-1, -2))

    def index(self, matrices: Float[Tensor, "... dim dim"]) -> Int[Tensor, "..."]:
        """Return the numbers of these matrices.

        Raises:
            ValueError: a matrix is no element of the group.
        """
        if not self.has(matrices):
            raise ValueError(f"A matrix that was given is no element of {self.name}.")
        return self._apart(matrices).argmin(-1)

    def __repr__(self) -> str:
        return f"FiniteGroup({self.name}, {len(self)} elements, {self.dim}D)"


@lru_cache
def finite_group(name: str) -> FiniteGroup:
    """Return a group by its name.

    In the plane (axes x, y, or rows and columns of an image): ``CN``, rotations by 2πk/N in this order,
    and ``DN``, these and then the same after a mirror of the last axis. In space: ``Oct``, the 24 rotations
    of the cube, and ``Oh``, with reflections 48. On the line: ``Ci``, x → -x.

    Raises:
        ValueError: an unknown name.
    """
    if match := re.fullmatch(r"([CD])([1-9]\d*)", name):
        order = int(match[2])
        turns = torch.stack([_rotation(k, order) for k in range(order)])
        mirror = torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64))
        return FiniteGroup(name, turns if match[1] == "C" else torch.cat([turns, turns @ mirror]))
    if name in ("Oct", "Oh"):
        signed = torch.stack(
            [
                torch.diag(torch.tensor(signs, dtype=torch.float64))[list(order)]
                for signs in product((1.0, -1.0), repeat=3)
                for order in permutations(range(3))
            ]
        )
        proper = signed[torch.linalg.det(signed) > 0]
        return FiniteGroup(name, proper if name == "Oct" else torch.cat([proper, -proper]))
    if name == "Ci":
        return FiniteGroup(name, torch.tensor([[[1.0]], [[-1.0]]], dtype=torch.float64))
    raise ValueError(f"Unknown finite group {name!r}; choose CN or DN (N = 1, 2, ...), Oct, Oh or Ci.")


def _rotation(k: int, order: int) -> Float[Tensor, "2 2"]:
    """Rotation by 2πk/N; quarter turns without rounding."""
    cosine, sine = math.cos(2 * math.pi * k / order), math.sin(2 * math.pi * k / order)
    if 4 * k % order == 0:
        cosine, sine = round(cosine), round(sine)
    return torch.tensor([[cosine, -sine], [sine, cosine]], dtype=torch.float64)
