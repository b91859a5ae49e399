"""A trained potential as a calculator of ASE: relaxations, dynamics, vibrations, stress."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from sciml.builders import SkinnedNeighbours
from sciml.models import Potential, PotentialEnsemble, Prediction
from sciml.training.run import load_run

if TYPE_CHECKING:
    from ase import Atoms


class SciMLCalculator(Calculator):
    """Energy (eV), forces (eV/Å) and, where all directions repeat, stress (eV/Å³) of a trained potential.

    >>> atoms.calc = SciMLCalculator("outputs/ethanol/...")  # doctest: +SKIP

    An ensemble also gives ``results["energy_std"]`` and ``results["forces_std"]`` (one number for each atom),
    and warns once where these go beyond what its calibration saw.

    Args:
        run: a run directory, or a `sciml.models.Potential`, which is copied where dtype or device differ.
        dtype: of the network's arithmetic. In double precision, the default, energy is conserved and
            relaxations converge below what single precision rounds away; single precision is faster.
        device: cpu, cuda, ...
        skin: in Å; the neighbour list is kept until an atom has moved half of it.

    Raises:
        RunError: no such run.
        TypeError: a run of something else than a potential.
        ValueError: in use, an element that the potential was not trained on, two atoms at one place.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 - ASE's own form
    warned = False

    def __init__(
        self,
        run: str | Path | Potential,
        *,
        dtype: torch.dtype = torch.float64,
        device: str = "cpu",
        skin: float = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        model = load_run(run) if isinstance(run, str | Path) else run
        if not isinstance(model, Potential):
            raise TypeError(f"{run} holds {type(model).__name__}; a calculator needs a Potential.")
        self.model: Potential = _converted(model, dtype, device)
        self.neighbours = SkinnedNeighbours(self.model.cutoff, skin)

    def calculate(
        self,
        atoms: Any = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        """Compute all properties at once: forces cost little beside the energy."""
        super().calculate(atoms, properties, system_changes)
        structure: Atoms = self.atoms  # type: ignore[assignment]
        if "numbers" in system_changes:
            self.model.check_elements(structure)
        (found,) = self.model.predict_graph(self.neighbours(structure), [structure])
        self.results = {"energy": found.energy, "free_energy": found.energy, "forces": found.forces}
        if found.stress is not None:
            self.results["stress"] = full_3x3_to_voigt_6_stress(found.stress)
        if isinstance(self.model, PotentialEnsemble):
            self.results |= {"energy_std": found.energy_std, "forces_std": found.forces_std}
            self._warn_if_far(found)

    def _warn_if_far(self, found: Prediction) -> None:
        """Warn, once, of a structure on which the members of an ensemble disagree as never in calibration."""
        assert isinstance(self.model, PotentialEnsemble)
        if self.warned or not self.model.far(found):
            return
        self.warned = True
        spread = np.asarray(found.forces_std)
        atom = int(spread.argmax())
        warnings.warn(
            f"The members of the ensemble disagree on the force on atom {atom} by {spread[atom]:.2g} eV/Å; "
            f"in calibration it was {float(self.model.largest):.2g} at most. The structure is unlike those "
            "of the training: do not trust what follows. (Said once.)",
            stacklevel=3,
        )


def _converted(model: Potential, dtype: torch.dtype, device: str) -> Potential:
    like = next(model.parameters())
    if like.dtype == dtype and like.device == torch.device(device):
        return model
    return copy.deepcopy(model).to(device, dtype).eval()
