"""Laws as ASE calculators: forces on atoms, and energies where the forces have a potential."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from jaxtyping import Float

from sciml.distill.forces import Forces
from sciml.distill.law import Law
from sciml.distill.terms import Term
from sciml.physics.vectors import AXES
from sciml.units import UnitError, convert

if TYPE_CHECKING:
    from ase import Atoms

NODES = 128  # of the quadrature of a potential, in log r
SPEEDS = ("w", "w_r", "w_t", "v_i", "v_j")


class LawCalculator(Calculator):
    """Forces of a law, in eV/Å; energies, in eV, where every term is the gradient of a potential.

    Such terms are forces along lines of centres that depend on the distance and on properties and are equal
    and opposite, forces along the vector from the origin that depend on its length, and constant forces along
    an axis. The energy is the work from a reference, `at`, where it is zero. A law whose variables have units
    is converted; without units, it is taken to be in ASE's.

    Args:
        law: its target is the force if it has an ``inertia`` (``law.inertia`` may be "mass"), otherwise the
            acceleration in ASE's units, which is multiplied by the atoms' masses.
        properties: numbers or labels per atom that the law needs beside ``mass``, which the atoms have.
        at: distance at which the energy of a pair is zero, in Å.

    Raises:
        ValueError: units that cannot be converted.
    """

    implemented_properties = ["forces", "energy"]  # noqa: RUF012 (as ASE has it)

    def __init__(self, law: Law, properties: Mapping[str, Any] | None = None, at: float = 10.0) -> None:
        super().__init__()
        self.law, self.given, self.at = law, dict(properties or {}), at
        self.terms = law.terms or (Term(law.expression),)
        self.length, self.force = self._factors()

    def _factors(self) -> tuple[float, float]:
        """Return an Å in the law's unit of length, and the law's unit of force in eV/Å."""
        length = next((u for name, u in self.law.variables.items() if name in ("r", "x_i") and u), "")
        try:
            per_angstrom = float(convert(1.0, "angstrom", length)) if length else 1.0
            target = self.law.target_unit
            force = float(convert(1.0, target, "eV/angstrom")) if target and self.law.inertia else 1.0
        except UnitError as error:
            raise ValueError(f"a law for atoms needs lengths and a force: {error}") from error
        used = {str(s) for term in self.terms for s in term.expression.free_symbols}
        moving = used.intersection(SPEEDS) or any(t.vector.startswith(("w_", "v_")) for t in self.terms)
        if moving and (per_angstrom, force) != (1.0, 1.0):
            raise ValueError("a law with velocities is not converted from other units: give it in ASE's")
        return per_angstrom, force

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Set ``results``; the energy only if it is asked for."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        if self.atoms.pbc.any() and not self.atoms.cell.orthorhombic:
            raise ValueError("the nearest image of a pair is taken in orthorhombic cells only")
        x = self.atoms.get_positions() * self.length
        momenta = self.atoms.arrays.get("momenta")
        mass = self.atoms.get_masses()
        v = np.zeros_like(x) if momenta is None else momenta / mass[:, None]
        given = {"mass": mass, **self.given}
        forces = Forces(self.law, given, self._box())
        inertia = np.asarray(given[self.law.inertia] if self.law.inertia else mass, dtype=float)
        self.results["forces"] = forces(x, v) * inertia[:, None] * self.force
        if "energy" in (properties or []):
            self.results["energy"] = self._energy(x, given)

    def _box(self) -> Float[np.ndarray, "3"] | None:
        assert self.atoms is not None
        if not self.atoms.pbc.any():
            return None
        return np.where(self.atoms.pbc, self.atoms.cell.lengths() * self.length, np.inf)

    def _energy(self, x: np.ndarray, given: Mapping[str, Any]) -> float:
        """Return minus the work: on each pair from the distance `at`, on single atoms from the origin."""
        energy = 0.0
        points, weights = np.polynomial.legendre.leggauss(NODES)
        for term in self.terms:
            why = no_potential(term, bool(self.law.inertia))
            if why:
                raise PropertyNotImplementedError(f"the law has no energy: its term {term} {why}")
            one = Law.of_terms([term], self.law.target, self.law.variables, constants=self.law.constants,
                               kind=self.law.kind)  # fmt: skip
            forces = Forces(one, given, self._box())
            if term.place == "node":
                shares = 0.5 * (1.0 + points)
                pulls = np.array([(forces(x * s, x * 0) * x).sum() for s in shares])
                energy -= float(0.5 * weights @ pulls)
            else:
                energy -= self._work_on_pairs(forces, x, points, weights)
        return energy * self.force / self.length

    def _work_on_pairs(self, forces: Forces, x: np.ndarray, points: np.ndarray, weights: np.ndarray) -> float:
        """Return the work on each pair from the distance `at`, by Gauss–Legendre quadrature in log r."""
        first, second = np.triu_indices(len(x), 1)
        d = x[first] - x[second]
        if forces.box is not None:
            edges = np.where(np.isfinite(forces.box), forces.box, 1.0)
            d = d - np.where(np.isfinite(forces.box), np.round(d / edges) * edges, 0.0)
        r = np.linalg.norm(d, axis=1)
        start = self.at * self.length
        half = 0.5 * np.log(r / start)
        along = start * np.exp(half * (1.0 + points[:, None]))  # nodes pairs
        pair = np.stack([along, np.zeros_like(along)], axis=-1)[..., None] * np.eye(3)[0]
        ends = np.stack([first, second], axis=1)
        properties = {name: np.asarray(value)[ends] for name, value in self._all(forces).items()}
        two = Forces(forces.law, properties)
        force = two(pair, np.zeros_like(pair))[..., 0, 0]
        return float((weights @ (force * along) * half).sum())

    def _all(self, forces: Forces) -> dict[str, Any]:
        kinds = {} if forces.kinds is None else {forces.law.kind: forces.kinds}
        return {**forces.properties, **kinds}


def no_potential(term: Term, force: bool = True) -> str:
    """Return why a term is not the gradient of a potential; nothing if it is.

    Args:
        term: of a law.
        force: whether it is a force; an acceleration has equal and opposite forces only with equal masses.
    """
    used = {s.name for s in term.expression.free_symbols}
    if used.intersection(SPEEDS):
        return "depends on velocities"
    if term.vector in [f"e_{k}" for k in AXES]:
        return "depends on the place" if "x_i" in used else ""
    if term.vector == "x_vec":
        return ""
    if term.vector != "r_hat" or used & {"x_i", "x_j", *(f"n_{k}" for k in AXES)}:
        return "is no force along lines of centres that depends on distances"
    partner = {
        s: sympy.Symbol(s.name[:-1] + {"i": "j", "j": "i"}[s.name[-1]])
        for s in term.expression.free_symbols
        if s.name.endswith(("_i", "_j"))
    }
    swapped = term.expression.xreplace(partner)
    both = {(b, a) for a, b in term.kinds} == set(term.kinds) if term.kinds else True  # type: ignore[misc]
    if not force or not both or sympy.simplify(swapped - term.expression) != 0:
        return "is not equal and opposite for the two of a pair"
    return ""
