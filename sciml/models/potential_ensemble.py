"""Several potentials as one: their mean, and their spread as a sign of what they do not know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph
from sciml.models.potential import Potential, Prediction

if TYPE_CHECKING:
    from ase import Atoms

FAR = 2.0  # times the largest spread in calibration: a structure beyond it is unlike all of those


class Spread(NamedTuple):
    """How far the members of an ensemble are apart, as standard deviations.

    Attributes:
        energy: of the energies of the graphs, in eV.
        forces: of a component of the force on each atom, in eV/Å, the mean (of squares) over all directions,
            so that it does not turn with the structure.
    """

    energy: Float[Tensor, "graphs"]
    forces: Float[Tensor, "nodes"]


class PotentialEnsemble(Potential):
    """The mean of potentials that were trained apart, with intervals from their spread.

    The mean of energies is an energy, and the mean of the forces its negative derivative: dynamics
    conserve it. The half-width of an interval is

        energy: a (σ_E + n σ̄_E)        component of a force: b (σ_F + σ̄_F)

    where σ are the spreads, n is the number of atoms, and the average spreads σ̄ and the factors a and b
    come from frames that were not trained on (`sciml.training.potential_ensemble.calibrate`). Before that
    they are infinite.

    Args:
        members: at least two potentials with one cutoff and the same references.
        coverage: share of the true values that the intervals shall hold.

    Raises:
        ValueError: fewer members, members that differ in what they must share, another coverage.
    """

    energy_floor: Tensor
    forces_floor: Tensor
    energy_factor: Tensor
    forces_factor: Tensor
    largest: Tensor

    def __init__(self, members: Sequence[Potential], coverage: float = 0.9) -> None:
        members = list(members)
        if len(members) < 2:
            raise ValueError(f"An ensemble of {len(members)}: expected at least two members.")
        first = members[0]
        for number, member in enumerate(members):
            if member.cutoff != first.cutoff or member.references != first.references:
                raise ValueError(
                    f"Member {number} has another cutoff ({member.cutoff} Å) or other references than member "
                    f"0 ({first.cutoff} Å): the members must have seen the same graphs and energies."
                )
        if not 0 < coverage < 1:
            raise ValueError(f"coverage={coverage}: expected a share between 0 and 1.")
        super().__init__(first.cutoff, first.scale)
        self.references, self.coverage = first.references, coverage
        self.members = nn.ModuleList(members)
        for name in ("energy_floor", "forces_floor"):
            self.register_buffer(name, torch.zeros(()))
        for name in ("energy_factor", "forces_factor", "largest"):  # largest: spread of a force
            self.register_buffer(name, torch.tensor(torch.inf))

    def each(
        self, graph: Graph, virial: bool = True
    ) -> tuple[
        Float[Tensor, "members graphs"],
        Float[Tensor, "members nodes 3"],
        Float[Tensor, "members graphs 3 3"] | None,
    ]:
        """Return energies, forces and virials of each member, as `Potential.derivatives`."""
        found = [member.derivatives(graph, virial) for member in self.members]  # type: ignore[operator]
        energies, forces, virials = zip(*found)
        return torch.stack(energies), torch.stack(forces), torch.stack(virials) if virial else None

    def derivatives(
        self, graph: Graph, virial: bool = True
    ) -> tuple[Float[Tensor, "graphs"], Float[Tensor, "nodes 3"], Float[Tensor, "graphs 3 3"] | None]:
        """Return means over the members."""
        energies, forces, virials = self.each(graph, virial)
        return energies.mean(0), forces.mean(0), None if virials is None else virials.mean(0)

    @torch.no_grad()
    def predict_graph(self, graph: Graph, structures: Sequence[Atoms]) -> list[Prediction]:
        """Return means, spreads and half-widths of intervals for the graphs of these structures."""
        like = next(self.parameters())
        each = self.each(graph.to(like.device, like.dtype))
        energies, forces, virials = (v.cpu().double() for v in each if v is not None)
        means = self.as_predictions(graph, structures, energies.mean(0), forces.mean(0), virials.mean(0))
        spread = spread_of(energies, forces)
        halves = self.half_widths(spread, graph.node_counts.cpu())
        split = lambda values: [part.numpy() for part in values.split(graph.node_counts.tolist())]
        columns = spread.energy.tolist(), split(spread.forces), halves[0].tolist(), split(halves[1])
        return [
            mean._replace(
                energy_std=e_std, forces_std=f_std, energy_half_width=e_half, forces_half_width=f_half
            )
            for mean, e_std, f_std, e_half, f_half in zip(means, *columns)
        ]

    def half_widths(
        self, spread: Spread, atoms: Tensor
    ) -> tuple[Float[Tensor, "graphs"], Float[Tensor, "nodes"]]:
        """Return the half-widths of the intervals of energies (eV) and components of forces (eV/Å)."""
        floor, factor, f_floor, f_factor = (
            value.cpu().double()
            for value in (self.energy_floor, self.energy_factor, self.forces_floor, self.forces_factor)
        )
        return factor * (spread.energy + floor * atoms), f_factor * (spread.forces + f_floor)

    def far(self, found: Prediction) -> bool:
        """Return whether the members disagree on a structure as they did on none in calibration."""
        return bool(np.max(found.forces_std, initial=0.0) > FAR * float(self.largest))  # type: ignore[arg-type]


def spread_of(energies: Float[Tensor, "members graphs"], forces: Float[Tensor, "members nodes 3"]) -> Spread:
    """Return the standard deviations over the members."""
    return Spread(energies.std(0), forces.var(0).mean(-1).sqrt())
