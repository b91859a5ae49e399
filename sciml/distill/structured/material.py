"""What the stages of a search over some variables build on, each made when it is first needed."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from jaxtyping import Float

from sciml.distill.structured import products, targets
from sciml.distill.structured.library import Library, library, plain_library
from sciml.distill.structured.monomials import Atoms, atoms
from sciml.distill.structured.steps import steps
from sciml.distill.structured.table import Table

FEW, MANY = 600, 2000  # rows on which formulas are proposed, and on which a residual is probed
FEATURES = 15_000
PLAIN = 4000
FACTORS, PLAIN_FACTORS = 3000, 1000  # of a kind; these many take a moment
PROBES = 4000
VARIABLES = 8


class Material:
    """Atoms, features and factors of the active variables of a table."""

    def __init__(self, table: Table, active: list[int]):
        self.active = active[:VARIABLES]
        self.few, self.many = table.head(FEW), table.head(MANY)

    @cached_property
    def atoms(self) -> Atoms:
        """Variables and the composites of them that laws use."""
        return atoms(self.few, self.active)

    @cached_property
    def jumps(self) -> list[tuple[int, float]]:
        """Where the target jumps or bends."""
        return steps(self.many, self.active)

    @cached_property
    def plain(self) -> Library:
        """The simplest terms of sums, which take a moment."""
        return plain_library(self.atoms, self.jumps, PLAIN)

    @cached_property
    def features(self) -> Library:
        """Terms of sums."""
        return library(self.atoms, self.jumps, FEATURES)

    @cached_property
    def consistent(self) -> Library:
        """Terms of sums that have the unit of the target under some transformation."""
        return library(self.atoms, self.jumps, FEATURES, targets.goals(self.few))

    def factors(self, strict: bool, limit: int = FACTORS) -> products.Factors:
        """Return composite factors of products, at most ``limit`` of a kind; if strict, of pure numbers."""
        return products.factors(self.atoms, limit, strict)

    @cached_property
    def probes(self) -> Float[np.ndarray, "features rows"]:
        """The simplest features on many rows: of a law's residual, they explain nothing."""
        chosen = np.argsort(self.features.cost, kind="stable")[:PROBES]
        return self.features.evaluate(atoms(self.many, self.active), chosen).astype(np.float32)
