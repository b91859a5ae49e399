"""The systems that can be simulated, one entry each: a potential or a force between pairs, and node terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from sciml.physics.node_terms import Parameters

Radial = Callable[[np.ndarray, Parameters], np.ndarray]


def nothing(r: np.ndarray, p: Parameters) -> np.ndarray:
    """Return zero: the potential of particles that exert no force at rest."""
    return np.zeros_like(r)


@dataclass(frozen=True)
class System:
    """Particles with a potential between all pairs, V = k cᵢⱼ qᵢ qⱼ φ(ρ), ρ² = r² + ε², and node terms.

    Attributes:
        potential: φ, a function of distance and parameters.
        slope: its derivative φ′; the force on i is -k cᵢⱼ qᵢ qⱼ φ′(ρ) (xᵢ - xⱼ) / ρ.
        couples: the property q: "mass", "charge", or "" if all pairs are alike (species may differ by c).
        align: ψ of a force k cᵢⱼ ψ(ρ) (vⱼ - vᵢ) that makes velocities equal, if there is one.
        parameters: of φ and ψ, and of node terms (`NODE_TERMS`), with their usual values.
        start: how fast particles are to begin with, see `sciml.physics.starts`.
        tolerance: usual tolerance of the energy balance; forces that jump cannot be integrated as finely.
    """

    potential: Radial = nothing
    slope: Radial = nothing
    couples: Literal["mass", "charge", ""] = ""
    align: Radial | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)
    start: Literal["bound", "free", "cool", "align"] = "bound"
    tolerance: float = 1e-5

    @property
    def stays(self) -> bool:
        """Whether particles that fly apart make a draw useless."""
        return self.start in ("bound", "cool")


GRAVITY = System(lambda r, p: -1.0 / r, lambda r, p: r**-2.0, "mass")
CHARGE = System(lambda r, p: 1.0 / r, lambda r, p: -(r**-2.0), "charge", start="free")
SPRING = System(
    lambda r, p: 0.5 * (r - p["length"]) ** 2, lambda r, p: r - p["length"], parameters={"length": 1.0}
)


def _beyond(r: np.ndarray, p: Parameters) -> np.ndarray:
    """The potential of a spring beyond the edge, and its value at the edge within."""
    return 0.5 * (np.maximum(r, p["edge"]) - p["length"]) ** 2


def _wells(r: np.ndarray, p: Parameters) -> np.ndarray:
    return 4 * ((p["sigma"] / r) ** 12 - (p["sigma"] / r) ** 6)


def _wells_slope(r: np.ndarray, p: Parameters) -> np.ndarray:
    return -4 * (12 * (p["sigma"] / r) ** 12 - 6 * (p["sigma"] / r) ** 6) / r


def _bond(r: np.ndarray, p: Parameters) -> np.ndarray:
    return (1 - np.exp(-p["width"] * (r - p["length"]))) ** 2 - 1


def _bond_slope(r: np.ndarray, p: Parameters) -> np.ndarray:
    stretched = np.exp(-p["width"] * (r - p["length"]))
    return 2 * p["width"] * (1 - stretched) * stretched


SYSTEMS: dict[str, System] = {
    "gravity": GRAVITY,
    "inverse": System(lambda r, p: np.log(r), lambda r, p: 1.0 / r, "mass"),
    "spring": SPRING,
    "charge": CHARGE,
    "damped": replace(SPRING, parameters={"length": 1.0, "drag": 0.1}),
    "discontinuous": System(
        _beyond,
        lambda r, p: np.where(r > p["edge"], r - p["length"], 0.0),
        parameters={"length": 0.5, "edge": 1.0},
        tolerance=1e-3,
    ),
    "lennard_jones": System(_wells, _wells_slope, parameters={"sigma": 0.3}, start="cool"),
    "morse": System(_bond, _bond_slope, parameters={"width": 3.0, "length": 0.5}, start="cool"),
    "yukawa": System(
        lambda r, p: np.exp(-r / p["range"]) / r,
        lambda r, p: -np.exp(-r / p["range"]) * (1 / r + 1 / p["range"]) / r,
        "charge",
        parameters={"range": 0.7},
        start="free",
    ),
    "gravity_uniform": replace(GRAVITY, parameters={"uniform": 1.0}),
    "gravity_trap": replace(GRAVITY, parameters={"trap": 1.0}),
    "magnetic": replace(CHARGE, parameters={"magnetic": 3.0}),
    "flocking": System(align=lambda r, p: 1 / (1 + r**2), start="align"),
}
