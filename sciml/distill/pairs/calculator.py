"""A law of pairs as an ASE calculator, with the cutoff of the frames that it was found from, in any cell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import sympy
from ase.calculators.calculator import Calculator, all_changes
from ase.data import atomic_numbers

from sciml.datasets.frames import Frames
from sciml.distill.law import Law
from sciml.distill.pairs.fit import PairModel
from sciml.distill.pairs.forms import Form
from sciml.distill.pairs.rows import Kinds, pair_rows

if TYPE_CHECKING:
    from ase import Atoms


class PairCalculator(Calculator):
    """Energy in eV, forces in eV/Å and, where all directions repeat, stress of a law of pairs.

    Pairs act within the cutoff, where their energy is zero; the energies of single atoms are those of the
    frames.

    Args:
        law: of `distill_pairs`, or the file it was saved to.

    Raises:
        ValueError: a law that is no sum of forces along lines of centres between elements.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 (as ASE has it)

    def __init__(self, law: Law | str | Path) -> None:
        super().__init__()
        self.law = law if isinstance(law, Law) else Law.load(law)
        self.kinds, self.model = as_model(self.law)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Set ``results``."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        frames = Frames([self.atoms], np.array([0.0]), [None], "atoms")
        (rows,) = pair_rows(frames, self.kinds, self.model.cutoff)
        energy, forces = self.model.predict(rows)
        self.results = {"energy": float(energy[0]), "free_energy": float(energy[0]), "forces": forces}
        if self.atoms.pbc.all():
            pull = self.model.force(rows) * rows.distance * rows.share
            virial = -np.einsum("p,pi,pj->ij", pull, rows.direction, rows.direction)
            self.results["stress"] = (virial / self.atoms.get_volume()).flat[[0, 4, 8, 5, 2, 1]]


def as_model(law: Law) -> tuple[Kinds, PairModel]:
    """Return the pairs of elements of a law, and the model that gives its forces and energies.

    Raises:
        ValueError: as `PairCalculator`.
    """
    wrong = [t for t in law.terms if t.vector != "r_hat" or not t.kinds]
    if law.kind != "element" or wrong or "cutoff" not in law.provenance:
        raise ValueError(
            "expected a law of pairs of elements, as sciml.distill.pairs finds them; for other laws there is "
            "sciml.distill.LawCalculator."
        )
    energies = law.provenance["elements"]
    kinds = Kinds(tuple(sorted(atomic_numbers[symbol] for symbol in energies)))
    forms: list[Form | None] = []
    values = []
    for pair in kinds.symbols:
        own = next((t.expression for t in law.terms if pair in t.kinds), None)
        names = [] if own is None else [n for n in law.constants if sympy.Symbol(n) in own.free_symbols]
        forms.append(None if own is None else Form(own, tuple(names)))
        values.append(tuple(law.constants[name].value for name in names))
    symbols = [a for a, b in kinds.symbols if a == b]
    elements = tuple(float(energies[symbol]) for symbol in symbols)
    return kinds, PairModel(tuple(forms), tuple(values), elements, float(law.provenance["cutoff"]))
