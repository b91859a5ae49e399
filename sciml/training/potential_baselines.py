"""What a potential is compared with: no interaction at all, and sums over pairs of atoms."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sciml.datasets.frames import Frames
from sciml.datasets.potentials import AnyFrames, reference_energies, target_graph
from sciml.graph import Graph
from sciml.models.potential import Prediction
from sciml.nn.radial import envelope, gaussians

FUNCTIONS = 24  # of the distance, for each pair of elements
RIDGE = 1e-8  # of the largest diagonal element
AT_A_TIME = 2000  # atoms
CHECKED, LEAST = 100, 10  # frames that energies and forces are held together on
CLEAR, FACTOR = 0.5, 6.0  # correlation from which on that says something, and what factor is strange


def constant(frames: Frames, references: Mapping[str, float]) -> list[Prediction]:
    """Return the reference energies of the atoms, and no forces or stress."""
    energies = reference_energies(frames, references)
    nothing = lambda atoms: np.zeros((3, 3)) if atoms.pbc.all() else None
    return [Prediction(float(e), np.zeros((len(a), 3)), nothing(a)) for e, a in zip(energies, frames.atoms)]


class PairPotential:
    """E = Σ_i e_a(i) + Σ_{i<j} φ_ab(r_ij), with φ_ab sums of Gaussians, by least squares.

    The φ_ab end at the cutoff. Energies per atom and forces are fitted together, weighted as in training.
    The e_a are corrections to the reference energies, which leave the pairs' mean energy out.

    Args:
        cutoff: in Å.
        references: energies of the elements in eV.
        energy_weight, forces_weight: see `sciml.training.potential.PotentialTraining`.
    """

    def __init__(
        self,
        cutoff: float,
        references: Mapping[str, float],
        energy_weight: float = 4.0,
        forces_weight: float = 1.0,
    ) -> None:
        from ase.data import atomic_numbers

        self.cutoff, self.references = cutoff, references
        self.weights = energy_weight, forces_weight
        numbers = sorted(atomic_numbers[symbol] for symbol in references)
        self.order = torch.full((max(numbers) + 1,), -1, dtype=torch.long)
        self.order[numbers] = torch.arange(len(numbers))
        self.elements = len(numbers)
        terms = self.elements**2 * FUNCTIONS + self.elements
        self.coefficients = torch.zeros(terms, dtype=torch.float64)

    def fit(self, frames: AnyFrames) -> PairPotential:
        """Solve the normal equations over all frames; return self."""
        size = len(self.coefficients)
        matrix, right = torch.zeros(size, size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64)
        for part in (small for some in frames.parts() for small in _parts(some)):
            graph = target_graph(part, self.cutoff, self.references, torch.float64)
            energies, forces = self._design(graph)
            per_atom = graph.node_counts.double()
            known = graph.nodes["has_forces"].repeat_interleave(3)
            terms = (
                (self.weights[0], graph.globals["has_energy"], energies / per_atom[:, None],
                 graph.globals["target_energy"] / per_atom),
                (self.weights[1] / 3, known, forces.flatten(0, 1), graph.nodes["target_forces"].flatten()),
            )  # fmt: skip
            for weight, mask, design, target in terms:
                matrix += weight * design[mask].T @ design[mask]
                right += weight * design[mask].T @ target[mask]
        ridge = RIDGE * matrix.diagonal().max().clamp(min=1e-300)
        self.coefficients = torch.linalg.solve(matrix + ridge * torch.eye(size, dtype=torch.float64), right)
        return self

    def predict(self, frames: Frames) -> list[Prediction]:
        """Return energies and forces."""
        found = []
        for part in _parts(frames):
            graph = target_graph(part, self.cutoff, self.references, torch.float64)
            energies, forces = (design @ self.coefficients for design in self._design(graph))
            total = energies.numpy() + reference_energies(part, self.references)
            split = forces.split(graph.node_counts.tolist())
            found += [Prediction(float(e), f.numpy(), None) for e, f in zip(total, split)]
        return found

    def _design(self, graph: Graph) -> tuple[Float[Tensor, "graphs terms"], Float[Tensor, "nodes 3 terms"]]:
        """Return what multiplies the coefficients, in energies and in forces."""
        vectors = graph.edge_vectors()
        distance = vectors.norm(dim=1)
        shape = lambda r: gaussians(r, FUNCTIONS, self.cutoff) * envelope(r, self.cutoff)[:, None]
        found = torch.func.jvp(shape, (distance,), (torch.ones_like(distance),))
        value, slope = found[0], found[1]
        ends = [self.order[graph.nodes["number"][side]] for side in (graph.sender, graph.receiver)]
        pair = torch.minimum(ends[0], ends[1]) * self.elements + torch.maximum(ends[0], ends[1])
        kinds = self.elements**2
        energies = value.new_zeros(len(graph) * kinds, FUNCTIONS)
        energies.index_add_(0, graph.edge_graph * kinds + pair, 0.5 * value)  # each pair is two edges
        forces = value.new_zeros(graph.num_nodes * kinds, 3, FUNCTIONS)
        pull = -(vectors / distance[:, None])[:, :, None] * slope[:, None, :]
        forces.index_add_(0, graph.receiver * kinds + pair, pull)
        forces = forces.reshape(graph.num_nodes, kinds, 3, FUNCTIONS).transpose(1, 2).flatten(2)
        counts = value.new_zeros(len(graph), self.elements)
        here = graph.node_graph, self.order[graph.nodes["number"]]
        counts.index_put_(here, value.new_ones(graph.num_nodes), accumulate=True)
        energies = torch.cat([energies.reshape(len(graph), -1), counts], dim=1)
        return energies, torch.nn.functional.pad(forces, (0, self.elements))


def disagreement(frames: AnyFrames, cutoff: float, references: Mapping[str, float]) -> str | None:
    """Return what speaks against energies and forces of one unit and the right sign, in words; None: nothing.

    A sum over pairs that is fitted to forces alone gives energies without having seen any. On trajectories of
    molecules the true ones go with them by a factor between a half and one; not by a negative one, nor by
    that of another unit.
    """
    some = frames.take(np.linspace(0, len(frames) - 1, min(CHECKED, len(frames))).astype(int)).whole()
    known = np.isfinite(some.energy)
    if known.sum() < LEAST or all(f is None for f in some.forces):
        return None
    of_forces = Frames(some.atoms, some.energy, some.forces, some.source)
    pairs = PairPotential(cutoff, references, energy_weight=0.0).fit(of_forces)
    counts = some.counts(some.elements)[known]
    of_shape = lambda values: values - counts @ np.linalg.lstsq(counts, values, rcond=None)[0]
    said = of_shape(np.array([p.energy for p in pairs.predict(of_forces)])[known])
    true = of_shape(some.energy[known])
    sizes = np.sqrt([said @ said, true @ true])
    if sizes.min() < 1e-6 * known.sum():  # eV
        return None
    slope, correlation = said @ true / sizes[0] ** 2, said @ true / sizes.prod()
    if abs(correlation) < CLEAR or 1 / FACTOR < slope < FACTOR:
        return None
    if slope < 0:
        return (
            "energies rise where forces push: are the forces gradients, with the other sign? (Energies go "
            f"with what forces alone make of them by a factor of {slope:.2g}.)"
        )
    return (
        f"energies go with what forces alone make of them by a factor of {slope:.3g}: are both in units of "
        "one energy?"
    )


def _parts(frames: Frames) -> list[Frames]:
    """Return the frames a few at a time, so that the design matrix stays small."""
    step = max(1, AT_A_TIME // max(len(a) for a in frames.atoms))
    return [frames.take(np.arange(i, min(i + step, len(frames)))) for i in range(0, len(frames), step)]
