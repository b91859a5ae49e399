"""Pair forces along several vectors, each with a learned scalar of several invariants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.interaction import FormulaScalar, PairScalar, directions, pair_variables, relative_velocity
from sciml.nn.message_passing import Edges, MessagePassing
from sciml.physics.vectors import VECTORS
from sciml.symmetry import Symmetry


class VectorForce(MessagePassing):
    """Forces along several vectors of a pair: message_ij = Σ_k f_k(r, w, w_r, w_t, p_i, p_j) · b_k.

    The vectors b_k are those of `sciml.physics.vectors.VECTORS`: the line of centres ``r_hat``, the relative
    velocity ``w_vec``, the perpendiculars ``r_turned`` (2D) and ``r_cross_w`` (3D), and others. The force is
    equivariant under whatever its vectors are (`symmetry`), and the same in every inertial frame. Where the
    scalars are symmetric and the vectors change sign with the ends of the edge, action equals reaction.
    Writes the node field ``force``.

    Args:
        dim: dimension of space.
        scalars: name of a vector to the scalar that multiplies it.

    Raises:
        ValueError: a vector that is unknown, does not exist in ``dim`` dimensions or is a combination of
            the others; a symmetric scalar with a vector that does not change sign.
    """

    about = About(
        domain="particles",
        content="properties p_i, p_j",
        geometry="invariants of displacement and relative velocity, and vectors made of the two",
        equation=r"F_i = \sum_j \sum_k f_k(r_{ij}, w, w_r, w_t, p_i, p_j)\, \vec b_k",
        cost="edges · vectors · network",
        source="Villar et al. 2021, arXiv 2106.06610",
    )

    def __init__(self, dim: int, scalars: Mapping[str, PairScalar | FormulaScalar]) -> None:
        super().__init__()
        check_vectors(list(scalars), "pair", dim)
        for name, scalar in scalars.items():
            if getattr(scalar, "symmetric", False) and not changes_sign(name, dim):
                raise ValueError(
                    f"the vector {name} does not change sign when the two ends change places, as the third "
                    "law needs: set third_law=false, or leave the vector out."
                )
        self.dim = dim
        self.scalars = nn.ModuleDict(dict(scalars))
        self.symmetry = symmetry_along(list(scalars), dim)

    def terms(self, edges: Edges) -> dict[str, tuple[Float[Tensor, "edges"], Float[Tensor, "edges dim"]]]:
        """Return scalar and vector of every term."""
        vectors = pair_vectors(edges, list(self.scalars))
        return {name: (scalar(edges), vectors[name]) for name, scalar in self.scalars.items()}

    def message(self, edges: Edges) -> Float[Tensor, "edges dim"]:
        """Return the force that each sender exerts on its receiver."""
        total = torch.zeros_like(edges.vectors())
        for scalar, vector in self.terms(edges).values():
            total = total + scalar[:, None] * vector
        return total

    def message_inputs(self, edges: Edges) -> dict[str, Tensor]:
        """Return the invariants, the properties at both ends and the line of centres."""
        found: dict[str, Tensor] = {}
        for scalar in self.scalars.values():
            found |= pair_variables(edges, scalar.properties, scalar.invariants)  # type: ignore[arg-type]
        return found | {"direction": directions(edges)}

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes dim"]) -> Graph:
        """Write the total force on each node."""
        turns = {"O", "SO"} & set(self.symmetry.groups)
        return graph.with_nodes({"force": Spec(irreps="1o" if turns else None)}, force=aggregated)

    @torch.no_grad()
    def fit(self, graph: Graph, force: Float[Tensor, "nodes dim"]) -> None:
        """Take the statistics of all scalars from data, each in the size of its vector."""
        vectors = pair_vectors(Edges(graph), list(self.scalars))
        for name, scalar in self.scalars.items():
            size = vectors[name].square().sum(-1).mean().sqrt().clamp(min=1e-30)
            scalar.fit(graph, force / size)  # type: ignore[operator]


def pair_vectors(edges: Edges, names: Sequence[str]) -> dict[str, Float[Tensor, "edges dim"]]:
    """Return vectors of each pair by name; only the line of centres does without ``velocity``."""
    d = edges.vectors()
    moving = set(names) - {"r_hat", "r_turned"}
    u = relative_velocity(edges) if moving else torch.zeros_like(d)
    return {name: directions(edges) if name == "r_hat" else VECTORS[name].of(d, u) for name in names}


def check_vectors(names: Sequence[str], place: str, dim: int) -> None:
    """Refuse vectors that are unknown, not of this place or dimension, or combinations of the others.

    Raises:
        ValueError: naming the vector, and those that there are.
    """
    known = [name for name, v in VECTORS.items() if v.place == place and dim in v.dims]
    for name in names:
        if name not in known:
            raise ValueError(
                f"{name!r} is no vector of a {place} in {dim} dimensions; there are {', '.join(known)}."
            )
    if place == "pair" and names:
        stack = np.stack([VECTORS[name].of(*_probe(dim)) for name in names], axis=-1)
        if (np.linalg.matrix_rank(stack) < len(names)).any():
            raise ValueError(
                f"{', '.join(names)} are not independent in {dim} dimensions: a force could be shared out "
                "among them in any way. Leave one out."
            )


def changes_sign(name: str, dim: int) -> bool:
    """Whether a vector of a pair turns round when its two ends change places."""
    d, u = _probe(dim)
    return np.allclose(VECTORS[name].of(-d, -u), -VECTORS[name].of(d, u))


def symmetry_along(names: Sequence[str], dim: int) -> Symmetry:
    """Return the symmetry of forces along these vectors, as an example of random vectors shows it."""
    a, b = _probe(dim)
    mirror = np.linalg.qr(np.random.default_rng(1).normal(size=(dim, dim)))[0]
    mirror *= np.r_[-np.sign(np.linalg.det(mirror)), np.ones(dim - 1)]  # of determinant -1
    turn = mirror @ np.diag([-1.0] + [1.0] * (dim - 1))
    vectors = [VECTORS[name] for name in names]
    keeps = lambda m: all(np.allclose(v.of(a @ m.T, b @ m.T), v.of(a, b) @ m.T) for v in vectors)
    moved = all(v.place == "pair" or np.allclose(v.of(a + 1, b), v.of(a, b)) for v in vectors)
    turned = ("O",) if keeps(turn) and keeps(mirror) else ("SO",) if keeps(turn) else ()
    groups = ("S", *(("T",) if moved else ()), *turned)
    return Symmetry(groups=groups, output=Spec(irreps="1o" if turned else None))


def _probe(dim: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(8, dim)), random.normal(size=(8, dim))
